"""Stage 4: metrics of every point, and their comparison. Needs no GPU and no torch.

    python -m stages.stage4_evaluate configs/weighted_loss.yaml [--point NAME] [--allow-missing]
    python -m stages.stage4_evaluate configs/td_dpo.yaml run_ids='["NAME", "NAME"]'

Writes results/<study>/<point>/metrics.json and results/<study>/comparison/: aggregated_metrics.json
and .csv, criteria.md; of the points that run_ids names, in comparison-<hash>/. A point without
predictions is refused by name unless --allow-missing is given; a diverged point is a result.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lib.analysis.results import inputs_of, read_point, table_file, write_table
from lib.config import tasks
from lib.config.errors import BadInput, listed
from lib.config.grid import digest
from lib.config.selected import mark
from lib.config.study import Point, Study
from lib.data.testsets import own_rows, rows_of
from lib.runs.directory import done_mark, mark_done, read_metrics, status, verify_done
from lib.runs.files import as_csv, check_writable, write_json, write_text
from lib.runs.progress import tracked
from lib.tracking.readback import fill_logs
from stages.command import DONE, comparison_of, load, parser, run, say, take_run_ids


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate a study, or one point of it; returns the exit code."""
    arguments = parser("stages.stage4_evaluate", __doc__)
    arguments.add_argument("--point", metavar="NAME", help="metrics of this point alone")
    take_run_ids(arguments, "compare these points alone, given as a JSON list")
    arguments.add_argument("--allow-missing", action="store_true",
                           help="compare the points there are")  # fmt: skip
    arguments.add_argument("--from", metavar="SOURCE", dest="source",
                           help="fetch train.jsonl of points that have none: "
                           "wandb:ENTITY/PROJECT")  # fmt: skip
    args = arguments.parse_intermixed_args(argv)
    study = load(args)
    if args.point and args.run_ids:
        raise BadInput("--point and --run-ids: found both, expected one of them")
    named = [args.point] if args.point else args.run_ids
    points = [study.point_by_name(name) for name in named] if named else list(study.points())
    if args.source:
        fill_logs(study, points, args.source, os.environ, say)
    missing = [p.name for p in points if status(study, p) in ("missing", "trained")]
    if missing and (args.point or not args.allow_missing or len(missing) == len(points)):
        raise BadInput(
            f"{study.directory}: no predictions of {len(missing)} of {len(points)} points: "
            f"{listed(missing, 6)}; run stages 2 and 3 for them, or give --allow-missing"
        )
    evaluate(study, points, args.force, None if args.point else comparison_of(study, named))
    return DONE


def evaluate(study: Study, points: Sequence[Point], force: bool, comparison: Path | None) -> None:
    """Write the metrics of the points, and their comparison to `comparison`."""
    names, eval_config = study.config.tasks, study.config.evaluate
    inputs = {point.name: inputs_of(study, point) for point in points}
    if comparison and not force and is_whole(comparison, inputs):
        say(f"evaluated already: {comparison / 'criteria.md'}")
        return
    check_writable(study.directory)
    # Read and measure all of them, or raise BadInput, before anything is written.
    rows = {task: rows_of(study, task) for task in names}
    results = [
        [read_point(study, point, task, rows[task], metrics=False) for task in names]
        for point in points
    ]
    measured: list[tuple[Point, dict[str, Any]]] = []
    for point, of_point in tracked(zip(points, results, strict=True), len(points), "evaluate",
                                   "point"):  # fmt: skip
        same = not force and is_whole(point.directory, inputs[point.name])
        fresh = {}
        for task, result in zip(names, of_point, strict=True):
            if result.predictions is None:
                continue
            result.metrics = read_metrics(study, point, task) if same else None
            if result.metrics is None:
                wanted = own_rows(task, rows[task], point.config)[: point.config.infer.rows]
                result.metrics = fresh[task] = measure(study, point, task, wanted, result)
                if "selected" in inputs[point.name]:
                    result.metrics["selected"] = inputs[point.name]["selected"]
        first, *others = of_point
        first.others = {t: o.metrics for t, o in zip(names[1:], others, strict=True) if o.metrics}
        measured.append((point, fresh))
    for point, fresh in measured:
        files = {task: f"{study.named('metrics', task)}.json" for task in names}
        for task, metrics in fresh.items():
            write_json(point.directory / files[task], metrics)
        if inputs[point.name]["status"] == "done" and fresh:
            mark_done(point.directory, "evaluate", inputs[point.name], files.values())
    if comparison is None:
        say(f"metrics: {points[0].directory / 'metrics.json'}")
        return
    if any(tasks.get(task).analysis for task in names):
        from lib.analysis.engine import analyse
        from lib.analysis.tables import directory_of

        by_task = {task: [of[place] for of in results] for place, task in enumerate(names)}
        analyse(study, points, rows, by_task).tables.write(directory_of(comparison), inputs)
    made = tasks.get(names[0]).compare(
        [first for first, *_ in results], rows[names[0]], eval_config
    )
    mark(study, made)
    write_json(comparison / "aggregated_metrics.json", {"study": study.name, **made.tables})
    write_text(comparison / "aggregated_metrics.csv", as_csv(made.rows))
    for name, table in made.files.items():
        write_table(comparison, name, table)
    write_text(comparison / "criteria.md", made.criteria)
    written = ["aggregated_metrics.json", "aggregated_metrics.csv", "criteria.md"]
    mark_done(comparison, "evaluate", inputs, [*written, *map(table_file, made.files)])
    say(f"comparison: {comparison / 'aggregated_metrics.csv'}")
    say(f"criteria: {comparison / 'criteria.md'}")


def is_whole(directory: Path, inputs: Mapping[str, Any]) -> bool:
    """Whether stage 4 has measured these inputs and its files are unchanged; else it runs again."""
    try:
        mark = done_mark(directory, "evaluate")
        if mark is None or mark["hash"] != digest(inputs):
            return False
        verify_done(directory, "evaluate")
    except BadInput as error:
        say(f"measured again: {error}")
        return False
    return True


def measure(
    study: Study, point: Point, task: str, rows: list[tasks.Row], result: tasks.PointResult
) -> dict[str, Any]:
    """The metrics of a point. Raises BadInput with the file of its predictions."""
    try:
        return tasks.get(task).evaluate(rows, result.predictions, study.config.evaluate)
    except BadInput as error:
        path = point.directory / f"{study.named('predictions', task)}.jsonl"
        raise BadInput(f"{path}: {error}") from None


if __name__ == "__main__":
    raise SystemExit(run(main))
