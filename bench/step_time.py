"""Seconds a training step, without start-up, against TRL's DPOTrainer or SFTTrainer.

    python -m bench.step_time --pairs FILE [--objective dpo|discopop|td_dpo] [--steps 10]
    python -m bench.step_time --questions FILE [--steps 6] [--batch 16]

The same rows in the same order, steps and adapter (LoRA on q and v), in fp32. Each way is a process
of its own; its first step is not timed. lossgrid also runs without what makes the difference:
prompts that the answers of a pair share, and packed rows. TRL computes the reference of pairs in
every step, or in advance (whose time is not counted). With TRL's own packing a step holds other
rows, so all ways are compared by seconds a row: of a clock, and of the CPU, which other processes
do not disturb (with OMP_NUM_THREADS=1). TRL has no TD-DPO: its sigmoid loss stands in.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from bench import preference
from bench.jobs import leave, measured
from lib.config.grid import aligned
from lib.config.load import load_study
from lib.config.study import Point, Study
from lib.runs.files import read_jsonl

PAIRS = ("lossgrid", "no shared prompts", "padded rows", "TRL", "TRL, reference in advance")
ANSWERS = ("lossgrid", "padded rows", "TRL", "TRL, packing")


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m bench.step_time", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--model", default=".cache/SmolLM2-135M-Instruct", metavar="DIR")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--pairs", dest="source", help="a file, as data.source of a study")
    source.add_argument("--questions", help="a file of questions and worked answers")
    parser.add_argument("--objective", choices=preference.OBJECTIVES, default="dpo")
    parser.add_argument("--tokens", type=int, default=512, help="model.max_length")
    parser.add_argument("--batch", type=int, default=4, help="rows in a step")
    parser.add_argument("--micro", type=int, default=4, help="rows in a padded pass")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--ways", nargs="*", metavar="WAY", help="only these, by name")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        run_job(json.loads(args.job))
        return
    if not (args.source or args.questions):
        parser.error("give --pairs FILE or --questions FILE")
    # More rows than are trained on: some may be left out, as those without room for an answer.
    args.rows, args.precision = args.steps * args.batch + 16, "fp32"
    with tempfile.TemporaryDirectory() as scratch:
        compare(args, Path(scratch))


def compare(args: argparse.Namespace, scratch: Path) -> None:
    """Run every way and print the table."""
    from stages.stage1_generate_datasets import main as stage1

    known = ANSWERS if args.questions else PAIRS
    ways = args.ways or known
    if unknown := set(ways) - set(known):
        raise SystemExit(f"--ways: found {sorted(unknown)}, expected names among {known}")
    path = answers_study(args, scratch) if args.questions else preference.write_study(args, scratch)
    words = [f"train.micro_batch={args.micro}", f"train.max_steps={args.steps}"]
    if code := stage1([str(path), *words]):
        raise SystemExit(code)
    wanted = "weighted_nll" if args.questions else args.objective
    points = load_study(path, words).points()
    index = next(p.index for p in points if p.config.train.objective == wanted)
    found = {}
    for way in ways:
        job = {"study": str(path), "words": words, "index": index, "way": way}
        found[way] = measured("bench.step_time", job)
        print(f"{way}: {found[way]}", file=sys.stderr)  # before a later way fails
    first = found[ways[0]]
    table = [["", "seconds a row", "ratio", "CPU seconds", "ratio", "peak (MiB)", "ratio",
              "losses apart (relative)"]]  # fmt: skip
    for way, one in found.items():
        same = zip(one["losses"], first["losses"], strict=False) if "packing" not in way else ()
        apart = max((abs(a - b) / abs(b) for a, b in same), default=None)
        values = [(one[key], one[key] / first[key]) for key in ("row", "cpu", "peak")]
        shown = [text for value, ratio in values for text in (f"{value:.4g}", f"{ratio:.2f}")]
        table.append([way, *shown, "other steps" if apart is None else f"{apart:.1e}"])
    print(f"\n{args.source or args.questions}: {args.steps} steps of {args.batch} rows, "
          f"{args.tokens} tokens at most, padded passes of {args.micro} rows\n")  # fmt: skip
    print(aligned(table))
    print("\nlosses: " + " ".join(f"{loss:.5f}" for loss in first["losses"]), flush=True)


def answers_study(args: argparse.Namespace, scratch: Path) -> Path:
    """Word problems and their worked answers, as a study of one point."""
    source = str(Path(args.questions).absolute())
    study = {
        "results_dir": str(scratch / "results"),
        "tasks": ["math"],
        "model": {"name": str(Path(args.model).absolute()), "max_length": args.tokens},
        "data": {"source": source, "test_source": "synthetic", "train_rows": args.rows,
                 "test_rows": 4, "shot_pool": 0, "near_duplicates": 1.0},
        "train": {**preference.TRAIN, "batch_size": args.batch},
        "infer": {"engine": "hf"},
        "evaluate": {"baseline": {"variant": "lora"}},
        "variants": {"lora": {}},
        "grid": [{"variant": ["lora"]}],
    }  # fmt: skip
    path = scratch / "answers.yaml"
    path.write_text(yaml.safe_dump(study), encoding="utf-8")
    return path


def run_job(what: dict[str, Any]) -> None:
    """One way; leaves seconds a row and losses."""
    study, way = load_study(what["study"], what["words"]), what["way"]
    point = study.point(what["index"])
    if way.startswith("TRL") and point.config.train.objective == "weighted_nll":
        leave(what, **sft_with_trl(study, point, packing=way == "TRL, packing"))
    elif way.startswith("TRL"):
        times = StepEnds()
        losses = preference.train_with_trl(study, point, "advance" in way, [times.callback()])
        leave(what, **times.of_a_row(point.config.train.batch_size), losses=losses)
    else:
        leave(what, **train(study, point, way))


def train(study: Study, point: Point, way: str) -> dict[str, Any]:
    """A point by lossgrid, with or without something."""
    from lib.training import batches, loop, packed_attention
    from lib.training.inputs import train_data

    arranged = batches.arranged
    if way == "no shared prompts":
        batches.arranged = lambda groups, *more: arranged(
            [(prompt, [answer]) for prompt, answers in groups for answer in answers], *more
        )
    if way == "padded rows":
        for module in (loop, packed_attention):
            module.packing_fault = lambda model: "for the comparison"
    times, ended = StepEnds(), loop.RunMonitor.on_step_end

    def on_step_end(self: Any, *args: Any, **kwargs: Any) -> None:
        times.add()
        ended(self, *args, **kwargs)

    loop.RunMonitor.on_step_end = on_step_end
    # References are stored once a study, by whichever way comes first.
    with tempfile.TemporaryDirectory() as directory:
        loop.train_point(point, train_data(study, point), Path(directory), bool)
        log = read_jsonl(Path(directory) / "train.jsonl")
    losses = [row["loss"] for row in log]
    return {**times.of_a_row(point.config.train.batch_size), "losses": losses}


class StepEnds:
    """When each step of a Trainer ended, by a clock and in time of the CPU, and peak memory."""

    def __init__(self) -> None:
        self.ends: list[tuple[float, float]] = []

    def add(self) -> None:
        """A step has ended."""
        self.ends.append((time.perf_counter(), time.process_time()))
        self.peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def callback(self) -> Any:
        """For the Trainer."""
        from transformers import TrainerCallback

        add = self.add

        class Ends(TrainerCallback):
            def on_step_end(self, *args: Any, **kwargs: Any) -> None:
                add()

        return Ends()

    def of_a_row(self, rows_of_a_step: float) -> dict[str, float]:
        """Seconds, without the first step; MiB at most up to the last one."""
        rows = (len(self.ends) - 1) * rows_of_a_step
        row, cpu = (
            (last - first) / rows for first, last in zip(self.ends[0], self.ends[-1], strict=True)
        )
        return {"row": row, "cpu": cpu, "peak": self.peak}


def sft_with_trl(study: Study, point: Point, packing: bool) -> dict[str, Any]:
    """A point of answers by TRL's SFTTrainer, from the same tokens in the same order."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from lib.config.steps import row_order, step_count
    from lib.models.load import DTYPES, load_base, load_tokenizer
    from lib.models.trainable import lora_config
    from lib.training.inputs import train_data

    config, rows = point.config, train_data(study, point).rows
    steps = step_count(config.train, len(rows))
    order = row_order(len(rows), steps * config.train.batch_size, config.train.seed)
    columns = [
        {"input_ids": ids, "completion_mask": [int(i >= start) for i in range(len(ids))]}
        for ids, start in ((rows[int(i)]["input_ids"], rows[int(i)]["prompt_length"])
                           for i in order)
    ]  # fmt: skip
    times, batch = StepEnds(), config.train.batch_size
    micro = min(config.train.micro_batch, batch)
    with tempfile.TemporaryDirectory() as directory:
        trainer = SFTTrainer(
            load_base(config.model, DTYPES["fp32"]),
            args=SFTConfig(
                max_length=config.model.max_length,
                packing=packing,
                completion_only_loss=True,
                per_device_train_batch_size=1 if packing else micro,
                gradient_accumulation_steps=micro if packing else batch // micro,
                num_train_epochs=1,
                **preference.trl_arguments(config.train, directory),
            ),
            train_dataset=Dataset.from_list(columns),
            processing_class=load_tokenizer(config.model),
            peft_config=lora_config(config.train.lora),
            callbacks=[times.callback()],
        )
        trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    rows_of_a_step = micro * len(columns) / len(trainer.train_dataset) if packing else batch
    return {**times.of_a_row(rows_of_a_step), "losses": losses}


if __name__ == "__main__":
    main()
