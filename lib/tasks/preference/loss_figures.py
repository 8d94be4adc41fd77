"""The losses and their gradients as functions of the margin, from a table of the real functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from lib.figures import panels
from lib.shapes import Panel, Series, ordinal
from lib.tasks.preference.cells import NAMES

SYMBOLS = {"beta": "β", "tau": "τ"}


def loss_figure(curves: Mapping[str, Any]) -> Figure:
    """Loss and its gradient over the margin, one column a variant, one line a β or τ.

    curves: {"margin": [nats, …],
             "lines": [{"label": "<variant> <beta or tau>=<value>", "loss": […], "gradient": […]}],
             "note": what the margin is}

    A null leaves a gap. The table is made by the functions that train, where torch is; here it is
    only drawn.
    """
    columns: dict[str, dict[tuple[str, float], Mapping[str, Any]]] = {}
    for line in curves["lines"]:
        variant, _, setting = line["label"].rpartition(" ")
        key, _, value = setting.partition("=")
        columns.setdefault(variant, {})[key, float(value)] = line
    drawn = []
    for number, label in (("loss", "loss (nats)"), ("gradient", "gradient (nats per nat)")):
        for variant, lines in columns.items():
            panel = Panel(NAMES.get(variant, variant), "margin (nats)", label)
            for key, value in sorted(lines):
                # A value looks the same in every column, whatever others there are beside it.
                alike = sorted({v for one in columns.values() for k, v in one if k == key})
                style = ordinal(alike.index(value), len(alike))
                name, y = f"{SYMBOLS.get(key, key)} {value:g}", lines[key, value][number]
                line = Series(name, curves["margin"], y, style=style, marked=False)
                panel.series.append(line)
            drawn.append(panel)
    note = curves.get("note") or "From the functions that train."
    return panels(drawn, "The losses and their gradients", note, columns=len(columns))
