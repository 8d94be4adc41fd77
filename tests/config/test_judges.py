"""Skipped tasks, judges, samples and votes."""

import pytest

from lib.config.errors import BadInput
from lib.config.load import load_study
from lib.config.study import identity
from tests.config.small_studies import BOTH, identified


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
        ({"evaluate.draws": [2, 2]}, r"evaluate.draws: found \[2, 2\], expected each number once"),
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
