"""The seam between studies and the rest: what a task is asked, and the formats of its rows.

A task is a folder. Stages call the functions below and never name a task. A study lists its tasks:
the first is trained on, compared and owns the section `data`; a further one is predicted and
evaluated on a test set of its own (`build` and `grade` of its data part, `evaluate`,
and its figures), from the section that has its name.

Row of a split (written by stage 1 as JSONL, one object a line):

    {"id": str, "prompt": {...}, "target": str, ...}      whatever else the task needs later

    id       unique in its split, stable over runs
    target   the assistant's answer that training teaches, as text

Prediction (written by stage 3, one object a row of the test split, in its order):

    {"id": str, "prompt_hash": str, "outputs": [str, …], "scores": [float, …] | null, …graded}

    outputs  raw text of each sample
    scores   log-probability of each of the task's full answers, end of turn included; null if none
    graded   what `grade` makes of the two; recomputed by stage 4, so that grading can change
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Protocol

from lib.errors import BadInput, listed, nearest

Row = dict[str, Any]
Message = dict[str, str]


@dataclass
class Splits:
    """What `build` returns: rows by split name, and what the manifest shall say of them."""

    rows: dict[str, list[Row]]
    report: dict[str, Any] = field(default_factory=dict)


@dataclass
class PointResult:
    """A point as evaluation and figures see it; what is missing is None."""

    name: str
    values: dict[str, Any]  # axis → value
    config: Any  # lib.schema.Config
    status: str  # "done" | "partial" | "diverged" | "trained" | "missing" | "skipped"
    metrics: dict[str, Any] | None = None
    predictions: list[Row] | None = None  # graded, in test order
    train_log: list[Row] | None = None  # rows of train.jsonl
    others: dict[str, Any] = field(default_factory=dict)  # task → metrics of further tasks
    # What training left beside its log: `usage`, `importance`; None where a run leaves none.
    records: dict[str, Any] = field(default_factory=dict)
    axes: dict[str, str] = field(kw_only=True)  # axis → its key, as the study declares them


class DataPart(Protocol):
    """`lib/tasks/<task>/data.py`: no torch."""

    def build(self, data: Any, wanted: Sequence[Any], evaluate: Any, debug: bool) -> Splits:
        """Rows of every split that the `data` sections in `wanted` need, and of `test`.

        `data`: the task's section of the study; `wanted`: the same with each swept value put in.
        `evaluate`: the study's section of that name, of which `full_test` may matter. `debug`: a
        training set of 100 rows. Raises BadInput that names the file and the row.
        """

    def train_split(self, data: Any) -> str:
        """Name of the split that a point with this `data` section is trained on."""

    def messages(self, row: Row, data: Any, body: int | None = None) -> list[Message]:
        """The prompt of a row as chat messages; `body` keeps that many characters of its text."""

    def body_length(self, row: Row) -> int:
        """How many characters `messages` could leave out where a prompt is too long."""

    def contrast(self, row: Row) -> str | None:
        """The answer that `target` is told apart from, or None where a task has no such thing."""

    def group(self, row: Row) -> str | None:
        """The class of a row that an objective may weight, or None."""

    def answers(self, data: Any) -> list[str] | None:
        """Full answers whose probability stage 3 scores, or None."""

    def grade(self, row: Row, outputs: list[str], scores: list[float] | None) -> Row:
        """The fields that a prediction gets from its raw outputs and scores."""

    def brief(self, predictions: list[Row]) -> str:
        """What the predictions of a point come to, in two words, for a table of points."""

    # A task may also have
    #     prompting(data) -> str
    # where `data` sections of one grid render prompts differently, such as "3shot": each rendering
    # of the splits `test` and `validation` is tokenised once; and
    #     correct(prediction) -> bool
    # of a graded prediction, by which `train.sweep` chooses on the split `validation`; and
    #     regrade(row, prediction) -> Row
    # where `grade` needs more of a written prediction than its outputs and scores; and
    #     tested(row, data) -> bool
    # where not every point predicts all rows of the splits `test` and `validation`; and
    #     labels(data) -> list[str]
    # where rows are classified: the classes, by number.
    # A task that uses several answers to a prompt (`infer.samples`) says SAMPLED = True in its
    # schema part; one that reads keys of `evaluate` which others do not names them in READS there,
    # and warnings(data) gives a line for each thing that a section may well not mean.
    # A task whose rows are not one prompt and one answer has
    #     encode(row, tokenizer, data, max_length) -> dict | None
    # which gives a row of any split as tokens: at least `id` and `cut`. Rows that it gives None for
    # are left out of the split. And where text and scores of an engine are not what it predicts, a
    # module `predict` with a class Predictor (see lib.prediction). A task that a judge scores names
    # in JUDGES of its schema part the values of `judge.kind` that it can use.


class ScorePart(Protocol):
    """`lib/tasks/<task>/score.py`, where a second model scores what was predicted.

    It may also have check(study, task, points, environ), which raises BadInput for a model that
    could not score these points; stage 3 calls it before anything is predicted.
    """

    def score(
        self,
        study: Any,
        task: str,
        points: Sequence[Any],
        environ: Mapping[str, str],
        say: Callable[[str], None],
        stop: Callable[[], bool],
    ) -> bool:
        """Write judgments_<task>.jsonl of each point; False where `stop()` ended it early.

        One object a row, in order: {"id", "judgments"}; predictions are read with their judgments.
        """


class EvaluatePart(Protocol):
    """`lib/tasks/<task>/evaluate.py`: no torch."""

    def evaluate(self, rows: list[Row], predictions: list[Row], settings: Any) -> dict[str, Any]:
        """metrics.json of one point. `settings`: the study's `evaluate` section.

        Raises BadInput that names the row; stage 4 puts the file of predictions before it.
        """

    def compare(self, points: list[PointResult], rows: list[Row], settings: Any) -> Comparison:
        """What the points say together. Points without metrics are in the list, and are shown."""


class FiguresPart(Protocol):
    """`lib/tasks/<task>/figures.py`: no torch."""

    def point_figures(self, point: PointResult, settings: Any) -> Iterator[tuple[str, Any]]:
        """(topic, matplotlib Figure) of one point."""

    def comparison_figures(
        self, points: list[PointResult], comparison: Mapping[str, Any], settings: Any
    ) -> Iterator[tuple[str, Any]]:
        """(topic, matplotlib Figure) over all points."""


@dataclass
class Comparison:
    """`tables`: the JSON of the comparison; `rows`: one flat row a point; `criteria`: Markdown.

    `files`: further tables, each a file of its name beside the comparison: rows under a name that
    ends in .csv or .jsonl, text under one that ends in .md, all else as JSON.
    """

    tables: dict[str, Any]
    rows: list[dict[str, Any]]
    criteria: str
    files: dict[str, Any] = field(default_factory=dict)


@cache
def names() -> list[str]:
    """The tasks that exist: the folders beside this file."""
    return sorted(m.name for m in iter_modules([str(Path(__file__).parent)]) if m.ispkg)


def check(tasks: Sequence[str]) -> None:
    """Raise BadInput for a task that does not exist."""
    for task in tasks:
        if task not in names():
            raise BadInput(
                f"tasks: unknown task {task!r}, expected {listed(names())}{nearest(task, names())}"
            )


@cache
def part(task: str, name: str) -> Any:
    """Module `name` of a task: schema, data, predict, score, evaluate or figures; imported once.

    Raises BadInput for a task that does not exist.
    """
    check([task])
    return import_module(f"lib.tasks.{task}.{name}")


def has_part(task: str, name: str) -> bool:
    """Whether a task has this optional module."""
    return find_spec(f"lib.tasks.{task}.{name}") is not None
