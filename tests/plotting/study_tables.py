"""Tables of a small study as stage 4 writes them, made up: for tests of figures and findings."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from lib.plotting.view import View

GRID = [
    ("baseline", "1:2", 1.0),
    *product(["accept", "reject"], ["1:2"], [2.0, 4.0, 8.0]),
    *product(["accept", "reject"], ["1:3", "1:4", "1:8"], [2.0, 4.0]),
]
METRICS = {
    "accuracy": ("Accuracy", "share"),
    "parsed": ("Answers that could be parsed", "share"),
    "acceptance_rate": ("Acceptance rate", "share"),
    "precision": ("Precision of accepts", "share"),
    "recall": ("Recall of accepts", "share"),
    "theory.expected_acceptance": ("acceptance rate that theory expects", "share"),
    "theory.delta": ("shift that theory expects", "logits"),
    "training.seconds": ("Training time", "seconds"),
}


def _value(variant: str, ratio: str, gamma: float) -> float:
    """An acceptance rate that moves as theory says."""
    k, sign = float(ratio[2:]), {"accept": 1, "reject": -1}.get(variant, 0)
    return 1 / (1 + np.exp(-(sign * np.log(gamma) - np.log(k / 2))))


def study_view(seeds: tuple[int, ...] = (1, 2), broken: bool = True) -> View:
    """19 settings; with `broken` one point has diverged, one is missing and one is partial."""
    generator = np.random.default_rng(3)
    points: list[dict[str, Any]] = []
    estimates: list[dict[str, Any]] = []
    theory, curves, bins = [], [], []
    for (variant, ratio, gamma), seed in product(GRID, seeds):
        setting = f"{variant} {ratio} gamma{gamma:g}"
        name = f"{setting.replace(' ', '_').replace(':', 'to')}_seed{seed}"
        at = {"variant": variant, "ratio": ratio, "gamma": gamma, "seed": seed}
        status = "done"
        if broken:
            index = len(points)
            status = {5: "diverged", 8: "missing", 12: "partial"}.get(index, "done")
        points.append({"point": name, "setting": setting, "status": status, **at,
                       "index": len(points), "seconds": 300.0 + len(points),
                       "baseline": "yes" if variant == "baseline" else ""})  # fmt: skip
        steps = 20 if status != "diverged" else 8
        losses = 0.7 * np.exp(-np.arange(steps) / 10) + 0.02 * generator.random(steps)
        curves += [{"point": name, "step": 10 * i, "metric": "loss", "value": loss}
                   for i, loss in enumerate(losses)]  # fmt: skip
        if status == "diverged":
            curves.append({"point": name, "step": 80, "metric": "loss", "value": np.nan})
        if status not in ("done", "partial"):
            continue
        rate = _value(variant, ratio, gamma) + 0.02 * generator.standard_normal()
        values = {"accuracy": 0.7 - (rate - 0.5) ** 2, "acceptance_rate": rate,
                  "recall": min(1, 1.2 * rate), "precision": 1 - 0.5 * rate}  # fmt: skip
        theory.append({"point": name, "expected_acceptance": _value(variant, ratio, gamma),
                       "delta": np.log(gamma)})  # fmt: skip
        edges = np.linspace(0, 1, 6)
        bins.append(pd.DataFrame({
            "point": name, "low": edges[:-1], "high": edges[1:], "n": 100,
            "mean_p": edges[:-1] + 0.1, "observed": edges[:-1] + 0.12,
            "observed_low": edges[:-1] + 0.05, "observed_high": edges[:-1] + 0.18}))  # fmt: skip
        estimates += [{"of": "point", "name": name, "metric": metric, "value": value, "seeds": 1,
                       "low": value - 0.03, "high": value + 0.03, "n": 500, "status": status}
                      for metric, value in values.items()]  # fmt: skip
    frame = pd.DataFrame(estimates).merge(
        pd.DataFrame(points)[["point", "setting"]], left_on="name", right_on="point"
    )
    whole = frame[frame.status == "done"].groupby(["setting", "metric"], sort=False)
    means = whole["value"].agg(["mean", "std", "size"]).reset_index()
    means = pd.DataFrame({"of": "setting", "name": means.setting, "metric": means.metric,
                          "value": means["mean"], "low": means["mean"] - 0.025, "n": 500,
                          "high": means["mean"] + 0.025, "sd": means["std"],
                          "seeds": means["size"]})  # fmt: skip
    both = pd.concat([frame.drop(columns=["status", "point", "setting"]), means])
    both = both.assign(task="decision", set="test", slice="")
    base = GRID[0]
    base_name = f"{base[0]} {base[1]} gamma1"
    accuracy = means[(means.metric == "accuracy")].set_index("name").value
    contrasts = pd.DataFrame(
        {"family": "baseline", "task": "decision", "set": "test", "metric": "accuracy",
         "a": name, "b": base_name, "difference": value - accuracy[base_name],
         "low": value - accuracy[base_name] - 0.02, "high": value - accuracy[base_name] + 0.02,
         "p": 0.01, "p_holm": 0.04 if abs(value - accuracy[base_name]) > 0.02 else 0.5, "n": 500,
         "seeds": len(seeds), "mde": 0.03}
        for name, value in accuracy.items() if name != base_name
    )  # fmt: skip
    moved = np.linspace(0, 1, 30)
    control = pd.DataFrame({"acceptance_rate": moved, "accuracy": 0.7 - (moved - 0.5) ** 2,
                            "low": 0.68 - (moved - 0.5) ** 2,
                            "high": 0.72 - (moved - 0.5) ** 2})  # fmt: skip
    cost = dict.fromkeys(("gpu_hours", "peak_memory_gb", "diverged_at"), np.nan)
    tables = {
        "points": pd.DataFrame(points).assign(**cost), "estimates": both, "contrasts": contrasts,
        "theory": pd.DataFrame(theory), "curves": pd.DataFrame(curves), "control_curve": control,
        "reliability": pd.concat(bins, ignore_index=True),
    }  # fmt: skip
    axes = ("ratio", "variant", "gamma", "seed")
    return View(tables=tables, axes=axes, metrics=METRICS, first="decision",
                axis_labels={"gamma": "loss weight γ (×)", "ratio": "accepts : rejects"},
)  # fmt: skip
