"""Rows of one GLUE set, as they lie in a file or on the hub, with their labels as numbers.

GLUE's own TSV, JSONL, JSON, CSV (each also .gz), hub     one or two sentences, and a label
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from lib.config.errors import BadInput, listed, nearest
from lib.config.tasks import Row
from lib.data.fields import shown, text, unread_columns
from lib.data.sources import Placed, guess_column, read_named, read_placed
from lib.tasks.glue import synthetic
from lib.tasks.glue.table import GLUE

NO_MAJORITY = "-"  # MNLI's own files: the annotators agreed on no label
LABELS = ("label", "gold_label")
EXAMPLE = '{"sentence1": …, "sentence2": …, "label": …}'


def read_set(data: Any, task: str, part: str, limit: int | None) -> tuple[list[Row], Row]:
    """The rows of a set (`train` or a dev set) of a task, in the source's order, and a report.

    limit: of a synthetic set, which has no end. Raises BadInput that names the source and the row.
    """
    if data.source == synthetic.SOURCE:
        data = data.model_copy(update={"columns": {}})
        made = synthetic.generate(task, part, limit, data.seed)
        placed = [(f"{synthetic.SOURCE} {task} {part}: row {n}", row) for n, row in enumerate(made)]
        known: Row = {"source": synthetic.SOURCE}
    elif task in data.files:
        name = data.files[task][part]
        placed, known = read_named(name, f"data.files.{task}.{part}", EXAMPLE), {"source": name}
    else:
        split = GLUE[task].dev.get(part, part)
        placed = read_placed(data.source, split, EXAMPLE, task)
        data = data.model_copy(update={"columns": {}})  # those are of the files
        known = {"source": data.source, "config": task, "split": split}
    rows, undecided = labelled(placed, task, part, data.columns)
    unread = unread_columns(placed, _columns(placed, task, data.columns).values())
    if not rows:
        raise BadInput(f"{known['source']}: none of {len(placed)} rows has a label that counts")
    return rows, {**known, "read": len(placed), "no_majority_label": undecided,
                  "columns_not_read": unread}  # fmt: skip


def labelled(
    placed: Placed, task: str, part: str, columns: dict[str, str]
) -> tuple[list[Row], int]:
    """Rows of the study's format, and how many were left out since they have no label agreed on.

    Raises BadInput, with the row, for a missing text and for a label that the task does not have.
    """
    glue = GLUE[task]
    names = _columns(placed, task, columns)
    rows, undecided = [], 0
    for number, (where, row) in enumerate(placed):
        given = row.get(names["label"])
        if given == NO_MAJORITY:
            undecided += 1
            continue
        label = label_of(given, glue.labels, where, names["label"])
        texts = {side: _text(row, names[side], where) for side in ("a", "b") if side in names}
        rows.append(
            {
                "id": f"{task}-{part}-{number}",
                "task": task,
                "set": part,
                "prompt": {"a": texts["a"], "b": texts.get("b")},
                "label": label,
                "target": glue.labels[label],
            }
        )
    return rows, undecided


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


def described(rows: Iterable[Row]) -> Row:
    """How many rows there are of each label, and how many have an empty sentence."""
    rows = list(rows)
    counts = Counter(row["target"] for row in rows)
    empty = sum("" in (row["prompt"]["a"].strip(), (row["prompt"]["b"] or "…").strip())
                for row in rows)  # fmt: skip
    labels = GLUE[rows[0]["task"]].labels if rows else ()
    return {"rows": len(rows), "labels": {n: counts[n] for n in labels}, "empty": empty}


def _columns(placed: Placed, task: str, given: dict[str, str]) -> dict[str, str]:
    """a, b and label → the source's column. Raises BadInput for one that is not there."""
    source = placed[0][0].rpartition(":")[0]
    found = list(dict.fromkeys(str(key) for _, row in placed for key in row))
    wanted = {"a": GLUE[task].a, "b": GLUE[task].b, "label": LABELS}
    names = {}
    for ours, usual in wanted.items():
        if not usual:
            continue
        options = (given[ours],) if ours in given else usual
        name = next((option for option in options if option in found), None)
        if name is None:
            rest = [column for column in found if column not in names.values()]
            close = guess_column(options[0], usual, rest)
            mean = f"did you mean {close!r}? " if close else ""
            raise BadInput(
                f"{source}: no column {' or '.join(map(repr, options))}, found {listed(found, 20)};"
                f" {mean}Say data.columns.{ours}={close or 'COLUMN'}"
            )
        names[ours] = name
    return names


def _text(row: Row, column: str, where: str) -> str:
    sentence = row.get(column)
    if sentence == "":  # GLUE has a few
        return sentence
    sentence = text(sentence, where, column)
    if sentence is None:
        raise BadInput(f"{where}: {column}: found {row.get(column)!r}, expected a sentence as text")
    return sentence
