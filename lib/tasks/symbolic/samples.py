"""What the answers of a point are as arrays: which numbers, which of them right, which rewards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite

import numpy as np

from lib.analysis.votes import best_place, classes, majority_place
from lib.config.errors import BadInput
from lib.config.tasks import Row
from lib.inference.outputs import bad, numbers


@dataclass
class Samples:
    """The answers to Q questions, N samples each."""

    greedy: np.ndarray  # (Q,) bool: whether the greedy answer is right
    codes: np.ndarray  # (Q, N) see `lib.analysis.votes.classes`
    right: np.ndarray  # (Q, N) bool
    # (Q, N), −inf where the reward model could not read an answer; None: not all have rewards.
    rewards: np.ndarray | None

    @property
    def count(self) -> int:
        """N, 0 where only greedy answers were generated."""
        return self.codes.shape[1]

    def first(self, n: int) -> Samples:
        """The same questions as if only the first n samples had been drawn."""
        rewards = None if self.rewards is None else self.rewards[:, :n]
        return Samples(self.greedy, self.codes[:, :n], self.right[:, :n], rewards)

    @cached_property
    def chosen(self) -> dict[str, np.ndarray]:
        """{"majority", "best": (Q,)}: the sample that each strategy chooses of all N, −1 for none.

        Of equals the one seen first. "best" is missing without rewards, both without samples.
        """
        if not self.count:
            return {}
        found = {"majority": majority_place(self.codes)}
        if self.rewards is not None:
            found["best"] = best_place(self.rewards)
        return found

    def is_right(self, strategy: str) -> np.ndarray:
        """(Q,) bool: whether the sample that a strategy chooses of all N is right."""
        place = self.chosen[strategy]
        return self.right[np.arange(len(place)), place] & (place >= 0)

    @property
    def solvable(self) -> np.ndarray:
        """(Q,) bool: whether any sample is right."""
        return self.right.any(axis=1)


def read_samples(predictions: Sequence[Row], draws: Sequence[int] = ()) -> Samples:
    """The graded predictions of a point as arrays.

    draws: how many samples votes rest on; of no consequence where no sample was drawn. Raises
    BadInput for rows with unequal n, and for a draw of more samples than there are.
    """
    counts = [len(p["answers"]) for p in predictions]
    n = counts[0] if counts else 0
    for prediction, found in zip(predictions, counts, strict=True):
        if found != n:
            raise BadInput(f"row {prediction['id']}: found {found} samples, expected {n}, as row "
                           f"{predictions[0]['id']} has")  # fmt: skip
    if n and max(draws, default=0) > n:
        raise BadInput(
            f"evaluate.draws: found {max(draws)}, expected at most {n}: so many samples each row "
            f"has"
        )
    return Samples(
        np.array([p["correct"] for p in predictions], dtype=bool),
        classes([p["answers"] for p in predictions]),
        np.array([p["right"] for p in predictions], dtype=bool).reshape(len(predictions), n),
        _rewards(predictions, n),
    )


def _rewards(predictions: Sequence[Row], n: int) -> np.ndarray | None:
    found = [rewards_of(p) for p in predictions]
    if not n or any(rewards is None for rewards in found):
        return None
    for prediction, rewards in zip(predictions, found, strict=True):
        numbers(prediction, "judgments: rewards", rewards, f"{n} rewards, each a number or null")
        if not all(one is None or isfinite(one) for one in rewards):
            raise bad(prediction, "judgments: rewards", rewards, f"{n} finite numbers or null")
        if len(rewards) != n:
            raise BadInput(f"row {prediction['id']}: found {len(rewards)} rewards in its judgments,"
                           f" expected {n}, one a sample; run stage 3 again")  # fmt: skip
    known = [[-np.inf if one is None else one for one in rewards] for rewards in found]
    return np.array(known, dtype=float)


def rewards_of(prediction: Row) -> list[float | None] | None:
    """The rewards of a prediction's samples; None where nobody gave any.

    Raises BadInput for judgments of another form.
    """
    judgments = prediction.get("judgments")
    if judgments is not None and not isinstance(judgments, dict):
        raise bad(prediction, "judgments", judgments, "null or an object with rewards")
    return (judgments or {}).get("rewards")


def judge_of(predictions: Sequence[Row] | None) -> str | None:
    """The model that rewarded these, None where none did."""
    return next(((p.get("judgments") or {}).get("judge") for p in predictions or ()), None)
