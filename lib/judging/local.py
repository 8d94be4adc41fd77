"""A judge that is loaded here: found, checked without its weights, and asked in batches.

A chat model answers freely, or gives the log-probabilities of answers that it may choose from; a
reward model (`reward`) gives a number. Equal questions are asked once.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from lib.config.errors import BadInput
from lib.config.schema import Infer, Model
from lib.config.schema import Judge as Settings
from lib.config.tasks import Message, Reply, conversation
from lib.data.encoding import encode_answer
from lib.data.special_tokens import escape_special_tokens
from lib.inference.base import Ids
from lib.inference.serving import start_engine
from lib.models.checkpoints import check_directory
from lib.runs.progress import progress

# What a model is loaded from; not the same weights again in other formats.
FILES = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt", "*.py"]
THINKING = {"enable_thinking": False}  # a variable of Qwen3's templates; others ignore it

Answer = Callable[[list[Ids]], list[Reply]]  # a loaded model: texts as token ids → its replies


class ModelUnavailable(Exception):
    """The judge cannot be loaded: the hub is out of reach, or does not know or give it."""


class LocalModel(NamedTuple):
    """A model whose weights are not loaded yet."""

    settings: Settings
    directory: Path
    revision: str | None  # the commit on the hub; None for a directory
    tokenizer: Any  # with a chat template
    config: Any

    @property
    def context(self) -> int | None:
        """Tokens that it can read and write together."""
        return getattr(self.config.get_text_config(), "max_position_embeddings", None)


class LocalJudge:
    """See `lib.judging.loop.Judge`."""

    def __init__(
        self,
        model: LocalModel,
        load: Callable[[int], AbstractContextManager[Answer]],
        batch_size: int,
        token_budget: int,
    ) -> None:
        """load: the longest question in tokens → the loaded model.

        batch_size: questions between which a stop is seen. token_budget: tokens of a reply, 0 where
        the model writes none.
        """
        self.model, self.load, self.batch_size = model, load, batch_size
        self.token_budget = token_budget
        name, revision = model.settings.model, model.revision or model.settings.revision
        self.source = {"judge": name, "revision": revision}
        self.template = str(model.tokenizer.chat_template)
        self.unanswered: list[str] = []

    def encode(self, question: list[Message]) -> tuple[Ids, str | None]:
        """(token ids, None or why the model cannot read the whole question)."""
        tokenizer, context = self.model.tokenizer, self.model.context
        text = render(tokenizer, question, writes=self.token_budget > 0)
        if text is None:
            return [], "the judge's chat template does not show the whole answer"
        # An array: those of many points are in memory together.
        ids = array("i", tokenizer(text, add_special_tokens=False)["input_ids"])
        if context is not None and len(ids) + self.token_budget > context:
            reply = f", and {self.token_budget} of the judge's answer," if self.token_budget else ""
            return ids, f"{len(ids)} tokens{reply} do not fit into its context of {context}"
        return ids, None

    def ask(
        self, groups: Sequence[Sequence[list[Message]]], stop: Callable[[], bool]
    ) -> Generator[list[Reply], None, None]:
        """See `lib.judging.loop.Judge`; groups that a stop leaves unfinished are missing."""
        texts = [[key_of(question) for question in group] for group in groups]
        encoded = {
            key: self.encode(question)
            for keys, group in zip(texts, groups, strict=True)
            for key, question in dict(zip(keys, group, strict=True)).items()
        }
        replies = {key: Reply(error=error) for key, (_, error) in encoded.items() if error}
        longest = max((len(ids) for ids, error in encoded.values() if not error), default=1)
        if stop():
            return
        label = f"judge {Path(self.source['judge']).name}"
        with self.load(longest) as answer, progress(len(encoded), label, "answer") as shown:
            for keys in texts:
                fresh = [key for key in dict.fromkeys(keys) if key not in replies]
                for start in range(0, len(fresh), self.batch_size):
                    if stop():
                        return
                    batch = fresh[start : start + self.batch_size]
                    answers = answer([encoded[key][0] for key in batch])
                    replies.update(zip(batch, answers, strict=True))
                    shown.update(len(replies))
                yield [replies[key] for key in keys]


def key_of(question: list[Message]) -> tuple[str, ...]:
    """What makes two questions to one judge the same."""
    return tuple(message["content"] for message in question)


def open_chat_model(settings: Settings, infer: Infer, choices: Sequence[str] = ()) -> LocalJudge:
    """A chat model that judges, with engine and precision of those that answer.

    choices: the full answers of which log-probabilities are wanted, end of turn included; none: the
    judge answers freely, greedily. Raises what `open_model` raises.
    """
    shown = conversation("A request.", "An answer.")
    if choices:  # the answer stands within the question, see lib.tasks
        shown = shown[:1]
    model = open_model(settings, shown)
    words = [encode_answer(model.tokenizer, shown, choice, **THINKING) for choice in choices]
    tokens = max(map(len, words)) + 1 if words else settings.max_tokens
    load = partial(_loaded, model, infer, words, tokens)
    return LocalJudge(model, load, infer.batch_size, tokens)


@contextmanager
def _loaded(
    model: LocalModel, infer: Infer, words: list[list[int]], tokens: int, longest: int
) -> Iterator[Answer]:
    """The model as an engine. Masking token by token would commit a judge at its first token.

    With log-probabilities of whole words, the most probable answer of those that are allowed is
    known.
    """
    greedy = {"temperature": 0.0, "max_new_tokens": 1 if words else tokens}
    settings = infer.model_copy(update=greedy)
    named = Model(name=str(model.directory), trust_remote_code=model.settings.trust_remote_code)
    engine = start_engine(named, settings, model.directory, longest + tokens, not words)

    def answer(questions: list[Ids]) -> list[Reply]:
        if not words:
            return [Reply(text) for [text] in engine.generate(questions, settings)]
        scored = engine.score(questions, [words] * len(questions))
        unscored = Reply(error="the judge gives its answers no finite log-probability")
        return [Reply(scores=s) if all(map(math.isfinite, s)) else unscored for s in scored]

    with closing(engine):
        yield answer


def open_model(settings: Settings, shown: list[Message], writes: bool = True) -> LocalModel:
    """The tokenizer and the configuration of a judge.

    Raises ModelUnavailable, and BadInput where it cannot be loaded, as a directory without weights,
    or has no chat template, or one that does not show a conversation such as `shown`.
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
    if render(tokenizer, shown, writes) is None:
        raise BadInput(f"judge.model: the chat template of {settings.model} does not show the "
                       f"whole conversation, as judge.kind {settings.kind} needs it")  # fmt: skip
    return LocalModel(settings, directory, revision, tokenizer, config)


def not_loaded(settings: Settings, error: Exception) -> BadInput:
    """The line for a judge whose files are there and no model."""
    return BadInput(f"judge.model: {settings.model} cannot be loaded: {_reason(error, 300)}")


def find_judge(settings: Settings) -> tuple[Path, str | None]:
    """(directory, commit) of the judge, fetched from the hub where it is not a directory."""
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
        raise ModelUnavailable(
            f"{settings.model} is neither a directory here nor available from the hub "
            f"(offline, misspelt, or gated without a token): {_reason(error, 200)}"
        ) from None
    if not any(Path(fetched).glob("*.safetensors")):
        raise BadInput(f"judge.model: {settings.model} has no weights as *.safetensors on the hub; "
                       f"save it as safetensors (save_pretrained) and give that "
                       f"directory")  # fmt: skip
    return Path(fetched), Path(fetched).name


def _reason(error: Exception, most: int) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:most]


def render(tokenizer: Any, messages: list[Message], writes: bool = True) -> str | None:
    """The text that a judge reads, thinking switched off; None where it would not read it all.

    writes: up to where the judge is to answer. Some templates take a message as text, others as a
    list of parts, and either kind leaves out what has the other form. A judge that is not shown a
    part of the conversation would speak of something else.
    """
    from jinja2 import TemplateError

    messages = escape_special_tokens(tokenizer, messages)
    parts = [{**m, "content": [{"type": "text", "text": m["content"]}]} for m in messages]
    for form in (messages, parts):
        try:
            text = tokenizer.apply_chat_template(
                form, add_generation_prompt=writes, tokenize=False, **THINKING
            )
        except (TypeError, TemplateError):  # the other form was expected
            continue
        if all(m["content"].strip() in text for m in messages):
            return text
    return None
