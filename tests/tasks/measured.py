"""The numbers of one point, from its predictions through the engine of the analysis."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from lib.analysis.estimates import measured
from lib.analysis.items import items_of, items_table, test_sets
from lib.analysis.run import Run
from lib.config.metrics import Analysis
from lib.config.tasks import Row

POINTS = pd.DataFrame([{"point": "p", "setting": "p", "seed": 0, "status": "done"}])


def runs_of(
    analysis: Analysis, rows: Sequence[Row], predictions: Sequence[Row], eval_config: Any
) -> dict[tuple[str, str], Run]:
    """(metric, slice) → its run; of a task with several sets, (set.metric, slice)."""
    columns = analysis.outcomes(rows, predictions, eval_config)
    items = items_table([items_of("task", "p", columns)])
    found = measured(test_sets(items, analysis, eval_config), analysis, POINTS, eval_config)
    several = len({one.set for one in found}) > 1
    return {
        (f"{one.set}.{one.metric.name}" if several else one.metric.name, one.slice): one.runs["p"]
        for one in found
        if "p" in one.runs
    }
