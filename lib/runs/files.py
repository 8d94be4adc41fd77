"""Files of a study: written atomically; damaged ones give a one-line error."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lib.config.errors import BadInput
from lib.runs.integrity import seal, unseal

# Errors of the disk that the user has to fix; any other error is a bug.
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
    errno.ENAMETOOLONG,
    errno.ESTALE,
)
# safetensors and torch.save raise errors of their own, with or without the system's reason.
WRAPPED = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES)
LOST = ("iostream error", "file write failed", "unexpected pos")  # of PyTorchStreamWriter
TEMPORARY = re.compile(r"\.[0-9a-f]{12}\.(tmp|old)$")  # suffix of temporary names of `replacing`
WRITTEN_UNDER_LOCK = (
    "checkpoints",
    "candidates",
)  # subdirectories that the lock's holder alone writes
STALE_SECONDS = 3600.0


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary sibling of `path`, a file or directory, that replaces it after the block.

    If anything fails, `path` stays as it was. The temporary name is random, since host names and
    PIDs repeat among containers. Raises BadInput, with the path and the system's reason, for errors
    of the disk.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    old = temporary.with_suffix(".old")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        apply_umask(temporary)
        flush_to_disk(temporary)
        if temporary.is_dir() and path.is_dir():  # a rename cannot replace a non-empty directory
            os.replace(path, old)
        os.replace(temporary, path)
    except BadInput as error:  # of a file inside, named by its final path
        raise BadInput(str(error).replace(str(temporary), str(path))) from None
    except Exception as error:
        if (reason := refusal(error)) is None:
            raise
        kept = "; existing files are unchanged" if path.exists() or old.exists() else ""
        raise BadInput(f"{path}: cannot be written: {reason}{kept}") from None
    finally:
        if old.exists() and not path.exists():
            os.replace(old, path)
        _remove(temporary)
        _remove(old)


def remove_leftovers(directory: Path) -> None:
    """Remove temporary files of killed processes from a directory that the caller has locked.

    Directories are removed at once, since only the lock's holder writes them; files after
    `STALE_SECONDS`, since stage 4 writes without the lock. A directory that was moved away for a
    replacement that never came is moved back.
    """
    for place in (directory, *(directory / name for name in WRITTEN_UNDER_LOCK)):
        for old in place.glob(".*.old"):
            path = place / TEMPORARY.sub("", old.name.removeprefix("."))
            if TEMPORARY.search(old.name) and not path.exists():
                os.replace(old, path)
        for path in place.glob(".*"):
            if TEMPORARY.search(path.name) and (path.is_dir() or _age(path) > STALE_SECONDS):
                _remove(path)


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def refusal(error: Exception) -> str | None:
    """The disk's reason for an error, None for errors of another kind."""
    if isinstance(error, OSError):
        return error.strerror if error.errno in REFUSALS else None
    wrapped = (os.strerror(number) for number in WRAPPED)
    losing = "no space, quota or file size left" if any(t in str(error) for t in LOST) else None
    return next((reason for reason in wrapped if reason in str(error)), losing)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def flush_to_disk(path: Path) -> None:
    """fsync a file, or a directory and its content, so that a rename never precedes the content."""
    for file in [path, *(path.rglob("*") if path.is_dir() else ())]:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def apply_umask(path: Path) -> None:
    """Apply the umask to a file, or to all of a directory; safetensors creates private files."""
    for file in [path, *(path.rglob("*") if path.is_dir() else ())]:
        mode = (0o777 if file.is_dir() else 0o666) & ~_umask()
        if file.stat().st_mode & mode != mode:
            file.chmod(file.stat().st_mode | mode)


def _umask() -> int:
    """This process's umask, read without setting it, which would affect other threads."""
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in status if line.startswith("Umask:")), 8)


def check_writable(directory: Path) -> None:
    """Raise BadInput where `directory` is not writable."""
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
    """Write JSON atomically; NaN is an error, since a missing number is null."""
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
    """Rows of a JSONL file. torn_tail: ignore a last line that a kill left incomplete."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error}") from None
    # As bytes: a kill may truncate a character, and str.splitlines also splits at U+2028.
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


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object together with the checksum of its content."""
    write_json(path, seal(content))


def read_sealed(path: Path, remedy: str, keys: Iterable[str] = ()) -> dict[str, Any]:
    """The content that `write_sealed` wrote. Raises BadInput, ending in `remedy`, if it differs.

    keys: required keys.
    """
    try:
        content = unseal(json.loads(path.read_bytes()))
        if missing := [key for key in keys if key not in content]:
            raise ValueError(f"no key {missing[0]!r}")
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file; {remedy}") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}; {remedy}") from None
    except ValueError as error:  # of JSON and Unicode too
        raise BadInput(f"{path}: changed since it was written: {error}; {remedy}") from None
    return content


def now() -> str:
    """The time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV text; a missing number is an empty cell."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
