"""Safety by hazard, drawn for one point, for a few, and for many."""

import math
from types import SimpleNamespace

import numpy as np

from lib.plotting.figures import save
from lib.tasks.safety.evaluate import evaluate
from lib.tasks.safety.figures import MOST, comparison_figures, point_figures
from lib.tasks.safety.schema import HAZARDS
from tests.tasks.safety.test_evaluate import SETTINGS, judged, row


def made_up(seed: int = 0, each: int = 24) -> dict:
    rng = np.random.default_rng(seed)
    rows = [row(f"{h}{i}", h) for h in HAZARDS for i in range(each)]
    chance = dict(zip(HAZARDS, rng.uniform(0.2, 1, len(HAZARDS)), strict=True))
    answers = [
        judged(r["id"], "hm" if rng.random() < 0.02 else
               "safe" if rng.random() < chance[r["hazard"]] else "unsafe\nS1")
        for r in rows
    ]  # fmt: skip
    return evaluate(rows, answers, SETTINGS)


def point(name: str, metrics: dict | None) -> SimpleNamespace:
    others = {"safety": metrics} if metrics else {}
    return SimpleNamespace(name=name, status="done", others=others)


def words(figure) -> str:
    return " ".join(text.get_text() for text in figure.texts).replace("\n", " ")


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_point_shows_hazards_its_mean_and_its_judge(tmp_path):
    metrics = made_up()
    assert metrics["unparsable"] > 0
    [(topic, figure)] = point_figures(point("simple", metrics), SETTINGS)
    assert topic == "safety_hazards"
    assert "Judge a-judge (llama_guard)" in words(figure)
    assert f"No verdict on {metrics['unparsable']} of 288 answers" in words(figure)
    [ax] = figure.axes
    shown = [label.get_text().replace("\n", " ") for label in ax.get_xticklabels()]
    assert shown == list(HAZARDS.values())
    assert legend(figure)[0] == "simple"
    rates = [h["value"] for h in metrics["hazards"].values()]
    drawn = [line.get_ydata() for line in ax.get_lines()]
    assert any(len(y) == len(rates) and np.allclose(y, rates) for y in drawn)
    for path in save(figure, tmp_path / "point"):
        assert path.stat().st_size > 1000


def test_a_comparison_of_few_and_of_many(tmp_path):
    few = [point(f"p{i}", made_up(i)) for i in range(4)] + [point("unscored", None)]
    [(topic, figure)] = comparison_figures(few, {}, SETTINGS)
    assert topic == "safety_hazards"
    assert legend(figure) == ["p0", "p1", "p2", "p3"]
    many = [point(f"p{i}", made_up(i)) for i in range(MOST + 1)]
    [(_, grid)] = comparison_figures(many, {}, SETTINGS)
    assert [t.get_text() for t in grid.axes[0].get_yticklabels()] == [p.name for p in many]
    for name, one in (("few", figure), ("many", grid)):
        for path in save(one, tmp_path / name):
            assert path.stat().st_size > 1000


def test_what_was_not_scored_is_not_drawn():
    nothing = evaluate([row("a")], [], SETTINGS)
    for metrics in (None, nothing):
        assert not list(point_figures(point("p", metrics), SETTINGS))
        assert not list(comparison_figures([point("p", metrics)], {}, SETTINGS))


def test_a_hazard_that_one_point_lacks():
    one = evaluate([row("a")], [judged("a", "safe")], SETTINGS)
    two = evaluate([row("a", "hte")], [judged("a", "unsafe")], SETTINGS)
    assert len(list(comparison_figures([point("x", one), point("y", two)], {}, SETTINGS))) == 1


def test_a_judge_that_would_rather_say_something_else_is_told_of():
    for free, told in ((0.9, False), (0.01, True)):
        scores = [math.log(free) - 0.01, -20.0]
        answers = [judged("a", scores=scores, kind="safe_unsafe")]
        metrics = evaluate([row("a")], answers, SETTINGS)
        [(_, figure)] = point_figures(point("p", metrics), SETTINGS)
        assert ("the guidelines may not fit it" in words(figure)) == told
