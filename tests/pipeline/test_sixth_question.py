"""A question of one's own, asked in YAML alone: a new axis, two claims and two figures.

Does a longer training make reviewers more accurate? Predictions are written down; stages 4 and 5 do
the rest.
"""

from random import Random

import pandas as pd
import pytest

from stages import stage4_evaluate, stage5_visualize
from tests.golden.layout import write_study
from tests.golden.simulation import Outputs, Simulation, log, normal
from tests.golden.weighted_loss import RIGHT, papers

EPOCHS = (1, 2, 4)


def outputs_of(values, name):
    """The more epochs, the more answers are right: 60, 80 and 100 %; one diverges."""
    epochs, draw = values["epochs"], Random(name)
    if (epochs, values["seed"]) == (4, 2):
        return Outputs("diverged", log(6, draw, diverges=True))
    wrong = {1: 5, 2: 10}.get(epochs)
    made = []
    for number, row in enumerate(papers()):
        other = {"accept": "reject", "reject": "accept"}[row["decision"]]
        said = other if wrong and number % wrong < 2 else row["decision"]
        z = abs(normal(draw)) + 0.5
        scores = [-0.5, -0.5 - z] if said == "accept" else [-0.5 - z, -0.5]
        made.append({"id": row["id"], "prompt_hash": f"{number:012x}", "outputs": [RIGHT[said]],
                     "scores": scores})  # fmt: skip
    return Outputs(log=log(6, draw), predictions={"decision": made})


STUDY = Simulation(
    config="weighted_loss",
    changes={
        "axes": {"epochs": "train.epochs", "seed": "train.seed"},
        "variants": None,
        "train.weighted_class": None,
        "evaluate.resamples": 200,
        "evaluate.baseline": {"epochs": 1},
        "grid": [{"epochs": list(EPOCHS), "seed": [1, 2, 3]}],
        "claims": [
            {"say": "two epochs gain 5 points over one", "metric": "accuracy",
             "of": {"epochs": 2}, "against": {"epochs": 1}, "gains": 0.05},
            {"say": "accuracy above 90 % everywhere", "metric": "accuracy", "above": 0.9},
        ],
        "figures": [
            {"lines": "accuracy", "x": "epochs", "title": "More epochs, more right"},
            {"forest": "accuracy", "against": {"epochs": 1}},
        ],
    },
    rows={"decision": papers()},
    outputs_of=outputs_of,
)  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    root = tmp_path_factory.mktemp("sixth")
    path = write_study(STUDY, root)
    assert stage4_evaluate.main([str(path)]) == 0
    assert stage5_visualize.main([str(path)]) == 0
    return root / "results" / path.stem


def test_claims_are_decided(results):
    claims = pd.read_csv(results / "tables" / "claims.csv").set_index("claim")
    assert list(claims.verdict) == ["pass", "fail"]
    assert claims.value[1] == pytest.approx(0.2)  # 80 − 60 %


def test_settings_average_their_seeds(results):
    estimates = pd.read_csv(results / "tables" / "estimates.csv", keep_default_na=False)
    kept = estimates[(estimates.of == "setting") & (estimates.metric == "accuracy")]
    kept = kept[kept.slice == ""]
    assert list(kept.value.astype(float)) == pytest.approx([0.6, 0.8, 1.0])
    assert list(kept.seeds.astype(float)) == [3, 3, 2]  # one diverged


def test_the_two_figures_are_there_and_say_what_they_show(results):
    drawn = sorted(path.name for path in (results / "comparison").glob("*.png"))
    assert drawn == ["comparison_accuracy.png", "comparison_forest_accuracy.png"]
    captions = (results / "comparison" / "captions.md").read_text(encoding="utf-8")
    assert "Accuracy runs from 60.0 %" in captions
    assert "it rises (by 40.0 percentage points)" in captions
    assert "2 of 2 settings higher and 0 lower" in captions


def test_the_report_has_verdicts_figures_and_what_diverged(results):
    page = (results / "report.html").read_text(encoding="utf-8")
    for text in ("two epochs gain 5 points over one", "More epochs, more right", "diverged"):
        assert text in page
    assert page.count("data:image/png;base64,") == 2
