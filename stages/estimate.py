"""About how long a trial takes here, from what its stages compute. Needs no torch.

A pass costs 2 operations a weight and token forward and 4 backward (Kaplan et al., arXiv
2001.08361, section 2.1). Tokens are counted from the bytes of the rows that stage 1 wrote, and the
speed is that of a product of matrices, of which small batches reach a part.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path

from lib.config.steps import step_count
from lib.config.study import Point, Study
from lib.data.prepared import read_manifest, train_split
from lib.losses import OBJECTIVES
from lib.models.sizes import heads
from lib.runs.progress import clock

BYTES_A_TOKEN = 4
EFFICIENCY = 0.1  # of the speed of a product of matrices, on small batches and in bf16
PROCESS, POINT = 15.0, 6.0  # seconds: to start a stage's process; to load, save and verify a model


def describe(study: Study, points: Sequence[Point]) -> str:
    """One line: the size of a trial's points, and the time of all of them on this machine."""
    train, data = points[0].config.train, read_manifest(study)["splits"]
    size = (f"{len(points)} points, at most {train.max_steps} steps of {train.batch_size} rows, "
            f"{points[0].config.model.max_length} tokens a row, {data['test']['rows']} test "
            f"rows")  # fmt: skip
    names = {point.config.model.name for point in points}
    weights = {name: sum(map(math.prod, heads(Path(name)).values())) for name in names}
    if unknown := [name for name, count in weights.items() if not count]:
        return f"trial: {size}; no estimate of the time: {unknown[0]} is not on this machine"
    speed, seconds = operations_a_second() * EFFICIENCY, 4 * PROCESS
    for point in points:
        work = operations_a_weight(study, point, first=point is points[0])
        seconds += POINT * 2 + weights[point.config.model.name] * work / speed
    return f"trial: {size}; about {clock(60 * math.ceil(seconds / 60))} on this machine's CPU"


def operations_a_weight(study: Study, point: Point, first: bool) -> float:
    """What training, validation, reference (of the first point) and prediction take of a weight."""
    config, splits = point.config, read_manifest(study)["splits"]
    folder, pairs = study.directory / "data", OBJECTIVES[config.train.objective].batch == "pairs"

    def tokens(name: str) -> float:
        """Mean tokens of a row of a split; of pairs of both answers."""
        path, rows = folder / splits[name]["file"], splits[name]["rows"]
        longest = config.model.max_length * (2 if pairs else 1)
        return min(path.stat().st_size / max(rows, 1) / BYTES_A_TOKEN, longest)

    split = train_split(study, point)
    forward = {name: splits[name]["rows"] * tokens(name) for name in splits}
    answers = config.infer.max_new_tokens * splits["test"]["rows"] * (1 + config.infer.samples)
    work = 2 * (forward["test"] + (0 if pairs else answers))
    if config.train.epochs:
        steps = step_count(config.train, splits[split]["rows"])
        work += 6 * steps * config.train.batch_size * tokens(split)
        work += 2 * steps * forward.get("validation", 0.0)
        if pairs and first:
            work += 2 * sum(forward.values())
    return work


def operations_a_second() -> float:
    """The best of three products of 512 × 512 matrices, in fp32."""
    import numpy as np

    one = np.ones((512, 512), dtype=np.float32)
    best = math.inf
    for _ in range(3):
        start = time.perf_counter()
        one @ one
        best = min(best, time.perf_counter() - start)
    return 2 * 512**3 / best
