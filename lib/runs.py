"""Run directories: atomic writes, done marks, locks, and how results are found again.

results/<study>/data/…                  stage 1
results/<study>/<point>/config.json     the resolved point and where it was trained
results/<study>/<point>/done/<stage>.json   the stage is whole, and from which config
results/<study>/comparison/…            stages 4 and 5
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lib.errors import BadInput
from lib.grid import digest

# What the disk answers when the user has to act; any other error is ours.
REFUSALS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EACCES,
    errno.EROFS,
    errno.EPERM,
    errno.EFBIG,
    errno.EIO,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
)


class Busy(Exception):
    """Another task is at work on the same directory."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary sibling of `path` that takes its place when the block ends well.

    The block may make it a file or a directory. When anything fails, `path` is as it was before.
    Raises BadInput, with the path and the system's reason, where the disk says no.
    """
    temporary = path.with_name(f".{path.name}.{platform.node()}-{os.getpid()}.tmp")
    old = temporary.with_suffix(".old")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove(temporary)  # left by a killed process that had this number, as in containers
        yield temporary
        _sync(temporary)
        if temporary.is_dir() and path.is_dir():  # a rename replaces no directory that holds files
            os.replace(path, old)
        os.replace(temporary, path)
    except BadInput as error:  # of a file inside, named by where it was to be
        raise BadInput(str(error).replace(str(temporary), str(path))) from None
    except Exception as error:
        if (reason := refusal(error)) is None:
            raise
        kept = "; what was there is untouched" if path.exists() or old.exists() else ""
        raise BadInput(f"{path}: cannot be written: {reason}{kept}") from None
    finally:
        if old.exists() and not path.exists():
            os.replace(old, path)
        _remove(temporary)
        _remove(old)


def refusal(error: Exception) -> str | None:
    """What the disk said no with, where an error means that; None for any other error."""
    if isinstance(error, OSError) and error.errno in REFUSALS:
        return error.strerror
    # safetensors wraps the system's error in one of its own.
    full = os.strerror(errno.ENOSPC)
    return full if full in str(error) else None


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _sync(path: Path) -> None:
    """Flush to the disk, so that the rename never overtakes the content."""
    for file in [path, *(path.rglob("*") if path.is_dir() else ())]:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def check_writable(directory: Path) -> None:
    """Raise BadInput where nothing could be written to `directory`, before work is done for it."""
    there = next(p for p in (directory.absolute(), *directory.absolute().parents) if p.exists())
    if not there.is_dir():
        raise BadInput(f"{directory}: cannot be written: {there} is not a directory")
    if not os.access(there, os.W_OK | os.X_OK):
        raise BadInput(f"{directory}: cannot be written: {there} is read-only or another user's")


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically; NaN is refused, since a missing number is null."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line, atomically."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Parsed JSON. Raises BadInput that names the file when missing or malformed."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BadInput(f"{path}: cannot be read as JSON: {error}") from None


def read_jsonl(path: Path, torn_tail: bool = False) -> list[dict[str, Any]]:
    """Rows of a JSONL file. `torn_tail`: a last line cut by a kill is left out, not refused."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error}") from None
    # Bytes: a kill may cut a letter in two, and str.splitlines also cuts at U+2028 inside a text.
    lines = content.removesuffix(b"\n").split(b"\n") if content else []
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line.decode())
            if not isinstance(row, dict):
                raise ValueError("expected an object")
            rows.append(row)
        except ValueError as error:
            if torn_tail and number == len(lines):
                break
            raise BadInput(f"{path}: line {number}: not a JSON object: {error}") from None
    return rows


def checksum(path: str | Path) -> str:
    """SHA-256 of a file."""
    with Path(path).expanduser().open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def locked(directory: Path, who: str) -> Iterator[None]:
    """Hold a directory for one task; the kernel lets go when the task dies, however it dies.

    Raises Busy where another task holds it, BadInput where the directory cannot be made.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = (directory / ".lock").open("ab+", buffering=0)
    except OSError as error:
        raise BadInput(f"{directory}: cannot be written: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise Busy(f"{directory}: held by another task ({file.read().decode()})") from None
        except OSError as error:  # such as Lustre mounted without flock
            raise BadInput(f"{directory}: cannot be locked: {error.strerror}") from None
        with suppress(OSError):  # a full disk leaves the lock without a name
            file.truncate(0)
            file.write(who.encode())
        yield


def done_mark(directory: Path, stage: str) -> dict[str, Any] | None:
    """The done mark of a stage, None where it has not finished."""
    path = directory / "done" / f"{stage}.json"
    return read_json(path) if path.exists() else None


def is_done(directory: Path, stage: str, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """The done mark if the stage finished from this very config, None if it has not finished.

    Raises BadInput that names the keys where it finished from another config.
    """
    mark = done_mark(directory, stage)
    if mark is not None:
        refuse_change(directory, stage, mark["identity"], identity)
    return mark


def unchanged(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether two identities are the same; a key that is null says what a missing key says."""
    one, other = ({k: v for k, v in i.items() if v is not None} for i in (before, now))
    return digest(one) == digest(other)


def refuse_change(
    directory: Path, stage: str, before: Mapping[str, Any], now: Mapping[str, Any]
) -> None:
    """Raise BadInput that says which keys differ between an existing result and this config."""
    if unchanged(before, now):
        return
    changed = [
        f"{key} was {before.get(key)!r}, is {now.get(key)!r}"
        for key in dict.fromkeys([*before, *now])
        if digest(before.get(key)) != digest(now.get(key))
    ]
    more = f" and {len(changed) - 4} more" if len(changed) > 4 else ""
    raise BadInput(
        f"{directory}: {stage} holds results of another config: "
        f"{'; '.join(changed[:4])}{more}; give the study another name=…, or use --force "
        f"to set the old results aside"
    )


def mark_done(directory: Path, stage: str, identity: Mapping[str, Any], **more: Any) -> None:
    """Write the done mark: the last thing that a stage does."""
    mark = {
        "stage": stage,
        "identity": dict(identity),
        "hash": digest(identity),
        "end": now(),
        **more,
    }
    write_json(directory / "done" / f"{stage}.json", mark)


def set_aside(directory: Path, names: Iterable[str] | None = None) -> Path | None:
    """Move what exists of `names` into `previous/<time>/`, for --force; returns that directory.

    None: everything that there is, but the lock and what was set aside before.
    """
    if names is None:
        names = {path.name for path in directory.glob("*")} - {".lock", "previous"}
    existing = [name for name in names if (directory / name).exists()]
    if not existing:
        return None
    aside = directory / "previous" / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
    for name in existing:
        (aside / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(directory / name, aside / name)
    return aside


def now() -> str:
    """The time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
