r"""Pairs of answers: training, validation and test split, prompt, and the two sides as tokens.

Row of a split:

    {"id": str, "prompt": {"messages": [Message, …]}, "chosen": str, "rejected": str,
     "target": str,            the chosen answer
     "source": str}            where the source tells one

The test pairs are those of the source's own split, or cut from its pairs. A prompt is never on both
sides of a cut: what training pairs share with any test pair goes, and cuts are made by prompt. A
draw goes by a hash of seed and prompt or id, so that it depends on no order of a file, and so that
a smaller test set is part of a larger one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

from lib.config.errors import BadInput, listed, nearest
from lib.config.tasks import Message, Row, Splits
from lib.data.sources import SYNTHETIC, Placed, is_file, origin, read_placed
from lib.data.splits import DEBUG_ROWS, cut_by, least, leave_out, shared_sections, shuffled
from lib.tasks.preference import synthetic
from lib.tasks.preference.pairs import Pair, described, read_pairs

PROMPT = attrgetter("prompt")  # the key of a pair
TEST_SHARE = 0.1  # of the pairs of a file that has no test pairs of its own
EXAMPLE = '{"prompt": …, "chosen": …, "rejected": …}'


def build(data: Any, wanted: Sequence[Any], evaluate: Any, debug: bool) -> Splits:
    """`train`, `test` and, unless data.validation is 0, `validation`, with a report.

    `debug`: at most 100 rows of each; `evaluate` changes nothing. Raises BadInput that names file
    and row of what cannot be used, and for a swept key of `data`.
    """
    data = shared_sections(data, wanted)[0]
    asked = {name: getattr(data, f"{name}_rows") for name in ("train", "validation", "test")}
    limits = {name: least(rows, DEBUG_ROWS if debug else None) for name, rows in asked.items()}
    train, test, report = _read(data, limits)
    if test is None:
        share = data.test_rows or _share(TEST_SHARE, train)
        test, train = _cut(train, least(share, limits["test"]), "data.test_rows", data)
    if not test:
        raise BadInput(f"{data.source}: no test pair can be used, of those of {data.test_split!r}")
    tested = set(map(PROMPT, test))
    kept, counts = leave_out(train, PROMPT, {"dropped_as_in_test": tested})
    report |= counts
    if not kept:
        raise BadInput(f"{data.source}: no pair is left for training that is not in the test set")
    splits = {"train": kept, "test": test}
    if data.validation:
        cut, rest = _cut(kept, _share(data.validation, kept), "data.validation", data)
        splits = {"train": rest, "validation": cut, "test": test}
    rows, report["splits"] = {}, {}
    for name, pairs in splits.items():
        drawn = shuffled(pairs, lambda pair: [data.seed, "draw", pair.row["id"]])[: limits[name]]
        share = {"asked": asked[name], "key": f"data.{name}_rows"}
        report["splits"][name] = described(drawn) | share
        rows[name] = [pair.row for pair in drawn]
    return Splits(rows, report | {"seed": data.seed, "debug": debug})


def train_split(data: Any) -> str:
    """The one training split."""
    return "train"


def messages(row: Row, data: Any, body: int | None = None) -> list[Message]:
    """The prompt as chat messages, with `data.system` where it has no system message of its own.

    `body` leaves nothing out: of a pair that is too long the answers lose their ends.
    """
    prompt = [dict(message) for message in row["prompt"]["messages"]]
    if data.system and prompt[0]["role"] != "system":
        prompt.insert(0, {"role": "system", "content": data.system})
    return prompt


def alternative_answer(row: Row) -> str:
    """The rejected answer."""
    return row["rejected"]


def summary(predictions: list[Row]) -> str:
    """Share of pairs whose chosen answer gained more on the reference; ties count ½."""
    gained = [
        (p["scores"][0] - p["reference"][0]) - (p["scores"][1] - p["reference"][1])
        for p in predictions
    ]
    right = sum((g > 0) + (g == 0) / 2 for g in gained)
    return f"right {100 * right / len(gained):.1f} %"


def encode(row: Row, tokenizer: Any, data: Any, max_length: int) -> Row | None:
    """Both sides of a row as tokens, see lib.data.encoding.encode_pair; None where nothing is left.

    Raises BadInput, with the row, where the chat template refuses the conversation.
    """
    from lib.data.encoding import encode_pair, naming

    with naming(row, data.source):
        pair = encode_pair(
            tokenizer, messages(row, data), row["chosen"], row["rejected"], max_length
        )
    return pair and {"id": row["id"], **pair}


def _read(data: Any, limits: Mapping[str, int | None]) -> tuple[list[Pair], list[Pair] | None, Row]:
    """Pairs to train on, pairs to test on (None where these are yet to be cut), and a report."""
    if data.source == SYNTHETIC:
        # Names of columns and splits are those of the real data that this stands in for.
        data = data.model_copy(update={"columns": {}, "split": "train", "test_split": "test"})
        rows = limits["train"] and int(limits["train"] / (1 - data.validation)) + 1
        made = synthetic.generate(rows or 1000, limits["test"] or 200, data.seed)
        placed = [(data.source, row) for row in made]
    else:
        placed = read_placed(data.source, data.split, EXAMPLE)
    from_hub = data.source != SYNTHETIC and not is_file(data.source)
    divided = not from_hub and _has_splits(placed, data)
    if divided:
        wanted = {"data.split": data.split}
        wanted |= {} if data.test_source else {"data.test_split": data.test_split}
        placed = _of_splits(placed, data.source, wanted, data)
    pairs, report = _pairs(data, data.source, data.split, placed)
    report = {"source": report, "test_source": None}
    if data.test_source or (from_hub and data.test_split):
        source, split = data.test_source or data.source, data.test_split or "test"
        placed = read_placed(source, split, EXAMPLE)
        if data.test_split and is_file(source) and _has_splits(placed, data):
            placed = _of_splits(placed, source, {"data.test_split": split}, data)
        test, report["test_source"] = _pairs(data, source, split, placed)
        return _of_split(pairs, data.split) if divided else pairs, test, report
    if divided and data.test_split:
        return _of_split(pairs, data.split), _of_split(pairs, data.test_split), report
    return _of_split(pairs, data.split) if divided else pairs, None, report


def _has_splits(placed: Placed, data: Any) -> bool:
    column = data.columns.get("split", "split")
    return any(column in row for _, row in placed)


def _of_splits(placed: Placed, source: str, wanted: Mapping[str, str | None], data: Any) -> Placed:
    """The rows of a file that its column `split` puts in one of the splits wanted.

    wanted: key of `data` → name. Raises BadInput for a name that no row has.
    """
    column = data.columns.get("split", "split")
    there = {str(row.get(column)).strip(): None for _, row in placed}
    for key, name in wanted.items():
        if name and name not in there:
            cut = ", or cut the test pairs off with data.test_split=null" if "test" in key else ""
            raise BadInput(
                f"{source}: column {column}: no row of {name!r}, found {listed(there)}"
                f"{nearest(name, there)}; name one with {key}{cut}"
            )
    return [one for one in placed if str(one[1].get(column)).strip() in wanted.values()]


def _of_split(pairs: list[Pair], name: str) -> list[Pair]:
    return [pair for pair in pairs if pair.split == name]


def _pairs(data: Any, source: str, split: str, placed: Placed) -> tuple[list[Pair], Row]:
    """Pairs of these rows, and what the manifest says of their source."""
    pairs, counts = read_pairs(data, source, placed)
    if not pairs:
        dropped = listed(
            f"{key} {count}" for key, count in counts.items() if count and key != "columns_not_read"
        )
        raise BadInput(
            f"{source}: none of {len(placed)} rows is a pair that can be used ({dropped})"
        )
    known = origin(source, split) | {"read": len(placed)}
    return pairs, known | counts | {"kept": described(pairs)}


def _cut(pairs: list[Pair], wanted: int, key: str, data: Any) -> tuple[list[Pair], list[Pair]]:
    """(cut, rest): all pairs of seeded prompts, `wanted` in number where prompts have one pair.

    Raises BadInput where nothing would be left.
    """
    times = Counter(map(PROMPT, pairs))
    taken = cut_by(pairs, PROMPT, wanted, lambda prompt: [data.seed, key, prompt])
    if times and not taken:  # every prompt has more pairs than are wanted: one of the fewest
        order = shuffled(times, lambda prompt: [data.seed, key, prompt])
        taken = {min(order, key=times.__getitem__)}
    if len(taken) == len(times):
        raise BadInput(
            f"{data.source}: {key}={getattr(data, key.removeprefix('data.'))} leaves no pair for "
            f"training: {len(pairs)} pairs of {len(times)} prompts are there"
        )
    cut = [pair for pair in pairs if pair.prompt in taken]
    return cut, [pair for pair in pairs if pair.prompt not in taken]


def _share(share: float, pairs: list[Pair]) -> int:
    return max(1, round(share * len(pairs)))
