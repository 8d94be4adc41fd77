"""What is measured of preferences: metrics, and the columns of further tables."""

from __future__ import annotations

from typing import Any

from lib.config.metrics import Metric

# Wins of the chosen response, ties ½: name → label.
WINS = {
    "accuracy": "Accuracy of the implicit reward",
    "ranking_sum": "Ranking by summed log-probability",
    "ranking_mean": "Ranking by log-probability a token",
    "reference_ranking_sum": "Ranking by the base model, summed",
    "reference_ranking_mean": "Ranking by the base model, a token",
    "longer_wins": "Longer response wins",
    "shorter_wins": "Shorter response wins",
}
# Means of log-ratios to the base model: name → (label, unit).
NATS = {
    "margin": ("Margin ρ of chosen over rejected", "nats"),
    "kl_chosen": ("Log-ratio to the base model, chosen", "nats"),
    "kl_rejected": ("Log-ratio to the base model, rejected", "nats"),
    "kl_chosen_per_token": ("Log-ratio a token, chosen", "nats a token"),
    "kl_rejected_per_token": ("Log-ratio a token, rejected", "nats a token"),
}
METRICS = (
    *(Metric(name=name, label=label, needs=(name,), step=0.5, secondary=name != "accuracy")
      for name, label in WINS.items()),
    *(Metric(name=name, label=label, needs=(name,), kind="mean", unit=unit, step=None,
             bounds=(None, None), higher_is_better=None, secondary=True)
      for name, (label, unit) in NATS.items()),
    Metric(name="scored", label="Pairs with finite log-probabilities", needs=("scored",),
           secondary=True),
)  # fmt: skip

# Further tables: name → column → what it means.
TABLES = {
    "variance": {
        "task": "task of the metric",
        "set": "test set",
        "metric": "accuracy or MT-Bench score",
        "line": "settings that differ in β alone, or all lines of a variant",
        "levels": "β of the line that have a value",
        "sd": "standard deviation over β of the means over seeds",
        "variance": "its square",
        "variance_low": "lower end of the interval over items",
        "variance_high": "upper end of it",
        "against": "line of the baseline",
        "reduction": "1 − variance / variance of that line, both over `shared`",
        "reduction_low": "lower end of the interval over items",
        "reduction_high": "upper end of it",
        "shared": "β at which all of these lines have a value",
        "left_out": "β at which one of them has none",
        "reason": "why there is no reduction, or no interval of it",
    },
    "margins": {
        "point": "name of the point",
        "share": "test pairs with at most this margin (share)",
        "margin": "margin ρ of chosen over rejected (nats)",
    },
    "losses": {
        "variant": "variant of the study",
        "parameter": "the key that scales its margin, with its value",
        "unit": "unit of its loss",
        "margin": "margin over a reference that prefers neither (nats)",
        "loss": "loss of a pair, without regularisers",
        "gradient": "gradient of the loss by the margin",
    },
}

BETA, TAU = "train.beta", "train.tau"  # keys of axes


def metrics(eval_config: Any) -> tuple[Metric, ...]:
    """The metrics of preference pairs, the headline first."""
    return METRICS
