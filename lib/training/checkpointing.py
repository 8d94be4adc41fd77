"""Checkpoints of a run, and the weights that it keeps along the way: sealed, verified, rotated.

<point>/checkpoints/checkpoint-20/           what Trainer saves, of all ranks
<point>/checkpoints/checkpoint-20/complete   its last file: the checksums of all others, and of the
                                             rows of train.jsonl up to its step
<point>/checkpoints/best/                    the weights of the best validation (train.keep: best)
<point>/candidates/step-000123/              weights for checkpoint selection, in stage 3

A checkpoint is valid once `complete` is on the disk. Checksums read each file once more: under a
second for adapters, about a minute for the 91 GB of a fully tuned 7B model with its optimizer
(four files at a time, 0.5 to 2 GB a second each). Ranks that shard a model (train.fsdp) write
their shards to files of their own, in two subdirectories. No torch.
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
from lib.runs.directory import CANDIDATES, LOG
from lib.runs.files import (
    apply_umask,
    flush_to_disk,
    read_json,
    read_jsonl,
    read_sealed,
    refusal,
    write_sealed,
)
from lib.runs.integrity import record, verify

COMPLETE = "complete"
SHARDED = "pytorch_model_fsdp_0"  # accelerate's directory of sharded weights
DAMAGED = "the checkpoint is not resumed from"
RETRAIN = "restore it, or retrain the point with --force"
BEST = Path("checkpoints") / "best"  # below a run's directory; removed with the checkpoints
MEASURED = "validation.json"  # beside the best weights: their step, and what validation measured
SEAL = "kept.json"  # beside kept weights: their step, and the checksums of all other files


def candidate_directory(step: int) -> Path:
    """Directory of a candidate's weights, relative to the run's."""
    return Path(CANDIDATES) / f"step-{step:06d}"


def read_weights(directory: Path, remedy: str) -> dict[str, Any]:
    """Verify weights kept along the way; returns their `step` and `files`.

    Raises BadInput where they are not as they were saved.
    """
    if not directory.is_dir():
        raise BadInput(f"{directory}: missing, though these weights were kept; {remedy}")
    seal = read_sealed(directory / SEAL, remedy, ("step", "files"))
    verify(directory, seal["files"], remedy)
    return seal


def best_measured(directory: Path) -> dict[str, Any] | None:
    """What validation measured of the best weights of a run that resumes; None without them."""
    best = directory / BEST
    if not best.exists():
        return None
    read_weights(best, "retrain the point with --force")
    return read_json(best / MEASURED)


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
    directory: Path, step: int, ranks: int = 1, started: float | None = None, kept: int = 2
) -> float:
    """Seal the checkpoint of a step below a run's `directory`, and keep the `kept` latest.

    To be called once all ranks have written their files. started: time.monotonic() when they
    began. Returns the seconds since then. Raises BadInput where the disk refuses.
    """
    started = time.monotonic() if started is None else started
    checkpoint = directory / "checkpoints" / f"checkpoint-{step}"
    with writing(checkpoint):
        apply_umask(checkpoint)
        flush_to_disk(checkpoint)
        if (log := directory / LOG).exists():
            flush_to_disk(log)
        (checkpoint / COMPLETE).unlink(missing_ok=True)
        # By path, since `record` of a directory leaves out hidden files, such as the `.metadata`
        # of sharded weights.
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
    rotate(checkpoint.parent, kept)
    return seconds


def seconds_of(checkpoint: Path) -> float | None:
    """How long it took to write a complete checkpoint; None where it does not say."""
    return read_sealed(checkpoint / COMPLETE, DAMAGED).get("seconds")


def rotate(checkpoints: Path, kept: int = 2) -> None:
    """Remove all but the `kept` latest complete checkpoints, by step; unfinished ones go too.

    Where the newest of several is damaged, the run resumes from the one before.
    """
    complete = sorted(checkpoints.glob(f"checkpoint-*/{COMPLETE}"), key=_step_of_mark)
    latest = [mark.parent for mark in complete[-kept:]]
    for path in checkpoints.glob("checkpoint-*"):
        if path not in latest:
            shutil.rmtree(path, ignore_errors=True)


def last_checkpoint(
    directory: Path,
    say: Callable[[str], None] = print,
    candidates: Sequence[int] = (),
    ranks: int = 1,
    sharded: bool = False,
) -> Path | None:
    """The newest intact checkpoint whose log, best weights and candidates are intact too.

    Damaged ones are reported and removed; where none is left, the run starts from step 0. Raises
    BadInput where checkpoints are intact but none of what belongs to them is, such as train.jsonl:
    no training restores that. candidates: steps whose weights are kept for checkpoint selection.
    ranks: that resume; a different number than wrote the checkpoint is reported, since its random
    states are missing. Raises BadInput where the checkpoint is sharded and the run is not, or the
    other way round.
    """
    complete = sorted(directory.glob(f"checkpoints/checkpoint-*/{COMPLETE}"), key=_step_of_mark)
    damaged: list[Path] = []
    beside: BadInput | None = None
    whole = None
    for checkpoint in (mark.parent for mark in reversed(complete)):
        try:
            mark = _read_mark(checkpoint)
        except BadInput as error:
            say(str(error))
            damaged.append(checkpoint)
            continue
        try:
            _verify_beside(directory, mark, candidates)
        except BadInput as error:
            beside = beside or error
            damaged.append(checkpoint)
            continue
        whole = checkpoint
        if (checkpoint / SHARDED).is_dir() != sharded:
            raise BadInput(
                f"train.fsdp: found {'a launcher config' if sharded else None}, but {checkpoint} "
                f"was written {'without' if sharded else 'with'} one; set it as it was, or retrain "
                f"the point with --force"
            )
        if mark["ranks"] != ranks:
            say(f"{checkpoint}: written by {mark['ranks']} ranks, resumed by {ranks}: dropout "
                f"draws other numbers than it would have drawn")  # fmt: skip
        if not mark["best"]:  # validation will reach its best weights again
            shutil.rmtree(directory / BEST, ignore_errors=True)
        break
    if beside and whole is None:
        raise beside
    if beside:
        say(str(beside))
    for checkpoint in damaged:
        shutil.rmtree(checkpoint)
    if whole and damaged:
        say(f"{whole}: resumed from this older checkpoint")
    elif damaged:
        say(f"{directory / 'checkpoints'}: no intact checkpoint, training starts from step 0")
    return whole


def _step_of_mark(mark: Path) -> int:
    return step_of(mark.parent)


def _read_mark(checkpoint: Path) -> dict[str, Any]:
    """The seal of a checkpoint. Raises BadInput where a file is not as it was written."""
    mark = read_sealed(checkpoint / COMPLETE, DAMAGED, ("step", "ranks", "files", "log", "best"))
    if mark["step"] != step_of(checkpoint):
        raise BadInput(f"{checkpoint}: written after step {mark['step']}; {DAMAGED}")
    verify(checkpoint, mark["files"], DAMAGED)
    return mark


def _verify_beside(directory: Path, mark: Mapping[str, Any], candidates: Sequence[int]) -> None:
    step = mark["step"]
    if mark["log"] != _log_digest(directory, step):
        raise BadInput(
            f"{directory / LOG}: its rows up to step {step} are not those of "
            f"checkpoint-{step}; {RETRAIN}"
        )
    if mark["best"]:
        read_weights(directory / BEST, RETRAIN)
    for kept in candidates:
        if kept <= step:
            read_weights(directory / candidate_directory(kept), RETRAIN)


def log_rows(directory: Path, step: int) -> list[dict[str, Any]]:
    """The rows of train.jsonl up to a step. Raises BadInput for a file that is not a log."""
    path = directory / LOG
    rows = read_jsonl(path, torn_tail=True) if path.exists() else []
    for number, row in enumerate(rows, 1):
        if not isinstance(row.get("step"), int):
            raise BadInput(f"{path}: line {number}: found no step, expected a row of a log")
    return [row for row in rows if row["step"] <= step]


def _log_digest(directory: Path, step: int) -> str:
    return digest(log_rows(directory, step))
