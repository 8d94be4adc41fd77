"""Glue, analysed by one engine over tables. See `tests.golden.changes`."""

RENAMES = {}
SHARES = {}
REMOVED = {"*.csv/*": "the numbers of the JSON once more"}
CHANGES = {}
NEW = {}
