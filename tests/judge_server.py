"""A tiny chat server for tests: it answers, or misbehaves, as its script says."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from lib.tasks.mt_bench.judging import judging
from lib.tasks.mt_bench.schema import Data

RATED = "Fine. Rating: [[7]]"


def completion(text: str | None) -> bytes:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant"}}
    choice["message"]["content"] = text
    return json.dumps({"id": "1", "object": "chat.completion", "choices": [choice]}).encode()


def failure(words: str, code: str | None = None) -> bytes:
    return json.dumps({"error": {"message": words, "code": code}}).encode()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # of 5, some of several clients' connections would be lost


class Server:
    """`script(number of the call, its body)` → (status, headers, body) | text | seconds to sleep.

    Sleeping ends in a rating that comes too late.
    """

    def __init__(self) -> None:
        self.script: Callable[[int, dict], Any] = lambda number, body: RATED
        self.models: tuple[int, bytes] = (200, json.dumps({"data": [{"id": "gpt-x"}]}).encode())
        self.bodies: list[dict] = []
        self.headers: list[Any] = []
        self.times: list[float] = []
        self.busy = self.busiest = self.greeted = 0
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                outer.greeted += 1
                self.reply(outer.models[0], {}, outer.models[1])

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer.lock:
                    outer.bodies.append(body)
                    outer.headers.append(self.headers)
                    outer.times.append(time.monotonic())
                    number = len(outer.bodies)
                    outer.busy += 1
                    outer.busiest = max(outer.busiest, outer.busy)
                made = outer.script(number, body)
                if isinstance(made, float):
                    time.sleep(made)
                    made = RATED
                with outer.lock:
                    outer.busy -= 1
                if isinstance(made, str):
                    made = (200, {}, completion(made))
                self.reply(*made)

            def reply(self, status: int, headers: dict, body: bytes) -> None:
                cut = headers.pop("cut", 0)
                try:
                    self.send_response(status)
                    for name, value in {"Content-Type": "application/json", **headers}.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(body) + cut))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:  # the client went away
                    pass
                self.close_connection = self.close_connection or bool(cut)

        self.http = _Http(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()


def rated(rows: list, answers: list, client: Any) -> list:
    """The judgments of MT-Bench that a client of a server gives to answers, as they are written."""
    given = judging(client.settings, Data())
    asked = [given.questions(row, made) for row, made in zip(rows, answers, strict=True)]
    [replies] = client.ask([[question for own in asked for question in own]])
    return [
        {"id": made["id"],
         "judgments": given.judgments(made, own, replies[2 * i : 2 * i + 2], client)}
        for i, (made, own) in enumerate(zip(answers, asked, strict=True))
    ]  # fmt: skip
