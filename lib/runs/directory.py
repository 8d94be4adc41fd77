"""Run directories: locks, done marks, identities and archives.

results/<study>/data/…                  stage 1
results/<study>/<point>/config.json     the resolved point and where it was trained
results/<study>/<point>/done/<stage>.json   the stage is complete, with its identity
results/<study>/comparison/…            stages 4 and 5
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from lib.config.errors import BadInput
from lib.config.grid import digest
from lib.config.schema import RENAMED
from lib.runs.files import TEMPORARY, now, read_json, read_sealed, remove_leftovers, write_sealed
from lib.runs.integrity import record, verify

if TYPE_CHECKING:
    from lib.config.study import Point, Study

LOG = "train.jsonl"
RECORDS = ("usage", "importance")  # optional records of training
CANDIDATES = "candidates"  # directory of the weights for checkpoint selection
SELECTION = "checkpoint_selection"  # its done mark: model/ is the best of them


class Busy(Exception):
    """Another task works on the same directory."""


@contextmanager
def locked(directory: Path, who: str) -> Iterator[BinaryIO]:
    """Lock a directory; the kernel releases the lock when the task dies, however it dies.

    Raises Busy where another task holds it, BadInput where the directory cannot be created.
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
        with suppress(OSError):  # on a full disk the holder is unknown
            file.truncate(0)
            file.write(who.encode())
        remove_leftovers(directory)
        yield file


def done_mark(directory: Path, stage: str) -> dict[str, Any] | None:
    """The done mark of a stage, None if it is not finished.

    Raises BadInput for a damaged mark.
    """
    path = directory / "done" / f"{stage}.json"
    if not path.exists():
        return None
    return read_sealed(path, remedy(stage), ("stage", "identity", "hash", "files"))


def remedy(stage: str) -> str:
    """What to do about an unusable result of a stage."""
    return f"remove it, or run its stage ({stage}) again with --force"


def is_done(directory: Path, stage: str, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """The done mark if the stage finished with this identity, None if it is not finished.

    Raises BadInput with the keys that differ where it finished with another one.
    """
    mark = done_mark(directory, stage)
    if mark is not None:
        refuse_change(directory, stage, mark["identity"], identity)
    return mark


def verify_done(directory: Path, stage: str, names: Iterable[str] | None = None) -> None:
    """Raise BadInput where files of a finished stage were changed.

    names: files to check, as in `lib.runs.integrity.verify`.
    """
    mark = done_mark(directory, stage)
    if mark is not None:
        verify(directory, mark["files"], remedy(stage), names)


def unchanged(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether two identities are equal; a null key equals a missing one."""
    one, other = ({k: v for k, v in i.items() if v is not None} for i in (before, now))
    return digest(one) == digest(other)


def changed_keys(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """`train.gamma was 1, is 2` for each key that differs between two identities."""
    if unchanged(before, now):
        return []
    return [
        f"{RENAMED.get(key, key)} was {before.get(key)!r}, is {now.get(key)!r}"
        for key in dict.fromkeys([*before, *now])
        if digest(before.get(key)) != digest(now.get(key))
    ]


def refuse_change(
    directory: Path, stage: str, before: Mapping[str, Any], now: Mapping[str, Any]
) -> None:
    """Raise BadInput with the keys that differ between an existing result and this config."""
    changed = changed_keys(before, now)
    if not changed:
        return
    more = f" and {len(changed) - 4} more" if len(changed) > 4 else ""
    raise BadInput(
        f"{directory}: {stage} has results of another config: "
        f"{'; '.join(changed[:4])}{more}; give the study another name=…, or use --force "
        f"to archive the old results"
    )


def mark_done(
    directory: Path, stage: str, identity: Mapping[str, Any], files: Iterable[str], **more: Any
) -> None:
    """Write the done mark, as the last action of a stage.

    files: names of files and directories below `directory` whose checksums go into the mark.
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


class Submission(NamedTuple):
    """A SLURM submission of a task, and how often the task was requeued."""

    id: str
    restarts: int


def is_archived(directory: Path, stage: str, submission: Submission | None) -> bool:
    """Whether an earlier run of this submission has archived the old results, for --force.

    A restarted task resumes these points and redoes the others. Without a submission, never.
    """
    marker = directory / "done" / f"force_{stage}.json"
    if not (submission and submission.restarts and marker.exists()):
        return False
    return read_sealed(marker, "remove it", ["submission"])["submission"] == submission.id


def archive(
    directory: Path,
    names: Iterable[str] | None = None,
    stage: str = "",
    submission: Submission | None = None,
) -> Path | None:
    """Move what exists of `names` into `previous/<time>/`, for --force; returns that directory.

    names: None for everything but the lock and older archives. With a submission,
    `is_archived` remembers that its `stage` has done so.
    """
    if names is None:
        names = {p.name for p in directory.glob("*") if not TEMPORARY.search(p.name)}
        names -= {".lock", "previous"}
    existing = [name for name in names if (directory / name).exists()]
    target = directory / "previous" / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
    for name in existing:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(directory / name, target / name)
    if submission:
        write_sealed(directory / "done" / f"force_{stage}.json", {"submission": submission.id})
    return target if existing else None


def status(study: Study, point: Point) -> str:
    """ "done" (has the predictions of every task not skipped), "diverged", "trained", "missing"."""
    trained = done_mark(point.directory, "train")
    if trained is None:
        return "missing"
    if trained["status"] == "diverged":
        return "diverged"
    marks = (done_mark(point.directory, study.named("infer", task)) for task in study.tasks)
    return "done" if all(marks) else "trained"


def read_metrics(study: Study, point: Point, task: str) -> dict[str, Any] | None:
    """What stage 4 measured of a task, or None. Raises BadInput where the file was changed."""
    name, mark = f"{study.named('metrics', task)}.json", done_mark(point.directory, "evaluate")
    if mark is None or name not in mark["files"]:
        return None
    verify(point.directory, mark["files"], "run stage 4 again", [name])
    return read_json(point.directory / name)
