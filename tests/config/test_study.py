import re
from pathlib import Path

import pytest
import yaml

from lib.config.errors import BadInput
from lib.config.load import load_study
from lib.config.schema import ADDED, RENAMED, RUNTIME_KEYS, Config
from lib.config.settings import baseline, selected, settings_of
from lib.config.study import identity
from lib.config.unread import warnings
from lib.config.validation import dotted_keys
from lib.config.yaml import flatten, parse_override, read_yaml
from lib.losses import OBJECTIVES
from tests.conftest import SHIPPED

UNKNOWN = "unknown key, expected one of .*; did you mean"
BASELINE = {"variant": "baseline", "gamma": 1}


@pytest.mark.parametrize("mode", ["full", "trial"])
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_config_loads_and_resolves(path: Path, mode: str) -> None:
    study = load_study(path, [f"mode={mode}"])
    assert len(list(study.points())) == len(study.grid) > (study.search is None)


# -- strictness ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"evaluat": {}}, rf"evaluat: {UNKNOWN} 'evaluate'\?"),
        ({"train.epoch": 1}, rf"train.epoch: {UNKNOWN} 'epochs'\?"),
        ({"train.lora.ranks": 8}, r"train.lora.ranks: unknown key, expected one of r, alpha"),
        ({"data.ration": "1:2"}, rf"data.ration: {UNKNOWN} 'ratio'\?"),
        ({"slurm.trial": {}}, rf"slurm.trial: {UNKNOWN} 'train'\?"),
        ({"data.columns": {"tilte": "x"}}, r"data.columns: found .*; did you mean 'title'\?"),
        ({"trial/train.gama": 1}, rf"trial: train.gama: {UNKNOWN} 'gamma'\?"),
        ({"variants/spare": {"train.gama": 1}}, rf"variants.spare: train.gama: {UNKNOWN} 'gamma'"),
        ({"axes.gamma": "train.gama"}, r"axes.gamma: found 'train.gama', .*mean 'train.gamma'\?"),
        ({"grid": [{"variant": "accept", "gama": 2}]}, r"block 1: unknown axis 'gama'.*'gamma'\?"),
        ({"train.sweep": 3}, "train.sweep: renamed, expected train.checkpoint_candidates$"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest(write_study, changes, message) -> None:
    path = write_study(changes)
    with pytest.raises(BadInput, match=message) as refused:
        load_study(path)
    assert str(refused.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train.epochs": "two"}, "train.epochs: found 'two', expected a valid number"),
        ({"train.seed": True}, "train.seed: found True, expected a valid integer"),
        ({"train": None}, "train: found None, expected key: value pairs"),
        ({"tasks": ["desicion"]}, r"unknown task 'desicion', .*; did you mean 'decision'\?"),
        ({"train.tuning": "loar"}, r"train.tuning: found 'loar', expected .*; did you mean 'lora'"),
        ({"train.lora.layers": [1, "x"]}, "train.lora.layers.1: found 'x', expected a valid int"),
        ({"slurm.train.time": 14400}, 'slurm.train.time: found 14400, expected a quoted time'),
        ({"variants.accept": 5}, "variants.accept: found 5, expected key: value pairs"),
        ({"variants": {1: {}}}, "variants: found 1, expected a name"),
        ({"axes.gamma": 5}, "axes.gamma: found 5, expected a key such as train.seed"),
        ({"axes.Seed": "train.seed"}, "axes: 'Seed' cannot name an axis, expected small letters"),
        ({"axes.again": "train.gamma"}, "axes.again: train.gamma is already swept by"),
        ({"grid": []}, r"grid: found \[\], expected a list of blocks"),
        ({"results_dir": 5}, "results_dir: found 5, expected a directory"),
        ({"name": "a/b"}, "name: found 'a/b', expected letters, digits"),
        ({"name": 5}, 'name: found 5, expected letters, digits.*; quote it: name: "5"'),
        ({"name": "x" * 151}, "name: found 151 bytes, expected at most 150"),
        ({"results_dir": "x/" + "y" * 256}, "results_dir: found .* at most 255 bytes, and y+… has"),
        ({"results_dir": "y" * 250 + ("/" + "y" * 250) * 14}, "results_dir: found .*path of at mo"),
        ({"results_dir": "a\nb"}, "results_dir: found 'a.nb', expected a path without the control"),
        ({"model.name": " "}, "model.name: found ' ', expected a path or a name, and it is empty"),
        ({"skip": [5]}, 'skip.0: found 5, expected a valid string; quote it: "5"'),
        ({"model.revision": 2024}, 'model.revision: found 2024, .*; quote it: model.revision: "20'),
        ({"model.revision": 58899e0}, 'revision: found 58899.0, .*; quote it: model.revision: "…"'),
        ({"tasks": ["decision", "decision"]}, "tasks: found 'decision' twice, expected each task"),
        ({"tasks": ["mt_bench"]}, "tasks: found 'mt_bench' first, expected one of decision, glue"),
        ({"mt_bench": {"limit": 2}}, "mt_bench: the section of a task that is not in tasks .deci"),
        ({"mode": "trail"}, r"mode: found 'trail', expected one of full, trial; did you mean 'tr"),
        ({"data.ratio": "1:2:3"}, "data.ratio: found '1:2:3', expected accepts:rejects"),
        ({"data.test_rows": 7}, "data.test_rows: found 7, expected an even number"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused(write_study, changes, message) -> None:
    path = write_study(changes)
    with pytest.raises(BadInput, match=message) as refused:
        load_study(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("model", "model: missing"),
        ("data.source", "data.source: missing"),
        ("grid", "grid: found None, expected a list of blocks"),
    ],
)
def test_a_missing_key_is_named(write_study, key: str, message: str) -> None:
    path = write_study(drop=[key])
    with pytest.raises(BadInput, match=f"{path}: {message}"):
        load_study(path)


def test_several_faults_are_counted(write_study) -> None:
    with pytest.raises(BadInput, match=r"\(and 1 more\)"):
        load_study(write_study({"train.epochs": "x", "train.clip": "y"}))


def test_a_study_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"did you mean 'configs/demo.yaml'\?"):
        load_study("configs/demmo.yaml")
    with pytest.raises(BadInput, match="cannot be read: .*directory"):
        load_study(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: 1\nb: 2\na: 3\n", "line 3: key 'a' is given twice"),
        (b"a: [1\n", "line 2: "),
        (b"a: !!python/object:os.system x\n", "line 1: could not determine a constructor"),
        (b"", "found NoneType, expected key: value sections"),
        (b"\xff\xfe\xfd", "cannot be read"),
        (b"a: &x {b: *x}\n", "ircular reference"),
        (b"a: {<<: 5}\n", "line 1: expected a mapping or list of mappings for merging"),
        (b'a: 1\nb: "\\0"\n', "line 2: the character '.x00', which no text file can contain"),
        (b'a: "\\ud800"\n', "line 1: "),
        (b"a: " + b"1" * 5000, "line 1: a whole number of 5000 digits, expected at most 300"),
        (b"a: " + b"[" * 3000 + b"]" * 3000, "nested too deeply"),
    ],
)
def test_what_is_no_yaml_of_sections_is_refused(tmp_path, content, message) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=f"{path}: .*{message}"):
        load_study(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1:2", "1:2"),
        ("12:30:45", "12:30:45"),
        ("1e-5", 1e-5),
        ("2e3", 2000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("-3", -3),
        ("010", 10),
        ("08", 8),
        ("1_000", "1_000"),
        ("no", "no"),
        ("on", "on"),
        ("y", "y"),
        ("true", True),
        ("null", None),
        ("~", None),
        ("", None),
        ("2024-01-01", "2024-01-01"),
        ("<<", "<<"),
        ("[a, 1:2]", ["a", "1:2"]),
    ],
)
def test_plain_scalars_are_those_of_yaml_1_2(text: str, value) -> None:
    read = read_yaml(text, "here")
    assert (read, type(read)) == (value, type(value))


def test_a_merge_key_puts_one_mapping_into_another() -> None:
    text = "a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}\ne: {<<: [*x, {f: 4}], b: 5}\ng: {'<<': 1}"
    assert read_yaml(text, "here") == {
        "a": {"b": 1, "c": 2},
        "d": {"b": 1, "c": 3},
        "e": {"b": 5, "c": 2, "f": 4},
        "g": {"<<": 1},
    }


# -- precedence ------------------------------------------------------------------------------------


def resolved(path: str, key: str, *words: str, point: int = 1):
    return flatten(load_study(path, words).point(point).config.model_dump())[key]


def test_each_layer_lies_over_the_one_before(write_study) -> None:
    key = "train.weight_decay"
    axis = {
        "axes.decay": key,
        "evaluate.baseline": {"variant": "baseline"},
        "grid": [BASELINE, {"variant": "accept", "gamma": 2, "decay": [0.5, 0.6]}],
    }
    changes: dict = {}
    assert resolved(write_study(changes), key) == 0.0  # the schema's default
    changes[key] = 0.1
    assert resolved(write_study(changes), key) == 0.1  # the file
    changes["trial/train.weight_decay"] = 0.2
    assert resolved(write_study(changes), key) == 0.1  # `trial` says nothing in full mode
    assert resolved(write_study(changes), key, "mode=trial") == 0.2
    assert resolved(write_study(changes), key, f"{key}=0.4") == 0.4  # the command line
    assert resolved(write_study(changes), key, "mode=trial", f"{key}=0.4") == 0.4
    changes["variants/accept/train.weight_decay"] = 0.3
    assert resolved(write_study(changes), key) == 0.3
    assert resolved(write_study(changes), key, "mode=trial") == 0.3
    assert resolved(write_study(changes | axis), key) == 0.5
    assert resolved(write_study(changes | axis), key, "mode=trial", point=2) == 0.6


def test_a_section_given_in_part_keeps_its_other_keys(write_study) -> None:
    path = write_study(
        {
            "train.tuning": "lora",
            "train.lora": {"r": 4, "alpha": 5},
            "variants.accept": {"train": {"weighted_class": "accept", "lora": {"r": 2}}},
            "trial": {"train": {"batch_size": 4}},
        }
    )
    for words in ([], ["mode=trial"]):
        train = load_study(path, words).point(1).config.train
        assert (train.weighted_class, train.precision) == ("accept", "fp32")
        assert (train.lora.r, train.lora.alpha) == (2, 5)
        assert train.batch_size == (4 if words else 8)
    baseline = load_study(path, ["train.lora={dropout: 0.5}"]).point(0).config.train
    assert (baseline.lora.r, baseline.lora.dropout) == (4, 0.5)


def test_dotted_keys_leave_mappings_that_are_values() -> None:
    bundle = {"evaluate.baseline": {"variant": "x"}, "data": {"columns": {"title": "name"}}}
    assert dotted_keys(bundle) == {
        "evaluate.baseline": {"variant": "x"},
        "data.columns": {"title": "name"},
    }


# -- overrides -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [
        ("train.epochs=2", "train.epochs", 2.0),
        ("train.learning_rate=1e-5", "train.learning_rate", 1e-5),
        ("slurm.train.cpus=4", "slurm.train.cpus", 4),
        ("slurm.train.extra=[q, v]", "slurm.train.extra", ["q", "v"]),
        ("data.ratio=1:8", "data.ratio", "1:8"),
        ("data.columns.title=name", "data.columns.title", "name"),
        ("data.instruction=a = b", "data.instruction", "a = b"),
        ("train.max_steps=null", "train.max_steps", None),
        ("train.max_steps=", "train.max_steps", None),
    ],
)
def test_an_override_is_typed_and_may_be_nested(write_study, word, key, value) -> None:
    assert resolved(write_study(), key, word) == value


def test_later_words_win_and_own_keys_can_be_overridden(write_study, tmp_path) -> None:
    path = write_study()
    study = load_study(
        path, ["name=one", "name=two", f"results_dir={tmp_path}/there", "train.clip=2"]
    )
    assert study.directory == tmp_path / "there" / "two"
    assert study.words == ("name=one", "name=two", f"results_dir={tmp_path}/there", "train.clip=2")
    grid = "grid=[{variant: baseline, gamma: 1}]"
    assert [p.name for p in load_study(path, [grid]).points()] == ["baseline_gamma1"]
    words = ["variants.accept.train.clip=7", "trial.train.seed=8"]
    assert resolved(path, "train.clip", *words) == 7
    assert resolved(path, "train.seed", *words, "mode=trial") == 8


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("train.epochs", "found 'train.epochs', expected key=value"),
        ("train.epochs=[", "train.epochs: line 2: did not find"),
        ("train.epoch=2", r"train.epoch: unknown key.*; did you mean 'epochs'\?"),
        ("train.lora.r.x=2", r"train.lora.r: found \{'x': 2\}, expected a valid integer"),
        ("train=5", "train: found 5, expected key: value pairs"),
        ("train.gamma=3", "train.gamma is swept by the grid's axis 'gamma'"),
        ("train={gamma: 3}", "train.gamma is swept by the grid's axis 'gamma'"),
        ("train.weighted_class=accept", "train.weighted_class is set by the grid's variant 'base"),
        ("model.revision=2024", "found 2024, .*; quote it: model.revision='\"2024\"'"),
        ("train.lora.r=4", "train.lora.r: found 4, which nothing reads: train.tuning is full"),
        ("tasks=[mt_bench]", "tasks: found 'mt_bench' first, expected one of decision, glue"),
    ],
)
def test_a_bad_override_is_refused(write_study, word, message) -> None:
    with pytest.raises(BadInput, match=message) as refused:
        load_study(write_study(), [word])
    assert str(refused.value).startswith("command line: ")


def test_parse_override() -> None:
    assert parse_override("a.b=c=d") == ("a.b", "c=d")


def test_a_variant_that_the_grid_leaves_out_keeps_no_key_from_being_overridden(write_study) -> None:
    path = write_study({"variants/spare": {"train.clip": 5.0}})
    assert resolved(path, "train.clip", "train.clip=7") == 7.0
    with pytest.raises(BadInput, match="train.clip is set by the grid's variant 'spare'"):
        load_study(path, ["train.clip=7", "grid=[{variant: [baseline, spare], gamma: 1}]"])


# -- trial mode ------------------------------------------------------------------------------------


def test_a_trial_is_cut_short_whatever_is_asked_for(write_study, tmp_path) -> None:
    path = write_study(
        {
            "train.epochs": 5,
            "train.max_steps": 100,
            "train.batch_size": 96,
            "train.eval_steps": 50,
            "train.processes": 2,
            "train.fsdp": "fsdp.yaml",
            "model.max_length": 8192,
            "tracking": "wandb",
            "data.test_rows": 100,
        },
        drop=["trial"],
    )
    words = ["mode=trial", "train.epochs=9", "train.max_steps=50", "data.test_rows=64"]
    words += ["tracking=mlflow", "train.processes=2"]
    for given in (words[:1], words):
        study = load_study(path, given)
        assert study.directory == tmp_path / "results" / "small-trial"
        for point in study.points():
            train = point.config.train
            assert (train.max_steps, train.epochs, point.config.data.test_rows) == (2, 1, 8)
            assert (train.processes, train.fsdp, point.config.tracking) == (1, None, "none")
            assert (train.batch_size, train.eval_steps) == (4, 1)
            assert point.config.model.max_length == 2048
            assert point.directory.parent == study.directory
    changes = OF_PAIRS | {"train.objective": "dpo", "train.beta": 0.1, "safety.limit": 2,
                          "tasks": ["preference", "mt_bench", "safety"]}  # fmt: skip
    longer = {"model": {"name": "nobody/nothing"}}
    pairs = load_study(write_study(changes | longer, drop=["trial"]), words[:1]).config
    assert (pairs.model.max_length, pairs.data.train_rows, pairs.data.validation_rows) == (
        512, 16, 8)  # fmt: skip
    assert (pairs.mt_bench.limit, pairs.safety.limit, pairs.safety.max_new_tokens) == (8, 2, 16)


def test_a_trial_asks_for_no_more_than_the_study(write_study) -> None:
    changes = {"train.epochs": 0.5, "train.max_steps": 1, "data.test_rows": 4}
    changes["infer.max_new_tokens"] = 512
    point = load_study(write_study(changes), ["mode=trial"]).point(0)
    assert point.config.infer.max_new_tokens == 16
    train = point.config.train
    assert (train.max_steps, train.epochs, point.config.data.test_rows) == (1, 0.5, 4)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("train.epochs=x", "train.epochs: found 'x'"),
        ("data.test_rows=true", "data.test_rows: found True"),
        ("train=5", "train: found 5, expected key: value pairs"),
    ],
)
def test_a_trial_refuses_wrong_values_as_well(write_study, word, message) -> None:
    with pytest.raises(BadInput, match=message):
        load_study(write_study(), ["mode=trial", word])


# -- across fields and points ----------------------------------------------------------------------


def test_an_axis_that_the_variant_does_not_use(write_study) -> None:
    path = write_study({"grid": [BASELINE, {"variant": ["accept", "baseline"], "gamma": 2}]})
    message = r"variant 'baseline' does not use axis 'gamma' \(train.weighted_class is null\)"
    with pytest.raises(BadInput, match=f"{message}, so gamma 2 would repeat a point"):
        load_study(path)


def test_a_point_that_trains_nothing_names_no_training_but_what_is_listed(write_study) -> None:
    untrained = {"variants/accept/train.epochs": 0}
    grid = [BASELINE, {"variant": "accept"}]
    path = write_study({**untrained, "grid": grid})
    assert load_study(path).point(1).name == "accept"
    path = write_study({**untrained, "grid": [BASELINE, {"variant": "accept", "gamma": 2}]})
    assert load_study(path).point(1).name == "accept_gamma2"


def test_a_gamma_of_one_may_be_listed_for_the_baseline(write_study) -> None:
    assert load_study(write_study()).point(0).name == "baseline_gamma1"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"grid": [BASELINE, {"variant": "accept", "gamma": [2, 4]},
                   {"gamma": [4, 8], "variant": ["reject", "accept"]}]}, "accept_gamma4"),
        ({"grid": [BASELINE, {"variant": "accept", "gamma": [2, 2.0]}]}, "axis gamma"),
        ({"grid": [BASELINE, {"variant": ["accept", "accept"], "gamma": 2}]}, "axis variant"),
        ({"grid": [BASELINE, {"variant": "accept", "gamma": 2}, {"variant": "accept"}],
          "train.gamma": 2.0}, "accept_gamma2"),
        ({"grid": [BASELINE, {"variant": "baseline"}]}, "baseline"),
        ({"grid": [{"variant": "baseline"}, {"variant": "baseline", "seed": 42}],
          "axes.seed": "train.seed"}, "baseline_seed42"),
    ],
)  # fmt: skip
def test_a_duplicate_point_is_named(write_study, changes, name) -> None:
    with pytest.raises(BadInput, match=f"duplicate point:? {name}"):
        load_study(write_study(changes))


PAIR = {"tasks": ["preference"], "data": {"source": "synthetic"}, "train.objective": "td_dpo",
        "train.beta": 0.1}  # fmt: skip
CLASSES = {"tasks": ["glue"], "data": {"source": "synthetic"}, "train.objective": "classification",
           "train.tuning": "lora"}  # fmt: skip
SOLVED = {
    "tasks": ["math"],
    "data": {"source": "synthetic"},
    "axes": {},
    "variants": {"one": {}},
    "grid": [{"variant": "one"}],
    "evaluate.baseline": {"variant": "one"},
}
ASKED = {"tasks": ["symbolic"], "data": {"source": "synthetic", "held_out_templates": 5}}


@pytest.mark.parametrize(
    ("changes", "one", "other"),
    [
        ({}, {"train.weighted_class": "accept"}, {"train.weighted_class": "reject"}),
        ({}, {"train.weighted_class": "accept"}, {"train.weighted_class": None}),
        ({}, {"train.weighted_class": "accept"},
         {"train.weighted_class": "reject", "train.weighting": "row"}),
        ({}, {"train.weighted_class": "accept", "train.gamma": 2, "train.epochs": 0},
         {"train.weighted_class": "reject", "train.gamma": 4, "train.epochs": 0, "train.seed": 1}),
        ({}, {"train.tuning": "full"}, {"train.tuning": "full", "train.lora.r": 4}),
        ({}, {"train.log_steps": 2}, {"train.log_steps": 3}),
        ({}, {"train.keep": "last"}, {"train.keep": "best"}),
        ({}, {"train.diverge_steps": 3}, {"train.diverge_steps": 4}),
        ({}, {"train.schedule": "constant"}, {"train.schedule": "constant", "train.warmup": 0.3}),
        ({"train.tuning": "lora"}, {"train.lora.target_modules": ["q_proj", "v_proj"]},
         {"train.lora.target_modules": ["v_proj", "q_proj"]}),
        ({"model.adapter": "a"}, {"train.seed": 1}, {"train.seed": 2}),
        (PAIR, {"train.beta": 0}, {"train.regulariser": "none"}),
        (PAIR, {"train.objective": "dpo"}, {"train.objective": "dpo", "train.tau": 3}),
        (CLASSES, {"train.importance.batches": 3}, {"train.importance.normalise": "max"}),
        (CLASSES | {"train.importance": {"alpha": 1, "beta": 0}},
         {"train.importance.normalise": "sum"}, {"train.importance.normalise": "max"}),
        (CLASSES | {"train.importance.alpha": 1}, {"train.importance.batch_size": 8}, {}),
        (ASKED, {"infer.samples": 0}, {}),
        ({}, {"model.name": "~/m"}, {"model.name": "$HOME/m"}),
    ],
)  # fmt: skip
def test_equal_runs_are_duplicates_whatever_their_variants_say(
    write_study, changes, one, other
) -> None:
    grid = [{"variant": ["base", "one", "other"]}]
    base = {"train.epochs": 2} if "model.adapter" not in changes else {"model.adapter": None}
    variants = {"base": base, "one": one, "other": other}
    changed = {**changes, "axes": {}, "variants": variants, "grid": grid,
               "evaluate.baseline": {"variant": "base"}}  # fmt: skip
    path = write_study(changed, drop=["trial"])
    with pytest.raises(BadInput, match=r"points 1 \(one\) and 2 \(other\) are one run") as refused:
        load_study(path)
    assert "\n" not in str(refused.value)
    with pytest.raises(BadInput, match="are one run"):
        load_study(path, ["mode=trial"])


@pytest.mark.parametrize(
    ("changes", "one", "other"),
    [
        ({}, {"train.weighted_class": "accept", "train.gamma": 2}, {"train.gamma": 1}),
        ({}, {"train.epochs": 0, "train.precision": "bf16"}, {"train.epochs": 0}),
        ({}, {"infer.temperature": 0.5}, {}),
        ({}, {"train.seed": 1}, {"train.seed": 2}),
        ({"train.eval_steps": 1}, {"train.keep": "last"}, {"train.keep": "best"}),
        ({"train.tuning": "lora"}, {"train.lora.r": 4}, {"train.lora.alpha": 4}),
        ({}, {"model.adapter": "a"}, {"model.adapter": "b"}),
        (PAIR, {"train.beta": 0}, {"train.beta": 0.1}),
        (PAIR, {"train.objective": "dpo"}, {"train.objective": "discopop"}),
        (CLASSES, {"train.importance.alpha": 1}, {"train.importance.alpha": 0}),
        (ASKED | {"infer.temperature": 1}, {"infer.samples": 1, "evaluate.draws": [1]}, {}),
    ],
)  # fmt: skip
def test_runs_that_differ_in_what_they_read_are_two(write_study, changes, one, other) -> None:
    if "evaluate.draws" in one:
        changes, one = changes | {"evaluate.draws": [1]}, {"infer.samples": 1}
    path = write_study(
        {**changes, "axes": {}, "variants": {"base": {"train.seed": 9}, "one": one, "other": other},
         "grid": [{"variant": ["base", "one", "other"]}], "evaluate.baseline": {"variant": "base"}},
        drop=["trial"],
    )  # fmt: skip
    assert len(load_study(path).points()) == 3


def test_limits_of_a_trial_and_an_override_without_training_make_no_duplicates(write_study) -> None:
    axes = {"axes.epochs": "train.epochs", "axes.tokens": "infer.max_new_tokens"}
    block = {"variant": "accept", "gamma": 2, "epochs": [2, 3], "tokens": [32, 64]}
    path = write_study({**axes, "grid": [BASELINE, block]})
    study = load_study(path, ["mode=trial"])
    assert len({point.name for point in study.points()}) == 5
    path = write_study({"grid": [BASELINE, {"variant": "accept", "gamma": [2, 4]}]})
    assert len(load_study(path, ["train.epochs=0"]).points()) == 3
    variants = {"variants.accept": {"train.weighted_class": "accept", "model.name": "a"}}
    path = write_study({**variants, "variants.reject": {"train.weighted_class": "accept"},
                        "trial/model.name": "tiny"})  # fmt: skip
    for words in (["mode=trial"], ["mode=trial", "model.name=b"]):
        assert len(load_study(path, words).points()) == 3


def test_points_that_a_trial_makes_alike_have_names_of_their_own(write_study) -> None:
    axes = {"axes.tokens": "infer.max_new_tokens"}
    grid = [BASELINE, {"variant": "accept", "gamma": 2}, {"variant": "accept", "gamma": 2,
                                                          "tokens": 16}]  # fmt: skip
    path = write_study({**axes, "grid": grid, "infer.max_new_tokens": 64})
    _, *named = (point.name for point in load_study(path).points())
    assert named == ["accept_gamma2_tokens64", "accept_gamma2_tokens16"]
    _, first, second = (point.name for point in load_study(path, ["mode=trial"]).points())
    assert first == "accept_gamma2_tokens16" != second


def test_points_that_differ_in_a_default_only_are_two(write_study) -> None:
    grid = [BASELINE, {"variant": "accept", "gamma": 2}, {"variant": "accept"}]
    study = load_study(write_study({"grid": grid, "train.gamma": 3.0}))
    assert [p.name for p in study.points()] == ["baseline_gamma1", "accept_gamma2", "accept_gamma3"]


def test_a_variant_that_does_not_exist(write_study) -> None:
    path = write_study({"grid": [BASELINE, {"variant": "acept", "gamma": 2}]})
    with pytest.raises(BadInput, match=r"variant 'acept' does not exist.*; did you mean 'accept'"):
        load_study(path)


def test_ranks_share_the_rows_of_a_step_evenly(write_study) -> None:
    expected = "batch_size: found 8, expected a multiple of train.processes=3"
    with pytest.raises(BadInput, match=expected):
        load_study(write_study({"train.processes": 3, "train.batch_size": 8}))


def test_a_point_is_checked_even_where_only_its_combination_is_wrong(write_study) -> None:
    axes = {"loss": "train.objective", "beta": "train.beta"}
    grid = [{"loss": ["td_dpo", "dpo"], "beta": [0.1, 0]}]
    changes = {"axes": axes, "grid": grid, "evaluate.baseline": {"loss": "dpo", "beta": 0.1}}
    with pytest.raises(BadInput, match="train.beta: found 0, expected a number above 0"):
        load_study(write_study(OF_PAIRS | changes, drop=["trial"]))


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"varant": "baseline"}, r"unknown axis 'varant', .*; did you mean 'variant'\?"),
        ({"variant": "basline"}, "matches 0 settings of the grid, expected exactly one"),
        ({"variant": "baseline", "gamma": 2}, "matches 0 settings"),
        ({"gamma": 2}, "matches 2 settings"),
        ({}, "matches 3 settings"),
    ],
)
def test_a_baseline_that_is_not_one_setting(write_study, wanted, message) -> None:
    with pytest.raises(BadInput, match=f"evaluate.baseline: .*{message}"):
        load_study(write_study({"evaluate.baseline": wanted}))


def test_a_seed_of_the_baseline_plays_no_part(write_study) -> None:
    axes = {"gamma": "train.gamma", "seed": "train.seed"}
    grid = [{"variant": ["accept", "reject"], "gamma": 2, "seed": [1, 2]}]
    for seed in (1, 3):
        wanted = {"variant": "accept", "seed": seed}
        study = load_study(write_study({"axes": axes, "grid": grid, "evaluate.baseline": wanted}))
        assert list(selected(settings_of(study), baseline(study))) == ["accept_gamma2"]


def test_a_key_in_the_grid_is_an_axis(write_study) -> None:
    blocks = [{"variant": "baseline", "gamma": 1}, {"variant": "accept", "train.seed": [1, 2]}]
    study = load_study(write_study({"grid": blocks}))
    assert [point.name for point in study.points()] == [
        "baseline_gamma1_seed42", "accept_gamma1_seed1", "accept_gamma1_seed2",
    ]  # fmt: skip
    assert [point.config.train.seed for point in study.points()] == [42, 1, 2]
    blocks[1] = {"variant": "accept", "train.gamma": 2}  # by its key or by its name
    assert load_study(write_study({"grid": blocks})).axes == {"gamma": "train.gamma"}
    with pytest.raises(BadInput, match="grid: train.gamma and gamma are one axis, found both"):
        load_study(write_study({"grid": [blocks[0], blocks[1] | {"gamma": 4}]}))
    with pytest.raises(BadInput, match="axes.sed: found 'train.sed', expected a key .*seed"):
        load_study(write_study({"grid": [*blocks, {"variant": "reject", "train.sed": 1}]}))
    with pytest.raises(BadInput, match="grid: data.gamma: the axis 'gamma' already is train.gamma"):
        load_study(write_study({"grid": [*blocks, {"variant": "reject", "data.gamma": 1}]}))


def test_a_point_is_found_by_name(write_study) -> None:
    study = load_study(write_study())
    assert study.point_by_name("reject_gamma2").index == 2
    with pytest.raises(BadInput, match=r"no point is named 'rejct_gamma2'.*'reject_gamma2'\?"):
        study.point_by_name("rejct_gamma2")


def test_data_sections_are_all_that_the_points_need(write_study) -> None:
    axes = {"axes.ratio": "data.ratio", "axes.draw": "data.seed", "axes.seed": "train.seed"}
    block = {"variant": ["accept", "reject"], "gamma": 2, "ratio": ["1:1", "1:2"], "draw": [1, 2]}
    grid = [{**BASELINE, "ratio": "1:4"}, {**block, "seed": [1, 2]}]
    study = load_study(write_study({**axes, "grid": grid}))
    sections = [(d.ratio, d.seed) for d in study.data_sections()]
    needed = {(p.config.data.ratio, p.config.data.seed) for p in study.points()}
    assert len(sections) == len(set(sections)) == 5
    assert set(sections) == needed


# -- identity --------------------------------------------------------------------------------------

OTHER = {
    "train.micro_batch": 2,
    "train.micro_tokens": 999,
    "train.log_steps": 7,
    "train.checkpoint_steps": 7,
    "train.checkpoints_kept": 7,
    "train.gradient_checkpointing": True,
    "train.processes": 2,
    "train.fsdp": "x.yaml",
    "infer.batch_size": 7,
    "infer.gpu_memory": 0.5,
}


def identified(path: str, *words: str) -> dict:
    return identity(load_study(path, words).point(1).config, "model", "data", "train", "infer")


def test_identity_leaves_out_what_cannot_change_a_result(write_study) -> None:
    assert set(OTHER) == set(RUNTIME_KEYS)
    before = identified(write_study())
    words = [f"{key}={yaml.safe_dump(v, default_flow_style=True)}" for key, v in OTHER.items()]
    words = [word.replace("\n...", "").strip() for word in words]
    assert identified(write_study(), *words) == before


@pytest.mark.parametrize(
    "word",
    [
        "train.batch_size=16",
        "train.weighting=row",
        "data.instruction=x",
        "model.name=other/model",
        "infer.temperature=0.5",
    ],
)
def test_identity_holds_everything_else(write_study, word: str) -> None:
    before, after = identified(write_study()), identified(write_study(), word)
    key = word.partition("=")[0]
    assert [k for k in before if before[k] != after[k]] == [key]


def test_identity_is_every_key_of_its_sections_but_runtime_keys(write_study) -> None:
    config = load_study(write_study()).point(1).config
    sections = ("model", "data", "train", "infer")
    every = flatten(config.model_dump(include=set(sections)))
    objectives = OBJECTIVES.values()
    ignored = {f"train.{k}" for o in objectives for k in (*o.keys, *o.trainer_keys)}
    ignored = {k for k in ignored if not OBJECTIVES[config.train.objective].reads(k[6:])}
    ignored.add("infer.samples")  # of results from before there were samples, too
    renamed = {new: old for old, new in RENAMED.items()}  # hashes keep the old names
    every = {renamed.get(key, key) for key in every}
    left_out = every - set(identity(config, *sections))
    assert {".".join(key.split(".")[:2]) for key in left_out} == (
        RUNTIME_KEYS | ADDED.keys() | ignored
    )
    assert set(identity(config, *sections)) - every == {"task"}
    changed = write_study({"grid": [BASELINE, {"variant": "accept", "gamma": 4}]})
    assert identified(changed) != identified(write_study())
    assert not {"evaluate", "slurm"} & {key.partition(".")[0] for key in identified(changed)}


def test_the_grid_hash_is_that_of_the_points(write_study) -> None:
    path = write_study()
    before = load_study(path).grid_hash
    assert load_study(path, ["train.clip=2", "name=other"]).grid_hash == before
    for changes in (
        {"grid": [{"variant": ["accept", "reject"], "gamma": 2}, BASELINE]},
        {"axes.seed": "train.seed"},
        {"variants/accept/train.clip": 2},
    ):
        assert load_study(write_study(changes)).grid_hash != before


def test_nothing_of_a_loaded_study_can_be_changed(write_study) -> None:
    config = load_study(write_study()).point(0).config
    with pytest.raises(ValueError, match="frozen"):
        config.train.gamma = 3
    assert isinstance(config, Config)


OF_PAIRS = {
    "tasks": ["preference"],
    "data": {"source": "synthetic"},
    "train.beta": 0.0,
    "axes": {"seed": "train.seed"},
    "variants": {},
    "grid": [{"seed": [1]}],
    "evaluate.baseline": {"seed": 1},
}


@pytest.mark.parametrize("objective", ["dpo", "ipo"])
def test_beta_zero_is_refused_where_a_loss_needs_it(write_study, objective):
    path = write_study(OF_PAIRS | {"train.objective": objective}, drop=["trial"])
    expected = rf"train\.beta: found 0, expected a number above 0 for the objective {objective}"
    with pytest.raises(BadInput, match=expected):
        load_study(path)


def test_beta_zero_leaves_td_dpo_its_margin(write_study):
    load_study(write_study(OF_PAIRS | {"train.objective": "td_dpo"}, drop=["trial"]))


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"train.objective": "dpo"}, "found 'dpo', expected one of weighted_nll"),
     (OF_PAIRS, "found 'weighted_nll', expected one of dpo, discopop, ipo, td_dpo")],
    ids=["pairs", "answers"],
)  # fmt: skip
def test_an_objective_must_fit_the_data_of_its_task(write_study, changes, words):
    with pytest.raises(BadInput, match=rf"train\.objective: {words}"):
        load_study(write_study(changes, drop=["trial"]))


def test_a_tau_that_dpo_does_not_use(write_study):
    changes = {
        "axes": {"beta": "train.beta", "tau": "train.tau"},
        "variants": {"dpo": {"train.objective": "dpo"}, "td_dpo": {"train.objective": "td_dpo"}},
        "grid": [{"variant": ["dpo", "td_dpo"], "beta": [0.1], "tau": [0.5, 1.0]}],
        "evaluate.baseline": {"variant": "dpo"},
    }
    with pytest.raises(BadInput, match=r"variant 'dpo' does not use axis 'tau'"):
        load_study(write_study(changes))


def test_a_beta_that_td_dpo_without_a_regulariser_does_not_use(write_study):
    changes = OF_PAIRS | {
        "train.objective": "td_dpo",
        "train.regulariser": "none",
        "axes": {"beta": "train.beta"},
        "grid": [{"beta": [0.1, 0.5]}],
        "evaluate.baseline": {"beta": 0.1},
    }
    with pytest.raises(BadInput, match=r"does not use axis 'beta' \(train\.regulariser is none\)"):
        load_study(write_study(changes, drop=["trial"]))
    load_study(write_study(changes | {"train.regulariser": "squared_logratio"}, drop=["trial"]))


# -- skipped tasks, adapters, sweeps, judges -------------------------------------------------------

BOTH = {"tasks": ["decision", "mt_bench"]}


def test_a_skipped_task_is_left_out_and_changes_no_identity(write_study):
    path = write_study(BOTH)
    assert load_study(path).tasks == ["decision", "mt_bench"]
    assert load_study(path, ["skip=[mt_bench]"]).tasks == ["decision"]
    assert load_study(path, ["skip=[decision]"]).tasks == ["mt_bench"]
    assert identified(path, "skip=[mt_bench]") == identified(path)


@pytest.mark.parametrize(
    ("skip", "said"),
    [
        (["mt_bensh"], "expected some of decision, mt_bench; did you mean 'mt_bench'?"),
        (["safety"], "expected some of decision, mt_bench"),
        (["mt_bench", "decision"], "expected not all of decision, mt_bench: no task would be left"),
    ],
)
def test_skip_names_tasks_of_the_study(write_study, skip, said):
    path = write_study(BOTH)
    with pytest.raises(BadInput) as error:
        load_study(path, [f"skip=[{', '.join(skip)}]"])
    assert str(error.value).startswith(f"command line: skip: found {skip!r}, {said}")


@pytest.mark.parametrize(
    ("key", "value"),
    [("skip", ["mt_bench"]), ("judge.max_calls", 3), ("slurm.infer.cpus", 2), ("evaluate.seed", 1),
     ("mt_bench.limit", 3), ("tasks", ["decision"])],
)  # fmt: skip
def test_what_a_study_has_once_is_of_no_variant(write_study, key, value):
    path = write_study(BOTH | {"variants/accept": {"train.weighted_class": "accept", key: value}})
    with pytest.raises(BadInput, match=f"{key}(.1|.0)?: found .* expected one value for the study"):
        load_study(path)


def test_a_task_that_the_command_line_leaves_out_takes_its_section_along(write_study):
    path = write_study(BOTH | {"mt_bench": {"limit": 2}, "trial/mt_bench.limit": 1})
    for mode in ("full", "trial"):
        assert load_study(path, ["tasks=[decision]", f"mode={mode}"]).tasks == ["decision"]


@pytest.mark.parametrize(
    "change", [{"model.adapter": "somewhere"}, {"train.checkpoint_candidates": 2}]
)
def test_pairs_have_no_adapter_and_no_sweep(write_study, change):
    [(key, value)] = change.items()
    path = write_study(OF_PAIRS | {"train.beta": 0.1, "train.objective": "dpo"} | change, ["trial"])
    with pytest.raises(BadInput, match=rf"{key}: found {value!r}, expected null: .* on pairs"):
        load_study(path)


def test_checkpoint_selection_needs_a_score(write_study):
    message = "candidates: found 3, expected null: the task decision has no score to select"
    with pytest.raises(BadInput, match=message):
        load_study(write_study({"train.checkpoint_candidates": 3}))


LOCAL = {"model": "someone/guard"}


@pytest.mark.parametrize("kind", ["safe_unsafe", "qwen3guard", "llama_guard"])
def test_a_judge_that_is_loaded_here_has_no_url(write_study, kind):
    both = {"tasks": ["decision", "safety"]}
    judge = load_study(write_study(both | {"judge": {"kind": kind, **LOCAL}})).config.judge
    assert (judge.kind, judge.model, judge.url) == (kind, "someone/guard", None)
    assert load_study(write_study(both | {"judge": {"kind": kind}})).config.judge.model is None
    with pytest.raises(BadInput, match=f"no url: a judge of the kind {kind} is loaded here, from"):
        load_study(write_study({"judge": {"kind": kind, "url": "http://x/v1", **LOCAL}}))


def test_a_rating_judge_has_url_and_model(write_study):
    for judge in ({"url": "http://x/v1"}, LOCAL, {"kind": "rating", **LOCAL}):
        with pytest.raises(BadInput, match="judge: found .*, expected url and model together"):
            load_study(write_study({"judge": judge}))


def test_an_unknown_kind_of_judge_has_a_nearest(write_study):
    with pytest.raises(BadInput, match="judge.kind: found 'safe_unsaf', .*mean 'safe_unsafe'"):
        load_study(write_study({"judge.kind": "safe_unsaf"}))


def test_a_judge_is_of_a_kind_that_its_task_can_use(write_study):
    path = write_study(BOTH | {"judge": {"kind": "qwen3guard", **LOCAL}})
    said = "judge.kind: found 'qwen3guard', expected one of rating, by which the task mt_bench is"
    with pytest.raises(BadInput, match=said):
        load_study(path)
    load_study(path, ["judge.model=null"])


# -- keys that nothing reads -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"evaluate.full_test": True}, "evaluate.full_test: found True, which nothing reads"),
        (SOLVED | {"evaluate.bins": 7}, "evaluate.bins: found 7, which nothing reads: no task of"),
        ({"evaluate.draws": [1, 2]}, "evaluate.draws: found .1, 2., .*uses more than one answer"),
        (ASKED | {"evaluate.draws": [1, 2]}, "evaluate.draws: found .*reads: infer.samples is 0"),
        ({"judge": {"kind": "qwen3guard", "model": "m"}},
         "judge.kind: found 'qwen3guard', which nothing reads: no task of decision is judged"),
        ({"train.lora": {"r": 4}}, "train.lora.r: found 4, which nothing reads: train.tuning is f"),
        ({"variants.reject": {"train.weighted_class": "reject", "train.beta": 2}},
         "variants.reject: train.beta: found 2, .*train.objective is weighted_nll"),
        ({"train.adalora.init_r": 20}, "train.adalora.init_r: found 20, which nothing reads"),
        ({"train.importance.batches": 3}, "train.importance.batches: found 3, which nothing reads"),
        (CLASSES | {"train.importance.batches": 3}, "batches: .*: train.importance.alpha is 0"),
        ({"train.diverge_steps": 3}, "train.diverge_steps: found 3, .*train.diverge_norm is null"),
        ({"train": {"schedule": "constant", "warmup": 0.3, "precision": "fp32"}},
         "train.warmup: found 0.3, which nothing reads: train.schedule is constant"),
        (PAIR | {"train.gamma": 2}, "train.gamma: found 2, which nothing reads: train.objective i"),
    ],
)  # fmt: skip
def test_a_key_that_nothing_reads_is_refused(write_study, changes, said) -> None:
    if changes.get("tasks") and "grid" not in changes:
        changes = {**SOLVED, **changes}
    with pytest.raises(BadInput, match=said) as refused:
        load_study(write_study(changes, drop=["trial"]))
    assert "\n" not in str(refused.value)


def test_a_key_that_one_point_reads_or_that_has_its_default_is_no_fault(write_study) -> None:
    lora = {"train.lora.r": 4, "train.beta": 0.1, "judge.kind": "rating", "judge.model": None}
    variants = {"variants.accept": {"train.weighted_class": "accept", "train.tuning": "lora"}}
    path = write_study(lora | variants)
    load_study(path)
    load_study(path, ["mode=trial"])
    # What the file says is about the file's own study.
    path = write_study({"train.tuning": "lora", "train.lora.r": 4})
    load_study(path, ["train.tuning=full"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data.ending": "Accept or reject?"}, "data.ending: asks for no .boxed"),
        ({"data.ending": r"Answer \boxed{Accept} or \boxed{Reject}."}, None),
        ({"data.ending": "", "data.system": r"Answer with \boxed{…}."}, None),
        ({"data.instruction": "Is it good?"}, None),
        (SOLVED | {"data": {"source": "synthetic", "instruction": "Solve."}}, "asks for no ####"),
        (SOLVED | {"data": {"source": "synthetic", "instruction": "", "shots": 2}}, None),
        ({}, None),
    ],
)
def test_a_prompt_that_leaves_out_the_form_of_the_answer_is_warned_of(
    write_study, changes, said
) -> None:
    lines = list(warnings(load_study(write_study(changes, drop=["trial"]))))
    assert len(lines) == (said is not None)
    assert all(re.search(said, line) for line in lines)


# -- paths -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({}, "model.name"),
        (SOLVED, "model.adapter"),
        ({}, "data.source"),
        ({}, "data.test_source"),
        ({"tasks": ["decision", "mt_bench"]}, "mt_bench.questions"),
        ({"tasks": ["decision", "mt_bench"]}, "mt_bench.references"),
        ({"tasks": ["decision", "mt_bench"]}, "mt_bench.judge_prompts"),
        ({"tasks": ["decision", "safety"]}, "safety.prompts"),
        ({"tasks": ["decision", "safety"], "judge.kind": "qwen3guard"}, "judge.model"),
        ({"tasks": ["decision", "safety"], "judge.kind": "qwen3guard"}, "judge.prompt"),
        ({"train.processes": 2}, "train.fsdp"),
        (SOLVED, "data.self_instruct"),
        (SOLVED, "data.test_source"),
        (SOLVED | {"tasks": ["symbolic"]}, "data.test_ids"),
        (SOLVED | {"tasks": ["preference"], "train.objective": "dpo"}, "data.test_source"),
    ],
)
def test_every_path_is_expanded(write_study, monkeypatch, changes, key) -> None:
    monkeypatch.setenv("HOME", "/users/me")
    monkeypatch.setenv("THERE", "/users")
    monkeypatch.delenv("NOWHERE", raising=False)
    for given in ("~/x", "$HOME/x", "${THERE}/me/x", "/users/me/x"):
        study = load_study(write_study(changes | {key: given}, drop=["trial"]))
        assert flatten(study.config.model_dump())[key] == "/users/me/x"
    for given, said in (
        ("$NOWHERE/x", "environment variable NOWHERE is not set"),
        ("~no_such_user/x", "no user 'no_such_user'"),
        ("a\nb", "without the control character"),
    ):
        path = write_study(changes | {key: given}, drop=["trial"])
        with pytest.raises(BadInput, match=f"{key}: found .*{said}") as refused:
            load_study(path)
        assert str(refused.value).startswith(f"{path}: ")


def test_files_by_task_are_expanded_as_well(write_study, monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/users/me")
    files = {"rte": {"train": "~/a.tsv", "dev": "$HOME/b.tsv"}}
    found = load_study(
        write_study({**SOLVED, **CLASSES, "data": {"files": files}}, drop=["trial"])
    ).config
    assert found.data.files == {"rte": {"train": "/users/me/a.tsv", "dev": "/users/me/b.tsv"}}


def test_the_directory_of_results_is_expanded(write_study, monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/users/me")
    for given in ("~/r", "${HOME}/r"):
        study = load_study(write_study({"results_dir": given}))
        assert study.directory == Path("/users/me/r/small")
    with pytest.raises(BadInput, match="results_dir: found .*variable SCRATCH_ is not set"):
        load_study(write_study(), ["results_dir=$SCRATCH_/r"])


def test_a_result_is_the_same_however_its_paths_are_spelled(write_study, monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/users/me")
    one, other = (identified(write_study({"model.name": n})) for n in ("~/m", "/users/me/m"))
    assert one == other


def test_hub_ids_and_words_stay_as_they_are(write_study) -> None:
    for name in ("Qwen/Qwen2.5-7B", "synthetic", "a$", "$", "a~b", "50%"):
        assert load_study(write_study({"model.name": name})).config.model.name == name


# -- samples and votes -----------------------------------------------------------------------------

SAMPLED = {
    "tasks": ["symbolic"],
    "data": {"source": "synthetic", "held_out_templates": 5},
    "axes": {},
    "variants": {"one": {}},
    "grid": [{"variant": "one"}],
    "evaluate.baseline": {"variant": "one"},
    "infer.samples": 8,
    "infer.temperature": 0.7,
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"infer.temperature": 0.0}, r"infer.temperature: found 0, expected a number above 0: inf"),
        ({"evaluate.draws": [1, 16]}, "evaluate.draws: found 16, expected at most infer.samples ="),
        ({"infer.samples": 4}, "evaluate.draws: found 8, expected at most infer.samples = 4"),
        ({"evaluate.draws": [2, 2]}, r"evaluate.draws: found \[2, 2\], expected each number once"),
        ({"evaluate.draws": []}, r"evaluate.draws: found \[\], expected List should have at le"),
        ({"judge": {"kind": "qwen3guard", "model": "m"}},
         "judge.kind: found 'qwen3guard', expected one of reward, by which the task symbolic is"),
        ({"judge": {"kind": "reward", "url": "http://localhost:8000/v1"}}, "no url: a judge of th"),
    ],
)  # fmt: skip
def test_votes_that_cannot_be_are_refused(write_study, changes, said):
    load_study(write_study(SAMPLED, drop=["trial"]))
    with pytest.raises(BadInput, match=said):
        load_study(write_study(SAMPLED | changes, drop=["trial"]))


def test_samples_that_no_task_uses_are_refused(write_study):
    with pytest.raises(BadInput, match="infer.samples: found 2, expected 0: no task of decision"):
        load_study(write_study({"infer.samples": 2, "infer.temperature": 1.0}))


def test_samples_are_part_of_what_predictions_hang_on_and_none_are_as_before(write_study):
    path = write_study(SAMPLED, drop=["trial"])
    some, none = (load_study(path, words).point(0).config for words in ([], ["infer.samples=0"]))
    assert identity(some, "infer")["infer.samples"] == 8
    assert "infer.samples" not in identity(none, "infer")
