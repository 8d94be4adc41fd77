"""What the points of a GLUE study say together: `comparison`, `criteria`, `findings`."""

from __future__ import annotations

from typing import Any

from lib.analysis.wording import markdown
from lib.config.tasks import Comparison, PointResult, Row
from lib.tasks.glue import comparison, criteria, findings, flat


def compare(points: list[PointResult], rows: list[Row], eval_config: Any) -> Comparison:
    """What the points say together: see `comparison.tabulate`, `criteria`, `findings`."""
    tables = comparison.tabulate(points, rows, eval_config)
    tables["criteria"] = criteria.judge(tables)
    tables["findings"] = findings.sentences(tables)
    files = {"significance": tables["significance"], "settings.csv": flat.by_setting(tables)}
    text = markdown(tables, "What the method claims", "claim")
    return Comparison(tables, flat.flat(points, tables), text, files)
