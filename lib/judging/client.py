"""A judge behind an OpenAI-compatible chat URL, asked at temperature 0 and paid once a question.

At most `judge.concurrency` calls are under way. 429, 5xx, time-outs, lost connections and cut
answers are tried again, with exponential backoff. Every try counts towards `judge.max_calls`, that
of all tasks that share the cache. Replies go to the cache at once. The key appears nowhere.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from itertools import chain
from typing import Any

from lib.config.errors import BadInput, listed, nearest
from lib.config.schema import Judge
from lib.config.tasks import Message, Reply
from lib.judging.cache import Cache
from lib.judging.retries import TransientError, exponential_backoff, retry_after, sleep
from lib.runs.progress import Progress, progress

Messages = list[Message]

RETRYABLE_STATUS = (408, 409, 425, 429)  # and every 5xx
PER_REQUEST_STATUS = (400, 413, 422)  # what is wrong with one question may be right with the next
HANDSHAKE_TIMEOUT = 20.0  # seconds for the list of models
SECRET = 8  # shorter keys ("EMPTY") are none, and taking them out would garble replies


class RequestRejected(Exception):
    """The server refuses this one question, and will again."""


def read_key(settings: Judge, environ: Mapping[str, str]) -> str | None:
    """The key that `judge.api_key_env` names, None where the judge needs none.

    Raises BadInput where the variable is not set, or not the name of one.
    """
    name = settings.api_key_env
    if name is None:
        return None
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):  # perhaps a key: not to be shown
        raise BadInput("judge.api_key_env: expected the name of an environment variable, such as "
                       "OPENAI_API_KEY, which holds the key")  # fmt: skip
    if not environ.get(name, "").strip():
        hint = nearest(name, [other for other in environ if other.endswith("KEY")])
        raise BadInput(f"judge.api_key_env: the environment variable {name} is not set{hint}")
    key = environ[name].strip()
    if not (key.isascii() and key.isprintable()):
        raise BadInput(f"judge.api_key_env: the environment variable {name} holds characters that "
                       f"cannot be in a key")  # fmt: skip
    return key


class JudgeClient:
    """See `lib.judging.loop.Judge`. `calls`: tries that this client made."""

    template = ""

    def __init__(
        self, settings: Judge, key: str | None, cache: Cache,
        say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
    ) -> None:  # fmt: skip
        self.settings, self.cache, self.say = settings, cache, say
        self.source = {"judge": settings.model, "revision": settings.revision}
        self.calls = 0
        self.unanswered: list[str] = []
        self._key = key
        self._models: list[str] = []  # models of the server, once it has said so

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
        self, groups: Sequence[Sequence[Messages]], stop: Callable[[], bool] = lambda: False
    ) -> Generator[list[Reply], None, None]:
        """Ask all questions before the first group is given; only what the cache lacks is paid.

        Raises BadInput where the server is dead, or refuses the key, the model or every question.
        After `stop()` calls under way are waited for, and no other is made.
        """
        self.unanswered = []
        self.cache.refresh()
        keys = [[self.key_of(question) for question in group] for group in groups]
        questions = dict(zip(chain(*keys), chain(*groups), strict=True))
        needed = {k: messages for k, messages in questions.items() if k not in self.cache.texts}
        errors: dict[str, str] = {}
        if needed:
            limit, known = self.settings.max_calls, len(questions) - len(needed)
            self.say(f"judge {self.settings.model} at {self.settings.url}: {len(needed)} calls "
                     f"needed, {known} of {len(questions)} answers known; at most "
                     f"{max(0, limit - self.cache.calls())} more calls (judge.max_calls={limit})"
                     )  # fmt: skip
            errors = asyncio.run(self._ask_all(needed, stop))
            # Where other answers were had before, a refusal may be of a long answer alone.
            if len(errors) == len(questions) and not self.unanswered:
                raise BadInput(f"judge.url: {self.settings.url}: every question was refused: "
                               f"{next(iter(errors.values()))}")  # fmt: skip
        for group in keys:
            yield [
                Reply(self.cache.texts.get(k), error=errors.get(k), ask_again=k in errors)
                for k in group
            ]

    async def _ask_all(
        self, needed: Mapping[str, Messages], stop: Callable[[], bool]
    ) -> dict[str, str]:
        """Fill the cache with what is needed; key → why a question has no answer."""
        from openai import AsyncOpenAI

        errors: dict[str, str] = {}
        settings, queue = self.settings, iter(needed.items())

        async def work(client: Any, shown: Progress) -> None:
            for key, messages in queue:
                try:
                    text = await self._call_until_answered(client, messages, stop)
                    self.cache.put(key, text, {"judge": settings.model})
                except RequestRejected as error:
                    errors[key] = str(error)
                except TransientError as error:
                    errors[key] = str(error)
                    self.unanswered.append(str(error))
                shown.update(shown.count + 1)

        async with AsyncOpenAI(
            base_url=settings.url, api_key=self._key or "none",
            timeout=settings.timeout, max_retries=0,
        ) as client:  # fmt: skip
            if self.cache.calls() < settings.max_calls and not stop():
                await self._check_server(client)
            with progress(len(needed), f"judge {settings.model}", "answer") as shown:
                try:
                    async with asyncio.TaskGroup() as workers:
                        for _ in range(min(settings.concurrency, len(needed))):
                            workers.create_task(work(client, shown))
                except* BadInput as group:  # where one found it, the others need not go on
                    raise group.exceptions[0] from None
        return errors

    async def _call_until_answered(
        self, client: Any, messages: Messages, stop: Callable[[], bool]
    ) -> str:
        """Call again while an error may pass. Raises TransientError at the end of all tries.

        That is also what the end of the budget of calls, or of the time, is.
        """
        settings, reason = self.settings, ""
        for attempt in range(settings.retries + 1):
            if stop():
                raise TransientError("stopped")
            if not self.cache.count_call(settings.max_calls):
                raise TransientError(f"judge.max_calls={settings.max_calls} reached")
            self.calls += 1
            try:
                return await self._call(client, messages)
            except TransientError as error:
                reason, pause = str(error), error.wait
            if attempt < settings.retries:
                await sleep(pause + exponential_backoff(attempt), stop)
        raise TransientError(f"{reason}, {settings.retries + 1} tries")

    async def _check_server(self, client: Any) -> None:
        """Ask for the list of models, which costs nothing: is the server there, is the key right?

        A server that has no such list, or is busy, is left to prove itself.
        """
        from openai import APIConnectionError, APIError, APIStatusError

        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT):
                listing = await client.models.list()
            self._models = [str(model.id) for model in listing.data]
        except (TimeoutError, APIConnectionError) as error:
            reason = self._cause(error) or f"silent for {HANDSHAKE_TIMEOUT:g} s"
            raise BadInput(f"judge.url: {self.settings.url}: no server answers ({reason}); "
                           f"expected an OpenAI-compatible one, such as http://localhost:8000/v1"
                           ) from None  # fmt: skip
        except APIStatusError as error:
            if error.status_code in (401, 403):
                raise self._error_of(error) from None
        except (APIError, ValueError, AttributeError, TypeError):
            pass

    async def _call(self, client: Any, messages: Messages) -> str:
        """One call. Raises TransientError, RequestRejected or BadInput."""
        from openai import APIConnectionError, APIError, APIStatusError

        settings = self.settings
        try:
            async with asyncio.timeout(settings.timeout):  # the library's own is for each read
                completion = await client.chat.completions.create(
                    model=settings.model, messages=messages,
                    temperature=0, max_tokens=settings.max_tokens,
                )  # fmt: skip
            # Null: a judge that was cut before its first word. An answer, though without rating.
            text = completion.choices[0].message.content or ""
            return self._redacted(text.encode("utf-8", "replace").decode())
        except (TimeoutError, APIConnectionError) as error:
            reason = self._cause(error) or f"no answer in {settings.timeout:g} s"
            raise TransientError(reason) from None
        except APIStatusError as error:
            raise self._error_of(error) from None
        except (APIError, ValueError, AttributeError, TypeError, IndexError):
            raise TransientError("an answer that is no chat completion") from None

    def _error_of(self, error: Any) -> Exception:
        """What a status means: BadInput for what no retry changes: key, model, address or quota."""
        settings, status, line = self.settings, error.status_code, self._status_line(error)
        if error.code != "insufficient_quota":
            if status in RETRYABLE_STATUS or status >= 500:
                wait = retry_after(error.response.headers.get("retry-after"))
                return TransientError(f"HTTP {status}", wait)
            if status in PER_REQUEST_STATUS:
                return RequestRejected(line)
        key, hint = "judge.url", ""
        if status in (401, 403):
            key = "judge.api_key_env"
            hint = f"; the key in {settings.api_key_env} is not accepted"
            if settings.api_key_env is None:
                hint = "; name the environment variable that holds the key"
        elif status == 404 and self._models:
            key = "judge.model"
            hint = f"; the server has {listed(self._models, 5)}"
            hint += nearest(settings.model, self._models)
        elif status == 404:
            hint = "; expected the address up to and with /v1"
        return BadInput(f"{key}: {settings.url} refuses {settings.model}: {line}{hint}")

    def _status_line(self, error: Any) -> str:
        """`HTTP 400: …`, the server's own words shortened."""
        body = error.body if isinstance(error.body, dict) else {}
        words = str(body.get("message") or error.message)
        return self._redacted(f"HTTP {error.status_code}: {words}")[:200]

    def _cause(self, error: BaseException) -> str:
        """Why a connection failed, from the deepest cause; empty for a time-out."""
        from openai import APITimeoutError

        if isinstance(error, (TimeoutError, APITimeoutError)):
            return ""
        while error.__cause__ is not None:
            error = error.__cause__
        return self._redacted(f"{type(error).__name__}: {error}".strip(": "))[:200]

    def _redacted(self, text: str) -> str:
        """A server may repeat the key that it was sent."""
        if self._key and len(self._key) >= SECRET:
            return text.replace(self._key, "***")
        return text
