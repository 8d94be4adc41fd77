"""What a study's directory holds, and what of it can go: shows both, asks, and frees it.

    python -m stages.clean_study configs/weighted_loss.yaml [--weights predicted] [--yes]

Freed are checkpoints of finished points, archives of --force (previous/), and weights of points
whose predictions are there: where no claim is about the point; with `--weights predicted` always,
with `--weights none` never. Stages 4 and 5 need no weights, and stage 2 trains no such point again.
Points at which a task works are left alone. results/<study>/freed.jsonl records what went.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
from collections.abc import Iterator, Sequence
from collections.abc import Set as Names
from pathlib import Path
from typing import NamedTuple

from lib.config.claims import KINDS
from lib.config.errors import BadInput
from lib.config.grid import aligned
from lib.config.metric_names import metric_of
from lib.config.settings import baseline, other_side, selected
from lib.config.study import Point, Study
from lib.inference.checkpoint_selection import is_due
from lib.runs.activity import is_held_here
from lib.runs.directory import Busy, done_mark, locked, status
from lib.runs.disk import Space, held, size
from lib.runs.files import now
from stages.command import DONE, load, parser, run, say, who

FREED = "freed.jsonl"
WEIGHTS = ("unclaimed", "predicted", "none")


class Holding(NamedTuple):
    """A directory that can go: of which point (None: of the study), and what it is."""

    point: Point | None
    path: Path
    what: str


def main(argv: Sequence[str] | None = None) -> int:
    """Show, ask and free; returns the exit code."""
    arguments = parser("stages.clean_study", __doc__, force=False)
    arguments.add_argument("--weights", choices=WEIGHTS, default=WEIGHTS[0],
                           help=f"of predicted points (default: {WEIGHTS[0]})")  # fmt: skip
    arguments.add_argument("--yes", action="store_true", help="do not ask")
    args = arguments.parse_intermixed_args(argv)
    study = load(args)
    if not study.directory.is_dir():
        say(f"{study.directory}: nothing there")
        return DONE
    show(study)
    needed = claimed(study) if args.weights == "unclaimed" else set()
    if args.weights == "none":
        needed = {point.name for point in study.points()}
    holdings = removable(study, needed)
    if not holdings:
        say("nothing can be freed")
        return DONE
    for line in summary(holdings):
        say(line)
    if not args.yes and not agreed():
        say("nothing was freed")
        return DONE
    free(study, holdings, needed)
    return DONE


def show(study: Study) -> None:
    """Print what the study's directory holds, by kind."""
    rows = [["held", "bytes", "files"]]
    kinds: dict[str, list[Path]] = {}
    names = {point.name for point in study.points()}
    for path in sorted(study.directory.iterdir()):
        if path.name not in names:
            kinds.setdefault(path.name.partition("-")[0], []).append(path)
            continue
        for part in path.iterdir():
            known = part.name in ("model", "checkpoints", "candidates", "previous")
            kinds.setdefault(f"points: {part.name if known else 'records'}", []).append(part)
    for kind, paths in kinds.items():
        spaces = [held(path) for path in paths]
        files = sum(one.files for one in spaces)
        rows.append([kind, size(sum(one.bytes for one in spaces)), f"{files:,}"])
    say(aligned(rows))


def removable(study: Study, needed: Names[str]) -> list[Holding]:
    """What can go, but at points at which a task works. needed: points that keep their weights."""
    found = holdings_of(study, None, needed)
    for point in study.points():
        if is_held_here(point.directory):
            say(f"{point.name}: a task works on it, left alone")
        else:
            found += holdings_of(study, point, needed)
    return found


def holdings_of(study: Study, point: Point | None, needed: Names[str]) -> list[Holding]:
    """What can go of a point, or of the study itself."""
    there = study.directory if point is None else point.directory
    found = {"previous": "archives"} if (there / "previous").is_dir() else {}
    if point is not None and done_mark(there, "train"):
        if (there / "checkpoints").is_dir():
            found["checkpoints"] = "checkpoints of finished points"
        # A link is another's model, and weights yet to be selected are no leftovers.
        whole = (there / "model").is_dir() and not (there / "model").is_symlink()
        if whole and point.name not in needed and status(study, point) == "done" \
                and not is_due(point):  # fmt: skip
            found["model"] = "weights of predicted points"
    return [Holding(point, there / name, what) for name, what in found.items()]


def claimed(study: Study) -> set[str]:
    """Points of the settings that claims on test sets are about, and the baseline's."""
    settings, labels = study.settings, set()
    for claim in study.claims.values():
        if metric_of(study, claim.metric)[0] == "training":
            continue  # decided by logs alone
        labels |= set(selected(settings, claim.of))
        if "against" in KINDS[claim.kind]:
            labels |= set(selected(settings, other_side(study, claim)))
    labels |= set(selected(settings, baseline(study)))
    return {point.name for label in labels for point in settings[label][1]}


def summary(holdings: Sequence[Holding]) -> Iterator[str]:
    """`can be freed: 12.3 GB, 41 files: checkpoints of finished points (3)` and so on."""
    for what in dict.fromkeys(one.what for one in holdings):
        own = [held(one.path) for one in holdings if one.what == what]
        files = sum(space.files for space in own)
        yield (f"can be freed: {what} ({len(own)}): {size(sum(space.bytes for space in own))}, "
               f"{files:,} files")  # fmt: skip


def agreed() -> bool:
    """Whether the user says yes. Raises BadInput where there is no terminal to ask at."""
    if not sys.stdin.isatty():
        raise BadInput("no terminal to ask at, and nothing was freed: give --yes")
    return input("free this? [y/N] ").strip().lower() in ("y", "yes")


def free(study: Study, holdings: Sequence[Holding], needed: Names[str]) -> None:
    """Remove directories under the lock of their point, and record each in freed.jsonl."""
    freed = files = 0
    for one in holdings:
        try:
            with locked(one.path.parent, who()):
                if one not in holdings_of(study, one.point, needed):  # since it was asked
                    continue
                space = held(one.path)
                remove(study, one, space)
        except Busy as error:
            say(f"left alone: {error}")
            continue
        freed, files = freed + space.bytes, files + space.files
    say(f"freed {size(freed)} in {files:,} files; {study.directory / FREED} lists them")


def remove(study: Study, one: Holding, space: Space) -> None:
    """Remove a directory whose point is locked.

    Renamed first: a kill leaves no half of it under its name, and whoever locks the point next
    removes the rest.
    """
    leaving = one.path.with_name(f".{one.path.name}.{secrets.token_hex(6)}.tmp")
    os.replace(one.path, leaving)
    record = {"time": now(), "path": str(one.path.relative_to(study.directory)),
              "what": one.what, **space._asdict()}  # fmt: skip
    with (study.directory / FREED).open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
    shutil.rmtree(leaving)


if __name__ == "__main__":
    raise SystemExit(run(main))
