"""What a GPU has to show, one function a check; see bench.gpu, which runs them.

A check gets the sizes of its model and an empty directory, and returns {"ok", "found", …}: whether
it holds (None: not to be shown here) and what was measured, in words.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench import memory
from bench.random_model import save_llama, sizes_of
from lib.config.load import load_study
from lib.config.study import Point, Study
from lib.runs.files import read_json, read_jsonl

TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32,
        "max_position_embeddings": 1024}  # fmt: skip
# The checks hold for any size; 0.5B leaves time for the speeds.
SIZES = {
    "tiny": TINY,
    "full": sizes_of(memory.decoder(896, 4864, 24, 14, 2, 64, 151936, tied=True)),
}
DRIVER = 580  # the first that CUDA 13 runs on
Result = dict[str, Any]

TRAIN = {"batch_size": 8, "micro_batch": 2, "max_steps": 4, "learning_rate": 1e-5,
         "checkpoint_steps": 2}  # fmt: skip
DATA = {
    "decision": {"source": "synthetic", "ratio": "1:1", "train_rows": 32, "test_rows": 16},
    "preference": {"source": "synthetic", "train_rows": 40, "validation": 0.1, "test_rows": 4},
}


@dataclass(frozen=True)
class Check:
    """A check or a speed, and what it is for."""

    run: Callable[[Mapping[str, Any], Path], Result]
    shows: str
    expected: str
    share: float  # of the script's time, in seconds of 480


def has_gpu() -> bool:
    """Whether torch can use a GPU here."""
    import torch

    return torch.cuda.is_available()


def make_study(
    scratch: Path, sizes: Mapping[str, Any], task: str, variants: Mapping[str, Any], **train: Any
) -> Study:
    """A study of one point a variant on a random model, with stage 1 done."""
    model = scratch / "model"
    save_llama(model, "bfloat16", **sizes)
    study = {
        "results_dir": str(scratch / "results"),
        "tasks": [task],
        "model": {"name": str(model), "max_length": 512},
        "data": DATA[task],
        "train": {**TRAIN, **train},
        "infer": {"engine": "vllm", "max_new_tokens": 4, "gpu_memory": 0.5},
        "evaluate": {"baseline": {"variant": next(iter(variants))}},
        "variants": {name: dict(changes) for name, changes in variants.items()},
        "grid": [{"variant": list(variants)}],
    }
    path = scratch / "gpu.yaml"
    path.write_text(yaml.safe_dump(study), encoding="utf-8")
    stage("stage1_generate_datasets", path)
    return load_study(path)


def stage(name: str, *words: object) -> None:
    """Run a stage in a separate process. Raises RuntimeError where it fails."""
    command = [sys.executable, "-m", f"stages.{name}", *map(str, words)]
    if code := subprocess.run(command).returncode:
        raise RuntimeError(f"{name} {' '.join(map(str, words[1:]))}: exit code {code}")


def losses(point: Point) -> list[float]:
    """The loss of every step of a trained point."""
    return [row["loss"] for row in read_jsonl(point.directory / "train.jsonl")]


def driver(sizes: Mapping[str, Any], scratch: Path) -> Result:
    """The driver is new enough for the packages' CUDA, and 4-bit weights have a kernel."""
    import torch

    from lib.models.trainable import nf4_fault

    if not has_gpu():
        return {"ok": None, "found": "no GPU"}
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    version = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()[0]
    fault = nf4_fault()
    found = f"driver {version}, CUDA {torch.version.cuda}, NF4: {fault or 'works'}"
    new_enough = int(version.partition(".")[0]) >= DRIVER or int(torch.version.cuda[:2]) < 13
    return {"ok": new_enough and fault is None, "found": found}


def points(sizes: Mapping[str, Any], scratch: Path) -> Result:
    """Three points in one process: each uses one device, and leaves no memory to the next."""
    import torch

    from stages import stage2_train

    study = make_study(scratch, sizes, "decision", {
        name: {"train.tuning": name} for name in ("full", "lora", "qlora")
    })  # fmt: skip
    held = []
    train = stage2_train.train

    def watched(*given: Any) -> int:
        held.append(torch.cuda.memory_allocated() / 2**30 if has_gpu() else 0.0)
        return train(*given)

    stage2_train.train = watched
    if code := stage2_train.main([str(study.path), "--index", "0-2"]):
        raise RuntimeError(f"stage 2: exit code {code}")
    rows = [read_json(point.directory / "config.json") for point in study.points()]
    devices = {row["device"] for row in rows}
    finite = all(map(math.isfinite, (x for point in study.points() for x in losses(point))))
    one = all(name == "cpu" or name.startswith("1 × ") for name in devices)
    return {
        "ok": one and finite and max(held) < 0.1,
        "found": f"{', '.join(devices)}; at most {max(held):.2f} GiB held before a point",
    }


def attention(sizes: Mapping[str, Any], scratch: Path) -> Result:
    """Rows of unlike lengths go through the flash kernel, without a mask, and score as alone."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    from lib.config.schema import Model
    from lib.models.load import load_base
    from lib.training.batches import collate_answers
    from lib.training.responses import Responses, answer_sums
    from lib.training.scoring import on_device

    save_llama(scratch / "model", "bfloat16", **sizes)
    device = "cuda" if has_gpu() else "cpu"
    model = load_base(Model(name=str(scratch / "model")), torch.bfloat16).to(device)
    draw, score = torch.Generator().manual_seed(0), Responses(model)
    rows = [
        {"input_ids": torch.randint(3, 250, (length,), generator=draw).tolist(),
         "prompt_length": length - 8, "decision": (0, 0), "group": None}
        for length in (512, 300, 77, 12)
    ]  # fmt: skip

    def logps(some: Sequence[dict]) -> torch.Tensor:
        batch = on_device(collate_answers(some, 0, None, packed=True), torch.device(device))
        return answer_sums(score(model, batch), batch)

    with sdpa_kernel([SDPBackend.FLASH_ATTENTION]):  # raises where this kernel cannot be used
        together = logps(rows)
        (-together.sum()).backward()
        with torch.no_grad():
            alone = torch.cat([logps([row]) for row in rows])
    apart = (together - alone).abs().max().item() / 8
    finite = all(bool(w.grad.isfinite().all()) for w in model.parameters() if w.grad is not None)
    return {
        "ok": finite and apart < 0.05,
        "found": f"gradients {'finite' if finite else 'NOT FINITE'}, rows {apart:.2g} nats a token "
        "from their scores alone",
    }


def pairs(sizes: Mapping[str, Any], scratch: Path) -> Result:
    """Before the first step the policy is the reference, however the model is held."""
    ways = {name: {"train.tuning": name} for name in ("qlora", "lora", "full")}
    study = make_study(scratch, sizes, "preference", ways, objective="dpo", beta=2.5)
    stage("stage2_train", study.path, "--index", "0-2")
    trained = [*study.points()]
    if has_gpu():
        sharded = {f"{name}_fsdp": ways[name] for name in ("lora", "full")}
        (scratch / "fsdp").mkdir()
        study = make_study(scratch / "fsdp", sizes, "preference", sharded, objective="dpo",
                           beta=2.5, fsdp="configs/launchers/fsdp.yaml")  # fmt: skip
        stage("stage2_train", study.path, "--index", "0-1")
        trained += study.points()
    gaps = {
        point.values["variant"]: read_json(point.directory / "config.json")["reference_gap"]
        for point in trained
    }
    said = ", ".join(f"{name} {gap:.2g}" for name, gap in gaps.items())
    return {"ok": max(gaps.values()) <= 0.05, "found": f"{said} nats a token", "gaps": gaps}


def fsdp(sizes: Mapping[str, Any], scratch: Path) -> Result:
    """A sharded full model: stopped and resumed, to the losses of a run that never stopped."""
    if not has_gpu():
        return {"ok": None, "found": "sharding needs a GPU (two gloo ranks: tests/training)"}
    ways = {"whole": {"train.seed": 1}, "stopped": {"train.seed": 1, "train.max_steps": 4}}
    study = make_study(scratch, sizes, "decision", ways, fsdp="configs/launchers/fsdp.yaml")
    whole, stopped = study.points()
    stage("stage2_train", study.path, "--index", whole.index)
    words = ["-m", "stages.stage2_train", str(study.path), "--index", str(stopped.index)]
    process = subprocess.Popen([sys.executable, *words])
    log = stopped.directory / "train.jsonl"
    while process.poll() is None and not (log.exists() and len(log.read_text().splitlines()) >= 2):
        time.sleep(0.05)
    process.send_signal(signal.SIGUSR2)
    code = process.wait()
    stage("stage2_train", study.path, "--index", stopped.index)
    apart = max(abs(a - b) for a, b in zip(losses(whole), losses(stopped), strict=True))
    seconds = read_json(whole.directory / "config.json").get("checkpoint_seconds")
    return {
        "ok": code in (0, 75) and apart < 0.01,  # not 0: the flash kernel adds in any order
        "found": f"exit code {code} at USR2; after the resume losses differ by at most "
        f"{apart:.2g}; a checkpoint took {seconds} s",
    }


def vllm(sizes: Mapping[str, Any], scratch: Path) -> Result:
    """vLLM survives USR2 at its start, serves full weights and a merged adapter, and scores as
    transformers does.
    """
    ways = {name: {"train.tuning": name} for name in ("full", "lora")}
    study = make_study(scratch, sizes, "decision", ways)
    stage("stage2_train", study.path, "--index", "0-1")
    code = stopped_at_start(study)
    answers = {}
    for engine, more in (("vllm", ()), ("hf", ("--force",))):
        words = ("--index", "0-1", f"infer.engine={engine}", *more)
        stage("stage3_infer", study.path, *words)
        files = [point.directory / "predictions.jsonl" for point in study.points()]
        answers[engine] = [row for file in files for row in read_jsonl(file)]
    apart = [abs(a["log_odds"] - b["log_odds"]) for a, b in zip(*answers.values(), strict=True)]
    rows = len(study.grid) * DATA["decision"]["test_rows"]
    return {
        "ok": code in (0, 75) and len(apart) == rows and max(apart) < 0.5,
        "found": f"exit code {code} at USR2; then {len(apart)} log-odds of two points, at most "
        f"{max(apart):.2g} apart",
    }


def stopped_at_start(study: Study) -> int:
    """Exit code of stage 3 where all its processes get USR2 while the engine starts."""
    words = [sys.executable, "-m", "stages.stage3_infer", str(study.path), "--index", "0-1"]
    process = subprocess.Popen(words, start_new_session=True)
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if has_gpu() and children(process.pid):  # the engine's process has begun
            time.sleep(3)
            break
        if not has_gpu() and "/vllm/" in Path(f"/proc/{process.pid}/maps").read_text():
            break
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGUSR2)
    return process.wait()


def children(pid: int) -> Sequence[str]:
    """Process ids of a process's children."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


CHECKS = {
    "driver": Check(driver, "driver and NF4 kernel", f"driver ≥ {DRIVER} for CUDA 13", 10),
    "points": Check(points, "devices of a point, memory between points", "1 device, < 0.1 GiB", 30),
    "attention": Check(
        attention, "flash kernel, no mask, no NaN", "≤ 0.05 nats a token, finite", 15
    ),
    "pairs": Check(pairs, "policy = reference before step 1", "≤ 0.05 nats a token in bf16", 45),
    "fsdp": Check(fsdp, "sharded checkpoints and resume", "75; losses within 0.01", 30),
    "vllm": Check(vllm, "vLLM stopped at its start, then as transformers", "75; within 0.5", 40),
}
