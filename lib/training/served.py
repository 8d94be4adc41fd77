"""A guard behind training: what was saved is loaded as it will be served, and scores rows alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from lib.config.schema import Config
from lib.losses import OBJECTIVES
from lib.models.adapters import check_logps, load_adapter, merged, sequence_logps
from lib.models.classifiers import load_trained
from lib.models.load import load_base
from lib.training.classify import class_logps
from lib.training.scoring import autocast, evaluating

ROWS = 4  # the shortest of the training split
# Share of 1 + |log p| of a row by which the saved model may differ from the trained one: weights
# are saved in the study's precision, and a CPU computes bf16 by other kernels than a GPU.
TOLERANCE = {"fp32": 1e-3, "bf16": 0.03}


def probe_rows(rows: Any, batch: str) -> list[Any]:
    """The shortest rows of a training split: token ids; of a split to classify the rows."""
    keys = ("prompt_ids", "chosen_ids") if batch == "pairs" else ("input_ids",)
    lengths = [sum(map(len, row)) for row in zip(*(rows[key] for key in keys), strict=True)]
    shortest = sorted(range(len(rows)), key=lambda i: (lengths[i], i))[:ROWS]
    found = [rows[i] for i in shortest]
    if batch == "classes":
        return found
    return [[token for key in keys for token in row[key]] for row in found]


class ServedCheck:
    """Scores the rows by the model in training, and later by what was saved of it.

    The saved model is loaded once more, in fp32 and on the CPU (encoders: where they predict), on
    the first rank: of a 7B model 28 GB of memory and one or two minutes. Adapters are merged as for
    serving, and compared with themselves unmerged first (see `models.adapters.merged`); over 4-bit
    weights that is all, since they are served over the unquantised ones.
    """

    def __init__(self, config: Config, rows: Any, labels: Sequence[str] = ()) -> None:
        self.config, self.train, self.labels = config, config.train, labels
        self.batch = OBJECTIVES[config.train.objective].batch
        self.probes = probe_rows(rows, self.batch)

    def trained(self, trainer: Any) -> torch.Tensor:
        """Log-probabilities of the rows by the model in training; to be called on all ranks."""
        with evaluating(trainer.model):
            return self._score(trainer.model, trainer.args.device, trainer.processing_class)

    def saved(self, trainer: Any, directory: Path, expected: torch.Tensor | None) -> None:
        """Raise BadInput where the model in `directory` cannot be served, or scores rows otherwise.

        expected: of `trained`; None where they are of other weights.
        """
        if trainer.is_world_process_zero():
            model = self._served(directory)
            if expected is not None and not getattr(trainer.model, "is_loaded_in_4bit", False):
                device = next(model.parameters()).device
                found = self._score(model.eval(), device, trainer.processing_class)
                tolerance = TOLERANCE[self.train.precision]
                check_logps(found, expected, tolerance, f"{directory}: loaded again")
        trainer.accelerator.wait_for_everyone()

    def _served(self, directory: Path) -> Any:
        if self.batch == "classes":
            return load_trained(self.config, self.labels, directory)
        model = self.config.model
        if self.train.tuning == "full":
            return load_base(model, torch.float32, str(directory))
        adapted = load_adapter(load_base(model, torch.float32), directory, model)
        return merged(adapted, directory, self.probes)

    def _score(self, model: Any, device: torch.device, tokenizer: Any) -> torch.Tensor:
        precision = self.train.precision
        if self.batch == "classes":
            pad = tokenizer.pad_token_id
            logps = class_logps(model, self.probes, pad, ROWS, precision=precision)
            return torch.from_numpy(logps).flatten()
        with autocast(device, precision):
            return sequence_logps(model, self.probes)
