"""The `data:` keys of a preference study."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from lib.config.types import Count, PathText, Seed, Strict, known_columns

DIRECT = ("chosen", "rejected")
JUDGED = ("completion_a", "completion_b", "choice")
COLUMNS = ("id", "prompt", "system", *DIRECT, *JUDGED, "split", "source")


class Data(Strict):
    """Where the pairs come from, and how they are split."""

    source: PathText  # hub id, file (.jsonl, .json, .csv, each also .gz) or `synthetic`
    split: str = "train"  # of a hub data set, or of a file that has a column `split`
    test_source: PathText | None = None  # where the test pairs come from; null: `source`
    # Likewise; null, or a file without that column: cut from the training pairs, by prompt.
    test_split: str | None = "test"
    columns: dict[str, str] = {}  # our name → the source's: {prompt: question, chosen: better}
    drop_empty: bool = False  # leave out pairs without a prompt, or with an empty answer
    # Share of the training pairs that is cut off to choose checkpoints by; 0: none.
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1
    train_rows: Count | None = None  # at most; null: all that there are
    validation_rows: Count | None = None
    test_rows: Count | None = None  # null, and cut from the training pairs: a tenth of them
    system: str | None = None  # system message of every conversation that has none
    seed: Seed = 42  # of the split and the draw

    @field_validator("columns")
    @classmethod
    def _columns(cls, value: dict[str, str]) -> dict[str, str]:
        return known_columns(value, COLUMNS)
