"""The `data:` keys of a GLUE study."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from lib.config.errors import listed, nearest
from lib.config.types import Count, PathText, Seed, Strict
from lib.data.records import renaming
from lib.tasks.glue.table import GLUE

Columns = renaming(("a", "b", "label"))


class Data(Strict):
    """Which GLUE task a point is about, and where its rows come from."""

    task: str = "rte"  # mnli, sst2 or rte; mostly an axis
    # Hub id of a data set with one configuration a task, or `synthetic`.
    source: PathText = "nyu-mll/glue"
    # task → set → file, in place of the hub: {rte: {train: FILE, dev: FILE}}; MNLI has train,
    # matched and mismatched. See lib.data.sources for the formats.
    files: dict[str, dict[str, PathText]] = {}
    columns: Columns = {}  # of files: a, b (the sentences) or label → the file's column
    # Share of the training rows that is cut off to validate on, never more than validation_rows.
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1
    validation_rows: Count = 2000  # of each task
    train_rows: Count | None = None  # of each task, at most; null: all that there are
    test_rows: Count | None = None  # of each task, over its dev sets; null: the published sets
    seed: Seed = 42  # of the validation rows and of every draw

    @field_validator("task")
    @classmethod
    def _task(cls, value: str) -> str:
        if value not in GLUE:
            raise ValueError(f"one of the GLUE tasks {listed(GLUE)}{nearest(value, GLUE)}")
        return value

    @field_validator("files")
    @classmethod
    def _files(cls, value: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        for task, sets in value.items():
            if task not in GLUE:
                raise ValueError(f"GLUE tasks among {listed(GLUE)}, each with its files"
                                 f"{nearest(task, GLUE)}")  # fmt: skip
            wanted = ("train", *GLUE[task].dev)
            if set(sets) != set(wanted):
                unknown = [name for name in sets if name not in wanted]
                raise ValueError(f"for {task} one file for each of {listed(wanted)}"
                                 f"{nearest(unknown[0], wanted) if unknown else ''}")  # fmt: skip
        return value
