"""What a study costs and what it can decide: hours, price, disk, and the power of its claims.

    python -m stages.plan configs/weighted_loss.yaml [--price 2.5] [--json] [key=value …]

Read-only, and works before anything has run. Times come from finished points where there are any,
else from the time limits of `slurm:`, as an upper bound. Where SLURM answers, its partition's
limits count, and `sbatch --test-only` says when a stage would start.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from lib.config.errors import BadInput, listed
from lib.config.grid import aligned
from lib.config.study import Study
from lib.planning.costs import StageCost, inference, training
from lib.planning.decisions import Decision, decisions
from lib.planning.space import Part, study_space, total
from lib.planning.times import LIMIT, limit_seconds
from lib.planning.work import Data
from lib.runs.disk import Space, free, size
from lib.runs.progress import clock
from lib.slurm import commands as slurm
from lib.slurm.partitions import Partition, partition_of, would_start
from lib.slurm.submission import resources, sbatch_command
from lib.training.reference_key import needs_reference
from stages.command import DONE, load, parser, run, say

COLUMNS = ("stage", "points", "done", "tasks", "at once", "hours", "from … to", "wall", "price",
           "known from")  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Print the plan; returns the exit code."""
    arguments = parser("stages.plan", __doc__, force=False)
    arguments.add_argument("--price", type=float, metavar="P", help="of a GPU-hour")
    arguments.add_argument("--json", action="store_true", help="the same as JSON")
    arguments.add_argument("--no-slurm", action="store_true", help="do not ask SLURM")
    args = arguments.parse_intermixed_args(argv)
    if args.price is not None and not (math.isfinite(args.price) and args.price >= 0):
        raise BadInput(f"--price: found {args.price:g}, expected a price, 0 or more")
    made = plan(load(args), args.price, not args.no_slurm)
    if args.json:
        say(json.dumps(made, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        say("\n".join(text(made)))
    return DONE


def plan(study: Study, price: float | None = None, ask: bool = True) -> dict[str, Any]:
    """The plan as plain data; `text` says the same in words. ask: whether SLURM is asked."""
    notes: list[str] = []
    partitions = {stage: _partition(study, stage, ask, notes) for stage in ("train", "infer")}
    data = Data.of(study)
    if not data.made:
        notes.append("stage 1 has not run: numbers of rows are those of the study file, if any")
    if any(map(needs_reference, study.points())):
        notes.append("not counted: scoring the preference pairs' reference, once, before training")
    train = training(study, data, notes, partitions["train"], price)
    infer = inference(study, data, notes, partitions["infer"], price)
    parts = study_space(study, data, train.at_once)
    there = free(study.directory)
    made = decisions(study, data, lambda seeds, items: _hours(train, infer, seeds, items))
    warnings = [*_too_long(study, train, infer, partitions), *_too_small(made),
                *_too_full(total(parts, passing=True)[0], there)]  # fmt: skip
    answered = [stage for stage, partition in partitions.items() if partition]
    return {
        "study": study.name,
        "file": study.path,
        "points": len(study.grid),
        "price": price,
        "stages": [asdict(one) for one in (train, infer)],
        "disk": [{"what": p.what, **p.space._asdict(), "removed later": p.passing} for p in parts],
        "at the end": _totalled(parts, passing=False),
        "at its fullest": _totalled(parts, passing=True),
        "free": there._asdict(),
        "claims": [one.described() for one in made],
        "starts": {stage: _start(study, stage) for stage in answered},
        "warnings": warnings,
        "notes": notes,
    }


def _totalled(parts: Sequence[Part], passing: bool) -> dict[str, Any]:
    space, unknown = total(parts, passing)
    return {**space._asdict(), "without": unknown}


def _partition(study: Study, stage: str, ask: bool, notes: list[str]) -> Partition | None:
    """The partition of a stage, None without SLURM or where it does not answer."""
    try:
        if not ask or not slurm.is_available():
            return None
        return partition_of(resources(study, stage).extra)
    except BadInput as error:
        note = f"SLURM is not asked: {error}"
        if note not in notes:
            notes.append(note)
        return None


def _start(study: Study, stage: str) -> str:
    groups = range(-(-len(study.grid) // resources(study, stage).points))
    indices = list(groups)[: slurm.DEFAULT_MAX_ARRAY_SIZE]
    return would_start(sbatch_command(study, stage, indices))


def _hours(train: StageCost, infer: StageCost, seeds: float, items: float) -> float | None:
    """Hours of a study with so many times the seeds and the test items."""
    if train.hours is None or infer.hours is None:
        return None
    return seeds * (train.hours + items * infer.hours)


def _too_long(
    study: Study, train: StageCost, infer: StageCost, partitions: dict[str, Partition | None]
) -> Iterator[str]:
    for one in (train, infer):
        wanted, partition = resources(study, one.stage), partitions[one.stage]
        if one.too_long:
            yield (f"{len(one.too_long)} points are not through within slurm.{one.stage}.time "
                   f"{wanted.time} and would be requeued: {listed(one.too_long, 4)}")  # fmt: skip
        if partition is None:
            continue
        longest, asked = limit_seconds(partition.time), limit_seconds(wanted.time)
        if longest is not None and (asked is None or asked > longest):
            yield (f"slurm.{one.stage}.time is {wanted.time}, but partition {partition.name} takes "
                   f"jobs of at most {partition.time}")  # fmt: skip
        if not one.at_once:
            yield (
                f"partition {partition.name} has {partition.gpus} GPUs and {partition.cpus} "
                f"cores, a task of {one.stage} asks for {wanted.gpus} and {wanted.cpus}"
            )


def _too_small(made: Sequence[Decision]) -> Iterator[str]:
    for one in made:
        if not one.is_short and one.cheapest is None:
            continue
        found = "nothing" if one.effect is None else f"{one.effect:.3g}"
        yield (f"claim {one.claim} is about {one.margin:.3g}, and the study could detect {found}: "
               f"{_needs(one)}")  # fmt: skip


def _needs(one: Decision) -> str:
    if one.cheapest is None:
        return "neither 20 seeds nor 128 times the items resolve it"
    parts = [f"{one.cheapest.seeds} seeds" if one.cheapest.seeds > 1 else "one seed"]
    if one.cheapest.items is not None:
        parts.append(f"{one.cheapest.items:,} items")
    cost = "" if one.cheapest.hours is None else f", {one.cheapest.hours:.3g} hours in all"
    return f"{' and '.join(parts)} would{cost}"


def _too_full(fullest: Space, there: Space) -> Iterator[str]:
    for what, needed, left in (
        ("disk", fullest.bytes, there.bytes),
        ("inodes", fullest.files, there.files),
    ):
        if None not in (needed, left) and needed > left:
            show = size if what == "disk" else "{:,}".format
            yield f"{what}: {show(needed)} are needed, {show(left)} are free"


def text(made: dict[str, Any]) -> Iterator[str]:
    """The lines of a plan."""
    yield f"{made['study']}: {made['points']} points ({made['file']})"
    yield aligned([COLUMNS, *(_row(one) for one in made["stages"])])
    for stage, start in made["starts"].items():
        yield f"{stage}: would start {start}"
    yield ""
    rows = [["disk", "bytes", "files", ""]]
    for part in made["disk"]:
        rows.append([part["what"], *_space(part), "removed later" if part["removed later"] else ""])
    for name in ("at the end", "at its fullest"):
        without = made[name]["without"]
        rows.append([name, *_space(made[name], "≥ " if without else ""),
                     f"without {listed(without)}" if without else ""])  # fmt: skip
    yield aligned([*rows, ["free", *_space(made["free"]), ""]])
    if made["claims"]:
        yield ""
        rows = [["claim", "detects", "margin", "seeds", "items", "variances"]]
        rows += [
            [
                str(c["claim"]),
                _number(c["effect"]),
                _number(c["margin"]),
                str(c["seeds"]),
                _number(c["items"]),
                f"{c['basis']}: {c['assumes']}",
            ]
            for c in made["claims"]
        ]
        yield aligned(rows)
    yield from (f"warning: {warning}" for warning in made["warnings"])
    yield from made["notes"]


def _row(one: dict[str, Any]) -> list[str]:
    most = "≤ " if LIMIT in one["sources"] else ""
    hours = "unknown" if one["hours"] is None else f"{most}{_number(one['hours'])} {one['unit']}"
    spread = "" if one["low"] is None else f"{_number(one['low'])} … {_number(one['high'])}"
    wall = "unknown" if one["wall_seconds"] is None else most + clock(one["wall_seconds"])
    price = "" if one["price"] is None else f"{most}{one['price']:,.2f}"
    by = "" if one["at_once_by"] == "tasks" else f" ({one['at_once_by']})"
    known = ", ".join(f"{source}: {count}" for source, count in one["sources"].items())
    measured = f", by {one['pilots']} finished" if one["pilots"] else ""
    return [one["stage"], str(one["points"]), str(one["done"]), str(one["tasks"]),
            f"{one['at_once']}{by}", hours, spread, wall, price, known + measured]  # fmt: skip


def _space(space: dict[str, Any], least: str = "") -> list[str]:
    files = space["files"]
    return [least + size(space["bytes"]), "unknown" if files is None else f"{least}{files:,}"]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


if __name__ == "__main__":
    raise SystemExit(run(main))
