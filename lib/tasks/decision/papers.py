"""Rows of a source → papers, one a normalised title, with a count of what was dropped.

    title, abstract or text, decision, perhaps id and year     see `schema.Paper`
    {"conversations": [{"from", "value"}], "system": …}        ShareGPT, as LLaMA-Factory writes it
    {"messages": [{"role", "content"}]}                        chat messages

The content of a file tells the three apart, not its name. A conversation is taken verbatim as the
prompt; its last answer is the decision.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
import shlex
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from lib.config.errors import BadInput
from lib.config.tasks import Message, Row
from lib.data.conversations import read_messages
from lib.data.fields import SYSTEM, is_missing, kind, shown, text, unread_columns
from lib.data.records import columns_of, find_columns, read_record
from lib.data.report import tally
from lib.data.sources import SYNTHETIC, Placed, origin, read_placed
from lib.tasks.decision import synthetic
from lib.tasks.decision.grading import ANSWERS, verdict
from lib.tasks.decision.schema import Paper

CHAT = ("conversations", "messages")  # columns of conversations
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
Papers = dict[str, Row]  # by normalised title


def read_papers(data: Any, source: str, split: str, part: tuple[int, int]) -> tuple[Papers, Row]:
    """Papers of a source by normalised title, and what was dropped.

    part: start and number of rows where the source is synthetic. Raises BadInput for missing
    columns, for columns that carry meaning and are not read, and, with file and row, for what is
    no paper.
    """
    if source == SYNTHETIC:
        placed = [(source, row) for row in synthetic.generate(part[1], data.seed, part[0])]
        names, unread = {name: name for name in placed[0][1]}, []
    else:
        placed = read_placed(source, split, '{"title": …, "abstract": …, "decision": …}')
        names, unread = _columns(placed, source, data)
    papers: Papers = {}
    drop = {_plain(label) for label in data.drop_labels}
    dropped: Counter[str] = Counter()
    unknown: dict[str | None, tuple[str, Any]] = {}
    ids: dict[str, str] = {}
    counts = dict.fromkeys(
        ("dropped_empty", "dropped_duplicates", "of_these_decided_otherwise"), 0
    )  # fmt: skip
    for where, row in placed:
        messages = _conversation(row, where) if _is_chat(row) else []
        label = messages.pop()["content"] if messages else row.get(names.get("decision"))
        if _plain(label) in drop:
            dropped["null" if _plain(label) is None else str(label).strip()] += 1
            continue
        decision = verdict(label) if messages else label_of(label)
        if decision not in ANSWERS:
            unknown.setdefault(_plain(label), (where, label))
            continue
        record = read_record(Paper, where, row, names)
        if not messages and not any(map(_text, (record.title, record.abstract, record.text))):
            if not data.drop_empty:
                raise BadInput(f"{where}: no text, expected a title, an abstract or a text; leave "
                               f"such rows out with data.drop_empty=true")  # fmt: skip
            counts["dropped_empty"] += 1
            continue
        odds = row["log_odds_true"] if source == SYNTHETIC else None
        title, paper = _paper(record, messages, decision, odds)
        if names.get("year") in row:
            paper["year"] = _year(record.year, where)
        if title in papers:
            counts["dropped_duplicates"] += 1
            counts["of_these_decided_otherwise"] += paper["decision"] != papers[title]["decision"]
            continue
        if (other := ids.setdefault(paper["id"], where)) != where:
            raise BadInput(
                f"{where}: id: found {paper['id']!r}, which {other} has too, expected "
                f"one of its own; another column is named with data.columns.id"
            )
        papers[title] = paper
    if unknown:
        raise _unknown_label(list(unknown.values()), data.drop_labels)
    return papers, origin(source, split) | {
        "read": len(placed),
        "dropped_labels": dict(dropped),
        **counts,
        "columns_not_read": unread,
        "kept": tally(papers.values(), "decision", "year"),
    }


def label_of(value: Any) -> str | None:
    """The decision that a label stands for, whatever its case; None for any other label."""
    plain = _plain(value)
    return next((d for d in ANSWERS if plain is not None and LABELS[d].fullmatch(plain)), None)


def content_hash(text: str) -> str:
    """SHA-256 of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


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


def _columns(placed: Placed, source: str, data: Any) -> tuple[dict[str, str], list[str]]:
    """Our name → the source's column, and the columns that nothing reads."""
    plain = [one for one in placed if not _is_chat(one[1])]
    chat = [one for one in placed if _is_chat(one[1])]
    needed = ["title", "decision"] if plain else []
    if plain and data.columns.get("text", "text") not in columns_of(placed):
        needed.append("abstract")
    names = find_columns(Paper, placed, source, data.columns, needed)
    read = {*names.values(), *CHAT}
    unread = unread_columns(plain, read, data.system, "data.system")
    unread += unread_columns(chat, {*read, SYSTEM[0]})
    return names, list(dict.fromkeys(unread))


def _is_chat(row: Mapping[str, Any]) -> bool:
    return any(column in row for column in CHAT)


def _conversation(row: Mapping[str, Any], where: str) -> list[Message]:
    """The messages of a row, which end in an answer. Raises BadInput where they are no such."""
    key, who = ("conversations", "from") if "conversations" in row else ("messages", "role")
    messages = read_messages(row[key], where, key)
    system = text(row.get("system"), where, "system")
    if system and system.strip():
        if messages and messages[0]["role"] == "system":
            raise BadInput(f"{where}: system: found a system message beside that of the "
                           f"conversation, expected one of the two")  # fmt: skip
        messages.insert(0, {"role": "system", "content": system})
    if not messages or messages[-1]["role"] != "assistant":
        raise BadInput(f"{where}: {key}: the last message is not an answer ({who} gpt or "
                       f"assistant)")  # fmt: skip
    if not any(m["role"] == "user" and m["content"].strip() for m in messages):
        raise BadInput(f"{where}: {key}: no text, expected a message {who} human or user")
    return messages


def _paper(
    record: Paper, messages: list[Message], decision: str, odds: float | None
) -> tuple[str, Row]:
    """(normalised title, row) of a record; without a title, its text takes the title's place.

    odds: of a synthetic paper, whose title is a number that tells rows apart and nothing else.
    """
    title = " ".join(_text(record.title).split())
    if messages:
        prompt: Row = {"messages": messages}
        body = "\n".join(message["content"] for message in messages)
        line = re.search(r"^[\s#*]*title[\s*]*:[\s*]*(\S.*)$", body, re.I | re.M)
        title = title or (line[1] if line else "")
    else:
        # The abstract first: a column named text may hold anything, even the decision.
        field = "text" if _text(record.text) and not _text(record.abstract) else "abstract"
        body = _text(getattr(record, field))
        prompt = {field: body} if odds is not None else {"title": title, field: body}
    content = normalised_title(body)
    key = normalised_title(title) or f"untitled {content_hash(content)}"
    row = {
        "id": record.id or content_hash(f"{key}\n{content}")[:12],
        "prompt": prompt,
        "target": ANSWERS[decision],
        "decision": decision,
    }
    return key, row if odds is None else row | {"log_odds_true": odds}


def _year(value: Any, where: str) -> int | None:
    if not _text(value):
        return None
    written = kind(value) if isinstance(value, list | dict) else _text(value)
    years = set(re.findall(r"(?<!\d)(?:19|20)\d\d(?!\d)", written))
    if len(years) != 1:
        raise BadInput(f"{where}: year: found {shown(written)!r}, expected a year such as 2021")
    return int(years.pop())


def _plain(label: Any) -> str | None:
    """A label as it is compared; null, not a number and blank text are None."""
    return _text(label).casefold() or None


def _text(value: Any) -> str:
    return "" if is_missing(value) else str(value).strip()


def _unknown_label(unknown: list[tuple[str, Any]], dropping: Sequence[Any]) -> BadInput:
    where, label = unknown[0]
    written = json.dumps(label, ensure_ascii=False, default=str)
    labels = [*dropping, *(_text(label) or None for _, label in unknown)]
    hint = "data.drop_labels"
    if len(labels) <= 8 and all(len(_text(label)) <= 40 for label in labels):
        hint = shlex.quote(f"data.drop_labels={json.dumps(labels, ensure_ascii=False)}")
    more = f" (and {len(unknown) - 1} more unknown labels)" if len(unknown) > 1 else ""
    return BadInput(
        f"{where}: decision: found {written[:80]}, expected {EXPECTED}{more}; leave such papers "
        f"out with {hint}"
    )
