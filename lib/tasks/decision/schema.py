"""The `data:` keys of an accept/reject study, and the rows of its sources."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator

from lib.config.types import Count, PathText, Seed, Strict
from lib.data.records import Column, Identifier, Record, Text, renaming

Columns = renaming(("id", "title", "abstract", "text", "decision", "year"))


class Paper(Record):
    """A row of a source; of a conversation about a paper, what stands beside its messages."""

    id: Identifier = None
    title: Annotated[Text, Column(hints=("paper_title", "name"))] = None
    abstract: Annotated[
        Text,
        Column(hints=("summary", "abstracts", "text", "paper", "content", "body", "full_text")),
    ] = None
    text: Text = None
    decision: Annotated[
        Any,
        Column(hints=("accepted", "accept", "label", "outcome", "status", "verdict",
                      "recommendation")),
    ] = None  # fmt: skip
    year: Any = None


class Data(Strict):
    """Where the papers come from, how they are split, and at which ratio of decisions."""

    source: PathText  # hub id, file (see lib.data.sources) or `synthetic`
    split: str = "train"  # of a hub data set
    test_source: PathText | None = None  # where the test papers come from; null: cut from `source`
    test_split: str | None = None  # of a hub data set; null: `test` if there is a test_source
    columns: Columns = {}  # our name → the file's: {decision: accepted, abstract: summary}
    drop_labels: list[Any] = []  # decisions to leave out, such as Withdrawn (or null)
    drop_empty: bool = False  # leave out rows that have neither title nor text
    ratio: str = "1:2"  # accepts : rejects in the training set
    train_rows: Count | None = None  # of every training set; null: the most that each ratio allows
    test_rows: Annotated[int, Field(ge=2)] = 2024  # half accepts, half rejects
    system: str | None = None  # system message; null: the chat template's own, if it has one
    instruction: str | None = None  # replaces the task's own first sentence
    ending: str | None = None  # replaces the task's own last sentence, which asks for the answer
    seed: Seed = 42  # of the split and the draw

    @field_validator("ratio")
    @classmethod
    def _ratio(cls, value: str) -> str:
        parts = value.split(":")
        if len(parts) != 2 or not all(p.isascii() and p.isdigit() and int(p) > 0 for p in parts):
            raise ValueError('accepts:rejects as two whole numbers above 0, such as "1:2"')
        return value

    @field_validator("test_rows")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("an even number, since the test set is balanced")
        return value

    @property
    def rejects_per_accept(self) -> float:
        """k of the ratio 1:k."""
        accepts, rejects = map(int, self.ratio.split(":"))
        return rejects / accepts


def warnings(data: Data) -> list[str]:
    """What a prompt leaves out of what answers are trained to hold."""
    if data.ending is None or r"\boxed" in f"{data.system}{data.instruction}{data.ending}":
        return []
    return [rf"data.ending: asks for no \boxed{{…}}, though every target is one: found "
            f"{data.ending!r}"]  # fmt: skip
