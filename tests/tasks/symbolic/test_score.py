"""Rewards of the answers of many points by one load of a reward model."""

import shutil

import pytest

from lib.config.errors import BadInput
from lib.config.schema import Judge
from lib.config.tasks import conversation
from lib.data.testsets import rows_of
from lib.inference.hf import HfEngine
from lib.judging import reward as rewards
from lib.judging.loop import judge_answers
from lib.judging.reward import open_reward_model
from lib.runs.files import read_jsonl, write_jsonl
from tests.reward_models import put


@pytest.fixture
def seen(monkeypatch) -> list:
    """Return a list of what was loaded, rewarded (how many texts) and closed, in order."""
    seen: list = []
    weights, free, batches = rewards._weights, rewards.free, rewards.token_batches
    monkeypatch.setattr(rewards, "_weights", lambda *a: seen.append("load") or weights(*a))
    monkeypatch.setattr(rewards, "free", lambda: seen.append("close") or free())
    monkeypatch.setattr(
        rewards, "token_batches", lambda some, most: seen.append(len(some)) or batches(some, most)
    )
    return seen


@pytest.fixture
def scored(trained, reward_directory):
    """Return a function that rewards made-up answers: (done, what was said, the study).

    To the first question both points give the same answers, and the first point one of them twice.
    """

    def run(stop=lambda: False, **changes) -> tuple:
        judge = {"judge__kind": "reward", "judge__model": str(reward_directory)}
        study, said = trained(**judge | changes), []
        points = list(study.points())
        for point in points:
            made = []
            for i, row in enumerate(rows_of(study, "symbolic")):
                own = "same" if i == 0 else point.name
                texts = ["#### 1", f"{own} {i}. #### 2", f"{own} so #### 3"]
                if (point, i) == (points[0], 0):
                    texts[2] = texts[1]
                made.append({"id": row["id"], "outputs": texts, "greedy": f"{own} 4"})
            write_jsonl(point.directory / "predictions.jsonl", made)
        return judge_answers(study, "symbolic", points, {}, said.append, stop), said, study

    return run


def judgments(point) -> list[dict]:
    return [row["judgments"] for row in read_jsonl(point.directory / "judgments_symbolic.jsonl")]


def test_each_answer_has_the_reward_that_the_model_gives_it_alone(scored, seen):
    done, said, study = scored()
    rows, points = rows_of(study, "symbolic"), list(study.points())
    n = len(rows)
    assert done
    assert seen == ["load", 4 * n - 1, 3 * n - 2, "close"]  # what was rewarded before is not again
    assert said[1:] == [
        f"{p.name}: symbolic: {4 * n} of {4 * n} replies are judgments" for p in points
    ]
    model = open_reward_model(study.config.judge, study.config.infer)
    every = set()
    for point in points:
        made = read_jsonl(point.directory / "predictions.jsonl")
        for row, one, judged in zip(rows, made, judgments(point), strict=True):
            found = [*judged["rewards"], judged["greedy_reward"]]
            answers = [*one["outputs"], one["greedy"]]
            questions = [conversation(row["prompt"]["question"], answer) for answer in answers]
            [replies] = model.ask([questions], bool)
            assert found == pytest.approx([reply.scores[0] for reply in replies], abs=1e-4)
            every |= set(found)
            assert judged["judge"] == study.config.judge.model
            assert judged["revision"] is None
        assert [row["id"] for row in read_jsonl(point.directory / "judgments_symbolic.jsonl")] == [
            row["id"] for row in rows
        ]
    assert len(every) > 4 * n
    first, again = judgments(points[0])[0], judgments(points[1])[0]
    assert first["rewards"][1] == first["rewards"][2]
    assert first["rewards"][:2] == again["rewards"][:2]
    assert first["rewards"][2] != again["rewards"][2]


def test_an_answer_that_cannot_be_read_whole_has_no_reward(scored, reward_directory, tmp_path):
    """The model reads so few tokens that the longer half of the questions does not fit."""
    _, _, study = scored(judge__model=None)
    settings = Judge(kind="reward", model=str(reward_directory))
    model = open_reward_model(settings, study.config.infer)
    rows = rows_of(study, "symbolic")
    questions = [conversation(row["prompt"]["question"], "#### 1") for row in rows]
    lengths = sorted(len(model.encode(question)[0]) for question in questions)
    short = shutil.copytree(reward_directory, tmp_path / "short")
    put(short / "config.json", max_position_embeddings=lengths[len(lengths) // 2])
    done, said, study = scored(judge__model=str(short))
    found = [reward for one in judgments(study.point(0)) for reward in one["rewards"]]
    assert done
    assert None in found
    known = sum(reward is not None for reward in found)
    assert known > 0
    known += sum(one["greedy_reward"] is not None for one in judgments(study.point(0)))
    assert f"{known} of {4 * len(found) // 3} replies are judgments (" in said[1]


def test_a_model_without_a_single_logit_is_refused_and_nothing_written(scored, tiny_model, seen):
    with pytest.raises(BadInput, match=f"judge.model: {tiny_model} is a reward model without a sing"
                       "le logit: found LlamaForCausalLM with num_labels 2"):  # fmt: skip
        scored(judge__model=str(tiny_model))
    assert seen == []


def test_such_a_model_is_refused_before_hours_of_answers(trained, tiny_model, run_stage, snapshot):
    study = trained(judge__kind="reward", judge__model=str(tiny_model))

    def there() -> dict:
        files = snapshot(study.directory)
        return {name: content for name, content in files.items() if not name.endswith(".lock")}

    before = there()
    ended = run_stage("stage3_infer", study.path, "--index", "0-1")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"error: judge.model: {tiny_model} is a reward model without a sin")
    assert ended.err.count("\n") == 1
    assert there() == before


def test_one_stage_answers_and_rewards_and_never_has_both_models(
    trained, reward_directory, run_stage, seen, monkeypatch
):
    start, close = HfEngine.__init__, HfEngine.close
    monkeypatch.setattr(
        HfEngine, "__init__", lambda self, *a: seen.append("engine") or start(self, *a)
    )
    monkeypatch.setattr(HfEngine, "close", lambda self: seen.append("end") or close(self))
    study = trained(judge__kind="reward", judge__model=str(reward_directory))
    ended = run_stage("stage3_infer", study.path, "--index", "0-1")
    assert ended.code == 0, ended.err
    assert [one for one in seen if isinstance(one, str)] == ["engine", "end", "load", "close"]
    for point in study.points():
        assert all(len(one["rewards"]) == 3 for one in judgments(point))
    again = run_stage("stage3_infer", study.path, "--index", "0-1")
    assert (again.code, "symbolic: judged already" in again.out) == (0, True)
