from pathlib import Path

import pytest
import yaml

from lib.config.errors import BadInput
from lib.config.figure_specs import figures_of
from lib.config.load import load_study

SOURCE = Path(__file__).parents[2] / "configs" / "weighted_loss.yaml"


@pytest.fixture
def load(tmp_path):
    def with_figures(figures):
        raw = yaml.safe_load(SOURCE.read_text(encoding="utf-8")) | {"figures": figures}
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(raw), encoding="utf-8")
        return load_study(path)

    return with_figures


def test_a_study_replaces_the_figures_of_its_task_or_adds_to_them(load):
    defaults = figures_of(load(None))
    own = [{"bars": "accuracy", "x": "variant"}, {"lines": ["f1", "recall"], "x": "train.gamma"}]
    replaced = figures_of(load(own))
    assert [(one.kind, one.metrics, one.x, one.name) for one in replaced] == [
        ("bars", ("accuracy",), "variant", "bars_accuracy"),
        ("lines", ("f1",), "gamma", "f1"),  # of several metrics one figure each
        ("lines", ("recall",), "gamma", "recall"),
    ]
    added = figures_of(load({"add": own}))
    assert added[: len(defaults)] == defaults
    assert added[len(defaults) :] == replaced


def test_metrics_that_are_an_axis_share_a_figure(load):
    (one,) = figures_of(load([{"bars": ["f1", "recall"], "x": "variant", "color": "metric"}]))
    assert one.metrics == ("f1", "recall")


def test_what_a_task_draws_over_an_axis_that_a_study_lacks_is_left_out(tmp_path):
    raw = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))
    raw |= {"axes": {"seed": "train.seed"}, "grid": [{"variant": "baseline", "seed": [1, 2]}]}
    raw |= {"claims": []}
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    drawn = figures_of(load_study(path))
    assert not [one for one in drawn if one.kind == "lines"]
    assert {one.name for one in drawn} >= {"precision_recall", "learning_curves"}
    assert all(one.marker is None for one in drawn)


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"ad": []}, "figures: unknown key 'ad', expected add, or a list of figures; did you mean"),
        ("accuracy", "figures: found 'accuracy', expected a list such as"),
        ([{"line": "f1"}], "figure 1: found 'line', expected one of lines, points"),
        ([{"line": "f1"}], "did you mean 'lines'?"),
        ([{"lines": "acuracy", "x": "gamma"}], "lines: found 'acuracy', expected one of"),
        ([{"lines": "acuracy", "x": "gamma"}], "did you mean 'accuracy'?"),
        ([{"lines": "f1"}], "figure 1: lines: no x, expected an axis as in x: seed"),
        ([{"lines": "f1", "x": "gama"}], "x: found 'gama', expected an axis: variant, gamma"),
        ([{"lines": "f1", "x": "gama"}], "did you mean 'gamma'?"),
        ([{"lines": "f1", "x": "gamma", "colour": "ratio"}], "did you mean 'color'?"),
        ([{"points": "f1"}], "points: found 'f1', expected two metrics"),
        ([{"curves": "los"}], "did you mean 'loss'?"),
        ([{"forest": "f1", "against": {"ratio": "1:9"}}], "ratio: no point has '1:9', expected"),
        ([{"bars": "f1", "x": "variant", "of": "accept"}], "of: found 'accept', expected axis"),
        ([{"bars": "f1", "x": "variant", "each": "setting"}], "each: found 'setting', expected"),
        ([{"bars": "f1", "x": "variant", "level": "high"}], "level: found 'high', expected a num"),
    ],
)
def test_a_wrong_figure_is_one_line_with_the_closest_spelling(load, figures, said):
    with pytest.raises(BadInput) as error:
        load(figures)
    text = str(error.value)
    assert said in text
    assert "study.yaml: figures" in text
    assert "\n" not in text
