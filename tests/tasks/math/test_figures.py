"""What the figures of word problems show."""

import pytest

from lib.tasks.math.analysis import compare
from lib.tasks.math.figures import comparison_figures
from lib.tasks.math.point_figures import point_figures
from tests.tasks.math.made import SETTINGS, point, row, study


def drawn(points, rows):
    tables = compare(points, rows, SETTINGS).tables
    return dict(comparison_figures(points, tables, SETTINGS))


def texts(figure):
    """Everything that is written in a figure, in one line."""
    found = [text.get_text() for text in figure.texts]
    for ax in figure.axes:
        found += [ax.get_xlabel(), ax.get_ylabel(), ax.get_title()]
        found += [tick.get_text() for tick in ax.get_xticklabels()]
        found += [text.get_text() for text in ax.texts]
    for legend in figure.legends:
        found += [text.get_text() for text in legend.get_texts()]
    return " ".join(" ".join(found).split())


@pytest.fixture(scope="module")
def figures():
    rows, points = study()
    return drawn(points, rows)


def test_every_figure_is_there(figures):
    assert list(figures) == ["rates", "plane", "steps", "learning_curves"]
    for figure in figures.values():
        assert all(ax.get_ylabel() for ax in figure.axes)


def test_rates_have_intervals_thresholds_and_a_place_for_what_is_missing(figures):
    figure = figures["rates"]
    assert [ax.get_ylabel() for ax in figure.axes] == [
        "accuracy by the last number (%)",
        "answers judged safe (%)",
    ]
    said = texts(figure)
    for word in (
        "threshold",
        "accuracy by #### alone",
        "missing, no value",
        "judge: a judge",
        "not official grades",
    ):
        assert word in said
    assert "sandbox" not in said.split("Without a value")[0]
    dashed = [line for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    assert any(0.26 in list(line.get_ydata()) for line in dashed)
    heights = [seg[:, 1] for c in figure.axes[0].collections for seg in c.get_segments()]
    assert len(heights) == 4  # an interval for each measured point


def test_the_plane_has_both_rates(figures):
    (ax,) = figures["plane"].axes
    places = {(round(x, 3), round(y, 3)) for line in ax.lines
              for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)}  # fmt: skip
    assert {(0.6, 0.25), (0.2, 0.75), (0.25, 0.75), (0.3, 0.875), (0.26, 0.26)} == places


def test_without_a_judge_there_is_no_plane():
    rows, points = study(judge=None)
    found = drawn(points, rows)
    assert list(found) == ["rates", "steps", "learning_curves"]
    assert len(found["rates"].axes) == 1


def test_many_points_are_a_heatmap():
    rows = [row(n, 2 + n % 3) for n in range(12)]
    points = [point("base_shots3", "base", 3, rows, range(3), shots=3)]
    points += [point(f"simple_seed{n}", "simple", 3, rows, range(n), seed=n) for n in range(9)]
    figure = drawn(points, rows)["steps"]
    assert "simple_seed8" in [t.get_text() for t in figure.axes[0].get_yticklabels()]


def test_nothing_measured_draws_nothing():
    rows, points = study()
    assert drawn(points[-1:], rows) == {}


def test_figures_of_a_point():
    rows, points = study()
    found = dict(point_figures(points[2], SETTINGS))
    assert list(found) == ["learning_curve", "steps"]
    assert "20 test problems" in texts(found["steps"])
    assert dict(point_figures(points[-1], SETTINGS)) == {}
