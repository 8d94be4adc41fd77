"""Figures of one point: its training, what samples buy, how they differ, and their rewards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from lib.config.tasks import PointResult
from lib.plotting.curves import learning_curve
from lib.plotting.figures import panels
from lib.plotting.shapes import Panel, Series, category, dodge
from lib.tasks.symbolic.comparison import answered
from lib.tasks.symbolic.evaluate import SHARES, STRATEGIES
from lib.tasks.symbolic.samples import judge_of

LABELS = {
    "pass": "pass@n: any sample is right (ceiling)",
    "best": "best of n by reward",
    "weighted": "vote weighted by reward",
    "majority": "majority of n",
}
# A set's name in a panel's title, of at most two lines.
SHORT = {"in_distribution": "in distribution", "same_templates": "GSM8K, same templates",
         "new_templates": "new templates", "all": "all questions"}  # fmt: skip
WHOLE = (-0.02, 1.02)


def point_figures(point: PointResult, eval_config: object) -> Iterator[tuple[str, Figure]]:
    """learning_curve, votes, unique, rewards: each where the point has what it shows."""
    if point.train_log:
        yield "learning_curve", learning_curve(point)
    if not answered(point) or not point.metrics["samples"]:
        return
    sets = point.metrics["sets"]
    if point.metrics["draws"]:
        yield "votes", _votes(point, sets)
    yield "unique", _unique(point, sets)
    if all(found["reward"] for found in sets.values()):
        yield "rewards", _rewards(point, sets)


def vote_panel(title: str, found: Mapping[str, Any], draws: Sequence[int]) -> Panel:
    """Accuracy over n of every strategy that is known, over all subsets; greedy as a line."""
    series = []
    known = [s for s in LABELS if any(_at(found, s, n)["value"] is not None for n in draws)]
    for i, strategy in enumerate(known):
        rates = [_at(found, strategy, n) for n in draws]
        columns = [[rate[key] for rate in rates] for key in ("value", "low", "high")]
        beside = [n * dodge(i, len(known)) for n in draws]
        style = category(list(LABELS).index(strategy))
        series.append(Series(LABELS[strategy], beside, *columns, style=style))
    return Panel(
        title,
        "samples n",
        "questions right (%)",
        series,
        percent="y",
        log2=True,
        xticks={n: str(n) for n in draws},
        levels={"greedy answer": [found["accuracy"]["value"]]},
    )


def _at(found: Mapping[str, Any], strategy: str, n: int) -> dict[str, Any]:
    return found["votes"][strategy]["subsets"][str(n)]


def _votes(point: PointResult, sets: Mapping[str, Any]) -> Figure:
    draws = point.metrics["draws"]
    drawn = [
        vote_panel(f"{SHORT[place]} ({found['rows']})", found, draws)
        for place, found in sets.items()
    ]
    note = (
        f"Of {point.metrics['samples']} samples a question, over all subsets of n, ties in "
        f"expectation; bars: {_level(point)} bootstrap intervals over templates; n is set side by "
        f"side."
    )
    if missing := [s for s in STRATEGIES if s not in _known(sets)]:
        note += f" Without rewards: no {' and no '.join(missing)}."
    return panels(drawn, f"What samples buy: {point.name}", note, columns=2)


def _known(sets: Mapping[str, Any]) -> set[str]:
    return {
        name
        for found in sets.values()
        for name, by_how in found["votes"].items()
        if any(rate["value"] is not None for rate in by_how["subsets"].values())
    }


def _unique(point: PointResult, sets: Mapping[str, Any]) -> Figure:
    """Share of questions by how many different numbers their samples end in."""
    drawn = []
    for place, found in sets.items():
        shares = {
            int(k): count / found["rows"] for k, count in found["unique"]["questions"].items()
        }
        bars = [(k - 0.4, 0.8, share) for k, share in shares.items()]
        drawn.append(
            Panel(
                f"{SHORT[place]} ({found['rows']})",
                "unique answers a question",
                "questions (%)",
                percent="y",
                xticks={k: str(k) for k in shares} if len(shares) <= 17 else None,
                bars=bars,
                bars_label="share of questions",
                remark=f"mean {found['unique']['mean']:.2f}",
            )
        )
    note = (
        f"{point.metrics['samples']} samples a question; 0: no sample holds a number. Numbers are "
        f"compared as numbers."
    )
    return panels(drawn, f"Unique answers: {point.name}", note, (2.75, 1.9), columns=2)


def _rewards(point: PointResult, sets: Mapping[str, Any]) -> Figure:
    """Distribution functions of the rewards of right and of wrong samples."""
    drawn = []
    for place, found in sets.items():
        known = [
            (f"{name} samples", table["quantiles"], category(i))
            for i, name in enumerate(("right", "wrong"))
            if (table := found["reward"][name])["samples"]
        ]
        auc = found["reward"]["auc"]["value"]
        drawn.append(
            Panel(
                f"{SHORT[place]} ({found['rows']})",
                "reward (logit)",
                "samples up to it (%)",
                [Series(name, x, SHARES, style=style) for name, x, style in known],
                percent="y",
                ylim=WHOLE,
                remark="" if auc is None else f"AUC {auc:.2f}",
            )
        )
    note = (
        "Quantiles of each 5 %. AUC: chance that a right sample has more reward than a wrong one "
        f"of its question, mean over questions with both; judge: {judge_of(point.predictions)}."
    )
    return panels(drawn, f"Rewards of right and wrong samples: {point.name}", note, columns=2)


def _level(point: PointResult) -> str:
    return f"{100 * point.metrics['level']:g} %"
