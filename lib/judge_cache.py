"""What a judge has said, kept for good: one JSON object a line, appended as it is paid for.

    {"key": sha256 of what was asked, "judge": model, "text": its whole answer, "end": time}

Several tasks may append at the same time. A line cut by a kill is left out and costs one call.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lib.errors import BadInput
from lib.runs import now


class Cache:
    """Answers of a judge by key, from and to a JSONL file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.texts: dict[str, str] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read the file again: other tasks may have added to it."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise BadInput(f"{self.path}: cannot be read: {error.strerror}") from None
        for line in content.split(b"\n"):
            with suppress(ValueError, KeyError, TypeError):
                row = json.loads(line)
                if isinstance(row["text"], str):
                    self.texts[row["key"]] = row["text"]

    def get(self, key: str) -> str | None:
        """The answer to `key`, None where it was never had."""
        return self.texts.get(key)

    def put(self, key: str, text: str, more: Mapping[str, Any]) -> None:
        """Keep an answer; on the disk when this returns. Raises BadInput where the disk says no."""
        line = json.dumps({"key": key, **more, "text": text, "end": now()}).encode() + b"\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+") as file:
                with suppress(OSError):  # a disk without locks
                    fcntl.flock(file, fcntl.LOCK_EX)
                if file.seek(0, os.SEEK_END):
                    file.seek(-1, os.SEEK_END)
                    if file.read(1) != b"\n":  # another task was killed in the middle of a line
                        line = b"\n" + line
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise BadInput(f"{self.path}: cannot be written: {error.strerror}") from None
        self.texts[key] = text
