"""Run directories: atomic writes, done marks, locks, and how results are found again.

results/<study>/data/…                  stage 1
results/<study>/<point>/config.json     the resolved point and where it was trained
results/<study>/<point>/done/<stage>.json   the stage is whole, and from which config
results/<study>/comparison/…            stages 4 and 5
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from lib.errors import BadInput
from lib.grid import digest
from lib.integrity import record, seal, unseal, verify

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
    errno.ENAMETOOLONG,
    errno.ESTALE,
)
# safetensors and torch.save raise errors of their own: with the system's reason, or without.
WRAPPED = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES)
LOST = ("iostream error", "file write failed", "unexpected pos")  # PyTorchStreamWriter's


TEMPORARY = re.compile(r"\.[0-9a-f]{12}\.(tmp|old)$")  # ends the names that `replacing` makes up
WRITTEN_UNDER_LOCK = ("checkpoints", "sweep")  # subdirectories that the lock's holder alone writes
STALE_SECONDS = 3600.0


class Busy(Exception):
    """Another task is at work on the same directory."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary sibling of `path` that takes its place when the block ends well.

    The block may make it a file or a directory. When anything fails, `path` is as it was before.
    Its name is random: host names and process numbers repeat among containers and nodes. Raises
    BadInput, with the path and the system's reason, where the disk says no.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    old = temporary.with_suffix(".old")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        apply_umask(temporary)
        flush_to_disk(temporary)
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


def remove_leftovers(directory: Path) -> None:
    """Remove what killed processes left of `replacing` in a directory that the caller has locked.

    Directories at once: only who holds the lock writes them, and each may be a whole model. Files
    after `STALE_SECONDS`: stage 4 writes small ones without the lock. A directory that was moved
    out of the way of its successor, which then never came, goes back.
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
    """What the disk said no with, where an error means that; None for any other error."""
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
    """fsync a file, or a directory and all in it, so that a rename never overtakes the content."""
    for file in [path, *(path.rglob("*") if path.is_dir() else ())]:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def apply_umask(path: Path) -> None:
    """Give files the mode that the umask asks for; safetensors makes its own readable by one user.

    path: a file, or a directory with all in it.
    """
    for file in [path, *(path.rglob("*") if path.is_dir() else ())]:
        mode = (0o777 if file.is_dir() else 0o666) & ~_umask()
        if file.stat().st_mode & mode != mode:
            file.chmod(file.stat().st_mode | mode)


def _umask() -> int:
    """This process's umask, read without setting it: other threads may be making files."""
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in status if line.startswith("Umask:")), 8)


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


@contextmanager
def locked(directory: Path, who: str) -> Iterator[BinaryIO]:
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
        remove_leftovers(directory)
        yield file


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object together with the checksum of its content."""
    write_json(path, seal(content))


def read_sealed(path: Path, remedy: str, keys: Iterable[str] = ()) -> dict[str, Any]:
    """What `write_sealed` wrote. Raises BadInput, ending in `remedy`, for anything else.

    keys: those that it must have.
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


def done_mark(directory: Path, stage: str) -> dict[str, Any] | None:
    """The done mark of a stage, None where it has not finished.

    Raises BadInput where the mark is not what the stage wrote.
    """
    path = directory / "done" / f"{stage}.json"
    if not path.exists():
        return None
    return read_sealed(path, remedy(stage), ("stage", "identity", "hash", "files"))


def remedy(stage: str) -> str:
    """What to do about a result of a stage that cannot be used."""
    return f"remove it, or run its stage ({stage}) again with --force"


def is_done(directory: Path, stage: str, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """The done mark if the stage finished from this very config, None if it has not finished.

    Raises BadInput that names the keys where it finished from another config.
    """
    mark = done_mark(directory, stage)
    if mark is not None:
        refuse_change(directory, stage, mark["identity"], identity)
    return mark


def verify_done(directory: Path, stage: str, names: Iterable[str] | None = None) -> None:
    """Raise BadInput where files that a stage finished are not as it left them.

    names: those to look at, as in `lib.integrity.verify`.
    """
    mark = done_mark(directory, stage)
    if mark is not None:
        verify(directory, mark["files"], remedy(stage), names)


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


def mark_done(
    directory: Path, stage: str, identity: Mapping[str, Any], files: Iterable[str], **more: Any
) -> None:
    """Write the done mark: the last thing that a stage does.

    files: names of the files and directories, below `directory`, that the mark vouches for.
    """
    mark = {
        "stage": stage,
        "identity": dict(identity),
        "hash": digest(identity),
        "end": now(),
        "files": record(directory, files),
        **more,
    }
    write_sealed(directory / "done" / f"{stage}.json", mark)


def set_aside(directory: Path, names: Iterable[str] | None = None) -> Path | None:
    """Move what exists of `names` into `previous/<time>/`, for --force; returns that directory.

    None: everything that there is, but the lock and what was set aside before.
    """
    if names is None:
        names = {p.name for p in directory.glob("*") if not TEMPORARY.search(p.name)}
        names -= {".lock", "previous"}
    existing = [name for name in names if (directory / name).exists()]
    if not existing:
        return None
    aside = directory / "previous" / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
    for name in existing:
        (aside / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(directory / name, aside / name)
    return aside


class Submission(NamedTuple):
    """A SLURM submission of a task, and how often the task has been requeued since."""

    id: str
    restarts: int


def is_archived(directory: Path, stage: str, submission: Submission | None) -> bool:
    """Whether an earlier run of this submission has set the old results aside, for --force.

    A restarted task resumes the points of which that is so, and redoes the others. Without a
    submission each call is asked anew.
    """
    marker = directory / "done" / f"force_{stage}.json"
    if not (submission and submission.restarts and marker.exists()):
        return False
    return read_sealed(marker, "remove it", ["submission"])["submission"] == submission.id


def archive(
    directory: Path, stage: str, submission: Submission | None, names: Iterable[str] | None = None
) -> Path | None:
    """`set_aside` for --force, and take note of the submission that did it."""
    aside = set_aside(directory, names)
    if submission:
        write_sealed(directory / "done" / f"force_{stage}.json", {"submission": submission.id})
    return aside


def now() -> str:
    """The time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
