"""Records of a source → papers, one a normalised title, with a count of what was dropped."""

from __future__ import annotations

import hashlib
import html
import json
import re
import shlex
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from lib.config.errors import BadInput
from lib.config.tasks import Row
from lib.data.fields import identifier, is_missing, kind, shown, text
from lib.data.sources import is_file
from lib.runs.integrity import checksum
from lib.tasks.decision import sources, synthetic
from lib.tasks.decision.grading import ANSWERS, verdict

LABELS = {
    "accept": re.compile(r"accept(ed)?(\s*[(:].*)?|poster|spotlight|oral|true|1(\.0)?", re.S),
    "reject": re.compile(r"reject(ed)?(\s*[(:].*)?|false|0(\.0)?", re.S),
}
EXPECTED = ("accept, accepted, accept (…), poster, spotlight, oral, true, 1, or reject, rejected, "
            "reject (…), false, 0")  # fmt: skip
SIGNS = frozenset("*#%@")  # that tell names apart, as Sm (+ < = > ± ×) does
MINUS = frozenset("-\u2010\u2011\u2012\u2013\u2212")
SIGNED = re.compile(r"[\W_].\d")
DECIMAL = re.compile(r"\d\.\d")
TEXTS = ("title", "abstract", "text")
Papers = dict[str, Row]  # by normalised title


def read_papers(data: Any, source: str, split: str, part: tuple[int, int]) -> tuple[Papers, Row]:
    """Papers of a source by normalised title, and what was dropped; `part`: start, rows."""
    report: Row = {"source": source}
    unread: list[str] = []
    if source == synthetic.SOURCE:
        start, rows = part
        placed = [(source, row) for row in synthetic.generate(rows, data.seed, start)]
    else:
        placed, unread = sources.read_rows(source, split, data.columns, data.system)
        report |= {"sha256": checksum(source)} if is_file(source) else {
            "split": split}  # fmt: skip
    papers: Papers = {}
    drop, dropped = {_plain(label) for label in data.drop_labels}, Counter()
    unknown: dict[str | None, tuple[str, Any]] = {}
    ids: dict[str, str] = {}
    empty = duplicates = conflicts = 0
    for where, record in placed:
        label = record.get("answer", record.get("decision"))
        if _plain(label) in drop:
            dropped["null" if _plain(label) is None else str(label).strip()] += 1
            continue
        decision = verdict(label) if "answer" in record else label_of(label)
        if decision not in ANSWERS:
            unknown.setdefault(_plain(label), (where, label))
            continue
        record = _read(record, where)
        if _is_empty(record):
            if not data.drop_empty:
                raise BadInput(f"{where}: no text, expected a title, an abstract or a text; leave "
                               f"such rows out with data.drop_empty=true")  # fmt: skip
            empty += 1
            continue
        title, row = _paper(record, decision, where)
        if title in papers:
            duplicates += 1
            conflicts += row["decision"] != papers[title]["decision"]
            continue
        if (other := ids.setdefault(row["id"], where)) != where:
            raise BadInput(
                f"{where}: id: found {row['id']!r}, which {other} has too, expected "
                f"one of its own; another column is named with data.columns.id"
            )
        papers[title] = row
    if unknown:
        raise _unknown_label(list(unknown.values()), data.drop_labels)
    return papers, report | {
        "read": len(placed),
        "dropped_labels": dict(dropped),
        "dropped_empty": empty,
        "dropped_duplicates": duplicates,
        "of_these_decided_otherwise": conflicts,
        "columns_not_read": unread,
        "kept": described(papers.values()),
    }


def described(rows: Collection[Row]) -> Row:
    """Counts of rows by decision, and by year where there are years."""
    accepts = sum(row["decision"] == "accept" for row in rows)
    years = Counter(str(row["year"]) for row in rows if "year" in row)
    counts = {
        "rows": len(rows),
        "accepts": accepts,
        "rejects": len(rows) - accepts,
        "share": accepts / len(rows) if rows else None,
    }
    return counts | ({"years": dict(sorted(years.items()))} if years else {})


def label_of(value: Any) -> str | None:
    """The decision that a label stands for, whatever its case; None for any other label."""
    plain = _plain(value)
    return next((d for d in ANSWERS if plain is not None and LABELS[d].fullmatch(plain)), None)


def normalised_title(title: str) -> str:
    """A title without case, accents, LaTeX, markup, punctuation: what makes two papers one.

    Operators and the signs of names stay: C++, C# and C, A* and A, x < y and x > y are different.
    """
    title = html.unescape(title)
    title = re.sub(r"</?(?:i|b|u|em|strong|sub|sup|tt|span)\b[^<>]*>", "", title, flags=re.I)
    title = re.sub(r"\\(?:emph|text\w*|math\w+|it|bf|em|rm|sc|tt)\b", "", title)
    title = re.sub(r"""\\["'`^~=.]\s*\{?(\w)\}?""", r"\1", title)  # \"{o} → o
    title = re.sub(r"(\*{1,2})(?=\S)([^*]+)(?<=\S)\1", r"\2", title)  # **bold**
    title = unicodedata.normalize("NFC", title).replace("&", " and ").replace("\\", " ")
    kept = []
    title = f" {title} "
    for place, char in enumerate(title):
        if char in MINUS:  # a hyphen, unless it is the sign of a number
            kept.append(" - " if SIGNED.match(title, place - 1) else " ")
        elif char in SIGNS or (unicodedata.category(char) == "Sm" and char not in "|~"):
            kept.append(f" {char} ")
        elif char == "." and DECIMAL.match(title, place - 1):
            kept.append(char)
        else:
            kept.append(_letters(char))
    return " ".join("".join(kept).split())


def _letters(char: str) -> str:
    """A character in lower case without its accents, a space for what is no letter or digit."""
    if char.isascii():
        return char.lower() if char.isalnum() else " "
    letters = unicodedata.normalize("NFKD", char).casefold()
    if letters[:1].isascii():  # marks are accents on Latin letters alone: elsewhere they are vowels
        letters = "".join(c for c in letters if not unicodedata.combining(c))
    marked = unicodedata.category(char)[0] in "LMN"
    return letters if marked or letters.replace(" ", "").isalnum() else " "


def _plain(label: Any) -> str | None:
    """A label as it is compared; null, not a number and blank text are None."""
    return _text(label).casefold() or None


def _text(value: Any) -> str:
    return "" if is_missing(value) else str(value).strip()


def content_hash(text: str) -> str:
    """SHA-256 of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _read(record: Mapping[str, Any], where: str) -> Row:
    """A record whose texts are text. Raises BadInput for what is none."""
    texts = {key: text(record[key], where, key) for key in TEXTS if key in record}
    return {**record, **texts, "id": identifier(record.get("id"), where, "id")}


def _is_empty(record: Mapping[str, Any]) -> bool:
    return not any(_text(record.get(key)) for key in ("title", "abstract", "text", "answer"))


def _paper(record: Mapping[str, Any], decision: str, where: str) -> tuple[str, Row]:
    """(normalised title, row) of a record; without a title, its text takes the title's place."""
    title = " ".join(_text(record.get("title")).split())
    if "messages" in record:
        prompt: Row = {"messages": record["messages"]}
        body = "\n".join(message["content"] for message in record["messages"])
        line = re.search(r"^[\s#*]*title[\s*]*:[\s*]*(\S.*)$", body, re.I | re.M)
        title = title or (line[1] if line else "")
    else:
        # The abstract first: a column named text may hold anything, even the decision.
        field = "text" if _text(record.get("text")) and not _text(record.get("abstract")) else (
            "abstract")  # fmt: skip
        body = _text(record.get(field))
        # The corpus' titles are numbers that tell rows apart and nothing else.
        prompt = {field: body} if "log_odds_true" in record else {"title": title, field: body}
    content = normalised_title(body)
    key = normalised_title(title) or f"untitled {content_hash(content)}"
    row = {
        "id": _text(record.get("id")) or content_hash(f"{key}\n{content}")[:12],
        "prompt": prompt,
        "target": ANSWERS[decision],
        "decision": decision,
    }
    if "year" in record:
        row["year"] = _year(record["year"], where)
    if "log_odds_true" in record:
        row["log_odds_true"] = record["log_odds_true"]
    return key, row


def _year(value: Any, where: str) -> int | None:
    if not _text(value):
        return None
    written = kind(value) if isinstance(value, list | dict) else _text(value)
    found = set(re.findall(r"(?<!\d)(?:19|20)\d\d(?!\d)", written))
    if len(found) != 1:
        raise BadInput(f"{where}: year: found {shown(written)!r}, expected a year such as 2021")
    return int(found.pop())


def _unknown_label(unknown: list[tuple[str, Any]], dropping: Sequence[Any]) -> BadInput:
    where, label = unknown[0]
    shown = json.dumps(label, ensure_ascii=False, default=str)
    labels = [*dropping, *(_text(label) or None for _, label in unknown)]
    hint = "data.drop_labels"
    if len(labels) <= 8 and all(len(_text(label)) <= 40 for label in labels):
        hint = shlex.quote(f"data.drop_labels={json.dumps(labels, ensure_ascii=False)}")
    more = f" (and {len(unknown) - 1} more unknown labels)" if len(unknown) > 1 else ""
    return BadInput(f"{where}: decision: found {shown[:80]}, expected {EXPECTED}{more}; leave such "
                    f"papers out with {hint}")  # fmt: skip
