"""The steps of a run: their number, their rows, validations and candidates. No torch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lib.config.errors import BadInput
from lib.config.schema import Train

if TYPE_CHECKING:
    import numpy as np

SPAN = 50  # steps within which rows are grouped by length


def step_count(train: Train, rows: int) -> int:
    """Number of optimizer steps. Rows after the last full batch of the last epoch are dropped.

    0 for `train.epochs: 0`. Raises BadInput where the rows do not fill one step.
    """
    if train.epochs == 0:
        return 0
    steps = int(train.epochs * rows / train.batch_size + 1e-9)
    if train.max_steps is not None and (steps == 0 or train.max_steps < steps):
        # max_steps may shorten a run of few rows that fill no step in one epoch.
        steps = train.max_steps if rows >= train.batch_size else 0
    if steps == 0:
        raise BadInput(
            f"train.batch_size: found {train.batch_size}, but {rows} rows × "
            f"{train.epochs:g} epochs do not fill one step"
        )
    return steps


def row_order(rows: int, count: int, seed: int) -> np.ndarray:
    """Row numbers in training order: one seeded permutation per epoch, truncated to `count`.

    It does not depend on devices or micro-batches, and neither do the rows of a step.
    """
    import numpy as np  # here, since stages answer --help without it

    epochs = math.ceil(count / rows)
    order = [np.random.default_rng([seed, epoch]).permutation(rows) for epoch in range(epochs)]
    return np.concatenate(order)[:count]


def check_eval_steps(train: Train, steps: int) -> None:
    """Raise BadInput where eval_steps exceeds the steps of the run."""
    if train.eval_steps is not None and train.eval_steps > steps:
        raise BadInput(
            f"train.eval_steps: found {train.eval_steps}, but the run has {steps} steps; give "
            f"{steps} or fewer, or null to validate at the end only"
        )


def asks_validation(train: Train) -> str | None:
    """The key of `train` that needs validation rows, if any."""
    if train.keep == "best":
        return "keep"
    return next((k for k in ("eval_steps", "validations") if getattr(train, k) is not None), None)


def check_validation(train: Train, steps: int, has_rows: bool) -> None:
    """Raise BadInput where validation rows are missing, or eval_steps exceeds the run's steps."""
    check_eval_steps(train, steps)
    asked = asks_validation(train)
    if asked and not has_rows:
        raise BadInput(
            f"train.{asked}: found {getattr(train, asked)!r}, but the study's data have no "
            f"validation rows to measure it on"
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


def grouped_steps(
    order: np.ndarray, lengths: np.ndarray, rows: int, batch_size: int, seed: int
) -> np.ndarray:
    """`order` with rows of similar length in the same optimizer step, longest first.

    The steps of an epoch are split into spans of at most SPAN steps; within a span rows are sorted
    by length, split into steps, and these shuffled by the seed. A row stays in its epoch and span,
    so that runs of different lengths agree up to the last span of the shorter one.
    order: (steps · batch_size,) row numbers, see `row_order`; lengths: (rows,).
    """
    import numpy as np

    steps = len(order) // batch_size
    # A step across two epochs is a span of its own: it may have a row twice.
    first = np.arange(steps) * batch_size // rows
    last = (np.arange(1, steps + 1) * batch_size - 1) // rows
    spans, start = [], 0
    while start < steps:
        end = start + 1
        while end < min(steps, start + SPAN) and first[start] == last[end]:
            end += 1
        span = order[start * batch_size : end * batch_size]
        span = span[np.argsort(-lengths[span], kind="stable")].reshape(-1, batch_size)
        spans.append(np.random.default_rng([seed, 1, start]).permutation(span))
        start = end
    return np.concatenate(spans).ravel()
