"""Golden outputs: what stage 4 makes of five simulated studies, frozen as JSON beside this file.

    python -m tests.golden.make [STUDY …]             compare; write changed.json (see changes/)
    python -m tests.golden.make --freeze [STUDY …]    write <study>.json anew: for a new simulation

The studies are those of configs/, on data that the modules beside this one simulate. `layout` puts
them where stages 1 to 3 would, stage 4 runs in this process, `collect` reads what it wrote.
"""

import argparse
import contextlib
import io
import json
import sys
import tempfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from stages import stage4_evaluate
from tests.golden.changes import moves_of
from tests.golden.collect import collected
from tests.golden.compare import (
    ABSENT,
    Moves,
    compress,
    expand,
    flatten,
    moved,
    nest,
    pattern_of,
    unexplained,
    unnest,
    with_changes,
)
from tests.golden.layout import write_study

HERE = Path(__file__).parent
CHANGED = HERE / "changed.json"
STUDIES = ("weighted_loss", "td_dpo", "gsm8k_qlora", "gsm_symbolic", "iw_lora")
WIDTH = 100  # of a line; what fits into one is not spread over several


def main() -> int:
    """Compare or freeze; 1 where a number differs that nobody meant to change."""
    parser = argparse.ArgumentParser(
        "python -m tests.golden.make", description=__doc__.split("\n")[0]
    )
    parser.add_argument("study", nargs="*", default=list(STUDIES))
    parser.add_argument("--freeze", action="store_true", help="write the frozen values anew")
    args = parser.parse_args()
    everything, failed = changed(), False
    for study in args.study:
        with tempfile.TemporaryDirectory() as directory:
            tree = computed(study, Path(directory))
        path = HERE / f"{study}.json"
        if args.freeze or not path.exists():
            path.write_text(to_json(compress(tree)) + "\n", encoding="utf-8")
            everything.pop(study, None)
            print(f"{path}: {len(flatten(tree)):,} values frozen")
            continue
        found, moves, old = flatten(tree), moves_of(study), as_written(study)
        expected = moved(old, moves)
        differ = unexplained(found, expected, moves)
        allowed = {path: one.found for path, one in differ.items()
                   if ABSENT not in one[:2] and pattern_of(path, moves.changes)}  # fmt: skip
        everything[study] = dict(sorted(allowed.items()))
        others = unexplained(found, with_changes(expected, allowed), moves)
        counts = summary(old, expected, found, allowed, moves)
        print(f"{study}: {counts}, {len(others)} differ")
        print("".join(f"  {one.named(path)}\n" for path, one in others.items()), end="")
        failed |= bool(others)
    kept = {study: nest(values) for study, values in everything.items() if values}
    CHANGED.write_text(to_json(kept) + "\n", encoding="utf-8")
    return int(failed)


def computed(study: str, directory: Path) -> dict[str, Any]:
    """What stage 4 makes of a simulated study, written below an empty directory."""
    simulation = import_module(f"tests.golden.{study}").STUDY
    path = write_study(simulation, directory)
    evaluate(path)
    results = directory / "results" / path.stem
    runs = {}
    for what, names in simulation.runs.items():
        before = set(results.iterdir())
        evaluate(path, "--run-ids", json.dumps(names))
        (runs[what],) = set(results.iterdir()) - before
    return collected(results, runs)


def evaluate(path: Path, *words: str) -> None:
    """Run stage 4 on the points there are, in this process and without a word."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = stage4_evaluate.main([str(path), "--allow-missing", *words])
    if code:
        raise SystemExit(f"stage 4 of {path.stem} ended with {code}: {said.getvalue()}")


def summary(
    old: Mapping[str, Any], expected: Mapping[str, Any], found: Mapping[str, Any],
    changed: Mapping[str, Any], moves: Moves,
) -> str:  # fmt: skip
    """Counts: of what was frozen, and of what became of it."""
    removed = sum(pattern_of(path, moves.removed) is not None for path in old)
    same = sum(path in old for path in expected if path not in changed)
    counts = {
        "frozen": len(old),
        "equal": same,
        "equal elsewhere": len(expected) - same - len(changed),
        "changed": len(changed),
        "said twice": len(old) - removed - len(expected),
        "removed": removed,
        "new": sum(path not in expected for path in found),
    }
    return ", ".join(f"{count:,} {what}" for what, count in counts.items())


def frozen(study: str) -> dict[str, Any]:
    """Path of today → value, as it was frozen."""
    return moved(as_written(study), moves_of(study))


def as_written(study: str) -> dict[str, Any]:
    """Path → value of the frozen file."""
    return flatten(expand(json.loads((HERE / f"{study}.json").read_text(encoding="utf-8"))))


def changed() -> dict[str, dict[str, Any]]:
    """Study → path → value of what was changed on purpose."""
    trees = json.loads(CHANGED.read_text(encoding="utf-8")) if CHANGED.exists() else {}
    return {study: unnest(tree) for study, tree in trees.items()}


def to_json(tree: Any, indent: int = 0) -> str:
    """JSON with sorted keys; what fits into a line, or is one row of a table, stays on one."""
    line = json.dumps(tree, sort_keys=True, ensure_ascii=False, allow_nan=False)
    if not isinstance(tree, dict | list) or len(line) + indent <= WIDTH or flat_list(tree):
        return line
    pad, inner = " " * indent, " " * (indent + 1)
    if isinstance(tree, list):
        body = [inner + to_json(one, indent + 1) for one in tree]
        return "[\n" + ",\n".join(body) + f"\n{pad}]"
    body = [f"{inner}{json.dumps(k, ensure_ascii=False)}: {to_json(tree[k], indent + 1)}"
            for k in sorted(tree)]  # fmt: skip
    return "{\n" + ",\n".join(body) + f"\n{pad}}}"


def flat_list(tree: Any) -> bool:
    """Whether this is a list of plain values."""
    return isinstance(tree, list) and not any(isinstance(one, dict | list) for one in tree)


if __name__ == "__main__":
    sys.exit(main())
