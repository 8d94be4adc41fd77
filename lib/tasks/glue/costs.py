"""What is special to GLUE: confusion of labels, and where adapters spent their rank beside w.

From the predictions, and from usage.json and importance.json of each point, see
`lib.config.tasks.PointResult.records`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import fmean
from typing import Any

import pandas as pd

from lib.analysis.confusion import confusion, confusion_rows
from lib.analysis.engine import Answers
from lib.analysis.evidence import Evidence
from lib.config.metrics import Pair
from lib.config.study import Study
from lib.config.tasks import PointResult, Row
from lib.tasks.glue.table import GLUE, main_set

NUMBERS = ("norm", "effective_rank")
Matrix = Mapping[str, Any]


def point_extras(
    rows: Sequence[Row], predictions: Sequence[Row], eval_config: Any
) -> dict[str, Any]:
    """What metrics.json says beside the metrics.

    {"task", "labels": names, "f1_of": the label that F1 is of, or "macro",
     "sets": {name: {"clusters": groups of rows that are independent, "confusion": k lists of k
              counts, "majority": share of the commonest label}}}
    """
    task = rows[0]["task"]
    kinds, sets = numbered(task), {}
    for part in dict.fromkeys(row["set"] for row in rows):
        own = [both for both in zip(rows, predictions, strict=True) if both[0]["set"] == part]
        label, predicted = ([made[key] for _, made in own] for key in ("label", "predicted"))
        counts = [list(c.values()) for c in confusion(label, predicted, kinds, kinds).values()]
        sets[f"{task}/{part}"] = {
            "clusters": len({row["prompt"]["a"] for row, _ in own}),
            "confusion": counts,
            "majority": max(map(sum, counts)) / len(own),
        }
    labels = list(kinds)
    f1_of = labels[1] if len(labels) == 2 else "macro"
    return {"task": task, "labels": labels, "f1_of": f1_of, "sets": sets}


def numbered(task: str) -> dict[str, int]:
    """The labels of a task by name."""
    return {name: number for number, name in enumerate(GLUE[task].labels)}


def pairs(study: Study, points: pd.DataFrame) -> list[Pair]:
    """Every two variants, each by the setting that stands for it: the best on validation rows."""
    evidence, of_variant = Evidence(study, points), defaultdict(list)
    for label, (place, _) in evidence.settings.items():
        of_variant[place.get("variant")].append(label)
    chosen = [evidence.choose(labels)[0] for labels in of_variant.values()]
    both = combinations([label for label in chosen if label is not None], 2)
    return [Pair("variants", later, first) for first, later in both]


def extras(answers: Answers) -> dict[str, list[dict[str, Any]]]:
    """Rows of the tables of `analysis.TABLES`."""
    results = answers.results["glue"]
    matrices = [row for result in results for row in _matrices(result, weights(results))]
    return {
        "adapters": [row for one in results if (row := _adapters(one, matrices))],
        "matrices": matrices,
        "confusion": _confusion(answers),
    }


def weights(results: Sequence[PointResult]) -> dict[str, dict[str, float]]:
    """Task → name of a matrix → mean w over the calibrated runs of the first such variant.

    w is measured before training: other methods stand beside it.
    """
    found: dict[str, dict[str, list[float]]] = {}
    first: dict[str, Any] = {}
    for result in results:
        made, task = result.records.get("importance"), result.config.data.task
        where = {a: v for a, v in result.values.items() if a not in ("seed", "task")}
        if made and first.setdefault(task, where) == where:
            for matrix in made["matrices"]:
                named = found.setdefault(task, defaultdict(list))
                named[matrix["name"]].append(matrix["w"])
    return {task: {name: fmean(every) for name, every in named.items()}
            for task, named in found.items()}  # fmt: skip


def _matrices(result: PointResult, w: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    task = result.config.data.task
    used = (result.records.get("usage") or {}).get("matrices") or ()
    return [
        {"point": result.name, "set": f"{task}/{main_set(task)}", "matrix": one["name"],
         "w": w.get(task, {}).get(one["name"]),
         **{key: one.get(key) for key in ("layer", "module", *NUMBERS, "rank")}}
        for one in used
    ]  # fmt: skip


def _adapters(result: PointResult, matrices: Sequence[Matrix]) -> dict[str, Any] | None:
    """What a run did with its adapters; None where it left no record."""
    usage, made = (result.records.get(name) or {} for name in ("usage", "importance"))
    own = [one for one in matrices if one["point"] == result.name]
    if not own and not made:
        return None
    row = {"point": result.name}
    row |= {f"{key}_follows_w": _correlation(own, key) for key in NUMBERS}
    row |= {key: usage.get(key) for key in ("calibration_seconds", "step_seconds")}
    if made:
        row |= {f"factor_{key}": made["spread"][key] for key in ("min", "max", "cv")}
        row |= {"normalise": made["normalise"], "uniform": "yes" if made["uniform"] else None}
    return row


def _correlation(matrices: Sequence[Matrix], key: str) -> float | None:
    known = pd.DataFrame(matrices, columns=["w", key], dtype=float).dropna()
    if len(known) < 3 or known.nunique().min() < 2:
        return None
    return float(known["w"].corr(known[key], method="spearman"))


def _confusion(answers: Answers) -> list[dict[str, Any]]:
    rows = []
    for one in answers.tests["glue"]:
        kinds = numbered(one.name.partition("/")[0])
        rows += confusion_rows(one, one.outcomes["predicted"], kinds, kinds)
    return [{**row, "predicted": row["answer"]} for row in rows]
