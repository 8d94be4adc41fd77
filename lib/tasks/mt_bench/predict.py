"""Answers of each point to both turns of every question."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lib.study import Point, Study
from lib.tasks import Row
from lib.tasks.mt_bench.answers import answer
from lib.testsets import rows_of


class Predictor:
    """See `lib.prediction.Predictor`: one engine, whose weights are swapped."""

    def __init__(self, study: Study, task: str) -> None:
        self.rows, self.engine = rows_of(study, task), None

    @contextmanager
    def serving(self, point: Point) -> Iterator[None]:
        """See `lib.prediction.Predictor`; the engine starts with the first point."""
        from lib.generation import start_engine, whole_weights
        from lib.models import load_tokenizer

        self.model, self.settings = point.config.model, point.config.generate
        directory = point.directory / "model"
        self.tokenizer: Any = load_tokenizer(self.model, str(directory))
        with whole_weights(self.model, directory, self.settings.precision) as weights:
            if self.engine is None:
                self.engine = start_engine(self.model, self.settings, weights)
            self.engine.load(weights)
            yield

    def predict(self, start: int, end: int) -> list[Row]:
        """See `lib.prediction.Predictor`."""
        rows, most = self.rows[start:end], self.model.max_length
        return answer(self.engine, self.tokenizer, rows, self.settings, most)
