"""What runs of training have left, read back and compared."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from lib.runs.files import read_jsonl


def column(directory: Path, key: str) -> list[Any]:
    """A column of train.jsonl, of the rows that have it."""
    return [row[key] for row in read_jsonl(directory / "train.jsonl") if key in row]


def weights(directory: Path) -> dict[str, torch.Tensor]:
    """The weights that a run saved: all of a model, or an adapter."""
    (path,) = (directory / "model").glob("*.safetensors")
    return load_file(path)


def one_by_one(model: Any, rows: Any) -> torch.Tensor:
    """(B, 2) log-probabilities of pairs, every sequence in a forward pass of its own."""
    scores = []
    for row in rows:
        for side in ("chosen_ids", "rejected_ids"):
            ids = torch.tensor([row["prompt_ids"] + row[side]])
            every = model(input_ids=ids, use_cache=False).logits[0, :-1].log_softmax(-1)
            tokens = every.gather(1, ids[0, 1:, None])[len(row["prompt_ids"]) - 1 :]
            scores.append(tokens.sum())
    return torch.stack(scores).view(-1, 2)


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    """To the bit."""
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def assert_close(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    """But for the order of sums."""
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], atol=2e-5, rtol=1e-3)
