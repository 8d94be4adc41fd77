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


def grade(row: Row, outputs: list[str], scores: list[float] | None) -> Row:
    """answers, right: of each output; greedy_answer, correct: of the first, taken as the greedy.

        answers        [str | None, …], see `written`
        right          [bool, …]: whether that is the number `row["final"]`
        greedy_answer  str | None
        correct        bool

    What checkpoint selection grades has the greedy answer as its only output. Where a prediction
    has one beside its samples, `regrade` puts it in. Raises BadInput for outputs that are no texts.
    """
    answers = [written(output) for output in texts(row, outputs)]
    right = [same(answer, row["final"]) for answer in answers]
    first = zip(answers, right, strict=True)
    greedy_answer, is_correct = next(first, (None, False))
    return {
        "answers": answers,
        "right": right,
        "greedy_answer": greedy_answer,
        "correct": is_correct,
    }


def regrade(row: Row, prediction: Row) -> Row:
    """What `grade` gives the samples of a prediction, and its greedy answer of its own.

    Raises BadInput for outputs and seeds that do not go together.
    """
    seeds, outputs = prediction.get("seeds"), texts(row, prediction["outputs"])
    if seeds is not None and (not isinstance(seeds, list) or len(seeds) != len(outputs)):
        raise bad(row, "seeds", seeds, f"null or {len(outputs)}, one an output")
    greedy = grade(row, [text(row, "greedy", prediction["greedy"])], None)
    own = {key: greedy[key] for key in ("greedy_answer", "correct")}
    return {**grade(row, outputs, None), **own}


def correct(prediction: Row) -> bool:
    """Whether the greedy answer of a graded prediction is right."""
    return prediction["correct"]


def summary(predictions: list[Row]) -> str:
    """Share of problems whose greedy answer is right."""
    right = sum(row["correct"] for row in predictions)
    return f"right {100 * right / len(predictions):.1f} %"
