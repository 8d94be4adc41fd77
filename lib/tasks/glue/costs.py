"""What is special to GLUE: confusion of labels, and where adapters spent their rank beside w.

From the predictions, and from usage.json and importance.json of each point, see
`lib.config.tasks.PointResult.records`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd

from lib.analysis.engine import Answers
from lib.analysis.evidence import Evidence
from lib.config.metrics import Pair
from lib.config.study import Study
from lib.config.tasks import PointResult, Row
from lib.tasks.glue.metrics import confusion
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
    labels = GLUE[task].labels
    sets = {}
    for name, label, predicted, at in _sets(rows, predictions):
        counts = confusion(label, predicted, len(labels))
        sets[name] = {
            "clusters": len({rows[place]["prompt"]["a"] for place in at}),
            "confusion": counts.tolist(),
            "majority": float(counts.sum(axis=1).max() / len(label)),
        }
    f1_of = labels[1] if len(labels) == 2 else "macro"
    return {"task": task, "labels": list(labels), "f1_of": f1_of, "sets": sets}


def _sets(
    rows: Sequence[Row], predictions: Sequence[Row]
) -> Iterator[tuple[str, np.ndarray, np.ndarray, list[int]]]:
    """Name, labels, predicted labels and places of each dev set of a point."""
    for name in dict.fromkeys(f"{row['task']}/{row['set']}" for row in rows):
        at = [i for i, row in enumerate(rows) if f"{row['task']}/{row['set']}" == name]
        label = np.array([rows[i]["label"] for i in at])
        yield name, label, np.array([predictions[i]["predicted"] for i in at]), at


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
        names = GLUE[one.name.partition("/")[0]].labels
        for place, point in enumerate(one.points):
            has = one.answered[place]
            label, predicted = (one.outcomes[k][place][has] for k in ("label", "predicted"))
            counts = confusion(label, predicted, len(names))
            for actual, of_label in zip(names, counts.tolist(), strict=True):
                total = sum(of_label)
                rows += [
                    {"point": point, "set": one.name, "actual": actual, "predicted": answer, "n": n,
                     "share": n / total if total else None}
                    for answer, n in zip(names, of_label, strict=True)
                ]  # fmt: skip
    return rows
