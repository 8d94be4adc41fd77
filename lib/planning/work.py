"""What the points of a study have to compute: steps and tokens of training, rows to predict.

From the manifests of stage 1, else from the study file; what neither tells is None. Tokens are
counted as a fourth of the bytes of a row: only their ratio between points matters.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lib.config import tasks
from lib.config.steps import step_count
from lib.config.study import Point, Study
from lib.data.prepared import read_manifest
from lib.data.testsets import directory, manifest_of, section_of
from lib.losses import OBJECTIVES
from lib.runs.files import read_jsonl

BYTES_A_TOKEN = 4
ROWS = ("test_rows", "limit")  # keys of a task's section that say how many test rows there are


class Work(NamedTuple):
    """Of one point; None: unknown."""

    steps: int | None
    tokens: float | None  # of a step
    answers: dict[str, int | None]  # task → rows to predict, times the answers to each


@dataclass
class Data:
    """Sizes of a study's data: read once, for all its points."""

    study: Study
    splits: dict[str, tuple[int, float]] = field(default_factory=dict)  # rows, bytes of one
    tests: dict[str, dict[str, int]] = field(default_factory=dict)  # task → set → rows
    made: bool = False  # whether stage 1 has run

    @classmethod
    def of(cls, study: Study) -> Data:
        """Of the data that are there, else of what the study file says."""
        data = cls(study)
        for task in study.tasks:
            data.tests[task] = _test_sets(study, task)
        if not (study.directory / "data" / "manifest.json").exists():
            return data
        for name, split in read_manifest(study)["splits"].items():
            rows = split["rows"]
            written = (study.directory / "data" / split["file"]).stat().st_size
            data.splits[name] = rows, written / max(rows, 1)
        data.made = True
        return data

    def sizes(self) -> dict[tuple[str, str], int]:
        """(task, test set) → items, as `lib.analysis.claim_power.planned` takes them."""
        return {(task, name): n for task, sets in self.tests.items() for name, n in sets.items()}

    def work(self, point: Point) -> Work:
        """What a point has to compute. Raises BadInput where its rows do not fill a step."""
        train = point.config.train
        answers: dict[str, int | None] = {}
        for task in self.tests:
            rows = self.rows(point, task)
            draws = 1 + point.config.infer.samples if tasks.get(task).sampled else 1
            answers[task] = None if rows is None else rows * draws
        if point.config.model.adapter or train.epochs == 0:
            return Work(0, 0.0, answers)
        rows, length = self._training(point)
        if rows is None:
            return Work(train.max_steps, None, answers)
        tokens = None if length is None else train.batch_size * length
        return Work(step_count(train, rows), tokens, answers)

    def rows(self, point: Point, task: str) -> int | None:
        """Rows of a task that a point predicts, at most; None where nothing tells them."""
        rows = sum(self.tests[task].values())
        return min(rows, point.config.infer.rows or rows) or None

    def _training(self, point: Point) -> tuple[int | None, float | None]:
        """(rows, tokens of one) of a point's training split."""
        config = point.config
        if not self.made:
            return getattr(config.data, "train_rows", None), None
        name = tasks.get(config.tasks[0]).train_split(config.data)
        if name not in self.splits:
            return None, None
        rows, written = self.splits[name]
        pairs = OBJECTIVES[config.train.objective].batch == "pairs"
        longest = config.model.max_length * (2 if pairs else 1)
        return rows, min(written / BYTES_A_TOKEN, longest)


def _test_sets(study: Study, task: str) -> dict[str, int]:
    """Rows of each test set of a task; empty where nothing tells them."""
    known = tasks.get(task).sets
    place = directory(study, task)
    if not (place / "manifest.json").exists():
        section: Any = section_of(study.config, task)
        rows = next((n for key in ROWS if (n := getattr(section, key, None))), None)
        return {} if rows is None or known else {"test": rows}
    splits = manifest_of(study, task)["splits"]
    if not known:
        return {"test": splits["test"]["rows"]}
    names = Counter()
    for row in read_jsonl(place / splits["test"]["file"]):
        own = (row.get("set"), f"{row.get('task')}/{row.get('set')}")
        names[next((name for name in own if name in known), "test")] += 1
    return dict(names)
