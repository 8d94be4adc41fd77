"""How accept/reject decisions are analysed: outcomes, metrics, and what theory adds to them."""

from __future__ import annotations

from functools import partial
from typing import Any

from lib.config.metrics import Analysis, Metric
from lib.config.tasks import Lazy
from lib.tasks.decision.grading import outcomes


def metrics(eval_config: Any) -> tuple[Metric, ...]:
    """The metrics of decisions, the headline first."""
    ece = partial(Lazy("lib.tasks.decision.metrics:ece"), bins=eval_config.bins)
    ece_interval = partial(Lazy("lib.tasks.decision.metrics:ece_interval"), bins=eval_config.bins)
    return (
        Metric(name="parsed", label="Answers that could be parsed", needs=("parsed",)),
        Metric(name="accuracy", label="Accuracy", needs=("correct",)),
        Metric(name="precision", label="Precision of accepts", needs=("label",), among="accepted"),
        Metric(name="recall", label="Recall of accepts", needs=("accepted",), among="label"),
        Metric(name="f1", label="F1 of accepts", needs=("label", "accepted"), kind="statistic",
               fn=Lazy("lib.tasks.decision.metrics:f1")),
        Metric(name="acceptance_rate", label="Acceptance rate", needs=("accepted",),
               higher_is_better=None),
        Metric(name="actual_acceptance_rate", label="Accepts in the test set", needs=("label",),
               kind="exact", higher_is_better=None),
        Metric(name="auc", label="AUC", needs=("label", "log_odds"), kind="statistic",
               fn=Lazy("lib.tasks.decision.metrics:auc")),
        Metric(name="brier", label="Brier score", needs=("squared_error",), kind="mean",
               step=None, unit="", higher_is_better=False),
        Metric(name="ece", label="Calibration error", needs=("label", "p_accept"),
               kind="statistic", fn=ece, interval=ece_interval, higher_is_better=False),
    )  # fmt: skip


_LOW_HIGH = {"_low": "lower end of its interval", "_high": "upper end of it"}


def _bounded(name: str, text: str, unit: str = "") -> dict[str, str]:
    """A column and those of its interval."""
    suffix = f" ({unit})" if unit else ""
    return {name: text + suffix} | {
        f"{name}{end}": meaning + suffix for end, meaning in _LOW_HIGH.items()
    }


POINT = {"point": "name of the point"}
TABLES: dict[str, dict[str, str]] = {
    "theory": {
        **POINT,
        "delta": "expected shift of the scores (logits)",
        **_bounded("expected_acceptance", "accepts that theory expects", "share"),
        "acceptance": "accepts by the point's own scores (share)",
        **_bounded("acceptance_minus_expected", "the second minus the first", "share"),
        **_bounded("logit_shift", "mean shift of the scores", "logits"),
    },
    "control": {
        **POINT,
        "own_acceptance_rate": "accepts by the point's own scores (share)",
        "own_accuracy": "accuracy of the point's own scores (share)",
        "threshold": "of the baseline's scores, at which it accepts as many papers (logits)",
        "acceptance_rate": "share that the baseline accepts at that threshold",
        "accuracy": "of the baseline at that threshold",
        "f1": "of the baseline at that threshold",
        **_bounded("accuracy_difference", "accuracy of the point's scores minus that", "share"),
        **_bounded("f1_difference", "F1 of the point's scores minus that", "share"),
        "p": "exact two-sided test (McNemar's) of the difference in accuracy",
        "p_holm": "the same, adjusted by Holm over all points but the baseline",
    },
    "control_curve": {
        "acceptance_rate": "share that the baseline accepts, threshold moved",
        "accuracy": "accuracy of the baseline with a moved threshold",
        "low": "lower end of its interval",
        "high": "upper end of it",
    },
    "shift_line": {
        "seed": "seed whose points are fitted, or all",
        "points": "points that are fitted",
        "slope": "measured mean shift of the scores for each logit that theory expects",
        "low": "lower end of its interval; of all points over papers and seeds",
        "high": "upper end of it",
        "intercept": "of the line (logits)",
        "correlation": "Pearson's, of measured with expected shifts",
    },
    "trends": {
        "line": "values of the axes that the line's points share",
        "seed": "seed of the points",
        "weighted_class": "class whose loss γ multiplies",
        "levels": "levels of γ that are measured",
        "of": "levels of γ in the grid",
        "gammas": "the measured ones, ascending",
        "in_order": "neighbouring levels whose acceptance rates go the expected way",
        "equal": "neighbouring levels with equal rates",
        "reversed": "neighbouring levels whose rates go the other way",
        "reversed_clearly": "those of them whose paired interval excludes 0",
        "page": "Page's statistic of the papers' scores over the levels",
        "p": "its one-sided p-value",
        "method": "how the p-value was made: exact or normal",
        "why": "why there is none",
        "p_holm": "adjusted by Holm over all lines",
    },
    "equal_odds": {
        "offset": "shift of the optimal score from balanced training (logits)",
        "odds": "γ/k, or 1/(γk), of these settings",
        "settings": "settings that have it, and should agree",
        "which": "their labels",
        "acceptance_range": "largest minus smallest acceptance rate, of means over seeds",
        "logit_range": "largest minus smallest mean score (logits)",
    },
    "truth": {
        **POINT,
        "expected_acceptance": "accepts of a perfect learner at the point's offset (share)",
        "expected_accuracy": "accuracy of a perfect learner at that offset (share)",
        "correlation": "Pearson's, of the point's scores with the true log-odds",
        "bayes_accuracy": "of the sign of the true log-odds on these papers",
        "bayes_accuracy_on_average": "what that rule has on average",
    },
    "reliability": {
        **POINT,
        "low": "lower edge of the bin of P(accept)",
        "high": "upper edge",
        "n": "papers in the bin",
        "mean_p": "their mean P(accept)",
        "observed": "share of accepts among them",
        "observed_low": "lower end of its interval",
        "observed_high": "upper end of it",
    },
    "confusion": {
        **POINT,
        "actual": "decision on the paper",
        "answer": "decision in the answer, or unknown",
        "n": "papers",
        "share": "share of the row (share)",
    },
}

GAMMA, RATIO = "train.gamma", "data.ratio"
MARKS = {"color": "variant", "marker": RATIO, "label": GAMMA}
CELLS = {"x": GAMMA, "y": RATIO, "panel": "variant", "shared": "baseline"}
FIGURES: tuple[dict[str, Any], ...] = (
    {"lines": ["acceptance_rate", "accuracy"], "x": GAMMA, "panel": "variant", "color": RATIO,
     "shared": "baseline"},
    {"points": ["recall", "precision"], **MARKS, "name": "precision_recall"},
    {"heatmap": ["accuracy", "acceptance_rate", "f1", "precision", "recall"], **CELLS},
    {"points": ["theory.expected_acceptance", "theory.acceptance"], **MARKS, "identity": True,
     "name": "theory", "title": "Do class weights move acceptance as theory says?"},
    {"points": ["theory.delta", "theory.logit_shift"], **MARKS, "identity": True,
     "name": "theory_shift", "title": "Do class weights move scores as theory says?"},
    {"points": ["control.own_acceptance_rate", "control.own_accuracy"], **MARKS,
     "curve": "control_curve",
     "name": "control", "title": "Does a weight buy more than a moved threshold?"},
    {"forest": "control.accuracy_difference", "name": "control_difference",
     "title": "Accuracy minus that of the baseline with a moved threshold"},
    {"points": ["truth.expected_acceptance", "acceptance_rate"], **MARKS, "identity": True,
     "name": "truth", "title": "Measured beside the true log-odds of the synthetic corpus"},
    {"heatmap": ["acceptance_rate", "accuracy"], "x": "year", "y": "setting", "name": "by_year"},
    {"curves": "loss", "panel": "variant", "color": RATIO, "label": GAMMA,
     "name": "learning_curves"},
    {"curves": "loss", "each": "point", "name": "learning_curve"},
    {"heatmap": "confusion.share", "x": "answer", "y": "actual", "each": "point",
     "name": "confusion", "title": "Decisions, as shares of each actual decision"},
    {"reliability": "reliability", "each": "point", "name": "reliability"},
)  # fmt: skip

ANALYSIS = Analysis(
    outcomes=outcomes,
    metrics=metrics,
    slices=("year",),
    point_extras=Lazy("lib.tasks.decision.metrics:point_extras"),
    tables=TABLES,
    by_point=("theory", "control", "truth"),
    extras=Lazy("lib.tasks.decision.theory:extras"),
    axes={"train.gamma": "loss weight γ (×)", "data.ratio": "accepts : rejects"},
    figures=FIGURES,
    findings="decision.md.jinja",
)
