"""A judge that is loaded here: found, opened without its weights, and shown a conversation."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from lib.config.errors import BadInput
from lib.config.schema import Judge, Model
from lib.config.tasks import Message
from lib.data.special_tokens import escape_special_tokens

# What a model is loaded from; not the same weights again in other formats.
FILES = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt", "*.py"]
THINKING = {"enable_thinking": False}  # a variable of Qwen3's templates; others ignore it


class Missing(Exception):
    """The judge is not to be had: the hub is out of reach, or does not know or give it."""


class Local(NamedTuple):
    """A judge whose weights are not loaded yet."""

    settings: Judge
    directory: Path
    revision: str | None  # the commit on the hub; None for a directory
    tokenizer: Any  # with a chat template
    config: Any

    @property
    def context(self) -> int | None:
        """Tokens that it can read and write together."""
        return getattr(self.config.get_text_config(), "max_position_embeddings", None)


def open_local(settings: Judge) -> Local:
    """The tokenizer and the configuration of a judge.

    Raises Missing where it is not to be had, BadInput where it cannot be loaded, as a directory
    without weights, or has no chat template.
    """
    from transformers import AutoConfig

    from lib.models.load import load_tokenizer

    directory, revision = find_judge(settings)
    trusted = settings.trust_remote_code
    try:
        tokenizer = load_tokenizer(Model(name=str(directory), trust_remote_code=trusted))
        config = AutoConfig.from_pretrained(directory, trust_remote_code=trusted)
    except (BadInput, OSError, ValueError) as error:
        raise not_loaded(settings, error) from None
    if not tokenizer.chat_template:
        raise BadInput(f"judge.model: {settings.model} has no chat template, so that it cannot be "
                       f"asked; expected an instruction-tuned model")  # fmt: skip
    return Local(settings, directory, revision, tokenizer, config)


def not_loaded(settings: Judge, error: Exception) -> BadInput:
    """The line for a judge whose files are there and no model."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return BadInput(f"judge.model: {settings.model} cannot be loaded: {reason[:300]}")


def find_judge(settings: Judge) -> tuple[Path, str | None]:
    """(directory, commit) of the judge, fetched from the hub where it is not a directory."""
    from lib.models.checkpoints import check_directory

    check_directory(settings.model, "judge.model")
    path = Path(settings.model)
    if path.is_dir():
        return path, None
    from huggingface_hub import snapshot_download

    try:
        fetched = snapshot_download(
            settings.model, revision=settings.revision, allow_patterns=FILES
        )
    except (OSError, ValueError) as error:  # every refusal of the hub is one of them
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise Missing(
            f"{settings.model} is neither a directory here nor to be had from the hub "
            f"(offline, misspelt, or gated without a token): {reason[:200]}"
        ) from None
    if not any(Path(fetched).glob("*.safetensors")):
        raise BadInput(f"judge.model: {settings.model} has no weights as *.safetensors on the hub; "
                       f"save it as safetensors (save_pretrained) and give that "
                       f"directory")  # fmt: skip
    return Path(fetched), Path(fetched).name


def render(tokenizer: Any, messages: list[Message], reply: bool = True) -> str | None:
    """The text that a judge reads, thinking switched off; None where it would not read it all.

    reply: up to where the judge is to answer. Some templates take a message as text, others as a
    list of parts, and either kind leaves out what has the other form. A judge that is not shown a
    part of the conversation would speak of something else.
    """
    from jinja2 import TemplateError

    messages = escape_special_tokens(tokenizer, messages)
    parts = [{**m, "content": [{"type": "text", "text": m["content"]}]} for m in messages]
    for form in (messages, parts):
        try:
            text = tokenizer.apply_chat_template(
                form, add_generation_prompt=reply, tokenize=False, **THINKING
            )
        except (TypeError, TemplateError):  # the other form was expected
            continue
        if all(m["content"].strip() in text for m in messages):
            return text
    return None
