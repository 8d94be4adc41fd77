"""What the figures of templated problems show."""

import json

import pytest

from lib.tasks.symbolic.analysis import compare
from lib.tasks.symbolic.figures import MOST, comparison_figures, point_figures
from tests.tasks.symbolic.simulated import JUDGE, SETTINGS, drawn, measured, rows, study

CHANCE = {"in_distribution": 0.6, "same_templates": 0.5, "new_templates": 0.4}


def of(points, test):
    tables = json.loads(json.dumps(compare(points, test, SETTINGS).tables))
    return dict(comparison_figures(points, tables, SETTINGS))


def texts(figure):
    """Everything that is written in a figure, in one line."""
    found = [text.get_text() for text in figure.texts]
    for ax in figure.axes:
        found += [ax.get_xlabel(), ax.get_ylabel(), ax.get_title()]
        found += [tick.get_text() for tick in (*ax.get_xticklabels(), *ax.get_yticklabels())]
        found += [text.get_text() for text in ax.texts]
    for legend in figure.legends:
        found += [text.get_text() for text in legend.get_texts()]
    return " ".join(" ".join(found).split())


@pytest.fixture(scope="module")
def figures():
    test, points = study(8)
    return of(points, test), points


def test_every_figure_is_there_with_its_units(figures):
    assert list(figures[0]) == ["transfer", "differences", "votes", "unique", "rewards",
                                "learning_curves"]  # fmt: skip
    for topic, figure in figures[0].items():
        assert all(ax.get_ylabel() or ax.get_yticklabels() for ax in figure.axes), topic
        if topic != "learning_curves":
            assert "8 in distribution, 8 GSM8K, same templates, 8 new templates" in texts(figure)
            assert "Without a value: diverged: sft_1_lr1; missing: sft_1_lr2." in texts(figure)


def test_transfer_has_both_sets_with_crosses(figures):
    figure, points = figures[0]["transfer"], figures[1]
    assert len(figure.axes) == 2
    ax = figure.axes[1]
    assert ax.get_ylabel() == "accuracy, new templates (%)"
    sets = points[1].metrics["sets"]
    place = tuple(sets[s]["accuracy"]["value"] for s in ("in_distribution", "new_templates"))
    shown = {(round(x, 9), round(y, 9)) for line in ax.lines
             for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)}  # fmt: skip
    assert tuple(round(value, 9) for value in place) in shown
    for word in ("base (small)", "tuned (large)", "beside tuned points: learning_rate"):
        assert word in texts(figure)
    spans = [segment for c in ax.collections for segment in c.get_segments()]
    assert len(spans) == 2 * 6  # a cross for each measured point


def test_votes_have_every_strategy_and_the_greedy_line(figures):
    figure, points = figures[0]["votes"], figures[1]
    assert len(figure.axes) == 6
    for word in ("pass@n", "(ceiling)", "best of n by reward", "majority of n", "greedy answer",
                 "vote weighted by reward"):  # fmt: skip
        assert word in texts(figure)
    found = points[0].metrics["sets"]["all"]["votes"]["pass"]["subsets"]
    lines = [line.get_ydata() for line in figure.axes[0].lines]
    assert [found[n]["value"] for n in "1248"] in [list(y) for y in lines]


def test_votes_of_many_points_are_a_heatmap():
    test = rows(3)
    points = [measured(f"base_{i}", test, drawn(test, CHANCE, seed=i), variant="base", seed=i)
              for i in range(MOST + 1)]  # fmt: skip
    figure = of(points, test)["votes"]
    assert f"base_{MOST}" in [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert "pass@n" in texts(figure)


def test_without_rewards_their_figures_are_left_out():
    test, points = study(3, judge=None)
    found = of(points, test)
    assert list(found) == ["transfer", "differences", "votes", "unique", "learning_curves"]
    assert "best of n" not in texts(found["votes"])
    of_point = dict(point_figures(points[1], SETTINGS))
    assert list(of_point) == ["learning_curve", "votes", "unique"]
    assert "Without rewards: no best and no weighted." in texts(of_point["votes"])


def test_without_samples_and_without_a_home_set():
    test, points = study(3, samples=0)
    assert list(of(points, test)) == ["transfer", "differences", "learning_curves"]
    assert list(dict(point_figures(points[1], SETTINGS))) == ["learning_curve"]
    only = rows(3, ("new_templates",))
    alone = measured("base", only, drawn(only, CHANCE), variant="base", seed=1)
    assert list(of([alone], only)) == ["votes", "unique", "rewards"]
    assert of(points[-1:], test) == {}


def test_figures_of_a_point(figures):
    point = figures[1][1]
    found = dict(point_figures(point, SETTINGS))
    assert list(found) == ["learning_curve", "votes", "unique", "rewards"]
    for topic in ("votes", "unique", "rewards"):
        assert len(found[topic].axes) == 4, topic
        assert "new templates (8)" in texts(found[topic])
    assert JUDGE in texts(found["rewards"])
    unique = point.metrics["sets"]["all"]["unique"]["questions"]
    heights = [bar.get_height() for bar in found["unique"].axes[3].patches]
    assert heights == [count / 24 for count in unique.values()]
    assert dict(point_figures(figures[1][-1], SETTINGS)) == {}


def test_a_set_without_a_right_sample_has_no_curve_of_them():
    test = rows(3)
    point = measured("base", test, drawn(test, dict.fromkeys(CHANCE, -9.0)), variant="base", seed=1)
    figure = dict(point_figures(point, SETTINGS))["rewards"]
    assert "right samples" not in texts(figure).split("Rewards of")[0]
    assert all(len(ax.lines) == 1 for ax in figure.axes)
    assert "AUC 0" not in texts(figure)
