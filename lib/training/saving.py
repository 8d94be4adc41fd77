"""Checkpoints found again, and the weights that a run leaves."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from lib.models import DTYPES
from lib.runs import replacing, write_json
from lib.schema import Train

COMPLETE = "complete"  # written into a checkpoint once all of it is there
RECORD = "validation.json"  # beside the best weights: the step, and what was measured there


def last_checkpoint(directory: Path) -> Path | None:
    """The newest checkpoint that was written to its end."""
    found = [p.parent for p in (directory / "checkpoints").glob(f"checkpoint-*/{COMPLETE}")]
    return max(found, key=lambda p: int(p.name.rpartition("-")[2]), default=None)


def save_model(
    trainer: Any, tokenizer: Any, target: Path, train: Train, record: Mapping | None = None
) -> None:
    """Write weights (safetensors) and tokenizer; whole weights in the study's precision.

    `record`: what `validation.json` beside them shall say. The model goes on as it was.
    """
    state = trainer.accelerator.get_state_dict(trainer.model)  # gathers shards, on every rank
    if trainer.is_world_process_zero():
        model = trainer.accelerator.unwrap_model(trainer.model)
        dtype = DTYPES[train.precision]
        if train.tuning == "full":
            state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}
        with _as_used(model.config), replacing(target) as temporary:
            model.save_pretrained(temporary, state_dict=state)
            if train.tuning == "full":  # save_pretrained writes the dtype of training, fp32
                model.config.dtype = dtype
                model.config.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
            if record is not None:
                write_json(temporary / RECORD, dict(record))
    trainer.accelerator.wait_for_everyone()


@contextmanager
def _as_used(config: Any) -> Iterator[None]:
    """A model's config as a user of the saved weights wants it; training's own afterwards."""
    cached, dtype = getattr(config, "use_cache", None), config.dtype
    if cached is not None:  # an encoder may have none
        config.use_cache = True
    try:
        yield
    finally:
        config.dtype = dtype
        if cached is not None:
            config.use_cache = cached


class KeepSweep(TrainerCallback):
    """Keeps the weights after some steps, in `target`/step-000123/; see `lib.sweep`."""

    def __init__(self, target: Path, steps: Sequence[int], train: Train, resumed: bool) -> None:
        self.target, self.steps, self.train, self.resumed = target, steps, train, resumed
        self.trainer: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Weights of a run that was given up without a checkpoint may be of another config."""
        if not self.resumed and state.is_world_process_zero:
            shutil.rmtree(self.target, ignore_errors=True)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Save, on all ranks, before the checkpoint of the same step: a kill loses neither."""
        if state.global_step in self.steps:
            target = self.target / f"step-{state.global_step:06d}"
            save_model(self.trainer, self.trainer.processing_class, target, self.train)


def keep_as_model(trainer: Any, best: Path, target: Path) -> None:
    """Make a copy of the best weights the model of the run: a kill before its end needs both."""
    if trainer.is_world_process_zero():
        with replacing(target) as temporary:
            shutil.copytree(best, temporary)
    trainer.accelerator.wait_for_everyone()
