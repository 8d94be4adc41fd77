"""Encoded rows as batches of tensors, by kind of batch: answers, pairs or classes.

Batches of answers and pairs are {
  input_ids: (S, L) tokens, without an answer's last one, from which nothing is predicted;
  responses: (S, L) bool, the N positions that predict an answer's token;
  labels:    (N,) these tokens, answer by answer;
  answers:   tokens of each of the A answers, integers;
  position_ids: (1, L), layout: of packed rows alone, see `lib.training.packed_attention`.
}
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from os.path import commonprefix
from typing import Any

import torch

Ids = Sequence[int]
Row = dict[str, Any]
Batch = dict[str, Any]
Group = tuple[Ids, Sequence[Ids]]  # a prompt and its answers
SHARED = 1 / 8  # of all tokens, from which on rows share those that they begin with
MULTIPLE = 32  # of tokens of a row of answers or pairs, so that kernels round all of them alike


def collate_step(
    passes: Sequence[Sequence[Sequence[Row]]], collate: Callable[[Sequence[Row]], Batch]
) -> list[Batch]:
    """The batches of one item of `lib.training.passes.TrainingSteps`."""
    (step,) = passes
    return [collate(rows) for rows in step]


def collation(
    kind: str, pad: int, packed: bool, weighted_class: str | None = None
) -> Callable[[Sequence[Row]], Batch]:
    """How encoded rows become a batch; pad: the tokenizer's padding token."""
    if kind == "classes":
        return partial(collate_classes, pad=pad)
    if kind == "pairs":
        return partial(collate_pairs, pad=pad, packed=packed)
    return partial(collate_answers, pad=pad, packed=packed, weighted_class=weighted_class)


def collate_answers(
    rows: Sequence[Row], pad: int, weighted_class: str | None, packed: bool
) -> Batch:
    """A batch of B encoded rows (see `lib.data.encoding.encode_row`), of B answers.

    Adds `decision`: (B, T) bool, the decision tokens of every answer; `weighted`: (B,) bool.
    """
    cuts = [row["prompt_length"] for row in rows]
    groups = [(row["input_ids"][:cut], [row["input_ids"][cut:]])
              for row, cut in zip(rows, cuts, strict=True)]  # fmt: skip
    batch = arranged(groups, pad, packed, shared_tokens(groups) if packed else 0)
    decision = torch.zeros(len(rows), max(batch["answers"]), dtype=torch.bool)
    for i, (row, cut) in enumerate(zip(rows, cuts, strict=True)):
        start, end = row["decision"]
        if end:
            decision[i, start - cut : end - cut] = True
    weighted = [weighted_class is not None and row["group"] == weighted_class for row in rows]
    return {**batch, "decision": decision, "weighted": torch.tensor(weighted)}


def collate_pairs(rows: Sequence[Row], pad: int, packed: bool) -> Batch:
    """A batch of B encoded pairs (see `lib.data.encoding.encode_pair`): 2B answers, chosen first.

    Adds `row`: (B,) the number of each pair, where rows have it.
    """
    groups = [(row["prompt_ids"], (row["chosen_ids"], row["rejected_ids"])) for row in rows]
    batch = arranged(groups, pad, packed)
    if "row" in rows[0]:
        batch["row"] = torch.tensor([row["row"] for row in rows])
    return batch


def shared_tokens(groups: Sequence[Group]) -> int:
    """Tokens that all prompts begin with, such as a system prompt; 0 where they are too few.

    Attention that sees them through a mask is slower than causal attention without one.
    """
    start = len(commonprefix([list(prompt[:-1]) for prompt, _ in groups]))
    tokens = sum(len(prompt) + sum(map(len, answers)) for prompt, answers in groups)
    return start if len(groups) > 1 and start * len(groups) >= SHARED * tokens else 0


def arranged(groups: Sequence[Group], pad: int, packed: bool, shared: int = 0) -> Batch:
    """Prompts and their answers as one row without padding (`packed`), or as a row an answer.

    A prompt's last token predicts the first one of each of its answers, so a packed row has it once
    an answer, and the tokens before it once. Rows of one sequence are padded on the right: causal
    attention never reads that padding, so that no mask is needed. Either way an answer's result,
    rounding included, does not depend on what else its batch holds. With padding on the left the
    reference of pairs, which is scored in different batches than the policy, was off by 0.01 nats a
    token in bf16 (SmolLM2 on a CPU).

    shared: tokens that all prompts begin with, which a packed row of groups of one answer has once;
    how an answer is rounded then depends on what its batch shares.
    """
    rows: list[list[tuple[int, int, bool]]] = []  # of tokens, places, whether a label is predicted
    for prompt, several in groups:
        *before, last = [(token, place, False) for place, token in enumerate(prompt)]
        own = [
            [(token, place, True) for place, token in enumerate([last[0], *answer[:-1]], last[1])]
            for answer in several
        ]
        rows += [[*before, *chain(*own)]] if packed else [[*before, *one] for one in own]
    lengths = [len(row) - shared for row in rows]
    if packed:
        rows = [[*rows[0][:shared], *chain(*(row[shared:] for row in rows))]]
    answers = [answer for _, several in groups for answer in several]
    batch: Batch = {
        "input_ids": _padded([[token for token, _, _ in row] for row in rows], pad),
        "responses": _padded([[predicts for _, _, predicts in row] for row in rows], False),
        "labels": torch.tensor(list(chain(*answers))),
        "answers": tuple(map(len, answers)),
    }
    if packed:
        batch["position_ids"] = _padded([[place for _, place, _ in row] for row in rows], 0)
        batch["layout"] = tuple((len(p) - 1, *map(len, several)) for p, several in groups)
        if shared:
            batch["layout"] = ((shared, *lengths),)
    return batch


def _padded(rows: Sequence[Sequence[Any]], pad: Any) -> torch.Tensor:
    """Rows of integers or of truth values as one tensor, padded on the right to a multiple."""
    width = -(-max(map(len, rows)) // MULTIPLE) * MULTIPLE
    return torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows])


def collate_classes(rows: Sequence[Row], pad: int, multiple: int = 8) -> Batch:
    """A batch of B encoded rows, padded on the right to the longest, rounded up to `multiple`.

    Returns `input_ids`, `attention_mask` and, where rows have them, `token_type_ids`: (B, L);
    `labels`: (B,).
    """
    width = max(len(row["input_ids"]) for row in rows)
    width = -(-width // multiple) * multiple
    filled = {"input_ids": pad, "attention_mask": 0}
    if "token_type_ids" in rows[0]:
        filled["token_type_ids"] = 0
    batch = {key: torch.full((len(rows), width), value) for key, value in filled.items()}
    for i, row in enumerate(rows):
        length = len(row["input_ids"])
        batch["attention_mask"][i, :length] = 1
        for key in filled.keys() - {"attention_mask"}:
            batch[key][i, :length] = torch.as_tensor(row[key])
    return {**batch, "labels": torch.tensor([row["label"] for row in rows])}
