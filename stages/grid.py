"""The grid of a study: its points, or one of them.

python -m stages.grid configs/weighted_loss.yaml              the points as a table
python -m stages.grid configs/weighted_loss.yaml --count      how many there are
python -m stages.grid configs/weighted_loss.yaml --index 5    one point, resolved, as JSON
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence

from lib.config.errors import BadInput
from lib.config.grid import aligned
from lib.config.load import load_study
from lib.config.study import Study


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of this module; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.grid", description="The grid of a study."
    )
    parser.add_argument("study", help="configs/STUDY.yaml")
    parser.add_argument("overrides", nargs="*", help="key=value")
    parser.add_argument("--count", action="store_true", help="print the number of points")
    parser.add_argument("--index", metavar="N", help="print point N, resolved, as JSON")
    parser.add_argument("--hash", action="store_true", help="print the hash of the grid")
    args = parser.parse_intermixed_args(argv)
    try:
        study = load_study(args.study, args.overrides)
        if args.count:
            print(len(study.grid))
        elif args.hash:
            print(study.grid_hash)
        elif args.index is not None:
            if not re.fullmatch(r"\d{1,12}", args.index):
                last = len(study.grid) - 1
                raise BadInput(f"--index: found {args.index!r}, expected a number from 0 to {last}")
            print(json.dumps(study.point(int(args.index)).describe(), indent=2))
        else:
            print_table(study)
        sys.stdout.flush()
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `| head` has seen enough; nothing is left to be flushed at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def print_table(study: Study) -> None:
    """Print `index  axis values …  name`, one line a point, and how many there are."""
    axes = list(dict.fromkeys(axis for block in study.grid.blocks for axis in block))
    rows = [["index", *axes, "point"]]
    for point in study.points():
        values = ("" if a not in point.values else str(point.values[a]) for a in axes)
        rows.append([str(point.index), *values, point.name])
    print(aligned(rows))
    count = len(study.grid)
    print(f"{count} point{'s' * (count != 1)}")


if __name__ == "__main__":
    raise SystemExit(main())
