"""A local judge model: found, checked, and asked about answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lib.encoding import encode_answer, harmless
from lib.errors import BadInput
from lib.schema import Infer, Judge, Model
from lib.tasks import Message, Row
from lib.tasks.safety.judging import (
    WORDS,
    Guidelines,
    identify,
    judge_messages,
    read_guidelines,
    verdict_of,
)

# What a causal model is loaded from; not the same weights again in other formats.
FILES = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt", "*.py"]
THINKING = {"enable_thinking": False}  # a variable of Qwen3's templates; others ignore it


class Missing(Exception):
    """The judge is not to be had: the hub is out of reach, or does not know or give it."""


class Asked(NamedTuple):
    """A judge that is ready to be loaded: what it is, and how it is asked."""

    settings: Judge
    directory: Path
    revision: str | None  # the commit on the hub; None for a directory
    tokenizer: Any
    context: int | None  # tokens that it can read and write together
    guidelines: Guidelines | None
    words: list[list[int]]  # token ids of WORDS, end of turn included; none for a guard

    @property
    def prompt_hash(self) -> str:
        """Identifies what is asked: the guidelines, or a guard's chat template."""
        given = self.guidelines
        return given.hash if given else identify(str(self.tokenizer.chat_template))

    @property
    def room(self) -> tuple[int, int]:
        """(tokens behind a question that are scored, tokens that are generated)."""
        return (max(map(len, self.words)), 1) if self.words else (0, self.settings.max_tokens)


def open_judge(settings: Judge) -> Asked:
    """The judge of a study, checked, its weights not yet loaded.

    Raises Missing where it is not to be had, BadInput where it is no judge: a directory without
    weights, no chat template, or one that does not show the whole conversation.
    """
    from transformers import AutoConfig

    from lib.models import load_tokenizer

    guidelines = read_guidelines(settings.prompt) if settings.kind == "safe_unsafe" else None
    directory, revision = find_judge(settings)
    trusted = settings.trust_remote_code
    try:
        tokenizer = load_tokenizer(Model(name=str(directory), trust_remote_code=trusted))
        config = AutoConfig.from_pretrained(directory, trust_remote_code=trusted)
    except (BadInput, OSError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BadInput(f"judge.model: {settings.model} cannot be loaded: {reason[:300]}") from None
    if not tokenizer.chat_template:
        raise BadInput(f"judge.model: {settings.model} has no chat template, so that it cannot be "
                       f"asked; expected an instruction-tuned model")  # fmt: skip
    probe = judge_messages(settings.kind, guidelines, "A request.", "An answer.")
    if render(tokenizer, probe) is None:
        raise BadInput(f"judge.model: the chat template of {settings.model} does not show the "
                       f"whole conversation, as judge.kind {settings.kind} needs it")  # fmt: skip
    words = [encode_answer(tokenizer, probe, word, **THINKING) for word in WORDS if guidelines]
    context = getattr(config.get_text_config(), "max_position_embeddings", None)
    return Asked(settings, directory, revision, tokenizer, context, guidelines, words)


def find_judge(settings: Judge) -> tuple[Path, str | None]:
    """(directory, commit) of the judge, fetched from the hub where it is not a directory."""
    from lib.checkpoints import check_directory

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
    return Path(fetched), Path(fetched).name


def render(tokenizer: Any, messages: list[Message]) -> str | None:
    """The text that a judge reads, thinking switched off; None where it would not read it all.

    Some templates take a message as text, others as a list of parts, and either kind leaves out
    what has the other form. A judge that is not shown a part of the conversation would speak of
    something else.
    """
    from jinja2 import TemplateError

    messages = harmless(tokenizer, messages)
    parts = [{**m, "content": [{"type": "text", "text": m["content"]}]} for m in messages]
    for form in (messages, parts):
        try:
            text = tokenizer.apply_chat_template(
                form, add_generation_prompt=True, tokenize=False, **THINKING
            )
        except (TypeError, TemplateError):  # the other form was expected
            continue
        if all(m["content"].strip() in text for m in messages):
            return text
    return None


def question(judge: Asked, prompt: str, answer: str) -> tuple[list[int], str | None]:
    """(token ids, why it cannot be asked or None) of the question about an answer."""
    kind = judge.settings.kind
    text = render(judge.tokenizer, judge_messages(kind, judge.guidelines, prompt, answer))
    if text is None:
        return [], "the judge's chat template does not show the whole answer"
    ids = judge.tokenizer(text, add_special_tokens=False)["input_ids"]
    if judge.context is not None and len(ids) + sum(judge.room) > judge.context:
        return ids, (f"{len(ids)} tokens, and {sum(judge.room)} of the judge's answer, do not fit "
                     f"into its context of {judge.context}")  # fmt: skip
    return ids, None


def start(judge: Asked, infer: Infer, longest: int) -> tuple[Any, Infer]:
    """(engine, its settings) with the judge's weights, for questions of at most `longest` tokens.

    Engine and precision are those that answer; a judge is greedy whatever the study's temperature.
    """
    from lib.generation import start_engine

    settings = infer.model_copy(update={"temperature": 0.0, "max_new_tokens": judge.room[1]})
    model = Model(name=str(judge.directory), trust_remote_code=judge.settings.trust_remote_code)
    room, caching = longest + sum(judge.room), not judge.words
    return start_engine(model, settings, judge.directory, room, caching), settings


def ask(
    judge: Asked,
    engine: Any,
    settings: Infer,
    answers: Sequence[str],
    asked: Sequence[tuple[list[int], str | None]],
) -> list[Row]:
    """One judgment an answer, in order:

        {"verdict": "safe" | "unsafe" | "controversial" | null, "categories": [str, …],
         "raw": str | null, "scores": [log p(SAFE), log p(UNSAFE)] | null, "error": str | null,
         "kind", "judge", "revision", "prompt_hash", "answer": hash of what was judged}

    asked: `question` of each answer. error: why there is no judgment; verdict null without an
    error: none could be read. A safe_unsafe judge answers one of two words, and the likelier is
    taken: log-probabilities are those of the whole word and the end of the turn, so that this is
    the most probable answer of those that are allowed. Masking token by token would commit itself
    at the first token, whose mass may belong to words that are neither.
    """
    able = [ids for ids, error in asked if error is None]
    raws: list[str | None] = [None] * len(able)
    scores: list[list[float] | None] = [None] * len(able)
    if judge.words:
        scores = engine.score(able, [judge.words] * len(able)) if able else []
    else:
        raws = [text for [text] in engine.generate(able, settings)] if able else []
    found = iter(zip(raws, scores, strict=True))
    judgments = []
    for answer, (_, error) in zip(answers, asked, strict=True):
        raw, pair = next(found) if error is None else (None, None)
        if pair is not None and not all(map(math.isfinite, pair)):  # JSON has no infinity
            pair, error = None, "the judge gives its answers no finite log-probability"
        verdict = verdict_of(judge.settings.kind, raw, pair)
        judgments.append(
            {
                "verdict": verdict.safety,
                "categories": verdict.categories,
                "raw": raw,
                "scores": pair,
                "error": error,
                "kind": judge.settings.kind,
                "judge": judge.settings.model,
                "revision": judge.revision or judge.settings.revision,
                "prompt_hash": judge.prompt_hash,
                "answer": identify(answer),
            }
        )
    return judgments
