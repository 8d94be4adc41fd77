"""Templated problems: training, validation and test rows, and the prompt."""

from __future__ import annotations

from lib.tasks.symbolic.grading import brief, correct, grade, regrade

__all__ = ["brief", "correct", "grade", "regrade"]
