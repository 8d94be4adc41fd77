"""The numbers that answers end in, and which of them are right.

Answers are read as those of the task math: their last number counts. Here each number is also
written in one way, so that 18, 18.00 and $18 are one candidate of a vote.
"""

from __future__ import annotations

from lib.config.tasks import Row
from lib.inference.outputs import bad, text, texts
from lib.tasks.math.grading import flexible, number, same


def written(output: str) -> str | None:
    """The last number of a text, in its one spelling: `$1,800.0` → `1800`; None without one."""
    value = number(flexible(output))
    if value is None:
        return None
    plain = format(value, "f")
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return "0" if plain == "-0" else plain


def grade(row: Row, prediction: Row) -> Row:
    """answers, right: of each sample; greedy_answer, correct: of the greedy answer.

        answers        [str | None, …], see `written`
        right          [bool, …]: whether that is the number `row["final"]`
        greedy_answer  str | None
        correct        bool

    Raises BadInput for outputs that are no texts, and seeds that are not one an output.
    """
    outputs, seeds = texts(row, prediction["outputs"]), prediction.get("seeds")
    if seeds is not None and (not isinstance(seeds, list) or len(seeds) != len(outputs)):
        raise bad(row, "seeds", seeds, f"null or {len(outputs)}, one an output")
    answers = [written(output) for output in outputs]
    greedy = written(text(row, "greedy", prediction["greedy"]))
    return {
        "answers": answers,
        "right": [same(answer, row["final"]) for answer in answers],
        "greedy_answer": greedy,
        "correct": same(greedy, row["final"]),
    }
