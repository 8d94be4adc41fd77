"""Results of a search: the best trial, its neighbours, importances, and a study file for it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from typing import Any

import optuna
import yaml

from lib.config.errors import BadInput
from lib.config.grid import aligned
from lib.config.load import load_study
from lib.config.points import SEED
from lib.config.search_checks import DIRECTIONS, base_values
from lib.config.search_space import Dimension
from lib.config.study import Study
from lib.config.validation import dotted_keys
from lib.config.yaml import put
from lib.runs.files import replacing
from lib.search.journal import Journal, state_of

GENERATED = Path("configs") / "generated"
NEIGHBOURS = 4


def best_of(current: Mapping[int, Any], metric: str) -> int | None:
    """The complete trial with the best value, the first of ties, or None."""
    sign = 1 if DIRECTIONS[metric] == "maximize" else -1
    done = [(sign * a.value, -n) for n, a in current.items() if a.state.name == "COMPLETE"]
    return -max(done)[1] if done else None


def neighbours(
    current: Mapping[int, Any], best: int, space: Mapping[str, Dimension], most: int = NEIGHBOURS
) -> list[tuple[int, float]]:
    """The complete trials nearest to one, with their distance from 0 to 1, nearest first.

    By root mean square over the keys, each from 0 (the same) to 1 (from low to high).
    """
    distances = []
    for number, attempt in current.items():
        if number != best and attempt.state.name == "COMPLETE":
            apart = [
                d.distance(attempt.params[k], current[best].params[k]) for k, d in space.items()
            ]
            distances.append((sqrt(sum(a * a for a in apart) / len(apart)), number))
    return [(number, distance) for distance, number in sorted(distances)[:most]]


def importances(journal: Journal) -> dict[str, float]:
    """Importance of each key for being among the best trials (PED-ANOVA), shares; may be empty."""
    complete = [a for a in journal.attempts() if a.state.name == "COMPLETE"]
    if len(complete) < 4:
        return {}
    try:
        return dict(optuna.importance.get_param_importances(journal.optuna))
    except (RuntimeError, ValueError):  # such as trials that are all equal
        return {}


def history(current: Mapping[int, Any], metric: str) -> list[dict[str, Any]]:
    """A row for each finished trial in the order of completion: its value, and the best so far."""
    better = max if DIRECTIONS[metric] == "maximize" else min
    done = [(a.datetime_complete, n) for n, a in current.items() if a.state.is_finished()]
    rows, best = [], None
    for _, number in sorted(done):
        attempt = current[number]
        complete = attempt.state.name == "COMPLETE"
        value = attempt.value if attempt.state.name != "FAIL" else None
        if complete:
            best = value if best is None else better(best, value)
        rows.append({"trial": number, "state": state_of(attempt), metric: value, "best": best,
                     "retries": attempt.user_attrs["retries"], **attempt.params})  # fmt: skip
    return rows


def table(current: Mapping[int, Any], states: Mapping[int, str], keys: Sequence[str]) -> str:
    """One line a trial: its state, value, validations and parameters."""
    rows = [["trial", "state", "value", "validations", "retries", *keys]]
    for number, state in states.items():
        attempt = current.get(number)
        if attempt is None:
            rows.append([str(number), state, "", "", "", *("" for _ in keys)])
            continue
        value = "" if attempt.value is None else f"{attempt.value:.4f}"
        params = (_short(attempt.params[key]) for key in keys)
        rows.append([str(number), state, value, str(len(attempt.intermediate_values)),
                     str(attempt.user_attrs["retries"] or ""), *params])  # fmt: skip
    return aligned(rows)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def fresh_seeds(study: Study, chose: Sequence[int]) -> list[int]:
    """`search.seeds` seeds that neither the search nor the study's grid has used."""
    axes = [axis for axis, key in study.axes.items() if key == SEED]
    used = {*chose, *(v for axis in axes for v in study.grid.axis_values(axis)),
            study.config.train.seed}  # fmt: skip
    first = max(used) + 1
    return list(range(first, first + study.search.seeds))


def best_study(study: Study, current: Mapping[int, Any], best: int) -> dict[str, Any]:
    """The study with the best trial's parameters, new seeds, and the record `selected`."""
    raw, attempt = copy.deepcopy(study.raw), current[best]
    values = base_values(study)
    seed = study.resolve(values).train.seed
    for key in ("search", "mode", "name"):
        raw.pop(key, None)
    raw = {"name": f"{study.name}-best", **raw}
    for key, value in study.overrides.items():
        put(raw, key, value, f"command line: {key}")
    variant = values.get("variant")
    if variant is None:
        for key, value in attempt.params.items():
            put(raw, key, value, f"{study.path}: {key}")
    else:
        raw["variants"][variant] = {**dotted_keys(raw["variants"][variant]), **attempt.params}
    axis = _seed_axis(raw)
    seeds = fresh_seeds(study, [seed])
    # A list for each block: YAML would write a shared one as an anchor.
    raw["grid"] = [{**block, axis: list(seeds)} for block in raw["grid"]]
    baseline = raw["evaluate"]["baseline"]
    raw["evaluate"] = {**raw["evaluate"], "baseline": {**baseline, axis: seeds[0]}}
    where = {a: v for a, v in values.items() if study.axes.get(a) != SEED}
    raw["selected"] = {
        "by": f"search of {study.name}", "trial": best, "trials": study.search.trials,
        "metric": study.search.metric, "value": attempt.value, "seeds": [seed], "where": where,
        "params": dict(attempt.params),
    }  # fmt: skip
    return raw


def _seed_axis(raw: dict[str, Any]) -> str:
    """The axis of `train.seed`; added if the study has none."""
    axes = raw["axes"] = dict(raw.get("axes") or {})
    seed_axis = next((axis for axis, key in axes.items() if key == SEED), None)
    if seed_axis is None:
        seed_axis = "seed" if "seed" not in axes else "train_seed"
        axes[seed_axis] = SEED
    return seed_axis


def write_best_study(study: Study, current: Mapping[int, Any], best: int) -> Path:
    """Write configs/generated/<study>-best.yaml, after checking that it loads; returns its path."""
    path = GENERATED / f"{study.name}-best.yaml"
    content = yaml.safe_dump(best_study(study, current, best), sort_keys=False, allow_unicode=True)
    head = (
        f"# Written by `make search`: the best trial of {study.path}, with seeds that the search\n"
        f"# has not seen. Its points are marked as selected; see `selected:` below.\n"
    )
    with replacing(path) as temporary:
        temporary.write_text(head + content, encoding="utf-8")
        try:
            load_study(temporary)
        except BadInput as error:
            raise BadInput(str(error).replace(str(temporary), str(path))) from None
    return path
