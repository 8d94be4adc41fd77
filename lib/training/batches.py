"""Encoded rows as batches of tensors, one `collate` a kind of batch, and the order of training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lib.config.schema import Train
from lib.config.steps import grouped_by_length, grouped_steps, row_order

Ids = Sequence[int]
Row = dict[str, Any]


def collate_answers(
    rows: Sequence[Row], pad: int, weighted_class: str | None, multiple: int = 8
) -> dict[str, Tensor]:
    """A batch of B encoded rows (see `lib.data.encoding.encode_row`), padded by `right_padded`.

    Adds `decision`: (B, L) bool, the positions that predict a decision token; `weighted`: (B,)
    bool. The multiple is small because rows are short, and no score is compared across batches.
    """
    prompts = [row["input_ids"][: row["prompt_length"]] for row in rows]
    answers = [row["input_ids"][row["prompt_length"] :] for row in rows]
    batch = right_padded(prompts, answers, pad, multiple)
    decision = torch.zeros_like(batch["responses"])
    for i, row in enumerate(rows):
        start, end = row["decision"]
        if end:
            decision[i, start - 1 : end - 1] = True
    weighted = [weighted_class is not None and row["group"] == weighted_class for row in rows]
    return {**batch, "decision": decision, "weighted": torch.tensor(weighted)}


def collate_pairs(rows: Sequence[Row], pad: int, multiple: int = 32) -> dict[str, Tensor]:
    """A batch of B encoded pairs (see `lib.data.encoding.encode_pair`), padded by `right_padded`.

    2B sequences, the chosen ones first. Adds `lengths`: (B, 2) tokens of the responses, and `row`:
    (B,) the number of each pair, where rows have it.
    """
    answers = [row[side] for side in ("chosen_ids", "rejected_ids") for row in rows]
    batch = right_padded([row["prompt_ids"] for row in [*rows, *rows]], answers, pad, multiple)
    batch["lengths"] = batch["responses"].sum(1).view(2, -1).T
    if "row" in rows[0]:
        batch["row"] = torch.tensor([row["row"] for row in rows])
    return batch


def right_padded(
    prompts: Sequence[Ids], answers: Sequence[Ids], pad: int, multiple: int = 32
) -> dict[str, Tensor]:
    """Pad S sequences of a prompt and its response on the right, to a multiple of `multiple`.

    Returns `input_ids`: (S, L), without a response's last token, from which nothing is predicted;
    `responses`: (S, L) bool, the N positions that predict a response token; `labels`: (N,) these
    tokens, row by row.

    Causal attention never reads padding on the right, so no attention mask is needed, flash
    kernels stay available, and a row's result, rounding included, does not depend on its batch.
    With left padding the reference of pairs, which is scored in different batches than the policy,
    was off by 0.01 nats a token in bf16 (SmolLM2 on a CPU).
    """
    ends = [len(prompt) + len(answer) - 1 for prompt, answer in zip(prompts, answers, strict=True)]
    width = -(-max(ends) // multiple) * multiple
    input_ids = torch.full((len(ends), width), pad, dtype=torch.long)
    responses = torch.zeros_like(input_ids, dtype=torch.bool)
    for i, (prompt, answer, end) in enumerate(zip(prompts, answers, ends, strict=True)):
        input_ids[i, :end] = torch.tensor([*prompt, *answer][:-1])
        responses[i, end - len(answer) : end] = True
    labels = torch.tensor([token for answer in answers for token in answer])
    return {"input_ids": input_ids, "responses": responses, "labels": labels}


def collate_classes(rows: Sequence[Row], pad: int, multiple: int = 8) -> dict[str, Tensor]:
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


def training_order(rows: Any, kind: str, train: Train, steps: int) -> Any:
    """The rows of a run in the order of training; depends on lengths and `train.seed` alone.

    Rows of similar length share a forward pass, so that little of it is padding; of classes they
    share a whole step. Pairs get the number of their row as `row`.
    """
    order = row_order(len(rows), steps * train.batch_size, train.seed)
    if kind == "classes":
        order = grouped_steps(order, lengths_of(rows), len(rows), train.batch_size, train.seed)
    elif kind == "pairs":
        order = grouped_by_length(order, pair_lengths(rows), train.batch_size)
        rows = rows.add_column("row", np.arange(len(rows)))
    else:
        order = grouped_by_length(order, lengths_of(rows), train.batch_size)
    return rows.select(order)


def lengths_of(rows: Any) -> np.ndarray:
    """Tokens of each row, (n,); rows: a dataset of encoded rows."""
    return np.array([len(ids) for ids in rows["input_ids"]])


def pair_lengths(rows: Any) -> np.ndarray:
    """Tokens of each row's longer sequence, (n,); rows: a dataset of encoded pairs."""
    columns = (rows[name] for name in ("prompt_ids", "chosen_ids", "rejected_ids"))
    return np.array([len(p) + max(len(c), len(r)) for p, c, r in zip(*columns, strict=True)])


def length_batches(lengths: Sequence[int], size: int) -> list[np.ndarray]:
    """Row numbers in batches of `size`, longest rows first: too little memory fails at once."""
    order = np.argsort(-np.asarray(lengths), kind="stable")
    return [order[start : start + size] for start in range(0, len(order), size)]
