"""One engine for all that a process predicts: every task and point, each with its own weights."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lib.config import tasks
from lib.config.schema import Config, Infer, Model
from lib.config.study import Point, Study
from lib.inference.base import Engine
from lib.models.checkpoints import check_directory, is_adapter
from lib.runs.files import read_json


class Served:
    """The engine of a process, started for the first that asks; no module of it loads before."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self._engine: Any = None
        self._started: Any = None  # what an engine cannot change once it has started
        self._tied: bool | None = None  # whether its head is its embeddings
        self._holds: Path | None = None  # whose weights it serves

    @contextmanager
    def engine(self, point: Point, weights: Path | None = None) -> Iterator[Any]:
        """A `inference.base.Engine` that serves a point's model, or other `weights` of the point.

        Adapters are merged for the while, and not again where the engine serves them already: with
        the swaps, vLLM on a core of a CPU then gives 2.3 times the tokens a second that it gives
        with adapters beside the weights (`python -m bench.generation`).
        """
        from lib.inference.base import free
        from lib.inference.serving import start_engine, whole_weights

        model, infer = point.config.model, point.config.infer
        directory = weights or point.directory / "model"
        wanted = (model.name, model.revision, model.trust_remote_code, infer.engine,
                  infer.precision)  # fmt: skip
        if self._started != wanted:
            self.close()
        if self._holds == directory:
            yield self._engine
            return
        if is_adapter(directory) and not model.adapter:
            from lib.models.adapters import check_adapter_config

            check_adapter_config(directory, model, point.config.train)
        with whole_weights(model, directory, infer.precision) as whole:
            if self._tied != (tied := ties_embeddings(whole)):
                self.close()  # an engine keeps the head that it was started with
            self._tied = tied
            self._holds = None
            if self._engine is None:
                free()  # a predictor without an engine may have left a model behind
                longest, caching = room(self.study), caches(self.study)
                self._engine = start_engine(model, infer, whole, longest, caching)
                self._started = wanted
            else:
                self._engine.load(whole)
            self._holds = directory
            yield self._engine

    def close(self) -> None:
        """Free the memory of all that predicted, for a judge; the next to ask starts another."""
        from lib.inference.base import free

        if self._engine is not None:
            self._engine.close()
        self._engine = self._started = self._holds = None
        free()


def ties_embeddings(directory: Path) -> bool | None:
    """Whether head and embeddings of a model are one matrix; None where its config does not say."""
    path = directory / "config.json"
    config = read_json(path) if path.exists() else {}
    return config.get(
        "tie_word_embeddings", config.get("text_config", {}).get("tie_word_embeddings")
    )


def room(study: Study) -> int:
    """Tokens of the longest prompt and answer together, over all points and tasks of a study."""
    return max(_room(point.config, study.tasks) for point in study.points())


def _room(config: Config, names: list[str]) -> int:
    sections = [config.infer, *(getattr(config, name) for name in names if name in vars(config))]
    longest = max(getattr(section, "max_new_tokens", None) or 0 for section in sections)
    return config.model.max_length + longest


def caches(study: Study) -> bool:
    """Whether heads that prompts share may be kept: not where answers are scored.

    A prompt position that is taken from vLLM's cache has no log-probabilities.
    """
    for task in study.tasks:
        data = study.config.data if task == study.config.tasks[0] else getattr(study.config, task)
        if tasks.get(task).answers(data):
            return False
    return True


@contextmanager
def whole_weights(model: Model, directory: Path, precision: str) -> Iterator[Path]:
    """A directory of whole weights: a full model's own, an adapter's merged for the while."""
    check_directory(directory, "model")
    if not is_adapter(directory):
        yield directory
        return
    from lib.models.load import DTYPES, merge

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
        from lib.inference.hf import HfEngine

        return HfEngine(model, settings, directory)
    from lib.inference.vllm import VllmEngine

    return VllmEngine(model, settings, directory, room, caching)
