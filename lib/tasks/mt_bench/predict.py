"""Answers of each point to both turns of every question."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lib.config.study import Point, Study
from lib.config.tasks import Row
from lib.data.testsets import rows_of
from lib.inference.serving import Served
from lib.tasks.mt_bench.answers import answer


class Predictor:
    """See `lib.inference.predict.Predictor`."""

    def __init__(self, study: Study, task: str, served: Served) -> None:
        self.rows, self.served = rows_of(study, task), served

    @contextmanager
    def serving(self, point: Point) -> Iterator[None]:
        """See `lib.inference.predict.Predictor`."""
        from lib.models.load import load_tokenizer

        self.model, self.settings = point.config.model, point.config.infer
        directory = point.directory / "model"
        self.tokenizer: Any = load_tokenizer(self.model, str(directory))
        with self.served.engine(point) as engine:
            self.engine: Any = engine
            yield

    def predict(self, start: int, end: int) -> list[Row]:
        """See `lib.inference.predict.Predictor`."""
        rows, most = self.rows[start:end], self.model.max_length
        return answer(self.engine, self.tokenizer, rows, self.settings, most)
