"""GPUs: counted and hidden by name, one for a process, and what a task says of them first."""

import os

import pytest
import torch

from lib.config.errors import BadInput
from lib.config.schema import Train
from lib.runs.devices import (
    devices_line,
    granted_devices,
    hide_devices,
    listed_devices,
    only_devices,
)
from lib.training import batches, loop, ranks

VISIBLE = "CUDA_VISIBLE_DEVICES"
JOB = {"SLURM_JOB_ID": "7"}


@pytest.mark.parametrize(
    ("value", "devices", "one", "two"),
    [
        (None, None, "0", "0,1"),
        ("", [], "", ""),
        ("-1", [], "", ""),
        ("NoDevFiles", [], "", ""),
        ("3", ["3"], "3", "3"),
        ("2, 0,1", ["2", "0", "1"], "2", "2,0"),
        ("1,-1,2", ["1"], "1", "1"),
        ("GPU-8e1c,GPU-77aa", ["GPU-8e1c", "GPU-77aa"], "GPU-8e1c", "GPU-8e1c,GPU-77aa"),
        ("MIG-c6d4,MIG-GPU-b4/1/0", ["MIG-c6d4", "MIG-GPU-b4/1/0"], "MIG-c6d4",
         "MIG-c6d4,MIG-GPU-b4/1/0"),
    ],
)  # fmt: skip
def test_devices_are_hidden_under_the_names_they_have(value, devices, one, two) -> None:
    environ = {} if value is None else {VISIBLE: value}
    assert listed_devices(environ) == devices
    for used, left in ((1, one), (2, two)):
        narrowed = dict(environ)
        hide_devices(narrowed, used)
        assert narrowed[VISIBLE] == left


def test_the_ranks_of_another_point_see_all_devices_again() -> None:
    for environ in ({VISIBLE: "4,5"}, {}):
        before = dict(environ)
        with only_devices(environ, 1, 2):
            assert environ[VISIBLE] in ("4", "0")
        assert environ == before
        with only_devices(environ, 2, 2):
            assert environ == before


@pytest.mark.parametrize(
    ("environ", "asked", "used", "visible", "usable", "line"),
    [
        ({}, 4, 1, 1, 1, None),
        ({}, 4, 1, 0, 0, None),
        ({}, 1, 1, 4, 1, "4 GPUs visible, 1 used (train.processes: 1): 3 stay idle"),
        (JOB, 1, 1, 4, 1, "4 GPUs visible, 1 used (train.processes: 1): 3 stay idle; make train "
         "requests 1, or give sbatch --gres=gpu:1"),
        (JOB, 4, 2, 4, 2, "4 GPUs visible, 2 used (train.processes: 2): 2 stay idle; set "
         "slurm.train.gpus to 2, or give sbatch --gres=gpu:2"),
        (JOB, 0, 1, 0, 0, None),
        (JOB, 4, 4, 0, 0, "warning: no GPU in this job: this runs on the CPU; make train requests "
         "4 (slurm.train.gpus), or give sbatch --gres=gpu:4"),
        (JOB | {"SLURM_GPUS_ON_NODE": "2"}, 0, 1, 0, 0, "warning: 2 GPUs here, and torch can use "
         "none: this runs on the CPU"),
        ({}, 0, 1, 1, 0, "warning: 1 GPU here, and torch can use none"),
    ],
)  # fmt: skip
def test_what_a_task_says_first(environ, asked, used, visible, usable, line) -> None:
    said = devices_line(environ, "train", asked, used, visible, usable)
    assert said == line or (said or "").startswith(line or "\n")


def test_what_slurm_gave() -> None:
    given = {"SLURM_JOB_GPUS": "2,3", VISIBLE: "0"}
    assert granted_devices(given) == 0  # of another job: this is none
    assert granted_devices(JOB | given) == 2
    assert granted_devices(JOB | {VISIBLE: "0,1,2"}) == 3
    assert granted_devices(JOB | {VISIBLE: "NoDevFiles"}) == 0


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """Return a function that makes torch count GPUs as a machine with so many of them would."""

    def with_gpus(count: int, value: str | None = None, works: bool = True) -> None:
        monkeypatch.delenv(VISIBLE, raising=False)
        if value is not None:
            monkeypatch.setenv(VISIBLE, value)

        def counted() -> int:
            named = listed_devices(os.environ)
            return count if named is None else min(count, len(named))

        monkeypatch.setattr(torch.cuda, "device_count", counted)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: works and counted() > 0)

    return with_gpus


@pytest.mark.parametrize("value", [None, "0,1,2,3", "MIG-a,MIG-b,MIG-c,MIG-d"])
@pytest.mark.parametrize("processes", [1, 2, 4])
def test_a_process_sees_as_many_as_the_point_uses(machine, value, processes) -> None:
    machine(4, value)
    before = dict(os.environ)
    train = Train(processes=processes)
    with ranks.devices_of(train, processes, os.environ, processes) as line:
        assert torch.cuda.device_count() == processes
        assert (line is None) == (processes == 4)
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("count", "value", "train", "said"),
    [
        (2, None, {"processes": 4}, "train.processes: found 4, but 2 GPUs visible"),
        (4, "0", {"processes": 2}, "train.processes: found 2, but 1 GPU visible"),
        (0, None, {"processes": 2, "fsdp": "x.yaml"}, "train.fsdp: sharding needs GPUs"),
    ],
)
def test_too_few_are_refused(machine, count, value, train, said) -> None:
    machine(count, value)
    settings = Train(**train)
    with (
        pytest.raises(BadInput, match=said),
        ranks.devices_of(settings, settings.processes, os.environ, 4),
    ):
        pass


def test_gpus_that_cuda_cannot_use_are_none(machine) -> None:
    machine(4, "0,1,2,3", works=False)
    with ranks.devices_of(Train(), 1, os.environ, 4) as line:
        assert line.startswith("warning: 4 GPUs here, and torch can use none")
        assert ranks.device_name() == "cpu"


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of every pass of training, on a machine with 4 GPUs whose work is done by the CPU."""
    seen: list[int] = []
    collate, arguments = batches.collate_answers, loop.TrainingArguments

    def counted(rows, **given):
        seen.append(len(rows))
        return collate(rows, **given)

    monkeypatch.setattr(batches, "collate_answers", counted)
    monkeypatch.setattr(
        loop, "TrainingArguments", lambda **given: arguments(**{**given, "use_cpu": False})
    )
    return seen


def test_a_step_takes_the_rows_that_were_asked_for(
    machine, passes, prepared_study, run_stage
) -> None:
    """transformers would have made passes of 4 × 4 rows."""
    machine(4, "4,5,6,7", works=False)
    ended = run_stage("stage2_train", prepared_study, "--index", "0")
    assert ended.code == 0, ended.err
    assert "4 GPUs" in ended.out.splitlines()[0]
    assert passes == [4] * 6  # 24 rows
    assert os.environ[VISIBLE] == "4,5,6,7"


def test_a_process_that_sees_several_all_the_same_is_refused(
    machine, passes, prepared_study, run_stage, monkeypatch
) -> None:
    machine(4, works=False)
    monkeypatch.setattr("lib.runs.devices.hide_devices", lambda environ, used: None)
    ended = run_stage("stage2_train", prepared_study, "--index", "0")
    assert ended.code == 2
    assert "4 GPUs in one process, which takes one" in ended.err
    assert not passes


def test_stage_3_sees_one(machine, prepared_study, monkeypatch, capsys) -> None:
    from lib.config.load import load_study
    from stages.stage3_infer import one_device

    machine(4, "GPU-a,GPU-b")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with one_device(load_study(prepared_study)):
        assert os.environ[VISIBLE] == "GPU-a"
    assert capsys.readouterr().out == (
        "2 GPUs visible, 1 used (an engine takes one): 1 stays idle; make infer requests 1, or "
        "give sbatch --gres=gpu:1\n"
    )
