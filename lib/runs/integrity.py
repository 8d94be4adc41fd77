"""Checksums of results: recorded when a file is finished, verified when it is read.

A record maps a path, relative to a directory, to its SHA-256, size and modification time. It is
part of a done mark, a manifest or a checkpoint's last file.

    record(directory, ["model", "train.jsonl"])      hashes files, and every file of a directory
    verify(directory, recorded, "run stage 2 again") raises BadInput that names the first bad file

A file above `SMALL` is hashed only if its size or modification time differs from the record, so
that verifying untouched weights takes one stat per file. On two cores without SHA
instructions 1 GiB took 5.7 s to hash (so 14 GB some 75 s) and 0.2 ms to verify.

JSON files with records have a checksum of their own (see `files.write_sealed`), and so does each
line of a file that several tasks append to.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from lib.config.errors import BadInput

SMALL = 16 << 20  # bytes; files up to this size are always hashed
SEAL = "sha256"  # key of a sealed JSON object's checksum of its other keys
THREADS = 4  # files hashed in parallel; hashlib releases the GIL

_verified: dict[Path, tuple[int, int, str]] = {}  # hashes of this process


def checksum(path: str | Path) -> str:
    """SHA-256 of a file, in hex."""
    with Path(path).expanduser().open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def record(directory: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Path below `directory` → sha256, bytes, mtime_ns, of files and of all files of directories.

    Missing names are left out, since some files are optional.
    """
    files = sorted({file for name in names for file in _files(directory / name)})
    with ThreadPoolExecutor(THREADS) as pool:
        hashes = list(pool.map(checksum, files))
    recorded = {}
    for file, sha in zip(files, hashes, strict=True):
        stat = file.stat()
        recorded[file.relative_to(directory).as_posix()] = {
            "sha256": sha,
            "bytes": stat.st_size,
            "mtime_ns": stat.st_mtime_ns,
        }
    return recorded


def verify(
    directory: Path,
    recorded: Mapping[str, Mapping[str, Any]],
    remedy: str,
    names: Iterable[str] | None = None,
) -> None:
    """Raise BadInput, ending in `remedy`, for a file that differs from its record.

    names: files or directories below `directory` to verify, None: all recorded ones. Each has to
    be recorded, and a recorded directory must not have other files.
    """
    if names is None:
        names = {path.partition("/")[0] for path in recorded}
    for name in sorted(set(names)):
        inside = [path for path in recorded if path == name or path.startswith(f"{name}/")]
        if not inside:
            raise BadInput(f"{directory / name}: no checksum was recorded of it; {remedy}")
        for path in inside:
            _verify_file(directory / path, recorded[path], remedy)
        for file in _files(directory / name):
            if file.relative_to(directory).as_posix() not in inside:
                raise BadInput(f"{file}: not among the files that were recorded; {remedy}")


def _verify_file(path: Path, expected: Mapping[str, Any], remedy: str) -> None:
    try:
        stat = path.stat()
        if stat.st_size != expected["bytes"]:
            raise BadInput(
                f"{path}: changed since it was written: found {stat.st_size} bytes, expected "
                f"{expected['bytes']}; {remedy}"
            )
        if stat.st_size > SMALL and stat.st_mtime_ns == expected["mtime_ns"]:
            return
        known = (stat.st_mtime_ns, stat.st_ctime_ns, expected["sha256"])
        if _verified.get(path) == known:
            return
        actual = checksum(path)
    except FileNotFoundError:
        raise BadInput(f"{path}: missing, though it was finished; {remedy}") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}; {remedy}") from None
    except KeyError as error:
        raise BadInput(f"{path}: its record has no {error}; {remedy}") from None
    if actual != expected["sha256"]:
        raise BadInput(
            f"{path}: changed since it was written: found sha256 {actual[:12]}, expected "
            f"{expected['sha256'][:12]}; {remedy}"
        )
    _verified[path] = known


def digest_of(recorded: Mapping[str, Mapping[str, Any]]) -> str:
    """12 hex digits that identify the recorded contents, without paths and times."""
    return _digest({name: entry["sha256"] for name, entry in recorded.items()})[:12]


def seal(content: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object with the checksum of its other keys under `sha256`."""
    return {**content, SEAL: _digest(content)}


def unseal(sealed: Any) -> dict[str, Any]:
    """The content of a sealed object. Raises ValueError where it was changed."""
    if not isinstance(sealed, dict) or SEAL not in sealed:
        raise ValueError(f"no {SEAL} of its content")
    content = {key: value for key, value in sealed.items() if key != SEAL}
    if sealed[SEAL] != _digest(content):
        raise ValueError(f"its {SEAL} is not that of its content")
    return content


def _digest(content: Any) -> str:
    # Through JSON, so that tuples and int keys hash as what will be read.
    plain = json.loads(json.dumps(content))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _files(path: Path) -> list[Path]:
    """A file itself, or all files of a directory except hidden ones."""
    if not path.is_dir():
        return [path] if path.exists() else []
    inside = (file for file in path.rglob("*") if file.is_file())
    return [f for f in inside if not any(p.startswith(".") for p in f.relative_to(path).parts)]
