"""What the importance penalty costs: a step beside LoRA's and AdaLoRA's, the penalty, calibration.

    python -m bench.importance --model .cache/MiniLM-L6 [--batch 32] [--tokens 128] [--steps 30]
    python -m bench.importance --random deberta-v3-base --precision bf16 --targets deberta

--random makes weights of that shape here, so that no model hub is needed: time and memory do not
depend on their values. Each way runs in a separate process, on the GPU where there is one; peak
memory is what tensors took there, or the resident set of the process. `adalora (PEFT)` takes the
orthogonality term from PEFT's own forward pass; `adalora` takes it from ours, as training does.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from typing import Any

from lib.config.grid import aligned

TARGETS = {
    "bert": ["query", "key", "value", "dense"],
    "deberta": ["query_proj", "key_proj", "value_proj", "dense"],
}
STEPS = {
    "lora": "lora",
    "iw_lora": "lora with the penalty",
    "adalora": "adalora",
    "adalora_peft": "adalora (PEFT)",
    "full": "full",
}
PENALTIES = {"gram": "Gram products", "plain": "products BA"}
CALIBRATIONS = {"hooks": "hooks", "grads": "requires_grad on the weights"}
RANDOM = ("deberta-v3-base", "deberta-small")


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m bench.importance", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--model", default=".cache/MiniLM-L6", metavar="DIR")
    parser.add_argument("--random", choices=RANDOM, help="a model of this shape, made here")
    parser.add_argument("--targets", choices=TARGETS, default="bert", help="modules by family")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--steps", type=int, default=30, help="timed, after three that are not")
    parser.add_argument("--batches", type=int, default=10, help="of the calibration, timed")
    parser.add_argument("--ways", nargs="*", help="only these ways, by key")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.way:
        from bench.importance_ways import measure

        print(json.dumps(measure(args, TARGETS[args.targets])))
        return
    with tempfile.TemporaryDirectory() as scratch:
        words = sys.argv[1:]
        if args.random:
            make_random(args.random, scratch)
            words = [*words, "--model", scratch]
        every = [*STEPS, *PENALTIES, *CALIBRATIONS]
        found = {way: in_process(way, words) for way in args.ways or every}
    some = next(iter(found.values()))
    print(f"{args.random or args.model}, {some['device']}, {args.precision}, batch {args.batch} of "
          f"{args.tokens} tokens, {some['matrices']} matrices; torch {some['torch']}\n"
          )  # fmt: skip
    print_steps({way: one for way, one in found.items() if way in STEPS})
    print_penalties({way: one for way, one in found.items() if way in PENALTIES})
    print_calibrations({way: one for way, one in found.items() if way in CALIBRATIONS})


def print_steps(found: dict[str, Any]) -> None:
    """Time and memory of a training step, each beside the first's."""
    if not found:
        return
    base = next(iter(found.values()))
    rows = [["step", "ms (mean)", "ms (median)", "10 to 90 %", "ratio", "peak (MiB)", "ratio",
             "trained"]]  # fmt: skip
    for way, one in found.items():
        low, high = one["range"]
        rows.append(
            [
                STEPS[way],
                f"{one['mean']:.2f}",
                f"{one['median']:.2f}",
                f"{low:.2f} to {high:.2f}",
                f"{one['mean'] / base['mean']:.3f}",
                f"{one['peak']:.0f}",
                f"{one['peak'] / base['peak']:.3f}",
                f"{one['trained']:,}",
            ]
        )
    print(aligned(rows), "\n")


def print_penalties(found: dict[str, Any]) -> None:
    """The penalty's value and gradients alone, by r × r products and by Δ itself."""
    if not found:
        return
    rows = [["penalty alone", "ms (median)", "10 to 90 %", "more memory (MiB)", "value"]]
    for way, one in found.items():
        low, high = one["range"]
        more = f"{one['more']:.1f}" if one["more"] is not None else "-"
        times = f"{one['median']:.3f}", f"{low:.3f} to {high:.3f}"
        rows.append([PENALTIES[way], *times, more, f"{one['value']:.9g}"])
    print(aligned(rows))
    if len(found) == len(PENALTIES):
        apart = apart_by(found["gram"]["gradients"], found["plain"]["gradients"])
        print(f"norms of the gradients: at most {apart:.1e} apart (relative)\n")


def print_calibrations(found: dict[str, Any]) -> None:
    """The calibration both ways, and how far apart what they find is."""
    if not found:
        return
    rows = [["calibration", "ms a batch", "peak (MiB)", "above the model (MiB)"]]
    for way, one in found.items():
        peaks = f"{one['peak']:.0f}", f"{one['peak'] - one['loaded']:.0f}"
        rows.append([CALIBRATIONS[way], f"{one['median']:.2f}", *peaks])
    print(aligned(rows))
    if len(found) == len(CALIBRATIONS):
        apart = apart_by(found["hooks"]["norms"], found["grads"]["norms"])
        print(f"s of the {len(found['hooks']['norms'])} matrices: at most {apart:.1e} apart")


def apart_by(some: list[float], others: list[float]) -> float:
    """Greatest relative difference."""
    return max(abs(a - b) / abs(b) for a, b in zip(some, others, strict=True))


def in_process(way: str, words: list[str]) -> dict[str, Any]:
    """Measure one way in a new process."""
    command = [sys.executable, "-m", "bench.importance", *words, "--way", way]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    print(f"{way} done", file=sys.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def make_random(name: str, directory: str) -> None:
    """Write a classifier of DeBERTaV3's shape (arXiv 2111.09543) with random weights."""
    import torch
    from transformers import DebertaV2Config, DebertaV2ForSequenceClassification

    small = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4,
             "intermediate_size": 1024, "vocab_size": 8000, "pooler_hidden_size": 256}  # fmt: skip
    base = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
            "intermediate_size": 3072, "vocab_size": 128100, "pooler_hidden_size": 768}  # fmt: skip
    config = DebertaV2Config(
        **(base if name == "deberta-v3-base" else small),
        max_position_embeddings=512,
        relative_attention=True,
        position_buckets=256,
        max_relative_positions=-1,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
        type_vocab_size=0,
    )
    torch.manual_seed(0)
    DebertaV2ForSequenceClassification(config).save_pretrained(directory)


if __name__ == "__main__":
    main()
