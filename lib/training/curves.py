"""The losses on pairs as functions of the margin, from the functions that train."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from lib.config.schema import Train
from lib.losses import OBJECTIVES, PairLogps, loss_of

# ±10 nats, closest around 0, where DiscoPOP's loss turns within some hundredths of a nat.
MARGINS = tuple(round(0.2 * math.sinh(k / 50), 4) for k in range(-230, 231))
NOTE = "margin: log π⁺ − log π⁻ over a reference that prefers neither; regularisers are left out"


def loss_curves(trains: Mapping[str, Train], margins: Sequence[float] = MARGINS) -> dict[str, Any]:
    """`margin`: the margins, nats; `lines`: `label`, `loss`, its `unit` and `gradient` for each
    objective; `note`: what the margin is.

    The margin is the policy's over a reference without one, log π⁺ − log π⁻ at log π₀ = 0 and one
    token a response; a regulariser, which is no function of the margin, is left out.
    """
    lines = []
    for label, train in trains.items():
        margin = torch.tensor(margins, dtype=torch.float64, requires_grad=True)
        policy = torch.stack([margin / 2, -margin / 2], dim=1)
        pairs = PairLogps(policy, torch.zeros_like(policy), torch.ones_like(policy))
        loss = loss_of(train)(pairs).margin_loss
        (gradient,) = torch.autograd.grad(loss.sum(), margin)
        line = {"label": label, "unit": OBJECTIVES[train.objective].unit}
        lines.append({**line, "loss": loss.tolist(), "gradient": gradient.tolist()})
    return {"margin": list(margins), "lines": lines, "note": NOTE}
