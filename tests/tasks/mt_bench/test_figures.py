"""The figure of a point's ratings, drawn."""

from types import SimpleNamespace

import numpy as np

from lib.plotting.figures import save
from lib.tasks.mt_bench.evaluate import evaluate
from lib.tasks.mt_bench.figures import categories_figure, comparison_figures, point_figures
from lib.tasks.mt_bench.schema import TEMPERATURES
from tests.tasks.mt_bench.test_evaluate import SETTINGS, judged, row


def made_up() -> dict:
    rng = np.random.default_rng(1)
    rows = [row(f"{c}{i}", c) for c in TEMPERATURES for i in range(10)]
    answers = [judged(r["id"], *(f"[[{v}]]" for v in rng.integers(3, 13, 2))) for r in rows]
    return evaluate(rows, answers, SETTINGS)


def test_the_figure_shows_every_category_and_turn(tmp_path):
    metrics = made_up()
    assert metrics["parse_failures"] > 5
    figure = categories_figure("dpo_beta0.05_seed42", metrics)
    assert [line.get_label() for line in figure.legends[0].get_lines()][:2] == ["turn 1", "turn 2"]
    assert f"No rating for {metrics['parse_failures']} of 160" in "".join(
        text.get_text().replace("\n", " ") for text in figure.texts
    )
    for path in save(figure, tmp_path / "categories"):
        assert path.stat().st_size > 1000


def test_a_point_without_ratings_has_no_figure():
    point = SimpleNamespace(name="p")
    assert not list(point_figures(point, SETTINGS))
    for others in (None, {}, {"mt_bench": None}, {"mt_bench": evaluate([], [], SETTINGS)}):
        point.others = others
        assert not list(point_figures(point, SETTINGS))
    one = evaluate([row("a")], [judged("a", "[[5]]", "no")], SETTINGS)
    point.others = {"mt_bench": one}
    assert [topic for topic, _ in point_figures(point, SETTINGS)] == ["mt_bench_categories"]
    assert not list(comparison_figures([point], {}, SETTINGS))
