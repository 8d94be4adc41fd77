"""Papers from every kind of source, the sets cut from them, prompt and grade."""

import json
import math
import random
import re
from itertools import pairwise

import pytest

from lib.config.errors import BadInput
from lib.runs.integrity import checksum
from lib.tasks.decision import data as decision
from lib.tasks.decision.grading import grade, verdict
from lib.tasks.decision.papers import label_of, normalised_title, read_papers
from lib.tasks.decision.schema import Data

RATIOS = ("1:2", "1:3", "1:4", "1:8")
NAMES = ("train_1-2", "train_1-3", "train_1-4", "train_1-8")


def paper(number, accept, **more):
    return {
        "title": f"On the number {number}",
        "abstract": f"We study {number}.",
        "decision": "Accept" if accept else "Reject",
    } | more


def papers(accepts, rejects, **more):
    """Accepts first, rejects after."""
    return [paper(n, n < accepts, **more) for n in range(accepts + rejects)]


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def build(source, ratios=RATIOS, debug=False, **keys):
    data = Data(source=source, **({"test_rows": 20} | keys))
    return decision.build(data, [data.model_copy(update={"ratio": r}) for r in ratios], None, debug)


def papers_of(source, **keys):
    """Every paper that is kept, by title, as drawn into the test set and the largest 1:1 set."""
    splits = build(source, ("1:1",), test_rows=2, **keys)
    rows = splits.rows["test"] + splits.rows["train_1-1"]
    return {row["prompt"]["title"]: row for row in rows}, splits.report


def refused(source, **keys):
    with pytest.raises(BadInput) as error:
        build(source, **keys)
    assert "\n" not in str(error.value)
    return str(error.value)


def ids(rows):
    return [row["id"] for row in rows]


@pytest.fixture
def source(tmp_path):
    return jsonl(tmp_path / "papers.jsonl", papers(100, 300))


# -- the sets --------------------------------------------------------------------------------------


def test_ratios_are_exact_and_sizes_equal(source):
    splits = build(source, train_rows=180)
    assert set(splits.rows) == {"test", *NAMES}
    accepts = [sum(r["decision"] == "accept" for r in splits.rows[name]) for name in NAMES]
    assert accepts == [60, 45, 36, 20]
    assert all(len(splits.rows[name]) == 180 for name in NAMES)


def test_report(source):
    report = build(source, train_rows=100).report
    assert report["splits"]["train_1-2"] == {
        "rows": 100, "decision": {"accept": 33, "reject": 67}
    }  # fmt: skip
    assert report["source"] == {
        "source": source, "sha256": checksum(source), "read": 400, "dropped_labels": {},
        "dropped_empty": 0, "dropped_duplicates": 0, "of_these_decided_otherwise": 0,
        "columns_not_read": [],
        "kept": {"rows": 400, "decision": {"accept": 100, "reject": 300}},
    }  # fmt: skip
    assert (report["test_source"], report["dropped_as_in_test"]) == (None, 0)
    assert (report["seed"], report["debug"]) == (42, False)


@pytest.mark.parametrize(
    ("ratio", "rows", "accepts"),
    [("1:2", 17101, 5700), ("1:3", 17101, 4275), ("1:4", 17101, 3420), ("1:8", 17101, 1900),
     ("1:1", 3, 2), ("1:3", 2, 1), ("2:3", 5, 2), ("1:8", 2, 0)],
)  # fmt: skip
def test_accepts_are_the_nearest_number(ratio, rows, accepts):
    assert decision.accepts_of(ratio, rows) == accepts


def test_rows_of_a_set_are_unique_and_outside_the_test_set(source):
    splits = build(source, train_rows=180)
    test = set(ids(splits.rows["test"]))
    for name in NAMES:
        assert len(set(ids(splits.rows[name]))) == 180
        assert not test & set(ids(splits.rows[name]))


def test_the_test_set_is_balanced_and_the_same_for_all(source):
    test = build(source, train_rows=180).rows["test"]
    assert [r["decision"] for r in test].count("accept") == 10
    assert len(test) == 20
    assert build(source, ("1:8",), train_rows=27).rows["test"] == test
    assert build(source, ("1:2",)).rows["test"] == test
    assert build(source, ("1:2",), debug=True).rows["test"] == test
    assert ids(build(source, seed=43).rows["test"]) != ids(test)


def test_draws_are_nested(source):
    """The accepts of 1:8 are among those of 1:4 …, the rejects of 1:2 among those of 1:3 …."""
    splits = build(source, train_rows=180).rows
    for label, names in (("accept", NAMES[::-1]), ("reject", NAMES)):
        drawn = [{r["id"] for r in splits[n] if r["decision"] == label} for n in names]
        assert all(small < large for small, large in pairwise(drawn))
    smaller = {r["id"] for r in build(source, ("1:2",), train_rows=90).rows["train_1-2"]}
    assert smaller < set(ids(splits["train_1-2"]))


def test_the_same_seed_gives_the_same_rows_in_the_same_order(source, tmp_path):
    first = build(source, train_rows=180).rows
    assert build(source, train_rows=180).rows == first
    turned = jsonl(tmp_path / "turned.jsonl", papers(100, 300)[::-1])
    assert build(turned, train_rows=180).rows == first
    classes = [r["decision"] for r in first["train_1-2"]]
    assert "accept" in classes[:20]
    assert "reject" in classes[:20]


def test_the_largest_size_that_every_ratio_allows(source):
    """90 accepts and 290 rejects are left: 1:2 allows 271 rows, a third of which is 90.3."""
    splits = build(source)
    assert len(splits.rows["train_1-2"]) == len(splits.rows["train_1-8"]) == 271
    assert splits.report["splits"]["train_1-2"]["decision"]["accept"] == 90
    assert len(build(source, ("1:8",)).rows["train_1-8"]) == 326  # 36 accepts, 290 rejects


def test_debug_is_100_rows(source):
    splits = build(source, debug=True, train_rows=36, test_rows=180)
    assert all(len(splits.rows[name]) == 100 for name in NAMES)
    assert [splits.report["splits"][n]["decision"]["accept"] for n in NAMES] == [33, 25, 20, 11]
    assert len(splits.rows["test"]) == 100


def test_too_few_papers_for_a_ratio(source):
    assert refused(source, train_rows=300) == (
        "data.ratio 1:2 needs 100 accepts in 300 training rows, 90 are left after the test set: "
        "10 missing; data.train_rows=271 would fit every ratio"
    )
    assert "data.ratio 1:8 needs 480 rejects" in refused(source, ratios=("1:8",), train_rows=540)


def test_too_few_papers_in_debug(tmp_path):
    few = jsonl(tmp_path / "few.jsonl", papers(30, 200))
    assert refused(few, debug=True) == (
        "data.ratio 1:2 needs 33 accepts in 100 training rows, 20 are left after the test set: "
        "13 missing"
    )


def test_too_few_papers_for_the_test_set(source):
    assert refused(source, test_rows=240) == (
        f"{source}: data.test_rows=240 needs 120 accepts, 100 are there: 20 missing"
    )


def test_a_set_without_one_class(source, tmp_path):
    assert "1:8 needs at least 1 accept" in refused(source, train_rows=2, ratios=("1:8",))
    spent = jsonl(tmp_path / "spent.jsonl", papers(10, 300))
    assert "needs at least 1 accept" in refused(spent)


def test_no_wanted_section_means_the_study_s_own(source):
    assert set(decision.build(Data(source=source, test_rows=20), [], None, False).rows) == {
        "test", "train_1-2"
    }  # fmt: skip


def test_a_test_source(tmp_path, source):
    """Training papers whose title is in the test set are dropped, those of its other rows not."""
    other = jsonl(tmp_path / "test.jsonl", [
        *(paper(n, True, title=f"on THE number {n}.") for n in range(10)),
        *(paper(n, False, title=f"New {n}") for n in range(10)),
    ])  # fmt: skip
    splits = build(source, test_source=other)
    assert splits.report["dropped_as_in_test"] == 10
    assert splits.report["test_source"]["read"] == 20
    test = {normalised_title(r["prompt"]["title"]) for r in splits.rows["test"]}
    assert len(test) == 20
    for name in NAMES:
        titles = {normalised_title(r["prompt"]["title"]) for r in splits.rows[name]}
        assert not test & titles


def test_files_have_no_splits(source):
    assert "has no splits" in refused(source, test_split="test")
    assert "has no splits" in refused("synthetic", test_split="test")


def test_years_are_counted(tmp_path):
    rows = [
        paper(n, n % 2, year=y) for n, y in enumerate([2017, "2018", "ICLR 2018", "", None] * 4)
    ]
    found, report = papers_of(jsonl(tmp_path / "y.jsonl", rows))
    assert report["source"]["kept"]["year"] == {"2017": 4, "2018": 8, "None": 8}
    assert found["On the number 2"]["year"] == 2018
    assert found["On the number 3"]["year"] is None


def test_synthetic():
    splits = build("synthetic", train_rows=180)
    assert [splits.report["splits"][n]["decision"]["accept"] for n in NAMES] == [60, 45, 36, 20]
    assert all("log_odds_true" in row for row in splits.rows["test"])
    assert not {r["id"] for r in splits.rows["test"]} & {r["id"] for r in splits.rows["train_1-2"]}
    bigger = build("synthetic", train_rows=900).rows
    assert bigger["test"] == splits.rows["test"]
    assert len(bigger["train_1-8"]) == 900
    assert build("synthetic", test_source="synthetic").rows["test"] == splits.rows["test"]
    assert len(build("synthetic").rows["train_1-8"]) > 900
    prompt = decision.messages(splits.rows["test"][0], Data(source="synthetic"))[0]["content"]
    assert len(re.findall(r"\w+|[^\w\s]", prompt)) < 50


# -- papers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "expected"),
    [(label, "accept") for label in
     ("Accept", "accepted", " ACCEPT ", "Accept (Poster)", "Accept: poster", "Accept(Oral)",
      "Poster", "spotlight", "Oral", "True", True, 1, 1.0, "1")]
    + [(label, "reject") for label in
       ("Reject", "rejected", "Reject (desk)", "False", False, 0, 0.0, "0")]
    + [(label, None) for label in
       ("Withdraw", "", None, math.nan, 2, "Workshop", "acceptable", "not accepted",
        "accept reject", "Desk Reject", "invited to workshop (reject)")],
)  # fmt: skip
def test_labels(label, expected):
    assert label_of(label) == expected


def test_unknown_label(tmp_path):
    rows = papers(2, 2) + [paper(9, True, decision="Withdraw"), paper(10, True, decision=None)]
    path = jsonl(tmp_path / "p.jsonl", rows)
    message = refused(path, drop_labels=["Active"])
    assert message.startswith(f'{path}:5: decision: found "Withdraw", expected accept, accepted,')
    assert "(and 1 more unknown labels)" in message
    assert message.endswith("""with 'data.drop_labels=["Active", "Withdraw", null]'""")


def test_drop_labels(tmp_path):
    """Compared whatever the case, null with null and with blank text, and before duplicates."""
    rows = [paper(0, True, decision="withdrawn"), paper(0, True), *papers(3, 3)[1:],
            paper(7, True, decision=None), paper(8, True, decision=" "),
            paper(9, True, decision="Active")]  # fmt: skip
    found, report = papers_of(jsonl(tmp_path / "p.jsonl", rows),
                              drop_labels=["Withdrawn", None, "ACTIVE"])  # fmt: skip
    assert report["source"]["dropped_labels"] == {"withdrawn": 1, "null": 2, "Active": 1}
    assert report["source"]["dropped_duplicates"] == 0
    assert len(found) == 6


def test_duplicates_keep_the_first_and_conflicts_are_counted(tmp_path):
    rows = [*papers(3, 3), paper(0, True, title="On the Number  0!"),
            paper(1, False, title=r"On \emph{the} number 1")]  # fmt: skip
    found, report = papers_of(jsonl(tmp_path / "p.jsonl", rows))
    assert report["source"]["dropped_duplicates"] == 2
    assert report["source"]["of_these_decided_otherwise"] == 1
    assert found["On the number 1"]["decision"] == "accept"


@pytest.mark.parametrize(
    ("one", "other"),
    [("Few-shot  Learning.", "few shot learning"),
     (r"\textbf{Deep} $k$-NN", "Deep k-NN"),
     ("A <i>Note</i> &amp; more", "a note & more"),
     (r"Schr\"{o}dinger", "Schrödinger"),
     ("ﬁne “quotes”", 'fine "quotes"'),
     (r"The $\alpha$ Test", "The alpha test"),
     ("**On** the ResNet\u201150", "on the ResNet-50"),
     ("It is C++ & more", "it is c ++ and more")],
)  # fmt: skip
def test_titles_that_are_one(one, other):
    assert normalised_title(one) == normalised_title(other) != ""


@pytest.mark.parametrize(
    ("one", "other"),
    [(r"$\alpha$-nets", r"$\beta$-nets"), ("Part 1", "Part 2"), ("论文一", "论文二"),
     ("for k<n and m>p", "for k and p"),
     ("Learning C++", "Learning C"), ("Learning C#", "Learning C"), ("A* search", "A search"),
     ("When x = 0", "When x ≠ 0"), ("When x > 0", "When x < 0"), ("p + q", "p − q"),
     ("Below -5 degrees", "Below 5 degrees"), ("Scale 1.5", "Scale 1 5"), ("a ± b", "a b"),
     ("\u0915\u093f", "\u0915\u0940")],  # of Hindi, vowels are marks
)  # fmt: skip
def test_titles_that_are_two(one, other):
    assert normalised_title(one) != normalised_title(other)


@pytest.mark.parametrize(
    ("row", "place"),
    [(paper(1, True, title="Smile \ud83d"), "title: found half a character, a lone surrogate "
                                             "U+D83D, at character 7, expected text"),
     (paper(1, True, abstract="\udc00"), "abstract: found half"),
     ({"conversations": [{"from": "human", "value": "\ud800"}, {"from": "gpt", "value": "Accept"}]},
      "conversations: found half")],
)  # fmt: skip
def test_half_a_surrogate_pair_is_refused_with_its_row(tmp_path, row, place):
    path = jsonl(tmp_path / "p.jsonl", [paper(0, True, title="Whole \U0001f600"), row])
    assert refused(path).startswith(f"{path}:2: {place}")


def test_papers_without_title_are_told_apart_by_text(tmp_path):
    rows = papers(2, 2) + [
        paper(n, True, title=title, abstract=f"About {n % 2}")
        for n, title in enumerate(("", "?!", None))
    ]
    assert papers_of(jsonl(tmp_path / "p.jsonl", rows))[1]["source"]["dropped_duplicates"] == 1


def test_ids(tmp_path):
    rows = papers(2, 1) + [paper(4, False, id=17), paper(5, False, id="")]
    found, _ = papers_of(jsonl(tmp_path / "p.jsonl", rows))
    assert found["On the number 4"]["id"] == "17"
    made = found["On the number 0"]["id"]
    assert re.fullmatch("[0-9a-f]{12}", made)
    again, _ = papers_of(jsonl(tmp_path / "q.jsonl", [*papers(2, 2)[::-1]]))
    assert again["On the number 0"]["id"] == made


def test_repeated_id(tmp_path):
    rows = [paper(n, n < 3, id=n % 5) for n in range(6)]
    path = jsonl(tmp_path / "p.jsonl", rows)
    assert refused(path).startswith(f"{path}:6: id: found '0', which {path}:1 has too")
    # A repeated paper is a duplicate, whatever its id.
    rows = [*(paper(n, n < 3, id=n) for n in range(6)), paper(0, True, id=0)]
    assert papers_of(jsonl(tmp_path / "q.jsonl", rows))[1]["source"]["dropped_duplicates"] == 1


def test_abstract_before_text(tmp_path):
    rows = [paper(0, True, text="Whole"), paper(1, False, text="Whole", abstract="")]
    source = jsonl(tmp_path / "p.jsonl", rows + [paper(n, n % 2) for n in range(2, 6)])
    found, _ = papers_of(source)
    assert found["On the number 0"]["prompt"]["abstract"] == "We study 0."
    assert found["On the number 1"]["prompt"] == {"title": "On the number 1", "text": "Whole"}


def test_a_row_without_text(tmp_path):
    rows = [*papers(3, 3), paper(9, True, title=" ", abstract=None)]
    path = jsonl(tmp_path / "p.jsonl", rows)
    assert refused(path).startswith(f"{path}:7: no text, expected a title, an abstract or a text;")
    _, report = papers_of(path, drop_empty=True)
    assert (report["source"]["dropped_empty"], report["source"]["kept"]["rows"]) == (1, 6)


def test_bad_year(tmp_path):
    path = jsonl(tmp_path / "p.jsonl", [paper(0, True, year="soon")])
    assert refused(path) == f"{path}:1: year: found 'soon', expected a year such as 2021"


# -- sources ---------------------------------------------------------------------------------------


def read(source, **keys):
    papers, report = read_papers(Data(source=str(source), **keys), str(source), "train", (0, 0))
    return list(papers.values()), report["columns_not_read"]


def test_columns_are_mapped(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("Paper,Summary,accepted,paper_id,junk\nA,B,True,7,x\n")
    names = {"title": "Paper", "abstract": "Summary", "decision": "accepted", "id": "paper_id"}
    (row,), unread = read(path, columns=names)
    assert unread == ["junk"]
    assert row == {
        "id": "7", "prompt": {"title": "A", "abstract": "B"}, "target": r"\boxed{Accept}",
        "decision": "accept",
    }  # fmt: skip


def test_hub(monkeypatch):
    asked = []

    def read(source, split, example):
        asked.append((source, split))
        prefix = "" if split == "train" else "test "
        return [(f"{source}: row {n}", {"title": f"{prefix}t{n}", "text": f"x{n}",
                                        "decision": ("Accept", "Reject")[n % 2]})
                for n in range(40)]  # fmt: skip

    monkeypatch.setattr("lib.tasks.decision.papers.read_placed", read)
    assert build("owner/papers", ("1:2",)).report["source"]["split"] == "train"
    assert asked == [("owner/papers", "train")]
    apart = build("owner/papers", ("1:2",), test_split="validation")
    assert asked[-1] == ("owner/papers", "validation")
    assert all(r["prompt"]["title"].startswith("test") for r in apart.rows["test"])
    build("owner/papers", ("1:2",), test_source="owner/other")
    assert asked[-1] == ("owner/other", "test")


# -- conversations ---------------------------------------------------------------------------------


def chat(number, accept, **more):
    answer = r"Fine. \boxed{Accept}" if accept else "I would reject it."
    return {"conversations": [{"from": "human", "value": f"Title: Paper {number}\n\nAccept it?"},
                              {"from": "gpt", "value": answer}]} | more  # fmt: skip


def test_conversations(tmp_path):
    rows = [chat(n, n < 10, system="Review.") for n in range(30)]
    rows += [chat(3, True, title="paper 3"), chat(50, False, title="Paper 4", id="x", year=2020)]
    for name, text in (("a.json", json.dumps(rows)), ("b.jsonl", None)):
        path = tmp_path / name
        path.write_text(text) if text else jsonl(path, rows)
        splits = build(str(path), ("1:2",), test_rows=10)
        assert splits.report["source"]["dropped_duplicates"] == 2
        assert splits.report["source"]["of_these_decided_otherwise"] == 1
        row = splits.rows["test"][0]
        assert row["target"] in (r"\boxed{Accept}", r"\boxed{Reject}")
        prompt = decision.messages(row, Data(source="x", instruction="Ignored."))
        assert prompt[0] == {"role": "system", "content": "Review."}
        assert prompt[1]["role"] == "user"
        assert prompt[1]["content"].startswith("Title: Paper ")


def test_chat_messages_keep_all_before_the_last_answer(tmp_path):
    said = [("system", "S"), ("user", "Read."), ("assistant", "Done."), ("user", "So?"),
            ("assistant", "Accept")]  # fmt: skip
    row = {"messages": [{"role": role, "content": text} for role, text in said]}
    (paper,), _ = read(jsonl(tmp_path / "m.jsonl", [row]))
    assert paper["prompt"] == {"messages": row["messages"][:-1]}
    assert paper["decision"] == "accept"


@pytest.mark.parametrize(
    ("row", "expected"),
    [({"conversations": "hello"}, "expected a list of messages, each with 'role' and 'content'"),
     ({"conversations": []}, "the last message is not an answer"),
     ({"messages": [{"role": "user", "content": "a"}]}, "the last message is not an answer"),
     ({"messages": [{"role": "bot", "content": "a"}]}, "found role 'bot', expected one of"),
     ({"messages": [{"role": "user", "content": None}]}, "a message whose 'content' is None"),
     ({"messages": [{"role": "assistant", "content": "Accept"}]}, "no text, expected a message"),
     (chat(1, True) | {"conversations": [{"from": "human", "value": "q"},
                                         {"from": "gpt", "value": "accept or reject"}]},
      'decision: found "accept or reject"')],
)  # fmt: skip
def test_bad_conversations(tmp_path, row, expected):
    path = jsonl(tmp_path / "m.jsonl", [chat(0, True), row])
    message = refused(path)
    assert message.startswith(f"{path}:2: ")
    assert expected in message


def test_a_conversation_loses_its_middle():
    row = {"prompt": {"messages": [{"role": "system", "content": "S"},
                                   {"role": "user", "content": "abcdefghij"}]}}  # fmt: skip
    data = Data(source="x")
    assert decision.body_length(row) == 10
    assert decision.messages(row, data, 10) == decision.messages(row, data)
    assert decision.messages(row, data, 5)[1]["content"] == "abc\n…\nij"
    assert decision.messages(row, data, 0)[1]["content"] == "\n…\n"
    assert row["prompt"]["messages"][1]["content"] == "abcdefghij"


# -- prompt ----------------------------------------------------------------------------------------


def test_the_prompt():
    row = {"prompt": {"title": "T", "abstract": "0123456789"}}
    assert decision.messages(row, Data(source="x")) == [{
        "role": "user",
        "content": "Should this paper be accepted?\n\nTitle: T\nAbstract: 0123456789\n\n"
                   r"Answer with \boxed{Accept} or \boxed{Reject}.",
    }]  # fmt: skip
    own = Data(source="x", instruction="Judge.")
    assert decision.messages(row, own, 3)[0]["content"] == (
        "Judge.\n\nTitle: T\nAbstract: 012\n\n" + decision.ENDING
    )
    assert decision.body_length(row) == 10
    assert (
        "\nText: abc\n"
        in decision.messages({"prompt": {"title": "T", "text": "abc"}}, own)[0]["content"]
    )


def test_target_contrast_group_and_answers(source):
    for row in build(source, train_rows=90).rows["train_1-2"]:
        pair = [row["target"], decision.alternative_answer(row)]
        assert sorted(pair) == decision.answers(None) == [r"\boxed{Accept}", r"\boxed{Reject}"]
        assert decision.loss_class(row) == row["decision"] == verdict(row["target"])


# -- grade -----------------------------------------------------------------------------------------


def test_grade_without_outputs_or_scores():
    nothing = {"prediction": "unknown", "p_accept": None, "log_odds": None, "neither": None}
    assert grade({}, {"outputs": []}) == nothing
    assert grade({}, {"outputs": [], "scores": [math.nan, -1.0]}) == nothing


def test_grade_by_hand():
    """p(accept) = 0.6, p(reject) = 0.3: odds 2, so 2/3 and 0.1 on neither."""
    graded = grade({}, {"outputs": ["Accept"], "scores": [math.log(0.6), math.log(0.3)]})
    assert graded["p_accept"] == pytest.approx(2 / 3)
    assert graded["log_odds"] == pytest.approx(math.log(2))
    assert graded["neither"] == pytest.approx(0.1)


def test_impossible_answers():
    assert grade({}, {"outputs": ["a"], "scores": [-math.inf, -math.inf]}) == {
        "prediction": "unknown", "p_accept": None, "log_odds": None, "neither": 1.0
    }  # fmt: skip
    one = grade({}, {"outputs": ["a"], "scores": [-2.0, -math.inf]})
    assert (one["p_accept"], one["log_odds"]) == (1.0, 9998.0)
    assert json.dumps(one, allow_nan=False)


def test_grade_holds_for_any_scores():
    """p and log-odds agree, mirror when the answers swap, and nothing leaves [0, 1]."""
    draw = random.Random(0)
    for _ in range(2000):
        a, r = (-draw.expovariate(10 ** draw.uniform(-4, 2)) for _ in range(2))
        one, other = (grade({}, {"outputs": [""], "scores": s}) for s in ([a, r], [r, a]))
        assert one["log_odds"] == -other["log_odds"]
        assert one["p_accept"] == pytest.approx(1 - other["p_accept"], abs=1e-12)
        assert (one["p_accept"] > 0.5) <= (a > r)
        assert one["neither"] == pytest.approx(other["neither"])
        assert 0 <= one["neither"] <= 1
        assert 0 <= one["p_accept"] <= 1
    assert grade({}, {"outputs": [""], "scores": [1e-9, 1e-9]})["neither"] == 0
