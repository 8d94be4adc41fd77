"""The weights that a run leaves in `model/`, and how they are checked as they will be served."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers

from lib.config.schema import Config, Model
from lib.config.study import Point
from lib.models.adapters import check_logps, load_adapter, merged, sequence_logps
from lib.models.checkpoints import ADAPTER, check_adapter
from lib.models.classifiers import load_trained
from lib.models.load import DTYPES, load_base, load_tokenizer
from lib.models.shared import SharedBase
from lib.models.trainable import with_adapters
from lib.runs.files import replacing, write_json, write_sealed
from lib.runs.integrity import record
from lib.training.checkpointing import MEASURED, RETRAIN, SEAL, read_weights
from lib.training.inputs import TrainData
from lib.training.scoring import autocast, evaluating, row_logps

PROBES = 2  # rows that the saved model is checked on: the shortest of the training split
# Share of 1 + |log p| of a row by which the saved model may differ from the trained one: weights
# are saved in the study's precision, and a CPU computes bf16 with other kernels than a GPU.
TOLERANCE = {"fp32": 1e-3, "bf16": 0.03}


def save_model(
    trainer: Any, target: Path, step: int | None = None, measured: Mapping[str, Any] | None = None
) -> None:
    """Write weights (safetensors) and tokenizer; full weights in the study's precision.

    step: of weights kept along the way, which get a seal, see `read_weights`; measured: what
    validation measured there. The model in memory does not change. To be called on all ranks.
    """
    train, state = trainer.config, trainer.accelerator.get_state_dict(trainer.model)  # all shards
    if trainer.is_world_process_zero():
        model = trainer.accelerator.unwrap_model(trainer.model)
        dtype = DTYPES[train.precision]
        if train.tuning == "full":
            for name, value in state.items():  # one by one: two copies of all do not fit
                state[name] = value.to(dtype) if value.is_floating_point() else value
        with trainer.saving(), replacing(target) as temporary:
            model.save_pretrained(temporary, state_dict=state)
            if train.tuning == "full":
                config = copy.deepcopy(model.config)
                config.dtype = dtype  # save_pretrained writes the dtype of training, fp32
                if hasattr(config, "use_cache"):  # an encoder may have none
                    config.use_cache = True
                config.save_pretrained(temporary)
            trainer.processing_class.save_pretrained(temporary)
            if measured:
                write_json(temporary / MEASURED, {"step": step, **measured})
            if step is not None:
                files = record(temporary, [path.name for path in temporary.iterdir()])
                write_sealed(temporary / SEAL, {"step": step, "files": files})
    trainer.accelerator.wait_for_everyone()


def copy_best(trainer: Any, best: Path, target: Path) -> None:
    """Copy the best weights to `target`; until the run is done, a resumed run needs both."""
    if trainer.is_world_process_zero():
        read_weights(best, RETRAIN)
        with replacing(target) as temporary:
            shutil.copytree(best, temporary)
    trainer.accelerator.wait_for_everyone()


def save_untrained(point: Point) -> None:
    """Write `model/` of a point with `model.adapter` or `train.epochs: 0`.

    Raises BadInput where the adapter is not one of the study's model.
    """
    model, train = point.config.model, point.config.train
    target = point.directory / "model"
    if model.adapter:
        _copy_adapter(model, check_adapter(model), target)
        return
    transformers.set_seed(train.seed)
    untrained = load_base(model, DTYPES[train.precision])
    if train.tuning != "full":
        # B of a new adapter is 0: the point equals its base model exactly.
        untrained = with_adapters(untrained, train.lora)
    with replacing(target) as temporary:
        untrained.save_pretrained(temporary)
        load_tokenizer(model).save_pretrained(temporary)


def _copy_adapter(model: Model, source: Path, target: Path) -> None:
    """Copy an adapter's weights and config, with its own tokenizer if it has one."""
    own = any((source / name).exists() for name in ("tokenizer.json", "tokenizer_config.json"))
    tokenizer = load_tokenizer(model, str(source) if own else None)
    with replacing(target) as temporary:
        temporary.mkdir()
        for name in ADAPTER:
            shutil.copyfile(source / name, temporary / name)
        tokenizer.save_pretrained(temporary)


class ServedCheck:
    """Compares the trained model with what was saved of it, on a few training rows.

    The first rank loads the saved model in fp32 on the CPU (encoders: on the device that predicts);
    a 7B model takes 28 GB of memory and one or two minutes. Adapters are merged as for serving,
    which is checked too (see `models.adapters.merged`). Of 4-bit weights only the merge is checked,
    since adapters are served over unquantised weights.
    """

    def __init__(self, trainer: Any, config: Config, data: TrainData, shared: SharedBase) -> None:
        self.trainer, self.config, self.shared, self.labels = trainer, config, shared, data.labels
        self.probes = _probe_rows(data.rows, trainer.kind)

    def logps(self, model: Any) -> torch.Tensor:
        """Log-probabilities of the rows; of the model in training to be called on all ranks."""
        train = self.config.train
        if self.labels:
            pad = self.trainer.processing_class.pad_token_id
            return torch.from_numpy(row_logps("classes", model, self.probes, pad, train)).flatten()
        with evaluating(model), autocast(next(model.parameters()).device, train.precision):
            return sequence_logps(model, self.probes)

    def saved(self, directory: Path, expected: torch.Tensor | None) -> None:
        """Raise BadInput where the model in `directory` cannot be served, or scores differ.

        expected: `logps` of the trained model; None where `directory` has other weights.
        """
        if self.trainer.is_world_process_zero():
            model = self._served(directory)
            four_bits = getattr(self.trainer.model, "is_loaded_in_4bit", False)
            if expected is not None and not four_bits:
                tolerance = TOLERANCE[self.config.train.precision]
                check_logps(self.logps(model), expected, tolerance, f"{directory}: loaded again")
        self.trainer.accelerator.wait_for_everyone()

    def _served(self, directory: Path) -> Any:
        model = self.config.model
        if self.labels:
            return load_trained(self.config, self.labels, directory)
        if self.config.train.tuning == "full":
            return load_base(model, torch.float32, str(directory))
        adapted = load_adapter(self.shared.on_cpu(model), directory, model)
        return merged(adapted, directory, self.probes)


def _probe_rows(rows: Any, kind: str) -> list[Any]:
    """The shortest rows of a training split: token ids, of classes whole rows."""
    keys = ("prompt_ids", "chosen_ids") if kind == "pairs" else ("input_ids",)
    lengths = [sum(map(len, row)) for row in zip(*(rows[key] for key in keys), strict=True)]
    shortest = [rows[i] for i in sorted(range(len(rows)), key=lengths.__getitem__)[:PROBES]]
    if kind == "classes":
        return shortest
    return [[token for key in keys for token in row[key]] for row in shortest]
