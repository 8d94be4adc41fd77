"""The `data:` keys of a preference study, and the rows of its sources."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from lib.config.types import Count, PathText, Seed, Strict
from lib.data.fields import SYSTEM
from lib.data.records import Column, Identifier, Record, Text, renaming

DIRECT = ("chosen", "rejected")
JUDGED = ("completion_a", "completion_b", "choice")
Columns = renaming(("id", "prompt", "system", *DIRECT, *JUDGED, "split", "source"))
QUESTIONS = ("question", "query", "input", "context", "user")
CHOSEN = ("preferred", "better", "accepted", "winner", "chosen_response")
REJECTED = ("dispreferred", "worse", "refused", "loser", "rejected_response")
FIRST = ("response_a", "answer_a", "output_a", "response1", "output1", "answer1")
SECOND = ("response_b", "answer_b", "output_b", "response2", "output2", "answer2")
CHOICE = ("preference", "preferred", "label", "winner", "verdict", "better")


class PairRow(Record):
    """A row of a source: two answers of which one is preferred.

    Prompt and answers may be text, a transcript or messages, see `conversations`.
    """

    id: Identifier = None
    prompt: Annotated[Any, Column(("instruction", "conversations"), QUESTIONS)] = None
    system: Annotated[Text, Column(SYSTEM)] = None
    chosen: Annotated[Any, Column(hints=CHOSEN)] = None
    rejected: Annotated[Any, Column(hints=REJECTED)] = None
    completion_a: Annotated[Any, Column(hints=FIRST)] = None
    completion_b: Annotated[Any, Column(hints=SECOND)] = None
    choice: Annotated[Any, Column(hints=CHOICE)] = None
    split: Identifier = None
    source: Annotated[Identifier, Column(("dataset",))] = None
    input: Any = None  # what an `instruction` is about, as in Alpaca's data


class Data(Strict):
    """Where the pairs come from, and how they are split."""

    source: PathText  # hub id, file (see lib.data.sources) or `synthetic`
    split: str = "train"  # of a hub data set, or of a file that has a column `split`
    test_source: PathText | None = None  # where the test pairs come from; null: `source`
    # Likewise; null, or a file without that column: cut from the training pairs, by prompt.
    test_split: str | None = "test"
    columns: Columns = {}  # our name → the source's: {prompt: question, chosen: better}
    drop_empty: bool = False  # leave out pairs without a prompt, or with an empty answer
    # Share of the training pairs that is cut off to choose checkpoints by; 0: none.
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1
    train_rows: Count | None = None  # at most; null: all that there are
    validation_rows: Count | None = None
    test_rows: Count | None = None  # null, and cut from the training pairs: a tenth of them
    system: str | None = None  # system message of every conversation that has none
    seed: Seed = 42  # of the split and the draw
