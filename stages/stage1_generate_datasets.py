"""Stage 1: build the training sets and the test set of a study, and tokenise them once.

    python -m stages.stage1_generate_datasets configs/weighted_loss.yaml [--debug] [key=value …]

Writes results/<study>/data/: a JSONL file a split, the tokenised rows, and manifest.json; and
results/<study>/grid.csv: index, name and values of every point.
"""

from __future__ import annotations

from collections.abc import Sequence

from lib.config.unread import warnings
from lib.data.encoded import check_prompts
from lib.data.preparation import prepare
from lib.data.prepared import MANIFEST
from lib.data.report import drop_lines
from lib.data.testsets import build_test, directory, prepare_test
from lib.runs.files import write_json
from lib.runs.listing import write_listing
from stages.command import DONE, load, parser, run, say, who


def main(argv: Sequence[str] | None = None) -> int:
    """Build the data of a study; returns the exit code."""
    arguments = parser("stages.stage1_generate_datasets", __doc__)
    arguments.add_argument("--debug", action="store_true", help="training sets of 100 rows")
    args = arguments.parse_intermixed_args(argv)
    study = load(args)
    first, *others = study.config.tasks
    for line in warnings(study):
        say(f"warning: {study.path}: {line}")
    for task in others:  # invalid data of any task are reported before data of another are written
        rows = build_test(study, task).rows["test"]
        if args.force or not (directory(study, task) / MANIFEST).exists():
            check_prompts(study, task, rows)
    manifests = {first: prepare(study, args.debug, args.force, who())}
    for task in others:
        manifests[task] = prepare_test(study, task, args.force, who())
    write_json(
        study.directory / "study.json",
        {"path": study.path, "overrides": study.overrides, "config": study.config.model_dump()},
    )
    write_listing(study)
    for task, manifest in manifests.items():
        kind = "" if task == first else f"{task} "
        for name, split in manifest["splits"].items():
            say(f"{kind}{name}: {split['rows']} rows")
        for line in drop_lines(manifest):
            say(f"{kind}{line}")
        if missing := manifest["report"].get("missing"):
            say(f"{kind}{missing}")
        if columns := manifest["report"].get("columns"):
            found = (f"{ours} from {its or 'nothing'}" for ours, its in columns.items())
            say(f"{kind}columns: {', '.join(found)}")
        say(f"data: {directory(study, task) / MANIFEST}")
    return DONE


if __name__ == "__main__":
    raise SystemExit(run(main))
