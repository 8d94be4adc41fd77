"""One engine for all that a process predicts: every task and point, each with its own weights."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lib.config import tasks
from lib.config.schema import Infer, Model
from lib.config.study import Point, Study
from lib.data.testsets import section_of
from lib.inference.base import Engine, free
from lib.inference.vllm import VllmEngine, has_gpu
from lib.models.checkpoints import ADAPTER, check_directory, is_adapter
from lib.models.precision import precision_here
from lib.models.safetensors_cache import weights_of
from lib.models.sizes import parameters
from lib.runs.disk import Need, check_space
from lib.runs.files import read_json

MERGED_FILES = 12  # of weights, configuration and tokenizer, at most


class Served:
    """The engine of a process, started for the first that asks; no module of it loads before."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self._engine: Any = None
        self._started: Any = None  # what an engine cannot change once it has started
        self._tied: bool | None = None  # whether its head is its embeddings
        self._holds: Path | None = None  # whose weights it serves
        self.start_seconds = 0.0  # that starting engines has taken so far

    @contextmanager
    def engine(self, point: Point, weights: Path | None = None) -> Iterator[Any]:
        """A `inference.base.Engine` that serves a point's model, or other `weights` of the point.

        Adapters are served beside their base, or merged into a temporary copy (see `serves`), and
        nothing is done again for weights that the engine serves already.
        """
        model, infer = point.config.model, point.config.infer
        directory = weights or point.directory / "model"
        if is_adapter(directory) and not model.adapter:
            from lib.models.adapters import check_adapter_config

            check_adapter_config(directory, model, point.config.train)
        scored = not shares_prefixes(self.study)
        adapter = directory if serves(infer, model, directory, scored) else None
        rank = self._rank(directory) if adapter else 0
        wanted = (model.name, model.revision, model.trust_remote_code, infer.engine,
                  infer.precision, infer.base, rank)  # fmt: skip
        if self._started != wanted:
            self.close()
        if self._holds == directory:
            yield self._engine
            return
        with self._whole(model, directory, adapter, infer.precision) as whole:
            if self._tied != (tied := ties_embeddings(whole)):
                self.close()  # an engine keeps the head that it was started with
            self._tied = tied
            self._holds = None
            if self._engine is None:
                free()  # a predictor without an engine may have left a model behind
                budget, caching = token_budget(self.study), shares_prefixes(self.study)
                begun = time.monotonic()
                self._engine = start_engine(model, infer, whole, budget, caching, rank)
                self.start_seconds += time.monotonic() - begun
                self._started = wanted
            else:
                self._engine.load(whole)
            if adapter:
                self._engine.use(adapter)
            self._holds = directory
            yield self._engine

    @contextmanager
    def _whole(
        self, model: Model, directory: Path, adapter: Path | None, precision: str
    ) -> Iterator[Path]:
        """The directory of whole weights to start with: that of the base beside an adapter."""
        if adapter is None:
            with whole_weights(model, directory, precision) as whole:
                yield whole
            return
        check_directory(model.name)
        yield Path(weights_of(model))

    def _rank(self, adapter: Path) -> int:
        """The largest rank of adapters that the engine has to serve: the study's, or this one's."""
        own = read_json(adapter / ADAPTER[0]).get("r", 0)
        return max(own, *(point.config.train.lora.r for point in self.study.points()))

    def close(self) -> None:
        """Free the memory of all that predicted, for a judge; the next to ask starts another."""
        if self._engine is not None:
            self._engine.close()
        self._engine = self._started = self._holds = None
        free()


def serves(infer: Infer, model: Model, directory: Path, scored: bool) -> bool:
    """Whether the adapter in `directory` is served beside its base, and not merged.

    On a GPU merging costs more than it saves, above all for large models. On a core of a CPU, vLLM
    gives 2.3 times the tokens a second with merged weights, the swaps included (`python -m
    bench.generation`). Over an NF4 base adapters are always served, since merged weights would have
    to be quantised again. vLLM takes adapters of linear layers inside the model alone: those of
    the embeddings, of the head, or of a part of a multimodal model are merged, and so are all
    where answers are scored: log-probabilities of prompts fail beside adapters (vLLM 0.32, CPU).
    """
    if not is_adapter(directory) or infer.adapters == "merge":
        return False
    if infer.base == "nf4":
        return True
    if infer.adapters == "auto" and not has_gpu():
        return False
    return engine_of(infer) == "hf" or (not scored and _vllm_takes(model, directory))


def _vllm_takes(model: Model, directory: Path) -> bool:
    from lib.models.load import config_of

    adapter, config = read_json(directory / ADAPTER[0]), config_of(model)
    targets = adapter.get("target_modules") or []
    return (
        adapter.get("peft_type") == "LORA"
        and not any(adapter.get(key) for key in ("use_dora", "modules_to_save", "lora_bias"))
        and isinstance(targets, list)
        and not {"embed_tokens", "lm_head"} & {name.rpartition(".")[2] for name in targets}
        and config.get_text_config() is config
    )


def engine_of(infer: Infer) -> str:
    """The engine that `infer` asks for, "vllm" or "hf"."""
    if infer.engine != "auto":
        return infer.engine
    return "vllm" if has_gpu() and infer.base == "full" else "hf"


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
    from lib.models.load import DTYPES
    from lib.models.merging import merge

    weights = parameters(model).weights or 0
    needed = weights * DTYPES[precision].itemsize
    check_space(Path(tempfile.gettempdir()), [Need("merged weights", needed, MERGED_FILES)])
    with tempfile.TemporaryDirectory(prefix="lossgrid-merged-") as scratch:
        merge(model, directory, DTYPES[precision], Path(scratch))
        yield Path(scratch)


def start_engine(
    model: Model,
    settings: Infer,
    directory: Path,
    token_budget: int | None = None,
    caching: bool = False,
    rank: int = 0,
) -> Engine:
    """The engine that `settings` ask for, serving the whole weights in `directory`.

    directory: may also be `model.name`, a hub id. token_budget: of prompt and answer
    together; None: as model and settings have it. caching: of prefixes that prompts share (vLLM);
    cached positions have no log-probabilities, so that nothing can be scored then. rank: the
    largest of adapters to be used beside the weights, 0 for none.
    """
    precision = precision_here(settings.precision)
    settings = settings.model_copy(update={"precision": precision})
    if engine_of(settings) == "hf":
        from lib.inference.hf import HfEngine

        return HfEngine(model, settings, directory)
    return VllmEngine(model, settings, directory, token_budget, caching, rank)
