r"""Papers and their decisions: a balanced test set, training sets at exact ratios, prompt, grade.

Row of a split:

    {"id": str, "prompt": {"title": str, "abstract" | "text": str} | {"messages": [Message, …]},
     "target": "\boxed{Accept}" | "\boxed{Reject}", "decision": "accept" | "reject",
     "year": int | None        where the source has years
     "log_odds_true": float}   where the source is synthetic

Rows whose decision is in `data.drop_labels` go first. Of papers with one normalised title the first
stays; where a later one was decided otherwise, that is counted. Then the test set is drawn, and
from the rest every training set. A draw takes the papers of a class in the order of a hash of seed
and id: the test set depends on neither ratio nor size, and the accepts of 1:8 are among those of
1:2, so that ratios are compared on shared papers.
"""

from __future__ import annotations

import hashlib
import html
import json
import math
import re
import shlex
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from lib.errors import BadInput
from lib.tasks import Message, Row, Splits
from lib.tasks.decision import sources, synthetic

ANSWERS = {"accept": r"\boxed{Accept}", "reject": r"\boxed{Reject}"}
INSTRUCTION = "Should this paper be accepted?"
ENDING = rf"Answer with {ANSWERS['accept']} or {ANSWERS['reject']}."
LABELS = {
    "accept": re.compile(r"accept(ed)?(\s*[(:].*)?|poster|spotlight|oral|true|1(\.0)?", re.S),
    "reject": re.compile(r"reject(ed)?(\s*[(:].*)?|false|0(\.0)?", re.S),
}
EXPECTED = ("accept, accepted, accept (…), poster, spotlight, oral, true, 1, or reject, rejected, "
            "reject (…), false, 0")  # fmt: skip
DEBUG_ROWS = 100
# Keys that every point of a study must share.
SHARED = ("source", "split", "test_source", "test_split", "columns", "drop_labels", "drop_empty",
          "train_rows", "test_rows", "seed")  # fmt: skip
Papers = dict[str, Row]  # by normalised title

# -- splits ----------------------------------------------------------------------------------------


def build(data: Any, wanted: Sequence[Any], debug: bool) -> Splits:
    """The test set and one training set for each ratio in `wanted`, with a report.

    `debug`: training sets of 100 rows, and at most 100 test rows. Raises BadInput that names file
    and row of what cannot be used, or says how many papers are missing.
    """
    wanted = list(wanted) or [data]
    data, sections = wanted[0], {one.ratio: one for one in wanted}
    for key in SHARED:
        if any(getattr(one, key) != getattr(data, key) for one in wanted):
            raise BadInput(f"data.{key}: found different values among the points, expected one: "
                           f"all sets are cut from the same papers (sweep data.ratio)")  # fmt: skip
    train_rows = DEBUG_ROWS if debug else data.train_rows
    test_rows = min(data.test_rows, DEBUG_ROWS) if debug else data.test_rows
    papers, held_out, report = _read(data, train_rows, test_rows)

    half = test_rows // 2
    for decision in ANSWERS:
        if (missing := half - len(_drawn(held_out, decision, data.seed))) > 0:
            source = (report["test_source"] or report["source"])["source"]
            raise BadInput(f"{source}: data.test_rows={test_rows} needs {half} {decision}s, "
                           f"{half - missing} are there: {missing} missing")  # fmt: skip
    test = [title for d in ANSWERS for title in _drawn(held_out, d, data.seed)[:half]]
    tested = set(test)
    left = {title: row for title, row in papers.items() if title not in tested}
    # Papers that became the source's own test set are not lost; those found in another one are.
    report["dropped_as_in_test"] = 0 if held_out is papers else len(papers) - len(left)

    pools = {decision: _drawn(left, decision, data.seed) for decision in ANSWERS}
    rows = _training_rows(list(sections), train_rows, {d: len(pools[d]) for d in pools}, debug)
    splits = {"test": _mixed(test, held_out, data.seed)}
    report["splits"] = {"test": _described(splits["test"]) | {"nominal_share": 0.5}}
    for ratio, section in sections.items():
        name, accepts = train_split(section), accepts_of(ratio, rows)
        drawn = pools["accept"][:accepts] + pools["reject"][: rows - accepts]
        splits[name] = _mixed(drawn, left, data.seed)
        report["splits"][name] = _described(splits[name]) | {"nominal_share": _share(ratio)}
    return Splits(splits, report | {"seed": data.seed, "debug": debug})


def train_split(data: Any) -> str:
    """`train_1-2` for a ratio of 1:2."""
    return f"train_{data.ratio.replace(':', '-')}"


def accepts_of(ratio: str, rows: int) -> int:
    """Accepts among `rows` training rows; half a paper is rounded up."""
    accepts, rejects = map(int, ratio.split(":"))
    return (2 * rows * accepts + accepts + rejects) // (2 * (accepts + rejects))


def _share(ratio: str) -> float:
    accepts, rejects = map(int, ratio.split(":"))
    return accepts / (accepts + rejects)


def _read(data: Any, train_rows: int | None, test_rows: int) -> tuple[Papers, Papers, Row]:
    """Papers to train on, papers to test on (the same object where these are yet to be cut)."""
    # The synthetic corpus has no end. The test papers come from its head, whatever is trained on.
    head = max(200, 4 * test_rows)
    tail = max(2000, 4 * (train_rows or 0))
    made = synthetic.SOURCE
    papers, kept = _papers(data, data.source, data.split, (head, tail))
    if not data.test_source and not data.test_split and data.source != made:
        return papers, papers, {"source": kept, "test_source": None}
    source = data.test_source or data.source
    if data.test_split and (source == made or sources.is_file(source)):
        raise BadInput(f"data.test_split: {source} has no splits, as a data set of the hub has; "
                       f"name a second file with data.test_source")  # fmt: skip
    held_out, held = _papers(data, source, data.test_split or "test", (0, head))
    return papers, held_out, {"source": kept, "test_source": held}


def _papers(data: Any, source: str, split: str, part: tuple[int, int]) -> tuple[Papers, Row]:
    """Papers of a source by normalised title, and what was dropped; `part`: start, rows."""
    report: Row = {"source": source}
    if source == synthetic.SOURCE:
        start, rows = part
        placed = [(source, row) for row in synthetic.generate(rows, data.seed, start)]
    else:
        placed = sources.read_rows(source, split, data.columns)
        report |= {"sha256": sources.checksum(source)} if sources.is_file(source) else {
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
        "kept": _described(papers.values()),
    }


def _drawn(papers: Papers, decision: str, seed: int) -> list[str]:
    """Titles of the papers with this decision, in the seeded order in which they are drawn."""
    titles = [title for title, row in papers.items() if row["decision"] == decision]
    return sorted(titles, key=lambda title: _hash(f"{seed}/draw/{papers[title]['id']}"))


def _mixed(titles: Iterable[str], papers: Papers, seed: int) -> list[Row]:
    rows = [papers[title] for title in titles]
    return sorted(rows, key=lambda row: _hash(f"{seed}/order/{row['id']}"))


def _training_rows(ratios: list[str], asked: int | None, left: Mapping[str, int],
                   debug: bool) -> int:  # fmt: skip
    """Rows of every training set: as asked, or the most that each ratio allows."""

    def needs(ratio: str, rows: int) -> dict[str, int]:
        return {"accept": (a := accepts_of(ratio, rows)), "reject": rows - a}

    def too_many(rows: int) -> bool:
        return any(need > left[d] for r in ratios for d, need in needs(r, rows).items())

    largest = bisect_right(range(sum(left.values()) + 1), False, key=too_many) - 1
    rows = largest if asked is None else asked
    for ratio in ratios:
        for decision, need in needs(ratio, rows).items():
            if need > left[decision]:
                fits = "" if debug else f"; data.train_rows={largest} would fit every ratio"
                raise BadInput(
                    f"data.ratio {ratio} needs {need} {decision}s in {rows} training rows, "
                    f"{left[decision]} are left after the test set: {need - left[decision]} "
                    f"missing{fits}"
                )
            if need == 0:
                raise BadInput(
                    f"data.ratio {ratio} needs at least 1 {decision}, a training set of {rows} "
                    f"rows has none; {left['accept']} accepts and {left['reject']} rejects are "
                    f"left after the test set"
                )
    return rows


def _described(rows: Collection[Row]) -> Row:
    accepts = sum(row["decision"] == "accept" for row in rows)
    years = Counter(str(row["year"]) for row in rows if "year" in row)
    counts = {
        "rows": len(rows),
        "accepts": accepts,
        "rejects": len(rows) - accepts,
        "share": accepts / len(rows) if rows else None,
    }
    return counts | ({"years": dict(sorted(years.items()))} if years else {})


# -- a paper ---------------------------------------------------------------------------------------


def label_of(value: Any) -> str | None:
    """The decision that a label stands for, whatever its case; None for any other label."""
    plain = _plain(value)
    return next((d for d in ANSWERS if plain is not None and LABELS[d].fullmatch(plain)), None)


def normalised_title(title: str) -> str:
    """A title without case, accents, LaTeX, markup, punctuation: what makes two papers one."""
    title = html.unescape(title)
    title = re.sub(r"</?(?:i|b|u|em|strong|sub|sup|tt|span)\b[^<>]*>", "", title, flags=re.I)
    title = re.sub(r"\\(?:emph|text\w*|math\w+|it|bf|em|rm|sc|tt)\b", "", title)
    title = re.sub(r"""\\["'`^~=.]\s*\{?(\w)\}?""", r"\1", title)  # \"{o} → o
    folded = unicodedata.normalize("NFKD", title).casefold()
    letters = (c if c.isalnum() else " " for c in folded if not unicodedata.combining(c))
    return " ".join("".join(letters).split())


def _plain(label: Any) -> str | None:
    """A label as it is compared; null, not a number and blank text are None."""
    return _text(label).casefold() or None


def _text(value: Any) -> str:
    return "" if value is None or value != value else str(value).strip()


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


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
        prompt = {"title": title, field: body}
    content = normalised_title(body)
    key = normalised_title(title) or f"untitled {_hash(content)}"
    row = {"id": _text(record.get("id")) or _hash(f"{key}\n{content}")[:12], "prompt": prompt,
           "target": ANSWERS[decision], "decision": decision}  # fmt: skip
    if "year" in record:
        row["year"] = _year(record["year"], where)
    if "log_odds_true" in record:
        row["log_odds_true"] = record["log_odds_true"]
    return key, row


def _year(value: Any, where: str) -> int | None:
    if not _text(value):
        return None
    found = set(re.findall(r"(?<!\d)(?:19|20)\d\d(?!\d)", _text(value)))
    if len(found) != 1:
        raise BadInput(f"{where}: year: found {_text(value)[:60]!r}, expected a year such as 2021")
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


# -- prompt ----------------------------------------------------------------------------------------


def messages(row: Row, data: Any, body: int | None = None) -> list[Message]:
    """The prompt of a row as chat messages; `body` keeps that many characters of its text.

    A paper loses its end. A conversation, which is taken verbatim, loses the middle of its last
    question: what is asked mostly stands at one of the ends.
    """
    prompt = row["prompt"]
    if "messages" in prompt:
        said, last = [dict(message) for message in prompt["messages"]], _question(row)
        text = said[last]["content"]
        if body is not None and body < len(text):
            tail = body // 2
            said[last]["content"] = f"{text[: body - tail]}\n…\n{text[len(text) - tail :]}"
        return said
    instruction = INSTRUCTION if data.instruction is None else data.instruction
    field = "text" if "text" in prompt else "abstract"
    paper = f"Title: {prompt['title']}\n{field.capitalize()}: {prompt[field][:body]}"
    return [{"role": "user", "content": f"{instruction}\n\n{paper}\n\n{ENDING}".strip()}]


def body_length(row: Row) -> int:
    """Characters that `messages` could leave out."""
    prompt = row["prompt"]
    if "messages" in prompt:
        return len(prompt["messages"][_question(row)]["content"])
    return len(prompt.get("text", prompt.get("abstract", "")))


def _question(row: Row) -> int:
    said = row["prompt"]["messages"]
    return max(i for i, message in enumerate(said) if message["role"] == "user")


def contrast(row: Row) -> str:
    """The other answer."""
    return ANSWERS["reject" if row["decision"] == "accept" else "accept"]


def group(row: Row) -> str:
    """The class whose loss γ may multiply: accept or reject."""
    return row["decision"]


def answers(data: Any) -> list[str]:
    """Both full answers, accept first."""
    return list(ANSWERS.values())


# -- grade -----------------------------------------------------------------------------------------


def verdict(text: str) -> str:
    r"""accept, reject or unknown: what the `\boxed{…}` say, without one what the plain text says.

    Unknown where nothing or both are said, and where one is negated ("not accept", "don't reject").
    """
    said = [_named(content) for content in _boxes(text)] or [_named(text)]
    named = set().union(*said)
    return named.pop() if len(named) == 1 else "unknown"


def grade(row: Row, outputs: list[str], scores: list[float] | None) -> Row:
    """prediction (see `verdict`), p_accept, log_odds and neither of a row's first output.

    With a and r the log-probabilities of the two full answers: log_odds = a − r,
    p_accept = σ(a − r), neither = 1 − e^a − e^r, the mass on other answers. They are None without
    scores, the first two also where both answers are impossible; one alone counts as e^−10000.
    """
    graded: Row = {"prediction": verdict(outputs[0]) if outputs else "unknown"}
    graded |= dict.fromkeys(("p_accept", "log_odds", "neither"))
    if scores is None or any(score is None or math.isnan(score) for score in scores):
        return graded
    accept, reject = scores
    graded["neither"] = min(1.0, max(0.0, 1 - math.exp(min(accept, 0)) - math.exp(min(reject, 0))))
    if max(accept, reject) > -math.inf:
        z = max(accept, -1e4) - max(reject, -1e4)
        small = math.exp(-abs(z))
        graded |= {"log_odds": z, "p_accept": (1 if z > 0 else small) / (1 + small)}
    return graded


def _boxes(text: str) -> list[str]:
    r"""Contents of every closed `\boxed{…}`; braces inside may nest."""
    contents = []
    for opened in re.finditer(r"\\boxed\s*\{", text):
        depth = 1
        for at in range(opened.end(), len(text)):
            depth += {"{": 1, "}": -1}.get(text[at], 0)
            if depth == 0:
                contents.append(text[opened.end() : at])
                break
    return contents


def _named(text: str) -> set[str]:
    """Which of accept(ed) and reject(ed) stand in a text as words; both where one is negated."""
    text = text.replace("\\", " ")
    if re.search(r"(?:\bnot|n['’]t|\bnever|\bcannot)\s+(?:[\w-]+\s+){0,2}(?:accept|reject)"
                 r"(?:ed)?(?![a-z])", text, re.I):  # fmt: skip
        return set(ANSWERS)
    return {m.lower() for m in re.findall(r"(?<![a-z])(accept|reject)(?:ed)?(?![a-z])", text, re.I)}
