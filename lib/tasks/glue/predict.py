"""The label of each test row by the classifier that a point has trained: no engine, no text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lib.config.study import Point, Study
from lib.config.tasks import Row
from lib.data.testsets import rows_of
from lib.inference.serving import Served
from lib.models.precision import on_this_machine
from lib.tasks.glue.data import grade, labels


class Predictor:
    """See `predict.Predictor`: of each point base, adapters and head are loaded anew."""

    def __init__(self, study: Study, task: str, served: Served) -> None:
        self.study, self.task = study, task
        self.model: Any = None

    @contextmanager
    def serving(self, point: Point) -> Iterator[None]:
        """See `lib.inference.predict.Predictor`. The model's memory is free behind the block."""
        from lib.inference.base import free
        from lib.models.adapters import check_adapter_config
        from lib.models.checkpoints import is_adapter
        from lib.models.classifiers import load_trained
        from lib.models.load import load_tokenizer
        from lib.training.inputs import own_encoded

        point = on_this_machine(point)
        self.point, self.rows = point, rows_of(self.study, self.task, point)
        self.labels = labels(point.config.data)
        self.encoded = own_encoded(self.study, point, "test")
        self.pad = load_tokenizer(point.config.model).pad_token_id
        directory = point.directory / "model"
        if is_adapter(directory):
            check_adapter_config(directory, point.config.model, point.config.train)
        self.model = load_trained(point.config, self.labels, point.directory / "model")
        try:
            yield
        finally:
            self.model = None
            free()

    def predict(self, start: int, end: int) -> list[Row]:
        """See `predict.Predictor`. `scores`: log-probabilities of the labels, in order."""
        from lib.training.scoring import row_logps

        config = self.point.config
        rows, encoded = self.rows[start:end], self.encoded[start : min(end, len(self.rows))]
        logps = row_logps(
            "classes",
            self.model,
            encoded,
            self.pad,
            config.train,
            precision=config.infer.precision,
        )
        predictions = []
        for row, tokens, scores in zip(rows, encoded, logps.tolist(), strict=True):
            outputs = [self.labels[max(range(len(scores)), key=scores.__getitem__)]]
            predictions.append(
                {
                    "id": row["id"],
                    "prompt_hash": tokens["prompt_hash"],
                    "outputs": outputs,
                    "scores": scores,
                    **grade(row, {"outputs": outputs}),
                }
            )
        return predictions
