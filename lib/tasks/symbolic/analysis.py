"""What the points of a study of templates say together, and the failures of each point."""

from __future__ import annotations

from typing import Any

from lib.analysis.wording import markdown
from lib.config.tasks import Comparison, PointResult, Row
from lib.tasks.symbolic import comparison, criteria, failures, findings, tables


def compare(points: list[PointResult], rows: list[Row], eval_config: Any) -> Comparison:
    """What the points say together, see `comparison.tabulate`; and each point's failures."""
    made = comparison.tabulate(points, rows, eval_config)
    made["criteria"] = criteria.judge(made)
    made["findings"] = findings.sentences(made)
    files: dict[str, Any] = {
        "votes.csv": tables.vote_rows(made),
        "differences.csv": tables.difference_rows(made),
    }
    for point in points:
        if comparison.answered(point) and point.metrics["samples"]:
            files[f"failures_{point.name}.md"] = failures.report(point, rows)
            files[f"samples_{point.name}.jsonl"] = failures.sample_rows(point, rows)
    text = markdown(made, "What tuning and samples gain", "what is asked")
    return Comparison(made, tables.flat_rows(made), text, files)
