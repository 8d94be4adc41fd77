"""Checkpoint selection: which of the weights that a run kept answers the validation rows best.

<point>/candidates/step-000123/   weights, kept by stage 2, with a record that vouches for them
<point>/candidates/step-000123.json how many validation rows they answer, once that is known
<point>/checkpoint_scores.csv          step, score, low, high, n, chosen
<point>/done/checkpoint_selection.json model/ is the best of them

A kill loses the candidate being scored at most: candidates/ is removed once the mark exists.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lib.config.errors import BadInput, listed
from lib.config.grid import digest
from lib.config.steps import candidate_steps
from lib.config.study import Point, Study, identity
from lib.data.prepared import read_manifest, train_identity
from lib.inference.predict import ChatPredictor
from lib.inference.serving import Served
from lib.runs.directory import CANDIDATES, SELECTION, done_mark, mark_done
from lib.runs.files import as_csv, read_sealed, replacing, write_sealed, write_text
from lib.runs.integrity import digest_of
from lib.runs.progress import progress
from lib.training.checkpointing import candidate_directory, read_weights

SPLIT, SCORES = "validation", "checkpoint_scores.csv"
REMEDY = "restore it, or train the point anew: stage 2 with --force"


def check_selection(study: Study, point: Point) -> None:
    """Raise BadInput where candidates are to be kept, and no rows exist to select one by."""
    candidates = point.config.train.checkpoint_candidates
    split = read_manifest(study)["splits"].get(SPLIT)
    if candidates and not (split and split["rows"]):
        raise BadInput(
            f"{study.path}: train.checkpoint_candidates: found {candidates}, but the study's "
            f"data have no {SPLIT} rows to select one by; expected null, or data with such rows"
        )


def is_due(point: Point) -> bool:
    """Whether weights were kept among which none has been chosen, or which are yet to go.

    Also where they are missing: `choose` refuses that.
    """
    mark = done_mark(point.directory, "train")
    trained = mark and mark["status"] == "done" and mark["step"]
    kept = trained and point.config.train.checkpoint_candidates
    chosen = (point.directory / "done" / f"{SELECTION}.json").exists()
    return (point.directory / CANDIDATES).exists() or bool(kept and not chosen)


def choose(study: Study, point: Point, served: Served, stop: Callable[[], bool]) -> int | None:
    """Make the weights that score best a point's model; returns their step, None where stopped.

    The score is the share of validation rows whose answer is `correct` by the task; of equals the
    later weights are taken. The interval is Wilson's, at `evaluate.level`. Raises BadInput where
    weights that training kept are missing or changed, or others lie among them.
    """
    kept = point.directory / CANDIDATES
    mark = done_mark(point.directory, SELECTION)
    if mark is None:
        made_from = {**train_identity(study, point), **identity(point.config, "infer")}
        scored = {}
        for step, files in _candidates(point).items():
            key = digest([made_from, digest_of(files)])
            weights = point.directory / candidate_directory(step)
            correct = _score(study, point, weights, key, served, stop)
            if correct is None:
                return None
            scored[step] = correct
        best = max(scored, key=lambda step: (scored[step], step))
        _write_scores(study, point, scored, best)
        read_weights(point.directory / candidate_directory(best), REMEDY)
        with replacing(point.directory / "model") as temporary:
            shutil.copytree(point.directory / candidate_directory(best), temporary)
        mark_done(point.directory, SELECTION, made_from, ["model", SCORES], step=best)
        mark = done_mark(point.directory, SELECTION)
    shutil.rmtree(kept)
    return mark["step"]


def _candidates(point: Point) -> dict[int, dict[str, Any]]:
    """Step → checksums of the weights that training kept, of every step that it had to keep."""
    done = done_mark(point.directory, "train")
    if not done:
        raise BadInput(f"{point.directory}: not trained, though it keeps weights; run stage 2")
    steps = candidate_steps(point.config.train, done["step"])
    kept = point.directory / CANDIDATES
    for path in sorted(path for path in kept.glob("step-*") if path.is_dir()):
        if path not in [point.directory / candidate_directory(step) for step in steps]:
            raise BadInput(f"{path}: found weights of a step that training keeps none of, expected "
                           f"those of {listed(steps)}; {REMEDY}")  # fmt: skip
    return {
        step: read_weights(point.directory / candidate_directory(step), REMEDY)["files"]
        for step in steps
    }


def _score(
    study: Study,
    point: Point,
    weights: Path,
    key: str,
    served: Served,
    stop: Callable[[], bool],
) -> int | None:
    """How many validation rows these weights answer correctly; None where `stop()` ended it."""
    record = weights.with_suffix(".json")
    if record.exists():
        known = read_sealed(record, "remove it to score these weights again", ("key", "correct"))
        if known["key"] == key:
            return known["correct"]
    chat = ChatPredictor(study, study.config.tasks[0], served, SPLIT)
    size, correct = point.config.infer.batch_size, 0
    total = len(chat.rows)
    with (
        chat.serving(point, weights),
        progress(total, f"validate {point.name} {weights.name}") as shown,
    ):
        for start in range(0, total, size):
            if stop():
                return None
            correct += sum(
                prediction["correct"] for prediction in chat.predict(start, start + size)
            )
            shown.update(min(start + size, total))
    write_sealed(record, {"key": key, "correct": correct})
    return correct


def _write_scores(study: Study, point: Point, scored: dict[int, int], best: int) -> None:
    from scipy.stats import binomtest

    n = read_manifest(study)["splits"][SPLIT]["rows"]
    rows = []
    for step, correct in scored.items():
        score = binomtest(correct, n).proportion_ci(study.config.evaluate.level, "wilson")
        rows.append(
            {
                "step": step,
                "score": correct / n,
                "low": score.low,
                "high": score.high,
                "n": n,
                "chosen": "yes" if step == best else "no",
            }
        )
    write_text(point.directory / SCORES, as_csv(rows))
