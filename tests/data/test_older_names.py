"""A new axis renames every point; what computes the same is found under its older name."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lib.config.load import load_study
from lib.config.study import Study
from lib.data.older_names import link_older_names
from lib.runs.directory import Busy, locked, status
from lib.runs.files import write_json

BASELINE = {"variant": "baseline", "gamma": 1}
WEIGHTED = {"variant": ["accept", "reject"], "gamma": 2}
OLD = ["baseline_gamma1", "accept_gamma2", "reject_gamma2"]


@pytest.fixture
def with_axis(prepared_study: str, write_study, tiny_model: Path) -> Callable[..., Study]:
    """Return a function that gives the study another axis, of these values, at every point."""

    def changed(axis: str, key: str, values: list) -> Study:
        grid = [{**block, axis: values} for block in (BASELINE, WEIGHTED)]
        axes = {"gamma": "train.gamma", axis: key}
        baseline = {"variant": "baseline", axis: values[0]}
        changes = {"axes": axes, "grid": grid, "evaluate.baseline": baseline}
        return load_study(write_study(changes | {"model.name": str(tiny_model)}))

    return changed


def test_results_are_found_where_the_new_axis_has_its_old_value(
    prepared_study, with_axis, fake, run_stage
) -> None:
    old = load_study(prepared_study)
    for point in old.points():
        fake.trained(old, point)
        fake.predicted(old, point)
    new = with_axis("decay", "train.weight_decay", [0.0, 0.1])
    first, second = (run_stage("status", new.path) for _ in range(2))
    assert "3 found under older names: baseline_gamma1_decay0, accept_gamma2_decay0" in first.err
    assert second.err == ""
    assert "train: 3 done, 3 missing" in first.out
    states = {point.name: status(new, point) for point in new.points()}
    assert states == {f"{name}_decay0": "done" for name in OLD} | {
        f"{name}_decay0.1": "missing" for name in OLD
    }
    ended = run_stage("stage4_evaluate", new.path, "--allow-missing")
    assert (ended.code, "baseline_gamma1_decay0.1" in ended.err) == (0, False)
    # The earlier grid still has its own, and a third one finds them where they really lie.
    assert [status(old, point) for point in old.points()] == ["done"] * 3
    third = with_axis("clip", "train.clip", [1.0])
    assert link_older_names(third) == [f"{name}_clip1" for name in OLD]
    assert (third.point(1).directory).resolve() == old.point(1).directory.resolve()


def test_a_task_at_work_there_is_at_work_under_both_names(prepared_study, with_axis) -> None:
    from lib.data.prepared import train_identity

    old = load_study(prepared_study)
    point = old.point(1)
    write_json(point.directory / "config.json", {"identity": train_identity(old, point)})
    with locked(point.directory, "the older grid's task"):
        new = with_axis("decay", "train.weight_decay", [0.0, 0.1])
        assert link_older_names(new) == ["accept_gamma2_decay0"]
        with (
            pytest.raises(Busy, match="the older grid's task"),
            locked(new.point_by_name("accept_gamma2_decay0").directory, "another"),
        ):
            pass


def test_no_two_points_share_a_directory(prepared_study, with_axis, fake) -> None:
    old = load_study(prepared_study)
    for point in old.points():
        fake.trained(old, point)
    fake.predicted(old, old.point(0))
    # All would train alike; what is predicted already was so with 4 tokens.
    new = with_axis("tokens", "infer.max_new_tokens", [2, 4])
    assert link_older_names(new) == [
        "baseline_gamma1_tokens4", "accept_gamma2_tokens2", "reject_gamma2_tokens2",
    ]  # fmt: skip
    assert link_older_names(new) == []


def test_what_is_damaged_or_gone_is_no_result(prepared_study, with_axis, fake) -> None:
    old = load_study(prepared_study)
    for point in old.points():
        fake.trained(old, point)
    damaged, removed = old.point(0).directory, old.point(1).directory
    (damaged / "done" / "train.json").write_text("{}")
    new = with_axis("decay", "train.weight_decay", [0.0])
    assert link_older_names(new) == ["accept_gamma2_decay0", "reject_gamma2_decay0"]
    removed.rename(removed.with_name("elsewhere"))
    assert link_older_names(new) == []  # the dangling link goes first
    assert not new.point(1).directory.is_symlink()
    assert link_older_names(new) == ["accept_gamma2_decay0"]  # in `elsewhere`
