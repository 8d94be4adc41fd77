"""What the points of a study of word problems say together: `comparison`, `final`, `findings`."""

from __future__ import annotations

from typing import Any

from lib.analysis.wording import markdown
from lib.config.tasks import Comparison, PointResult, Row
from lib.tasks.math import comparison, final, findings
from lib.tasks.math.thresholds import check_thresholds


def compare(points: list[PointResult], rows: list[Row], eval_config: Any) -> Comparison:
    """What the points say together, see `comparison.tabulate` and `final`."""
    check_thresholds(eval_config.thresholds)  # may be others than when the data were built
    tables = comparison.tabulate(points, rows, eval_config)
    tables["final"] = final.final_rows(tables, eval_config)
    tables["criteria"] = final.criteria(tables)
    tables["findings"] = findings.sentences(tables)
    summary = final.summary_rows(tables)
    files = {
        "summary.csv": summary,
        "final_metrics.csv": tables["final"],
        "final_metrics": {
            "note": final.NOTE,
            "level": tables["level"],
            "rows": tables["rows"],
            "metrics": tables["final"],
        },
    }
    text = markdown(tables, "Thresholds and denominators", "what is asked")
    return Comparison(tables, final.flat_rows(tables), text, files)
