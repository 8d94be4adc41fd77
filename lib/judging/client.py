"""A judge behind an OpenAI-compatible chat URL, asked at temperature 0 and paid once a question.

    client = open_judge(study.config.judge, os.environ, study.directory / "judge.jsonl")
    replies = client.ask([[{"role": "user", "content": …}], …])

At most `judge.concurrency` calls are under way. 429, 5xx, time-outs, lost connections and cut
answers are tried again after growing pauses. Every try counts towards `judge.max_calls`, which all
tasks that share the cache share. What a judge said goes to the cache at once. Whatever the judge
is, its key appears nowhere.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lib.config.errors import BadInput, listed, nearest
from lib.config.schema import Judge
from lib.judging.cache import Cache
from lib.judging.retries import Passing, growing_pause, retry_after, sleep
from lib.runs.progress import Progress, progress

Messages = list[dict[str, str]]

AGAIN = (408, 409, 425, 429)  # and every 5xx
OF_ONE = (400, 413, 422)  # what is wrong with one question may be right with the next
GREETING = 20.0  # seconds for the list of models
SECRET = 8  # shorter keys ("EMPTY") are none, and taking them out would garble what was said


class Reply(NamedTuple):
    """What the judge said, or why nothing could be had."""

    text: str | None
    error: str | None


class Refused(Exception):
    """The server refuses this one question, and will again."""


def open_judge(settings: Judge, environ: Mapping[str, str], cache: Path) -> JudgeClient:
    """The client of a judge whose url and model are set.

    Raises BadInput where the key's variable is not set, or not the name of one.
    """
    return JudgeClient(settings, read_key(settings, environ), Cache(cache))


def read_key(settings: Judge, environ: Mapping[str, str]) -> str | None:
    """The key that `judge.api_key_env` names, None where the judge needs none."""
    name = settings.api_key_env
    if name is None:
        return None
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):  # perhaps a key: not to be shown
        raise BadInput("judge.api_key_env: what stands there is not the name of an environment "
                       "variable; expected one such as OPENAI_API_KEY, which holds the key"
                       )  # fmt: skip
    if not environ.get(name, "").strip():
        hint = nearest(name, [other for other in environ if other.endswith("KEY")])
        raise BadInput(f"judge.api_key_env: the environment variable {name} is not set{hint}")
    key = environ[name].strip()
    if not (key.isascii() and key.isprintable()):
        raise BadInput(f"judge.api_key_env: the environment variable {name} holds characters that "
                       f"cannot be in a key")  # fmt: skip
    return key


class JudgeClient:
    """Asks a judge. `calls`: tries that it made; `lacking`: why the last `ask` lacks answers that
    another may get, one reason for each.
    """

    def __init__(
        self, settings: Judge, key: str | None, cache: Cache,
        say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
    ) -> None:  # fmt: skip
        self.settings, self.cache, self.say = settings, cache, say
        self.calls = 0
        self.lacking: list[str] = []
        self._key = key
        self._offered: list[str] | None = None  # models of the server, once it has answered

    def __repr__(self) -> str:
        return f"JudgeClient({self.settings.model!r} at {self.settings.url!r})"

    def key_of(self, messages: Messages) -> str:
        """What makes a rating the same: judge, revision, sampling, and the whole prompt.

        The prompt holds the answer that is judged, word for word.
        """
        asked = {"model": self.settings.model, "revision": self.settings.revision,
                 "temperature": 0, "max_tokens": self.settings.max_tokens,
                 "messages": messages}  # fmt: skip
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

    def ask(
        self, requests: Sequence[Messages], stop: Callable[[], bool] = lambda: False
    ) -> list[Reply]:
        """One reply a request, in order; only what the cache lacks is asked and paid.

        Raises BadInput where the server is dead, or refuses the key, the model or every question.
        After `stop()` calls under way are waited for, and no other is made.
        """
        self.lacking = []
        self.cache.refresh()
        keys = [self.key_of(messages) for messages in requests]
        asked = dict(zip(keys, requests, strict=True))
        needed = {k: messages for k, messages in asked.items() if self.cache.get(k) is None}
        errors: dict[str, str] = {}
        if needed:
            if lost := self.cache.lost_calls():
                self.say(f"{self.cache.counted}: {lost} calls are missing that the answers in "
                         f"{self.cache.path.name} took; they count all the same")  # fmt: skip
            left = max(0, self.settings.max_calls - self.cache.calls())
            self.say(f"judge {self.settings.model} at {self.settings.url}: {len(needed)} calls "
                     f"needed, {len(asked) - len(needed)} of {len(asked)} answers known; at most "
                     f"{left} more calls (judge.max_calls={self.settings.max_calls})")  # fmt: skip
            errors = asyncio.run(self._ask_all(needed, stop))
            # Where other answers were had before, a refusal may be of a long answer alone.
            if len(errors) == len(asked) and not self.lacking:
                raise BadInput(f"judge.url: {self.settings.url}: every question was refused: "
                               f"{next(iter(errors.values()))}")  # fmt: skip
        return [Reply(self.cache.get(key), errors.get(key)) for key in keys]

    async def _ask_all(
        self, needed: Mapping[str, Messages], stop: Callable[[], bool]
    ) -> dict[str, str]:
        """Fill the cache with what is needed; key → reason for what could not be had."""
        from openai import AsyncOpenAI

        errors: dict[str, str] = {}
        queue = iter(needed.items())
        settings = self.settings

        async def work(client: Any, shown: Progress) -> None:
            for key, messages in queue:
                try:
                    reply = await self._persist(client, messages, stop)
                except Refused as error:
                    errors[key] = str(error)
                else:
                    if reply.text is None:
                        errors[key] = reply.error or "no answer"
                        self.lacking.append(errors[key])
                    else:
                        self.cache.put(key, reply.text, {"judge": settings.model})
                shown.update(shown.count + 1)

        async with AsyncOpenAI(
            base_url=settings.url, api_key=self._key or "none",
            timeout=settings.timeout, max_retries=0,
        ) as client:  # fmt: skip
            if self.cache.calls() < settings.max_calls and not stop():
                await self._greet(client)
            with progress(len(needed), f"judge {settings.model}", "answer") as shown:
                width = min(settings.concurrency, len(needed))
                workers = [asyncio.create_task(work(client, shown)) for _ in range(width)]
                try:
                    await asyncio.gather(*workers)
                finally:  # where one found bad input, the others need not go on
                    for worker in workers:
                        worker.cancel()
                    await asyncio.gather(*workers, return_exceptions=True)
        return errors

    async def _greet(self, client: Any) -> None:
        """Ask for the list of models, which costs nothing: is the server there, is the key right?

        A server that has no such list, or is busy, is left to prove itself.
        """
        from openai import APIConnectionError, APIError, APIStatusError

        if self._offered is not None:
            return
        offered: list[str] = []
        try:
            async with asyncio.timeout(GREETING):
                listing = await client.models.list(timeout=GREETING)
            offered = [str(model.id) for model in listing.data]
        except (TimeoutError, APIConnectionError) as error:
            reason = self._reason(error) or f"silent for {GREETING:g} s"
            raise BadInput(f"judge.url: {self.settings.url}: no server answers ({reason}); "
                           f"expected an OpenAI-compatible one, such as http://localhost:8000/v1"
                           ) from None  # fmt: skip
        except APIStatusError as error:
            if error.status_code in (401, 403):
                raise self._bad(error) from None
        except (APIError, ValueError, AttributeError, TypeError):
            pass
        self._offered = offered

    async def _persist(self, client: Any, messages: Messages, stop: Callable[[], bool]) -> Reply:
        """Call until there is an answer, or tries, budget or time are at an end."""
        settings, reason = self.settings, ""
        for attempt in range(settings.retries + 1):
            if stop():
                return Reply(None, "stopped")
            if not self.cache.count_call(settings.max_calls):
                return Reply(None, f"judge.max_calls={settings.max_calls} reached")
            self.calls += 1
            try:
                return Reply(await self._call(client, messages), None)
            except Passing as error:
                reason, pause = str(error), error.wait
            if attempt < settings.retries:
                await sleep(pause + growing_pause(attempt), stop)
        return Reply(None, f"{reason}, {settings.retries + 1} tries")

    async def _call(self, client: Any, messages: Messages) -> str:
        """One call. Raises Passing, Refused or BadInput."""
        from openai import APIConnectionError, APIError, APIStatusError

        settings = self.settings
        try:
            async with asyncio.timeout(settings.timeout):  # the library's own is for each read
                said = await client.chat.completions.create(
                    model=settings.model, messages=messages,
                    temperature=0, max_tokens=settings.max_tokens,
                )  # fmt: skip
            # Null: a judge that was cut before its first word. An answer, though without rating.
            text = said.choices[0].message.content or ""
            return self._without_key(text.encode("utf-8", "replace").decode())
        except TimeoutError:
            raise Passing(f"no answer in {settings.timeout:g} s") from None
        except APIConnectionError as error:
            raise Passing(self._reason(error) or f"no answer in {settings.timeout:g} s") from None
        except APIStatusError as error:
            status = error.status_code
            if error.code == "insufficient_quota":
                raise self._bad(error) from None
            if status in AGAIN or status >= 500:
                wait = retry_after(error.response.headers.get("retry-after"))
                raise Passing(f"HTTP {status}", wait) from None
            if status in OF_ONE:
                raise Refused(self._said(error)) from None
            raise self._bad(error) from None
        except (APIError, ValueError, AttributeError, TypeError, IndexError):
            raise Passing("an answer that is no chat completion") from None

    def _bad(self, error: Any) -> BadInput:
        """The line for what no retry mends: key, model, address or quota."""
        settings, status = self.settings, error.status_code
        key = "judge.url"
        hint = ""
        if status in (401, 403):
            key = "judge.api_key_env"
            hint = f"; the key in {settings.api_key_env} is not accepted"
            if settings.api_key_env is None:
                hint = "; name the environment variable that holds the key"
        elif status == 404 and self._offered:
            key = "judge.model"
            hint = f"; the server has {listed(self._offered, 5)}"
            hint += nearest(settings.model, self._offered)
        elif status == 404:
            hint = "; expected the address up to and with /v1"
        said = self._said(error)
        return BadInput(f"{key}: {settings.url} refuses {settings.model}: {said}{hint}")

    def _said(self, error: Any) -> str:
        """`HTTP 400: …`, the server's own words shortened."""
        body = error.body if isinstance(error.body, dict) else {}
        words = str(body.get("message") or error.message)
        return self._without_key(f"HTTP {error.status_code}: {words}")[:200]

    def _reason(self, error: BaseException) -> str:
        """Why a connection failed, from the deepest cause; empty for a time-out."""
        from openai import APITimeoutError

        if isinstance(error, (TimeoutError, APITimeoutError)):
            return ""
        while error.__cause__ is not None:
            error = error.__cause__
        return self._without_key(f"{type(error).__name__}: {error}".strip(": "))[:200]

    def _without_key(self, text: str) -> str:
        """A server may repeat the key that it was sent."""
        if self._key and len(self._key) >= SECRET:
            return text.replace(self._key, "***")
        return text
