"""Log-probabilities of the test pairs under each point, by the model that training scored with.

An engine's other kernels or merged weights would move them by more than a weak point differs from
its reference; in bf16 so would batches that put other rows together. So the whole split is scored
at once, as the reference was: with the same token budget and device, adapters that have
learnt nothing leave margins of exactly 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lib.config.schema import Train
from lib.config.study import Point, Study
from lib.config.tasks import Row
from lib.data.prepared import encoded_split
from lib.inference.serving import Served
from lib.models.precision import on_this_machine


class Predictor:
    """See `predict.Predictor`: one base model in memory, whose adapters are swapped."""

    def __init__(self, study: Study, task: str, served: Served) -> None:
        self.study, self.rows = study, encoded_split(study, "test")
        self.model: Any = None
        self.made_for: Any = None

    @contextmanager
    def serving(self, point: Point) -> Iterator[None]:
        """See `lib.inference.predict.Predictor`."""
        from lib.models.load import load_tokenizer
        from lib.models.trainable import nf4_fault
        from lib.training.reference import stored_reference
        from lib.training.reference_key import in_bf16, pair_checksums, reference_key
        from lib.training.scoring import cast_weights, row_logps

        point = on_this_machine(point)
        train = point.config.train
        self._load(point)
        if in_bf16(train):
            cast_weights(self.model)
        tokenizer, checksums = load_tokenizer(point.config.model), pair_checksums(self.study)
        key = reference_key(point.config.model, train, checksums, nf4_fault() is None)
        self.reference = stored_reference(self.study.directory, key, {"test": self.rows})["test"]
        self.scores = row_logps("pairs", self.model, self.rows, tokenizer.pad_token_id, train)
        yield

    def predict(self, start: int, end: int) -> list[Row]:
        """See `predict.Predictor`: no text, but both answers' scores and the reference's."""
        end = min(end, len(self.rows))
        columns = self.rows.select(range(start, end)), self.scores[start:end]
        return [
            {
                "id": row["id"],
                "prompt_hash": row["prompt_hash"],
                "outputs": [],
                "scores": logps.tolist(),
                "reference": reference.tolist(),
                "lengths": [len(row["chosen_ids"]), len(row["rejected_ids"])],
            }
            for row, logps, reference in zip(*columns, self.reference[start:end], strict=True)
        ]

    def _load(self, point: Point) -> None:
        """Put the point's weights in: all of them, or its adapters over the base that is there."""
        import torch

        from lib.models.adapters import check_adapter_config, swap_adapter
        from lib.models.load import load_base
        from lib.models.trainable import load_for_training, nf4_fault

        train, model = point.config.train, point.config.model
        directory = point.directory / "model"
        device = "cuda" if torch.cuda.is_available() else "cpu"
        if train.tuning == "full":
            self.model = self.made_for = None  # never two of them
            self.model = load_base(model, torch.float32, str(directory)).to(device)
            return
        if self.made_for != _base(train):
            self.model = None
            self.model = load_for_training(model, train)
            self.made_for = _base(train)
            if train.tuning != "qlora" or nf4_fault():  # 4-bit weights are where they belong
                self.model.to(device)
        check_adapter_config(directory, model, train)
        swap_adapter(self.model, directory, model)


def _base(train: Train) -> tuple[Any, ...]:
    """What the base model and the shape of its adapters depend on."""
    return train.tuning, train.precision, train.lora, train.fsdp is None
