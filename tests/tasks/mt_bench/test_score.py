"""Answers through a judge behind a real HTTP server to metrics."""

import json

import pytest

from lib.config.schema import Judge
from lib.judging.cache import Cache
from lib.judging.client import JudgeClient
from lib.runs.files import write_jsonl
from lib.tasks.mt_bench.data import build
from lib.tasks.mt_bench.judging import read_prompts
from lib.tasks.mt_bench.outcomes import point_extras
from lib.tasks.mt_bench.schema import Data
from tests.judge_server import rated

ROWS = build(Data(questions="sample")).rows["test"]
ANSWERS = [
    {"id": row["id"], "prompt_hash": "0", "outputs": [f"one {i}", f"two {i}"], "scores": None,
     "cut": False}
    for i, row in enumerate(ROWS)
]  # fmt: skip


@pytest.fixture
def client(server, tmp_path):
    def make(**settings) -> JudgeClient:
        given = {"url": server.url, "model": "gpt-x", "timeout": 5.0, "retries": 1} | settings
        return JudgeClient(Judge(**given), None, Cache(tmp_path / "judge.jsonl"), lambda line: None)

    return make


def unrated(judged: list) -> int:
    return sum(j["raw"] is None for made in judged for j in made["judgments"])


def rate(number: int, body: dict) -> object:
    """11 for the first answer of row 3, no rating for the second, nothing for row 5's, else 6."""
    text = body["messages"][-1]["content"]
    if "two 5" in text:
        return (500, {}, b"")
    return (
        "[[11]]" if "two" not in text and "one 3" in text else "?" if "two 3" in text else "[[6]]"
    )


def test_every_turn_gets_a_judgment(server, client):
    server.script = rate
    prompts = read_prompts(None)
    judged = rated(ROWS, ANSWERS, client())
    assert [made["id"] for made in judged] == [row["id"] for row in ROWS]
    assert all(set(made) == {"id", "judgments"} for made in judged)
    pairs = [made["judgments"] for made in judged]
    assert {(j["judge"], j["prompts_hash"]) for pair in pairs for j in pair} == {
        ("gpt-x", prompts.hash)
    }
    assert len({j["prompt_hash"] for pair in pairs for j in pair}) == 2 * len(ROWS)
    short = [[(j["rating"], j["parsed"], j["raw"], j["error"]) for j in pair] for pair in pairs]
    assert short[0] == [(6.0, True, "[[6]]", None)] * 2
    assert short[3] == [(None, False, "[[11]]", None), (None, False, "?", None)]
    assert short[5] == [(6.0, True, "[[6]]", None), (None, False, None, "HTTP 500, 2 tries")]
    assert unrated(judged) == 1

    found = point_extras(ROWS, judged, None)
    assert (found["n_judged"], found["parse_failures"], found["unjudged"]) == (13, 2, 1)


def test_a_rerun_asks_only_for_what_is_missing(server, client):
    server.script = rate
    rated(ROWS, ANSWERS, client())
    server.script, before = (lambda number, body: "[[2]]"), len(server.bodies)
    judged = rated(ROWS, ANSWERS, client())
    assert len(server.bodies) == before + 1
    assert unrated(judged) == 0
    changed = [dict(ANSWERS[0], outputs=["one 0", "another"]), *ANSWERS[1:]]
    rated(ROWS, changed, client())
    assert len(server.bodies) == before + 2  # the second turn alone


def test_the_bound_leaves_the_rest_null(server, client, tmp_path):
    judged = rated(ROWS, ANSWERS, client(max_calls=5))
    assert unrated(judged) == 11
    assert point_extras(ROWS, judged, None)["n_judged"] == 5
    write_jsonl(tmp_path / "predictions_mt_bench.jsonl", judged)


def test_what_a_judge_says_can_always_be_written(server, client, tmp_path):
    server.script = lambda number, body: json.loads('"\\ud800 [[4]]"')
    judged = rated(ROWS[:1], ANSWERS[:1], client())
    assert judged[0]["judgments"][0]["rating"] == 4
    write_jsonl(tmp_path / "predictions_mt_bench.jsonl", judged)


def test_no_rows_ask_nobody(server, client):
    assert rated([], [], client()) == []
    assert server.greeted == 0
