import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from lib.config.load import load_study
from lib.plotting.report import cost, missing, points_table, question, report
from lib.plotting.specs import Shown
from tests.plotting.study_tables import study_view

ROOT = Path(__file__).parents[2]
VOID = ("meta", "img", "input")


class Page(HTMLParser):
    """Tags and text of a page; a tag that is not closed in its turn is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def page(tmp_path):
    view = study_view()
    claims = pd.DataFrame(
        [{"claim": 1, "say": "a < b", "verdict": "undecided", "number": "0.1 [−0.1, 0.3]",
          "needed": "3 seeds", "changed": "yes"}]
    )  # fmt: skip
    (tmp_path / "comparison").mkdir()
    (tmp_path / "comparison" / "one.png").write_bytes(b"\x89PNG")
    shown = [
        Shown("one", f"{tmp_path}/comparison/one", "Accuracy <over> γ", "It is 61.3 % everywhere.")
    ]
    study = load_study(ROOT / "configs" / "weighted_loss.yaml", ["data.source=<x>"])
    records = {"one": {"git": {"commit": "0123456789abcdef", "dirty": True}, "device": "H100"}}
    view = replace(view, tables={**view.tables, "claims": claims})
    text = report(study, view, "- More <b>&</b> `more`.", shown, tmp_path, records, "2026-01-02")
    return Page(text), text


def test_the_report_is_one_file_without_a_network(page):
    parsed, text = page
    sources = [attrs.get("src", "") for tag, attrs in parsed.tags if tag == "img"]
    assert sources == ["data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()]
    assert not re.search(r"https?://|<link|@import|src=\"(?!data:)", text)
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in (
        parsed.tags
    )


def test_the_question_and_the_claims_come_first_and_what_was_given_is_text(page):
    parsed, _ = page
    heads = re.findall(r"^[A-Z].*$", parsed.text, re.M)
    order = ["Does weighting one decision", "Claims", "Findings", "Figures", "Points",
             "What is missing", "Cost and provenance", "Run it again"]  # fmt: skip
    places = [next(i for i, head in enumerate(heads) if head.startswith(one)) for one in order]
    assert places[0] < places[1]
    assert {"b", "x", "over"} & {tag for tag, _ in parsed.tags} == set()
    for text in ("a < b", "undecided", "3 seeds", "changed after the first run", "61.3 %", "<b>",
                 "0123456789ab with uncommitted changes", "data.source=<x>", "500", "1, 2",
                 "1 point diverged (index 5): accept_1to2_gamma4_seed2",
                 "stage5_visualize "):  # fmt: skip
        assert text in parsed.text


def test_pictures_tables_and_controls_have_names(page):
    parsed, _ = page
    assert all(attrs.get("alt") for tag, attrs in parsed.tags if tag == "img")
    labelled = {attrs["for"] for tag, attrs in parsed.tags if tag == "label"}
    assert {attrs["id"] for tag, attrs in parsed.tags if tag == "input"} == labelled
    scrolling = [a for t, a in parsed.tags if t == "div" and a.get("class") in ("scroll", "plot")]
    assert all("tabindex" in attrs and attrs["aria-label"] for attrs in scrolling)


def test_points_have_a_row_each_and_numbers_to_sort_by():
    view = study_view()
    header, rows = points_table(view)
    assert header[:6] == ["point", "status", "ratio", "variant", "gamma", "seed"]
    assert len(rows) == len(view.points)
    column = header.index("Accuracy")
    text, key = rows[0][column]
    assert re.fullmatch(r"\d\d\.\d % \[\d\d\.\d, \d\d\.\d\]", text)
    assert float(text.split(" ")[0]) == pytest.approx(100 * key, abs=0.05)
    assert rows[5][column] == ("", "")  # it diverged


def test_the_question_is_the_head_of_the_study_file():
    said = question(ROOT / "configs" / "weighted_loss.yaml")
    assert said.startswith("Does weighting one decision in the loss move")
    assert said.endswith("?")  # the commands below it are left out


def test_many_missing_points_take_one_line():
    view = study_view(broken=False)
    points = view.points.assign(status=["missing"] * 30 + ["done"] * 8)
    (line,) = missing(replace(view, tables={**view.tables, "points": points}))
    assert line.startswith("30 points missing (index 0-29): baseline_1to2_gamma1_seed1, ")
    assert line.endswith(", … (24 more)")


def test_training_time_has_a_sensible_unit():
    view = study_view()
    points = view.points.assign(seconds=[0.5, *[1.0] * 37])
    said = dict(cost(replace(view, tables={**view.tables, "points": points})))
    assert said["training time"] == "38 s over 38 points, 0.5 s to 1 s each"
