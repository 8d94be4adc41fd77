"""One point measured as the engine does it, for tests of what a task declares."""

import pandas as pd

from lib.analysis.estimates import measured
from lib.analysis.items import items_of, items_table, test_sets
from lib.analysis.run import Run
from lib.config import tasks


def estimates_of(task, rows, predictions, eval_config) -> dict[tuple[str, str], Run]:
    """(slice, metric) → what the answers of one point come to."""
    analysis = tasks.get(task).analysis
    items = items_table(
        [items_of(task, "point", analysis.outcomes(rows, predictions, eval_config))]
    )
    points = pd.DataFrame({"point": ["point"], "setting": ["setting"], "status": ["done"],
                           "seed": [1]})  # fmt: skip
    every = measured(test_sets(items, analysis, eval_config), analysis, points, eval_config)
    return {(m.slice, m.metric.name): m.runs["point"] for m in every if m.runs}
