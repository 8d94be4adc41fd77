"""Made-up GLUE studies in memory: rows, graded predictions, records of training."""

from pathlib import Path

import numpy as np

from lib.analysis.engine import Answers, analyse
from lib.config.load import load_study
from lib.config.tasks import PointResult
from lib.tasks.glue.table import GLUE

PATH = Path(__file__).parents[3] / "configs" / "iw_lora.yaml"
TASKS, SEEDS = ("mnli", "sst2", "rte"), (42, 43, 44)
# variant → chance of a right answer, seconds of training
SKILL = {"full": 0.8, "lora": 0.8, "adalora": 0.84, "iw_lora": 0.84}
SECONDS = {"full": 200.0, "lora": 100.0, "adalora": 130.0, "iw_lora": 104.0}
MODULES = ("query", "key", "value")


def grid(tasks=TASKS, seeds=SEEDS, variants=tuple(SKILL), alphas=("1e-4",)) -> str:
    """An override of the study's grid."""
    shared = f"task: [{', '.join(tasks)}], seed: [{', '.join(map(str, seeds))}]"
    own = {"iw_lora": f", alpha: [{', '.join(alphas)}], beta: 1, normalise: sum"}
    blocks = [f"{{variant: {variant}, {shared}{own.get(variant, '')}}}" for variant in variants]
    return f"grid=[{', '.join(blocks)}]"


def rows_of(task, n=60, shared=1):
    """Test rows of a task, n of each dev set; `shared`: how many pairs have one first sentence."""
    glue = GLUE[task]
    return [
        {"id": f"{task}-{part}-{i}", "task": task, "set": part, "label": i % len(glue.labels),
         "prompt": {"a": f"a{i // shared}", "b": None if task == "sst2" else f"b{i}"},
         "target": glue.labels[i % len(glue.labels)]}
        for part in glue.dev
        for i in range(n)
    ]  # fmt: skip


def predictions(rows, skill, seed):
    """Graded predictions: what is hard is hard for all, a seed adds noise of its own."""
    hard = np.random.default_rng(7).normal(size=len(rows))
    own = np.random.default_rng([8, seed]).normal(size=len(rows))
    bound = np.quantile(np.random.default_rng(0).normal(size=4000), skill) * np.sqrt(1.25)
    found = []
    for row, right in zip(rows, hard + 0.5 * own < bound, strict=True):
        k = len(GLUE[row["task"]].labels)
        predicted = row["label"] if right else (row["label"] + 1) % k
        found.append({"id": row["id"], "predicted": predicted, "label": row["label"],
                      "correct": bool(right)})  # fmt: skip
    return found


def records(variant, seed):
    """What training leaves beside its log; changes follow w for the weighted method alone."""
    rng = np.random.default_rng([11, seed])
    w = [(1 + i) / 21 for i in range(2 * len(MODULES))]
    norms = [0.9 * one + 0.1 * rng.random() if variant == "iw_lora" else rng.random() for one in w]
    names = [(f"layer.{layer}.{m}", layer, m) for layer in range(2) for m in MODULES]
    matrices = [
        {"name": name, "layer": layer, "module": module, "norm": float(norm),
         "effective_rank": 1 + 3 * float(norm), "rank": 8}
        for (name, layer, module), norm in zip(names, norms, strict=True)
    ]  # fmt: skip
    usage = {"device": "a GPU", "seconds": SECONDS[variant] * (1 + 0.01 * (seed % 3)),
             "calibration_seconds": 1.0 if variant == "iw_lora" else None,
             "step_seconds": SECONDS[variant] / 100, "steps": 100,
             "peak_memory_bytes": 2**30, "trainable_parameters": 1000,
             "matrices": [] if variant == "full" else matrices}  # fmt: skip
    if variant != "iw_lora":
        return {"usage": usage}
    importance = {
        "matrices": [{"name": name, "w": one} for (name, *_), one in zip(names, w, strict=True)],
        "normalise": "sum", "uniform": seed == 42,
        "spread": {"min": 1 - max(w), "max": 1 - min(w), "cv": 0.1},
    }  # fmt: skip
    return {"usage": usage, "importance": importance}


def study(n=60, absent=None, skill=SKILL, shared=1, overrides=(), **axes) -> Answers:
    """All tables of a study. absent: name of a point → its status, and it has no predictions."""
    loaded = load_study(PATH, ["evaluate.resamples=200", grid(**axes), *overrides])
    tasks = dict.fromkeys(point.config.data.task for point in loaded.points())
    rows = {task: rows_of(task, n, shared) for task in tasks}
    results = []
    for i, point in enumerate(loaded.points()):
        status, variant = (absent or {}).get(point.name, "done"), point.values["variant"]
        result = PointResult(point.name, point.values, point.config, status, axes=loaded.axes)
        if status == "done":
            result.records = records(variant, point.config.train.seed)
            result.predictions = predictions(rows[point.config.data.task], skill[variant], i)
            result.train_log = [{"step": 1, "loss": 0.5, "validation_accuracy": skill[variant]}]
        results.append(result)
    every = [row for of_task in rows.values() for row in of_task]
    return analyse(loaded, loaded.points(), {"glue": every}, {"glue": results})
