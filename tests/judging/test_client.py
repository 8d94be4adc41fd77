"""The client of a judge against a real HTTP server that misbehaves."""

import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from lib.config.errors import BadInput
from lib.config.schema import Judge
from lib.config.tasks import Reply
from lib.judging import client as judge
from lib.judging.cache import Cache
from lib.judging.client import JudgeClient, read_key
from tests.judge_server import RATED, completion, failure

KEY = "sk-very-secret-0123456789"


@pytest.fixture
def client(server, tmp_path) -> Callable[..., JudgeClient]:
    def make(key: str | None = KEY, **settings: Any) -> JudgeClient:
        given = {"url": server.url, "model": "gpt-x", "timeout": 5.0, "retries": 2} | settings
        made = JudgeClient(Judge(**given), key, Cache(tmp_path / "judge.jsonl"))
        made.said = []
        made.say = made.said.append
        return made

    return make


def ask(made: JudgeClient, requests: list, stop: Callable[[], bool] = lambda: False) -> list[Reply]:
    """What a client is replied, as one group of questions."""
    [replies] = made.ask([requests], stop)
    return replies


def missing(error: str) -> Reply:
    return Reply(error=error, ask_again=True)


def asked(count: int) -> list[list[dict]]:
    return [[{"role": "user", "content": f"question {i}"}] for i in range(count)]


class TestAnswers:
    def test_replies_come_in_the_order_of_the_questions(self, server, client):
        server.script = lambda number, body: f"[[{body['messages'][0]['content'][-1]}]]"
        assert ask(client(), asked(9)) == [Reply(f"[[{i}]]") for i in range(9)]

    def test_what_is_sent(self, server, client):
        ask(client(max_tokens=77), asked(1))
        assert server.bodies == [
            {"model": "gpt-x", "messages": asked(1)[0], "temperature": 0, "max_tokens": 77}
        ]
        assert server.headers[0]["Authorization"] == f"Bearer {KEY}"

    @pytest.mark.parametrize("text", ["", "no rating here", "[[11]]", "[[5]] \ud800"])
    def test_any_text_is_an_answer(self, server, client, text):
        server.script = lambda number, body: text
        [reply] = ask(client(), asked(1))
        assert reply == Reply(text.replace("\ud800", "?"))
        assert len(server.bodies) == 1

    def test_null_is_an_empty_answer(self, server, client):
        server.script = lambda number, body: (200, {}, completion(None))
        assert ask(client(), asked(1)) == [Reply("")]

    def test_a_question_asked_twice_is_paid_once(self, server, client):
        assert ask(client(), asked(1) * 3) == [Reply(RATED)] * 3
        assert len(server.bodies) == 1

    def test_no_more_calls_at_a_time_than_allowed(self, server, client):
        def slow(number: int, body: dict) -> str:
            time.sleep(0.03)
            return RATED

        server.script = slow
        ask(client(concurrency=3), asked(14))
        assert server.busiest == 3


CUT = completion(RATED)
RETRYABLE = {
    "429": (429, {}, failure("slow down")),
    "500": (500, {}, b"oops"),
    "503": (503, {}, failure("loading")),
    "cut JSON": (200, {}, CUT[: len(CUT) // 2]),
    "cut connection": (200, {"cut": 40}, CUT[:-40]),
    "no JSON": (200, {"Content-Type": "text/html"}, b"<html>"),
    "no choices": (200, {}, b'{"choices": []}'),
    "a list": (200, {}, b"[]"),
}


class TestRetries:
    @pytest.mark.parametrize("how", RETRYABLE)
    @pytest.mark.parametrize("failures", [2, 3])
    def test_a_transient_error_is_tried_again_twice(self, server, client, how, failures):
        status, headers, body = RETRYABLE[how]
        server.script = lambda n, _: (status, dict(headers), body) if n <= failures else RATED
        made = client()
        [reply] = ask(made, asked(1))
        assert made.calls == len(server.bodies) == 3
        if failures == 2:
            assert reply == Reply(RATED)
        else:
            assert reply == missing(reply.error)
            assert reply.error.endswith(", 3 tries")
            assert made.unanswered == [reply.error]

    def test_a_time_out_is_tried_again(self, server, client):
        server.script = lambda n, _: 2.5 if n == 1 else RATED
        assert ask(client(timeout=1.0), asked(1)) == [Reply(RATED)]
        assert len(server.bodies) == 2

    def test_a_time_out_that_stays(self, server, client):
        server.script = lambda n, _: 1.0
        assert ask(client(timeout=0.2, retries=0), asked(1)) == [
            missing("no answer in 0.2 s, 1 tries")
        ]

    def test_retry_after_is_kept_to(self, server, client):
        server.script = lambda n, _: (429, {"Retry-After": "1"}, b"{}") if n == 1 else RATED
        assert ask(client(), asked(1))[0].text == RATED
        assert server.times[1] - server.times[0] >= 1.0

    def test_a_stop_ends_a_long_pause(self, server, client):
        server.script = lambda n, _: (429, {"Retry-After": "300"}, b"{}")
        start = time.monotonic()
        replies = ask(client(), asked(2), stop=lambda: len(server.bodies) >= 2)
        assert replies == [missing("stopped")] * 2
        assert time.monotonic() - start < 5

    def test_one_question_that_is_refused_does_not_stop_the_others(self, server, client):
        def script(number: int, body: dict) -> Any:
            long = body["messages"][0]["content"] == "question 1"
            return (400, {}, failure("context too long")) if long else RATED

        server.script = script
        made = client()
        replies = ask(made, asked(3))
        assert [reply.text for reply in replies] == [RATED, None, RATED]
        assert made.unanswered == []  # it would be refused again
        assert replies[1].error == "HTTP 400: context too long"
        assert len(server.bodies) == 3
        again = ask(client(), asked(3))  # nor a rerun that lacks this one alone
        assert again == replies
        assert len(server.bodies) == 4


class TestBadInput:
    @pytest.mark.parametrize(
        ("status", "words", "expected"),
        [
            (401, f"wrong key {KEY}", r"judge.api_key_env: .*HTTP 401: wrong key \*\*\*"),
            (403, "not yours", "judge.api_key_env: .*HTTP 403: not yours"),
            (404, "no gpt-x", "judge.model: .*HTTP 404: no gpt-x; the server has gpt-x"),
            (400, "bad", "judge.url: .*every question was refused: HTTP 400: bad"),
        ],
    )
    def test_a_refusal_is_one_line_and_not_retried(self, server, client, status, words, expected):
        server.script = lambda n, _: (status, {}, failure(words))
        with pytest.raises(BadInput, match=expected) as error:
            ask(client(concurrency=1), asked(1))
        assert "\n" not in str(error.value)
        assert len(server.bodies) == 1

    def test_an_empty_purse_is_not_asked_again(self, server, client):
        server.script = lambda n, _: (429, {}, failure("no money", "insufficient_quota"))
        with pytest.raises(BadInput, match="no money"):
            ask(client(), asked(1))
        assert len(server.bodies) == 1

    def test_a_silent_server_before_anything_is_paid(self, client, monkeypatch):
        monkeypatch.setattr(judge, "HANDSHAKE_TIMEOUT", 0.3)
        with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the call, says nothing
            made = client(url=f"http://127.0.0.1:{silent.getsockname()[1]}/v1")
            with pytest.raises(BadInput, match=r"no server answers \(silent for 0.3 s\)"):
                ask(made, asked(3))
        assert made.calls == 0

    def test_a_dead_url_before_anything_is_paid(self, server, client):
        made = client()
        server.http.shutdown()
        server.http.server_close()
        with pytest.raises(BadInput, match=f"judge.url: {server.url}: no server answers"):
            ask(made, asked(3))
        assert made.calls == 0

    def test_a_refused_key_before_anything_is_paid(self, server, client):
        server.models = (401, failure("who are you?"))
        with pytest.raises(BadInput, match="judge.api_key_env: .*name the environment variable"):
            ask(client(key=None), asked(3))
        assert not server.bodies

    @pytest.mark.parametrize("models", [(404, b"none"), (500, b"oops"), (200, b"{"), (200, b"1")])
    def test_a_server_needs_no_list_of_models(self, server, client, models):
        server.models = models
        assert ask(client(), asked(1)) == [Reply(RATED)]

    @pytest.mark.parametrize("value", [None, "", "  "])
    def test_key_variable_unset(self, value):
        settings = Judge(url="http://x/v1", model="m", api_key_env="SOME_KEY")
        environ = {} if value is None else {"SOME_KEY": value}
        with pytest.raises(BadInput, match="environment variable SOME_KEY is not set"):
            read_key(settings, environ)

    def test_key_variable_misspelt(self):
        settings = Judge(url="http://x/v1", model="m", api_key_env="OPENAI_KEY")
        with pytest.raises(BadInput, match="did you mean 'OPENAI_API_KEY'"):
            read_key(settings, {"OPENAI_API_KEY": KEY})

    def test_a_key_in_place_of_its_variable_is_not_shown(self):
        with pytest.raises(BadInput, match="judge.api_key_env") as error:
            read_key(Judge(url="http://x/v1", model="m", api_key_env=KEY), {})
        assert KEY not in str(error.value)

    @pytest.mark.parametrize("key", ["a\nb", "schlüssel"])
    def test_a_key_that_cannot_be_sent(self, key):
        with pytest.raises(BadInput, match="cannot be in a key") as error:
            read_key(Judge(url="http://x/v1", model="m", api_key_env="K"), {"K": key})
        assert key not in str(error.value)

    @pytest.mark.parametrize(
        "given",
        [
            {"url": "localhost:8000/v1", "model": "m"},
            {"url": "http://me:key@host/v1", "model": "m"},
            {"url": "http://host/v1?api_key=x", "model": "m"},
            {"url": "http://host:99999/v1", "model": "m"},
            {"url": "http://host/v1"},
        ],
    )
    def test_settings_that_make_no_sense(self, given):
        with pytest.raises(ValidationError):
            Judge(**given)


class TestMoney:
    def test_a_rerun_pays_only_for_what_is_missing(self, server, client):
        ask(client(), asked(3))
        made = client()
        assert [reply.text for reply in ask(made, asked(5))] == [RATED] * 5
        assert made.calls == 2
        assert "2 calls needed, 3 of 5 answers known" in made.said[0]
        again = client()
        ask(again, asked(5))
        assert (again.calls, again.said) == (0, [])
        assert server.greeted == 2

    @pytest.mark.parametrize(
        "other", [{"model": "gpt-y"}, {"revision": "2"}, {"max_tokens": 9}]
    )  # fmt: skip
    def test_another_judge_is_another_answer(self, client, other):
        ask(client(), asked(1))
        made = client(**other)
        ask(made, asked(1))
        assert made.calls == 1

    def test_failures_are_not_kept(self, server, client):
        server.script = lambda n, _: (500, {}, b"")
        assert ask(client(retries=0), asked(1))[0].text is None
        server.script = lambda n, _: RATED
        assert ask(client(retries=0), asked(1))[0].text == RATED

    def test_the_bound_stops_calls(self, server, client):
        made = client(max_calls=4, concurrency=2)
        replies = ask(made, asked(10))
        assert sum(reply.text is not None for reply in replies) == 4
        assert {reply.error for reply in replies} == {None, "judge.max_calls=4 reached"}
        assert len(server.bodies) == 4
        assert "10 calls needed" in made.said[0]
        assert "at most 4" in made.said[0]
        assert made.unanswered == ["judge.max_calls=4 reached"] * 6
        assert [r.text is None for r in ask(client(), asked(10))] == [False] * 10

    def test_the_bound_is_of_all_tasks_and_reruns_together(self, server, client):
        ask(client(max_calls=4), asked(10))
        again = client(max_calls=4)
        ask(again, asked(12))
        assert (again.calls, len(server.bodies)) == (0, 4)
        assert "at most 0 more calls" in again.said[0]
        assert server.greeted == 1
        more = client(max_calls=6)
        ask(more, asked(10))
        assert (more.calls, len(server.bodies)) == (2, 6)

    def test_tasks_that_run_beside_each_other_share_the_bound(self, server, client):
        clients = [client(max_calls=20) for _ in range(3)]
        tasks = [
            threading.Thread(target=ask, args=(made, asked(100)[10 * i : 10 * i + 10]))
            for i, made in enumerate(clients)
        ]
        for task in tasks:
            task.start()
        for task in tasks:
            task.join()
        assert len(server.bodies) == sum(made.calls for made in clients) == 20

    def test_tries_count_towards_the_bound(self, server, client):
        server.script = lambda n, _: (500, {}, b"")
        made = client(max_calls=5, retries=9, concurrency=1)
        ask(made, asked(2))
        assert len(server.bodies) == made.calls == 5


class TestSecrecy:
    def test_the_key_is_nowhere(self, server, client, tmp_path, capfd, caplog):
        caplog.set_level(logging.DEBUG)
        settings = Judge(url=server.url, model="gpt-x", api_key_env="K", retries=1)
        made = JudgeClient(
            settings, read_key(settings, {"K": f" {KEY}\n"}), Cache(tmp_path / "judge.jsonl")
        )
        server.script = lambda n, _: (
            (500, {}, failure(KEY)) if n < 3 else f"you sent {KEY} [[3]]"
        )  # fmt: skip
        replies = ask(made, asked(1)) + ask(made, asked(2))
        assert [reply.text for reply in replies] == [None, *["you sent *** [[3]]"] * 2]
        out, err = capfd.readouterr()
        kept = (tmp_path / "judge.jsonl").read_text()
        for text in (out, err, kept, caplog.text, repr(made), str(made), str(replies)):
            assert KEY not in text
        assert "calls needed" in err

    def test_a_placeholder_is_no_secret(self, server, client):
        server.script = lambda n, _: "EMPTY [[3]]"
        assert ask(client(key="EMPTY"), asked(1))[0].text == "EMPTY [[3]]"


def test_the_purse_closes_where_the_cache_cannot_be_written(server, client, tmp_path):
    made = client(concurrency=1)
    (tmp_path / "judge.jsonl").mkdir()
    made.cache.refresh = lambda: None
    with pytest.raises(BadInput, match="cannot be written"):
        ask(made, asked(5))
    assert len(server.bodies) == 1
