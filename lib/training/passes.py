"""The forward passes of a run: which rows share one, within a budget of tokens.

An optimizer step holds the rows that the study's batch size and seed give it. How they are shared
out over ranks and passes changes memory and time, and results by rounding alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lib.config.schema import Train
from lib.config.steps import grouped_steps, row_order

Passes = list[np.ndarray]  # numbers of the rows of each forward pass


class TrainingSteps:
    """The steps of a run as a dataset: item s · W + r has the passes of rank r of W in step s.

    A pass is a list of rows, each with its number as `row`.
    """

    def __init__(self, rows: Any, passes: list[Passes]) -> None:
        self.rows, self.passes = rows, passes

    def __len__(self) -> int:
        return len(self.passes)

    def __getitem__(self, place: int) -> list[list[dict[str, Any]]]:
        return [[{**self.rows[int(i)], "row": int(i)} for i in one] for one in self.passes[place]]


def training_steps(rows: Any, kind: str, train: Train, steps: int, packed: bool) -> TrainingSteps:
    """The steps of a run; depends on lengths and the `train` section alone.

    rows: encoded rows, a dataset; kind: of batch; packed: see `row_sizes`. Of classes, rows of
    similar length share a whole step.
    """
    sizes = row_sizes(rows, kind, packed)
    budget = token_budget(rows, kind, train)
    order = row_order(len(rows), steps * train.batch_size, train.seed)
    if kind == "classes":
        order = grouped_steps(order, sizes, len(rows), train.batch_size, train.seed)
    passes: list[Passes] = []
    for step in order.reshape(steps, train.batch_size):
        passes += rank_passes(step, sizes, budget, packed, train.processes)
    return TrainingSteps(rows, passes)


def row_sizes(rows: Any, kind: str, packed: bool) -> np.ndarray:
    """Tokens that each row takes in a forward pass, (n,), at most: rows may be padded to it.

    packed: a pair's prompt is there once and its answers as long as they are; else both sequences
    of a pair are as long as the longer one. Nothing is predicted from an answer's last token.
    """
    if kind == "classes":
        return np.array([len(ids) for ids in _column(rows, "input_ids")])
    if kind == "answers":
        return np.array([len(ids) - 1 for ids in _column(rows, "input_ids")])
    columns = (_column(rows, name) for name in ("prompt_ids", "chosen_ids", "rejected_ids"))
    lengths = np.array([list(map(len, row)) for row in zip(*columns, strict=True)])
    prompts, answers = lengths[:, 0] - 1, lengths[:, 1:]
    return prompts + answers.sum(axis=1) if packed else 2 * (prompts + answers.max(axis=1))


def _column(rows: Any, name: str) -> list[Any]:
    return [row[name] for row in rows] if isinstance(rows, list) else rows[name]


def token_budget(rows: Any, kind: str, train: Train) -> int:
    """Tokens of one forward pass: `train.micro_tokens`, or what `micro_batch` rows of `rows` take.

    That is of padded rows of the greatest length, so that no pass takes more memory than they.
    """
    return train.micro_tokens or train.micro_batch * int(row_sizes(rows, kind, False).max())


def length_passes(sizes: np.ndarray, budget: int, packed: bool) -> Passes:
    """Places 0 … n − 1 in passes of at most `budget` tokens, but one row at least.

    Longest rows first, so that too little memory fails at once and rows of a pass need little
    padding. A packed pass takes the sum of its rows' sizes, a padded one its first row's for each.
    """
    order, passes = np.argsort(-sizes, kind="stable"), []
    start = 0
    while start < len(order):
        ahead = sizes[order[start:]]
        taken = np.cumsum(ahead) if packed else ahead[0] * np.arange(1, len(ahead) + 1)
        end = start + max(1, int(np.searchsorted(taken, budget, side="right")))
        passes.append(order[start:end])
        start = end
    return passes


def rank_passes(
    step: np.ndarray, sizes: np.ndarray, budget: int, packed: bool, world: int
) -> list[Passes]:
    """The passes of each rank over the rows of a step: as many rows and as many passes on each.

    (A sharded model runs on all ranks or on none.) Rows of all lengths go to every rank.
    """
    step = step[np.argsort(-sizes[step], kind="stable")]
    shares = [step[rank::world] for rank in range(world)]
    ranks = [[share[one] for one in length_passes(sizes[share], budget, packed)]
             for share in shares]  # fmt: skip
    most = max(map(len, ranks))
    for passes in ranks:
        while len(passes) < most:
            longest = max(range(len(passes)), key=lambda i: len(passes[i]))
            passes[longest : longest + 1] = np.array_split(passes[longest], 2)
    return ranks
