"""What `bench.importance` measures of each way, in a separate process."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

STEP_WAYS = ("lora", "iw_lora", "adalora", "adalora_peft", "full")
PENALTY_WAYS = ("gram", "plain")


def measure(args: argparse.Namespace, targets: list[str]) -> dict[str, Any]:
    """What one way takes, in this process."""
    import torch

    from lib.config.schema import Lora, Model, Train
    from lib.models.classifiers import classifier_for_training
    from lib.training.adapters import adapted_matrices
    from lib.training.class_run import peak_memory, reset_peak

    if args.device == "cpu" and torch.cuda.is_available():
        raise SystemExit("--device cpu: hide the GPU with CUDA_VISIBLE_DEVICES= instead")
    if args.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("--device cuda: no GPU is visible")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tuning = {"full": "full", "adalora": "adalora", "adalora_peft": "adalora"}.get(args.way, "lora")
    train = Train(
        objective="classification",
        tuning=tuning,
        lora=Lora(r=8, alpha=16, target_modules=targets),
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
    with torch.no_grad():  # weights are read from the file where they are first used
        model.eval()(batches[0]["input_ids"][:1, :8].to(device))
    reset_peak()
    loaded = peak_memory()[0] or 0
    if args.way in STEP_WAYS:
        made = steps_of(args, model, matrices, train, batches)
    elif args.way in PENALTY_WAYS:
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
    from lib.training.class_run import synchronise

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
    from lib.training.adapters import Allocation
    from lib.training.penalties import adapters_penalty, orthogonality_penalty
    from lib.training.scoring import autocast

    device = next(model.parameters()).device
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    allocation = Allocation(model, None) if train.tuning == "adalora" else None
    term: Callable[[], Any] | None = None
    if args.way == "iw_lora":
        term = adapters_penalty(
            matrices, [1 / len(matrices)] * len(matrices), train.importance.alpha, 1.0
        )
    elif args.way == "adalora":
        term = orthogonality_penalty(model, matrices)
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

    from lib.training.class_run import peak_memory, reset_peak
    from lib.training.penalties import adapters_penalty

    torch.manual_seed(0)
    factors = [matrix.factors for matrix in matrices]
    with torch.no_grad():
        for a, b, _ in factors:
            a.copy_(0.1 * torch.randn(a.shape))
            b.copy_(0.1 * torch.randn(b.shape))
    weights, alpha = [1 / len(matrices)] * len(matrices), 1e-4
    gram = adapters_penalty(matrices, weights, alpha, 1.0)

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
    from lib.training.class_run import synchronise
    from lib.training.importance import calibrate
    from lib.training.scoring import autocast

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
