"""Made-up GLUE studies: points with predictions, logs and records of their training."""

from types import SimpleNamespace

import numpy as np

from lib.config.schema import Evaluate
from lib.config.tasks import PointResult
from lib.tasks.glue.evaluate import evaluate
from lib.tasks.glue.table import GLUE

TASKS = ("mnli", "sst2", "rte")
SEEDS = (42, 43, 44)
SETTINGS = Evaluate(baseline={"variant": "lora", "task": "rte", "seed": 42}, resamples=200)
# variant → chance of a right answer, seconds of training, of calibration
SKILL = {"full": 0.8, "lora": 0.8, "adalora": 0.84, "iw_lora": 0.84}
SECONDS = {"full": 200.0, "lora": 100.0, "adalora": 130.0, "iw_lora": 104.0}
MODULES = ("query", "key", "value")


def config(variant, task, seed, alpha=0.0, normalise="sum"):
    tuning = "lora" if variant == "iw_lora" else variant
    importance = SimpleNamespace(alpha=alpha, beta=1.0, normalise=normalise)
    train = SimpleNamespace(tuning=tuning, importance=importance, seed=seed, keep="last")
    return SimpleNamespace(train=train, data=SimpleNamespace(task=task))


AXES = {"task": "data.task", "seed": "train.seed", "alpha": "train.importance.alpha"}


def grid(tasks=TASKS, seeds=SEEDS, variants=tuple(SKILL), alphas=(1e-4,)):
    """(name, values, config) in the order of a study: variant, task, α, seed."""
    found = []
    for variant in variants:
        for task in tasks:
            for alpha in alphas if variant == "iw_lora" else (None,):
                for seed in seeds:
                    values = {"variant": variant, "task": task, "seed": seed}
                    values |= {} if alpha is None else {"alpha": alpha}
                    name = f"{variant}_{task}" + (f"_alpha{alpha:g}" if alpha else "")
                    made = config(variant, task, seed, alpha or 0.0)
                    found.append((f"{name}_seed{seed}", values, made))
    return found


def rows_of(tasks=TASKS, n=60, shared=1):
    """Test rows, n of each dev set; `shared`: how many pairs have one first sentence."""
    rows = []
    for task in tasks:
        glue = GLUE[task]
        for part in glue.dev:
            for i in range(n):
                b = None if task == "sst2" else f"b{i}"
                a = f"a{i if task == 'sst2' else i // shared}"
                label = i % len(glue.labels)
                rows.append(
                    {"id": f"{task}-{part}-{i}", "task": task, "set": part,
                     "prompt": {"a": a, "b": b}, "label": label, "target": glue.labels[label]}
                )  # fmt: skip
    return rows


def predictions(rows, skill, seed):
    """Graded predictions: what is hard is hard for all, a seed adds noise of its own."""
    hard = np.random.default_rng(7).normal(size=len(rows))
    own = np.random.default_rng([8, seed]).normal(size=len(rows))
    bound = np.quantile(np.random.default_rng(0).normal(size=4000), skill) * np.sqrt(1.25)
    found = []
    for row, right in zip(rows, hard + 0.5 * own < bound, strict=True):
        k = len(GLUE[row["task"]].labels)
        predicted = row["label"] if right else (row["label"] + 1) % k
        found.append(
            {"id": row["id"], "prompt_hash": row["id"], "outputs": [], "scores": None,
             "predicted": predicted, "label": row["label"], "correct": bool(right)}
        )  # fmt: skip
    return found


def log(steps=40, level=0.8, penalty=False, diverges=False):
    rows = []
    for i in range(1, steps + 1):
        decay = float(np.exp(-i / 12))
        row = {"step": i, "epoch": i / steps, "loss": 0.3 + 0.4 * decay, "grad_norm": 1.0}
        row |= {"seconds": 2.5 * i, "train_accuracy": 0.5 + 0.3 * (1 - decay)}
        row |= {"penalty": 1e-4 * i} if penalty else {}
        if i % 10 == 0:
            row |= {"validation_accuracy": level - 0.3 * decay, "validation_loss": 0.4 + decay}
        rows.append(row)
    if diverges:
        rows = [*rows[: steps // 2], {"step": steps // 2 + 1, "loss": None, "grad_norm": None}]
    return rows


def matrices(seed=0, layers=2, follow=0.0):
    """w and change of each matrix; `follow`: how much the change goes by w."""
    rng = np.random.default_rng([11, seed])
    found = []
    for layer in range(layers):
        for i, module in enumerate(MODULES):
            w = (1 + layer * len(MODULES) + i) / 21
            norm = follow * w + (1 - follow) * float(rng.random())
            found.append(
                {"name": f"layer.{layer}.{module}", "layer": layer, "module": module, "w": w,
                 "s": 3 * w, "shape": [4, 4], "norm": norm, "effective_rank": 1 + 3 * norm,
                 "rank": 8}
            )  # fmt: skip
    return found


def records(variant, seed, device="cpu"):
    """What training leaves beside its log."""
    made = matrices(seed, follow=0.9 if variant == "iw_lora" else 0.0)
    used = {
        "device": device,
        "seconds": SECONDS[variant] * (1 + 0.01 * (seed % 3)),
        "calibration_seconds": 1.0 if variant == "iw_lora" else None,
        "step_seconds": SECONDS[variant] / 100,
        "peak_memory_bytes": 2**30,
        "memory_kind": "rss",
        "trainable_parameters": 1000,
        "adapter_parameters": 800,
        "steps": 100,
        "matrices": [] if variant == "full" else
        [{k: m[k] for k in ("name", "layer", "module", "norm", "effective_rank", "rank")}
         for m in made],
    }  # fmt: skip
    importance = None
    if variant == "iw_lora":
        factors = [1 - m["w"] for m in made]
        importance = {
            "matrices": [{k: m[k] for k in ("name", "layer", "module", "s", "w", "shape")}
                         for m in made],
            "batches": 4, "normalise": "sum", "alpha": 1e-4, "beta": 1.0,
            "spread": {"min": min(factors), "max": max(factors), "cv": 0.1},
            "uniform": False, "seconds": 1.0,
        }  # fmt: skip
    return {"usage": used, "importance": importance}


def study(n=60, absent=None, settings=SETTINGS, skill=SKILL, shared=1, **axes):
    """Rows and evaluated points; absent: name → status of points without predictions."""
    made = grid(**axes)
    rows = rows_of(tuple(dict.fromkeys(values["task"] for _, values, _ in made)), n, shared)
    points = []
    for i, (name, values, section) in enumerate(made):
        status, variant = (absent or {}).get(name, "done"), values["variant"]
        point = PointResult(name, values, section, status, axes=AXES)
        if status != "missing":
            level = skill[variant] - 100 * values.get("alpha", 0)
            point.train_log = log(40, level, variant == "iw_lora", status == "diverged")
        if status == "done":
            own = [row for row in rows if row["task"] == values["task"]]
            point.records = records(variant, values["seed"])
            point.predictions = predictions(own, skill[variant], i)
            point.metrics = evaluate(own, point.predictions, settings)
        points.append(point)
    return rows, points
