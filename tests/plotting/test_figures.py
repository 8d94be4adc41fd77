"""The shapes of figure: what they show of gaps and missing points, their layout, their files."""

import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from PIL import Image

from lib.plotting.figures import heatmap, intervals, panels, save
from lib.plotting.shapes import Panel, Series, Style, Table, category, ordinal, thin


def test_panels_share_a_scale_that_flattens_none_of_them():
    def limits(*tops):
        drawn = [Panel("", "step", "loss", [Series("a", [1, 2], [0.0, top])]) for top in tops]
        return [ax.get_ylim() for ax in panels(drawn, "Loss").axes]

    assert len(set(limits(1.0, 3.0))) == 1
    assert len(set(limits(0.2, 120.0))) == 2


def lightness(color):
    red, green, blue = to_rgb(color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def texts(figure):
    """Every text in the figure, drawn or not."""
    found = [text for ax in figure.axes for text in ax.texts] + figure.texts
    return [text.get_text() for text in found]


def legend_names(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def boxes(figure):
    """Extents of the texts and axes that must not cover each other, by what they are."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    found = {
        f"text {t.get_text()[:20]}": t.get_window_extent(renderer)
        for t in figure.texts
        if t.get_text()
    }
    for legend in figure.legends:
        found["legend"] = legend.get_window_extent(renderer)
    for i, ax in enumerate(figure.axes):
        found[f"axes {i}"] = ax.get_tightbbox(renderer)
    return found, figure.bbox


def assert_laid_out(figure):
    """Nothing leaves the page, and heading, axes, legend and note lie apart."""
    found, page = boxes(figure)
    for name, box in found.items():
        assert box.x0 >= page.x0 - 1, f"{name} leaves the page on the left"
        assert box.x1 <= page.x1 + 1, f"{name} leaves the page on the right"
        assert box.y0 >= page.y0 - 1, f"{name} leaves the page below"
        assert box.y1 <= page.y1 + 1, f"{name} leaves the page above"
    for (a, one), (b, other) in combinations(found.items(), 2):
        wide = min(one.x1, other.x1) - max(one.x0, other.x0)
        high = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert min(wide, high) < 1.5, f"{a} covers {b}"


def line_panel(**more):
    series = [
        Series(
            "1:2",
            [1, 2, 4],
            [0.2, None, 0.6],
            [0.1, None, 0.5],
            [0.3, None, 0.7],
            style=ordinal(0, 2),
        ),
        Series(
            "1:4",
            [2],
            [0.4],
            [0.3],
            [0.5],
            style=ordinal(1, 2),
            absent=[(4, "diverged"), (8, "missing")],
        ),
    ]
    return Panel("accept", "γ (×)", "accuracy (%)", series, "y", **more)


def test_ordered_styles_rise_in_lightness_and_differ_in_marker_and_dash():
    styles = [ordinal(i, 4) for i in range(4)]
    light = [lightness(style.color) for style in styles]
    assert light == sorted(light)
    assert min(b - a for a, b in zip(light, light[1:], strict=False)) > 0.1
    assert len({style.marker for style in styles}) == len({str(s.dash) for s in styles}) == 4


def test_the_first_two_categories_differ_in_grey():
    one, other = category(0), category(1)
    assert abs(lightness(one.color) - lightness(other.color)) > 0.2
    assert one.filled != other.filled


def test_thin_keeps_means():
    assert thin([1, 2, 3, 4, 5], [10, 20, 30, 40, 50], 3) == ([1.5, 3.5, 5], [15, 35, 50])
    assert thin([1, 2], [3, 4], 5) == ([1, 2], [3, 4])
    assert thin([], [], 5) == ([], [])


def test_panels_show_gaps_missing_points_and_reference_lines():
    panel = line_panel(log2=True, xticks={1: "1", 2: "2", 4: "4"}, levels={"aim": [0.3, 0.7]})
    figure = panels([panel], "Accuracy", "12 papers.")
    (ax,) = figure.axes
    drawn = ax.get_lines()[2]  # after the two reference lines
    assert list(drawn.get_ydata())[0::2] == [0.2, 0.6]
    assert drawn.get_ydata()[1] != drawn.get_ydata()[1]  # not a number: no marker, no line
    expected = ["1:2", "1:4", "aim", "diverged, no value", "no value"]
    assert legend_names(figure) == expected
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "2", "4"]
    assert ax.get_xscale() == "log"
    assert {"Accuracy", "12 papers."} <= set(texts(figure))
    assert_laid_out(figure)


def test_rates_are_shown_in_percent():
    ax = panels([line_panel(ylim=(0, 1))], "Accuracy").axes[0]
    assert ax.yaxis.get_major_formatter()(0.25) == "25"
    assert ax.yaxis.get_major_formatter()(-0.5) == "−50"


def test_panels_of_one_quantity_share_its_limits():
    low = Panel("", "x", "accuracy", [Series("a", [0, 1], [0.1, 0.2])])
    high = Panel("", "x", "accuracy", [Series("a", [0, 1], [0.8, 0.9])])
    other = Panel("", "x", "loss", [Series("a", [0, 1], [5, 6])])
    a, b, c = panels([low, high, other], "Three").axes
    assert a.get_ylim() == b.get_ylim() != c.get_ylim()
    assert a.get_ylim()[0] < 0.1 < 0.9 < a.get_ylim()[1]


def test_identity_covers_both_axes():
    panel = Panel(
        "",
        "expected",
        "measured",
        [Series("a", [0.1, 0.2], [0.6, 0.7], joined=False)],
        identity=True,
    )
    figure = panels([panel], "Identity")
    ax = figure.axes[0]
    assert ax.get_xlim() == ax.get_ylim()
    assert legend_names(figure) == ["a", "y = x"]


def test_texts_lie_beside_their_points_and_apart():
    places = [(0.1, 0.1), (0.11, 0.11), (0.12, 0.1), (0.5, 0.5)]
    series = Series(
        "a",
        [x for x, _ in places],
        [y for _, y in places],
        joined=False,
        texts=["2", "4", "8", "16"],
    )
    panel = Panel("", "x", "y", [series], xlim=(0, 1), ylim=(0, 1))
    figure = panels([panel], "Texts")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = figure.axes[0].texts
    assert [text.get_text() for text in drawn] == ["2", "4", "8", "16"]
    extents = [text.get_window_extent(canvas.get_renderer()) for text in drawn]
    for one, other in combinations(extents, 2):
        wide = min(one.x1, other.x1) - max(one.x0, other.x0)
        high = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert min(wide, high) < 2


def test_texts_that_would_only_clutter_are_left_out():
    same = Series("a", [0.5] * 60, [0.5] * 60, joined=False, texts=["16"] * 60)
    many = Series("a", list(range(101)), [0.5] * 101, joined=False, texts=["2"] * 101)
    assert 2 < len(panels([Panel("", "x", "y", [same])], "Same").axes[0].texts) < 40
    assert len(panels([Panel("", "x", "y", [many])], "Many").axes[0].texts) == 0


def test_many_panels_wrap_with_titles_and_a_long_legend():
    series = [
        Series(f"accepts : rejects 1:{i}", [1, 2], [i, i + 1], style=ordinal(i, 11))
        for i in range(11)
    ]
    drawn = [Panel(f"variant {i}", "γ", "loss", series) for i in range(5)]
    long = "A note that goes on and on, " * 12
    figure = panels(drawn, "A heading that is much too long for a single line " * 3, long)
    assert len(figure.axes) == 5
    assert_laid_out(figure)


def test_ticks_of_two_lines_keep_clear_of_the_legend():
    panel = line_panel(xticks={1: "2020\n12", 2: "2021\n30"})
    assert_laid_out(panels([panel, panel], "Years", "A note."))


def test_a_panel_without_a_single_value_is_drawn():
    empty = Series("1:2", [], [], [], [], absent=[(2, "missing")])
    figure = panels([Panel("", "γ", "accuracy", [empty], "y", log2=True)], "Nothing")
    assert legend_names(figure) == ["1:2", "no value"]
    FigureCanvasAgg(figure).draw()


def test_heatmap_writes_numbers_and_names_what_is_missing():
    cells = [[0.25, "missing"], ["diverged", None]]
    figure = heatmap(
        [Table("accept", ["1:2", "1:4"], ["2", "4"], cells)],
        "Accuracy",
        "γ",
        "ratio",
        "accuracy (%)",
        "Note.",
    )
    ax, bar = figure.axes
    assert [text.get_text() for text in ax.texts] == ["25", "missing", "diverged", "–"]
    assert [patch.get_hatch() for patch in ax.patches] == [None, "////", "////"]
    assert bar.get_ylabel() == "accuracy (%)"
    assert_laid_out(figure)


def test_heatmap_text_stands_out_from_its_cell():
    values = [[i / 10 for i in range(11)]]
    ax = heatmap([Table("", ["a"], list("abcdefghijk"), values)], "t", "x", "y").axes[0]
    for patch, text in zip(ax.patches, ax.texts, strict=True):
        contrast = abs(lightness(patch.get_facecolor()) - lightness(text.get_color()))
        assert contrast > 0.4


def test_heatmaps_share_one_scale():
    one = Table("a", ["1:2"], ["2"], [[0.2]])
    other = Table("b", ["1:2"], ["2"], [[0.8]])
    figure = heatmap([one, other], "Accuracy", "γ", "ratio", "accuracy (%)")
    assert figure.axes[2].get_ylim() == (0.2, 0.8)
    assert_laid_out(figure)


@pytest.mark.parametrize("cells", [[["missing"]], [[None]], [[0.5]]])
def test_heatmap_of_one_cell(cells):
    assert_laid_out(heatmap([Table("", ["1:2"], ["2"], cells)], "Heat", "γ", "ratio", "%"))


def test_intervals():
    names = ["accept_gamma2_ratio1-2_seed42", "b", "c", "d"]
    figure = intervals(
        names,
        [0.1, -0.2, None, 0.05],
        [0.05, -0.3, None, None],
        [0.2, 0.1, None, None],
        ["", "", "diverged", ""],
        "Difference",
        "difference (percentage points)",
        "Filled: without 0.",
    )
    (ax,) = figure.axes
    faces = [line.get_markerfacecolor() for line in ax.get_lines() if line.get_marker() == "o"]
    assert faces == ["black", "white", "white"]
    assert [text.get_text() for text in ax.texts] == ["diverged"]
    assert [label.get_text() for label in ax.get_yticklabels()] == names
    assert_laid_out(figure)


def test_save_writes_both_formats_whatever_dots_the_name_has(tmp_path):
    written = save(panels([line_panel()], "Accuracy"), tmp_path / "accept_gamma0.5_accuracy")
    assert [path.name for path in written] == [
        "accept_gamma0.5_accuracy.pdf",
        "accept_gamma0.5_accuracy.png",
    ]
    pdf = written[0].read_bytes()
    assert pdf.startswith(b"%PDF-")
    assert pdf.rstrip().endswith(b"%%EOF")
    with Image.open(written[1]) as image:
        assert image.width > 300
        assert len(image.convert("L").getcolors()) > 5
    assert len(list(tmp_path.iterdir())) == 2


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    first = [p.read_bytes() for p in save(panels([line_panel()], "A"), tmp_path / "a")]
    assert [p.read_bytes() for p in save(panels([line_panel()], "A"), tmp_path / "b")] == first


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    figure = panels(
        [
            line_panel(),
        ],
        "A",
    )
    (tmp_path / "a.pdf").write_text("old")

    def torn(file, **_):
        file.write(b"half")
        raise RuntimeError("no more")

    monkeypatch.setattr(figure, "savefig", torn)
    with pytest.raises(RuntimeError):
        save(figure, tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a.pdf"]
    assert (tmp_path / "a.pdf").read_text() == "old"


def test_settings_of_matplotlib_stay_as_they_are():
    import matplotlib

    before = dict(matplotlib.rcParams)
    panels([line_panel()], "A")
    assert dict(matplotlib.rcParams) == before


def test_no_pyplot():
    code = (
        "import sys, lib.plotting.figures; "
        "print('matplotlib.pyplot' in sys.modules, 'torch' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        text=True,
        capture_output=True,
        check=True,
    )
    assert ran.stdout.split() == ["False", "False"]


def test_style_of_points():
    plain = Series("a", [1], [1], style=Style("black", "s", "-", filled=False), joined=False)
    line = panels([Panel("", "x", "y", [plain])], "A").axes[0].get_lines()[0]
    assert (line.get_marker(), line.get_markerfacecolor(), line.get_linestyle()) == (
        "s",
        "white",
        "None",
    )


def test_heatmap_of_numbers_that_are_no_rates():
    table = Table("", ["a"], ["x\nτ 1", "y"], [[5.5, 7.0]], [["5.50", "7.00"]])
    figure = heatmap([table], "ratings", "method", "β", "mean (of 10)", "a note", percent=False)
    assert_laid_out(figure)
    labels = [t.get_text() for t in figure.axes[1].get_yticklabels()]
    assert "550" not in labels
    assert "6.0" in labels
