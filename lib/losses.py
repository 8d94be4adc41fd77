"""Training objectives: functions that return one value an example, each beside its `Objective`.

Normalisation is the caller's: it divides the sum of these values by a count over the *whole*
optimizer step, so that micro-batch, accumulation and world size change nothing.

A new objective is one function here and one `Objective` below it, which is all that the schema, the
checks, the trainers and the figures know of it; a key that no other objective has goes to
`LossKeys`. Functions import torch themselves: a study is read without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import BaseModel, Field

from lib.logps import label_nll

if TYPE_CHECKING:
    from torch import Tensor

# Keys (`train.beta`), why they change nothing, and where: of a flat config, dotted key → value.
Rule = tuple[tuple[str, ...], str, Callable[[Mapping[str, Any]], bool]]


@dataclass(frozen=True)
class Objective:
    """A training loss, and everything that other modules ask about it."""

    fn: Callable[..., Any]  # of a batch, and of `keys` as keyword arguments
    batch: Literal["answers", "pairs", "classes"]  # see the functions of each kind
    label: str  # in figures, tables and sentences
    keys: tuple[str, ...] = ()  # of `LossKeys`
    trainer_keys: tuple[str, ...] = ()  # keys of `train` that its batches and its trainer read
    positive: tuple[str, ...] = ()  # those of `keys` that must be above 0, though others allow 0
    unit: str = "nats"  # of the loss
    margin_key: str | None = None  # of pairs: the key that changes the loss of a given margin
    terms: Mapping[str, str] = field(default_factory=dict)  # of `PairLoss`: name → what it is
    unused: tuple[Rule, ...] = ()  # keys that are no part of a point's identity there
    neutral: tuple[Rule, ...] = ()  # keys that are, and change no result there

    def reads(self, key: str) -> bool:
        """Whether a key of `train` matters with this objective."""
        return key in self.keys or key in self.trainer_keys


OBJECTIVES: dict[str, Objective] = {}


class LossKeys(BaseModel):
    """The keys of `train` that choose a loss and set it; titles are the symbols that figures use.

    What β and τ do is said by each objective.
    """

    objective: str = "weighted_nll"
    weighting: Literal["decision", "row"] = "decision"  # γ on the tokens that differ, or on all
    weighted_class: str | None = None  # the class whose loss γ multiplies; null: none
    gamma: float = Field(1.0, gt=0, allow_inf_nan=False, title="γ")

    beta: float = Field(0.1, ge=0, allow_inf_nan=False, title="β")
    tau: float = Field(1.0, gt=0, allow_inf_nan=False, title="τ")
    # Temperature of the blend of DiscoPOP's two losses.
    modulation: float = Field(0.05, gt=0, allow_inf_nan=False)
    margin: Literal["policy", "logratio"] = "policy"  # without or with the reference
    reduce: Literal["sum", "mean"] = "sum"  # a response's log-probability from its tokens'
    regulariser: Literal["squared_logratio", "none"] = "squared_logratio"


def loss_of(train: LossKeys) -> Callable[..., Any]:
    """The loss that a `train` section asks for, as a function of a batch alone."""
    objective = OBJECTIVES[train.objective]
    return partial(objective.fn, **{key: getattr(train, key) for key in objective.keys})


def label_of(name: str) -> str:
    """How figures and tables name an objective, or a variant that is called like one."""
    return OBJECTIVES[name].label if name in OBJECTIVES else name


def symbol_of(key: str) -> str:
    """How figures name a key of `train`: beta → β."""
    field = LossKeys.model_fields.get(key)
    return field.title if field and field.title else key


def _logsigmoid(x: Tensor) -> Tensor:
    from torch.nn.functional import logsigmoid

    return logsigmoid(x)


# Answers: a function of the answers' tokens, their loss and their classes.


def weighted_nll(
    nll: Tensor, decision: Tensor, weighted: Tensor, *, gamma: float, weighting: str
) -> Tensor:
    """Class-weighted negative log-likelihood, −Σ w·log p of each example.

    nll: (B, T), 0 at unlabelled tokens; decision: (B, T) bool, the tokens in which the two answers
    differ; weighted: (B,) bool, whether the example is of the class that γ multiplies. Returns
    (B,), nats. `weighting`: "decision" puts γ on the decision tokens alone, "row" on every token
    of the answer. At the optimum the log-odds of the weighted class move by log γ (Elkan, IJCAI
    2001, theorem 1; Menon et al., arXiv 2007.07314, §3), provided that the caller divides by a
    count that does not hold the weights: Σ w would cancel γ wherever it spans one class.
    """
    import torch

    where = decision if weighting == "decision" else torch.ones_like(decision)
    weights = torch.where(where & weighted[:, None], gamma, 1.0)
    return (weights * nll).sum(dim=1)


OBJECTIVES["weighted_nll"] = Objective(
    weighted_nll,
    "answers",
    "weighted NLL",
    keys=("gamma", "weighting"),
    trainer_keys=("weighted_class",),
    unused=(
        (("train.gamma", "train.weighting"), "train.weighted_class is null",
         lambda c: c["train.weighted_class"] is None),
    ),
    neutral=(
        (("train.gamma", "train.weighted_class", "train.weighting"), "train.gamma is 1",
         lambda c: c["train.gamma"] == 1),
    ),
)  # fmt: skip


# Pairs: a function of both responses' log-probabilities.


class PairLogps(NamedTuple):
    """Log-probabilities of both responses of B pairs, nats, summed over a response's tokens.

    Each (B, 2), columns chosen and rejected; `lengths`: tokens of the responses.
    """

    policy: Tensor
    reference: Tensor
    lengths: Tensor


class PairLoss(NamedTuple):
    """Losses of B pairs, (B,), and further values of each, (B,), whose means are logged.

    `terms`: those of `Objective.terms`, and `margin_loss` where that is but a part of the loss. A
    regulariser is not yet multiplied by its weight, so that runs can be compared over weights.
    """

    loss: Tensor
    terms: Mapping[str, Tensor] = {}

    @property
    def margin_loss(self) -> Tensor:
        """The part that is a function of the margin, (B,)."""
        return self.terms.get("margin_loss", self.loss)


def logratio_margin(pairs: PairLogps) -> Tensor:
    """ρ = (log π⁺ − log π⁻) − (log π₀⁺ − log π₀⁻), (B,)."""
    return _margin(pairs.policy - pairs.reference)


def _margin(logps: Tensor) -> Tensor:
    return logps[:, 0] - logps[:, 1]


def dpo(pairs: PairLogps, *, beta: float) -> PairLoss:
    """−log σ(βρ), direct preference optimisation (Rafailov et al., arXiv 2305.18290, eq. 7)."""
    return PairLoss(-_logsigmoid(beta * logratio_margin(pairs)))


OBJECTIVES["dpo"] = Objective(
    dpo, "pairs", "DPO", keys=("beta",), positive=("beta",), margin_key="beta"
)


def discopop(pairs: PairLogps, *, beta: float, modulation: float) -> PairLoss:
    """(1 − σ(x/τ))·softplus(−x) + σ(x/τ)·e^−x at x = βρ, τ = `modulation`.

    The log-ratio modulated loss (Lu et al., arXiv 2406.08414, eq. 5), which is not convex: least at
    x = −0.119, greatest between at x = 0.072 (τ = 0.05). σ(x/τ)·e^−x is one exponential, since e^−x
    alone overflows in fp32 below x = −88 and leaves 0·inf.
    """
    x = beta * logratio_margin(pairs)
    logistic = (-x / modulation).sigmoid() * -_logsigmoid(x)
    exponential = (_logsigmoid(x / modulation) - x).exp()
    return PairLoss(logistic + exponential)


OBJECTIVES["discopop"] = Objective(
    discopop,
    "pairs",
    "DiscoPOP",
    keys=("beta", "modulation"),
    positive=("beta",),
    margin_key="beta",
)


def ipo(pairs: PairLogps, *, beta: float) -> PairLoss:
    """(ρ̄ − 1/(2β))², identity preference optimisation (Azar et al., arXiv 2310.12036, eq. 17).

    ρ̄ is ρ of log-probabilities averaged over a response's tokens, as in TRL, whose authors asked
    those of the paper: with sums one β would ask pairs of all lengths for the same ρ. So 1/(2β) is
    the margin to reach, in nats a token.
    """
    margin = _margin((pairs.policy - pairs.reference) / pairs.lengths)
    return PairLoss((margin - 1 / (2 * beta)) ** 2)


OBJECTIVES["ipo"] = Objective(
    ipo,
    "pairs",
    "IPO",
    keys=("beta",),
    positive=("beta",),
    unit="(nats/token)²",
    margin_key="beta",
)


def td_dpo(
    pairs: PairLogps, *, beta: float, tau: float, margin: str, reduce: str, regulariser: str
) -> PairLoss:
    """−log σ(Δ/τ) + β·½[(ℓ⁺)² + (ℓ⁻)²], ℓ = log π − log π₀: temperature-decoupled DPO.

    `margin`: Δ is the policy's log π⁺ − log π⁻ ("policy", its authors' text) or ρ ("logratio": with
    τ = 1/β and no regulariser this is DPO). `reduce`: log-probabilities, in Δ and in ℓ, are sums
    over a response's tokens or means. `regulariser` "none" leaves the second term out. ½ℓ²
    estimates a divergence from the reference on the policy's own samples alone, which these
    responses are not; with sums it grows with the square of the length.
    """
    policy, reference = pairs.policy, pairs.reference
    if reduce == "mean":
        policy, reference = policy / pairs.lengths, reference / pairs.lengths
    logratios = policy - reference
    margin_loss = -_logsigmoid(_margin(policy if margin == "policy" else logratios) / tau)
    if regulariser == "none":
        return PairLoss(margin_loss)
    drift = 0.5 * logratios.square().sum(dim=1)
    return PairLoss(margin_loss + beta * drift, {"margin_loss": margin_loss, "regulariser": drift})


OBJECTIVES["td_dpo"] = Objective(
    td_dpo,
    "pairs",
    "TD-DPO",
    keys=("beta", "tau", "margin", "reduce", "regulariser"),
    margin_key="tau",
    terms={"regulariser": "regulariser, without β"},
    unused=(
        (("train.beta",), "train.regulariser is none", lambda c: c["train.regulariser"] == "none"),
    ),
    neutral=(
        (("train.beta", "train.regulariser"), "there is no regulariser",
         lambda c: c["train.beta"] == 0 or c["train.regulariser"] == "none"),
    ),
)  # fmt: skip


# Classes: a function of a classifier's logits.


def class_nll(logits: Tensor, labels: Tensor) -> Tensor:
    """−log p of the class of each row, (B,), fp32; logits: (B, C), any float type; labels: (B,)."""
    return label_nll(logits, labels)


OBJECTIVES["classification"] = Objective(
    class_nll, "classes", "cross-entropy", trainer_keys=("importance", "adalora")
)
