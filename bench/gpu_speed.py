"""How fast a GPU is, one function a part; see bench.gpu, which runs them.

A part appends a row per way to rows.jsonl in its scratch directory as soon as it has measured it,
so that a part that is cut keeps the rows before.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench import generation, memory, preference
from bench.gpu_checks import Check, Result, has_gpu, make_study, stage
from bench.jobs import measured
from bench.random_model import save_llama, sizes_of
from lib.config.load import load_study
from lib.runs.files import read_jsonl

ROWS = "rows.jsonl"
FSDP = "lossgrid, FSDP world 1"
# (train.tuning, way of bench.step_time); ratios are to the first way of the same tuning.
SMALL_WAYS = (
    ("lora", "lossgrid"), ("lora", "TRL"), ("qlora", "lossgrid"), ("qlora", "TRL"),
    ("lora", "no shared prompts"), ("lora", "padded rows"), ("lora", FSDP),
)  # fmt: skip
LARGE_WAYS = SMALL_WAYS[2:4] + SMALL_WAYS[:2]
POINTS = 3  # at once, and adapters that are served
STEPS, BATCH = 4, 8


def add_row(scratch: Path, base: float | None, way: str, **values: float | None) -> None:
    """A row of the table. base: what `values`' first one is divided by for the ratio."""
    first = next(iter(values.values()))
    ratio = first / base if base and first is not None else 1.0
    with (scratch / ROWS).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"way": way, **values, "ratio": ratio}) + "\n")


def steps_small(sizes: Mapping[str, Any], scratch: Path) -> Result:
    """Steps of DPO on a 1.5B shape, with and without packing and shared prompts."""
    return _steps(sizes, scratch, "Qwen/Qwen2.5-1.5B-Instruct", SMALL_WAYS)


def steps_large(sizes: Mapping[str, Any], scratch: Path) -> Result:
    """Steps of DPO on a 7B shape."""
    return _steps(sizes, scratch, "Qwen/Qwen2.5-7B-Instruct", LARGE_WAYS)


def _steps(
    sizes: Mapping[str, Any], scratch: Path, name: str, ways: tuple[tuple[str, str], ...]
) -> Result:
    tiny = not has_gpu() or sizes["num_hidden_layers"] <= 2
    shape = dict(sizes) if tiny else sizes_of(memory.SHAPES[name])
    save_llama(scratch / "model", "bfloat16", **shape)
    if has_gpu():
        import torch

        torch.cuda.empty_cache()
    args = argparse.Namespace(
        model=scratch / "model", source="synthetic", tokens=512, rows=STEPS * BATCH + 16,
        batch=BATCH, precision="bf16",
    )  # fmt: skip
    path = preference.write_study(args, scratch)
    stage("stage1_generate_datasets", path)
    tokens = _tokens_of_a_pair(path)
    weights = shape["num_hidden_layers"] * _layer_weights(shape)
    base: dict[str, float] = {}
    failed = []
    for tuning, way in ways:
        if way == FSDP and not has_gpu():
            continue
        words = [f"train.max_steps={STEPS}", f"train.tuning={tuning}"]
        try:
            found = _fsdp_way(path, words) if way == FSDP else measured(
                "bench.step_time", {"study": str(path), "words": words, "index": 0, "way": way}
            )  # fmt: skip
        except (SystemExit, RuntimeError) as error:  # the other ways are still worth having
            failed.append(f"{tuning}, {way}: {error}")
            continue
        rate = tokens / found["row"]
        add_row(
            scratch, base.setdefault(tuning, rate), f"{tuning}, {way}", tokens_a_second=rate,
            mfu=4 * weights * rate / memory.PEAK_FLOPS if has_gpu() else None,
            peak_gib=found["peak"] / 1024 if "peak" in found else None,
        )  # fmt: skip
    what = "; ".join(failed) or "tokens of both sequences of a pair, padding not counted"
    return {"ok": not failed, "found": what}


def _layer_weights(shape: Mapping[str, Any]) -> int:
    """Weights of a decoder layer's matrices; a step takes 4 FLOPs of each for a token."""
    hidden, size = shape["hidden_size"], shape["head_dim"]
    queries, keys = shape["num_attention_heads"] * size, shape["num_key_value_heads"] * size
    return hidden * (2 * queries + 2 * keys + 3 * shape["intermediate_size"])


def _tokens_of_a_pair(path: Path) -> float:
    """Tokens of a pair's two sequences, on average."""
    from lib.training.inputs import train_data

    study = load_study(path)
    rows = train_data(study, study.point(0)).rows
    sizes = [2 * len(row["prompt_ids"]) + len(row["chosen_ids"]) + len(row["rejected_ids"])
             for row in rows]  # fmt: skip
    return statistics.mean(sizes)


def _fsdp_way(path: Path, words: list[str]) -> dict[str, float]:
    words = [*words, "train.fsdp=configs/launchers/fsdp.yaml"]
    stage("stage2_train", path, *words, "--index", 0)
    rows = read_jsonl(load_study(path, words).point(0).directory / "train.jsonl")
    times = [after["seconds"] - before["seconds"] for before, after in pairwise(rows)]
    return {"row": statistics.mean(times) / BATCH}


def at_once(sizes: Mapping[str, Any], scratch: Path) -> Result:
    """Small points in turn in one process, and as many processes at once on the one GPU."""
    base = None
    for parallel in (1, POINTS):
        place = scratch / f"parallel{parallel}"
        place.mkdir()
        ways = {f"lora{i}": {"train.tuning": "lora", "train.seed": i} for i in range(POINTS)}
        study = make_study(place, sizes, "decision", ways, max_steps=32 if has_gpu() else 4)
        start = time.monotonic()
        words = ("--index", f"0-{POINTS - 1}", "--parallel", parallel)
        stage("stage2_train", study.path, *words)
        rate = POINTS / (time.monotonic() - start)
        base = base or rate
        add_row(scratch, base, f"{POINTS} points, {parallel} at once", points_a_second=rate)
    return {"ok": True, "found": "whole runs, starts included"}


def serving(sizes: Mapping[str, Any], scratch: Path) -> Result:
    """Adapters served by vLLM, and merged and swapped in."""
    save_llama(scratch / "model", "bfloat16", **sizes)
    rows, tokens = (64, 64) if has_gpu() else (4, 4)
    args = argparse.Namespace(
        model=scratch / "model", rows=rows, shots=0, length=512, tokens=tokens
    )
    path = generation.write_study(args, scratch)
    stage("stage1_generate_datasets", path)
    base = None
    for way in ("merged", "served"):
        what = {"study": str(path), "points": POINTS, "way": way}
        found = measured("bench.generation", what)
        rate = POINTS * args.rows / found["answers"]
        base = base or rate
        add_row(scratch, base, f"{POINTS} adapters {way}", answers_a_second=rate,
                start_s=found["start"])  # fmt: skip
    return {"ok": True, "found": "answers with their swaps, the engine's start apart"}


SPEEDS = {
    "steps": Check(steps_small, "LoRA and QLoRA DPO steps, 1.5B, against TRL", "", 90),
    "steps_7b": Check(steps_large, "QLoRA and LoRA DPO steps, 7B, against TRL", "", 130),
    "at_once": Check(at_once, f"{POINTS} small points in turn and at once", "", 30),
    "serving": Check(serving, "adapters served or merged, vLLM", "", 60),
}
