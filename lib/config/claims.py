"""Claims: the sentences that a study sets out to decide, written in its file before anything runs.

    claims:
      - say: τ = 0.5 brings β = 0.01 up to the best-tuned DPO    what the reader sees
        metric: preference.accuracy        of the first task without its name; training.seconds; a
                                           column of a table with one row a point: theory.delta
        set: new_templates                 test set, where a task has several; else the main one
        of: {variant: td_dpo, beta: 0.01, tau: 0.5}     settings; a list: any of its values
        against: {variant: dpo}            settings to compare with; left out: evaluate.baseline
        select: validation_accuracy        of several settings on a side, the best by this counts
        at: most                           of the settings of `of`: every (default), most or any
        no_worse_by: 0.01                  one of KINDS

An axis that `against` does not name has the value that it has in `of`, so that methods are compared
β by β. `lib.analysis.claims` says how each kind is decided.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from lib.config.errors import BadInput, listed
from lib.config.grid import digest
from lib.config.types import Strict
from lib.config.validation import first_error

Number = Annotated[float, Field(allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]

# Kind → keys that it may have beside say, metric, set and of.
KINDS: dict[str, tuple[str, ...]] = {
    "above": ("at", "select"),  # at least so much
    "below": ("at", "select"),
    "items": ("at",),  # each value rests on so many items of the test set; `all`: on every one
    "spans": (),  # values reach from one number to the other
    "monotonic": (),  # {over: AXIS, VARIANT: up | down, …}; `every` in place of a variant: all
    "gains": ("at", "select", "against"),  # better than `against` by more than so much
    "no_worse_by": ("at", "select", "against"),
    "within": ("at", "select", "against"),  # as good as `against`, to so much
    "ratio_below": ("at", "select", "against"),  # of `of` to `against`, seed by seed
    "variance_over": ("against", "falls_by"),  # variance of the means over an axis falls by a share
}


class Claim(Strict):
    """One claim; exactly one of KINDS is given."""

    say: Annotated[str, Field(min_length=1)]
    metric: str
    set: str | None = None
    of: dict[str, Any] = {}
    against: dict[str, Any] | None = None
    select: Literal["validation_accuracy"] | None = None
    at: Literal["every", "most", "any"] = "every"
    above: Number | None = None
    below: Number | None = None
    items: Annotated[int, Field(ge=1)] | Literal["all"] | None = None
    spans: Annotated[list[Number], Field(min_length=2, max_length=2)] | None = None
    monotonic: dict[str, str] | None = None
    gains: NotNegative | None = None
    no_worse_by: NotNegative | None = None
    within: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    ratio_below: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    variance_over: str | None = None
    falls_by: Annotated[float, Field(gt=0, lt=1)] | None = None

    @property
    def kind(self) -> str:
        """Which of KINDS it is."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def bound(self) -> Any:
        """The number, or numbers, that decide it."""
        if self.kind == "variance_over":
            return self.falls_by
        return getattr(self, self.kind) if self.kind != "monotonic" else 0

    @property
    def hash(self) -> str:
        """Identifies what is claimed, however it is put in words."""
        return digest(self.model_dump(exclude={"say"}, exclude_none=True))


def parse_claims(given: Any, path: str) -> dict[int, Claim]:
    """Place in the file, from 1 → claim. Raises BadInput for what has another form."""
    if not isinstance(given, list):
        raise BadInput(f"{path}: claims: found {given!r}, expected a list of claims, each "
                       f"with say, metric and one of {listed(KINDS)}")  # fmt: skip
    claims = {}
    for number, one in enumerate(given, 1):
        where = f"{path}: claims: {number}"
        if not isinstance(one, dict) or not all(isinstance(key, str) for key in one):
            raise BadInput(f"{where}: found {one!r}, expected key: value pairs")
        try:
            claim = Claim.model_validate(one)
        except ValidationError as error:
            raise first_error(error, Claim, where, {}) from None
        if fault := _form(claim):
            raise BadInput(f"{where}: {fault}")
        claims[number] = claim
    return claims


def _form(claim: Claim) -> str | None:
    """What is wrong with the keys of a claim taken together."""
    kinds = [kind for kind in KINDS if getattr(claim, kind) is not None]
    if len(kinds) != 1:
        return f"found {listed(kinds) or 'no bound'}, expected exactly one of {listed(KINDS)}"
    (kind,) = kinds
    for key in ("against", "select", "at", "falls_by"):
        if key in claim.model_fields_set and key not in KINDS[kind]:
            having = [k for k, keys in KINDS.items() if key in keys]
            return f"{key}: is for {listed(having)}, found it with {kind}"
    if kind == "variance_over" and claim.falls_by is None:
        return "falls_by: missing: the share by which the variance falls, such as 0.4"
    if kind == "spans" and claim.spans[0] >= claim.spans[1]:
        return f"spans: found {claim.spans}, expected the lower number first"
    return None
