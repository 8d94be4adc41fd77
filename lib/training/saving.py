"""The weights that a run leaves, and those that it keeps along its way."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from lib.config.schema import Train
from lib.models.load import DTYPES
from lib.runs.directory import CANDIDATES
from lib.runs.files import replacing, write_json, write_sealed
from lib.runs.integrity import record
from lib.training.kept import KEPT, MEASURED, candidate, read_weights


def save_model(
    trainer: Any,
    tokenizer: Any,
    target: Path,
    train: Train,
    step: int | None = None,
    measured: Mapping[str, Any] | None = None,
) -> None:
    """Write weights (safetensors) and tokenizer; whole weights in the study's precision.

    step: where they are kept along the way: a record beside them vouches for all files, see
    `read_weights`. measured: there, for `validation.json`. The model goes on as it was.
    """
    state = trainer.accelerator.get_state_dict(trainer.model)  # gathers shards, on every rank
    if trainer.is_world_process_zero():
        model = trainer.accelerator.unwrap_model(trainer.model)
        dtype = DTYPES[train.precision]
        if train.tuning == "full":
            for name, value in state.items():  # one by one: two copies of all do not fit
                state[name] = value.to(dtype) if value.is_floating_point() else value
        with _as_used(model.config), replacing(target) as temporary:
            model.save_pretrained(temporary, state_dict=state)
            if train.tuning == "full":  # save_pretrained writes the dtype of training, fp32
                model.config.dtype = dtype
                model.config.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
            if measured:
                write_json(temporary / MEASURED, {"step": step, **measured})
            if step is not None:
                files = record(temporary, [path.name for path in temporary.iterdir()])
                write_sealed(temporary / KEPT, {"step": step, "files": files})
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


class KeepCandidates(TrainerCallback):
    """Keeps the weights after some steps, in `directory`/candidates/step-000123/.

    `lib.inference.checkpoint_selection` chooses among them.
    """

    def __init__(self, directory: Path, steps: Sequence[int], train: Train, resumed: bool) -> None:
        self.directory, self.steps, self.train, self.resumed = directory, steps, train, resumed
        self.trainer: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Weights of a run that was given up without a checkpoint may be of another config."""
        if not self.resumed and state.is_world_process_zero:
            shutil.rmtree(self.directory / CANDIDATES, ignore_errors=True)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Save, on all ranks, before the checkpoint of the same step: a kill loses neither."""
        if state.global_step in self.steps:
            step = state.global_step
            save_model(self.trainer, self.trainer.processing_class,
                       self.directory / candidate(step), self.train, step)  # fmt: skip


def keep_as_model(trainer: Any, best: Path, target: Path) -> None:
    """Make a copy of the best weights the model of the run: a kill before its end needs both."""
    if trainer.is_world_process_zero():
        read_weights(best, "train the point anew with --force")
        with replacing(target) as temporary:
            shutil.copytree(best, temporary)
    trainer.accelerator.wait_for_everyone()
