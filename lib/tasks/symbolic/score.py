"""Answers and a reward model → the reward of each, in judgments_symbolic.jsonl of each point.

    {"id", "judgments": {"rewards": [float | null, …], "greedy_reward": float | null,
                         "judge": model name, "revision": commit | null}}

rewards: of the samples, in their order. Null: of an answer that the model cannot read whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lib.config.study import Point, Study
from lib.data.testsets import rows_of
from lib.judging.judgments import Unjudged, check_local, unjudged, write_judgments
from lib.judging.local import Local, Missing
from lib.judging.reward import RewardModel, open_reward
from lib.runs.progress import progress

Pair = tuple[str, str]  # question and answer


def check(study: Study, task: str, points: Sequence[Point], environ: Mapping[str, str]) -> None:
    """Raise BadInput for a model that gives no reward, where there are answers left to reward.

    One that is not to be had is no error: `score` says so.
    """
    check_local(study, task, points, open_reward)


def score(
    study: Study,
    task: str,
    points: Sequence[Point],
    environ: Mapping[str, str],
    say: Callable[[str], None],
    stop: Callable[[], bool],
) -> bool:
    """Reward the answers of the points; False where `stop()` ended it early.

    The reward model is loaded once for all of them, when no other model is in memory any more.
    A point that was rewarded whole is not rewarded again, and equal answers to a question are
    rewarded once. Without a reward model, and where it is not to be had, that is said and there are
    no rewards. Raises BadInput where it is no reward model.
    """
    settings, rows = study.config.judge, rows_of(study, task)
    if not points or not rows:
        return True
    if settings.model is None:
        say(f"{task}: judge.model is null, the answers stay without rewards")
        return True
    ready = unjudged(study, task, points, kind=settings.kind)
    if not ready:
        say(f"{task}: rewarded already")
        return True
    try:
        local = open_reward(settings)
    except Missing as missing:
        say(f"{task}: the reward model cannot be had, the answers stay without rewards: {missing}")
        return True
    if stop():
        return False
    questions = {row["id"]: row["prompt"]["question"] for row in rows}
    return _reward_all(task, questions, ready, local, study.config.infer.precision, say, stop)


def _reward_all(
    task: str,
    questions: Mapping[str, str],
    ready: Sequence[Unjudged],
    local: Local,
    precision: str,
    say: Callable[[str], None],
    stop: Callable[[], bool],
) -> bool:
    """Reward point after point with one model; False where `stop()` ended it early."""
    judge = {"judge": local.settings.model, "revision": local.revision or local.settings.revision}
    model = RewardModel(local, precision)
    known: dict[Pair, float | None] = {}
    try:
        for point, identity, made in ready:
            pairs = [(questions[m["id"]], a) for m in made for a in (*m["outputs"], m["greedy"])]
            fresh = [pair for pair in dict.fromkeys(pairs) if pair not in known]
            if not _reward(model, fresh, known, f"reward {point.name}", stop):
                return False
            found = iter([known[pair] for pair in pairs])
            judged = [
                {
                    "id": m["id"],
                    "judgments": {
                        "rewards": [next(found) for _ in m["outputs"]],
                        "greedy_reward": next(found),
                        **judge,
                    },
                }
                for m in made
            ]
            write_judgments(point, task, identity, judged)
            lost = sum(known[pair] is None for pair in pairs)
            say(f"{point.name}: {task}: {len(pairs) - lost} of {len(pairs)} answers rewarded")
    finally:
        model.close()
    return True


def _reward(
    model: Any,
    pairs: Sequence[Pair],
    known: dict[Pair, float | None],
    label: str,
    stop: Callable[[], bool],
) -> bool:
    """Put the rewards of these into `known`; False where `stop()` ended it early."""
    texts = [model.encode(*pair) for pair in pairs]
    known.update((pair, None) for pair, ids in zip(pairs, texts, strict=True) if ids is None)
    able = [place for place, ids in enumerate(texts) if ids is not None]
    with progress(len(able), label, "answer") as shown:
        for rewards in model.score([texts[place] for place in able]):
            known.update((pairs[able[i]], reward) for i, reward in rewards.items())
            shown.update(shown.count + len(rewards))
            if shown.count < len(able) and stop():
                return False
    return True
