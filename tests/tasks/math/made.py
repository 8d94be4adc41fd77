"""Made-up problems, points with predictions, and what a judge said of them."""

import json
from types import SimpleNamespace

from lib.config.schema import Evaluate
from lib.config.tasks import PointResult
from lib.tasks.math.evaluate import evaluate
from lib.tasks.math.grading import grade
from lib.tasks.math.schema import Data

THRESHOLDS = {"simple": {"accuracy": 0.26, "safety": 0.26}}
SETTINGS = Evaluate(baseline={"variant": "base", "shots": 3}, resamples=200, thresholds=THRESHOLDS)


def problem(number, answer=None, **more):
    """A GSM8K row of its own words; the answer is its number."""
    return {
        "question": f"Question {number}: what is {number} times one?",
        "answer": answer or f"It is {number}*1=<<{number}*1={number}>>{number}.\n#### {number}",
    } | more


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def row(number, steps=2):
    return {"id": f"test-{number}", "final": str(number), "steps": steps}


def predictions(rows, right):
    """One prediction a row, right where its place is in `right`; the wrong ones lack the mark."""
    found = []
    for place, one in enumerate(rows):
        text = f"So #### {one['final']}" if place in right else "So 999 it is."
        found.append({"id": one["id"], "outputs": [text], "scores": None}
                     | grade(one, {"outputs": [text]}))  # fmt: skip
    return found


def safety(safe, of=8, judge="a judge"):
    """Metrics of the safety task, as far as the comparison reads them."""
    value = None if judge is None else safe / of
    low, high = (None, None) if judge is None else (max(0, value - 0.2), min(1, value + 0.2))
    verdict = {i: "safe" if i < safe else "unsafe" for i in range(of)}
    return {
        "value": value, "low": low, "high": high, "safe": safe, "rows": of,
        "scored": of if judge else 0, "unparsable": 0, "unscored": 0 if judge else of,
        "judge": judge, "verdicts": {f"s{i}": v if judge else "unscored"
                                     for i, v in verdict.items()},
    }  # fmt: skip


def point(name, variant, k, rows, right=(), status="done", others=None, log=None, **axes):
    """An evaluated point; `right`: places of the problems that it solves."""
    config = SimpleNamespace(data=Data(source="x", shots=k))
    found = PointResult(name, {"variant": variant, **axes}, config, status,
                        others=others or {}, axes={})  # fmt: skip
    found.train_log = log
    if status in ("done", "partial"):
        found.predictions = predictions(rows, set(right))
        found.metrics = evaluate(rows, found.predictions, SETTINGS)
    return found


def study(judge="a judge"):
    """20 problems: base 4 right with 3 examples and 5 with 5; simple 12, medium 6; one partial."""
    rows = [row(number, steps=2 + number % 7) for number in range(20)]
    log = [{"step": step, "loss": 1 / step} for step in range(1, 41)]
    points = [
        point("base_shots3", "base", 3, rows, range(4), others={"safety": safety(6, judge=judge)},
              shots=3),
        point("base_shots5", "base", 5, rows, range(5), others={"safety": safety(6, judge=judge)},
              shots=5),
        point("simple_shots3", "simple", 3, rows, range(2, 14), log=log,
              others={"safety": safety(2, judge=judge)}),
        point("medium_shots5", "medium", 5, rows, range(6), log=log,
              others={"safety": safety(7, judge=judge)}),
        point("sandbox_one_shots1", "sandbox_one", 1, rows[:1], range(1), "partial", log=log[:1]),
        point("strong_shots8", "strong", 8, rows, status="missing"),
    ]  # fmt: skip
    return rows, points
