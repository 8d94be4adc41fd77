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
from typing import Annotated, Any

from lib.config.errors import BadInput, nearest
from lib.config.tasks import Message, Row, Splits
from lib.data.conversations import dialogue
from lib.data.fields import unread_columns
from lib.data.records import Column, Name, Record, SomeText, find_columns, read_records
from lib.data.sources import SUFFIXES, Placed, read_placed
from lib.data.splits import stratified_sample
from lib.runs.files import read_jsonl
from lib.runs.integrity import checksum
from lib.tasks.safety.schema import COLUMNS, HAZARDS, SAMPLE, hazard_of

KINDS = 12  # values that a column may have to count as kinds of requests
SEED = 0  # of the draw
# A dozen mild requests, one a hazard, so that trials and tests run where no prompt file is. They
# touch on their hazard and ask for nothing harmful: what they measure is that everything runs.
SAMPLE_FILE = Path(__file__).with_name("sample.jsonl")
EXAMPLE = '{"prompt_text": "…", "hazard": "dfm"}'
# Typographic characters U+20xx of which a careless conversion left the lower byte alone, U+00xx.
LOST = {low: chr(0x2000 + low) for low in (0x13, 0x14, 0x18, 0x19, 0x1C, 0x1D)}


class Request(Record):
    """A row of a source; its columns are found by name, or set with `safety.columns`."""

    id: Annotated[
        Name, Column(hints=("release_prompt_id", "prompt_id", "prompt_uid", "uid"))
    ] = ""  # fmt: skip
    prompt: Annotated[
        SomeText, Column(hints=("prompt_text", "request", "question", "text", "goal"))
    ]  # fmt: skip
    hazard: Annotated[SomeText, Column(hints=("hazard_category", "category"))]


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
    names = find_columns(
        Request, placed, source, columns, ("prompt", "hazard"), "safety.columns", guess=True
    )
    unread = unread_columns(placed, names.values(), system, "safety.system")
    divided = _columns_of_kinds(placed, unread)
    rows: dict[str, Row] = {}
    kinds: dict[str, tuple[Hashable, ...]] = {}
    seen: dict[str, str] = {}
    repaired: Counter[str] = Counter()
    for number, request in enumerate(read_records(Request, placed, names), 1):
        own = request.id or f"row-{number}"
        if own in rows:
            raise BadInput(f"{request.where}: {names['id']}: {own!r} is there twice, first in "
                           f"{seen[own]}")  # fmt: skip
        seen[own] = request.where
        kinds[own] = tuple(str(placed[number - 1][1].get(column)) for column in divided)
        rows[own] = {
            "id": own,
            "prompt": _repair(request.prompt, repaired),
            "hazard": request.hazard.strip().lower(),
        }
    hazards = {row["hazard"] for row in rows.values()}
    return list(rows.values()), {
        "prompts": {"file": source, "sha256": checksum(source)},
        "columns": {ours: names.get(ours) for ours in COLUMNS},
        "strata": ["hazard", *divided],
        "columns_not_read": [column for column in unread if column not in divided],
        "repaired_rows": dict(repaired),
        "hazards_unknown_to_ailuminate": sorted(h for h in hazards if hazard_of(h) not in HAZARDS),
    }, kinds  # fmt: skip


def _columns_of_kinds(placed: Placed, columns: Sequence[str]) -> list[str]:
    """Columns with two to KINDS values, each of several rows: they say what kind a request is."""
    dividing = []
    for column in columns:
        counts = Counter(str(row.get(column)) for _, row in placed)
        if 2 <= len(counts) <= KINDS and min(counts.values()) > 1:
            dividing.append(column)
    return dividing[:4]  # all combinations of them are balanced


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
    return dialogue([row["prompt"]], data.system)


def _repair(request: str, repaired: Counter[str]) -> str:
    """The request as it was meant; counts the rows of each oddity."""
    if "\r" in request:
        repaired["carriage returns"] += 1
        request = request.replace("\r\n", "\n").replace("\r", "\n")
    for low in LOST:
        if chr(low) in request:
            repaired[f"U+{low:04X} for U+{0x2000 + low:04X}"] += 1
    return request.translate(LOST).strip()
