"""The `data:` keys of a study of templated word problems."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from lib.config.types import Count, PathText, Seed, Share, Strict
from lib.data.records import renaming
from lib.tasks.math.schema import INSTRUCTION

SETS = ("in_distribution", "same_templates", "new_templates")  # of the split `test`
COLUMNS = ("template", "question", "answer", "instance", "original_id", "original_question")
Columns = renaming(COLUMNS)
TestColumns = renaming(("id", "template", "question", "answer"))


class Data(Strict):
    """Where the problems come from, how they are split, and how a prompt is made of one."""

    # Instances of templates: a hub id, a file (see lib.data.sources), `reasoning_gym` (the
    # package of that name makes them) or `synthetic` (a few templates of our own).
    source: PathText
    config: str | None = None  # of a hub data set: apple/GSM-Symbolic has `main`, `p1` and `p2`
    split: str = "test"  # of a hub data set; apple/GSM-Symbolic has no other
    columns: Columns = {}  # our name → the file's: {template: name, question: problem}
    instances: Count = 100  # of each template, where they are generated
    held_out_templates: Annotated[int, Field(ge=0)] = 0  # drawn; no instance is trained on

    # The problems that the templates were made from, and others: GSM8K's test set, as hub id or
    # file. Null: new_templates are instances of the held-out templates.
    test_source: PathText | None = None
    test_config: str | None = None  # of a hub data set: openai/gsm8k has `main` and `socratic`
    test_split: str = "test"  # of a hub data set
    test_columns: TestColumns = {}  # our name → the file's: {template: gsm_symbolic_template}
    # JSON file {"same_templates": [ids], "new_templates": [ids]}, which names the rows to take.
    test_ids: PathText | None = None

    train_rows: Count | None = None  # evenly from the templates; null: all that there are
    # Instances that are neither trained on nor tested, to choose weights by (train.keep, .sweep).
    validation_rows: Annotated[int, Field(ge=0)] = 0
    set_rows: Count = 100  # of each set of test rows
    test_rows: Count | None = None  # of all sets together, each with its share; null: set_rows
    near_duplicates: Share = 0.7  # cosine from which a training question counts as like a test one
    annotations: bool = False  # keep the calculator's <<48/2=24>> in the answers
    system: str | None = None  # system message; null: the chat template's own, if it has one
    instruction: str = INSTRUCTION  # before the question of a prompt; empty: none
    seed: Seed = 42  # of every draw


def warnings(data: Data) -> list[str]:
    """What a prompt leaves out of what answers are trained to hold."""
    if "####" in f"{data.system}{data.instruction}":
        return []
    return ["data.instruction: asks for no ####, with which every target ends"]
