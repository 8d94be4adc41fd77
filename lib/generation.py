"""Answers and their probabilities from a trained model: vLLM or Hugging Face behind one face.

Both engines get the same token ids and give the same rows. One engine serves a whole grid: `load`
swaps the weights of the next point in, where starting an engine takes most of a minute.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lib.checkpoints import check_directory, is_adapter
from lib.engine import Engine
from lib.schema import Infer, Model


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
