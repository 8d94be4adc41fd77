"""Outcomes of templated problems: what each question's answers and samples are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lib.analysis.statistics import percentile_interval
from lib.analysis.votes import best, majority, passed, reward_auc, subsets, unique, weighted
from lib.config.tasks import Row
from lib.tasks.symbolic.metrics import ALL, AWAY, HOME, SHARES, TABLES, is_tuned, metrics
from lib.tasks.symbolic.samples import Samples, read_samples

if TYPE_CHECKING:
    from lib.analysis.engine import Answers
    from lib.analysis.items import TestSet


def outcomes(
    rows: Sequence[Row], predictions: Sequence[Row], eval_config: Any
) -> dict[str, Sequence[Any]]:
    """Columns of the items of one point; what needs samples or rewards is nan without them.

    correct, parsed                  of the greedy answer; one without a number is wrong
    parsed_samples, one_sample       share of the samples with a number, and of the right ones
    majority_4, best_4, …            see `lib.tasks.symbolic.metrics.metrics`
    chosen_majority, chosen_best     whether the sample chosen of all is right, ties to first seen
    majority_gain, best_gain, weighted_gain   at the largest n
    unique, solvable                 different numbers; whether a sample is right
    majority_failed, best_failed     whether the choice is wrong although a right sample is there
    reward_auc                       chance that a right sample has more reward than a wrong one,
                                     of questions with both

    Raises BadInput for rows with unequal n and where a vote asks for more samples than there are.
    """
    samples = read_samples(predictions, eval_config.draws)
    nothing = np.full(len(rows), np.nan)
    found: dict[str, Any] = {
        "set": [row["set"] for row in rows],
        "item": [row["id"] for row in rows],
        # A problem and the instances of the template made from it are one cluster.
        "cluster": [str(row.get("template") or f"row {row['id']}") for row in rows],
        **dict.fromkeys([metric.needs[0] for metric in metrics(eval_config)], nothing),
        "correct": samples.greedy.astype(float),
        "parsed": [float(one["greedy_answer"] is not None) for one in predictions],
    }
    if not samples.count:
        return found
    solvable = samples.solvable
    found |= {
        "parsed_samples": (samples.codes >= 0).mean(axis=1),
        "one_sample": samples.right.mean(axis=1),
        "unique": unique(samples.codes).astype(float),
        "solvable": solvable.astype(float),
    } | votes(samples, eval_config.draws, eval_config.seed)
    for name in samples.chosen:
        right = samples.is_right(name)
        found[f"chosen_{name}"] = right.astype(float)
        found[f"{name}_failed"] = (solvable & ~right).astype(float)
    most = max(eval_config.draws)
    found["majority_gain"] = found[f"majority_{most}"] - found["one_sample"]
    found["best_gain"] = found[f"best_{most}"] - found[f"majority_{most}"]
    found["weighted_gain"] = found[f"weighted_{most}"] - found["one_sample"]
    if samples.rewards is not None:
        found["reward_auc"] = reward_auc(samples.right, samples.rewards)
    return found


def votes(samples: Samples, draws: Sequence[int], seed: int) -> dict[str, np.ndarray]:
    """(Q,) what each strategy is worth a question, over all subsets of n and of the first n.

    Of more than `lib.analysis.votes.ENUMERATED` subsets the weighted vote counts drawn ones; `seed`
    is of those. What needs rewards is missing without them.
    """
    found = {}
    for n in draws:
        members, _ = subsets(samples.count, n, seed=seed)
        first = samples.first(n)
        found[f"first_seen_{n}"] = first.is_right("majority").astype(float)
        for ending, some, chosen in (("", samples, members),
                                     ("_first", first, np.ones((1, n), dtype=bool))):  # fmt: skip
            codes, right, rewards = some.codes, some.right, some.rewards
            found[f"majority_{n}{ending}"] = majority(codes, right, n)
            found[f"pass_{n}{ending}"] = passed(right, n)
            if rewards is not None:
                found[f"best_{n}{ending}"] = best(right, rewards, n)
                found[f"weighted_{n}{ending}"] = weighted(codes, right, rewards, chosen)
    return found


# -- tables of the study ---------------------------------------------------------------------------


def extras(answers: Answers) -> dict[str, pd.DataFrame]:
    """transfer, unique_answers, rewards."""
    points = {point.name: point for point in answers.study.points()}
    sets = {one.name: one for one in answers.tests["symbolic"]}
    whole = sets.get(ALL) or next(iter(sets.values()), None)
    done = [one for one in answers.results["symbolic"] if one.status == "done" and one.predictions]
    rows: dict[str, list[Row]] = {name: [] for name in TABLES}
    for result in done:
        tuned = "yes" if is_tuned(points[result.name]) else "no"
        rows["transfer"] += _transfer(result.name, tuned, sets, whole,
                                      answers.study.config.evaluate.level)  # fmt: skip
        samples = read_samples(result.predictions)
        if samples.count:
            rows["unique_answers"] += _unique_answers(result.name, samples)
        if samples.rewards is not None:
            rows["rewards"] += _rewards(result.name, samples)
    return {name: pd.DataFrame(rows[name], columns=list(TABLES[name])) for name in TABLES}


def _transfer(
    point: str, tuned: str, sets: Mapping[str, TestSet], whole: TestSet | None, level: float
) -> list[Row]:
    """Rows of `transfer`; templates are resampled, one that both sets have counts as one."""
    found = []
    for name in AWAY if HOME in sets else ():
        if name not in sets:
            continue
        sides = []
        for part in (sets[HOME], sets[name]):
            place = part.points.index(point)
            right, counts = part.outcomes["correct"][place], part.counts(place)
            with np.errstate(invalid="ignore", divide="ignore"):
                resampled = counts @ right.astype(counts.dtype) / counts.sum(axis=1)
            sides.append((float(right.mean()), resampled.astype(float)))
        (one, ours), (other, theirs) = sides
        low, high = percentile_interval(ours - theirs, level) or (None, None)
        found.append({"point": point, "set": name, "tuned": tuned, "difference": one - other,
                      "difference_low": low, "difference_high": high})  # fmt: skip
    return found


def _unique_answers(point: str, samples: Samples) -> list[Row]:
    counts = np.bincount(unique(samples.codes), minlength=samples.count + 1)
    return [{"point": point, "answers": answers, "questions": int(count),
             "share": count / counts.sum()}
            for answers, count in enumerate(counts.tolist())]  # fmt: skip


def _rewards(point: str, samples: Samples) -> list[Row]:
    found = []
    known = np.isfinite(samples.rewards)
    for word, those in (("yes", samples.right & known), ("no", ~samples.right & known)):
        rewards = samples.rewards[those]
        for share in SHARES if len(rewards) else ():
            found.append({"point": point, "right": word, "samples": len(rewards),
                          "mean": float(rewards.mean()), "share": share,
                          "reward": float(np.quantile(rewards, share))})  # fmt: skip
    return found
