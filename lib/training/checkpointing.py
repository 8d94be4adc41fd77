"""Checkpoints of a run: finished, verified, found again, and removed in the order of their steps.

<point>/checkpoints/checkpoint-20/           what Trainer saves, of all ranks
<point>/checkpoints/checkpoint-20/complete   its last file: the checksums of all others, and of the
                                             rows of train.jsonl up to its step

A checkpoint counts once `complete` is on the disk, after all that it vouches for. Checksums read
each file once more: under a second for adapters, a minute or so for the 91 GB of a 7B model that
is tuned whole, with its optimizer (four files at a time, 0.5 to 2 GB a second each). Ranks that
share a model (train.fsdp) write their parts of it to files of their own, in two subdirectories.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lib.config.errors import BadInput
from lib.config.grid import digest
from lib.runs.directory import LOG
from lib.runs.files import (
    apply_umask,
    flush_to_disk,
    read_jsonl,
    read_sealed,
    refusal,
    write_sealed,
)
from lib.runs.integrity import record, verify
from lib.training.kept import BEST, candidate, read_weights

COMPLETE = "complete"
SHARDED = "pytorch_model_fsdp_0"  # accelerate's name for the directory of weights in parts
KEPT = 2  # checkpoints: where the newest turns out to be damaged there is one before it
DAMAGED = "the checkpoint is not resumed from"
ANEW = "restore it, or train the point anew with --force"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise BadInput, with the path and the reason, where the disk refuses to write within."""
    try:
        yield
    except BaseException as error:
        # torch.distributed.checkpoint holds the errors of all ranks in one that is no Exception.
        failures = getattr(error, "failures", None)
        causes = [cause for cause, _ in failures.values()] if failures else [error]
        if (reason := next(filter(None, map(refusal, causes)), None)) is None:
            raise
        raise BadInput(
            f"{path}: cannot be written: {reason}; checkpoints before it are untouched, run the "
            f"stage again to resume"
        ) from None


def step_of(checkpoint: Path) -> int:
    """The step after which a checkpoint was written."""
    return int(checkpoint.name.rpartition("-")[2])


def finish_checkpoint(
    directory: Path, step: int, ranks: int = 1, started: float | None = None
) -> float:
    """Vouch for the checkpoint of a step below a run's `directory`, and remove those before it.

    To be called once all ranks have written their files. `started`: when they began to, by
    time.monotonic(). Returns the seconds from there to the last file, which it holds too. Raises
    BadInput where the disk refuses.
    """
    started = time.monotonic() if started is None else started
    checkpoint = directory / "checkpoints" / f"checkpoint-{step}"
    with writing(checkpoint):
        apply_umask(checkpoint)
        flush_to_disk(checkpoint)
        if (log := directory / LOG).exists():
            flush_to_disk(log)
        (checkpoint / COMPLETE).unlink(missing_ok=True)
        # By their paths, since of a directory `record` leaves out hidden files, such as the
        # `.metadata` without which parts cannot be put together.
        files = (path for path in checkpoint.rglob("*") if path.is_file())
        names = sorted(path.relative_to(checkpoint).as_posix() for path in files)
        recorded = record(checkpoint, names)
        seconds = time.monotonic() - started
        content = {
            "step": step,
            "ranks": ranks,
            "seconds": round(seconds, 1),
            "files": recorded,
            "log": _log_digest(directory, step),
            "best": (directory / BEST).exists(),
        }
        write_sealed(checkpoint / COMPLETE, content)
        flush_to_disk(checkpoint)  # its entry for `complete` too, before the older one goes
    rotate(checkpoint.parent)
    return seconds


def seconds_of(checkpoint: Path) -> float | None:
    """How long it took to write a complete checkpoint; None where it does not say."""
    return read_sealed(checkpoint / COMPLETE, DAMAGED).get("seconds")


def rotate(checkpoints: Path) -> None:
    """Remove all but the `KEPT` complete checkpoints of most steps, whatever a clock says of them.

    What a kill left unfinished goes too.
    """
    complete = sorted(checkpoints.glob(f"checkpoint-*/{COMPLETE}"), key=_step_of_mark)
    kept = [mark.parent for mark in complete[-KEPT:]]
    for path in checkpoints.glob("checkpoint-*"):
        if path not in kept:
            shutil.rmtree(path, ignore_errors=True)


def last_checkpoint(
    directory: Path,
    say: Callable[[str], None] = print,
    swept: Sequence[int] = (),
    ranks: int = 1,
    sharded: bool = False,
) -> Path | None:
    """The newest checkpoint that is as it was written, with all that a resumed run reads beside it.

    Those that are not are passed over with a line, and removed once one is found, or none is whole:
    then the run starts again from step 0, which is said too. Raises BadInput where a checkpoint is
    whole but nothing goes with it, such as a changed train.jsonl: no training brings that back.
    swept: steps after which the run keeps weights, see `inference.checkpoint_selection`.
    ranks: that resume; others than wrote it have no random state there, which is said.
    sharded: whether they share the model; raises BadInput where those that wrote did otherwise,
    since other files are read then.
    """
    complete = sorted(directory.glob(f"checkpoints/checkpoint-*/{COMPLETE}"), key=_step_of_mark)
    passed: list[Path] = []
    beside: BadInput | None = None
    whole = None
    for checkpoint in (mark.parent for mark in reversed(complete)):
        try:
            mark = _read_mark(checkpoint)
        except BadInput as error:
            say(str(error))
            passed.append(checkpoint)
            continue
        try:
            _verify_beside(directory, mark, swept)
        except BadInput as error:
            beside = beside or error
            passed.append(checkpoint)
            continue
        whole = checkpoint
        if (checkpoint / SHARDED).is_dir() != sharded:
            raise BadInput(
                f"train.fsdp: found {'a launcher config' if sharded else None}, but {checkpoint} "
                f"was written {'without' if sharded else 'with'} one; set it as it was, or train "
                f"the point anew with --force"
            )
        if mark["ranks"] != ranks:
            say(f"{checkpoint}: written by {mark['ranks']} ranks, resumed by {ranks}: dropout "
                f"draws other numbers than it would have drawn")  # fmt: skip
        if not mark["best"]:  # what validation has kept since is made again
            shutil.rmtree(directory / BEST, ignore_errors=True)
        break
    if beside and whole is None:
        raise beside
    if beside:
        say(str(beside))
    for checkpoint in passed:
        shutil.rmtree(checkpoint)
    if whole and passed:
        say(f"{whole}: resumed from this older checkpoint")
    elif passed:
        say(f"{directory / 'checkpoints'}: no checkpoint is whole, training starts from step 0")
    return whole


def _step_of_mark(mark: Path) -> int:
    return step_of(mark.parent)


def _read_mark(checkpoint: Path) -> dict[str, Any]:
    """What a checkpoint vouches for. Raises BadInput where it is not as it was written."""
    mark = read_sealed(checkpoint / COMPLETE, DAMAGED, ("step", "ranks", "files", "log", "best"))
    if mark["step"] != step_of(checkpoint):
        raise BadInput(f"{checkpoint}: written after step {mark['step']}; {DAMAGED}")
    verify(checkpoint, mark["files"], DAMAGED)
    return mark


def _verify_beside(directory: Path, mark: Mapping[str, Any], swept: Sequence[int]) -> None:
    step = mark["step"]
    if mark["log"] != _log_digest(directory, step):
        raise BadInput(
            f"{directory / LOG}: its rows up to step {step} are not those of "
            f"checkpoint-{step}; {ANEW}"
        )
    if mark["best"]:
        read_weights(directory / BEST, ANEW)
    for kept in swept:
        if kept <= step:
            read_weights(directory / candidate(kept), ANEW)


def log_rows(directory: Path, step: int) -> list[dict[str, Any]]:
    """The rows of train.jsonl up to a step; what was logged after it is redone.

    Raises BadInput for a file that is no log.
    """
    path = directory / LOG
    rows = read_jsonl(path, torn_tail=True) if path.exists() else []
    for number, row in enumerate(rows, 1):
        if not isinstance(row.get("step"), int):
            raise BadInput(f"{path}: line {number}: found no step, expected a row of a log")
    return [row for row in rows if row["step"] <= step]


def _log_digest(directory: Path, step: int) -> str:
    return digest(log_rows(directory, step))
