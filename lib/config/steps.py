"""How many steps a run has, and which rows they hold, in which order. No torch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lib.config.errors import BadInput
from lib.config.schema import Train

if TYPE_CHECKING:
    import numpy as np

SPAN = 50  # steps among which rows of like length are put together


def step_count(train: Train, rows: int) -> int:
    """Optimizer steps of a run. Rows beyond the last full batch of the last epoch are left out.

    0 for `train.epochs: 0`. Raises BadInput where the rows do not fill one step.
    """
    if train.epochs == 0:
        return 0
    steps = int(train.epochs * rows / train.batch_size + 1e-9)
    if train.max_steps is not None and (steps == 0 or train.max_steps < steps):
        # A run cut by max_steps may need more than one pass over few rows; it is never longer.
        steps = train.max_steps if rows >= train.batch_size else 0
    if steps == 0:
        raise BadInput(
            f"train.batch_size: found {train.batch_size}, but {rows} rows × "
            f"{train.epochs:g} epochs do not fill one step"
        )
    return steps


def row_order(rows: int, count: int, seed: int) -> np.ndarray:
    """The rows of a run, in order: one seeded permutation an epoch, cut at `count`.

    It depends on nothing else, so that devices and micro-batches change neither the order nor
    which rows make up a step.
    """
    import numpy as np  # not above: stages answer --help without it

    epochs = math.ceil(count / rows)
    order = [np.random.default_rng([seed, epoch]).permutation(rows) for epoch in range(epochs)]
    return np.concatenate(order)[:count]


def check_eval_steps(train: Train, steps: int) -> None:
    """Raise BadInput where validation would first come after the end of the run."""
    if train.eval_steps is not None and train.eval_steps > steps:
        raise BadInput(
            f"train.eval_steps: found {train.eval_steps}, but the run has {steps} steps; give "
            f"{steps} or fewer, or null to validate at the end alone"
        )


def asks_validation(train: Train) -> str | None:
    """The key of `train` that needs rows to validate on, if one does."""
    if train.keep == "best":
        return "keep"
    return next((k for k in ("eval_steps", "validations") if getattr(train, k) is not None), None)


def check_validation(train: Train, steps: int, there: bool, split: str = "validation") -> None:
    """Raise BadInput, before a model is loaded, where what `train` asks of validation cannot be.

    there: whether the study's data have the rows; split: what they are called.
    """
    check_eval_steps(train, steps)
    asked = asks_validation(train)
    if asked and not there:
        raise BadInput(
            f"train.{asked}: found {getattr(train, asked)!r}, but the study's data have no {split} "
            f"rows to measure it on"
        )


def validates(train: Train, step: int, steps: int) -> bool:
    """Whether there is a validation after this step."""
    if train.validations:
        return step * train.validations // steps > (step - 1) * train.validations // steps
    return step == steps or bool(train.eval_steps and step % train.eval_steps == 0)


def candidate_steps(train: Train, steps: int) -> list[int]:
    """The steps whose weights `train.checkpoint_candidates` keeps: evenly spaced, the last too."""
    parts = train.checkpoint_candidates or 0
    return sorted({-(-steps * part // parts) for part in range(1, parts + 1)})


def grouped_by_length(order: np.ndarray, lengths: np.ndarray, batch_size: int) -> np.ndarray:
    """The same rows in the same optimizer steps, the longest of a step first.

    Rows of like length share a pass and little of it is padding; a step's sum does not change.
    """
    import numpy as np

    steps = order.reshape(-1, batch_size)
    places = np.argsort(-lengths[steps], axis=1, kind="stable")
    return np.take_along_axis(steps, places, axis=1).ravel()


def grouped_steps(
    order: np.ndarray, lengths: np.ndarray, rows: int, batch_size: int, seed: int
) -> np.ndarray:
    """`order` with rows of like length in the same optimizer step, longest of a step first.

    The steps of an epoch are cut into spans of at most SPAN; within a span rows are sorted by
    length, cut into steps, and these shuffled by the seed. A row stays in its epoch and its span,
    so that a longer run begins as a shorter one up to the last span of the shorter.
    order: (steps · batch_size,) row numbers, see `row_order`; lengths: (rows,).
    """
    import numpy as np

    steps = len(order) // batch_size
    # A step over the border of two epochs stands alone: it could hold a row twice.
    first = np.arange(steps) * batch_size // rows
    last = (np.arange(1, steps + 1) * batch_size - 1) // rows
    found, start = [], 0
    while start < steps:
        end = start + 1
        while end < min(steps, start + SPAN) and first[start] == last[end]:
            end += 1
        span = order[start * batch_size : end * batch_size]
        span = span[np.argsort(-lengths[span], kind="stable")].reshape(-1, batch_size)
        found.append(np.random.default_rng([seed, 1, start]).permutation(span))
        start = end
    return np.concatenate(found).ravel()
