"""The objectives of a study as functions of the margin, from the very functions that train.

Figures are drawn where there is no torch, so training leaves the numbers as a table.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from lib.losses import PairLogps
from lib.schema import Train
from lib.training.pairs import pair_loss

MARGINS = torch.linspace(-20, 20, 161, dtype=torch.float64)  # nats
NOTE = (
    "margin ρ: what the chosen response gained on the reference, less what the rejected one did, "
    "each by ρ/2, from a reference that prefers neither; gradient: dL/dρ"
)


def loss_curves(points: Iterable[tuple[str, Train]]) -> dict[str, Any]:
    """{"margin": nats, "lines": [{"label", "group", "loss", "gradient"}], "note"} of (variant,
    `train` section) pairs, one line for each different objective.
    """
    lines: dict[str, dict[str, Any]] = {}
    for variant, train in points:
        margin = MARGINS.clone().requires_grad_()
        reference = torch.full((len(MARGINS), 2), -100.0, dtype=torch.float64)
        gained = torch.stack([margin / 2, -margin / 2], dim=1)
        # A response of one token: summed and mean log-probability are the same then.
        pairs = PairLogps(reference + gained, reference, torch.ones(len(MARGINS), 2))
        loss = pair_loss(train, pairs).loss
        (gradient,) = torch.autograd.grad(loss.sum(), margin)
        group = variant + (f" τ={train.tau:g}" if train.objective == "td_dpo" else "")
        label = f"{group} β={train.beta:g}"
        lines[label] = {
            "label": f"β={train.beta:g}",
            "group": group,
            "loss": loss.tolist(),
            "gradient": gradient.tolist(),
        }
    return {"margin": MARGINS.tolist(), "lines": list(lines.values()), "note": NOTE}
