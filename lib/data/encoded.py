"""The splits of a study as tokens, before they are written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib.config import tasks
from lib.config.errors import BadInput
from lib.config.grid import NAME_BYTES, digest
from lib.config.schema import Model
from lib.config.study import Study
from lib.data.encoding import (
    answer_encoder,
    encode_prompt,
    encode_row,
    fit_prompt,
    naming,
    prompt_hash,
)
from lib.runs.progress import tracked

PROMPTS = ("test", "validation")  # splits whose prompts are answered, and which nobody trains on
HELD_OUT = "validation-rows"  # validation rows with their answers, as training rows are


def directory_of(study: Study, model: Model) -> str:
    """Name of the directory of what is tokenised for a point's model, below the study's data."""
    models = study.model_sections()
    if len(models) == 1:
        return "encoded"
    key = model.model_dump(exclude={"adapter"})
    last = re.sub(r"[^\w.-]", "_", Path(model.name).name).encode()[:NAME_BYTES]
    last = last.decode(errors="ignore")
    return f"encoded-{last}-{digest(key)[:6]}"


def encode(
    study: Study,
    task: tasks.Task,
    tokenizer: Any,
    splits: Mapping[str, list[tasks.Row]],
    token_budget: int,
) -> dict[str, Any]:
    """Tokenised `rows` (every distinct training row), the prompts of each rendering of PROMPTS,
    HELD_OUT where there are validation rows, and in `places`, for each training split, where its
    rows stand in `rows`; of at most `token_budget` tokens each.
    """
    data = study.config.data
    answer_ids = answer_encoder(tokenizer)
    training = {name: rows for name, rows in splits.items() if name not in PROMPTS}
    distinct = {row["id"]: row for rows in training.values() for row in rows}
    _check_training(study, task, distinct)
    encoded = [
        encode_row(tokenizer, task, row, data, token_budget, answer_ids)
        for row in tracked(distinct.values(), len(distinct), "tokenise training rows")
    ]
    renderings = {task.rendering(section): section for section in study.data_sections()}
    prompts = {
        named(name, rendered): _encode_prompts(tokenizer, task, splits[name], section, token_budget)
        for rendered, section in renderings.items()
        for name in PROMPTS
        if name in splits
    }
    position = {row_id: i for i, row_id in enumerate(distinct)}
    places = {name: [position[row["id"]] for row in rows] for name, rows in training.items()}
    held_out = [
        encode_row(tokenizer, task, row, data, token_budget, answer_ids)
        for row in splits.get("validation", [])
    ]
    prompts |= {HELD_OUT: held_out} if held_out else {}
    return {"rows": encoded, **prompts, "places": places}


def _check_training(study: Study, task: tasks.Task, rows: Mapping[str, tasks.Row]) -> None:
    """Raise BadInput where a point would train on prompts phrased unlike the study's own.

    Training rows are tokenised once, from the section `data` without a point: such a point would
    be trained on one prompt and tested on another.
    """
    for row in list(rows.values())[:1]:
        usual = task.messages(row, study.config.data)
        for point in study.points():
            config = point.config
            trained = config.train.epochs > 0 and config.model.adapter is None
            if trained and task.messages(row, config.data) != usual:
                raise BadInput(
                    f"{study.path}: data: the point {point.name} phrases its training "
                    f"prompts unlike the study's `data` section, expected the same text: training "
                    f"rows are tokenised once for all points"
                )


def named(split: str, rendered: str) -> str:
    """Name of the directory that holds the prompts of a split in one rendering."""
    return f"{split}-{rendered}" if rendered else split


def _encode_prompts(
    tokenizer: Any, task: tasks.Task, rows: list[tasks.Row], data: Any, token_budget: int
) -> list[dict[str, Any]]:
    """Prompts of rows in order within `token_budget`, each with the answers to score."""
    answer_ids = answer_encoder(tokenizer)
    tokenised = []
    for row in tracked(rows, len(rows), "tokenise prompts"):
        messages = task.messages(row, data)
        with naming(row):
            answers = [answer_ids(messages, answer) for answer in task.answers(data) or []]
            longest = max(map(len, [*answers, answer_ids(messages, row["target"])]))
            ids, cut = fit_prompt(tokenizer, task, row, data, token_budget - longest)
        tokenised.append(
            {
                "id": row["id"],
                "input_ids": ids,
                "answers": answers,
                "cut": cut,
                "prompt_hash": prompt_hash(ids),
            }
        )
    return tokenised


def check_prompts(study: Study, name: str, rows: list[tasks.Row]) -> None:
    """Render the prompts of a further task for every model of the study, and keep nothing.

    Stage 3 would meet what is wrong with them only after the training. Raises BadInput, with task
    and row, for a conversation that a chat template refuses or does not show, and for a prompt
    that is too long.
    """
    from lib.models.load import load_tokenizer

    task, section = tasks.get(name), getattr(study.config, name)
    for model in study.model_sections() if rows else ():
        tokenizer = load_tokenizer(model)
        for row in rows:
            turns = [row, task.follow_up(row, ".")] if task.follow_up else [row]
            with naming(row, name):
                for turn in turns:
                    length = len(encode_prompt(tokenizer, task.messages(turn, section)))
                    if length > model.max_length:
                        raise BadInput(
                            f"model.max_length: found {model.max_length}, expected at least the "
                            f"{length} tokens of the prompt"
                        )


def encode_own(
    study: Study,
    task: tasks.Task,
    tokenizer: Any,
    splits: Mapping[str, list[tasks.Row]],
    token_budget: int,
) -> tuple[dict[str, Any], dict[str, list[tasks.Row]], dict[str, Any]]:
    """(tokenised rows, rows, counts) of a task that encodes its own, each by split.

    Rows of which `token_budget`, model.max_length, leaves nothing are in none of them, and are
    counted. Raises BadInput where a split loses all its rows to that.
    """
    data = study.config.data
    encoded, kept, lost = {}, {}, {}
    for name, rows in splits.items():
        tokenised = [
            task.encode(row, tokenizer, data, token_budget)
            for row in tracked(rows, len(rows), f"tokenise {name} rows")
        ]
        encoded[name] = [one for one in tokenised if one is not None]
        kept[name] = [row for row, one in zip(rows, tokenised, strict=True) if one is not None]
        lost[name] = len(rows) - len(kept[name])
        if not kept[name]:
            raise BadInput(
                f"model.max_length: found {token_budget}, which leaves nothing of all {len(rows)} "
                f"rows of the split {name!r}, expected more tokens than their prompts have"
            )
    return encoded, kept, {"cut": shortened(encoded), "dropped_truncated": lost}


def shortened(encoded: Mapping[str, Any]) -> dict[str, int]:
    """How many rows of each split were shortened; distinct training rows stand as `train`."""
    return {
        "train" if name == "rows" else name: sum(row["cut"] for row in rows)
        for name, rows in encoded.items()
        if name not in ("places", HELD_OUT)
    }


def write_encoded(encoded: Mapping[str, Any], directory: Path) -> None:
    """Write what `encode` or `encode_own` made: a dataset each, and places as .npy."""
    import numpy as np  # not above: stages answer --help without it
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()  # ours show the time remaining, in a log file too
    places = encoded.get("places", {})
    for name in encoded.keys() - {"places"}:
        Dataset.from_list(encoded[name]).save_to_disk(directory / name)
    for name, rows in places.items():
        np.save(directory / f"{name}.npy", rows)
