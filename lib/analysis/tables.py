"""The tidy tables of a study: `results/<study>/tables/`, what each column means, and their order.

Stage 4 writes them; figures, findings, claims and the report read them and nothing else. A missing
number is an empty cell, never 0. Rates are shares in [0, 1].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.config.errors import BadInput
from lib.runs.directory import done_mark, mark_done
from lib.runs.files import replacing, write_text
from lib.runs.integrity import verify

if TYPE_CHECKING:
    import pandas as pd

# Table → column → what it means. `<axes>` stands for one column an axis of the study.
TABLES: dict[str, dict[str, str]] = {
    "points": {
        "point": "name of the point, its directory",
        "index": "array index",
        "seed": "train.seed of the point",
        "status": "done, partial, diverged, trained, skipped or missing",
        "setting": "label of the setting: all axes but the seed and those that choose the test set",
        "<axes>": "value of each axis of the study",
        "selected": "yes where a search chose this setting",
        "baseline": "yes where the setting is `evaluate.baseline`",
        "trained": "1, or 0 where the loss diverged; empty of a point that was not trained",
        "complete": "1 where all predictions are there and valid; empty where they may still come",
        "steps": "optimizer steps taken",
        "diverged_at": "step of the first loss that is not finite, of a diverged point",
        "validation_accuracy": "of the weights that were kept, on the validation rows",
        "seconds": "of training, pauses between attempts left out",
        "gpu_hours": "of training",
        "peak_memory_gb": "of the first device, in GB",
        "trainable_parameters": "parameters that training changed",
        "calibration_share": "share of the training time that calibration took",
        "job": "SLURM job and array index of the last attempt",
        "node": "host of the last attempt",
        "device": "device that trained",
    },
    "items": {
        "task": "task whose test set the item is of",
        "point": "name of the point that answered",
        "set": "name of the test set",
        "item": "id of the row",
        "cluster": "what items share that are not independent; the item itself where none do",
        "<outcomes>": "one column an outcome of the task; empty where it is unknown",
    },
    "estimates": {
        "of": "point or setting",
        "name": "name of the point, or label of the setting",
        "task": "task of the test set; `training` for what training itself used or reached",
        "set": "name of the test set; `mean` over the sets of a setting",
        "slice": "`column=value` where only such items count; empty for all",
        "metric": "name of the metric",
        "value": "the estimate; of a setting the mean over its seeds",
        "low": "lower end of the interval",
        "high": "upper end of the interval",
        "method": "how the interval was made: wilson, bootstrap, student, two-way",
        "n": "items",
        "units": "independent items or clusters among them",
        "seeds": "points that the number averages",
        "sd": "standard deviation over seeds",
    },
    "contrasts": {
        "family": "tests that Holm's adjustment takes together",
        "task": "task of the test set",
        "set": "name of the test set; `mean` over sets",
        "metric": "name of the metric",
        "a": "label of a setting",
        "b": "label of the setting that it is compared with",
        "difference": "mean of a − b over matched seeds and common items",
        "low": "lower end of the interval over seeds and items",
        "high": "upper end",
        "low_items": "lower end of the interval over items alone",
        "high_items": "upper end of it",
        "low_seeds": "lower end of Student's interval over matched seeds",
        "high_seeds": "upper end of it",
        "p": "two-sided sign-flip test over items (clusters), seeds averaged first",
        "p_holm": "the same, adjusted by Holm within the family",
        "n": "items that both know",
        "units": "independent items or clusters among them",
        "seeds": "seeds that both have",
        "mde": "minimal detectable effect at 80 % power, by the variances seen; empty without any",
    },
    "claims": {
        "claim": "place in the study file, from 1",
        "say": "the claim in words",
        "verdict": "pass, fail, undecided or not measurable",
        "number": "what was found, in words",
        "value": "the number that decides",
        "low": "lower end of its interval",
        "high": "upper end of its interval",
        "bound": "what it is held against",
        "needed": "what would decide it: seeds, items, missing points; else why there is no mde",
        "mde": "minimal detectable effect at 80 % power, by the variances seen; of ratios in logs",
        "hash": "of the claim as it is now",
        "changed": "yes where the claim was changed after the first array was submitted",
    },
}


def columns(table: str, axes: tuple[str, ...] = ()) -> list[str]:
    """Columns of a table in order, `<axes>` replaced by the axes of a study."""
    found: list[str] = []
    for column in TABLES[table]:
        found += axes if column == "<axes>" else [column]
    return found


ITEMS = "items"
TEXTS = ("point", "setting", "name", "task", "set", "slice", "a", "b")  # columns never empty in use
MARK = "evaluate"  # stage whose done mark vouches for the tables
SCHEMA = 1  # of the tables; raised when a column changes its meaning


@dataclass
class StudyTables:
    """The tables of a study as frames; `extras` by the name of their file."""

    points: pd.DataFrame
    items: pd.DataFrame
    estimates: pd.DataFrame
    contrasts: pd.DataFrame
    claims: pd.DataFrame
    extras: dict[str, pd.DataFrame] = field(default_factory=dict)

    def write(self, directory: Path, identity: Mapping[str, Any]) -> None:
        """Write every table, and then the mark that vouches for them."""
        frames = {name: getattr(self, name) for name in TABLES if name != ITEMS} | self.extras
        for name, frame in frames.items():
            write_text(directory / f"{name}.csv", frame.to_csv(index=False))
        with replacing(directory / f"{ITEMS}.parquet") as path:
            self.items.to_parquet(path, index=False)
        files = [*(f"{name}.csv" for name in frames), f"{ITEMS}.parquet"]
        more = {"schema": SCHEMA, "extras": sorted(self.extras)}
        mark_done(directory, MARK, identity, files, **more)


def directory_of(comparison: Path) -> Path:
    """Where the tables of a comparison lie: beside that of the whole study, else inside it."""
    whole = comparison.name == "comparison"
    return comparison.with_name("tables") if whole else comparison / "tables"


def read_tables(directory: Path, items: bool = True) -> StudyTables:
    """The tables that stage 4 left; a text that is empty there is "".

    items: False leaves out the one that is long. Raises BadInput where there are none, or where
    they were changed.
    """
    import pandas as pd

    mark = done_mark(directory, MARK)
    if mark is None:
        raise BadInput(f"{directory}: no tables yet; run python -m stages.stage4_evaluate")
    if mark["schema"] > SCHEMA:
        raise BadInput(f"{directory}: schema: found {mark['schema']}, expected at most {SCHEMA}: "
                       f"a newer version wrote these tables; run stage 4 again")  # fmt: skip
    verify(directory, mark["files"], "run stage 4 again")
    frames = {
        name: pd.read_csv(directory / f"{name}.csv", keep_default_na=False, na_values=[""])
        for name in (*(n for n in TABLES if n != ITEMS), *mark["extras"])
    }
    for frame in frames.values():
        texts = [column for column in TEXTS if column in frame]
        frame[texts] = frame[texts].fillna("").astype(str)
    extras = {name: frames.pop(name) for name in mark["extras"]}
    found = pd.read_parquet(directory / f"{ITEMS}.parquet") if items else pd.DataFrame()
    return StudyTables(**frames, items=found, extras=extras)
