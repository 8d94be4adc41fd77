"""The training loop of every objective: rows, model, trainer, checkpoints, and how a run ends."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import TrainingArguments

from lib.config.schema import Model, Train
from lib.config.steps import candidate_steps, check_validation, step_count
from lib.config.study import Point
from lib.losses import OBJECTIVES
from lib.models.classifiers import classifier_for_training
from lib.models.shared import SharedBase
from lib.models.trainable import described, load_for_training
from lib.runs.directory import CANDIDATES
from lib.runs.files import write_json
from lib.tracking.live import Live
from lib.training.adapters import Allocation, adapted_matrices
from lib.training.batches import collate_step, collation
from lib.training.checkpointing import BEST, best_measured, last_checkpoint
from lib.training.class_run import (
    USAGE,
    check_class_run,
    reset_peak,
    set_importance_penalty,
    usage_record,
)
from lib.training.inputs import TrainData
from lib.training.monitor import RunMonitor
from lib.training.packed_attention import packing_fault
from lib.training.passes import training_steps
from lib.training.penalties import orthogonality_penalty
from lib.training.ranks import (
    Stopped,
    check_one_device,
    from_first,
    fsdp_config,
    fsdp_plugin,
    fsdp_recomputes,
    load_on_ranks,
)
from lib.training.reference import set_reference
from lib.training.saving import ServedCheck, copy_best, save_model
from lib.training.stopping import StopWindow
from lib.training.trainers import TRAINERS

FEW = 2  # steps, such as a trial's


@dataclass(frozen=True)
class Outcome:
    """How a run ended: "done", "stopped" (resumable) or "diverged", and why it diverged.

    `loaded`: facts about the model for config.json, see `lib.models.trainable.described`.
    """

    status: str
    step: int
    steps: int
    reason: str = ""
    loaded: dict[str, Any] = field(default_factory=dict)


def train_point(
    point: Point,
    data: TrainData,
    directory: Path,
    stop: Callable[[], bool],
    say: Callable[[str], None] = print,
    live: Live | None = None,
    reference_only: bool = False,
    shared: SharedBase | None = None,
) -> Outcome:
    """Train a point, from the last complete checkpoint in `directory`; all files go there.

    `stop()` is asked after every step. live: also gets each row of train.jsonl. reference_only: of
    pairs; stops once the reference is stored. shared: what points of a process have in common.
    """
    shared = shared or SharedBase(keeps=False)
    config, train = point.config, point.config.train
    kind = OBJECTIVES[train.objective].batch
    steps = step_count(train, len(data.rows))
    check_validation(train, steps, data.held_out is not None)
    if kind == "classes":
        check_class_run(train, steps, len(data.rows))
    arguments = training_arguments(train, directory, steps)
    # A rank takes its own GPU before 4-bit weights are put on the current one.
    check_one_device(arguments.n_gpu)
    kept_steps = candidate_steps(train, steps)
    world, sharded = arguments.world_size, train.fsdp is not None
    checkpoint = from_first(lambda: last_checkpoint(directory, say, kept_steps, world, sharded))
    resumed = checkpoint is not None

    transformers.set_seed(train.seed)
    tokenizer = shared.tokenizer(config.model)
    model = _load(config.model, train, data, steps, arguments, shared)
    loaded = described(model, train)
    if train.tuning != "full" and arguments.process_index == 0:
        say(f"{point.name}: {adapters_in_words(loaded, train)}")

    packed = kind != "classes"
    if packed and (fault := packing_fault(model)):
        packed = False
        if arguments.process_index == 0:
            say(f"{point.name}: rows are padded, not packed: {fault}")
    monitor = RunMonitor(
        directory,
        point.name,
        steps,
        len(data.rows),
        train,
        stop,
        StopWindow(config.slurm.train.warning, say),
        live,
        kept_steps,
    )
    allocation = Allocation(model, checkpoint) if train.tuning == "adalora" else None
    collate = collation(kind, tokenizer.pad_token_id, packed, train.weighted_class)
    trainer = TRAINERS[kind](
        model=model,
        args=arguments,
        config=train,
        directory=directory,
        held_out=data.held_out,
        train_dataset=training_steps(data.rows, kind, train, steps, packed),
        data_collator=partial(collate_step, collate=collate),
        processing_class=tokenizer,
        callbacks=[allocation, monitor] if allocation else [monitor],
    )
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.remove_callback(transformers.ProgressCallback)
    first = trainer.is_world_process_zero()
    monitor.trainer = trainer
    monitor.open_log(checkpoint, first)
    if resumed:
        trainer.best = best_measured(directory)
    elif first:  # of a run that ended without a checkpoint, perhaps of another config
        for kept in (BEST, CANDIDATES):
            shutil.rmtree(directory / kept, ignore_errors=True)
    if data.pairs:
        monitor.prepare = partial(
            set_reference, trainer, point, data.pairs, stop, resumed, reference_only
        )
    matrices, calibration = [], None
    try:
        if kind == "classes":
            reset_peak()
            matrices = adapted_matrices(model) if train.tuning != "full" else []
            if allocation:
                trainer.saving = allocation.published
                trainer.penalty = ("orthogonality", orthogonality_penalty(model, matrices))
            calibration = set_importance_penalty(
                trainer, matrices, data.rows, resumed, stop, say if first else lambda line: None
            )
        trainer.train(resume_from_checkpoint=str(checkpoint) if resumed else None)
    except Stopped:  # before the first step
        return Outcome("stopped", trainer.state.global_step, steps)

    step = trainer.state.global_step
    if monitor.checkpoint_seconds is not None:
        loaded["checkpoint_seconds"] = monitor.checkpoint_seconds
    if monitor.reason:
        return Outcome("diverged", step, steps, monitor.reason, loaded)
    if step < steps:
        if monitor.checkpoint_seconds is not None:  # on the first rank
            say(f"{point.name}: checkpoint written in {monitor.checkpoint_seconds:g} s")
        return Outcome("stopped", step, steps)
    if kind == "classes" and first:
        times = monitor.seconds(), calibration, monitor.step_seconds
        write_json(directory / USAGE, usage_record(model, matrices, *times, step))
    if kind == "pairs":
        loaded["reference_gap"] = trainer.reference_gap
    if first:
        say(f"{point.name}: trained; saving model/, and scoring rows with it as it will be served")
    check, expected = ServedCheck(trainer, config, data, shared), None
    if train.keep == "best" and data.held_out is not None:
        # The model in memory is that of the last step.
        copy_best(trainer, directory / BEST, directory / "model")
    else:
        expected = check.logps(trainer.model)
        save_model(trainer, directory / "model")
    check.saved(directory / "model", expected)
    return Outcome("done", step, steps, loaded=loaded)


def _load(
    model: Model,
    train: Train,
    data: TrainData,
    steps: int,
    arguments: TrainingArguments,
    shared: SharedBase,
) -> Any:
    if data.labels:
        return classifier_for_training(model, train, data.labels, steps)
    return load_on_ranks(arguments, lambda empty: load_for_training(model, train, shared, empty))


def adapters_in_words(loaded: dict[str, Any], train: Train) -> str:
    """One line on `described`: base, dtype and targets of the adapters."""
    # Classifiers are kept in fp32, see lib.models.classifiers.
    dtype = "fp32" if OBJECTIVES[train.objective].batch == "classes" else train.precision
    base = "NF4 weights" if loaded["quantised"] else f"{dtype} weights"
    if loaded["quantised"] is False:
        why = loaded["quantised_reason"]
        base = f"unquantised {base}, because an NF4 kernel is unavailable ({why})"
    targets = ", ".join(f"{name} × {count}" for name, count in loaded["adapter"]["targets"].items())
    cut = train.adalora
    rank = f"{cut.init_r} to {cut.target_r}" if train.tuning == "adalora" else train.lora.r
    return f"adapters of r {rank} in {loaded['adapter']['dtype']} over {base}: {targets}"


def training_arguments(train: Train, directory: Path, steps: int) -> TrainingArguments:
    """The study's `train` section as transformers' arguments."""
    cuda = torch.cuda.is_available()
    sharded = train.fsdp is not None
    arguments = TrainingArguments(
        output_dir=str(directory / "checkpoints"),
        max_steps=steps,
        per_device_train_batch_size=1,  # an item of `TrainingSteps`: a rank's passes of a step
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
        gradient_checkpointing=train.gradient_checkpointing and not fsdp_recomputes(train),
        gradient_checkpointing_kwargs={"use_reentrant": False},
        fsdp=sharded or None,
        fsdp_config=fsdp_config(train) if sharded else None,
        # FSDP reduces gradients after every pass. Reduced only after a step's last pass, each rank
        # would accumulate them unsharded. (DDP does that, and communicates once a step.)
        accelerator_config={"gradient_accumulation_kwargs": {"sync_each_batch": sharded}},
        ddp_backend="gloo" if train.processes > 1 and not cuda else None,
        ddp_find_unused_parameters=False,
        use_cpu=not cuda,
        seed=train.seed,
        # A checkpoint at the end of so few steps would take longer than they do.
        save_strategy="no" if steps <= min(FEW, train.checkpoint_steps - 1) else "steps",
        save_steps=train.checkpoint_steps,
        save_total_limit=None,  # Trainer goes by the time of a directory, `rotate` by its step
        logging_steps=train.log_steps,
        logging_nan_inf_filter=False,  # a loss that is not finite is a result
        disable_tqdm=True,
        report_to="none",  # lib.tracking logs what train.jsonl has
    )
    if sharded:
        arguments.fsdp_plugin_args |= fsdp_plugin(train)
    return arguments


def remove_checkpoints(directory: Path, diverged: bool = False) -> None:
    """Remove the checkpoints of a finished run; of a diverged one, its candidates too."""
    for name in ("checkpoints", CANDIDATES) if diverged else ("checkpoints",):
        shutil.rmtree(directory / name, ignore_errors=True)
