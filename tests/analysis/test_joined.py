"""`--run-ids` with points of other studies: stages 4 and 5 over two small ones and a third."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from lib.config.errors import BadInput
from lib.config.load import load_study
from lib.runs.files import write_json
from stages import stage4_evaluate, stage5_visualize
from tests.golden.layout import write_study
from tests.pipeline.test_sixth_question import STUDY, outputs_of

AXES = {"epochs": "train.epochs", "seed": "train.seed"}
GAIN = {"say": "two gain over one", "metric": "accuracy", "of": {"epochs": 2},
        "against": {"epochs": 1}, "gains": 0.05}  # fmt: skip


def written(root, name, outputs, rows=None, axes=AXES, **blocks):
    """A study of this name whose results lie beside those of the others."""
    changes = {**STUDY.changes, "name": name, "results_dir": str(root / "results"), "axes": axes,
               "claims": [GAIN], "figures": [{"lines": "accuracy", "x": "epochs"}],
               "grid": [{"epochs": [1, 2], "seed": [1], **blocks}]}  # fmt: skip
    rows = rows or STUDY.rows
    (root / name).mkdir()
    path = write_study(replace(STUDY, changes=changes, rows=rows, outputs_of=outputs), root / name)
    study = load_study(path)
    write_json(study.directory / "study.json", {"path": str(path), "overrides": {}})
    return study


def all_right(values, name):
    return outputs_of({"epochs": 4, "seed": 1}, name)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    root = tmp_path_factory.mktemp("joined")
    study = written(root, "one", outputs_of)
    written(root, "other", all_right)
    third = {"epochs": "train.epochs", "rate": "train.learning_rate", "seed": "train.seed"}
    written(root, "third", outputs_of, axes=third, rate=[1e-5])
    return study


def words(study, *names):
    return [str(study.path), "--run-ids", json.dumps([point.name for point in study.points()] +
                                                     list(names))]  # fmt: skip


def test_points_of_other_studies_stay_apart_and_belong_to_no_claim(one):
    of_third = load_study(one.results_dir.parent / "third" / "weighted_loss.yaml").point(0)
    given = words(one, "other/epochs1_seed1", f"third/{of_third.name}")
    assert stage4_evaluate.main(given) == 0
    assert stage5_visualize.main(given) == 0
    (comparison,) = one.directory.glob("comparison-*")
    tables = {name: pd.read_csv(comparison / "tables" / f"{name}.csv")
              for name in ("points", "estimates", "claims")}  # fmt: skip
    points = tables["points"].set_index("point")
    names = ["epochs1_seed1", "epochs2_seed1", "other/epochs1_seed1", f"third/{of_third.name}"]
    assert list(points.index) == names
    assert points.setting.is_unique
    assert list(points.study.fillna("")) == ["", "", "other", "third"]
    assert list(points.rate.isna()) == [True, True, True, False]
    estimates = tables["estimates"]
    kept = estimates[(estimates.of == "point") & (estimates.metric == "accuracy")]
    accuracy = kept[kept.slice.isna()].set_index("name").value
    assert dict(accuracy) == pytest.approx(dict(zip(names, (0.6, 0.8, 1.0, 0.6), strict=True)))
    assert tables["claims"].value[0] == pytest.approx(0.2)
    assert (comparison / "comparison_accuracy.png").exists()
    assert len(list(one.directory.glob("report-*.html"))) == 1
    other = one.results_dir / "other"
    assert not list(other.glob("comparison*"))
    assert not list(other.glob("*/metrics.json"))


def test_what_cannot_be_compared_is_refused_in_one_line(one):
    root = one.results_dir.parent
    rows = {"decision": STUDY.rows["decision"][:-1]}
    written(root, "shorter", lambda values, name: None, rows)
    for name, said in (
        ("shorter/epochs1_seed1", "shorter: another test set of decision: found .*, expected"),
        ("othr/epochs1_seed1", r"no study 'othr' in .*; did you mean 'other'\?"),
        ("other/epochs3_seed1", "no point is named 'epochs3_seed1'"),
    ):
        with pytest.raises(BadInput, match=said) as refused:
            stage4_evaluate.main(words(one, name))
        assert "\n" not in str(refused.value)
