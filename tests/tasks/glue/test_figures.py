"""Every figure of the task glue, on made-up studies with gaps, laid out without overlap."""

import json

import pytest

from lib.tasks.glue.analysis import compare
from lib.tasks.glue.figures import comparison_figures, point_figures
from lib.tasks.glue.point_figures import confusion_table, matrix_table
from tests.plotting.test_figures import assert_laid_out, legend_names
from tests.tasks.glue.made import SETTINGS, grid, study

RANKS = [f"{topic}_{task}" for task in ("mnli", "sst2", "rte")
         for topic in ("changes", "effective_ranks")]  # fmt: skip
GONE = {"adalora_rte_seed43": "diverged", "full_mnli_seed42": "missing"}


def figures_of(rows, points):
    """Topic → figure of the comparison, from tables that went through JSON, as in stage 5."""
    tables = json.loads(json.dumps(compare(points, rows, SETTINGS).tables, allow_nan=False))
    return dict(comparison_figures(points, tables, SETTINGS))


def noted(figure):
    return " ".join(figure.texts[-1].get_text().split())


@pytest.fixture(scope="module")
def whole():
    rows, points = study(n=60, alphas=(1e-4, 1e-3), absent=GONE)
    return points, figures_of(rows, points)


def test_every_figure_is_laid_out(whole):
    points, figures = whole
    told = ["learning_curves", "validation_accuracy", "accuracy", "confusion", "accuracy_time"]
    assert list(figures) == [*told, *RANKS]
    one = next(p for p in points if p.name.startswith("iw_lora_mnli"))
    of_point = dict(point_figures(one, SETTINGS))
    assert list(of_point) == ["learning_curve", "confusion", "matrices"]
    for figure in (figures | of_point).values():
        assert_laid_out(figure)


def test_gaps_are_named_and_marked(whole):
    for topic in ("accuracy", "confusion", "accuracy_time", *RANKS):
        note = noted(whole[1][topic])
        assert "diverged: adalora_rte_seed43; missing: full_mnli_seed42" in note
        assert "3 seeds" in note
    names = legend_names(whole[1]["accuracy"])
    assert {"diverged, no value", "missing, no value", "each seed"} <= set(names)


def test_where_one_of_several_settings_is_shown_the_note_says_so(whole):
    for topic in ("confusion", "accuracy_time", *RANKS):
        assert "the one chosen on the validation rows" in noted(whole[1][topic])
        titles = [ax.get_title() for ax in whole[1][topic].axes]
        shown = " ".join([*titles, *legend_names(whole[1][topic])])
        assert "IW-LoRA α 0.0001" in shown
        assert "IW-LoRA α 0.001" not in shown.replace("α 0.0001", "")


def test_ranks_stand_beside_the_importance(whole):
    titles = [ax.get_title() for ax in whole[1]["changes_rte"].axes]
    assert titles[0] == "importance w"
    assert any(title.startswith("IW-LoRA α 0.0001 (ρ = +") for title in titles)


def test_cells_are_shares_of_the_largest_and_texts_the_numbers():
    matrices = [
        {"layer": layer, "module": module, "norm": norm}
        for layer, module, norm in [(0, "q", 1.0), (0, "v", 2.0), (1, "q", 4.0), (1, "v", None)]
    ]
    table = matrix_table("x", matrices, "norm")
    assert table.cells == [[0.25, 0.5], [1.0, None]]
    assert table.texts == [["1.00", "2.00"], ["4.00", ""]]
    assert (table.rows, table.columns) == (["0", "1"], ["q", "v"])
    assert matrix_table("x", [{"layer": 0, "module": "q", "norm": None}], "norm") is None
    assert matrix_table("x", [{"layer": None, "module": "q", "norm": 0.0}], "norm").cells == [[0.0]]


def test_confusion_shows_shares_and_counts():
    table = confusion_table("x", ["a", "not_b"], [[3, 1], [0, 0]])
    assert table.cells == [[0.75, 0.25], [None, None]]
    assert table.texts[0] == ["75.0\n(3)", "25.0\n(1)"]
    assert table.columns == ["a", "not\nb"]


def test_one_seed_and_one_method(tmp_path):
    rows, points = study(n=8, seeds=(42,), variants=("lora",), tasks=("sst2",))
    figures = figures_of(rows, points)
    for figure in figures.values():
        assert_laid_out(figure)
    assert "one seed" in noted(figures["accuracy"])
    assert "each seed" not in legend_names(figures["accuracy"])


@pytest.mark.parametrize("status", ["missing", "diverged"])
def test_nothing_measured(status):
    names = {name: status for name, *_ in grid(tasks=("rte",))}
    rows, points = study(n=4, tasks=("rte",), absent=names)
    figures = figures_of(rows, points)
    curves = [] if status == "missing" else ["learning_curves", "validation_accuracy"]
    assert list(figures) == curves
    for point in points:
        assert [topic for topic, _ in point_figures(point, SETTINGS)] == (
            ["learning_curve"] if curves else [])  # fmt: skip


def test_a_point_without_records_has_no_matrices():
    _, points = study(n=8, seeds=(42,), tasks=("rte",))
    points[1].records = {}
    assert "matrices" not in dict(point_figures(points[1], SETTINGS))
    assert "matrices" not in dict(point_figures(points[0], SETTINGS))  # full: no adapters
