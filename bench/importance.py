"""What the importance penalty costs: a step beside LoRA's and AdaLoRA's, the penalty, calibration.

    python -m bench.importance --model .cache/MiniLM-L6 [--batch 32] [--tokens 128] [--steps 30]
    python -m bench.importance --random deberta-v3-base --precision bf16 --targets deberta

--random makes weights of that shape here, so that no model hub is needed: time and memory do not
hang on their values. Each way runs in a process of its own, on the GPU where there is one; peak
memory is what tensors took there, or the resident set of the process. `adalora (PEFT)` takes the
orthogonality term from PEFT's own forward pass; `adalora` takes it from ours, as training does.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from lib.grid import aligned

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
    parser.add_argument("--ways", nargs="*", help="some of the ways alone, by their keys")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.way:
        print(json.dumps(measure(args)))
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


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """What one way takes, in this process."""
    import torch

    from lib.classifiers import classifier_for_training
    from lib.schema import Lora, Model, Train
    from lib.training.adapters import adapted_matrices
    from lib.training.usage import peak_memory, reset_peak

    if args.device == "cpu" and torch.cuda.is_available():
        raise SystemExit("--device cpu: hide the GPU with CUDA_VISIBLE_DEVICES= instead")
    if args.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("--device cuda: no GPU is visible")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tuning = {"full": "full", "adalora": "adalora", "adalora_peft": "adalora"}.get(args.way, "lora")
    train = Train(
        objective="classification",
        tuning=tuning,
        lora=Lora(r=8, alpha=16, target_modules=TARGETS[args.targets]),
        precision=args.precision,
        gradient_checkpointing=False,
        batch_size=args.batch,
        importance={"alpha": 1e-4 if args.way == "iw_lora" else 0.0, "batches": args.batches},
    )
    model = classifier_for_training(Model(name=args.model), train, ["no", "yes"], args.steps + 3)
    model.to(device)
    matrices = adapted_matrices(model) if tuning != "full" else []
    generator = torch.Generator().manual_seed(0)
    batches = [
        {
            "input_ids": torch.randint(
                model.config.vocab_size, (args.batch, args.tokens), generator=generator
            ),
            "attention_mask": torch.ones(args.batch, args.tokens, dtype=torch.long),
            "labels": torch.randint(2, (args.batch,), generator=generator),
        }
        for _ in range(args.batches)
    ]
    reset_peak()
    loaded = peak_memory()[0] or 0
    if args.way in STEPS:
        made = steps_of(args, model, matrices, train, batches)
    elif args.way in PENALTIES:
        made = penalty_of(args, matrices)
    else:
        made = calibration_of(args, model, matrices, train, batches)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    peak = peak_memory()[0] or 0
    name = torch.cuda.get_device_name(0) if device == "cuda" else f"cpu × {torch.get_num_threads()}"
    return {"loaded": loaded / 2**20, "peak": peak / 2**20, "trained": trained, "device": name,
            "torch": torch.__version__, "matrices": len(matrices), **made}  # fmt: skip


def timed(action: Callable[[], None], count: int, before: int = 3) -> list[float]:
    """Milliseconds of each of `count` calls, after some that are not timed."""
    from lib.training.usage import synchronise

    found = []
    for _ in range(before + count):
        synchronise()
        start = time.perf_counter()
        action()
        synchronise()
        found.append(1000 * (time.perf_counter() - start))
    return found[before:]


def summary(times: list[float]) -> dict[str, Any]:
    """Mean, median and the range of the middle eight tenths."""
    tenths = statistics.quantiles(times, n=10)
    return {"mean": statistics.fmean(times), "median": statistics.median(times),
            "range": [tenths[0], tenths[-1]]}  # fmt: skip


def steps_of(args: Any, model: Any, matrices: Any, train: Any, batches: list) -> dict[str, Any]:
    """Whole optimizer steps: forward, backward, clipping, AdamW, and what the way adds."""
    import torch

    from lib.losses import class_nll
    from lib.training.adalora import Allocation, Orthogonality
    from lib.training.importance import Penalty
    from lib.training.scoring import autocast

    device = next(model.parameters()).device
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    allocation = Allocation(model, None) if train.tuning == "adalora" else None
    term: Callable[[], Any] | None = None
    if args.way == "iw_lora":
        term = Penalty(matrices, [1 / len(matrices)] * len(matrices), train.importance.alpha, 1.0)
    elif args.way == "adalora":
        term = Orthogonality(model, matrices)
    inputs = {key: value.to(device) for key, value in batches[0].items()}
    labels = inputs.pop("labels")
    state = SimpleNamespace(global_step=0)
    model.train()

    def step() -> None:
        if args.way == "adalora_peft":
            with autocast(device, args.precision):
                loss = model(**inputs, labels=labels).loss
        else:
            with autocast(device, args.precision):
                logits = model(**inputs).logits
            loss = class_nll(logits, labels).mean()
            if term:
                loss = loss + term()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        if allocation:
            allocation.on_optimizer_step(None, state, None)
        optimizer.zero_grad()
        state.global_step += 1

    return summary(timed(step, args.steps))


def penalty_of(args: Any, matrices: Any) -> dict[str, Any]:
    """Value and gradients of the penalty alone, of factors that have both learnt something."""
    import torch

    from lib.training.importance import Penalty
    from lib.training.usage import peak_memory, reset_peak

    torch.manual_seed(0)
    factors = [matrix.factors for matrix in matrices]
    with torch.no_grad():
        for a, b, _ in factors:
            a.copy_(0.1 * torch.randn(a.shape))
            b.copy_(0.1 * torch.randn(b.shape))
    weights, alpha = [1 / len(matrices)] * len(matrices), 1e-4
    gram = Penalty(matrices, weights, alpha, 1.0)

    def plain() -> Any:
        return sum(
            alpha * (1 - w) * (s * b @ a).square().sum()
            for w, (a, b, s) in zip(weights, factors, strict=True)
        )

    value = gram if args.way == "gram" else plain

    def once() -> None:
        for a, b, _ in factors:
            a.grad = b.grad = None
        value().backward()

    once()
    reset_peak()
    before = torch.cuda.memory_allocated() if torch.cuda.is_available() else None
    times = timed(once, 5 * args.steps)
    more = None if before is None else (peak_memory()[0] - before) / 2**20
    gradients = [p.grad.norm().item() for a, b, _ in factors for p in (a, b)]
    return {"value": value().item(), "gradients": gradients, "more": more, **summary(times)}


def calibration_of(
    args: Any, model: Any, matrices: Any, train: Any, batches: list
) -> dict[str, Any]:
    """s of every matrix over all batches, and the time of one."""
    import torch

    from lib.losses import class_nll
    from lib.training.importance import calibrate
    from lib.training.scoring import autocast
    from lib.training.usage import synchronise

    device = next(model.parameters()).device
    weights = [matrix.base.weight for matrix in matrices]

    def by_grads(some: list) -> Any:
        model.eval()
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        for weight in weights:
            weight.requires_grad_(True)
        total = torch.zeros(len(weights), dtype=torch.float64, device=device)
        for batch in some:
            inputs = {key: value.to(device) for key, value in batch.items()}
            labels = inputs.pop("labels")
            with autocast(device, args.precision):
                logits = model(**inputs).logits
            class_nll(logits, labels).mean().backward()
            total += torch.stack([weight.grad.norm() for weight in weights])
            model.zero_grad()
        return total

    def by_hooks(some: list) -> Any:
        return calibrate(model, matrices, some, train)

    way = by_hooks if args.way == "hooks" else by_grads
    way(batches[:1])
    synchronise()
    start = time.perf_counter()
    total = way(batches)
    synchronise()
    seconds = time.perf_counter() - start
    norms = (total / len(batches)).tolist()
    return {"norms": norms, "median": 1000 * seconds / len(batches)}


if __name__ == "__main__":
    main()
