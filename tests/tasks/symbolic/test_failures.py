"""The report of failures: which questions, in which order, and that it is safe Markdown."""

from types import SimpleNamespace

from markdown_it import MarkdownIt

from lib.tasks.symbolic.failures import failures, report, sample_rows
from tests.tasks.symbolic.simulated import predicted, row

FIRST = ["7", "1", "1", "2", None, None, None, None]  # three answers, one of them right


def point(numbers, rewards=None, name="base", status="done"):
    test = [row(i) for i in range(len(numbers))]
    given = rewards or [None] * len(numbers)
    predictions = [predicted(one, said, "7", r) for one, said, r in zip(test, numbers, given,
                   strict=True)]  # fmt: skip
    return test, SimpleNamespace(name=name, status=status, predictions=predictions)


def test_failures_are_questions_with_a_right_sample_that_was_not_chosen():
    numbers = [
        ["1"] * 7 + ["7"],  # two answers, the majority is wrong
        ["7"] * 5 + ["1"] * 3,  # right
        ["1"] * 8,  # nothing right to choose
        FIRST,
        ["7", "1", "2", "3", "4", "5", "6", "8"],  # a tie, and the first seen is right
        ["1", "7", "2", "3", "4", "5", "6", "8"],  # a tie, and the first seen is wrong
    ]
    test, one = point(numbers)
    found = failures(one, test)
    assert [(f.row["id"][-1], f.unique, f.chosen) for f in found] == [
        ("3", 3, {"majority": 1}),  # three unique answers first
        ("0", 2, {"majority": 0}),
        ("5", 8, {"majority": 0}),
    ]


def test_the_best_by_reward_fails_on_its_own():
    rewards = [[5.0, 1, 1, 1, 1, 1, 1, 1], [1.0, 9, 1, 1, 1, 1, 1, 1], [None] * 8]
    test, one = point([FIRST, ["7", "1"] + ["7"] * 6, ["1"] + ["7"] * 7], rewards)
    found = failures(one, test)
    assert [(f.row["id"][-1], f.chosen) for f in found] == [
        ("0", {"majority": 1}),
        ("1", {"best": 1}),
        ("2", {"best": -1}),
    ]
    text = report(one, test)
    assert "The majority chose `1`, sample 2." in text
    assert "The best by reward chose `1`, sample 2." in text
    assert "The best by reward chose nothing." in text
    assert "| majority | 1 |\n| best by reward | 2 |\n| both | 0 |" in text
    assert "| 1 | `7` | yes | 5.000 |" in text
    assert "| 5 | none | no | 1.000 |" in text
    assert "no number ×4" in text


def test_the_report_counts_and_quotes():
    test, one = point([FIRST])
    text = report(one, test)
    assert text.startswith("# Failures of base\n")
    assert "1 question, 8 samples each, of which 1 have a right sample." in text
    assert "## 3 unique answers: 1 question" in text
    assert "Rewards: none" in text
    for quoted in (test[0]["prompt"]["question"], test[0]["target"], "I cannot say.",
                   "Gold: `7`. Answers: `1` ×2, `7` ×1, `2` ×1, no number ×4."):  # fmt: skip
        assert quoted in text
    assert text.count("Sample ") == 8


def test_text_in_the_report_cannot_leave_its_block():
    test, one = point([FIRST])
    evil = "```\n# Not a heading\n</div><script>x</script>\n````\n| a | b |"
    one.predictions[0]["outputs"][0] = evil
    test[0]["prompt"]["question"] = "~~~ `tick` ```` four"
    test[0]["id"] = "a `b` | c\nd"
    tokens = MarkdownIt("commonmark").enable("table").parse(report(one, test))
    blocks = [t.content for t in tokens if t.type == "fence"]
    assert evil + "\n" in blocks
    assert test[0]["prompt"]["question"] + "\n" in blocks
    assert len(blocks) == 2 + 8
    headings = [tokens[i + 1].content for i, t in enumerate(tokens) if t.type == "heading_open"]
    assert [h for h in headings if "Not a heading" in h] == []
    assert not any(t.type == "html_block" for t in tokens)
    assert len(headings) == 3


def test_nothing_failed():
    test, one = point([["7"] * 8])
    assert failures(one, test) == []
    assert "| majority | 0 |" in report(one, test)
    assert "questions listed" not in report(one, test)


def test_sample_rows_hold_every_sample():
    test, one = point([FIRST], [[0.5, None, 1, 1, 1, 1, 1, 1]])
    (found,) = sample_rows(one, test)
    assert (found["id"], found["set"], found["gold"]) == (test[0]["id"], "in_distribution", "7")
    assert found["greedy"] == {"text": "#### 7", "number": "7", "right": True, "reward": 0.5}
    assert found["samples"][0] == {"text": "So it is 7.", "number": "7", "right": True,
                                   "reward": 0.5, "seed": 0}  # fmt: skip
    assert found["samples"][1]["reward"] is None
    assert found["samples"][4] == {"text": "I cannot say.", "number": None, "right": False,
                                   "reward": 1, "seed": 4}  # fmt: skip
    test, one = point([FIRST])
    (found,) = sample_rows(one, test)
    assert found["greedy"]["reward"] is None
    assert {s["reward"] for s in found["samples"]} == {None}


def test_a_partial_point_reports_the_rows_it_has():
    test, one = point([FIRST, FIRST])
    more = [*test, row(9)]
    assert len(failures(one, more)) == 2
    assert len(sample_rows(one, more)) == 2
