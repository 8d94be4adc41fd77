"""What a study file may say under `search:` and `selected:`, and the study of the best trial."""

import itertools
import re
from types import SimpleNamespace

import pytest
import yaml

from lib.config.errors import BadInput
from lib.config.load import load_study
from lib.config.search_checks import trial_config
from lib.config.search_space import Dimension, dimension
from lib.config.selected import is_selected, mark
from lib.config.tasks import Comparison
from lib.search import best
from lib.search.trials import trial_count
from tests.conftest import REPOSITORY
from tests.search.conftest import STUDY

PUBLISHED = {
    "iw_lora_search": (30, {
        "train.learning_rate": {"float": [1e-5, 5e-4], "log": True},
        "train.batch_size": {"categorical": [16, 32, 64]},
        "train.importance.alpha": {"float": [1e-5, 1e-3], "log": True},
    }),
    "td_dpo_search": (36, {
        "train.beta": {"categorical": [0.01, 0.05, 0.5, 2.5]},
        "train.tau": {"categorical": [0.5, 1, 2]},
        "train.learning_rate": {"float": [5e-6, 5e-5], "log": True},
    }),
    "dpo_search": (20, {
        "train.beta": {"categorical": [0.01, 0.05, 0.5, 2.5]},
        "train.learning_rate": {"float": [5e-6, 5e-5], "log": True},
    }),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_spaces_of_the_specifications(name, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    study = load_study(f"configs/{name}.yaml")
    space = {key: values.describe() for key, values in study.space.items()}
    assert (study.search.trials, space) == PUBLISHED[name]
    for values in itertools.product(*(values.samples() for values in study.space.values())):
        trial_config(study, dict(zip(study.space, values, strict=True)))
    assert trial_count(study) == study.search.trials
    assert trial_count(load_study(f"configs/{name}.yaml", ["mode=trial"])) == 0


def space(**values):
    return {"space": {key.replace("__", "."): value for key, value in values.items()}}


LR = {"float": [1e-5, 1e-3]}
REFUSED = {
    "swept": (space(train__lora__dropout=LR), "a key that the grid sweeps .axis 'drop'"),
    "unknown": (space(train__learning_rat=LR), "unknown key, .* 'train.learning_r"),
    "log of 0": (space(train__learning_rate={"float": [0, 1], "log": True}), "log: found low 0"),
    "low is high": (space(train__learning_rate={"float": [1, 1]}), "low 1 and high 1"),
    "low above high": (space(train__lora__r={"int": [9, 4]}), "low 9 and high 4, expected low < h"),
    "type of a choice": (space(train__batch_size={"categorical": [16, "x"]}),
                         "search.space: train.batch_size = 'x': .*expected a valid integer"),
    "choice": (space(train__gamma={"categorical": [1, 0]}), "train.gamma"),
    "of an int": (space(train__lora__r={"int": [0, 4]}), "train.lora.r = 0: .*greater than or eq"),
    "one choice": (space(train__lora__r={"categorical": [4]}), "expected a list of two or more"),
    "kind": (space(train__lora__r={"integer": [4, 8]}), "integer: unknown key.*did you mean 'int'"),
    "halves": (space(train__lora__r={"int": [4, 8.5]}), "expected two whole numbers"),
    "data": (space(data__validation={"float": [0.1, 0.2]}), "expected one of train: data and mod"),
    "seed": (space(train__seed={"int": [1, 9]}), "grid sweeps"),
    "unread": (space(train__adalora__init_r={"int": [9, 12]}), "nothing reads it .*tuning is lora"),
    "no result": (space(train__log_steps={"int": [1, 9]}), "it changes no result"),
    "empty": ({"space": {}}, "search.space: found {}, expected .*at least 1"),
    "test": ({"metric": "accuracy"}, "of the test set, expected one of validation_accuracy, val"),
    "test split": ({"metric": "test_accuracy"}, "of the test set"),
    "metric": ({"metric": "validation_acuracy"}, "validation_loss; did you mean 'validation_ac"),
    "minimise accuracy": ({"direction": "minimise"}, "found 'minimize', expected 'maximize'"),
    "maximise loss": ({"metric": "validation_loss"}, "expected 'minimize': a good .* is low"),
    "grid sampler": ({"sampler": "grid"}, "search.sampler: found 'grid', expected 'tpe' or 'ran"),
    "key": ({"trails": 3}, "search.trails: unknown key.*did you mean 'trials'"),
    "axis": ({"fixed": {"sed": 1}}, "unknown axis 'sed', .*did you mean 'seed'"),
    "open": ({"fixed": {"seed": 1}}, "no value for the axis 'variant', which the grid sweeps"),
    "variant": ({"fixed": {"seed": 1, "variant": "plan"}}, "'plan' does not exist.*'plain'"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_bad_searches_are_refused_in_one_line(write_search, run_stage, case):
    search, message = REFUSED[case]
    ended = run_stage("search", write_search(search))
    assert ended.code == 2
    assert len(ended.err.splitlines()) == 1
    assert re.search(message, ended.err), ended.err


@pytest.mark.parametrize(("train", "data", "search", "message"), [
    ({}, {"validation": 0.0}, {}, "validates nothing: data.validation is 0"),
    ({"validations": None}, {}, {"pruner": "median"}, "pruner: found 'median', but"),
])  # fmt: skip
def test_a_study_that_does_not_validate(write_search, train, data, search, message):
    train, data = {**STUDY["train"], **train}, {**STUDY["data"], **data}
    with pytest.raises(BadInput, match=message):
        load_study(write_search(search, train=train, data=data))


def test_a_loss_whose_scale_is_searched_chooses_nothing(monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    words = ["search.metric=validation_loss", "search.direction=minimize"]
    with pytest.raises(BadInput, match=r"whose scale train.beta changes, expected validation_acc"):
        load_study("configs/td_dpo_search.yaml", words)


def test_overrides_of_a_searched_key_are_refused(write_search):
    with pytest.raises(BadInput, match="is searched, and set on the command line: 0.1"):
        load_study(write_search(), ["train.learning_rate=0.1"])


def test_a_trial_has_its_parameters_over_those_of_its_variant(study):
    train = trial_config(study, {"train.batch_size": 32, "train.importance.alpha": 5e-4}).train
    assert (train.batch_size, train.importance.alpha, train.seed) == (32, 5e-4, 42)


def test_distance_and_place_on_the_scale_of_a_dimension():
    rate = dimension({"float": [1e-5, 1e-1], "log": True}, "")
    assert rate.place(1e-3) == pytest.approx(0.5)
    assert rate.distance(1e-5, 1e-1) == pytest.approx(1)
    assert dimension({"int": [0, 10]}, "").distance(2, 7) == pytest.approx(0.5)
    assert Dimension("categorical", (8, 16)).distance(8, 16) == 1


def attempt(params, value, state="COMPLETE"):
    return SimpleNamespace(params=params, value=value, state=SimpleNamespace(name=state))


def test_best_and_its_neighbours(study):
    def at(rate, batch, value, state="COMPLETE"):
        params = {"train.learning_rate": rate, "train.batch_size": batch,
                  "train.importance.alpha": 1e-4}  # fmt: skip
        return attempt(params, value, state)

    current = {0: at(1e-3, 16, 0.8), 1: at(1e-3, 8, 0.9), 2: at(1e-4, 8, 0.9),
               3: at(1e-3, 8, 0.99, "PRUNED"), 4: at(1e-5, 8, 0.1)}  # fmt: skip
    assert best.best_of(current, "validation_accuracy") == 1
    assert best.best_of(current, "validation_loss") == 4
    near = best.neighbours(current, 1, study.space)
    # one decade of three: 1/3 over three keys; two decades: 2/3; another batch size: 1
    assert [n for n, _ in near] == [2, 4, 0]
    assert [d for _, d in near] == pytest.approx([1 / 27**0.5, 2 / 27**0.5, 1 / 3**0.5])


PARAMS = {"train.learning_rate": 1e-3, "train.batch_size": 32, "train.importance.alpha": 5e-4}


def test_the_study_of_the_best_runs_with_fresh_seeds_and_marks_its_points(
    study, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    path = best.write_best_study(study, {2: attempt(PARAMS, 0.75)}, 2)
    assert str(path) == "configs/generated/found-best.yaml"
    made = load_study(path)
    points = list(made.points())
    assert {p.config.train.seed for p in points} == {44, 45, 46}  # 42: trials; 43: the grid
    chosen = [p for p in points if is_selected(made, p)]
    assert {p.values["variant"] for p in chosen} == {"penalised"}
    assert {p.config.train.learning_rate for p in chosen} == {1e-3}
    assert {p.config.train.learning_rate for p in points if p not in chosen} == {1e-5}
    assert made.directory == tmp_path / "results" / "found-best"
    assert made.search is None

    rows = [{"point": p.name} for p in points]
    compared = Comparison(tables={"points": {}}, rows=rows, criteria="# What\n\n- one\n\n# More\n")
    mark(made, compared)
    assert [row["selected"] for row in rows] == ["", "", "", *["selected"] * 3]
    assert compared.tables["selected"]["seeds"] == [42]
    line = compared.criteria.splitlines()[2]
    assert line.startswith("- Selected: train.learning_rate = 0.001, ")
    assert "trial 2 of 6, validation_accuracy 0.7500 with seed 42" in line
    assert compared.criteria.splitlines()[3] == "- one"


def test_what_chose_a_point_cannot_confirm_it(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = best.write_best_study(study, {2: attempt(PARAMS, 0.75)}, 2)
    content = yaml.safe_load(path.read_text())
    content["grid"][0]["seed"] = [44, 42]
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(BadInput, match=r"seed 42, by which it was selected, expected new seeds"):
        load_study(path)
    content["grid"][0]["variant"] = "plain"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(BadInput, match=r"selected.where: .* matches no point of the grid"):
        load_study(path)


def test_a_study_without_a_seed_axis_gets_one(write_search, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write_search({"fixed": {}}, axes={"drop": "train.lora.dropout"}, variants={},
                        grid=[{"drop": 0.0}], evaluate={"baseline": {}},
                        train={**STUDY["train"], "importance": {"alpha": 1e-4}})  # fmt: skip
    made = load_study(best.write_best_study(load_study(path), {0: attempt(PARAMS, 0.5)}, 0))
    named = [point.name for point in made.points()]
    assert named == ["drop0_seed43", "drop0_seed44", "drop0_seed45"]
    assert made.point(0).config.train.batch_size == 32
