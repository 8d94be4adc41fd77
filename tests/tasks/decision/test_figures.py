"""Every figure of the decision task, on simulated studies with gaps, laid out without overlap."""

import json

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from lib.tasks.decision.analysis import compare
from lib.tasks.decision.evaluate import evaluate
from lib.tasks.decision.figures import comparison_figures, point_figures
from tests.plotting.test_figures import assert_laid_out, legend_names, texts
from tests.tasks.decision.test_evaluate import (
    CONFIGS,
    SETTINGS,
    log_of,
    study_points,
    write_study,
)

DEMO = str(CONFIGS / "demo.yaml")
ALWAYS = [
    "learning_curves",
    "acceptance_rate",
    "accuracy",
    "precision_recall",
    "heatmap_accuracy",
    "heatmap_acceptance_rate",
    "heatmap_f1",
    "heatmap_precision",
    "heatmap_recall",
]
AGAINST_BASELINE = ["theory", "control", "control_difference"]
GAPS = "No value: diverged: accept_gamma4_ratio1-8_seed42; missing: reject_gamma2_ratio1-3_seed42."


def figures_of(rows, points, settings=SETTINGS):
    """Topic → figure of the comparison, from tables that went through JSON, as in stage 5."""
    tables = json.loads(json.dumps(compare(points, rows, settings).tables))
    return dict(comparison_figures(points, tables, settings))


def noted(figure):
    """The note at the foot, its lines joined."""
    return " ".join(figure.texts[-1].get_text().split())


@pytest.fixture(scope="module")
def grid():
    """The 19 points with years, one missing and one diverged."""
    rows, points = study_points(
        n=400, years=(2019, 2020, 2021, 2022), absent={9: "missing", 16: "diverged"}
    )
    return points, figures_of(rows, points)


def test_every_figure_of_the_grid_is_laid_out(grid):
    points, figures = grid
    assert list(figures) == [*ALWAYS, *AGAINST_BASELINE, "truth", "by_year"]
    for figure in figures.values():
        assert_laid_out(figure)


def test_missing_and_diverged_points_are_named_and_marked(grid):
    _, figures = grid
    for topic, figure in figures.items():
        if topic != "learning_curves":
            assert GAPS in noted(figure), topic
    for topic in ("acceptance_rate", "accuracy"):
        assert {"diverged, no value", "missing, no value"} <= set(legend_names(figures[topic]))
    assert {"missing", "diverged"} <= set(texts(figures["heatmap_f1"]))
    assert {"missing", "diverged"} <= set(texts(figures["control_difference"]))
    assert "diverged, no value" in legend_names(figures["learning_curves"])
    assert "Without a training log: 1 of 19 points." in noted(figures["learning_curves"])


def test_notes_say_how_many_papers_and_which_intervals(grid):
    for topic, figure in grid[1].items():
        if topic != "learning_curves":
            assert noted(figure).startswith("400 test papers; ")
            assert "95 %" in noted(figure), topic


def test_lines_over_gamma(grid):
    accept, reject = grid[1]["acceptance_rate"].axes
    assert (accept.get_title(), reject.get_title()) == ("accept", "reject")
    ticks = [label.get_text() for label in accept.get_xticklabels()]
    assert ticks == ["1", "2", "4", "8"]
    names = legend_names(grid[1]["acceptance_rate"])
    assert names[:4] == [f"accepts : rejects 1:{k}" for k in (2, 3, 4, 8)]


def test_heatmaps_hold_every_point_and_the_baseline_at_one(grid):
    points, figures = grid
    shown = texts(figures["heatmap_accuracy"])
    for point in points:
        if point.metrics:
            assert any(
                text.startswith(f"{100 * point.metrics['metrics']['accuracy']['value']:.1f}\n")
                for text in shown
            )
    accept = figures["heatmap_accuracy"].axes[0]
    first = accept.texts[0].get_text()
    baseline = points[0].metrics["metrics"]["accuracy"]["value"]
    assert first.startswith(f"{100 * baseline:.1f}")


def test_theory_shows_slope_and_identity(grid):
    figure = grid[1]["theory"]
    assert any(
        text.startswith("slope 1.0") or text.startswith("slope 0.9") for text in texts(figure)
    )
    assert {"y = x", "least squares", "baseline 1:2", "reject 1:8"} <= set(legend_names(figure))


def test_figures_of_a_study_with_one_ratio():
    rows, points = study_points(DEMO, n=200)
    figures = figures_of(rows, points)
    assert list(figures) == [*ALWAYS, *AGAINST_BASELINE, "truth"]
    for figure in figures.values():
        assert_laid_out(figure)
        assert "No value" not in noted(figure)


def test_figures_of_a_point():
    rows, points = study_points(DEMO, n=200, absent={2: "diverged", 3: "missing"})
    points[1].predictions[0]["prediction"] = "unknown"
    points[1].metrics = evaluate(rows, points[1].predictions, SETTINGS)
    made = dict(point_figures(points[1], SETTINGS))
    assert list(made) == ["learning_curve", "confusion", "reliability"]
    for figure in made.values():
        assert_laid_out(figure)
        assert points[1].name in figure.texts[0].get_text()
    columns = [label.get_text() for label in made["confusion"].axes[0].get_xticklabels()]
    assert columns == ["accept", "reject", "unknown"]
    counts = points[1].metrics["confusion"]["accept"]
    assert texts(made["confusion"])[0].startswith(f"{counts['accept']}\n")
    assert any("AUC" in text for text in texts(made["reliability"]))
    ((topic, diverged),) = point_figures(points[2], SETTINGS)
    assert topic == "learning_curve"
    assert "(diverged)" in diverged.texts[0].get_text()
    assert "diverged, no value" in legend_names(diverged)
    assert list(point_figures(points[3], SETTINGS)) == []


@pytest.mark.parametrize(
    "log",
    [
        log_of(1),
        log_of(2, diverges=True),
        [{"step": 1, "loss": None}],
        [{"event": "end"}],
        log_of(3000),
    ],
)
def test_learning_curves_of_odd_logs(log):
    _, points = study_points(DEMO, n=4, absent={1: "diverged"})
    points[1].train_log = log
    for _, figure in point_figures(points[1], SETTINGS):
        FigureCanvasAgg(figure).draw()


@pytest.mark.parametrize("status", ["missing", "diverged"])
def test_without_the_baseline(status):
    rows, points = study_points(n=60, absent={0: status})
    figures = figures_of(rows, points)
    assert list(figures) == [*ALWAYS, "truth"]
    assert f"{status}, no value" in legend_names(figures["accuracy"])


def test_without_scores_or_predictions():
    rows, points = study_points(n=60, scored=False)
    assert list(figures_of(rows, points)) == [*ALWAYS, "truth"]
    rows, points = study_points(n=60, absent=dict.fromkeys(range(19), "missing"))
    assert figures_of(rows, points) == {}
    rows, points = study_points(n=60, absent=dict.fromkeys(range(19), "diverged"))
    assert list(figures_of(rows, points)) == ["learning_curves"]


@pytest.mark.parametrize(
    "grid",
    [
        [{"variant": "baseline"}],
        [{"variant": "baseline"}, {"variant": "accept", "gamma": 4}],
        [{"variant": "baseline"}, {"variant": "reject", "gamma": [2, 4], "ratio": ["1:2", "1:8"]}],
    ],
    ids=["baseline alone", "one gamma", "no accept variant"],
)
def test_small_grids(tmp_path, grid):
    rows, points = study_points(write_study(tmp_path, grid=grid), n=60)
    figures = figures_of(rows, points)
    assert list(figures) == [*ALWAYS, *AGAINST_BASELINE, "truth"]
    for topic in ("acceptance_rate", "heatmap_accuracy", "theory", "control_difference"):
        assert_laid_out(figures[topic])


def test_several_seeds_are_each_a_line_and_a_mean_in_the_heatmap(tmp_path):
    baseline = {"variant": "baseline", "seed": 1}
    path = write_study(
        tmp_path,
        evaluate={"baseline": baseline},
        grid=[
            {"variant": "baseline", "seed": [1, 2, 3]},
            {"variant": "accept", "gamma": [2, 4], "seed": [1, 2, 3]},
        ],
    )
    settings = SETTINGS.model_copy(update={"baseline": baseline})
    rows, points = study_points(path, n=100, absent={8: "diverged"})
    figures = figures_of(rows, points, settings)
    accept = figures["accuracy"].axes[0]
    drawn = [line for line in accept.get_lines() if line.get_marker() == "o"]
    assert [len(line.get_xdata()) for line in drawn] == [3, 3, 2]
    assert "± " in texts(figures["heatmap_accuracy"])[0]
    assert "(2/3)" in texts(figures["heatmap_accuracy"])[2]
    assert "mean ± sd over seeds" in noted(figures["heatmap_accuracy"])
    assert "3 seeds" in noted(figures["theory"])


def test_a_precision_that_is_undefined_is_said_to_be(tmp_path):
    rows, points = study_points(DEMO, n=60)
    points[6].predictions = [p | {"prediction": "reject"} for p in points[6].predictions]
    points[6].metrics = evaluate(rows, points[6].predictions, SETTINGS)
    figures = figures_of(rows, points)
    assert "undefined" in texts(figures["heatmap_precision"])
    assert f"no precision: {points[6].name}" in noted(figures["precision_recall"])
