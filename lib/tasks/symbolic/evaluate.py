"""Metrics of one point on the test problems. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lib.analysis.rates import mean, rate, unknown
from lib.analysis.votes import best, majority, passed, reward_auc, subsets, unique, weighted
from lib.config.tasks import Row
from lib.tasks.symbolic.samples import Samples, places, read_samples, resamples, templates

STRATEGIES = ("majority", "best", "weighted", "pass")
# What is gained over one sample (None), or over another strategy.
GAINS = {"majority": None, "best": None, "weighted": None, "best_over_majority": "majority"}
SHARES = tuple(i / 20 for i in range(21))  # at which quantiles of rewards are given
# strategy → "first" or "subsets" → n → (Q,) what it is worth a question, None where unknown
Votes = dict[str, dict[str, dict[int, "np.ndarray | None"]]]


def evaluate(rows: list[Row], predictions: list[Row], eval_config: Any) -> dict[str, Any]:
    """metrics.json of one point.

        {"rows", "samples": a question, "draws": [n, …], "judge_unread": answers without a reward,
         "metrics": {"accuracy": of greedy answers, all sets together},
         "sets": {set: {
             "rows", "templates": distinct,
             "accuracy": rate of the greedy answers,
             "no_number": {"greedy", "samples": answers without a number},
             "votes": {strategy: {"first" | "subsets": {n: rate}}},
             "first_seen": {n: rate},           majority of the first n, ties to the first seen
             "gain": {see GAINS: mean},         at the largest n
             "unique": {"mean", "questions": {answers: questions}},
             "solvable": questions with a right sample,
             "failures": {"majority", "best": those of them where it chose wrong | null},
             "reward": {"right" | "wrong": {"samples", "mean", "quantiles"}, "auc", "questions"}
         }, …, "all": …},
         "subsets": {n: {"count", "all": whether every one}}, "level", "resamples"}

    rate, mean: {"value", "low", "high", "method"}; see `analysis.rates`. Strategies: STRATEGIES;
    "first" is of the first n samples, "subsets" over all subsets of n; both give ties in
    expectation. Intervals resample templates, or questions where each has a template of its own;
    the samples of a question always stay together. Without samples there are no votes, without
    rewards nothing that needs them: those numbers are null. A failure: the strategy chose wrong
    among all samples (of equals the first seen) although a right one is there. auc: chance that a
    right sample has more reward than a wrong one of its question; the mean over questions with
    both. quantiles: at SHARES, linear between order statistics. An answer without a number is wrong
    and does not vote. Raises BadInput for rows with unequal n and where a vote asks for more
    samples than there are.
    """
    samples = read_samples(predictions, eval_config.draws)
    draws = [n for n in eval_config.draws if n <= samples.count]
    clusters = templates(rows)
    counts, level = resamples(clusters, eval_config), eval_config.level
    shares, taken = votes(samples, draws, eval_config.seed)
    sets = {
        name: _of_set(at, rows, predictions, samples, shares, clusters, counts[:, at], level)
        for name, at in places(rows).items()
    }
    whole = rate(samples.greedy.astype(float), counts, len(set(clusters)), level)
    rewards = samples.rewards
    return {
        "rows": len(rows),
        "samples": samples.count,
        "draws": draws,
        "judge_unread": None if rewards is None else int(np.isneginf(rewards).sum()),
        "metrics": {"accuracy": whole},
        "sets": sets,
        "subsets": taken,
        "level": level,
        "resamples": eval_config.resamples,
    }


def votes(samples: Samples, draws: Sequence[int], seed: int) -> tuple[Votes, dict[str, Any]]:
    """Per question (Q,) what each strategy is worth, and how many subsets it was averaged over.

    {strategy: {"first" | "subsets": {n: (Q,) | None}}}; None without rewards. "first_seen" has only
    "first". The second answer is "subsets" of `evaluate`: all of them are counted but by the
    weighted vote, where there are more than `analysis.votes.ENUMERATED`; `seed` is of those drawn.
    """
    names = ("majority", "first_seen", *STRATEGIES[1:])
    found: Votes = {
        name: {"first": {}} | ({} if name == "first_seen" else {"subsets": {}}) for name in names
    }
    taken = {}
    for n in draws:
        members, whole = subsets(samples.count, n, seed=seed)
        taken[str(n)] = {"count": len(members), "all": whole}
        first = samples.first(n)
        found["first_seen"]["first"][n] = first.is_right("majority").astype(float)
        for how, some, chosen in (("first", first, np.ones((1, n), dtype=bool)),
                                  ("subsets", samples, members)):  # fmt: skip
            codes, right, rewards = some.codes, some.right, some.rewards
            none = rewards is None
            found["majority"][how][n] = majority(codes, right, n)
            found["pass"][how][n] = passed(right, n)
            found["best"][how][n] = None if none else best(right, rewards, n)
            found["weighted"][how][n] = None if none else weighted(codes, right, rewards, chosen)
    return found, taken


def _of_set(
    at: np.ndarray,
    rows: Sequence[Row],
    predictions: Sequence[Row],
    samples: Samples,
    shares: Votes,
    clusters: Sequence[str],
    counts: np.ndarray,
    level: float,
) -> dict[str, Any]:
    """See `evaluate`; at: places of the set's rows, counts: (R, len(at)) their multiplicities."""
    units = len({clusters[i] for i in at})

    def rated(values: np.ndarray | None) -> dict[str, Any]:
        return unknown() if values is None else rate(values[at].astype(float), counts, units, level)

    def gained(strategy: str, over: str | None) -> dict[str, Any]:
        found = shares[strategy.partition("_")[0]]["subsets"]
        most = max(found, default=None)
        if most is None or found[most] is None:
            return unknown()
        before = shares[over]["subsets"][most] if over else samples.right.mean(axis=1)
        return mean((found[most] - before)[at], counts, level)

    kinds = unique(samples.codes)[at]
    solvable = samples.solvable[at]
    failed = {name: int((solvable & ~samples.is_right(name)[at]).sum()) for name in samples.chosen}
    return {
        "rows": len(at),
        "templates": units,
        "accuracy": rated(samples.greedy),
        "no_number": {
            "greedy": sum(predictions[i]["greedy_answer"] is None for i in at),
            "samples": int((samples.codes[at] < 0).sum()),
        },
        "votes": {
            name: {
                how: {str(n): rated(values) for n, values in by_n.items()}
                for how, by_n in shares[name].items()
            }
            for name in STRATEGIES
        },
        "first_seen": {str(n): rated(v) for n, v in shares["first_seen"]["first"].items()},
        "gain": {name: gained(name, over) for name, over in GAINS.items()},
        "unique": {
            "mean": float(kinds.mean()) if samples.count else None,
            "questions": {str(k): int((kinds == k).sum()) for k in range(samples.count + 1)}
            if samples.count
            else {},
        },
        "solvable": int(solvable.sum()) if samples.count else None,
        "failures": {name: failed.get(name) for name in ("majority", "best")},
        "reward": _rewards(samples, at, counts, level),
    }


def _rewards(
    samples: Samples, at: np.ndarray, counts: np.ndarray, level: float
) -> dict[str, Any] | None:
    """Rewards of right and of wrong samples, and how well they tell the two apart; None: none."""
    if samples.rewards is None:
        return None
    right, rewards = samples.right[at], samples.rewards[at]
    known, table = np.isfinite(rewards), {}
    for name, those in (("right", right & known), ("wrong", ~right & known)):
        found = rewards[those]
        quantiles = np.quantile(found, SHARES).tolist() if len(found) else None
        table[name] = {
            "samples": len(found),
            "mean": float(found.mean()) if len(found) else None,
            "quantiles": quantiles,
        }
    auc = reward_auc(right, rewards)
    both = ~np.isnan(auc)
    found = mean(auc[both], counts[:, both], level)
    return {**table, "auc": found, "questions": int(both.sum())}
