"""Answers and a local judge → a verdict on each, in judgments_safety.jsonl of each point."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any

from lib.config.study import Point, Study
from lib.config.tasks import Row
from lib.data.testsets import rows_of
from lib.judging.judgments import Unjudged, check_local, unjudged, write_judgments
from lib.judging.local import Missing
from lib.runs.progress import progress
from lib.tasks.safety.asking import Asked, ask, open_judge, question, start
from lib.tasks.safety.judging import read_guidelines


def check(study: Study, task: str, points: Sequence[Point], environ: Mapping[str, str]) -> None:
    """Raise BadInput for a judge that cannot be asked, where there are answers left to judge.

    One that is not to be had is no error: `score` says so.
    """
    check_local(study, task, points, open_judge)


def score(
    study: Study,
    task: str,
    points: Sequence[Point],
    environ: Mapping[str, str],
    say: Callable[[str], None],
    stop: Callable[[], bool],
) -> bool:
    """Judge the answers of the points; False where `stop()` ended it early.

    The judge is loaded once for all of them, when no other model is in memory any more. A point
    that was judged whole is not judged again. Where there is no judge, and where it is not to be
    had, that is said and the answers stay unscored: their rate is null, not 0.
    """
    rows, settings = rows_of(study, task), study.config.judge
    if not points:
        return True
    if not rows:
        say(f"{task}: no requests, nothing is scored")
        return True
    if settings.model is None:
        say(f"{task}: judge.model is null, the answers stay unscored")
        return True
    ready = unjudged(study, task, points, **asked_as(settings))
    if not ready:
        say(f"{task}: judged already")
        return True
    try:
        judge = open_judge(settings)
    except Missing as missing:
        say(f"{task}: the judge cannot be had, the answers stay unscored: {missing}")
        return True
    return _judge_all(study, task, rows, ready, judge, say, stop)


def asked_as(settings: Any) -> Row:
    """What the judgments depend on, beside the answers and the model that judges."""
    own = settings.kind == "safe_unsafe"  # a guard's words are in its chat template
    return {
        "kind": settings.kind,
        "prompt": read_guidelines(settings.prompt).hash if own else None,
        "max_tokens": None if own else settings.max_tokens,
    }


def _judge_all(
    study: Study,
    task: str,
    rows: Sequence[Row],
    ready: Sequence[Unjudged],
    judge: Asked,
    say: Callable[[str], None],
    stop: Callable[[], bool],
) -> bool:
    """Judge every answer of the points that are ready; False where `stop()` ended it early."""
    prompts = {row["id"]: row["prompt"] for row in rows}
    asked = [[question(judge, prompts[m["id"]], m["outputs"][0]) for m in made]
             for _, _, made in ready]  # fmt: skip
    longest = max((len(ids) for of_point in asked for ids, error in of_point if not error),
                  default=1)  # fmt: skip
    if stop():
        return False
    total = sum(map(len, asked))
    say(f"{task}: {total} answers for the judge {judge.settings.model}")
    engine, infer = start(judge, study.config.infer, longest)
    with closing(engine), progress(total, f"judge {task}", "answer") as shown:
        done = 0
        for (point, identity, made), questions in zip(ready, asked, strict=True):
            judged: list[Row] = []
            while len(judged) < len(made):
                if stop():
                    return False
                part = slice(len(judged), len(judged) + infer.batch_size)
                answers = [row["outputs"][0] for row in made[part]]
                found = ask(judge, engine, infer, answers, questions[part])
                judged += [
                    {"id": row["id"], "judgments": [one]}
                    for row, one in zip(made[part], found, strict=True)
                ]
                done += len(found)
                shown.update(done)
            write_judgments(point, task, identity, judged)
            lost = sum(row["judgments"][0]["verdict"] is None for row in judged)
            say(f"{point.name}: {task}: {len(judged) - lost} of {len(judged)} answers judged")
    return True
