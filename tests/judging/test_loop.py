"""The one judging loop, with a judge that says what it is told to."""

from types import SimpleNamespace

import pytest

from lib.config.errors import BadInput
from lib.config.tasks import Judging, Reply
from lib.judging import judgments as files
from lib.judging import loop
from lib.judging.local import ModelUnavailable
from lib.runs.directory import done_mark
from lib.runs.files import read_jsonl, write_jsonl

ROWS = [{"id": "a"}, {"id": "b"}]
JUDGING = Judging(
    identity={"prompts": "p1"},
    questions=lambda row, made: [[{"role": "user", "content": said}] for said in made["outputs"]],
    judgments=lambda made, questions, replies, judge: [
        [question[0]["content"], reply.text or reply.error]
        for question, reply in zip(questions, replies, strict=True)
    ],
    is_valid=lambda reply: reply.text is not None,
)


class FakeJudge:
    """Replies to each question with its text, or as `replies` has it, to so many groups."""

    def __init__(self, groups=9, **replies):
        self.source, self.template, self.unanswered = {"judge": "j"}, "", []
        self.groups, self.replies, self.seen = groups, replies, []

    def ask(self, groups, stop):
        for group in groups[: self.groups]:
            said = [question["content"] for [question] in group]
            self.seen += said
            replies = [self.replies.get(text, Reply(text)) for text in said]
            self.unanswered += [reply.error for reply in replies if reply.ask_again]
            yield replies


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that has two points of two rows judged: (done, what was said)."""
    points = [SimpleNamespace(name=name, directory=tmp_path / name) for name in ("p", "q")]
    for point in points:
        made = [{"id": i, "outputs": [f"{point.name}-{i}-{n}" for n in (1, 2)]} for i in "ab"]
        write_jsonl(point.directory / "predictions.jsonl", made)

    def answered(study, task, point):
        return read_jsonl(point.directory / "predictions.jsonl"), f"sha of {point.name}"

    monkeypatch.setattr(files, "answered", answered)

    def judge_with(judge, rows=ROWS, model="m", judging=JUDGING, stop=lambda: False):
        def opened(*given):
            if isinstance(judge, Exception):
                raise judge
            return judge

        study = SimpleNamespace(
            config=SimpleNamespace(judge=SimpleNamespace(model=model, revision="r"))
        )
        monkeypatch.setattr(loop, "rows_of", lambda study, task: rows)
        monkeypatch.setattr(loop, "judging_of", lambda study, task: judging)
        monkeypatch.setattr(loop, "open_judge", opened)
        said = []
        done = loop.judge_answers(study, "t", points, {}, said.append, stop)
        loop.check_judge(study, "t", points, {})  # never an error
        return done, said

    judge_with.points = points
    return judge_with


def judged(point):
    return read_jsonl(point.directory / "judgments_t.jsonl")


def test_judgments_stand_beside_their_answers_and_are_asked_once(run):
    one, two = run.points
    judge = FakeJudge(**{"q-a-2": Reply(error="too long")})
    assert run(judge) == (True, [
        "t: 8 questions to the judge j",
        "p: t: 4 of 4 replies are judgments",
        "q: t: 3 of 4 replies are judgments (too long)",
    ])  # fmt: skip
    assert judged(one) == [
        {"id": i, "judgments": [[f"p-{i}-{n}"] * 2 for n in (1, 2)]} for i in "ab"
    ]
    assert judged(two)[0]["judgments"] == [["q-a-1", "q-a-1"], ["q-a-2", "too long"]]
    assert done_mark(two.directory, "judge_t")["identity"] == {
        "answers": "sha of q", "judge": "m", "revision": "r", "prompts": "p1"
    }  # fmt: skip
    assert run(FakeJudge()) == (True, ["t: judged already"])
    (two.directory / "judgments_t.jsonl").unlink()
    again = FakeJudge()
    assert run(again)[0]
    assert again.seen == ["q-a-1", "q-a-2", "q-b-1", "q-b-2"]
    for change in ({"model": "other"}, {"judging": SimpleNamespace(**vars(JUDGING))}):
        if "judging" in change:
            change["judging"].identity = {"prompts": "p2"}
        other = FakeJudge()
        assert run(other, **change)[0]
        assert len(other.seen) == 8


def test_missing_replies_are_written_and_asked_again(run):
    one, two = run.points
    judge = FakeJudge(**{"p-a-1": Reply(error="HTTP 500", ask_again=True)})
    with pytest.raises(BadInput, match=r"judge: 1 replies are missing \(HTTP 500\); run stage 3"):
        run(judge)
    assert judged(one)[0]["judgments"][0] == ["p-a-1", "HTTP 500"]
    assert done_mark(one.directory, "judging_t")
    assert not done_mark(one.directory, "judge_t")
    assert done_mark(two.directory, "judge_t")
    again = FakeJudge()
    assert run(again)[0]
    assert set(again.seen) == {"p-a-1", "p-a-2", "p-b-1", "p-b-2"}
    assert (done_mark(one.directory, "judging_t"), bool(done_mark(one.directory, "judge_t"))) == (
        None, True
    )  # fmt: skip


def test_a_rejected_question_is_no_failure_of_the_stage(run):
    judge = FakeJudge(**{"p-a-1": Reply(error="HTTP 400", ask_again=True)})
    judge.ask = lambda groups, stop: iter_rejected(judge, groups)
    assert run(judge)[0]
    assert done_mark(run.points[0].directory, "judging_t")


def iter_rejected(judge, groups):
    for replies in FakeJudge.ask(judge, groups, bool):
        judge.unanswered = []
        yield replies


def test_a_stop_leaves_what_is_whole(run):
    one, two = run.points
    assert run(FakeJudge(groups=1))[0] is False
    assert done_mark(one.directory, "judge_t")
    assert not (two.directory / "judgments_t.jsonl").exists()
    stopped = FakeJudge(**{"q-a-1": Reply(error="stopped", ask_again=True)})
    assert run(stopped, stop=lambda: True)[0] is False
    assert done_mark(two.directory, "judging_t")


@pytest.mark.parametrize(("given", "line"), [
    ({"judge": FakeJudge(), "model": None}, "t: judge.model is null, the answers stay unjudged"),
    ({"judge": FakeJudge(), "rows": []}, "t: no rows, the answers stay unjudged"),
    ({"judge": ModelUnavailable("no hub")},
     "t: the judge is unavailable, the answers stay unjudged: no hub"),
])  # fmt: skip
def test_without_a_judge_answers_stay_unjudged(run, given, line):
    assert run(**given) == (True, [line])
    assert not (run.points[0].directory / "judgments_t.jsonl").exists()


def test_a_bad_judge_is_refused_before_any_answer_where_answers_are_left(run):
    with pytest.raises(BadInput, match="no such model"):
        run(BadInput("no such model"))
    assert run(FakeJudge())[0]
    assert run(BadInput("no such model")) == (True, ["t: judged already"])
