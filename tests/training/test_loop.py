"""The loop: order, steps, stop and resume, kill, divergence, several ranks."""

import json
import os
import re
import signal
import socket
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lib.config.errors import BadInput
from lib.config.load import load_study
from lib.config.schema import Train
from lib.config.steps import row_order, step_count
from lib.data.prepared import encoded_training
from lib.runs.files import read_jsonl
from lib.runs.progress import Progress
from lib.tasks.decision.task import TASK
from lib.training.checkpointing import COMPLETE, last_checkpoint
from lib.training.inputs import train_data
from lib.training.loop import remove_checkpoints, train_point, training_arguments
from lib.training.ranks import fsdp_config
from tests.conftest import as_started, logged_as_started
from tests.training.outcomes import assert_close, assert_same, weights


@pytest.mark.parametrize(
    "rows, train, steps",
    [
        (160, {"batch_size": 16}, 10),
        (170, {"batch_size": 16}, 10),
        (170, {"batch_size": 16, "epochs": 3}, 31),
        (170, {"batch_size": 16, "max_steps": 4}, 4),
        (170, {"batch_size": 16, "epochs": 0.5}, 5),
    ],
)
def test_step_count(rows, train, steps):
    assert step_count(Train(**train), rows) == steps


def test_too_few_rows_for_one_step():
    with pytest.raises(BadInput, match=r"train\.batch_size: found 16, but 15 rows"):
        step_count(Train(batch_size=16), 15)


def test_row_order_is_a_permutation_an_epoch():
    order = row_order(10, 25, seed=3)
    assert sorted(order[:10]) == sorted(order[10:20]) == list(range(10))
    assert list(order[:10]) != list(order[10:20])
    assert np.array_equal(order, row_order(10, 25, seed=3))
    assert not np.array_equal(order, row_order(10, 25, seed=4))


def run(study_path, directory, overrides=(), stop=lambda: False):
    """Train point 1 (accept, γ 2) of a study into a directory of its own."""
    study = load_study(study_path, overrides)
    data = train_data(load_study(study_path), study.point(1))
    directory.mkdir(parents=True, exist_ok=True)
    return train_point(study.point(1), data, directory, stop)


@pytest.fixture(scope="module")
def whole(tiny_model, prepared_data, tmp_path_factory):
    """A run of three steps without a break; (its directory, losses)."""
    import shutil

    from tests.conftest import study_text

    root = tmp_path_factory.mktemp("whole")
    changes = {"model.name": str(tiny_model), "results_dir": str(root / "results")}
    path = root / "small.yaml"
    path.write_text(study_text(changes, ()), encoding="utf-8")
    shutil.copytree(prepared_data, root / "results" / "small" / "data")
    outcome = run(path, root / "whole")
    assert (outcome.status, outcome.step, outcome.steps) == ("done", 3, 3)
    return path, root / "whole"


def losses(directory):
    return [row["loss"] for row in read_jsonl(directory / "train.jsonl")]


def test_log_has_a_row_a_step(whole):
    rows = read_jsonl(whole[1] / "train.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert rows[-1]["epoch"] == pytest.approx(1.0)
    assert all(row["grad_norm"] > 0 for row in rows)


@pytest.mark.parametrize("log_steps", [1, 2])
def test_a_loss_shown_is_that_of_its_step(whole, tmp_path, monkeypatch, capsys, log_steps):
    monkeypatch.setattr("lib.training.monitor.Progress", partial(Progress, every=0.0))
    run(whole[0], tmp_path / "run", [f"train.log_steps={log_steps}"])
    rows = {row["step"]: row["loss"] for row in read_jsonl(tmp_path / "run" / "train.jsonl")}
    shown = re.findall(r"(\d)/3 steps .* (?:elapsed|remaining)(.*)", capsys.readouterr().err)
    if log_steps == 1:
        assert shown == [(str(step), f", loss {loss:.4g}") for step, loss in rows.items()]
    else:
        assert shown == [("1", ""), ("2", f", loss {rows[2]:.4g}"),
                         ("3", f", loss {rows[2]:.4g} at step 2")]  # fmt: skip


def test_first_loss_is_the_weighted_mean_by_brute_force(whole, tiny_model):
    """Recomputed from the rows of the first step, one row at a time, without our loss."""
    from transformers import AutoModelForCausalLM

    study = load_study(whole[0])
    rows = encoded_training(study, study.point(1))
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()
    total, count = 0.0, 0
    for i in row_order(len(rows), 24, 42)[:8].tolist():
        row = rows[i]
        ids = torch.tensor([row["input_ids"]])
        with torch.no_grad():
            logs = model(input_ids=ids).logits[0].log_softmax(-1)
        for at in range(row["prompt_length"], ids.shape[1]):
            decides = row["decision"][0] <= at < row["decision"][1]
            weight = 2.0 if decides and row["group"] == "accept" else 1.0
            total -= weight * logs[at - 1, ids[0, at]].item()
            count += 1
    assert losses(whole[1])[0] == pytest.approx(total / count, rel=1e-5)


def test_micro_batch_changes_no_loss(whole, tmp_path):
    run(whole[0], tmp_path / "cut", ["train.micro_batch=1"])
    assert losses(tmp_path / "cut") == pytest.approx(losses(whole[1]), rel=1e-4)


def test_a_run_resumed_with_half_the_micro_batch_is_the_same(whole, tmp_path):
    """As `make retry` does where memory was too small."""
    first = run(whole[0], tmp_path / "cut", stop=lambda: True)
    assert (first.status, first.step) == ("stopped", 1)
    assert run(whole[0], tmp_path / "cut", ["train.micro_batch=2"]).status == "done"
    assert losses(tmp_path / "cut") == pytest.approx(losses(whole[1]), rel=1e-4)


def test_stopped_and_resumed_to_the_bit(whole, tmp_path):
    """Stopped after step 1, resumed: the same weights as without the stop; LoRA with dropout."""
    words = ["train.tuning=lora", "train.lora.dropout=0.3"]
    run(whole[0], tmp_path / "unbroken", words)
    first = run(whole[0], tmp_path / "broken", words, stop=lambda: True)
    assert (first.status, first.step) == ("stopped", 1)
    assert not (tmp_path / "broken" / "model").exists()
    second = run(whole[0], tmp_path / "broken", words)
    assert (second.status, second.step) == ("done", 3)
    assert_same(*(weights(tmp_path / d) for d in ("unbroken", "broken")))
    rows = read_jsonl(tmp_path / "broken" / "train.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert losses(tmp_path / "broken") == losses(tmp_path / "unbroken")


def test_incomplete_checkpoint_is_not_resumed_from(whole, tmp_path):
    """As a kill in the middle of writing step 2 would leave it."""
    directory = tmp_path / "killed"
    words = ["train.checkpoint_steps=1"]
    count = iter([False, True])
    run(whole[0], directory, words, stop=lambda: next(count))
    assert last_checkpoint(directory).name == "checkpoint-2"
    (directory / "checkpoints" / "checkpoint-2" / COMPLETE).unlink()
    (directory / "checkpoints" / "checkpoint-2" / "optimizer.pt").write_bytes(b"torn")
    assert last_checkpoint(directory).name == "checkpoint-1"
    with (directory / "train.jsonl").open("a") as log:
        log.write('{"step": 3, "lo')
    run(whole[0], directory, words)
    assert_same(weights(directory), weights(whole[1]))


def test_candidates_are_kept_whatever_the_stops(whole, tmp_path, monkeypatch):
    """Those after each third, of an unbroken run and of one resumed; none when diverged."""
    monkeypatch.setattr(TASK, "selects", True)
    words = ["train.checkpoint_candidates=3"]
    run(whole[0], tmp_path / "unbroken", words)
    stale = tmp_path / "broken" / "candidates" / "step-000099"
    stale.mkdir(parents=True)  # of a run that was given up before its first checkpoint
    run(whole[0], tmp_path / "broken", words, stop=lambda: True)
    assert [p.name for p in (tmp_path / "broken" / "candidates").iterdir()] == ["step-000001"]
    run(whole[0], tmp_path / "broken", words)
    kept = [f"step-00000{n}" for n in (1, 2, 3)]
    for name in kept:
        one, other = (tmp_path / d / "candidates" / name for d in ("unbroken", "broken"))
        assert_same(*(load_file(d / "model.safetensors") for d in (one, other)))
        assert (one / "tokenizer_config.json").exists()
    last = load_file(tmp_path / "unbroken" / "candidates" / kept[-1] / "model.safetensors")
    assert_same(last, weights(tmp_path / "unbroken"))
    assert_same(last, weights(whole[1]))  # keeping weights changes no training
    assert sorted(p.name for p in (tmp_path / "broken" / "candidates").iterdir()) == kept

    bad = tmp_path / "bad"
    words += ["train.learning_rate=1e30", "train.clip=1e30"]
    assert run(whole[0], bad, words).status == "diverged"
    remove_checkpoints(bad, diverged=True)
    assert not (bad / "candidates").exists()


def test_a_loss_that_is_not_finite_is_a_result(whole, tmp_path):
    outcome = run(whole[0], tmp_path / "bad", ["train.learning_rate=1e30", "train.clip=1e30"])
    assert outcome.status == "diverged"
    assert "not finite" in outcome.reason
    assert not (tmp_path / "bad" / "model").exists()
    last = read_jsonl(tmp_path / "bad" / "train.jsonl")[-1]
    assert last["loss"] is None


def command(study, *words):
    return ["stages.stage2_train", str(study), "--index", "1", *words]


def as_by_torchrun(processes, words):
    """Start two ranks with what torchrun gives each in its environment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    given = {
        "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port), "GROUP_RANK": "0", "GROUP_WORLD_SIZE": "1", "ROLE_RANK": "0",
        "TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_RESTART_COUNT": "0",
    }  # fmt: skip
    ranks = [
        processes.Process(
            target=as_started, args=words, kwargs={**given, "RANK": r, "LOCAL_RANK": r}
        )
        for r in "01"
    ]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(120)
        if rank.exitcode != 0:
            for other in ranks:
                other.kill()
    assert [rank.exitcode for rank in ranks] == [0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["ours", "torchrun"])
def test_two_ranks_have_the_losses_of_one(whole, processes, launcher):
    """Two CPU processes over gloo, by our launcher and as torchrun starts them."""
    name = f"ranks-{launcher}"
    words = [f"name={name}", "train.processes=2", "train.micro_batch=2"]
    root = whole[0].parent / "results"
    (root / name).mkdir()
    (root / name / "data").symlink_to(root / "small" / "data")
    if launcher == "ours":
        started = processes.Process(target=as_started, args=command(whole[0], *words))
        started.start()
        started.join(120)
        started.kill()  # its ranks end with it
        assert started.exitcode == 0
    else:
        as_by_torchrun(processes, command(whole[0], *words))
    directory = root / name / "accept_gamma2"
    assert losses(directory) == pytest.approx(losses(whole[1]), rel=1e-4)
    assert_close(weights(directory), weights(whole[1]))


@pytest.mark.slow
def test_rank_count_must_be_the_studys(whole, processes, tmp_path):
    log, environ = tmp_path / "log", {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}
    words = command(whole[0], "name=small")
    rank = processes.Process(target=logged_as_started, args=(log, *words), kwargs=environ)
    rank.start()
    rank.join(120)
    assert rank.exitcode == 2
    assert "2 ranks were started; give train.processes=2" in log.read_text()


def wait_for(path: Path, text: str, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not (path.exists() and text in path.read_text()):
        assert time.monotonic() < deadline, f"{path} never held {text!r}"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGTERM, signal.SIGKILL])
def test_signals_to_the_stage(whole, processes, number):
    """USR2 and TERM: checkpoint, exit 75, resumed to the bit. KILL: resumed from a checkpoint."""
    name = f"signal-{number.name}"
    words = [f"name={name}", "train.epochs=30", "train.checkpoint_steps=20"]
    root = whole[0].parent / "results"
    (root / name).mkdir()
    (root / name / "data").symlink_to(root / "small" / "data")
    directory = root / name / "accept_gamma2"

    def start():
        process = processes.Process(target=as_started, args=command(whole[0], *words))
        process.start()
        return process

    process = start()
    wait_for(directory / "train.jsonl", '"step": 25,')
    os.kill(process.pid, number)
    process.join(300)
    assert process.exitcode == (-9 if number == signal.SIGKILL else 75)
    assert not (directory / "model").exists()
    stopped_at = last_checkpoint(directory)
    assert stopped_at is not None
    again = start()
    again.join(300)
    assert again.exitcode == 0
    steps = [row["step"] for row in read_jsonl(directory / "train.jsonl")]
    assert steps == list(range(1, 91))
    assert json.loads((directory / "done" / "train.json").read_text())["status"] == "done"
    assert not (directory / "checkpoints").exists()
    unbroken = whole[0].parent / "unbroken"
    if not unbroken.exists():
        run(whole[0], unbroken, words[1:])
    assert_same(weights(directory), weights(unbroken))


def test_launcher_configs_are_read_and_taken_by_transformers(tmp_path, monkeypatch):
    """Every launcher config: known keys, and a Trainer's arguments that hold it.

    On a CPU the Trainer replaces FSDP by plain data parallelism, so sharding itself is not tested.
    """
    configs = sorted(Path("configs/launchers").glob("*.yaml"))
    assert configs
    for config in configs:
        train = Train(fsdp=str(config))  # one process: a group of ranks needs its peers
        wanted = fsdp_config(train)
        monkeypatch.setattr("lib.training.loop.fsdp_config", lambda _train, w=wanted: dict(w))
        arguments = training_arguments(train, tmp_path, 10)
        assert arguments.fsdp
        assert arguments.fsdp_config.items() >= wanted.items()
        assert arguments.fsdp_plugin_args["fsdp_version"] == 2
        assert not arguments.gradient_checkpointing


def test_launcher_config_with_an_unknown_key(tmp_path):
    path = tmp_path / "fsdp.yaml"
    path.write_text("reshard_after_foward: true\n")
    with pytest.raises(BadInput, match=r"did you mean 'reshard_after_forward'\?"):
        fsdp_config(Train(processes=2, fsdp=str(path)))
