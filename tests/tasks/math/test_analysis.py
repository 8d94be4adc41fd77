"""Metrics of a point, by hand; which settings have the same examples."""

from types import SimpleNamespace

import pandas as pd
import pytest
from scipy.stats import binomtest

from lib.config.schema import Evaluate
from lib.tasks.math.analysis import ANALYSIS, FAMILY, same_examples
from lib.tasks.math.grading import grade
from lib.tasks.math.schema import Data
from tests.tasks.measured import runs_of

EVAL_CONFIG = Evaluate(baseline={"variant": "base", "shots": 3}, resamples=200)


def graded(row, text):
    prediction = {"id": row["id"], "outputs": [text]}
    return prediction | grade(row, prediction)


def test_metrics_of_five_problems():
    """Right both ways; right by the last number; by the mark alone; wrong; without a number."""
    rows = [{"id": str(n), "final": "7", "steps": s} for n, s in enumerate((2, 2, 3, 8, 11))]
    texts = ["#### 7", "It is 7", "#### 7, not 8", "#### 8", "None."]
    made = [graded(row, text) for row, text in zip(rows, texts, strict=True)]
    found = runs_of(ANALYSIS, rows, made, EVAL_CONFIG)
    of_all = {name: run.value for (name, part), run in found.items() if not part}
    assert of_all == {
        "accuracy": 0.4, "accuracy_strict": 0.4, "parsed": 0.8, "parsed_strict": 0.6, "ended": 0.6,
    }  # fmt: skip
    low, high = binomtest(2, 5).proportion_ci(0.95, "wilson")
    assert found["accuracy", ""].interval == (pytest.approx(low), pytest.approx(high), "wilson")
    steps = {part: (run.value, run.n) for (name, part), run in found.items()
             if name == "accuracy" and part}  # fmt: skip
    assert steps == {"steps=2": (1, 2), "steps=3": (0, 1), "steps=8+": (0, 2)}


def test_each_setting_meets_the_base_model_with_its_examples():
    shots = {"base3": 3, "base5": 5, "simple": 3, "medium": 5, "strong": 8}
    study = SimpleNamespace(points=lambda: [
        SimpleNamespace(name=name, config=SimpleNamespace(data=Data(source="x", shots=k)))
        for name, k in shots.items()
    ])  # fmt: skip
    points = pd.DataFrame({
        "point": list(shots), "setting": [f"setting {name}" for name in shots],
        "variant": ["base", "base", "simple", "medium", "strong"],
        "baseline": ["yes", None, None, None, None],
    })  # fmt: skip
    assert same_examples(study, points) == [
        (FAMILY, "setting simple", "setting base3"), (FAMILY, "setting medium", "setting base5"),
    ]  # fmt: skip
