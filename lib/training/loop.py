"""The training loop that all objectives share: steps, order, checkpoints, stop, divergence."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import TrainingArguments

from lib.config.schema import Train
from lib.config.steps import (
    candidate_steps,
    check_validation,
    grouped_by_length,
    row_order,
    step_count,
)
from lib.config.study import Point
from lib.losses import OBJECTIVES
from lib.models.classifiers import classifier_for_training
from lib.models.load import load_tokenizer
from lib.models.trainable import described, load_for_training
from lib.runs.directory import CANDIDATES
from lib.tracking.live import Live
from lib.training.causal import CausalTrainer
from lib.training.causal import collate as collate_answers
from lib.training.checkpointing import last_checkpoint
from lib.training.class_data import Classes, class_measure, ordered_rows
from lib.training.class_run import ClassRun, check_run
from lib.training.classify import ClassifyTrainer
from lib.training.classify import collate as collate_classes
from lib.training.collectives import Stopped, from_first
from lib.training.kept import BEST
from lib.training.monitor import RunMonitor
from lib.training.pair_data import PairReference, PairSplits, training_rows
from lib.training.pairs import PairsTrainer
from lib.training.pairs import collate as collate_pairs
from lib.training.ranks import check_one_device
from lib.training.saving import KeepCandidates, keep_as_model, save_model
from lib.training.scoring import lengths_of
from lib.training.served import ServedCheck
from lib.training.sharding import (
    fsdp_config,
    fsdp_plugin,
    fsdp_recomputes,
    load_on_ranks,
)
from lib.training.stopping import StopWindow
from lib.training.validating import Validation, answer_measure, pair_measure

TRAINERS = {  # kind of batch → its Trainer, and how rows become a batch
    "answers": (CausalTrainer, collate_answers),
    "pairs": (PairsTrainer, collate_pairs),
    "classes": (ClassifyTrainer, collate_classes),
}


@dataclass(frozen=True)
class Outcome:
    """How a run ended: "done", "stopped" (resumable) or "diverged", and by which sign it did.

    `loaded`: what was trained, see `lib.models.trainable.described`.
    """

    status: str
    step: int
    steps: int
    reason: str = ""
    loaded: dict[str, Any] = field(default_factory=dict)


def train_point(
    point: Point,
    rows: Any,
    directory: Path,
    stop: Callable[[], bool],
    pairs: PairSplits | None = None,
    say: Callable[[str], None] = print,
    held_out: Any = None,
    classes: Classes | None = None,
    reference_only: bool = False,
    live: Live | None = None,
) -> Outcome:
    """Train a point on encoded rows (a datasets.Dataset); all files go to `directory`.

    Picks up the last complete checkpoint there. `stop()` is asked at every step boundary.
    `pairs`, `classes`: what objectives on pairs and on classes need beside their rows. `held_out`:
    encoded rows that objectives on answers are validated on, None for no validation. `say` gets a
    line on adapters. `reference_only`: of pairs; stops once their reference is stored.
    `live`: what also gets each row of train.jsonl.
    """
    config = point.config
    train = config.train
    steps = step_count(train, len(rows))
    if on_pairs := OBJECTIVES[train.objective].batch == "pairs":
        check_validation(train, steps, pairs.held_out is not None, pairs.validation)
    elif classes:
        check_validation(train, steps, classes.held_out is not None)
        check_run(train, steps, len(rows))
    else:
        check_validation(train, steps, held_out is not None)
    arguments = training_arguments(train, directory, steps)
    # A rank takes its own GPU before 4-bit weights are put on the current one.
    check_one_device(arguments.n_gpu)
    kept_steps = candidate_steps(train, steps)
    world, sharded = arguments.world_size, train.fsdp is not None
    start = from_first(lambda: last_checkpoint(directory, say, kept_steps, world, sharded))
    transformers.set_seed(train.seed)
    tokenizer = load_tokenizer(config.model)
    if classes:
        model = classifier_for_training(config.model, train, classes.labels, steps)
    else:
        model = load_on_ranks(
            arguments, lambda empty: load_for_training(config.model, train, empty)
        )
    loaded = described(model, train)
    if train.tuning != "full" and arguments.process_index == 0:
        say(f"{point.name}: {adapters_in_words(loaded, train)}")
    order = row_order(len(rows), steps * train.batch_size, train.seed)
    measure = reference = None
    run = ClassRun(model, train, directory, start) if classes else None
    if on_pairs:
        ordered = training_rows(rows, order, train)
        reference = PairReference(point, pairs, stop, start is not None, reference_only)
        if pairs.held_out is not None:
            measure = pair_measure(pairs.held_out, pairs.validation, train)
    elif classes:
        ordered, measure = ordered_rows(rows, order, train), class_measure(classes, train)
    else:
        ordered = rows.select(grouped_by_length(order, lengths_of(rows), train.batch_size))
        if held_out is not None:
            measure = answer_measure(held_out, train)
    validation = Validation(measure, train, steps, directory / BEST) if measure else None
    window = StopWindow(config.slurm.train.warning, say)
    validated = validation is not None
    monitor = RunMonitor(
        directory, point.name, steps, len(rows), train, stop, validated, window, live
    )
    candidates = KeepCandidates(directory, kept_steps, train, start is not None)
    trainer = _trainer(train, tokenizer.pad_token_id, validation)(
        model=model,
        args=arguments,
        train_dataset=ordered,
        processing_class=tokenizer,
        callbacks=[
            *(run.callbacks if run else ()),
            *([reference] if reference else ()),
            monitor,
            candidates,
        ],
    )
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.remove_callback(transformers.ProgressCallback)
    candidates.trainer = trainer
    if reference:
        reference.trainer = trainer
    monitor.open_log(start, trainer.is_world_process_zero())
    saving = run.saving if run else nullcontext
    if validation:
        validation.start(trainer, start is not None, saving)
    if run:
        heard = say if trainer.is_world_process_zero() else lambda line: None
        try:
            run.start(trainer, rows, stop, heard)
        except Stopped:
            return Outcome("stopped", 0, steps)
    try:
        trainer.train(resume_from_checkpoint=str(start) if start else None)
    except Stopped:  # before the first step
        return Outcome("stopped", trainer.state.global_step, steps)
    step = trainer.state.global_step
    if monitor.checkpoint_seconds is not None:
        loaded["checkpoint_seconds"] = monitor.checkpoint_seconds
    if monitor.diverged:
        return Outcome("diverged", step, steps, monitor.reason, loaded)
    if step < steps:
        if monitor.checkpoint_seconds is not None:  # on the first rank
            say(f"{point.name}: checkpoint written in {monitor.checkpoint_seconds:g} s")
        return Outcome("stopped", step, steps)
    if run:
        run.finish(trainer, monitor.seconds())
    check = ServedCheck(config, rows, classes.labels if classes else ())
    if train.keep == "best" and validation:
        expected = None  # the model in memory has gone on since
        keep_as_model(trainer, directory / BEST, directory / "model")
    else:
        expected = check.trained(trainer)
        with saving():
            save_model(trainer, tokenizer, directory / "model", train)
    check.saved(trainer, directory / "model", expected)
    if on_pairs:
        loaded["reference_gap"] = trainer.reference_gap
    return Outcome("done", step, steps, loaded=loaded)


def adapters_in_words(loaded: dict[str, Any], train: Train) -> str:
    """One line on what `described` found: base, dtype and targets of the adapters."""
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


def _trainer(train: Train, pad: int, validation: Validation | None) -> Callable[..., Any]:
    """The Trainer of the objective's kind of batch, with its collator."""
    batch = OBJECTIVES[train.objective].batch
    trainer, collate = TRAINERS[batch]
    collator = partial(collate, pad=pad)
    if batch == "answers":
        collator = partial(collator, weighted_class=train.weighted_class)
    return partial(trainer, settings=train, data_collator=collator, validate=validation)


def training_arguments(train: Train, directory: Path, steps: int) -> TrainingArguments:
    """The study's `train` section as transformers' arguments."""
    cuda = torch.cuda.is_available()
    sharded = train.fsdp is not None
    arguments = TrainingArguments(
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
        gradient_checkpointing=train.gradient_checkpointing and not fsdp_recomputes(train),
        gradient_checkpointing_kwargs={"use_reentrant": False},
        fsdp=sharded or None,
        fsdp_config=fsdp_config(train) if sharded else None,
        # Gradients are summed over a step's passes where they are sharded and fp32. Left to the
        # last pass FSDP would sum them whole on each rank. (DDP does so too, in the fp32 of what it
        # trains, and talks once a step.)
        accelerator_config={"gradient_accumulation_kwargs": {"sync_each_batch": sharded}},
        ddp_backend="gloo" if train.processes > 1 and not cuda else None,
        ddp_find_unused_parameters=False,
        use_cpu=not cuda,
        seed=train.seed,
        save_strategy="steps",
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
    """Free the space of checkpoints that a finished run needs no more.

    And of the weights that a diverged one kept along its way: there is nothing to choose from.
    """
    for name in ("checkpoints", CANDIDATES) if diverged else ("checkpoints",):
        shutil.rmtree(directory / name, ignore_errors=True)
