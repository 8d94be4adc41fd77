"""The losses and their gradients as functions of the margin, from a table of the real functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from lib.losses import label_of, symbol_of
from lib.plotting.figures import panels
from lib.plotting.shapes import Panel, Series, ordinal


def loss_figure(curves: Mapping[str, Any]) -> Figure:
    """Loss and its gradient over the margin, one column a variant, one line a β or τ.

    curves: {"margin": [nats, …],
             "lines": [{"label": "<variant> <key>=<value>" or "<variant> ", "unit": of the loss,
                        "loss": […], "gradient": […]}],
             "note": what the margin is}

    A null leaves a gap. The table is made by the functions that train, where torch is; here it is
    only drawn.
    """
    columns: dict[str, dict[tuple[str, float], Mapping[str, Any]]] = {}
    for line in curves["lines"]:
        variant, _, setting = line["label"].rpartition(" ")
        key, _, value = setting.partition("=")
        columns.setdefault(variant, {})[key, float(value or 0)] = line
    drawn = []
    for number, per in (("loss", ""), ("gradient", " per nat")):
        for variant, lines in columns.items():
            unit = next(iter(lines.values())).get("unit", "nats")
            panel = Panel(label_of(variant), "margin (nats)", f"{number} ({unit}{per})")
            for key, value in sorted(lines):
                # A value looks the same in every column, whatever others there are beside it.
                alike = sorted({v for one in columns.values() for k, v in one if k == key})
                style = ordinal(alike.index(value), len(alike))
                name = f"{symbol_of(key)} {value:g}" if key else "loss"
                y = lines[key, value][number]
                line = Series(name, curves["margin"], y, style=style, marked=False)
                panel.series.append(line)
            drawn.append(panel)
    note = curves.get("note") or "From the functions that train."
    return panels(drawn, "The losses and their gradients", note, columns=len(columns))
