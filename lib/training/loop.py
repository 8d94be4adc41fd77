"""The training loop that all objectives share: steps, order, checkpoints, stop, divergence."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import TrainerCallback, TrainingArguments

from lib.errors import BadInput, listed, nearest
from lib.models import DTYPES, load_for_training, load_tokenizer
from lib.progress import Progress
from lib.runs import read_jsonl, replacing, write_jsonl
from lib.schema import OBJECTIVE_KIND, Train
from lib.settings import read_yaml
from lib.study import Point
from lib.training.steps import row_order, step_count

COMPLETE = "complete"  # written into a checkpoint once all of it is there


@dataclass(frozen=True)
class Outcome:
    """How a run ended: "done", "stopped" (resumable) or "diverged" (loss not finite)."""

    status: str
    step: int
    steps: int


def train_point(point: Point, rows: Any, directory: Path, stop: Callable[[], bool]) -> Outcome:
    """Train a point on encoded rows (a datasets.Dataset); all files go to `directory`.

    Picks up the last complete checkpoint there. `stop()` is asked at every step boundary.
    """
    config = point.config
    train = config.train
    steps = step_count(train, len(rows))
    transformers.set_seed(train.seed)
    tokenizer = load_tokenizer(config.model)
    model = load_for_training(config.model, train)
    arguments = training_arguments(train, directory, steps)
    watch = Watch(directory, point.name, steps, len(rows), train, stop)
    trainer = _trainer(train, tokenizer.pad_token_id)(
        model=model,
        args=arguments,
        train_dataset=rows.select(row_order(len(rows), steps * train.batch_size, train.seed)),
        processing_class=tokenizer,
        callbacks=[watch],
    )
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.remove_callback(transformers.ProgressCallback)
    start = last_checkpoint(directory)
    if trainer.is_world_process_zero():
        watch.open_log(start)
    trainer.train(resume_from_checkpoint=str(start) if start else None)
    step = trainer.state.global_step
    if watch.diverged:
        return Outcome("diverged", step, steps)
    if step < steps:
        return Outcome("stopped", step, steps)
    save_model(trainer, tokenizer, directory / "model", train)
    return Outcome("done", step, steps)


def _trainer(train: Train, pad: int) -> Callable[..., Any]:
    """The Trainer of the objective's kind of batch, with its collator."""
    if OBJECTIVE_KIND[train.objective] == "causal":
        from lib.training.causal import CausalTrainer, collate

        collator = partial(collate, pad=pad, weighted_class=train.weighted_class)
        return partial(CausalTrainer, settings=train, data_collator=collator)
    raise ValueError(f"no trainer for objective {train.objective}")


def training_arguments(train: Train, directory: Path, steps: int) -> TrainingArguments:
    """The study's `train` section as transformers' arguments."""
    cuda = torch.cuda.is_available()
    sharded = train.fsdp is not None
    return TrainingArguments(
        output_dir=str(directory / "checkpoints"),
        max_steps=steps,
        per_device_train_batch_size=train.micro_batch,
        gradient_accumulation_steps=train.batch_size // (train.micro_batch * train.processes),
        train_sampling_strategy="sequential",  # `row_order` has shuffled already
        dataloader_drop_last=False,
        dataloader_pin_memory=cuda,
        remove_unused_columns=False,
        learning_rate=train.learning_rate,
        lr_scheduler_type=train.schedule,
        warmup_steps=math.ceil(train.warmup * steps),
        weight_decay=train.weight_decay,
        max_grad_norm=train.clip,
        bf16=train.precision == "bf16",
        # FSDP checkpoints activations itself, without gathering the weights a second time.
        gradient_checkpointing=train.gradient_checkpointing and not sharded,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        fsdp=sharded or None,
        fsdp_config=fsdp_config(train) if sharded else None,
        ddp_backend="gloo" if train.processes > 1 and not cuda else None,
        ddp_find_unused_parameters=False,
        use_cpu=not cuda,
        seed=train.seed,
        save_strategy="steps",
        save_steps=train.checkpoint_steps,
        save_total_limit=2,  # the older one counts until the newer is complete
        logging_steps=train.log_steps,
        logging_nan_inf_filter=False,  # a loss that is not finite is a result
        disable_tqdm=True,
        report_to=train.report_to or "none",
    )


def fsdp_config(train: Train) -> dict[str, Any]:
    """The launcher config that `train.fsdp` names. Raises BadInput when missing or malformed."""
    known = (
        "version",
        "reshard_after_forward",
        "cpu_offload",
        "activation_checkpointing",
        "cpu_ram_efficient_loading",
        "state_dict_type",
        "auto_wrap_policy",
        "transformer_layer_cls_to_wrap",
        "min_num_params",
    )
    try:
        text = Path(train.fsdp).read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"train.fsdp: {train.fsdp}: {error.strerror}") from None
    loaded = read_yaml(text, train.fsdp)
    if not isinstance(loaded, dict):
        raise BadInput(f"{train.fsdp}: found {loaded!r}, expected key: value pairs")
    for key in loaded:
        if key not in known:
            raise BadInput(
                f"{train.fsdp}: {key}: unknown key, expected one of {listed(known)}"
                f"{nearest(key, known)}"
            )
    return {"activation_checkpointing": train.gradient_checkpointing, **loaded}


def last_checkpoint(directory: Path) -> Path | None:
    """The newest checkpoint that was written to its end."""
    found = [p.parent for p in (directory / "checkpoints").glob(f"checkpoint-*/{COMPLETE}")]
    return max(found, key=lambda p: int(p.name.rpartition("-")[2]), default=None)


def save_model(trainer: Any, tokenizer: Any, target: Path, train: Train) -> None:
    """Write final weights (safetensors) and tokenizer; whole weights in the study's precision."""
    state = trainer.accelerator.get_state_dict(trainer.model)  # gathers shards, on every rank
    if trainer.is_world_process_zero():
        model = trainer.accelerator.unwrap_model(trainer.model)
        if train.tuning == "full":
            dtype = DTYPES[train.precision]
            state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}
        model.config.use_cache = True
        with replacing(target) as temporary:
            model.save_pretrained(temporary, state_dict=state)
            if train.tuning == "full":  # save_pretrained writes the dtype of training, fp32
                model.config.dtype = dtype
                model.config.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
    trainer.accelerator.wait_for_everyone()


class Watch(TrainerCallback):
    """Writes train.jsonl, shows progress, marks checkpoints, and ends a run that has to end."""

    def __init__(
        self,
        directory: Path,
        name: str,
        steps: int,
        rows: int,
        train: Train,
        stop: Callable[[], bool],
    ) -> None:
        self.log_path = directory / "train.jsonl"
        self.name, self.steps, self.rows, self.train, self.stop = name, steps, rows, train, stop
        self.diverged = False
        self.progress: Progress | None = None
        self.log: Any = None
        self.note = ""
        self.started = time.monotonic()
        self.seconds_before = 0.0

    def open_log(self, start: Path | None) -> None:
        """Continue train.jsonl from the checkpoint's step; rows logged after it are redone."""
        step = int(start.name.rpartition("-")[2]) if start else 0
        before = read_jsonl(self.log_path, torn_tail=True) if self.log_path.exists() else []
        kept = [row for row in before if row["step"] <= step]
        write_jsonl(self.log_path, kept)
        self.log = self.log_path.open("a", encoding="utf-8", buffering=1)
        self.seconds_before = kept[-1]["seconds"] if kept else 0.0
        self.progress = Progress(self.steps, f"train {self.name}", "step", done=step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """At a step boundary: stop where any rank was asked to, after a checkpoint."""
        stop = torch.tensor(float(self.stop()), device=args.device)
        if args.world_size > 1:
            torch.distributed.all_reduce(stop)  # the signal reaches ranks at different steps
        if stop.item():
            control.should_save = control.should_training_stop = True
        if self.progress:
            self.progress.update(state.global_step, self.note)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict | None = None, **kwargs: Any
    ) -> None:
        """One row of train.jsonl a logged step; a loss that is not finite ends the run."""
        if not logs or "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            self.diverged = control.should_training_stop = True
        self.note = f"loss {logs['loss']:.4g}"
        if self.log is None:
            return
        row = {
            "step": state.global_step,
            "epoch": state.global_step * self.train.batch_size / self.rows,
            **{key: _finite(logs.get(key)) for key in ("loss", "grad_norm", "learning_rate")},
            "seconds": round(self.seconds_before + time.monotonic() - self.started, 3),
        }
        self.log.write(json.dumps(row, allow_nan=False) + "\n")

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Mark the checkpoint whole: Trainer calls this after its last file."""
        if state.is_world_process_zero:
            checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            (checkpoint / COMPLETE).touch()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Close log and progress."""
        if self.log:
            self.log.close()
        if self.progress:
            self.progress.close()


def _finite(value: Any) -> float | None:
    number = float(value) if value is not None else None
    return number if number is not None and math.isfinite(number) else None


def remove_checkpoints(directory: Path) -> None:
    """Free the space of checkpoints that a finished run needs no more."""
    shutil.rmtree(directory / "checkpoints", ignore_errors=True)
