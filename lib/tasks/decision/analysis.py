"""What the points of an accept/reject study say together: `comparison`, `criteria`, `findings`."""

from __future__ import annotations

from typing import Any

from lib.analysis.wording import markdown
from lib.config.tasks import Comparison, PointResult, Row
from lib.tasks.decision import comparison, criteria, findings
from lib.tasks.decision.flat import flat


def compare(points: list[PointResult], rows: list[Row], eval_config: Any) -> Comparison:
    """What the points say together: see `comparison.tabulate`, `criteria.judge`, `findings`."""
    tables = comparison.tabulate(points, rows, eval_config)
    tables["criteria"] = criteria.judge(points, tables)
    tables["findings"] = findings.sentences(points, tables)
    return Comparison(
        tables, flat(points, tables), markdown(tables, "Success criteria", "criterion")
    )
