"""The replies of a judge, kept for good, and how many calls it was sent.

    judge.jsonl    {"key": sha256 of what was asked, "judge": model, "text": its whole answer,
                    "end": time, "calls": calls so far, "sha256": of all the other fields}
    judge.calls    one byte for each call, answered or not: the file's size is their number

Several tasks may append at the same time. A line cut by a kill is left out and costs one call; one
that was changed is refused. Where judge.calls is deleted, the count resumes from the last reply's.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from lib.config.errors import BadInput
from lib.runs.files import now
from lib.runs.integrity import seal, unseal


class Cache:
    """Replies of a judge by key, from and to a JSONL file, and the count of calls beside it."""

    def __init__(self, path: Path) -> None:
        self.path, self.counted = path, path.with_suffix(".calls")
        self.texts: dict[str, str] = {}  # key → reply
        self._known = 0  # calls that the answers prove, whatever judge.calls holds
        self.refresh()

    def refresh(self) -> None:
        """Read the file again: other tasks may have added to it.

        Raises BadInput that names the line of a reply that was changed.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise BadInput(f"{self.path}: cannot be read: {error.strerror}") from None
        texts, recorded = {}, 0
        for number, line in enumerate(content.split(b"\n"), 1):
            try:
                row = json.loads(line)
            except ValueError:  # torn: it was never whole
                continue
            try:
                row = unseal(row)
            except ValueError as error:
                raise BadInput(
                    f"{self.path}: line {number}: changed, or of an earlier version: {error}; "
                    f"remove the line, and its question is asked again (one call)"
                ) from None
            texts[row["key"]], recorded = row["text"], max(recorded, row["calls"])
        self.texts = texts
        self._known = max(recorded, len(texts))

    def put(self, key: str, text: str, more: Mapping[str, Any]) -> None:
        """Keep a reply; on the disk when this returns. Raises BadInput where it cannot be."""
        self._known = max(self._known, len(self.texts | {key: text}))
        row = {"key": key, **more, "text": text, "end": now(), "calls": self.calls()}
        line = json.dumps(seal(row)).encode() + b"\n"
        with _open_locked(self.path) as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # another task was killed in the middle of a line
                    line = b"\n" + line
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self.texts[key] = text

    def calls(self) -> int:
        """Calls that all tasks together have made so far."""
        return max(self._counted(), self._known)

    def count_call(self, most: int) -> bool:
        """Count a call that is about to be made; False, and not counted, where `most` have been."""
        with _open_locked(self.counted) as file:
            counted = file.seek(0, os.SEEK_END)
            if max(counted, self._known) >= most:
                return False
            file.write(b"." * (max(0, self._known - counted) + 1))
        return True

    def _counted(self) -> int:
        return self.counted.stat().st_size if self.counted.exists() else 0


@contextmanager
def _open_locked(path: Path) -> Iterator[BinaryIO]:
    """A file open for one task at a time. Raises BadInput where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            with suppress(OSError):  # a disk without locks
                fcntl.flock(file, fcntl.LOCK_EX)
            yield file
    except OSError as error:
        raise BadInput(f"{path}: cannot be written: {error.strerror}") from None
