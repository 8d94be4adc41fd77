"""One engine for all that a process predicts: every task and point, each with its own weights."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lib.config import tasks
from lib.config.schema import Infer, Model
from lib.config.study import Point, Study
from lib.data.testsets import section_of
from lib.inference.base import Engine, free
from lib.models.checkpoints import check_directory, is_adapter
from lib.models.precision import precision_here
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

        Adapters are merged into a temporary copy, and not again where the engine serves them
        already: with the swaps, vLLM on a core of a CPU then gives 2.3 times the tokens a second
        that it gives with adapters beside the weights (`python -m bench.generation`).
        """
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
                budget, caching = token_budget(self.study), shares_prefixes(self.study)
                self._engine = start_engine(model, infer, whole, budget, caching)
                self._started = wanted
            else:
                self._engine.load(whole)
            self._holds = directory
            yield self._engine

    def close(self) -> None:
        """Free the memory of all that predicted, for a judge; the next to ask starts another."""
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


def token_budget(study: Study) -> int:
    """Tokens of the longest prompt and answer together, over all points and tasks of a study."""
    own = [task for task in study.tasks if task != study.config.tasks[0]]
    budgets = []
    for point in study.points():
        sections = [point.config.infer, *(getattr(point.config, task) for task in own)]
        answers = [getattr(section, "max_new_tokens", 0) for section in sections]
        budgets.append(point.config.model.max_length + max(answers))
    return max(budgets)


def shares_prefixes(study: Study) -> bool:
    """Whether prefixes that prompts share may be cached: not where answers are scored.

    A prompt position that is taken from vLLM's cache has no log-probabilities.
    """
    return not any(tasks.get(task).answers(section_of(study.config, task)) for task in study.tasks)


@contextmanager
def whole_weights(model: Model, directory: Path, precision: str) -> Iterator[Path]:
    """A directory of whole weights: a full model's own, or a temporary one, an adapter merged."""
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
    token_budget: int | None = None,
    caching: bool = False,
) -> Engine:
    """The engine that `settings` ask for, serving the whole weights in `directory`.

    directory: may also be `model.name`, a hub id. token_budget: of prompt and answer
    together; None: as model and settings have it. caching: of prefixes that prompts share (vLLM);
    cached positions have no log-probabilities, so that nothing can be scored then.
    """
    precision = precision_here(settings.precision)
    settings = settings.model_copy(update={"precision": precision})
    if settings.engine == "hf":
        from lib.inference.hf import HfEngine

        return HfEngine(model, settings, directory)
    from lib.inference.vllm import VllmEngine

    return VllmEngine(model, settings, directory, token_budget, caching)
