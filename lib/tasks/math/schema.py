"""The `data:` keys of a study of word problems."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lib.config.types import Count, PathText, Seed, Share, Strict
from lib.data.records import renaming

Columns = renaming(("id", "question", "answer"))
INSTRUCTION = (
    "Solve the problem step by step. End with a line that holds the answer as a number: #### 42"
)


class Data(Strict):
    """Where the problems come from, how they are split, and how a prompt is made of one."""

    source: PathText  # hub id, file (see lib.data.sources) or `synthetic`
    config: str | None = None  # of a hub data set: openai/gsm8k has `main` and `socratic`
    split: str = "train"  # of a hub data set
    test_source: PathText | None = None  # of the test problems; null: the hub's `source`
    test_split: str = "test"  # of a hub data set
    self_instruct: PathText | None = None  # further training rows: a file, hub id or `synthetic`
    train_on: Literal["source", "self_instruct"] = "source"
    columns: Columns = {}  # our name → the file's: {question: problem, answer: solution}

    # Fixed examples, drawn once from `source` and removed from all training; the first `shots` of
    # them stand before each question.
    shot_pool: Annotated[int, Field(ge=0)] = 8
    shots: Annotated[int, Field(ge=0)] = 0
    train_rows: Count | None = None  # at most; null: all that there are
    validation_rows: Annotated[int, Field(ge=0)] = 0  # taken off `source`, to choose a checkpoint
    test_share: Annotated[float, Field(gt=0, le=1)] = 0.2  # without evaluate.full_test
    test_rows: Count | None = None  # at most; null: what test_share gives
    near_duplicates: Share = 0.7  # cosine from which a training question counts as like a test one
    annotations: bool = False  # keep the calculator's <<48/2=24>> in the answers
    system: str | None = None  # system message; null: the chat template's own, if it has one
    instruction: str = INSTRUCTION  # before the first question of a prompt; empty: none
    seed: Seed = 42  # of every draw


def warnings(data: Data) -> list[str]:
    """What a prompt leaves out of what answers are graded by."""
    if data.shots or "####" in f"{data.system}{data.instruction}":
        return []
    return ["data.instruction: asks for no ####, with which every target ends and by which "
            "accuracy_strict is graded"]  # fmt: skip
