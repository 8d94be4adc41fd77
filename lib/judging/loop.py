"""Answers to a judge, its judgments to files: one loop for every task and every kind of judge.

What a judge is asked and how its replies are read is the task's `Judging`; how it is asked depends
on `judge.kind`: a server (`client`), a chat model or a reward model that is loaded here (`local`,
`reward`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, suppress
from itertools import islice
from typing import Protocol

from lib.config import tasks
from lib.config.errors import BadInput, listed
from lib.config.study import Point, Study
from lib.config.tasks import Judging, Message, Reply, Row
from lib.data.testsets import rows_of, section_of
from lib.judging.cache import Cache
from lib.judging.client import JudgeClient, read_key
from lib.judging.judgments import unjudged, whole_mark, write_judgments
from lib.judging.local import ModelUnavailable, open_chat_model
from lib.judging.reward import open_reward_model

Say = Callable[[str], None]
Stop = Callable[[], bool]


class Judge(Protocol):
    """A judge that can be asked."""

    source: Row  # {"judge": name, "revision": commit of its weights, or what the study says}
    template: str  # its chat template; empty where a server applies it
    unanswered: list[str]  # why questions have no reply, where another run may get one

    def ask(
        self, groups: Sequence[Sequence[list[Message]]], stop: Stop
    ) -> Generator[list[Reply], None, None]:
        """A reply to each question, group by group; after `stop()` the rest may be missing."""


def check_judge(
    study: Study,
    task: str,
    points: Sequence[Point],
    environ: Mapping[str, str],
    force: bool = False,
) -> None:
    """Raise BadInput for a judge that cannot judge, where answers of these points are unjudged.

    Asked before anything is predicted; `force`: all anew. One that is unavailable is no error:
    `judge_answers` says so.
    """
    judged = (whole_mark(point, task) and not force for point in points)
    if study.config.judge.model is None or not rows_of(study, task) or all(judged):
        return
    with suppress(ModelUnavailable):
        open_judge(study, judging_of(study, task), environ)


def judging_of(study: Study, task: str) -> Judging:
    """How the answers of a task are judged in this study. Raises BadInput for bad prompts."""
    return tasks.get(task).judging(study.config.judge, section_of(study.config, task))


def open_judge(study: Study, judging: Judging, environ: Mapping[str, str]) -> Judge:
    """The study's judge, checked, its weights not yet loaded and its server not yet asked.

    Raises ModelUnavailable, and BadInput for a model that is no such judge, or a key that is not
    set.
    """
    settings, infer = study.config.judge, study.config.infer
    if settings.kind == "rating":
        cache = Cache(study.directory / "judge.jsonl")
        return JudgeClient(settings, read_key(settings, environ), cache)
    if settings.kind == "reward":
        return open_reward_model(settings, infer)
    return open_chat_model(settings, infer, judging.choices)


def judge_answers(
    study: Study,
    task: str,
    points: Sequence[Point],
    environ: Mapping[str, str],
    say: Say,
    stop: Stop,
) -> bool:
    """Have the answers of the points judged by one judge; False where `stop()` ended it early.

    Nothing is asked twice: points that are judged are left alone, and a server's replies are
    cached. Without a judge, or where it is unavailable, that is said, and the answers stay
    unjudged. Raises BadInput, after all replies are written, where another run could get more.
    """
    if not points:
        return True
    rows = {row["id"]: row for row in rows_of(study, task)}
    if not rows or study.config.judge.model is None:
        missing = "judge.model is null" if rows else "no rows"
        say(f"{task}: {missing}, the answers stay unjudged")
        return True
    judging = judging_of(study, task)
    ready = unjudged(study, task, points, judging.identity)
    if not ready:
        say(f"{task}: judged already")
        return True
    try:
        judge = open_judge(study, judging, environ)
    except ModelUnavailable as error:
        say(f"{task}: the judge is unavailable, the answers stay unjudged: {error}")
        return True
    asked = [
        [judging.questions(rows[prediction["id"]], prediction) for prediction in predictions]
        for *_, predictions in ready
    ]
    groups = [[question for some in of_point for question in some] for of_point in asked]
    say(f"{task}: {sum(map(len, groups))} questions to the judge {judge.source['judge']}")
    finished = 0
    with closing(judge.ask(groups, stop)) as answers:
        # Where a stop ended the answers early, the last points have none.
        of_points = zip(answers, ready, asked, strict=False)
        for replies, (point, identity, predictions), questions in of_points:
            finished += 1
            following = iter(replies)
            judged = [
                {
                    "id": prediction["id"],
                    "judgments": judging.judgments(
                        prediction, own, list(islice(following, len(own))), judge
                    ),
                }
                for prediction, own in zip(predictions, questions, strict=True)
            ]
            whole = not any(reply.ask_again for reply in replies)
            write_judgments(point, task, identity, judged, whole)
            valid = sum(map(judging.is_valid, replies))
            reasons = listed(dict.fromkeys(r.error for r in replies if r.error), 3)
            why = f" ({reasons})" if reasons else ""
            say(f"{point.name}: {task}: {valid} of {len(replies)} replies are judgments{why}")
    if judge.unanswered and not stop():
        raise BadInput(
            f"judge: {len(judge.unanswered)} replies are missing "
            f"({listed(dict.fromkeys(judge.unanswered), 3)}); run stage 3 again for these alone"
        )
    return finished == len(ready) and not judge.unanswered
