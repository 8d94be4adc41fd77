"""Rows of one GLUE set, of a file or of the hub, with their labels as numbers.

GLUE's own TSV, and all that lib.data.sources reads     one or two sentences, and a label
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from lib.config.errors import BadInput, listed, nearest
from lib.config.tasks import Row
from lib.data.fields import shown, text, unread_columns
from lib.data.records import Record, find_columns, parsed_by, read_record
from lib.data.sources import SYNTHETIC, Placed, read_named, read_placed
from lib.tasks.glue import synthetic
from lib.tasks.glue.table import GLUE

NO_MAJORITY = "-"  # MNLI's own files: the annotators agreed on no label
LABELS = ("label", "gold_label")
EXAMPLE = '{"sentence1": …, "sentence2": …, "label": …}'


def _sentence(value: Any, where: str, column: str) -> str:
    sentence = value if value == "" else text(value, where, column)  # GLUE has a few empty ones
    if sentence is None:
        raise BadInput(f"{where}: {column}: found {value!r}, expected a sentence as text")
    return sentence


class Sentences(Record):
    """A row of a source; `b` is None where the task has one sentence."""

    a: Annotated[str, parsed_by(_sentence)]
    b: Annotated[str | None, parsed_by(_sentence)] = None
    label: Any = None


def read_set(data: Any, task: str, part: str, limit: int | None) -> tuple[list[Row], Row]:
    """The rows of a set (`train` or a dev set) of a task, in the source's order, and a report.

    limit: of a synthetic set, which has no end. Raises BadInput that names the source and the row.
    """
    given: dict[str, str] = {}
    if data.source == SYNTHETIC:
        made = synthetic.generate(task, part, limit, data.seed)
        placed = [(f"{SYNTHETIC} {task} {part}: row {n}", row) for n, row in enumerate(made)]
        report: Row = {"source": SYNTHETIC}
    elif task in data.files:
        name, given = data.files[task][part], data.columns
        placed, report = read_named(name, f"data.files.{task}.{part}", EXAMPLE), {"source": name}
    else:
        split = GLUE[task].dev.get(part, part)
        placed = read_placed(data.source, split, EXAMPLE, task)
        report = {"source": data.source, "config": task, "split": split}
    rows, more = labelled(placed, task, part, given)
    if not rows:
        raise BadInput(f"{report['source']}: none of {len(placed)} rows has a label that counts")
    return rows, {**report, "read": len(placed), **more}


def labelled(
    placed: Placed, task: str, part: str, given: dict[str, str]
) -> tuple[list[Row], dict[str, Any]]:
    """Rows of the study's format, and counts of what was left out.

    given: our name → the source's column. Raises BadInput for a missing column and, with the row,
    for a missing text and for a label that the task does not have.
    """
    glue = GLUE[task]
    usual = {"a": glue.a, "b": glue.b, "label": LABELS}
    needed = [ours for ours, names in usual.items() if names]
    names = find_columns(
        Sentences, placed, placed[0][0].rpartition(":")[0], given, needed, usual=usual
    )
    if not glue.b:
        names.pop("b", None)
    rows, undecided = [], 0
    for number, (where, row) in enumerate(placed):
        if row.get(names["label"]) == NO_MAJORITY:
            undecided += 1
            continue
        record = read_record(Sentences, where, row, names)
        label = label_of(record.label, glue.labels, where, names["label"])
        rows.append(
            {
                "id": f"{task}-{part}-{number}",
                "task": task,
                "set": part,
                "prompt": {"a": record.a, "b": record.b},
                "label": label,
                "target": glue.labels[label],
            }
        )
    unread = unread_columns(placed, names.values())
    return rows, {"no_majority_label": undecided, "columns_not_read": unread}


def label_of(value: Any, labels: Sequence[str], where: str, column: str) -> int:
    """The number of a label that is given as a number or by name. Raises BadInput for any other."""
    number = value
    if isinstance(value, str):
        word = value.strip().casefold().replace(" ", "_").replace("-", "_")
        if word in labels:
            return labels.index(word)
        if word.isdecimal() and len(word) < 10:  # int() refuses what is thousands of digits long
            number = int(word)
    if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < len(labels):
        return number
    known = listed(f"{n} ({name})" for n, name in enumerate(labels))
    unlabelled = value is None or value in (-1, "-1", "")
    closest = nearest(shown(value), labels)
    hint = "; GLUE's own test splits have no labels" if unlabelled else closest
    raise BadInput(f"{where}: {column}: found {shown(repr(value))}, expected one of {known}{hint}")


def same_text(row: Row) -> tuple[str, ...]:
    """What two rows share whose sentences differ in case and spaces alone."""
    texts = (row["prompt"]["a"], row["prompt"]["b"] or "")
    return tuple(" ".join(text.split()).casefold() for text in texts)
