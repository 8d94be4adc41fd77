"""Rows of a file or of a hub data set, each with the place it came from.

    JSONL (one object a line), JSON (one list of objects), CSV, TSV, Parquet; each also .gz
    a data set of the hub, one of its splits

What the columns mean is each task's own business.
"""

from __future__ import annotations

import csv
import gzip
import json
import logging
import zlib
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from lib.config.errors import BadInput, listed, nearest
from lib.runs.integrity import checksum

Placed = list[tuple[str, dict[str, Any]]]  # (where: "file:line" or "hub id: row n", row)

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
SYNTHETIC = "synthetic"  # as `data.source`: rows that the task generates

csv.field_size_limit(2**31 - 1)  # a cell may hold a whole paper; the default is 128 KiB


def read_placed(source: str, split: str, example: str, config: str | None = None) -> Placed:
    """(where, row) of every row of a file, or of a hub data set's `split`.

    `example`: what a row looks like, for the error; `config`: of the hub data set, where it has
    several. Raises BadInput for what cannot be read, for no rows and for a row that is no object.
    """
    if is_file(source):
        placed = list(_read_file(Path(source).expanduser(), source))
    else:
        placed = _read_hub(source, split, config)
    if not placed:
        raise BadInput(f"{source}: no rows")
    for where, row in placed:
        if not isinstance(row, dict):
            kinds = {list: "a list", str: "a string", type(None): "null"}
            found = kinds.get(type(row), repr(row))
            raise BadInput(f"{where}: found {found}, expected an object such as {example}")
    return placed


def read_named(source: str, key: str, example: str, words: Sequence[str] = ()) -> Placed:
    """(where, row) of every row of the file that a study's `key` names, which is no hub id.

    `words`: what else the key may hold, for a misspelling. Raises BadInput as `read_placed` does.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        raise BadInput(f"{key}: {source}: found a directory, expected a file")
    if not path.is_file():
        hint = nearest(source, words) or _nearest_file(path)
        raise BadInput(f"{key}: {source}: no such file{hint}")
    return read_placed(source, "", example)


def is_file(source: str) -> bool:
    """Whether `source` is a file. Raises BadInput where it only looks like one."""
    path = Path(source).expanduser()
    if path.is_file():
        return True
    if path.is_dir():
        raise BadInput(f"{source}: found a directory, expected a {listed(SUFFIXES)} file, each "
                       f"also with .gz, or a data set of the hub")  # fmt: skip
    looks = path.name.removesuffix(".gz").endswith((*SUFFIXES, ".txt"))
    if looks or source[:1] in "./~" or source.count("/") > 1:
        raise BadInput(f"{source}: no such file{_nearest_file(path)}")
    return False


def origin(source: str, split: str) -> dict[str, Any]:
    """What a manifest records of a source: the checksum of a file, the split of a hub data set."""
    if source == SYNTHETIC:
        return {"source": source}
    return {"source": source} | (
        {"sha256": checksum(source)} if is_file(source) else {"split": split}
    )


def guess_column(name: str, aliases: Sequence[str], found: Iterable[str]) -> str | None:
    """The column that is probably meant: alike but for case, usual for this, or spelled alike.

    `aliases`: what other people call the column, in lower case.
    """
    lower = {str(column).strip().lower(): column for column in found}
    for option in (name.lower(), *aliases):
        if option in lower:
            return lower[option]
    close = get_close_matches(name.lower(), lower, n=1, cutoff=0.7)
    return lower[close[0]] if close else None


def _nearest_file(path: Path) -> str:
    """`; did you mean …?`, or what there is in the folder of a path that isn't there."""
    if not path.parent.is_dir():
        return f"; there is no folder {path.parent} either"
    files = sorted(str(p) for p in path.parent.iterdir()
                   if p.is_file() and p.name.removesuffix(".gz").endswith(SUFFIXES))  # fmt: skip
    return nearest(path, files) or (files and f"; there are {listed(files, 5)}") or ""


# -- the hub ---------------------------------------------------------------------------------------


def _read_hub(source: str, split: str, config: str | None) -> Placed:
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # the one line of BadInput says all
    try:
        from datasets import load_dataset  # seconds to import: only where needed

        rows = _labelled(load_dataset(source, *([config] if config else []), split=split))
    except Exception as error:  # whatever load_dataset raises, the user can fix only its name
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        folder = Path(source).parent
        files = [p for p in folder.iterdir() if p.is_file()] if folder.is_dir() else []
        raise BadInput(f"{source}: cannot be loaded from the hub (split {split!r}; {reason}); if a "
                       f"file is meant, give the path of an existing {listed(SUFFIXES)} file"
                       f"{nearest(source, files)}") from None  # fmt: skip
    finally:
        logging.disable(disabled)
    return [(f"{source}: row {n}", row) for n, row in enumerate(rows, 1)]


def _labelled(table: Any) -> list[dict[str, Any]]:
    """Rows of a `datasets.Dataset`, class labels by name: as a number, 0 may well be "accept"."""
    from datasets import ClassLabel

    rows = [dict(row) for row in table]
    for name, feature in table.features.items():
        for row in rows if isinstance(feature, ClassLabel) else ():
            known = row[name] is not None and row[name] >= 0  # -1: no label
            row[name] = feature.int2str(row[name]) if known else None
    return rows


# -- files -----------------------------------------------------------------------------------------


def _read_file(path: Path, source: str) -> Iterator[tuple[str, Any]]:
    zipped = path.suffix == ".gz"
    suffix = Path(path.stem).suffix if zipped else path.suffix
    if suffix not in SUFFIXES:
        raise BadInput(f"{source}: found a {suffix or 'nameless'} file, expected "
                       f"{listed(SUFFIXES)}, each also with .gz")  # fmt: skip
    parse = {".csv": _parse_csv, ".tsv": _parse_tsv, ".parquet": _parse_parquet}
    # utf-8-sig: spreadsheets put a mark before the first column's name.
    text = {"mode": "rt", "encoding": "utf-8-sig", "newline": ""}
    try:
        with (gzip.open if zipped else open)(
            path, **({"mode": "rb"} if suffix == ".parquet" else text)
        ) as file:
            yield from parse.get(suffix, _parse_json)(file, source)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BadInput(f"{source}: broken gzip file: {error}") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{source}: not UTF-8 text: {error}") from None
    except OSError as error:
        raise BadInput(f"{source}: cannot be read: {error}") from None


def _parse_json(text: TextIO, source: str) -> Iterator[tuple[str, Any]]:
    """One object a line, or one list of objects."""
    begun = False
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        # A list that opens the file is the whole of it.
        whole, begun = line.lstrip().startswith("[") and not begun, True
        try:
            value = json.loads(line + text.read() if whole else line.strip())
        except (ValueError, RecursionError) as error:
            at = number + (getattr(error, "lineno", 1) - 1)
            reason = getattr(error, "msg", error)
            raise BadInput(f"{source}:{at}: malformed JSON: {reason}; expected one object a line, "
                           f"or one list of objects") from None  # fmt: skip
        if whole:
            yield from ((f"{source}: row {n}", row) for n, row in enumerate(value, 1))
        else:
            yield f"{source}:{number}", value


def _parse_csv(text: TextIO, source: str, **dialect: Any) -> Iterator[tuple[str, Any]]:
    reader = csv.reader(text, strict=True, **dialect)  # strict: an open quote swallows no rows
    header: list[str] = []
    start = 1
    try:
        for cells in reader:
            where, start = f"{source}:{start}", reader.line_num + 1
            if not cells:
                continue
            if not header:
                header = [cell.strip() for cell in cells]
                if twice := [name for name in header if header.count(name) > 1]:
                    raise BadInput(f"{where}: column {twice[0]!r} is there twice")
            elif len(cells) != len(header):
                raise BadInput(f"{where}: found {len(cells)} fields, expected {len(header)} as in "
                               f"the first line")  # fmt: skip
            else:
                yield where, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise BadInput(f"{source}:{start}: malformed CSV: {error}") from None


def _parse_tsv(text: TextIO, source: str) -> Iterator[tuple[str, Any]]:
    """Fields between tabs, as GLUE has them: a quotation mark is a letter like any other."""
    return _parse_csv(text, source, delimiter="\t", quoting=csv.QUOTE_NONE)


def _parse_parquet(file: BinaryIO, source: str) -> Iterator[tuple[str, Any]]:
    from datasets import Dataset
    from datasets.table import InMemoryTable
    from pyarrow import ArrowException
    from pyarrow.parquet import read_table

    try:
        rows = _labelled(Dataset(InMemoryTable(read_table(file))))
    except ArrowException as error:
        raise BadInput(f"{source}: cannot be read as Parquet: {error}") from None
    yield from ((f"{source}: row {n}", row) for n, row in enumerate(rows, 1))
