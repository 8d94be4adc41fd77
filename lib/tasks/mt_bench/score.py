"""Answers and a judge → the same answers with a rating of each turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lib.tasks import Row
from lib.tasks.mt_bench.judging import Prompts, identify, judge_messages, rating_of


def score(
    rows: Sequence[Row],
    answers: Sequence[Row],
    prompts: Prompts,
    client: Any,
    stop: Callable[[], bool] = lambda: False,
) -> list[Row]:
    """The answers, in order, each with `judgments`, one a turn:

        {"rating": float | null, "parsed": bool, "raw": str | null, "judge": model name,
         "prompt_hash": of the whole prompt, "prompts_hash": of the words of all prompts,
         "error": str | null}

    raw null and error given: no answer of the judge could be had. client: a
    lib.judge.JudgeClient. Raises what its `ask` raises.
    """
    asked = [
        judge_messages(prompts, row, turn, made["outputs"])
        for row, made in zip(rows, answers, strict=True)
        for turn in (1, 2)
    ]
    replies = client.ask(asked, stop)
    judged = []
    for messages, reply in zip(asked, replies, strict=True):
        rating = rating_of(reply.text)
        judged.append(
            {
                "rating": rating,
                "parsed": rating is not None,
                "raw": reply.text,
                "judge": client.settings.model,
                "prompt_hash": identify(messages),
                "prompts_hash": prompts.hash,
                "error": reply.error,
            }
        )
    return [
        {**made, "judgments": judged[2 * i : 2 * i + 2]} for i, made in enumerate(answers)
    ]  # fmt: skip


def unrated(answers: Sequence[Row]) -> int:
    """Turns for which no answer of the judge could be had."""
    return sum(j["raw"] is None for made in answers for j in made["judgments"] or ())
