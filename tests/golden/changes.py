"""What was changed on purpose since the numbers were frozen, each kind of change with its reason.

CHANGES: pattern (fnmatch) of "study: path" → reason. Write the line, run
`python -m tests.golden.make`, and look at what it puts into changed.json: the new values, which are
compared from then on. The files with the frozen values stay as they are.

    "weighted_loss: */control/accuracy_difference/*": "constant differences get Tango's interval"

RENAMES: regular expression of a path → (replacement, reason), for names alone: the numbers there
are compared with the frozen ones as before.

    r"/unscored$": ("/without_scores", "one word with the column of predictions")

An entry that nothing falls under fails.
"""

CHANGES: dict[str, str] = {}
RENAMES: dict[str, tuple[str, str]] = {}
