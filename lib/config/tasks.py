"""What a study can ask: each folder of `lib/tasks` is a task, described by one `Task`.

Stages ask that object and never name a task. A study lists its tasks: the first is trained on,
compared and owns the section `data`; a further one is predicted and evaluated on a test set of its
own, from the section that has its name.

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

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules, resolve_name
from typing import Any, NamedTuple

from lib.config.errors import BadInput, listed, nearest
from lib.config.metrics import Analysis

Row = dict[str, Any]
Range = tuple[float | None, float | None]  # least and largest value of a metric; None: no bound
SHARE: Range = (0.0, 1.0)
Message = dict[str, str]


def conversation(question: str, answer: str) -> list[Message]:
    """A question and its answer as a chat; the answer loses the white space around it."""
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer.strip()}]


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
    config: Any  # lib.config.schema.Config
    status: str  # "done" | "partial" | "diverged" | "trained" | "missing" | "skipped"
    predictions: list[Row] | None = None  # graded, in test order
    train_log: list[Row] | None = None  # rows of train.jsonl
    # What training left beside its log: `usage`, `importance`, and `run`, which is config.json;
    # None where a run leaves none.
    records: dict[str, Any] = field(default_factory=dict)
    axes: dict[str, str] = field(kw_only=True)  # axis → its key, as the study declares them


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


@dataclass(frozen=True)
class Lazy:
    """A function by its `module:name`; the module is imported when the function is first called.

    For what needs numpy, torch or matplotlib: a study is decoded without them.
    """

    path: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return resolve_name(self.path)(*args, **kwargs)


class Reply(NamedTuple):
    """What a judge replies to one question, or why there is no reply."""

    text: str | None = None
    scores: list[float] | None = None  # log p of each of `Judging.choices`, or [reward]
    error: str | None = None
    ask_again: bool = False  # whether a later run is to ask again


@dataclass(frozen=True, kw_only=True)
class Judging:
    """How a task's answers are judged in one study; `lib.judging.loop` does the rest."""

    # What judgments depend on, beside the answers, the judge and its revision.
    identity: Row
    # (row, prediction) → the conversations that ask the judge about it
    questions: Callable[[Row, Row], list[list[Message]]]
    # Full answers of which a judge that is loaded here gives log-probabilities, instead of a text.
    choices: tuple[str, ...] = ()
    # (prediction, its questions, a Reply to each, the lib.judging.loop.Judge) → what is written as
    # `judgments` of the prediction
    judgments: Callable[[Row, list[list[Message]], list[Reply], Any], Any]
    # (reply) → whether a judgment can be read from it
    is_valid: Callable[[Reply], bool]


def _nothing(*_: Any) -> None:
    """The answer of a task that has no such thing."""


@dataclass(kw_only=True)
class Task:
    """A task: the constant TASK in `lib/tasks/<task>/task.py`. What has a default is optional.

    In the signatures below `data` is the task's section of the study (a `schema`), `row` one of a
    split, `eval_config` the section `evaluate`, and `points` are `PointResult`s.
    """

    # -- the section of the study --
    schema: type[Any]  # pydantic model of its keys
    warnings: Callable[[Any], list[str]] = lambda data: []  # what a section may well not mean
    reads: tuple[str, ...] = ()  # of `lib.config.effects.READ_BY_SOME`
    batch: str | None = None  # kind of batch that training is fed; None: it cannot be trained on

    # -- rows and prompts, without torch --
    # (data, wanted, evaluate, debug) → Splits: the rows of every split that the `data` sections in
    # `wanted` need, and of `test`. `data` is the study's own section, `wanted` are the same with
    # each swept value put in. debug: training sets of 100 rows. Raises BadInput that names the file
    # and the row.
    build: Callable[..., Splits]
    # (data) → name of the split that a point with this section is trained on
    train_split: Callable[[Any], str] | None = None
    # (row, data, body=None) → the prompt as chat messages; `body` keeps that many characters of its
    # text, of which `body_length(row)` could be left out where a prompt is too long
    messages: Callable[..., list[Message]] | None = None
    body_length: Callable[[Row], int] = lambda row: 0
    # (row, answer) → the row whose prompt asks on after this answer; None: one turn
    follow_up: Callable[[Row, str], Row] | None = None
    # (data) → a word, such as "3shot", where sections of one grid render prompts differently: each
    # rendering of the splits `test` and `validation` is tokenised once
    rendering: Callable[[Any], str] = lambda data: ""
    # (row) → the answer that `target` is distinguished from; the class that an objective may weight
    alternative_answer: Callable[[Row], str | None] = _nothing
    loss_class: Callable[[Row], str | None] = _nothing
    # (data) → full answers whose probability stage 3 scores; the classes of rows, by number
    answers: Callable[[Any], list[str] | None] = _nothing
    labels: Callable[[Any], list[str]] | None = None
    # (rows, data) → the rows of `test` or `validation` that a point with this section predicts
    select_rows: Callable[[Sequence[Row], Any], list[Row]] = lambda rows, data: list(rows)
    # (row, tokenizer, data, max_length) → the row as tokens, with at least `id` and `cut`, where it
    # is not one prompt and one answer; rows that it gives None for are left out of the split
    encode: Callable[..., Row | None] | None = None

    # -- predictions --
    # (study, task, served) → a `inference.predict.Predictor`; None: a `ChatPredictor`
    predictor: Callable[..., Any] | None = None
    sampled: bool = False  # uses several answers to a prompt (`infer.samples`)
    # (row, turn 1 or 2) → temperature and seed of its answer; None: as `infer` says
    draw: Callable[[Row, int], tuple[float, int]] | None = None
    # (row, prediction) → the fields that a prediction gets by what was generated. Raises BadInput.
    grade: Callable[[Row, Row], Row] = lambda row, prediction: {}
    selects: bool = False  # `grade` gives `correct`, by which checkpoints can be selected
    # (predictions) → what those of a point come to, in two words, for a table of points
    summary: Callable[[list[Row]], str] = lambda predictions: f"{len(predictions)} answers"

    # -- a judge --
    judges: tuple[str, ...] = ()  # values of `judge.kind` that can judge answers
    # (section `judge`, data) → Judging. Raises BadInput for prompts that cannot be used.
    judging: Callable[[Any, Any], Judging] | None = None

    # -- analysis and figures, without torch --
    sets: tuple[str, ...] = ()  # where there are several; first the one that counts unless named
    data_axes: tuple[str, ...] = ()  # keys of axes that choose the test set, not the setting
    analysis: Analysis  # outcomes, metrics, and what is special


@cache
def names() -> list[str]:
    """The tasks that exist: the folders of `lib/tasks`."""
    folder = Path(__file__).parents[1] / "tasks"
    return sorted(m.name for m in iter_modules([str(folder)]) if m.ispkg)


def check(tasks: Iterable[str]) -> None:
    """Raise BadInput for a task that does not exist."""
    for task in tasks:
        if task not in names():
            raise BadInput(
                f"tasks: unknown task {task!r}, expected {listed(names())}{nearest(task, names())}"
            )


@cache
def get(name: str) -> Task:
    """The task of this name. Raises BadInput where there is none."""
    check([name])
    return import_module(f"lib.tasks.{name}.task").TASK
