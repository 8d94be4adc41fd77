"""Hazardous requests, as AILuminate's prompt sets have them.

Row of the test split:

    {"id": str, "prompt": str, "hazard": str, "target": ""}

hazard is the code of the file. `limit` draws by all that a row tells: its hazard, the part of the
hazard (spc_lgl), and every further column of the file that divides the requests into a few kinds,
as AILuminate's persona and locale do. No answer is the right one, so that the target is empty. No
message quotes a request: a terminal or a log is no place for them, and the project carries none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

from lib.config.errors import BadInput, listed, nearest
from lib.config.tasks import Message, Row, Splits
from lib.data.fields import identifier, text, unread_columns
from lib.data.rows import stratified_sample
from lib.data.sources import SUFFIXES, Placed, guess_column, read_placed
from lib.runs.files import read_jsonl
from lib.runs.integrity import checksum
from lib.tasks.safety.schema import HAZARDS, SAMPLE, hazard_of

ALIASES = {
    "id": ("release_prompt_id", "prompt_id", "prompt_uid", "uid"),
    "prompt": ("prompt_text", "request", "question", "text", "goal"),
    "hazard": ("hazard_category", "category"),
}
KINDS = 12  # values that a column may have to count as kinds of requests
SEED = 0  # of the draw
# A dozen mild requests, one a hazard, so that trials and tests run where no prompt file is. They
# touch on their hazard and ask for nothing harmful: what they measure is that everything runs.
SAMPLE_FILE = Path(__file__).with_name("sample.jsonl")
EXAMPLE = '{"prompt_text": "…", "hazard": "dfm"}'
# Typographic characters U+20xx of which a careless conversion left the lower byte alone, U+00xx.
LOST = {low: chr(0x2000 + low) for low in (0x13, 0x14, 0x18, 0x19, 0x1C, 0x1D)}


def build(
    data: Any, wanted: Sequence[Any] = (), evaluate: Any = None, debug: bool = False
) -> Splits:
    """The test split, empty where there are no requests, with a report.

    A file that is not there leaves safety unmeasured, as `prompts: null` does: AILuminate's has to
    be fetched by hand, and the rest of a study does without. `wanted`, `evaluate` and `debug`
    change nothing: nothing is trained on, and `limit` alone says how many. Raises BadInput that
    names file and row, and never quotes a request; also for a file whose name is misspelt.
    """
    if data.prompts is None:
        return Splits({"test": []}, {"prompts": None, "missing": "prompts: null, not measured"})
    if data.prompts != SAMPLE and (missing := missing_file(data.prompts)):
        return Splits({"test": []}, {"prompts": data.prompts, "missing": missing})
    if data.prompts == SAMPLE:
        rows, report = read_jsonl(SAMPLE_FILE), {"prompts": SAMPLE}
        kinds: dict[str, tuple[Hashable, ...]] = {}
    else:
        rows, report, kinds = read_requests(data.prompts, data.columns, data.system)
    report |= {"read": len(rows), "limit": data.limit}
    rows = stratified_sample(
        rows,
        data.limit,
        lambda row: (hazard_of(row["hazard"]), row["hazard"], *kinds.get(row["id"], ())),
        lambda row: row["prompt"],
        SEED,
    )
    report["hazards"] = dict(Counter(row["hazard"] for row in rows))
    return Splits({"test": [{**row, "target": ""} for row in rows]}, report)


def read_requests(
    source: str, columns: dict[str, str], system: str | None = None
) -> tuple[list[Row], Row, dict[str, tuple[Hashable, ...]]]:
    """(rows, report, id → its values in further columns of kinds) of a file.

    The report says which columns were taken, and what was repaired. Raises BadInput for a file
    without a column of requests or hazards, and for a row that lacks either or repeats an id.
    """
    placed = read_placed(source, "", EXAMPLE)
    names = {ours: _column(ours, columns, placed[0][1], source) for ours in ALIASES}
    unread = unread_columns(placed, names.values(), system, "safety.system")
    divided = _columns_of_kinds(placed, unread)
    rows: list[Row] = []
    kinds: dict[str, tuple[Hashable, ...]] = {}
    seen: dict[str, str] = {}
    repaired: Counter[str] = Counter()
    for number, (where, record) in enumerate(placed, 1):
        row = {
            "id": _id(record, names["id"], where) if names["id"] else f"row-{number}",
            "prompt": _repair(_text(record, names["prompt"], where), repaired),
            "hazard": _text(record, names["hazard"], where).strip().lower(),
        }
        if row["id"] in seen:
            raise BadInput(f"{where}: {names['id']}: {row['id']!r} is there twice, first in "
                           f"{seen[row['id']]}")  # fmt: skip
        seen[row["id"]] = where
        kinds[row["id"]] = tuple(str(record.get(column)) for column in divided)
        rows.append(row)
    unknown = sorted({row["hazard"] for row in rows if hazard_of(row["hazard"]) not in HAZARDS})
    return rows, {
        "prompts": {"file": source, "sha256": checksum(Path(source).expanduser())},
        "columns": names,
        "strata": ["hazard", *divided],
        "columns_not_read": [column for column in unread if column not in divided],
        "repaired_rows": dict(repaired),
        "hazards_unknown_to_ailuminate": unknown,
    }, kinds  # fmt: skip


def _columns_of_kinds(placed: Placed, columns: Sequence[str]) -> list[str]:
    """Columns with two to KINDS values, each of several rows: they say what kind a request is."""
    found = []
    for column in columns:
        counts = Counter(str(row.get(column)) for _, row in placed)
        if 2 <= len(counts) <= KINDS and min(counts.values()) > 1:
            found.append(column)
    return found[:4]  # all combinations of them are balanced


def missing_file(source: str) -> str | None:
    """What to say of a file that is not there; None where it is.

    Raises BadInput for the name of no file, or where one beside it is spelled much the same.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return None
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    hint = nearest(path.name, [*beside, SAMPLE])
    if hint or not path.name.removesuffix(".gz").endswith(SUFFIXES):
        raise BadInput(f"safety.prompts: {source}: no such file, expected AILuminate's CSV or "
                       f"{SAMPLE!r}{hint}")  # fmt: skip
    return f"prompts: {source}: no such file, not measured"


def messages(row: Row, data: Any, body: int | None = None) -> list[Message]:
    """The request as a chat; it is never shortened."""
    system = [{"role": "system", "content": data.system}] if data.system else []
    return [*system, {"role": "user", "content": row["prompt"]}]


def _column(ours: str, columns: dict[str, str], record: Row, source: str) -> str | None:
    """The file's column; None where it has no ids."""
    if ours in columns:
        name = columns[ours]
        if name not in record:
            raise BadInput(f"{source}: safety.columns: no column {name!r} for {ours}, found "
                           f"{listed(record)}{nearest(name, record)}")  # fmt: skip
        return name
    found = guess_column(ours, ALIASES[ours], record)
    if found is None and ours != "id":
        usual = listed([ours, *ALIASES[ours]])
        raise BadInput(f"{source}: no column of the {ours}s, found {listed(record)}, expected one "
                       f"of {usual}; name it with safety.columns={{{ours}: …}}")  # fmt: skip
    return found


def _id(record: Row, name: str, where: str) -> str:
    given = identifier(record.get(name), where, name)
    if given is None:
        raise BadInput(f"{where}: {name}: found no words, expected an id")
    return given


def _text(record: Row, name: str, where: str) -> str:
    value = text(record.get(name), where, name)
    if value is None or not value.strip():
        raise BadInput(f"{where}: {name}: found no words, expected text")
    return value


def _repair(request: str, repaired: Counter[str]) -> str:
    """The request as it was meant; counts the rows of each oddity."""
    if "\r" in request:
        repaired["carriage returns"] += 1
        request = request.replace("\r\n", "\n").replace("\r", "\n")
    for low in LOST:
        if chr(low) in request:
            repaired[f"U+{low:04X} for U+{0x2000 + low:04X}"] += 1
    return request.translate(LOST).strip()
