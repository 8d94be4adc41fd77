"""How many steps a run has, and which rows they hold, in which order. No torch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lib.errors import BadInput
from lib.schema import Train

if TYPE_CHECKING:
    import numpy as np


def step_count(train: Train, rows: int) -> int:
    """Optimizer steps of a run. Rows beyond the last full batch of the last epoch are left out.

    Raises BadInput where the rows do not fill one step.
    """
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
