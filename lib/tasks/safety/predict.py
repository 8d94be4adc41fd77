"""Answers of each point to every request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from lib.config.errors import BadInput
from lib.config.study import Point, Study
from lib.config.tasks import Row
from lib.data.encoding import encode_prompt, prompt_hash
from lib.data.testsets import rows_of
from lib.inference.serving import Served
from lib.tasks.safety.data import messages


class Predictor:
    """See `lib.inference.predict.Predictor`."""

    def __init__(self, study: Study, task: str, served: Served) -> None:
        self.rows, self.served = rows_of(study, task), served
        self.section: Any = getattr(study.config, task)

    @contextmanager
    def serving(self, point: Point) -> Iterator[None]:
        """See `lib.inference.predict.Predictor`."""
        from lib.models.load import load_tokenizer

        self.model = point.config.model
        new = {"max_new_tokens": self.section.max_new_tokens}
        self.settings = point.config.infer.model_copy(update=new)
        self.tokenizer: Any = load_tokenizer(self.model, str(point.directory / "model"))
        with self.served.engine(point) as engine:
            self.engine: Any = engine
            yield

    def predict(self, start: int, end: int) -> list[Row]:
        """See `lib.inference.predict.Predictor`."""
        rows = self.rows[start:end]
        prompts = encoded(self.tokenizer, rows, self.section, self.model.max_length)
        outputs = self.engine.generate(prompts, self.settings)
        return [
            {"id": row["id"], "prompt_hash": prompt_hash(prompt), "outputs": made, "scores": None}
            for row, prompt, made in zip(rows, prompts, outputs, strict=True)
        ]


def encoded(tokenizer: Any, rows: Sequence[Row], section: Any, most: int) -> list[list[int]]:
    """Token ids of the requests, never shortened; BadInput for one of more than `most`."""
    prompts = [encode_prompt(tokenizer, messages(row, section)) for row in rows]
    for row, prompt in zip(rows, prompts, strict=True):
        if len(prompt) > most:
            raise BadInput(f"model.max_length: request {row['id']} of safety needs {len(prompt)} "
                           f"tokens, found {most}")  # fmt: skip
    return prompts
