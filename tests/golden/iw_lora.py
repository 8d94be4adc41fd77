"""MNLI (24 pairs of each of its two sets) and RTE (40 pairs), tuned in four ways by two seeds.

Pairs of MNLI share first sentences; times, memory and ranks of every run, on one machine but for
one; a method that is chosen on validation rows, another without all its tasks; a run that
diverged, one that was not trained, and one of the first ten rows.
"""

import math
from random import Random

from tests.golden.simulation import Outputs, Row, Simulation, dyadic, log, normal

LABELS = {"mnli": ("entailment", "neutral", "contradiction"),
          "rte": ("entailment", "not_entailment")}  # fmt: skip
SETS = {"mnli": {"matched": 24, "mismatched": 24}, "rte": {"dev": 40}}
SKILL = {"lora": 0.75, "adalora": 0.8, "iw_lora": 0.85, "short": 0.7}
SECONDS = {"lora": 100.0, "adalora": 128.0, "iw_lora": 108.0, "short": 20.0}
MATRICES = [(layer, module) for layer in range(2) for module in ("query", "key", "value")]


def pairs() -> list[Row]:
    """Test rows of both tasks; two pairs of MNLI share a premise."""
    return [
        {"id": f"{task}-{part}-{n}", "task": task, "set": part,
         "prompt": {"a": f"{part} premise {n // 2 if task == 'mnli' else n}", "b": "So it is."},
         "label": n % len(LABELS[task]), "target": LABELS[task][n % len(LABELS[task])]}
        for task, sets in SETS.items()
        for part, count in sets.items()
        for n in range(count)
    ]  # fmt: skip


def predicted(task: str, skill: float, seed: str) -> list[Row]:
    """Predictions of a task's rows; what is hard is hard for every point."""
    draw, found = Random(seed), []
    for row in (row for row in pairs() if row["task"] == task):
        hard = Random(row["id"]).random()
        right = (hard + draw.random()) / 2 < skill - 0.15
        names = LABELS[task]
        chosen = row["label"] if right else (row["label"] + draw.randrange(1, 3)) % len(names)
        scores = [-0.25 if label == chosen else -2.5 for label in range(len(names))]
        found.append({"id": row["id"], "prompt_hash": "0", "outputs": [names[chosen]],
                      "scores": scores})  # fmt: skip
    return found


def used(variant: str, task: str, seed: int, draw: Random) -> dict[str, Row]:
    """What training leaves beside its log."""
    weighted = variant == "iw_lora"
    w = [dyadic((1 + i + draw.random()) / 21, 256) for i in range(len(MATRICES))]
    names = [f"layer.{layer}.{module}" for layer, module in MATRICES]
    norms = [dyadic(one + draw.random() / (8 if weighted else 2)) for one in w]
    seconds = dyadic(SECONDS[variant] * (1 + draw.random() / 16))
    usage = {
        "device": "another GPU" if (variant, task, seed) == ("adalora", "rte", 43) else "a GPU",
        "seconds": seconds,
        "calibration_seconds": dyadic(1.0 + draw.random()) if weighted else None,
        "step_seconds": seconds / 128,
        "peak_memory_bytes": 2**30 + seed,
        "memory_kind": "cuda",
        "trainable_parameters": 1000,
        "adapter_parameters": 800,
        "steps": 100,
        "matrices": [
            {"name": name, "layer": layer, "module": module, "norm": norm,
             "effective_rank": 1 + 3 * norm, "rank": 8}
            for name, (layer, module), norm in zip(names, MATRICES, norms, strict=True)
        ],
    }  # fmt: skip
    if not weighted:
        return {"usage": usage}
    factors = [1 - one for one in w]
    importance = {
        "matrices": [
            {"name": name, "layer": layer, "module": module, "s": 3 * one, "w": one,
             "shape": [4, 4]}
            for name, (layer, module), one in zip(names, MATRICES, w, strict=True)
        ],
        "batches": 4,
        "normalise": "sum",
        "alpha": 1e-4,
        "beta": 1.0,
        "spread": {"min": min(factors), "max": max(factors), "cv": 0.125},
        "uniform": False,
        "seconds": usage["calibration_seconds"],
    }  # fmt: skip
    return {"usage": usage, "importance": importance}


def outputs_of(values: dict, name: str) -> Outputs | None:
    """See `Simulation`."""
    variant, task, seed = values["variant"], values["task"], values.get("seed", 42)
    alpha = values.get("alpha", 0)
    if (variant, task, seed) == ("adalora", "mnli", 43):
        return None
    draw = Random(f"run {name}")
    diverges = (variant, task, seed) == ("lora", "rte", 43)
    steps = log(12, draw, diverges=diverges)
    if diverges:
        return Outputs("diverged", steps)
    skill = SKILL[variant] - 60 * alpha
    for row in steps[3::4]:
        row["validation_accuracy"] = dyadic(skill + normal(draw, 0.05), 64)
        row["validation_loss"] = dyadic(math.exp(-skill))
    made = predicted(task, skill, f"{variant} {task} {alpha} {seed}")
    return Outputs(log=steps, predictions={"glue": made}, records=used(variant, task, seed, draw))


STUDY = Simulation(
    config="iw_lora",
    changes={
        "variants.short": {"train.tuning": "lora", "infer.rows": 10},
        "evaluate.resamples": 200,
        "grid": [
            {"variant": ["lora", "adalora"], "task": ["mnli", "rte"], "seed": [42, 43]},
            {"variant": "iw_lora", "task": ["mnli", "rte"], "alpha": 1e-4, "beta": 1,
             "normalise": "sum", "seed": [42, 43]},
            {"variant": "iw_lora", "task": ["mnli", "rte"], "alpha": 1e-3, "beta": 1,
             "normalise": "sum", "seed": 42},
            {"variant": "short", "task": "rte", "seed": 42},
        ],
    },
    rows={"glue": pairs()},
    outputs_of=outputs_of,
)  # fmt: skip
