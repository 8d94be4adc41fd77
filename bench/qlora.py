"""QLoRA against LoRA and full tuning on one model: memory and time of a training step.

    python -m bench.qlora [--model .cache/SmolLM2-135M-Instruct | --shape qwen2.5-1.5b]

Every way is stage 2 on the same problems in a process of its own. A shape is a model of random
weights and SmolLM2's tokenizer: what a step costs does not hang on what the weights are. Time is
the median over steps but the first; the peak is the GPU's where there is one, else the process's.
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

from bench.jobs import leave, measured, timed
from lib.grid import aligned
from lib.runs import read_json, read_jsonl
from lib.study import load_study

WAYS = ("full", "lora", "qlora")
TOKENIZER = ".cache/SmolLM2-135M-Instruct"
# hidden, intermediate, layers, heads, key-value heads, vocabulary: the config.json of each.
SHAPES = {
    "qwen2.5-1.5b": (1536, 8960, 28, 12, 2, 151936),
    "llama-2-7b": (4096, 11008, 32, 32, 32, 49152),  # 32,000 are too few for SmolLM2's tokenizer
}


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.qlora", description=__doc__.split("\n")[0])
    parser.add_argument("--model", default=TOKENIZER, metavar="DIR")
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
    """The ways as a study of its own."""
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
        make(what["make"], what["at"])
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


def make(shape: str, directory: str) -> None:
    """A Llama of a shape with random bf16 weights."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    hidden, inner, layers, heads, groups, vocabulary = SHAPES[shape]
    config = LlamaConfig(
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=groups,
        vocab_size=vocabulary,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        dtype=torch.bfloat16,
    )
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = LlamaForCausalLM(config)
    model.save_pretrained(directory)
    AutoTokenizer.from_pretrained(TOKENIZER).save_pretrained(directory)


if __name__ == "__main__":
    main()
