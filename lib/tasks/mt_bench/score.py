"""Answers and a judge → a rating of each turn, in judgments_mt_bench.jsonl of each point."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from lib.config.errors import BadInput, listed
from lib.config.study import Point, Study
from lib.config.tasks import Row
from lib.data.testsets import rows_of
from lib.judging.client import open_judge, read_key
from lib.judging.judgments import unjudged, write_judgments
from lib.tasks.mt_bench.judging import Prompts, identify, judge_messages, rating_of, read_prompts


def check(study: Study, task: str, points: Sequence[Point], environ: Mapping[str, str]) -> None:
    """Raise BadInput where the judge's key is named and not there."""
    if study.config.judge.url:
        read_key(study.config.judge, environ)


def score(
    study: Study,
    task: str,
    points: Sequence[Point],
    environ: Mapping[str, str],
    say: Callable[[str], None],
    stop: Callable[[], bool],
) -> bool:
    """Rate the answers of the points, all in one go; False where `stop()` ended it early.

    What the cache of the study has is not asked again. A point whose ratings are not whole gets
    what there is and no done mark, so that another call asks for the rest. Without a judge, or
    without questions, nothing is rated. Raises BadInput, once all that was had is written, where
    another call could have more; what the judge refuses to rate stays unrated.
    """
    rows, settings = rows_of(study, task), study.config.judge
    if not rows or not points:
        return True
    if settings.url is None:
        say(f"{task}: judge.url is null, the answers stay unrated")
        return True
    prompts = read_prompts(getattr(study.config, task).judge_prompts)
    asked_as = {"max_tokens": settings.max_tokens, "prompts": prompts.hash}
    ready = unjudged(study, task, points, **asked_as)
    if not ready:
        say(f"{task}: judged already")
        return True
    client = open_judge(settings, environ, study.directory / "judge.jsonl")
    asked = [row for *_, made in ready for row in rows[: len(made)]]
    answers = [row for *_, made in ready for row in made]
    judged = iter(rated(asked, answers, prompts, client, stop))
    for point, identity, made in ready:
        own = list(islice(judged, len(made)))
        reasons = [j["error"] for row in own for j in row["judgments"] if j["raw"] is None]
        if reasons:
            write_judgments(point, task, identity, own, whole=False)
            why = listed(dict.fromkeys(reasons), 3)
            say(f"{point.name}: {task}: {len(reasons)} of {2 * len(own)} turns unrated ({why})")
        else:
            write_judgments(point, task, identity, own)
            unread = sum(not j["parsed"] for row in own for j in row["judgments"])
            more = f", {unread} of them without a rating in 1 to 10" if unread else ""
            say(f"{point.name}: {task}: {2 * len(own)} turns judged{more}")
    if client.lacking and stop():
        return False
    if client.lacking:
        raise BadInput(
            f"judge: {len(client.lacking)} ratings could not be had "
            f"({listed(dict.fromkeys(client.lacking), 3)}); run stage 3 again for these alone"
        )
    return True


def rated(
    rows: Sequence[Row],
    answers: Sequence[Row],
    prompts: Prompts,
    client: Any,
    stop: Callable[[], bool] = lambda: False,
) -> list[Row]:
    """{"id", "judgments"} of each answer, in order; judgments, one a turn:

        {"rating": float | null, "parsed": bool, "raw": str | null, "judge": model name,
         "revision": str | null, "prompt_hash": of the whole prompt,
         "prompts_hash": of the words of all prompts, "error": str | null}

    raw null and error given: no answer of the judge could be had. client: a
    lib.judging.client.JudgeClient. Raises what its `ask` raises.
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
                "revision": client.settings.revision,
                "prompt_hash": identify(messages),
                "prompts_hash": prompts.hash,
                "error": reply.error,
            }
        )
    return [
        {"id": made["id"], "judgments": judged[2 * i : 2 * i + 2]} for i, made in enumerate(answers)
    ]  # fmt: skip
