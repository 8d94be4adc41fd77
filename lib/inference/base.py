"""What an engine of stage 3 does, and what every engine needs; `serving` starts one."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from lib.config.schema import Infer

Ids = Sequence[int]
Item = TypeVar("Item")


class EngineDied(RuntimeError):
    """The process of an engine has ended, such as after a TERM to all processes of a job."""


class Draw(NamedTuple):
    """How answers to a prompt are drawn: `count` of them, the i-th with `seed` + i."""

    temperature: float = 0.0
    seed: int = 0
    count: int = 1


class Engine(Protocol):
    """What stage 3 asks of an engine. Prompts and answers are token ids."""

    def load(self, directory: Path) -> None:
        """Serve these whole weights from now on."""

    def use(self, adapter: Path) -> None:
        """Serve this adapter beside the whole weights, in place of the one before."""

    def generate(
        self, prompts: Sequence[Ids], settings: Infer, draws: Sequence[Draw] | None = None
    ) -> list[list[str]]:
        """Raw texts of the answers to each prompt, in the order drawn; special tokens left out.

        draws: one a prompt; None: `default_draw`. An answer depends on its own draw alone, not on
        what else is drawn. Equal prompts beside each other are read once (vLLM: with `caching`, and
        but for their ends).
        """

    def score(self, prompts: Sequence[Ids], answers: Sequence[Sequence[Ids]]) -> list[list[float]]:
        """log p(answer | prompt), nats, summed over tokens, of each answer of each prompt.

        Not of an engine that was started with `caching`.
        """

    def generate_and_score(
        self, prompts: Sequence[Ids], settings: Infer, answers: Sequence[Sequence[Ids]]
    ) -> tuple[list[list[str]], list[list[float]]]:
        """What `generate`, by default draws, and `score` return."""

    def close(self) -> None:
        """Free the memory; nothing can be asked afterwards."""


def free() -> None:
    """Give memory back that no object holds any more, where torch has any of a GPU's."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.cuda.empty_cache()  # does not start CUDA


def default_draw(settings: Infer) -> Draw:
    """One answer; greedy where the temperature is that of `infer.samples`."""
    return Draw(0.0 if settings.samples else settings.temperature)


def regroup(flat: Sequence[Item], like: Sequence[Sequence[Any]]) -> list[list[Item]]:
    """The values in groups of the sizes of `like`'s."""
    values = iter(flat)
    return [[next(values) for _ in group] for group in like]
