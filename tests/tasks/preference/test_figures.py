"""Every figure of the preference task, on made-up studies with gaps, laid out without overlap."""

import json

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from lib.tasks.preference.analysis import compare
from lib.tasks.preference.figures import comparison_figures, loss_figure, point_figures
from tests.plotting.test_figures import assert_laid_out, legend_names, texts
from tests.tasks.preference.made import BETAS, SEEDS, SETTINGS, TAUS, log, study

CURVES = ["learning_curves", "validation_accuracy"]
ACCURACY = ["accuracy", "heatmap_accuracy", "seeds_accuracy"]
RATED = ["mt_bench", "heatmap_mt_bench", "seeds_mt_bench"]
GONE = {
    **{f"dpo_beta0.01_seed{seed}": "diverged" for seed in SEEDS},
    "discopop_beta2.5_seed42": "diverged",
    "td_dpo_beta0.5_tau1_seed43": "missing",
}


def figures_of(rows, points, **more):
    """Topic → figure of the comparison, from tables that went through JSON, as in stage 5."""
    tables = json.loads(json.dumps(compare(points, rows, SETTINGS).tables, allow_nan=False))
    return dict(comparison_figures(points, tables | more, SETTINGS))


def noted(figure):
    return " ".join(figure.texts[-1].get_text().split())


@pytest.fixture(scope="module")
def grid():
    rows, points = study(n=80, rated=True, absent=GONE)
    return points, figures_of(rows, points, loss_curves=loss_table())


def loss_table():
    margin = np.linspace(-4, 4, 9)
    lines = []
    for beta in BETAS:
        for name in ("dpo", "discopop"):
            loss = np.log1p(np.exp(-beta * margin)).tolist()
            slope = (-beta / (1 + np.exp(beta * margin))).tolist()
            lines.append({"label": f"{name} beta={beta:g}", "loss": loss, "gradient": slope})
    lines[0]["loss"][2] = None
    for tau in TAUS:
        loss = np.log1p(np.exp(-margin / tau)).tolist()
        lines.append({"label": f"td_dpo tau={tau:g}", "loss": loss, "gradient": loss})
    return {"margin": margin.tolist(), "lines": lines}


def test_every_figure_of_the_grid_is_laid_out(grid):
    figures = grid[1]
    assert list(figures) == ["losses", *CURVES, *ACCURACY, *RATED, "method_differences"]
    for figure in figures.values():
        assert_laid_out(figure)


def test_gaps_are_named_and_marked(grid):
    for topic in (*ACCURACY, *RATED):
        note = noted(grid[1][topic])
        assert "diverged: dpo_beta0.01_seed42" in note
        assert "missing: td_dpo_beta0.5_tau1_seed43" in note
        assert "3 seeds" in note
    for topic in ("accuracy", "seeds_accuracy", "mt_bench"):
        assert {"diverged, no value", "missing, no value"} <= set(legend_names(grid[1][topic]))
    for topic in CURVES:
        assert "diverged, no value" in legend_names(grid[1][topic])
        assert "Without such numbers: 1 of 60 points." in noted(grid[1][topic])
    assert "not measurable" in texts(grid[1]["method_differences"])


def test_accuracy_over_beta(grid):
    (ax,) = grid[1]["accuracy"].axes
    assert ax.get_xscale() == "log"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.01", "0.05", "0.5", "2.5"]
    names = legend_names(grid[1]["accuracy"])
    methods = ["DPO", "DiscoPOP", "TD-DPO τ 0.5", "TD-DPO τ 1", "TD-DPO τ 2"]
    assert names[:6] == [*methods, "each seed"]
    assert any("response (" in name for name in names)
    joined = [line for line in ax.get_lines() if len(line.get_xdata()) == 4]
    looks = {(line.get_marker(), str(line.get_linestyle()), line.get_color()) for line in joined}
    assert len(looks) == 5


def test_heatmap_holds_means_over_seeds(grid):
    points, figures = grid
    shown = texts(figures["heatmap_accuracy"])
    assert "diverged" in shown
    assert any("(2/3)" in text for text in shown)
    values = [p.metrics["metrics"]["accuracy"]["value"] for p in points[3:6]]
    expected = f"{100 * np.mean(values):.1f}\n± {100 * np.std(values, ddof=1):.1f}"
    assert expected in shown
    columns = [t.get_text() for t in figures["heatmap_accuracy"].axes[0].get_xticklabels()]
    assert columns == ["DPO", "DiscoPOP", "TD-DPO\nτ 0.5", "TD-DPO\nτ 1", "TD-DPO\nτ 2"]
    bar = figures["heatmap_mt_bench"].axes[1]
    assert bar.get_ylabel() == "MT-Bench mean (of 10)"
    FigureCanvasAgg(figures["heatmap_mt_bench"]).draw()
    assert all(float(t.get_text()) <= 10 for t in bar.get_yticklabels() if t.get_text())


def test_mt_bench_names_its_judge(grid):
    for topic in RATED:
        assert "judge: judge-1" in noted(grid[1][topic])
        assert "0 judgements without one" in noted(grid[1][topic])


def test_one_seed_has_no_dots_and_its_interval_in_the_heatmap():
    rows, points = study(n=60, seeds=(42,))
    figures = figures_of(rows, points)
    assert list(figures) == [*CURVES, *ACCURACY, "method_differences"]
    assert "each seed" not in legend_names(figures["accuracy"])
    assert any("\n[" in text for text in texts(figures["heatmap_accuracy"]))
    assert "one seed" in noted(figures["accuracy"])
    for figure in figures.values():
        assert_laid_out(figure)


@pytest.mark.parametrize(
    "chosen", [["dpo_beta0.05_seed42"], ["td_dpo_beta2.5_tau2_seed44", "dpo_beta2.5_seed44"]]
)
def test_any_subset(chosen):
    rows, points = study(n=20, rated=True)
    figures = figures_of(rows, [p for p in points if p.name in chosen])
    assert list(figures)[:8] == [*CURVES, *ACCURACY, *RATED]
    for figure in figures.values():
        FigureCanvasAgg(figure).draw()


def test_beta_zero_and_nothing_measured():
    rows, points = study(n=20, betas=(0.0, 0.3), taus=(1.0,), seeds=(1,))
    figures = figures_of(rows, points)
    labels = [label.get_text() for label in figures["accuracy"].axes[0].get_xticklabels()]
    assert labels == ["0", "0.3"]
    for point in points:
        point.status, point.metrics, point.predictions = "diverged", None, None
    assert list(figures_of(rows, points)) == CURVES
    assert figures_of(rows, []) == {}


def test_figures_of_a_point():
    _, points = study(
        n=60, betas=(0.05,), seeds=(42,), absent={"discopop_beta0.05_seed42": "diverged"}
    )
    made = dict(point_figures(points[-1], SETTINGS))
    assert list(made) == ["learning_curve", "margins"]
    for figure in made.values():
        assert_laid_out(figure)
        assert points[-1].name in figure.texts[0].get_text()
    titles = [ax.get_title() for ax in made["learning_curve"].axes]
    assert titles == ["loss", "terms of the loss", "accuracy"]
    assert "validation pairs" in legend_names(made["learning_curve"])
    bars = made["margins"].axes[0].patches
    assert 0.9 < sum(bar.get_height() for bar in bars) <= 1
    ((topic, diverged),) = point_figures(points[1], SETTINGS)
    assert topic == "learning_curve"
    assert "(diverged)" in diverged.texts[0].get_text()
    assert "diverged, no value" in legend_names(diverged)


@pytest.mark.parametrize(
    "rows",
    [
        log(1),
        log(3, validation=False),
        log(400),
        log(20, diverges=True),
        [{"step": 1, "loss": None}],
        [{"step": 1, "loss": 0.7, "regulariser": None, "margin_loss": 0.7}],
        [{"event": "end"}],
    ],
)
def test_learning_curves_of_odd_logs(rows):
    _, (point, *_) = study(n=4, betas=(0.05,), seeds=(42,))
    point.train_log, point.status = rows, "diverged"
    for _, figure in point_figures(point, SETTINGS):
        FigureCanvasAgg(figure).draw()


def test_margins_of_a_model_that_did_not_move():
    _, (point, *_) = study(n=6, betas=(0.05,), seeds=(42,))
    for prediction in point.predictions:
        prediction["scores"] = prediction["reference"]
    figure = dict(point_figures(point, SETTINGS))["margins"]
    FigureCanvasAgg(figure).draw()


def test_losses_one_panel_a_group():
    figure = loss_figure(loss_table())
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == ["DPO", "DiscoPOP", "TD-DPO"] * 2
    assert legend_names(figure) == [*(f"β {b:g}" for b in BETAS), *(f"τ {t:g}" for t in TAUS)]
    assert_laid_out(figure)
    assert figure.axes[0].get_ylabel() == "loss (nats)"
    line = figure.axes[0].get_lines()[0]
    assert np.isnan(line.get_ydata()[2])


def test_a_loss_without_a_key_of_its_margin_in_its_unit():
    lines = [{"label": "ipo ", "unit": "(nats/token)²", "loss": [4, 1, 0], "gradient": [1, 1, 1]}]
    figure = loss_figure({"margin": [-1, 0, 1], "lines": lines})
    loss, gradient = figure.axes
    assert loss.get_title() == "IPO"
    assert loss.get_ylabel() == "loss ((nats/token)²)"
    assert gradient.get_ylabel() == "gradient ((nats/token)² per nat)"


def test_a_beta_looks_the_same_in_every_panel_of_the_losses():
    table = loss_table()
    table["lines"] = [line for line in table["lines"] if line["label"] != "dpo beta=0.05"]
    left, right = loss_figure(table).axes[:2]
    assert left.get_lines()[1].get_color() == right.get_lines()[2].get_color()
