"""QLoRA against LoRA and full tuning on one model: memory and time of a training step.

    python -m bench.qlora [--model DIR | --shape Qwen/Qwen2.5-1.5B-Instruct]

Every way is stage 2 on the same problems in a separate process. --shape: a Llama of the random
weights and sizes that bench.memory lists under a name, with a byte-level tokenizer. Time is the
median over steps but the first; the peak is the GPU's where there is one, else the process's.
`source sbatch/env.sh` first gives all the memory settings of jobs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import yaml

from bench import memory
from bench.jobs import leave, measured, timed
from bench.random_model import save_llama, sizes_of
from lib.config.grid import aligned
from lib.config.load import load_study
from lib.runs.files import read_json, read_jsonl

WAYS = ("full", "lora", "qlora")
SHAPES = [name for name, shape in memory.SHAPES.items() if not shape.encoder]


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.qlora", description=__doc__.split("\n")[0])
    parser.add_argument("--model", default=".cache/SmolLM2-135M-Instruct", metavar="DIR")
    parser.add_argument("--shape", choices=SHAPES, help="random weights instead of --model")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--tokens", type=int, default=512, help="model.max_length")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--micro", type=int, default=4)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--checkpointing", action="store_true", help="of activations")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        run_job(json.loads(args.job))
        return
    with tempfile.TemporaryDirectory() as scratch:
        if args.shape:
            args.model = str(Path(scratch) / "model")
            measured("bench.qlora", {"make": args.shape, "at": args.model})
        path = write_study(args, Path(scratch))
        timed([sys.executable, "-m", "stages.stage1_generate_datasets", str(path)])
        indices = {point.config.train.tuning: point.index for point in load_study(path).points()}
        found = {
            way: measured("bench.qlora", {"study": str(path), "index": indices[way]})
            for way in args.ways
        }
    base = found.get("lora") or next(iter(found.values()))
    rows = [["", "seconds a step", "ratio", "peak (MiB)", "ratio", "4-bit base", "last loss"]]
    for way, one in found.items():
        rows.append([way, f"{one['step']:.3f}", f"{one['step'] / base['step']:.2f}",
                     f"{one['peak']:.0f}", f"{one['peak'] / base['peak']:.2f}",
                     str(one["quantised"]), f"{one['loss']:.4f}"])  # fmt: skip
    print(f"\n{args.shape or args.model}, {args.tokens} tokens at most, steps of {args.batch} in "
          f"passes of {args.micro}, checkpointing {args.checkpointing}; ratios to lora\n"
          )  # fmt: skip
    print(aligned(rows))


def write_study(args: argparse.Namespace, scratch: Path) -> Path:
    """The ways as a study."""
    study = {
        "results_dir": str(scratch / "results"),
        "tasks": ["math"],
        "model": {"name": str(Path(args.model).absolute()), "max_length": args.tokens},
        "data": {"source": "synthetic", "train_rows": args.steps * args.batch, "test_rows": 4},
        "train": {
            "lora": {"r": 16, "alpha": 32},
            "batch_size": args.batch,
            "micro_batch": args.micro,
            "learning_rate": 1e-5,
            "gradient_checkpointing": args.checkpointing,
        },
        "infer": {"engine": "hf"},
        "evaluate": {"baseline": {"variant": "lora"}},
        "variants": {way: {"train.tuning": way} for way in WAYS},
        "grid": [{"variant": list(WAYS)}],
    }
    path = scratch / "qlora.yaml"
    path.write_text(yaml.safe_dump(study), encoding="utf-8")
    return path


def run_job(what: dict) -> None:
    """Make a model, or train a point by stage 2."""
    if "make" in what:
        save_llama(Path(what["at"]), "bfloat16", **sizes_of(memory.SHAPES[what["make"]]))
        leave(what)
        return
    from stages.stage2_train import main as stage2

    if code := stage2([what["study"], "--index", str(what["index"])]):
        raise SystemExit(code)
    directory = load_study(what["study"]).point(what["index"]).directory
    rows = read_jsonl(directory / "train.jsonl")
    times = [after["seconds"] - before["seconds"] for before, after in pairwise(rows)]
    config = read_json(directory / "config.json")
    leave(what, step=statistics.median(times), loss=rows[-1]["loss"],
          quantised=config.get("quantised"))  # fmt: skip


if __name__ == "__main__":
    main()
