"""A slice of a preference study against TRL's DPOTrainer: wall time, peak memory, first losses.

    python -m bench.preference [--model .cache/SmolLM2-135M-Instruct] [--source FILE] [--points 12]

Four β by DPO, DiscoPOP and TD-DPO, one seed; the same pairs in the same order, steps and adapter.
lossgrid trains the slice in one task, as `make train` does, and some points in a process each, to
show what the one start gives. TRL takes a process a point. Starts, the base's loading and the
reference are part of every time, stage 1 is not. TRL has no TD-DPO: its sigmoid loss stands in. TRL
runs twice: with the reference in every step, and in advance (precompute_ref_log_probs). Of ways
that train fewer points, these are spread evenly over the slice: β makes no difference to the time.
`source sbatch/env.sh` first gives all the memory settings of jobs. bench.step_time compares steps
alone, and what makes the difference.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from bench.jobs import leave, measured, timed
from lib.config.grid import aligned
from lib.config.load import load_study
from lib.config.schema import Train
from lib.config.study import Point, Study
from lib.runs.files import read_jsonl

BETAS = [0.01, 0.05, 0.5, 2.5]
OBJECTIVES = ("dpo", "discopop", "td_dpo")
LOSS_TYPES = {"dpo": "sigmoid", "discopop": "discopop", "td_dpo": "sigmoid"}
TRAIN = {
    "tuning": "lora",
    "lora": {"r": 8, "alpha": 16, "target_modules": ["q_proj", "v_proj"]},
    "learning_rate": 1e-4,
    "schedule": "constant",
    "precision": "fp32",
    "gradient_checkpointing": False,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m bench.preference", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--model", default=".cache/SmolLM2-135M-Instruct", metavar="DIR")
    parser.add_argument("--source", default="synthetic", help="pairs, as data.source of a study")
    parser.add_argument("--tokens", type=int, default=256, help="model.max_length")
    parser.add_argument("--rows", type=int, default=80, help="training pairs")
    parser.add_argument("--batch", type=int, default=8, help="pairs in a step")
    parser.add_argument("--points", type=int, default=12, help="of the twelve, the first so many")
    parser.add_argument("--apart", type=int, default=3, help="of them, a process each")
    parser.add_argument("--trl", type=int, default=12, help="of them by TRL")
    parser.add_argument("--advance", type=int, default=12, help="of them by TRL in advance")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        run_job(json.loads(args.job))
        return
    with tempfile.TemporaryDirectory() as scratch:
        compare(args, Path(scratch))


def compare(args: argparse.Namespace, scratch: Path) -> None:
    """Run the slice every way and print the tables."""
    studies = []
    for name in ("together", "apart"):  # each computes its reference
        (scratch / name).mkdir()
        path = write_study(args, scratch / name)
        timed([sys.executable, "-m", "stages.stage1_generate_datasets", str(path)])
        studies.append(load_study(path))
    together, apart = studies
    count = min(args.points, len(together.grid))
    ways = {
        "lossgrid, a process a point": (apart, args.apart, lambda i: {"stage2": str(i)}),
        "TRL": (together, args.trl, lambda i: {"trl": i, "precompute": False}),
        "TRL, reference in advance": (together, args.advance,
                                      lambda i: {"trl": i, "precompute": True}),
    }  # fmt: skip
    found = {"lossgrid, one task": (count, [job(together, {"stage2": f"0-{count - 1}"})])}
    for name, (study, some, what) in ways.items():
        if some := min(some, count):
            spread = [i * count // some for i in range(some)]
            found[name] = (some, [job(study, what(i)) for i in spread])
            print(name, found[name], file=sys.stderr)  # before a later way fails
    print(f"\n{count} points of {args.rows // args.batch} steps of {args.batch} pairs, "
          f"{args.tokens} tokens at most, {args.precision}\n")  # fmt: skip
    print(aligned(table(found)))
    if args.trl:
        print(agreement(together.point(0), scratch / "together"))


def table(found: dict[str, tuple[int, list[tuple[float, float]]]]) -> list[list[str]]:
    """Seconds a point and greatest peak of each way's jobs, with ratios to the first way."""
    rows = [["", "points", "seconds a point", "ratio", "peak (MiB)", "ratio"]]
    base: list[float] = []
    for name, (points, jobs) in found.items():
        values = [sum(seconds for seconds, _ in jobs) / points, max(peak for _, peak in jobs)]
        base = base or values
        ratios = [value / first for value, first in zip(values, base, strict=True)]
        rows.append([name, str(points), f"{values[0]:.1f}", f"{ratios[0]:.2f}",
                     f"{values[1]:.0f}", f"{ratios[1]:.2f}"])  # fmt: skip
    return rows


def agreement(point: Point, scratch: Path) -> str:
    """How far the first losses of the two are apart."""
    ours = [row["loss"] for row in read_jsonl(point.directory / "train.jsonl")][:10]
    theirs = json.loads((scratch / f"trl-{point.index}.json").read_text())[: len(ours)]
    apart = max(abs(a - b) / abs(b) for a, b in zip(ours, theirs, strict=True))
    return (f"\n{point.name}, losses of the first {len(ours)} steps: at most {apart:.1e} apart "
            f"(relative)\n  lossgrid {' '.join(f'{x:.5f}' for x in ours)}\n  TRL      "
            f"{' '.join(f'{x:.5f}' for x in theirs)}")  # fmt: skip


def write_study(args: argparse.Namespace, scratch: Path) -> Path:
    """The slice as a study."""
    objective = {name: {"train.objective": name} for name in OBJECTIVES}
    study = {
        "results_dir": str(scratch / "results"),
        "tasks": ["preference"],
        "model": {"name": str(Path(args.model).absolute()), "max_length": args.tokens},
        "data": {"source": args.source, "train_rows": args.rows, "test_rows": 8,
                 "validation": 0, "drop_empty": True},
        "train": {**TRAIN, "batch_size": args.batch, "micro_batch": min(4, args.batch),
                  "precision": args.precision},
        "evaluate": {"baseline": {"variant": "dpo", "beta": 0.05}},
        "axes": {"beta": "train.beta"},
        "variants": objective,
        "grid": [{"variant": list(OBJECTIVES), "beta": BETAS}],
    }  # fmt: skip
    path = scratch / "slice.yaml"
    path.write_text(yaml.safe_dump(study), encoding="utf-8")
    return path


def job(study: Study, what: dict[str, Any]) -> tuple[float, float]:
    """Seconds and peak in MiB of a job of this module in a separate process."""
    found = measured("bench.preference", {"study": study.path, **what})
    return found["seconds"], found["peak"]


def run_job(what: dict[str, Any]) -> None:
    """One point by stage 2 or by TRL."""
    study = load_study(what["study"])
    if "stage2" in what:
        from stages.stage2_train import main as stage2

        if code := stage2([study.path, "--index", what["stage2"]]):
            raise SystemExit(code)
    else:
        point = study.point(what["trl"])
        losses = train_with_trl(study, point, what["precompute"])
        place = Path(study.path).parent / f"trl-{point.index}.json"
        place.write_text(json.dumps(losses), encoding="utf-8")
    leave(what)


def trl_arguments(train: Train, directory: str) -> dict[str, Any]:
    """Arguments that all of TRL's trainers share."""
    import torch

    return {
        "output_dir": directory,
        "train_sampling_strategy": "sequential",
        "learning_rate": train.learning_rate,
        "lr_scheduler_type": train.schedule,
        "max_grad_norm": train.clip,
        "bf16": train.precision == "bf16",
        "gradient_checkpointing": False,
        "use_cpu": not torch.cuda.is_available(),
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "seed": train.seed,
    }


def train_with_trl(
    study: Study, point: Point, precompute: bool, callbacks: Sequence[Any] = ()
) -> list[float]:
    """The losses of a point trained by TRL: the same pairs, order, steps and adapter."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    from lib.config.steps import row_order, step_count
    from lib.models.load import DTYPES, load_base, load_tokenizer
    from lib.models.trainable import four_bit, lora_config, nf4_fault

    train, model = point.config.train, point.config.model
    rows = read_jsonl(study.directory / "data" / "train.jsonl")
    steps = step_count(train, len(rows))
    order = row_order(len(rows), steps * train.batch_size, train.seed)
    columns = [
        {
            "prompt": rows[i]["prompt"]["messages"],
            **{side: [{"role": "assistant", "content": rows[i][side]}]
               for side in ("chosen", "rejected")},
        }
        for i in order
    ]  # fmt: skip
    quantised = train.tuning == "qlora" and nf4_fault() is None
    base = load_base(model, DTYPES[train.precision],
                     **({"quantization_config": four_bit()} if quantised else {}))  # fmt: skip
    with tempfile.TemporaryDirectory() as directory:
        trainer = DPOTrainer(
            base,
            args=DPOConfig(
                loss_type=[LOSS_TYPES[train.objective]],
                beta=train.beta,
                max_length=model.max_length,
                precompute_ref_log_probs=precompute,
                max_steps=steps,
                per_device_train_batch_size=train.micro_batch,
                gradient_accumulation_steps=train.batch_size // train.micro_batch,
                **trl_arguments(train, directory),
            ),
            train_dataset=Dataset.from_list(columns),
            processing_class=load_tokenizer(model),
            peft_config=lora_config(train.lora),
            callbacks=list(callbacks),
        )
        trainer.train()
    return [row["loss"] for row in trainer.state.log_history if "loss" in row]


if __name__ == "__main__":
    main()
