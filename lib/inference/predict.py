"""What a point predicts on a task's test set: batch by batch, so that a stop loses one batch."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from lib.config import tasks
from lib.config.errors import BadInput
from lib.config.grid import digest
from lib.config.study import Point, Study
from lib.config.tasks import Row
from lib.data.encoding import fit_prompt, prompt_hash
from lib.data.prepared import encoded_test, read_split
from lib.data.testsets import predict_identity, rows_of, section_of
from lib.inference.base import Draw, default_draw, regroup
from lib.inference.serving import Served
from lib.models.needs import prediction_needs
from lib.models.precision import on_this_machine
from lib.runs.directory import mark_done, verify_done
from lib.runs.disk import check_space
from lib.runs.files import read_jsonl, replacing, write_jsonl
from lib.runs.integrity import checksum, seal, unseal
from lib.runs.progress import progress


class Predictor(Protocol):
    """One model loaded once, that takes the weights of point after point.

    Where that is an engine, it is `served`'s, which all tasks of a process share.
    """

    def __init__(self, study: Study, task: str, served: Served) -> None: ...

    def serving(self, point: Point) -> AbstractContextManager[None]:
        """Predict with the weights of this point while the context lasts."""

    def predict(self, start: int, end: int) -> list[Row]:
        """Predictions of these rows of the test set; `end` may lie beyond the last."""


class ChatPredictor:
    """What a chat model answers to the prompts of a task. A prediction, `grade`'s fields aside:

        {"id", "prompt_hash": of the first prompt, "outputs": [str, …], "scores": [float, …] | null}

    scores: log-probabilities of the task's full answers. Of a task with a `follow_up` the outputs
    are the answers to both turns, and `cut` tells whether the first lost its end in the second
    prompt. Of a `sampled` task they are `infer.samples` samples, beside `seeds`, of each, and
    `greedy`, the answer without chance. All points draw with the same seeds: neither batches nor
    what an earlier run had done changes an answer.
    """

    def __init__(self, study: Study, task: str, served: Served, split: str = "test") -> None:
        """split: `validation` has greedy answers alone, for checkpoint selection."""
        self.study, self.served, self.split = study, served, split
        self.task, self.section = tasks.get(task), section_of(study.config, task)
        self.is_first = task == study.config.tasks[0]
        self.rows = rows_of(study, task) if split == "test" else read_split(study, split)

    @contextmanager
    def serving(self, point: Point, weights: Path | None = None) -> Iterator[None]:
        """See `Predictor`. weights: others than the point's model."""
        from lib.models.load import load_tokenizer

        point = on_this_machine(point)
        changes: Row = {} if self.split == "test" else {"samples": 0}
        if tokens := getattr(self.section, "max_new_tokens", None):
            changes["max_new_tokens"] = tokens
        self.settings = point.config.infer.model_copy(update=changes)
        self.max_length = point.config.model.max_length
        if self.is_first:  # its prompts were tokenised by stage 1
            self.encoded: Any = encoded_test(self.study, point, self.split)
        else:
            model = str(point.directory / "model")
            self.tokenizer: Any = load_tokenizer(point.config.model, model)
        with self.served.engine(point, weights) as engine:
            self.engine: Any = engine
            yield

    def predict(self, start: int, end: int) -> list[Row]:
        """See `Predictor`."""
        rows = self.rows[start:end]
        if self.is_first:
            batch = self.encoded[start:end]
            prompts = batch["input_ids"]
        else:
            prompts = [self._fitted(row)[0] for row in rows]
        scores: list[Any] = [None] * len(rows)
        if self.is_first and self.split == "test" and batch["answers"][0]:
            answers, scores = self.engine.generate_and_score(
                prompts, self.settings, batch["answers"]
            )
        else:
            answers = self._answers(rows, prompts, 1)
        predictions: list[Row] = [
            {"id": row["id"], "prompt_hash": prompt_hash(ids), "outputs": texts, "scores": given}
            for row, ids, texts, given in zip(rows, prompts, answers, scores, strict=True)
        ]
        if self.task.follow_up:
            asked = [self.task.follow_up(r, text) for r, [text] in zip(rows, answers, strict=True)]
            fitted = [self._fitted(row) for row in asked]
            replies = self._answers(rows, [ids for ids, _ in fitted], 2)
            for prediction, texts, (_, cut) in zip(predictions, replies, fitted, strict=True):
                prediction |= {"outputs": prediction["outputs"] + texts, "cut": cut}
        if self.task.sampled:
            for prediction, (greedy, *samples) in zip(predictions, answers, strict=True):
                first = first_seed(prediction["id"])
                seeds = list(range(first, first + len(samples)))
                prediction |= {"outputs": samples, "seeds": seeds, "greedy": greedy}
        return [
            {**prediction, **self.task.grade(row, prediction)}
            for row, prediction in zip(rows, predictions, strict=True)
        ]

    def _fitted(self, row: Row) -> tuple[list[int], bool]:
        return fit_prompt(self.tokenizer, self.task, row, self.section, self.max_length)

    def _answers(self, rows: list[Row], prompts: list[list[int]], turn: int) -> list[list[str]]:
        """The answers to each prompt; of a sampled task the greedy one first."""
        infer, draws = self.settings, []
        for row in rows:
            if self.task.sampled:
                samples = Draw(infer.temperature, first_seed(row["id"]), infer.samples)
                draws.append([Draw(), samples] if infer.samples else [Draw()])
            elif self.task.draw:
                draws.append([Draw(*self.task.draw(row, turn))])
            else:
                draws.append([default_draw(infer)])
        # The draws of a prompt stand together, so that an engine reads it once for all of them.
        repeated = [ids for ids, own in zip(prompts, draws, strict=True) for _ in own]
        texts = self.engine.generate(repeated, infer, list(chain(*draws)))
        return [list(chain(*own)) for own in regroup(texts, draws)]


def first_seed(row_id: str) -> int:
    """The seed of a question's first sample, below 2³¹; sample i has this + i."""
    return int(digest(["samples", row_id]), 16) % 2**31


def predictor(study: Study, task: str, served: Served) -> Predictor:
    """The task's own predictor, or a chat model's."""
    return (tasks.get(task).predictor or ChatPredictor)(study, task, served)


def read_answers(study: Study, task: str, point: Point) -> Path:
    """The file of a point's finished predictions. Raises BadInput where it has been changed."""
    name = f"{study.named('predictions', task)}.jsonl"
    verify_done(point.directory, study.named("infer", task), [name])
    return point.directory / name


def answered(study: Study, task: str, point: Point) -> tuple[list[Row], str]:
    """The finished predictions of a point, and the first 12 hex digits of their SHA-256."""
    path = read_answers(study, task, point)
    return read_jsonl(path), checksum(path)[:12]


def files_of(study: Study, task: str, point: Point) -> list[str]:
    """Names of the files that stages 3 and 4 write of a task for a point, partial ones too."""
    name = study.named("predictions", task)
    parts = [path.name for path in point.directory.glob(f".{name}-*.part.jsonl")]
    of_judge, metrics = f"judgments_{task}.jsonl", f"{study.named('metrics', task)}.json"
    return [*parts, f"{name}.jsonl", of_judge, metrics]


def predict(
    study: Study,
    task: str,
    point: Point,
    predictor: Predictor,
    stop: Callable[[], bool],
    loading: Mapping[str, float] | None = None,
) -> int | None:
    """Write the task's predictions of a point and the done mark; returns how many rows.

    None where `stop()` ended it early: the finished batches are kept, and the next call resumes.
    loading: seconds that its model took, `start` of an engine and `load` beside that; the mark has
    them, with those that predicting `rows` took, so that `make plan` knows what others will take.
    """
    begun = time.monotonic()
    identity, name = predict_identity(study, point, task), study.named("predictions", task)
    total = len(rows_of(study, task, point))
    part = point.directory / f".{name}-{digest(identity)}.part.jsonl"
    check_space(point.directory, prediction_needs(point.config, task, total))
    predictions = _finished_batches(part, point.config.infer.batch_size, total)
    resumed = len(predictions)
    label = f"infer {point.name}" if name == "predictions" else f"infer {task} {point.name}"
    with progress(total, label, done=resumed) as shown:
        while len(predictions) < total:
            if stop():
                return None
            end = min(total, len(predictions) + point.config.infer.batch_size)
            fresh = predictor.predict(len(predictions), end)
            _append(part, fresh)
            predictions += fresh
            shown.update(len(predictions))
    write_jsonl(point.directory / f"{name}.jsonl", predictions)
    took = {"predict": time.monotonic() - begun, "rows": total - resumed, **(loading or {})}
    seconds = {key: round(value, 3) for key, value in took.items()}
    mark_done(point.directory, study.named("infer", task), identity, [f"{name}.jsonl"],
              rows=total, seconds=seconds)  # fmt: skip
    with suppress(FileNotFoundError):
        part.unlink()
    return total


def _append(part: Path, rows: list[Row]) -> None:
    """Add a batch to a part file as one sealed line, on the disk when this returns.

    Raises BadInput where it cannot be written; the batches before stay whole.
    """
    line = json.dumps(seal({"rows": rows}), ensure_ascii=False) + "\n"
    try:
        with part.open("a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise BadInput(f"{part}: cannot be written: {error.strerror}; the rows before are kept, "
                       f"run the stage again to resume") from None  # fmt: skip


def _finished_batches(part: Path, batch_size: int, total: int) -> list[Row]:
    """The rows of a part file up to its first batch that is torn, changed or of another size.

    Only whole batches count: the rows of a batch are computed together, and others in it change
    the last digits of their scores. The file is cut behind them.
    """
    predictions: list[Row] = []
    kept = []
    for line in part.read_bytes().split(b"\n") if part.exists() else ():
        try:
            rows = unseal(json.loads(line))["rows"]
        except (ValueError, KeyError):
            break
        if len(rows) != min(batch_size, total - len(predictions)):
            break
        predictions += rows
        kept.append(line + b"\n")
    with replacing(part) as temporary:
        temporary.write_bytes(b"".join(kept))
    return predictions
