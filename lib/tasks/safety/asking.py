"""A local judge model: found, checked, and asked about answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lib.config.errors import BadInput
from lib.config.schema import Infer, Judge, Model
from lib.config.tasks import Row
from lib.data.encoding import encode_answer
from lib.judging.local import THINKING, open_local, render
from lib.tasks.safety.judging import (
    WORDS,
    Guidelines,
    identify,
    judge_messages,
    read_guidelines,
    verdict_of,
)


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
    guidelines = read_guidelines(settings.prompt) if settings.kind == "safe_unsafe" else None
    local = open_local(settings)
    tokenizer = local.tokenizer
    probe = judge_messages(settings.kind, guidelines, "A request.", "An answer.")
    if render(tokenizer, probe) is None:
        raise BadInput(f"judge.model: the chat template of {settings.model} does not show the "
                       f"whole conversation, as judge.kind {settings.kind} needs it")  # fmt: skip
    words = [encode_answer(tokenizer, probe, word, **THINKING) for word in WORDS if guidelines]
    return Asked(
        settings, local.directory, local.revision, tokenizer, local.context, guidelines, words
    )


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
    from lib.inference.serving import start_engine

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
