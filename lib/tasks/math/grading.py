r"""The number that an answer ends in, and whether it is the right one.

    strict     what follows the first `#### `, as lm-evaluation-harness reads it
    flexible   the last number of the text

The harness (gsm8k.yaml) compares texts; here numbers are compared: 18, 18.00, $18 are one number,
and so are 1800 and 1,800. A run of digits that ends in dots ("18...") is no number. All texts,
those of gold answers too, are read with their typography made plain (`typography.plain`), so that
−5 is no 5; what can be read in two ways is found, and is no number.
"""

from __future__ import annotations

import re
from decimal import Decimal

from lib.config.tasks import Row
from lib.inference.outputs import NONE_PARSED, texts
from lib.tasks.math import typography
from lib.tasks.math.typography import AMBIGUOUS, ATTACHED, FRACTIONS

MARK = "####"
# Source: lm-evaluation-harness, lm_eval/tasks/gsm8k/gsm8k.yaml, filter "strict-match".
STRICT = re.compile(r"#### (-?[0-9.,]+)")
DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!,?\d)|\d+)"
# A minus counts as a sign only where nothing stands before it that it could be subtracted from:
# "5-3" holds 5 and 3. The dots of "18..." belong to what is found, so that it is no number.
SIGN = r"(?:(?<![\w)\]$.,€])-\$?|\$-?|±\$?)?"
NUMBER = re.compile(
    rf"{SIGN}(?:{AMBIGUOUS}|{DIGITS}(?:\.\d+)?|(?<!\d)\.\d+)(?:\.{{2,}}|[{ATTACHED}]+)?"
    rf"|[{FRACTIONS}]"
)
WHOLE = re.compile(rf"(?:-\$?|\$-?)?(?:{DIGITS}(?:\.\d+)?|\.\d+)")
ANNOTATION = re.compile(r"<<[^<>]*>>")


def number(text: str | None) -> Decimal | None:
    """The number that a text is, with `$`, thousands separators and one last `.` or `,` allowed.

    None where it is anything else: "18..." and "1,80" are no numbers.
    """
    text = typography.plain(text or "").strip()
    text = text[:-1] if text[-1:] in (".", ",") else text
    return Decimal(re.sub("[$,]", "", text)) if WHOLE.fullmatch(text) else None


def strict(text: str) -> str | None:
    """What stands behind the first `#### `, None where nothing like a number does."""
    text = typography.plain(text)
    found = STRICT.search(text)
    if found is None:
        return None
    # "1 234,5" and "2½" go on where the harness's pattern ends.
    number = NUMBER.match(text, found.start(1))
    return max(found[1], number[0] if number else "", key=len)


def flexible(text: str) -> str | None:
    """The last number of a text, in plain typography; None where there is none."""
    found = [one[0] for one in NUMBER.finditer(typography.plain(text))]
    return found[-1] if found else None


def same(said: str | None, gold: str) -> bool:
    """Whether two texts are the same number; what is no number equals nothing."""
    value = number(said)
    return value is not None and value == number(gold)


def final(answer: str) -> str | None:
    """What stands behind the last `####` of a worked answer; None without any, or with nothing."""
    _, mark, last = answer.rpartition(MARK)
    return (last.strip() or None) if mark else None


def steps(answer: str) -> int:
    """Steps of a worked answer: its calculator annotations, without any its lines before `####`."""
    worked = answer.rpartition(MARK)[0]
    lines = [line for line in worked.splitlines() if line.strip()]
    return len(ANNOTATION.findall(worked)) or len(lines)


def plain(answer: str) -> str:
    """A worked answer without its calculator annotations."""
    return ANNOTATION.sub("", answer)


def grade(row: Row, prediction: Row) -> Row:
    """strict, flexible: what was said; correct_strict, correct: whether it is `row["final"]`.

    Of the first output; `correct` goes by the last number. steps: of the gold answer. Raises
    BadInput for outputs that are no texts.
    """
    text = next(iter(texts(row, prediction["outputs"])), "")
    marked, last = strict(text), flexible(text)
    return {
        "strict": marked,
        "flexible": last,
        "correct_strict": same(marked, row["final"]),
        "correct": same(last, row["final"]),
        "steps": row["steps"],
    }


def summary(predictions: list[Row], answer: str = "flexible") -> str:
    """Share of problems with the right last number; answer: the key of the number that was read."""
    if all(row[answer] is None for row in predictions):
        return NONE_PARSED
    right = sum(row["correct"] for row in predictions)
    return f"right {100 * right / len(predictions):.1f} %"
