"""The losses and their gradients as functions of the margin, from a table of the real functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from lib.figures import panels
from lib.shapes import Panel, Series, ordinal


def loss_figure(curves: Mapping[str, Any]) -> Figure:
    """Loss and its gradient over the margin, one column a group of lines.

    curves: {"margin": [nats, …],
             "lines": [{"label", "loss": […], "gradient": […], "group": title of the panel}],
             "note": what the margin is}

    Without "group" the first word of the label stands in. A null leaves a gap. The table is made by
    the functions that train, where torch is; here it is only drawn.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for line in curves["lines"]:
        groups.setdefault(line.get("group") or line["label"].split()[0], []).append(line)
    drawn = []
    for key, label in (("loss", "loss (nats)"), ("gradient", "gradient (a nat of margin)")):
        for group, lines in groups.items():
            series = [
                Series(
                    line["label"],
                    curves["margin"],
                    line[key],
                    style=ordinal(i, len(lines)),
                    marked=False,
                )
                for i, line in enumerate(lines)
            ]
            drawn.append(Panel(group, "margin (nats)", label, series))
    note = curves.get("note") or "From the functions that train."
    return panels(drawn, "The losses and their gradients", note, columns=len(groups))
