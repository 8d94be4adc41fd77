"""Made-up studies of preferences: points with predictions, logs and ratings."""

from types import SimpleNamespace

import numpy as np

from lib.analysis.paired import Measure
from lib.analysis.statistics import resample_counts
from lib.config.schema import Evaluate
from lib.config.tasks import PointResult
from lib.tasks.preference.evaluate import evaluate

BETAS = (0.01, 0.05, 0.5, 2.5)
TAUS = (0.5, 1.0, 2.0)
SEEDS = (42, 43, 44)
SETTINGS = Evaluate(baseline={"variant": "dpo", "beta": 0.05, "seed": 42}, resamples=200)
CATEGORIES = ("writing", "math", "coding", "stem")


def config(objective, beta, tau=1.0, seed=42, keep="last"):
    train = SimpleNamespace(objective=objective, beta=beta, tau=tau, seed=seed, keep=keep)
    return SimpleNamespace(train=train)


def prediction(number, scores, reference, lengths=(10, 10), prompt=None):
    return {
        "id": f"r{number}",
        "prompt_hash": prompt or f"h{number}",
        "outputs": [],
        "scores": list(scores) if scores else None,
        "reference": list(reference),
        "lengths": list(lengths),
    }


AXES = {"beta": "train.beta", "tau": "train.tau", "seed": "train.seed"}


def grid(betas=BETAS, taus=TAUS, seeds=SEEDS):
    """(name, values, config) of the 60 points, or fewer, in the order of the study."""
    found = []
    for variant in ("dpo", "discopop", "td_dpo"):
        for beta in betas:
            for tau in taus if variant == "td_dpo" else (None,):
                for seed in seeds:
                    values = {"variant": variant, "beta": beta, "seed": seed}
                    values |= {} if tau is None else {"tau": tau}
                    name = f"{variant}_beta{beta:g}" + (f"_tau{tau:g}" if tau else "")
                    found.append((f"{name}_seed{seed}", values, config(variant, beta, tau or 1.0)))
                    found[-1][2].train.seed = seed
    return found


def skill(variant, beta, tau):
    """Mean margin of a made-up method: DPO suffers at the ends of β, TD-DPO does not."""
    ends = abs(np.log10(beta / 0.1)) if beta else 2.0
    return {"dpo": 1.2 - 0.7 * ends, "discopop": 1.1 - 0.8 * ends}.get(variant, 1.0 - 0.1 * ends)


def pairs(n, margin, seed, prompts=None):
    """Predictions of n pairs whose mean margin is `margin`; rows are shared, seeds add noise."""
    shared, own = np.random.default_rng(7), np.random.default_rng([8, seed])
    reference = shared.normal(-60, 15, (n, 2))
    difficulty = shared.normal(0, 1, n)
    lengths = shared.integers(5, 60, (n, 2))
    rho = margin + difficulty + 0.3 * own.normal(size=n)
    ratios = np.stack([rho / 2 - 1, -rho / 2 - 1], axis=1)
    return [
        prediction(
            i, (reference + ratios)[i].tolist(), reference[i].tolist(), lengths[i].tolist(),
            prompts and prompts[i],
        )
        for i in range(n)
    ]  # fmt: skip


def log(steps=40, margin=1.0, diverges=False, validation=True):
    rows = []
    for i in range(1, steps + 1):
        decay = float(np.exp(-i / 12))
        row = {"step": i, "epoch": i / steps, "loss": 0.2 + 0.5 * decay, "grad_norm": 1.0}
        row |= {"margin_loss": 0.2 + 0.4 * decay, "regulariser": 0.1 * (1 - decay)}
        row |= {"train_accuracy": 0.5 + 0.2 * (1 - decay) + 0.05 * (i % 2)}
        if validation and i % 10 == 0:
            row |= {"validation_accuracy": float(0.5 + 0.1 * margin * (1 - decay))}
            row |= {"validation_loss": 0.3 + 0.4 * decay}
        rows.append(row)
    if diverges:
        rows = [*rows[: steps // 2], {"step": steps // 2 + 1, "loss": None, "grad_norm": None}]
    return rows


def ratings(mean, seed, questions=16, failures=0, judge="judge-1"):
    """Metrics of MT-Bench as its task writes them."""
    rng = np.random.default_rng([9, seed])
    hard = np.random.default_rng(10).normal(0, 1.5, questions)
    found = np.clip(np.rint(mean + hard[:, None] + rng.normal(0, 1, (questions, 2))), 1, 10)
    table = {str(80 + q): [float(a), float(b)] for q, (a, b) in enumerate(found)}
    for q in list(table)[:failures]:
        table[q][0] = None
    known = [v for pair in table.values() for v in pair if v is not None]
    return {
        "mean": float(np.mean(known)),
        "turn1": float(np.mean([p[0] for p in table.values() if p[0] is not None])),
        "turn2": float(np.mean([p[1] for p in table.values()])),
        "categories": {c: {"mean": mean, "n": questions // 2} for c in CATEGORIES},
        "n_judged": len(known),
        "parse_failures": failures,
        "unjudged": 0,
        "bounds": [(sum(known) + failures * end) / (len(known) + failures) for end in (1.0, 10.0)],
        "intervals": {"mean": [float(mean) - 0.5, float(mean) + 0.5]},
        "judge": judge,
        "prompts_hash": "abc",
        "questions": table,
    }


def study(n=120, absent=None, rated=False, settings=SETTINGS, **axes):
    """Rows and evaluated points; absent: name → status of points without predictions."""
    rows = [{"id": f"r{i}", "source": "ab"[i % 2]} for i in range(n)]
    points = []
    for i, (name, values, made) in enumerate(grid(**axes)):
        status = (absent or {}).get(name, "done")
        point = PointResult(name, values, made, status, axes=AXES)
        margin = skill(values["variant"], values["beta"], values.get("tau"))
        if status != "missing":
            point.train_log = log(margin=margin, diverges=status == "diverged")
        if status == "done":
            point.predictions = pairs(n, margin, i)
            point.metrics = evaluate(rows, point.predictions, settings)
            if rated:
                point.others = {"mt_bench": ratings(5 + margin, i)}
        points.append(point)
    return rows, points


def measure(values, resamples=500, unit=0.5, clusters=None):
    """One number an item of each named point."""
    n = len(next(iter(values.values())))
    counts = resample_counts(n, resamples, 0, clusters)
    clusters = clusters or tuple(map(str, range(n)))
    return Measure({k: np.array(v, float) for k, v in values.items()}, counts, clusters, unit)
