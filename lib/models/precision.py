"""The precision of a machine: what `precision: auto` means where a point is computed."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

from lib.config.study import Point
from lib.config.yaml import with_attribute
from lib.runs.files import read_json

CPU_FLAGS = Path("/proc/cpuinfo")


def on_this_machine(point: Point) -> Point:
    """A point whose `auto` precisions are chosen; training keeps the one that it began with."""
    config = point.config
    if config.train.precision == "auto":
        path = point.directory / "config.json"
        begun = read_json(path) if path.exists() else None
        known = isinstance(begun, dict) and begun.get("config", {}).get("train", {})
        config = with_attribute(
            config, "train.precision", precision_here(known and known["precision"] or "auto")
        )
    chosen = precision_here(config.infer.precision)
    return replace(point, config=with_attribute(config, "infer.precision", chosen))


def precision_here(precision: str) -> str:
    """`bf16` or `fp32` as given; `auto` is bf16 where the device multiplies it in hardware.

    Of CPUs these are those with AMX: with AVX-512 alone, its bf16 instructions included, a training
    step in bf16 took 1.75 times as long as in fp32.
    """
    return _fast_here() if precision == "auto" else precision


@cache
def _fast_here() -> str:
    import torch

    if torch.cuda.is_available():
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = CPU_FLAGS.exists() and "amx_bf16" in CPU_FLAGS.read_text().split()
    return "bf16" if fast else "fp32"
