"""What became of the frozen numbers of each study since, each kind of change with its reason.

A module a study with five tables; its paths are those that `compare.flatten` makes:

    RENAMES  regular expression of a frozen path → (path of today, reason). The number there is
             compared with the frozen one; the first expression that matches counts
    SHARES   regular expression of a count → (path of the count of all, a number, or
             `path × path`; "share" or "rest"): what is compared is count / all, or 1 − that
    REMOVED  pattern (fnmatch) of frozen paths → reason: gone, or the repetition of a number that
             is compared elsewhere
    CHANGES  pattern of paths of today → reason. The new values are in changed.json, and are
             compared from then on
    NEW      pattern of paths that nothing was frozen of → reason. Their numbers have other tests

Write the line, run `python -m tests.golden.make`, and look at what it puts into changed.json. A
frozen null or empty list is found where nothing is. An entry that nothing falls under fails.
"""

from importlib import import_module

from tests.golden.compare import Moves

TABLES = ("RENAMES", "SHARES", "REMOVED", "CHANGES", "NEW")
AGGREGATED = "(?:comparison|runs/[^/]+)/aggregated_metrics.json"  # as part of an expression


def moves_of(study: str) -> Moves:
    """The tables of a study."""
    module = import_module(f"{__name__}.{study}")
    return Moves(*(getattr(module, table, {}) for table in TABLES))
