"""Answers and their probabilities from a trained model: vLLM or Hugging Face behind one face.

Both engines get the same token ids and give the same rows. One engine serves a whole grid: `load`
swaps the weights of the next point in, where starting an engine takes most of a minute.
"""

from __future__ import annotations

import gc
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from lib.checkpoints import check_directory, is_adapter
from lib.schema import Infer, Model

Ids = Sequence[int]


class Engine(Protocol):
    """What stage 3 asks of an engine. Prompts and answers are token ids."""

    def load(self, directory: Path) -> None:
        """Serve these whole weights from now on."""

    def generate(
        self,
        prompts: Sequence[Ids],
        settings: Infer,
        temperatures: Sequence[float] | None = None,
        seeds: Sequence[int] | None = None,
    ) -> list[list[str]]:
        """Raw text of one answer a prompt, as a list of one; special tokens left out.

        temperatures, seeds: one a prompt; None: the settings' temperature and seed 0 for all. What
        is drawn for a prompt hangs on its own seed alone, not on the prompts beside it.
        """

    def score(self, prompts: Sequence[Ids], answers: Sequence[Sequence[Ids]]) -> list[list[float]]:
        """log p(answer | prompt), nats, summed over tokens, of each answer of each prompt.

        Not of an engine that was started with `caching`.
        """

    def close(self) -> None:
        """Free the memory; nothing can be asked afterwards."""


@contextmanager
def whole_weights(model: Model, directory: Path, precision: str) -> Iterator[Path]:
    """A directory of whole weights: a full model's own, an adapter's merged for the while."""
    check_directory(directory, "model")
    if not is_adapter(directory):
        yield directory
        return
    from lib.models import DTYPES, merge

    with tempfile.TemporaryDirectory(prefix="lossgrid-merged-") as scratch:
        merge(model, directory, DTYPES[precision], Path(scratch))
        yield Path(scratch)


def start_engine(
    model: Model,
    settings: Infer,
    directory: Path,
    room: int | None = None,
    caching: bool = False,
) -> Engine:
    """The engine that `settings` ask for, serving the whole weights in `directory`.

    directory: may also be `model.name`, a hub id. room: tokens of prompt and answer together; None:
    as model and settings have them. caching: keep the heads that prompts share (vLLM); cached
    positions have no log-probabilities, so that nothing can be scored then.
    """
    if settings.engine == "hf":
        from lib.hf_engine import HfEngine

        return HfEngine(model, settings, directory)
    from lib.vllm_engine import VllmEngine

    return VllmEngine(model, settings, directory, room, caching)


def free() -> None:
    """Give memory back that no object holds any more, where torch has any of a GPU's."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def sampling(
    prompts: Sequence[Ids],
    settings: Infer,
    temperatures: Sequence[float] | None,
    seeds: Sequence[int] | None,
) -> list[tuple[float, int]]:
    """(temperature, seed) of each prompt."""
    hot = [settings.temperature] * len(prompts) if temperatures is None else temperatures
    return list(zip(hot, [0] * len(prompts) if seeds is None else seeds, strict=True))


def regroup(flat: list[float], like: Sequence[Sequence[Any]]) -> list[list[float]]:
    """The values in groups of the sizes of `like`'s."""
    values = iter(flat)
    return [[next(values) for _ in group] for group in like]
