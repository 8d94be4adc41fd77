import os
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lib.config.figures import Figure
from lib.plotting.captions import ended, inside
from lib.plotting.cells import limits
from lib.plotting.figures import save
from lib.plotting.frames import of_contrasts, of_metrics
from lib.plotting.specs import Job, draw, draw_files
from lib.plotting.view import broken, levels, short, with_words
from tests.plotting.study_tables import study_view
from tests.plotting.test_figures import assert_laid_out

LINES = Figure(kind="lines", metrics=("acceptance_rate",), x="gamma", panel="variant",
               color="ratio", shared="baseline", name="lines")  # fmt: skip


@pytest.fixture(scope="module")
def view():
    return study_view()


def drawn(view, figure):
    (one,) = draw(view, figure)
    return one


def texts(canvas):
    return " ".join(text.get_text() for text in canvas.findobj(lambda a: hasattr(a, "get_text")))


def test_lines_have_the_mean_of_a_setting_and_a_dot_a_seed(view):
    canvas = drawn(view, LINES).figure
    accept, reject = canvas.axes
    assert [ax.get_title() for ax in canvas.axes] == ["accept", "reject"]
    assert accept.get_xscale() == "log"
    assert accept.get_xlabel() == "loss weight γ (×)"
    lines = {line.get_label(): line for line in accept.lines if len(line.get_xdata()) == 4}
    frame = of_metrics(view, LINES)
    means = frame[(frame.of == "setting") & (frame.panel == "accept") & (frame.ratio == "1:2")]
    means = means.sort_values("gamma").value.to_numpy()
    assert len(means) == 4  # the baseline is γ = 1 of the line
    assert any(np.allclose(line.get_ydata(), means) for line in lines.values())
    dots = [line for line in accept.lines if line.get_markersize() < 3]
    seeds = frame[(frame.of == "point") & (frame.panel == "accept") & (frame.status == "done")]
    many = frame[(frame.of == "setting") & (frame.seeds > 1)].setting
    full = [line for line in dots if line.get_markerfacecolor() != "white"]
    assert sum(len(line.get_xdata()) for line in full) == seeds.setting.isin(many).sum()


def test_points_without_a_value_are_at_the_axis_and_named(view):
    canvas = drawn(view, LINES).figure
    at_axis = [line for ax in canvas.axes for line in ax.lines if list(line.get_ydata()) == [0]]
    assert sorted(line.get_marker() for line in at_axis) == ["o", "x"]  # missing, diverged
    assert re.search(
        r"No value: diverged: accept_1to2_gamma4_seed2; missing: reject", texts(canvas)
    )


def test_a_caption_states_the_finding_with_its_number(view):
    one = drawn(view, LINES)
    assert one.title == "Acceptance rate over loss weight γ"
    assert re.match(r"Acceptance rate runs from \d\.\d % \[.*\] \(reject 1:8 gamma4\)", one.caption)
    assert "accept: it rises in 4 of 4 lines (by" in one.caption
    assert "reject: it falls in 4 of 4 lines (by" in one.caption
    assert "percentage points on average" in one.caption
    forest = drawn(view, Figure(kind="forest", metrics=("accuracy",), name="f")).caption
    assert "18 settings higher" in forest
    assert "the largest difference is −" in forest


def test_the_baseline_alone_of_a_forest_is_left_out_and_the_other_side_is_turned(view):
    frame = of_contrasts(view, Figure(kind="forest", metrics=("accuracy",)))
    assert len(frame) == 18
    assert set(frame.b) == {"baseline 1:2 gamma1"}
    other = Figure(kind="forest", metrics=("accuracy",),
                   against={"variant": "accept", "gamma": 8.0})  # fmt: skip
    (row,) = of_contrasts(view, other).dropna(subset="difference").itertuples()
    given = frame[frame.a == "accept 1:2 gamma8"].iloc[0]
    assert (row.a, row.difference) == ("baseline 1:2 gamma1", -given.difference)
    assert (row.low, row.high) == (-given.high, -given.low)


@pytest.mark.parametrize(
    "figure",
    [
        Figure(kind="points", metrics=("recall", "precision"), color="variant", marker="ratio",
               label="gamma", name="points"),
        Figure(kind="points", metrics=("theory.expected_acceptance", "acceptance_rate"),
               color="variant", identity=True, name="theory"),
        Figure(kind="points", metrics=("acceptance_rate", "accuracy"), curve="control_curve",
               name="control"),
        Figure(kind="heatmap", metrics=("accuracy",), x="gamma", y="ratio", panel="variant",
               shared="baseline", name="heatmap"),
        Figure(kind="bars", metrics=("accuracy", "recall"), x="variant", color="metric",
               of={"gamma": [1.0, 2.0], "ratio": "1:2"}, name="bars"),
        Figure(kind="curves", metrics=("loss",), panel="variant", color="ratio", name="curves"),
        Figure(kind="reliability", metrics=("reliability",), of={"ratio": "1:3"}, name="bins"),
    ],
    ids=lambda figure: figure.name,
)  # fmt: skip
def test_every_kind_is_drawn_as_pdf_and_png(view, figure, tmp_path):
    one = drawn(view, figure)
    assert_laid_out(one.figure)
    written = save(one.figure, tmp_path / one.name)
    assert [path.suffix for path in written] == [".pdf", ".png"]
    assert one.caption.endswith(".")
    assert "nan" not in one.caption + texts(one.figure)
    assert "grid points" not in one.caption


def test_bars_of_several_metrics_are_told_apart(view):
    figure = Figure(kind="bars", metrics=("accuracy", "recall"), x="variant", color="metric",
                    of={"gamma": 2.0, "ratio": "1:2"}, name="bars")  # fmt: skip
    canvas = drawn(view, figure).figure
    assert {patch.get_hatch() for patch in canvas.axes[0].patches} == {"", "////"}


def test_a_metric_that_no_point_has_is_drawn_empty_and_says_so(view):
    one = drawn(view, Figure(kind="lines", metrics=("f1",), x="gamma", name="f1"))
    assert "no point has this number" in texts(one.figure)
    assert one.caption.startswith("No point has this number")


def test_a_figure_that_nobody_asked_for_is_not_drawn_empty(view):
    figure = Figure(kind="lines", metrics=("f1",), x="gamma", name="f1", default=True)
    assert not list(draw(view, figure))


def test_a_heatmap_explains_the_marks_that_it_has_alone(view):
    figure = Figure(kind="heatmap", metrics=("accuracy",), x="gamma", y="ratio", name="cells")
    canvas = drawn(view, figure).figure
    cells = " ".join(text.get_text() for ax in canvas.axes for text in ax.texts)
    note = " ".join(text.get_text() for text in canvas.texts)
    marks = {"±": "±: standard", "[": "[ ]: 95 %", "–": "–: not in", "(n": "n: rows"}
    assert {m for m, words in marks.items() if words in note} == {m for m in marks if m in cells}


def test_lines_of_a_tick_stay_and_long_ones_are_broken():
    assert broken("TD-DPO\nτ 0.5") == "TD-DPO\nτ 0.5"
    assert broken("same_templates") == "same\ntemplates"


def test_a_caption_says_a_title_once_and_ends_a_question_once(view):
    assert ended("Accuracy") == "Accuracy."
    assert ended("More than a threshold?") == "More than a threshold?"
    caption = drawn(view, Figure(kind="forest", metrics=("accuracy",), name="forest")).caption
    assert re.match(r"\d+ of \d+ settings higher and \d+ lower", caption)


def test_figures_of_one_point_need_something_to_show(view):
    curve = Figure(kind="curves", metrics=("loss",), each="point", name="curve")
    names = [name for name in view.points.point if list(draw(view, curve, name))]
    assert len(names) == len(view.points)
    bins = Figure(kind="reliability", metrics=("reliability",), each="point", name="bins")
    lost = [name for name in view.points.point if not list(draw(view, bins, name))]
    assert lost == list(view.points[view.points.status.isin(["diverged", "missing"])].point)


def test_a_colour_scale_does_not_stretch_small_differences():
    assert limits([0.700, 0.705], "share") == pytest.approx((0.6525, 0.7525))
    assert limits([0.995, 1.0], "share") == pytest.approx((0.9, 1.0))
    assert limits([0.2, 0.8], "share") == (0.2, 0.8)
    assert limits([7.0, 7.1], "points") == pytest.approx((6.695, 7.405))


def test_levels_have_the_order_of_their_sizes():
    assert levels(pd.Series([8.0, 1.0, 2.0])) == [1, 2, 8]
    assert levels(pd.Series(["1:10", "1:2", "1:10"])) == ["1:2", "1:10"]
    assert levels(pd.Series(["reject", "accept"])) == ["reject", "accept"]


def test_settings_are_called_by_their_axes_in_every_table(view):
    worded = with_words(view)
    assert worded.words("accept_1to2_gamma4_seed2") == "ratio 1:2 · accept · γ 4 · seed 2"
    settings = set(worded.points.setting)
    assert "ratio 1:2 · accept · γ 4" in settings
    assert set(worded.tables["contrasts"].a) < settings
    estimates = worded.tables["estimates"]
    assert set(estimates[estimates["of"] == "setting"]["name"]) <= settings
    assert set(estimates[estimates["of"] == "point"]["name"]) <= set(view.points.point)
    assert broken("ratio 1:2 · accept") == "ratio 1:2\naccept"


def test_settings_that_no_axis_tells_apart_keep_their_labels(view):
    alike = replace(view, tables={**view.tables, "points": view.points.assign(gamma=1.0)})
    assert with_words(alike) == alike


def test_values_of_axes_are_short():
    values = (0.0001, 0.00025, -5e-6, 0.001, 0.05, 0, 2, 1024.0, True)
    assert [short(v) for v in values] == [
        "1e-4", "2.5e-4", "-5e-6", "0.001", "0.05", "0", "2", "1024", "true"
    ]  # fmt: skip


def test_curves_of_a_further_table_are_named_by_panel_and_colour(view):
    rows = [{"variant": variant, "parameter": "β 0.1", "margin": x, "loss": slope * x}
            for variant, slope in (("dpo", 1.0), ("ipo", 2.0)) for x in (0, 1)]  # fmt: skip
    losses = replace(view, tables={**view.tables, "losses": pd.DataFrame(rows)})
    figure = Figure(kind="curves", metrics=("losses.loss",), x="margin", panel="variant",
                    color="parameter", name="losses")  # fmt: skip
    caption = drawn(losses, figure).caption
    assert "ends at 1 (DPO, β 0.1) to 2 (IPO, β 0.1)" in caption


def test_processes_draw_what_one_draws(view, tmp_path, monkeypatch):
    curve = Figure(kind="curves", metrics=("loss",), each="point", name="curve")
    names = list(view.points.point[:2])
    found = {}
    for cores in (1, 2):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=cores: set(range(n)))
        jobs = [Job([curve], f"{tmp_path}/{cores}_{name}_", name) for name in names]
        shown = [one for drawn in draw_files(view, jobs) for one in drawn]
        found[cores] = [(one.title, one.caption) for one in shown]
        assert [one.path for one in shown] == [f"{tmp_path}/{cores}_{n}_curve" for n in names]
    assert found[1] == found[2]
    for name in names:
        one, two = ((tmp_path / f"{n}_{name}_curve.png").read_bytes() for n in (1, 2))
        assert one == two


def test_claims_call_settings_and_points_as_everything_else_does(view):
    said = "0.1 (accept_1to2_gamma4_seed2 of 2); accept_1to2_gamma4_seed22 is another"
    claims = pd.DataFrame({"say": ["accept"], "number": [said], "needed": [np.nan]})
    worded = with_words(replace(view, tables={**view.tables, "claims": claims})).tables["claims"]
    other = "accept_1to2_gamma4_seed22 is another"
    assert worded.number[0] == f"0.1 (ratio 1:2 · accept · γ 4 · seed 2 of 2); {other}"
    assert worded.needed.isna().all()


def test_names_within_a_sentence_keep_their_acronyms():
    assert [inside(n) for n in ("Accuracy", "F1 of accepts", "MT-Bench score")] == [
        "accuracy", "F1 of accepts", "MT-Bench score"
    ]  # fmt: skip
