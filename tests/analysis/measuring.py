"""One point measured as the engine does it, for tests of what a task declares."""

from lib.analysis.estimates import Run, measured
from lib.analysis.items import items_of, items_table, test_sets
from lib.config import tasks
from tests.analysis.tables import points_frame
