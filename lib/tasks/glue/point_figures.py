"""Figures of one point: its training, what it confuses, and where its adapters changed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from lib.config.tasks import PointResult
from lib.plotting.curves import trained, validated
from lib.plotting.figures import heatmap, panels
from lib.plotting.shapes import Panel, Series, Table, category, thin
from lib.runs.train_log import curve, diverged_at
from lib.tasks.glue.significance import measured
from lib.tasks.glue.table import set_name

LOSS = "cross-entropy (nats a row)"
TERMS = {"penalty": "penalty, α included", "orthogonality": "orthogonality term"}
Matrices = Sequence[Mapping[str, Any]]


def point_figures(point: PointResult, eval_config: Any) -> Iterator[tuple[str, Figure]]:
    """learning_curve, confusion, matrices: each where the point has what it shows."""
    if point.train_log:
        yield "learning_curve", _learning_curve(point)
    if measured(point):
        task, labels = point.metrics["task"], point.metrics["labels"]
        tables = [
            confusion_table(set_name(task, part), labels, found["confusion"])
            for part, found in point.metrics["sets"].items()
        ]
        yield "confusion", confusion_figure(tables, f"Confusion: {point.name}", _rates(point), 2)
    used = (point.records.get("usage") or {}).get("matrices")
    if used:
        weights = {
            one["name"]: one["w"]
            for one in (point.records.get("importance") or {}).get("matrices", ())
        }
        matrices = [{**one, "w": weights.get(one["name"])} for one in used]
        shown = [
            ("importance w", "w"),
            ("change ‖Δ‖ (Frobenius norm)", "norm"),
            ("effective rank of Δ", "effective_rank"),
        ]
        drawn = [matrix_table(name, matrices, key) for name, key in shown]
        yield (
            "matrices",
            matrix_figure(
                [table for table in drawn if table], f"Where the adapters changed: {point.name}"
            ),
        )


def confusion_table(title: str, labels: Sequence[str], counts: Sequence[Sequence[float]]) -> Table:
    """Shares of each true label's rows, with the counts beneath."""
    cells, texts = [], []
    for row in counts:
        total = sum(row)
        shares = [count / total if total else None for count in row]
        cells.append(shares)
        texts.append(
            [
                "" if share is None else f"{100 * share:.1f}\n({count:g})"
                for share, count in zip(shares, row, strict=True)
            ]
        )
    names = [label.replace("_", " ") for label in labels]
    return Table(title, names, [name.replace(" ", "\n") for name in names], cells, texts)


def confusion_figure(tables: Sequence[Table], title: str, note: str, columns: int) -> Figure:
    """Confusion matrices on one scale from 0 to 100 %."""
    labels = ("predicted label", "true label", "% of row")
    return heatmap(tables, title, *labels, f"Each row adds up to 100 %. {note}", (0, 1), columns)


def matrix_table(title: str, matrices: Matrices, key: str) -> Table | None:
    """One number of each adapted matrix, layers down and modules across; None without any.

    Cells are shares of the table's largest number, so that tables of different units stand side by
    side; the numbers are their texts.
    """
    known = [one[key] for one in matrices if one[key] is not None]
    largest = max(known, default=0.0)
    if not known:
        return None
    layers = sorted({_layer(one) for one in matrices})
    modules = list(dict.fromkeys(one["module"] for one in matrices))
    by_place = {(_layer(one), one["module"]): one[key] for one in matrices}
    digits = 0 if largest >= 100 else max(0, 2 - math.floor(math.log10(largest or 1)))
    form = f".{digits}f" if digits <= 4 else ".1e"  # narrow enough for a cell
    cells, texts = [], []
    for layer in layers:
        row = [by_place.get((layer, module)) for module in modules]
        cells.append([v if v is None else v / (largest or 1.0) for v in row])
        texts.append(["" if v is None else f"{v:{form}}" for v in row])
    names = ["–" if layer < 0 else str(layer) for layer in layers]
    return Table(title, names, [_short(module) for module in modules], cells, texts)


def matrix_figure(tables: Sequence[Table], title: str, note: str = "", columns: int = 3) -> Figure:
    """Tables of `matrix_table`, each coloured from 0 to its own largest number."""
    text = f"Colours: from 0 to each panel's own largest number. {note}".strip()
    labels = ("adapted matrix", "layer", "% of largest")
    return heatmap(tables, title, *labels, text, (0, 1), columns)


def _layer(matrix: Mapping[str, Any]) -> int:
    return -1 if matrix["layer"] is None else matrix["layer"]


def _short(module: str) -> str:
    """`attention.self.query_proj` → `query`; `attention.output.dense`: `attention`, `output`."""
    plain = ("self", "dense", "mlp", "self_attn")
    words = [word for word in module.split(".") if word not in plain]
    last = "\n".join(words[-2:]) if words[-1:] == ["output"] else words[-1] if words else module
    return last.removesuffix("_proj")


def _rates(point: PointResult) -> str:
    each = []
    for part, found in point.metrics["sets"].items():
        told = []
        for metric, name in (("accuracy", "accuracy"), ("f1", f"F1 ({point.metrics['f1_of']})")):
            one = found["metrics"][metric]
            if one["value"] is None:
                continue
            text = f"{name} {100 * one['value']:.1f}"
            if one["low"] is not None:
                text += f" [{100 * one['low']:.1f}, {100 * one['high']:.1f}]"
            told.append(f"{text} %")
        each.append(f"{set_name(point.metrics['task'], part)}: {', '.join(told)}.")
    return "In brackets: rows. " + " ".join(each).replace("_", " ")


def _learning_curve(point: PointResult) -> Figure:
    """Loss, accuracy, and what adapters add to the loss; validation where it was taken."""
    loss = [*trained(point, "loss"), *validated(point, "validation_loss", "rows")]
    drawn = [Panel("loss", "optimizer step", LOSS, loss)]
    right = [*trained(point, "train_accuracy"), *validated(point, "validation_accuracy", "rows")]
    if right:
        drawn.append(Panel("accuracy", "optimizer step", "accuracy (%)", right, percent="y"))
    for i, (key, name) in enumerate(TERMS.items()):
        steps, values = curve(point, key)
        if steps:
            line = Series(name, *thin(steps, values, 60), style=category(2 + i))
            line.marked = len(steps) == 1
            drawn.append(Panel(name, "optimizer step", "added to the loss (nats)", [line]))
    if (broken := diverged_at(point)) is not None:
        for panel in drawn:
            panel.series[0].absent = [(broken, "diverged")]
    title = f"Training: {point.name}" + f" ({point.status})" * (point.status != "done")
    return panels(drawn, title, "", (2.5, 2.0))
