"""Whether a stopped task should be requeued; `sbatch/run.sh` calls this before each requeue.

    python -m stages.restarts stages.stage2_train configs/weighted_loss.yaml --index 3

Exit code 3, with a line that says what to change, after LIMIT restarts without progress: no newer
checkpoint (stage 2), no more predictions (stage 3). Else 0.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from lib.config.grid import digest
from lib.config.study import Point, Study
from lib.runs.files import read_json, write_json
from lib.slurm.arrays import ARRAYS
from lib.slurm.submission import resources
from stages.command import DONE, load, parser, run, slurm_job
from stages.points import chosen_points

LIMIT = 2
FRUITLESS = 3  # exit code
STAGES = {
    "stages.reference": "reference",
    "stages.stage2_train": "train",
    "stages.stage3_infer": "infer",
    "stages.search": "train",
}
REWRITTEN = (
    "config.json",
    "train.jsonl",
    "attempts.json",
    "previous",
)  # by each start, with or without progress
ADVICE = {
    "reference": "no reference: raise the time limit (slurm.train.time, now {time}) until all "
    "pairs are scored in it",
    "train": "no newer checkpoint: raise the time limit (slurm.train.time, now {time}) until "
    "start-up, {steps} steps and a checkpoint fit in it, set a lower train.checkpoint_steps (now "
    "{steps}), or change when the warning comes (slurm.train.warning)",
    "infer": "no more predictions: raise the time limit (slurm.infer.time, now {time}) until "
    "start-up and one batch fit in it, set a lower infer.batch_size (now {batch}), or change when "
    "the warning comes (slurm.infer.warning)",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Compare with the state at the last restart; returns the exit code."""
    arguments = parser("stages.restarts", __doc__, index=True, stage=list(STAGES), trial=True)
    args = arguments.parse_intermixed_args(argv)
    study = load(args)
    if args.stage == "stages.search" and (args.index or "").isdecimal():
        args.trial, args.index = int(args.index), None
    points, stage = chosen_points(study, args), STAGES[args.stage]
    record = study.directory / ARRAYS / f"restarts-{slurm_job()}.json"
    before = read_json(record) if record.exists() else {}
    kept = digest(list(resumable(study, points)))
    fruitless = before["fruitless"] + 1 if before.get("kept") == kept else 0
    write_json(record, {"kept": kept, "fruitless": fruitless})
    if fruitless < LIMIT:
        return DONE
    config = points[0].config
    advice = ADVICE[stage].format(
        time=resources(study, stage).time,
        steps=config.train.checkpoint_steps,
        batch=config.infer.batch_size,
    )
    print(f"stopped early and not requeued: {fruitless} restarts with {advice}", file=sys.stderr)
    return FRUITLESS


def resumable(study: Study, points: Sequence[Point]) -> Iterator[list]:
    """The progress of a task: names of checkpoints, sizes of result files, the reference's."""
    for path in (*(point.directory for point in points), study.directory / "reference"):
        yield from contents(path)
    judged = study.directory / "judge.jsonl"
    yield [str(judged), judged.stat().st_size if judged.exists() else 0]


def contents(directory: Path) -> Iterator[list]:
    """[path, size] of the files of a directory, and [path] of the content of its folders.

    Without temporary files and files that each start rewrites.
    """
    for path in sorted(directory.glob("*")):
        temporary = path.name.startswith(".") and not path.name.endswith(".part.jsonl")
        if temporary or path.name in REWRITTEN:
            continue
        if path.is_dir():
            yield from ([str(p)] for p in sorted(path.glob("*")) if not p.name.startswith("."))
        else:
            yield [str(path), path.stat().st_size]


if __name__ == "__main__":
    raise SystemExit(run(main))
