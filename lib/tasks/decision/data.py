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

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lib.config.errors import BadInput
from lib.config.tasks import Message, Row, Splits
from lib.data.conversations import dialogue
from lib.data.report import tally
from lib.data.sources import SYNTHETIC, is_file
from lib.data.splits import DEBUG_ROWS, shared_sections
from lib.tasks.decision.grading import ANSWERS
from lib.tasks.decision.papers import Papers, content_hash, read_papers

INSTRUCTION = "Should this paper be accepted?"
ENDING = rf"Answer with {ANSWERS['accept']} or {ANSWERS['reject']}."

# -- splits ----------------------------------------------------------------------------------------


def build(data: Any, wanted: Sequence[Any], evaluate: Any, debug: bool) -> Splits:
    """The test set and one training set for each ratio in `wanted`, with a report.

    `debug`: training sets of 100 rows, and at most 100 test rows; `evaluate` changes nothing.
    Raises BadInput that names file and row of what cannot be used, or says how many papers are
    missing.
    """
    sections = {one.ratio: one for one in shared_sections(data, wanted, ("ratio",))}
    data = next(iter(sections.values()))
    train_rows = DEBUG_ROWS if debug else data.train_rows
    test_rows = min(data.test_rows, DEBUG_ROWS) if debug else data.test_rows
    papers, held_out, report = _read(data, train_rows, test_rows)

    test, half = [], test_rows // 2
    for decision in ANSWERS:
        drawn = _drawn(held_out, decision, data.seed)[:half]
        if missing := half - len(drawn):
            source = (report["test_source"] or report["source"])["source"]
            raise BadInput(f"{source}: data.test_rows={test_rows} needs {half} {decision}s, "
                           f"{len(drawn)} are there: {missing} missing")  # fmt: skip
        test += drawn
    tested = set(test)
    left = {title: row for title, row in papers.items() if title not in tested}
    # Papers that became the source's own test set are not lost; those in another one are.
    report["dropped_as_in_test"] = 0 if held_out is papers else len(papers) - len(left)

    pools = {decision: _drawn(left, decision, data.seed) for decision in ANSWERS}
    rows = _training_rows(list(sections), train_rows, {d: len(pools[d]) for d in pools}, debug)
    splits = {"test": _mixed(test, held_out, data.seed)}
    for ratio, section in sections.items():
        name, accepts = train_split(section), accepts_of(ratio, rows)
        drawn = pools["accept"][:accepts] + pools["reject"][: rows - accepts]
        splits[name] = _mixed(drawn, left, data.seed)
    report["splits"] = {name: tally(rows, "decision", "year") for name, rows in splits.items()}
    return Splits(splits, report | {"seed": data.seed, "debug": debug})


def train_split(data: Any) -> str:
    """`train_1-2` for a ratio of 1:2."""
    return f"train_{data.ratio.replace(':', '-')}"


def accepts_of(ratio: str, rows: int) -> int:
    """Accepts among `rows` training rows; half a paper is rounded up."""
    accepts, rejects = map(int, ratio.split(":"))
    return (2 * rows * accepts + accepts + rejects) // (2 * (accepts + rejects))


def _read(data: Any, train_rows: int | None, test_rows: int) -> tuple[Papers, Papers, Row]:
    """Papers to train on, papers to test on (the same object where these are yet to be cut)."""
    # The synthetic corpus has no end. The test papers come from its head, whatever is trained on.
    head = max(200, 4 * test_rows)
    tail = max(2000, 4 * (train_rows or 0))
    papers, kept = read_papers(data, data.source, data.split, (head, tail))
    if not data.test_source and not data.test_split and data.source != SYNTHETIC:
        return papers, papers, {"source": kept, "test_source": None}
    source = data.test_source or data.source
    if data.test_split and (source == SYNTHETIC or is_file(source)):
        raise BadInput(f"data.test_split: {source} has no splits, as a data set of the hub has; "
                       f"name a second file with data.test_source")  # fmt: skip
    held_out, held = read_papers(data, source, data.test_split or "test", (0, head))
    return papers, held_out, {"source": kept, "test_source": held}


def _drawn(papers: Papers, decision: str, seed: int) -> list[str]:
    """Titles of the papers with this decision, in the seeded order in which they are drawn."""
    titles = [title for title, row in papers.items() if row["decision"] == decision]
    return sorted(titles, key=lambda title: content_hash(f"{seed}/draw/{papers[title]['id']}"))


def _mixed(titles: Iterable[str], papers: Papers, seed: int) -> list[Row]:
    rows = [papers[title] for title in titles]
    return sorted(rows, key=lambda row: content_hash(f"{seed}/order/{row['id']}"))


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


def messages(row: Row, data: Any, body: int | None = None) -> list[Message]:
    """The prompt of a row as chat messages; `body` keeps that many characters of its text.

    A paper loses its end. A conversation, which is taken verbatim, loses the middle of its last
    question: what is asked mostly stands at one of the ends.
    """
    prompt = row["prompt"]
    if "messages" in prompt:
        messages, last = [dict(message) for message in prompt["messages"]], _question(row)
        text = messages[last]["content"]
        if body is not None and body < len(text):
            tail = body // 2
            messages[last]["content"] = f"{text[: body - tail]}\n…\n{text[len(text) - tail :]}"
        return messages
    instruction = INSTRUCTION if data.instruction is None else data.instruction
    ending = ENDING if data.ending is None else data.ending
    field = "text" if "text" in prompt else "abstract"
    text = prompt[field][:body]
    paper = f"Title: {prompt['title']}\n{field.capitalize()}: {text}" if "title" in prompt else text
    parts = [part for part in (instruction, paper, ending) if part]
    return dialogue(["\n\n".join(parts)], data.system)


def body_length(row: Row) -> int:
    """Characters that `messages` could leave out."""
    prompt = row["prompt"]
    if "messages" in prompt:
        return len(prompt["messages"][_question(row)]["content"])
    return len(prompt.get("text", prompt.get("abstract", "")))


def _question(row: Row) -> int:
    messages = row["prompt"]["messages"]
    return max(i for i, message in enumerate(messages) if message["role"] == "user")


def alternative_answer(row: Row) -> str:
    """The other answer."""
    return ANSWERS["reject" if row["decision"] == "accept" else "accept"]


def loss_class(row: Row) -> str:
    """The class whose loss γ may multiply: accept or reject."""
    return row["decision"]


def answers(data: Any) -> list[str]:
    """Both full answers, accept first."""
    return list(ANSWERS.values())
