"""The judge's client against a real server: vLLM serving layers of SmolLM2."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import pytest

from lib.config.errors import BadInput
from lib.config.schema import Judge
from lib.judging.cache import Cache
from lib.judging.client import JudgeClient
from lib.tasks.mt_bench.data import build
from lib.tasks.mt_bench.outcomes import TURNS
from lib.tasks.mt_bench.schema import Data
from tests.judge_server import rated

PATIENCE = 240  # seconds until the server has to answer

pytestmark = pytest.mark.slow


def free_port() -> int:
    """A free port below those that the system hands out: the server binds it seconds later."""
    for port in random.sample(range(20_000, 30_000), 100):
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port
    raise OSError("no free port among 100")


@pytest.fixture(scope="module")
def url(short_model, tmp_path_factory) -> Iterator[str]:
    port = free_port()
    log = tmp_path_factory.mktemp("vllm") / "server.log"
    words = ["--model", str(short_model), "--served-model-name", "smollm2", "--port", str(port),
             "--host", "127.0.0.1", "--max-model-len", "2048", "--enforce-eager",
             "--dtype", "bfloat16"]  # fmt: skip
    environ = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "NO_PROXY": "127.0.0.1"}
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *words],
            env=environ, stdout=file, stderr=file, start_new_session=True,
        )  # fmt: skip
    try:
        end = time.monotonic() + PATIENCE
        while not answers(f"http://127.0.0.1:{port}/v1/models"):
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < end, log.read_text()[-3000:]
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):  # its engine's processes too
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2) as reply:
            return reply.status == 200
    except OSError:
        return False


def client(url: str, tmp_path, **settings) -> JudgeClient:
    given = {"url": url, "model": "smollm2", "max_tokens": 24, "concurrency": 4} | settings
    return JudgeClient(Judge(**given), None, Cache(tmp_path / "judge.jsonl"), lambda line: None)


def test_a_small_model_judges_and_is_asked_once(url, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    rows = build(Data(questions="sample", limit=2)).rows["test"]
    made = [{"id": row["id"], "outputs": ["An answer.", "Another."]} for row in rows]
    first = client(url, tmp_path)
    judged = rated(rows, made, first)
    assert first.calls == len(TURNS) * len(rows)
    said = [judgment for row in judged for judgment in row["judgments"]]
    assert all(judgment["raw"] and judgment["error"] is None for judgment in said)
    again = client(url, tmp_path)
    assert rated(rows, made, again) == judged
    assert again.calls == 0


def test_a_model_that_is_not_served(url, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(BadInput, match=r"judge.model: .* the server has smollm2; did you mean"):
        list(client(url, tmp_path, model="smollm3").ask([[[{"role": "user", "content": "Hi"}]]]))
