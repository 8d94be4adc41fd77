"""Learning curves: what is finite is drawn, and where a run diverged is marked."""

import pytest

from lib.config.tasks import PointResult
from lib.plotting.curves import curve, diverged_at, learning_curve, learning_curves


def point(log, status="done", **values):
    found = PointResult("a_point", values, None, status, axes={})
    found.train_log = log
    return found


def test_a_curve_holds_what_is_finite():
    log = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": None}, {"validation_loss": 1.5, "step": 2},
           {"step": 3, "loss": float("inf")}, {"loss": 1.0}]  # fmt: skip
    assert curve(point(log)) == ([1], [2.0])
    assert curve(point(log), "validation_loss") == ([2], [1.5])
    assert curve(point(None)) == ([], [])


@pytest.mark.parametrize(
    ("log", "status", "expected"),
    [
        ([{"step": 1, "loss": 2.0}, {"step": 2, "loss": None}], "done", 2),
        ([{"step": 5, "loss": 2.0}], "diverged", 5),
        ([{"step": 5, "loss": 2.0}], "done", None),
        ([], "diverged", 0),
    ],
)
def test_a_diverged_run_is_marked(log, status, expected):
    assert diverged_at(point(log, status)) == expected


def test_curves_have_a_panel_a_variant_and_say_what_diverged():
    log = [{"step": step, "loss": 1 / step} for step in range(1, 60)]
    points = [
        point(log, variant="sft", seed=1),
        point([{"step": 1, "loss": None}], "diverged", variant="sft", seed=2),
        point(log, variant="dpo"),
        point(None, "missing", variant="base"),
    ]
    figure = learning_curves(points)
    assert [ax.get_title() for ax in figure.axes] == ["sft", "dpo"]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["seed 1", "seed 2", "training loss", "diverged, no value"]
    assert max(len(line.get_xdata()) for line in figure.axes[0].lines) <= 40
    (ax,) = learning_curve(points[0]).axes
    assert len(ax.lines) == 2  # each step, and means over runs of steps
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("optimizer step", "loss (nats a token)")
