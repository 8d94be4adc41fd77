"""Points whose settings a search selected: marked in every report, and trained with new seeds.

    selected:                         # written by `make search`, see lib.search.best
      by: search of iw_lora_search
      trial: 17
      trials: 30
      metric: validation_accuracy
      value: 0.874
      seeds: [42]                     # of the trials
      where: {variant: iw_lora}       # axis values of the selected points
      params: {train.learning_rate: 1e-4}

The best of many trials is partly lucky, so a selected point must not use a seed of the search:
the data that selected it cannot confirm it.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, ValidationError

from lib.config.checks import check_axes
from lib.config.errors import BadInput, listed
from lib.config.points import STUDY, matches
from lib.config.search_space import Scalar
from lib.config.study import Point, Study
from lib.config.tasks import Comparison
from lib.config.types import Count, Seed, Strict
from lib.config.validation import first_error


class Selected(Strict):
    """Which search selected the settings of which points."""

    by: str
    trial: Annotated[int, Field(ge=0)]
    trials: Count
    metric: str
    value: float
    seeds: Annotated[list[Seed], Field(min_length=1)]
    where: dict[str, Scalar | None] = {}
    params: dict[str, Any] = {}


class _Study(Strict):
    selected: Selected


def selected_of(study: Study) -> Selected | None:
    """The study's section `selected`, or None. Raises BadInput for an invalid one."""
    given = study.raw.get("selected")
    if given is None:
        return None
    try:
        return _Study.model_validate({"selected": given}).selected
    except ValidationError as error:
        raise first_error(error, _Study, study.path, {}) from None


def check_selected(study: Study) -> None:
    """Raise BadInput where no point is selected, or one has a seed of the search."""
    selected, where = selected_of(study), f"{study.path}: selected"
    check_axes(study, selected.where, "selected.where")
    chosen = [point for point in study.points() if matches(point.values, selected.where)]
    if not chosen:
        raise BadInput(f"{where}.where: {selected.where} matches no point of the grid")
    for point in chosen:
        seed = point.config.train.seed
        if seed in selected.seeds:
            raise BadInput(
                f"{where}.seeds: the point {point.name} is trained with the seed {seed}, by which "
                f"it was selected, expected new seeds, not {listed(selected.seeds)}"
            )


def is_selected(study: Study, point: Point) -> bool:
    """Whether a search selected the settings of a point."""
    selected = selected_of(study)
    own = STUDY not in point.values
    return selected is not None and own and matches(point.values, selected.where)


def in_words(selected: Selected) -> str:
    """One line for a report on the selection."""
    settings = listed(
        f"{key} = {value:.4g}" if isinstance(value, float) else f"{key} = {value}"
        for key, value in selected.params.items()
    )
    return (
        f"Selected: {settings} were chosen by {selected.by} (trial {selected.trial} of "
        f"{selected.trials}, {selected.metric} {selected.value:.4f} with seed "
        f"{listed(selected.seeds)}). As the best of {selected.trials} that value is optimistic; "
        f"the points here use new seeds, and no number above includes it."
    )


def mark(study: Study, made: Comparison) -> None:
    """Mark the selected points in a comparison: its tables, its rows, and its findings."""
    selected = selected_of(study)
    if selected is None:
        return
    chosen = {p.name for p in study.points() if is_selected(study, p)}
    made.tables["selected"] = selected.model_dump() | {"points": sorted(chosen)}
    for row in made.rows:
        row["selected"] = "selected" if row["point"] in chosen else ""
    head, _, rest = made.criteria.partition("\n\n")
    made.criteria = f"{head}\n\n- {in_words(selected)}\n{rest}"
