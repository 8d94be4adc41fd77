"""Rows of a source as a task's pydantic model: which column is which, and what each may hold.

    class Paper(Record):
        id: Identifier = None
        title: Annotated[Text, Column(hints=("paper_title", "name"))] = None

A study renames columns with `data.columns={title: heading}`: our name → the source's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ValidationInfo

from lib.config.errors import BadInput, listed
from lib.config.tasks import Row
from lib.config.types import known_columns
from lib.data.fields import identifier, some_identifier, some_text, text
from lib.data.sources import Placed, guess_column

DERIVED = "derived"  # marks a field that is no column of the source


class Record(BaseModel):
    """A row of a source."""

    where: Annotated[str, DERIVED] = ""  # the row's place, for errors


class Column(NamedTuple):
    """What else sources call a column: names that are taken for it, names that errors propose."""

    also: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()


def parsed_by(read: Callable[[Any, str, str], Any]) -> BeforeValidator:
    """A validator from (value, where, column), whose errors name the row and its column."""

    def validate(value: Any, info: ValidationInfo) -> Any:
        where, names = info.context or ("", {})
        return read(value, where, names.get(info.field_name, info.field_name))

    return BeforeValidator(validate)


Text = Annotated[str | None, parsed_by(text)]
SomeText = Annotated[str, parsed_by(some_text)]  # missing or blank is refused
Identifier = Annotated[str | None, parsed_by(identifier)]
Name = Annotated[str, parsed_by(some_identifier)]  # likewise

R = TypeVar("R", bound=Record)


def renaming(names: Sequence[str]) -> Any:
    """The type of a study's `columns`: our name, one of these → the source's column."""
    return Annotated[dict[str, str], AfterValidator(partial(known_columns, names=names))]


def columns_of(placed: Placed) -> list[str]:
    """The columns of a source, in the order in which they come up."""
    return list(dict.fromkeys(column for _, row in placed for column in row))


def find_columns(
    model: type[Record],
    placed: Placed,
    source: str,
    given: Mapping[str, str],
    needed: Collection[str] = (),
    key: str = "data.columns",
    usual: Mapping[str, tuple[str, ...]] | None = None,
    guess: bool = False,
) -> dict[str, str]:
    """Our name → the source's column, of the fields that the source has.

    given: the study's renaming, by `key` (empty: it has none). needed: fields that a source may not
    lack. usual: what this source calls some of our fields. guess: take what is probably meant.
    Raises BadInput, with the column that is probably meant, for one that is named or needed and not
    there.
    """
    found = columns_of(placed)
    fields = {ours: field.metadata for ours, field in model.model_fields.items()}
    columns = {
        ours: next((one for one in described if isinstance(one, Column)), Column())
        for ours, described in fields.items()
        if DERIVED not in described
    }
    options = {ours: (ours, *column.also) for ours, column in columns.items()}
    options |= {**(usual or {}), **{ours: (name,) for ours, name in given.items()}}
    names: dict[str, str] = {}
    for ours, column in columns.items():
        name = next((option for option in options[ours] if option in found), None)
        if name is None and guess and ours not in given:
            name = guess_column(ours, column.hints, found)
        if name is not None:
            names[ours] = name
    for ours, column in columns.items():
        if ours in names or (ours not in needed and ours not in given):
            continue
        others = [name for name in found if name not in names.values()]
        close = guess_column(options[ours][0], (*options[ours][1:], *column.hints), others)
        hints = [
            f"expected {listed(needed)}; " if needed else "",
            f"did you mean {close!r}? " if close else "",
            f"Set {key}.{ours}={close or 'COLUMN'}" if key else "",
        ]
        raise BadInput(
            f"{source}: no column {' or '.join(map(repr, options[ours]))}"
            f"{f' ({key}.{ours})' if ours in given else ''}, found {listed(found, 20)}; "
            f"{''.join(hints)}"
        )
    return names


def read_record(model: type[R], where: str, row: Row, names: Mapping[str, str]) -> R:
    """A row as a record. names: our name → the source's column.

    Raises BadInput, with row and column, for what a field may not hold.
    """
    values = {ours: row.get(name) for ours, name in names.items()}
    return model.model_validate(values | {"where": where}, context=(where, names))


def read_records(model: type[R], placed: Placed, names: Mapping[str, str]) -> list[R]:
    """All rows of a source as records, see `read_record`."""
    return [read_record(model, where, row, names) for where, row in placed]


def distinct_ids(given: Iterable[str | None]) -> list[str]:
    """The ids of a source; where some lack or repeat, places tell its rows apart, from 0."""
    ids = list(given)
    if None in ids or len(set(ids)) < len(ids):
        return [str(place) for place in range(len(ids))]
    return ids
