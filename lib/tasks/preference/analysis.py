"""How preferences are analysed: what is compared, and what is drawn."""

from __future__ import annotations

from lib.config.metrics import Analysis
from lib.config.tasks import Lazy
from lib.tasks.preference.metrics import BETA, TABLES, TAU, metrics

ANALYSIS = Analysis(
    outcomes=Lazy("lib.tasks.preference.outcomes:outcomes"),
    metrics=metrics,
    slices=("source",),
    pairs=Lazy("lib.tasks.preference.extras:method_pairs"),
    point_extras=Lazy("lib.tasks.preference.outcomes:point_extras"),
    tables=TABLES,
    extras=Lazy("lib.tasks.preference.extras:extras"),
    axes={BETA: "β", TAU: "τ"},
    figures=(
        {"curves": "losses.loss", "x": "margin", "panel": "variant", "color": "parameter",
         "title": "The losses over the margin", "name": "losses"},
        {"curves": "losses.gradient", "x": "margin", "panel": "variant", "color": "parameter",
         "title": "Gradients of the losses over the margin", "name": "gradients"},
        {"lines": "accuracy", "x": BETA, "color": "variant", "level": 0.5},
        {"heatmap": "accuracy", "x": "variant", "y": BETA},
        {"forest": "accuracy"},
        {"curves": "loss", "panel": "variant", "color": BETA, "label": TAU,
         "title": "Training loss of every point", "name": "learning_curves"},
        {"curves": "validation_accuracy", "panel": "variant", "color": BETA, "label": TAU,
         "title": "Validation accuracy of every point", "name": "validation_accuracy"},
        {"curves": "loss", "each": "point", "title": "Training loss", "name": "learning_curve"},
        {"curves": "validation_accuracy", "each": "point", "title": "Validation accuracy",
         "name": "validation_curve"},
        {"curves": "margins.share", "x": "margin", "each": "point",
         "title": "Margins of the test pairs", "name": "margins"},
    ),
    findings="preference.md.jinja",
)  # fmt: skip
