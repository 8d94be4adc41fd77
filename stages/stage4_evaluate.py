"""Stage 4: metrics of every point, and their comparison. Needs no GPU and no torch.

    python -m stages.stage4_evaluate configs/weighted_loss.yaml [--point NAME] [--allow-missing]
    python -m stages.stage4_evaluate configs/td_dpo.yaml run_ids='["NAME", "OTHER_STUDY/NAME"]'

Writes results/<study>/<point>/metrics.json, results/<study>/tables/ and, as views of these tables,
results/<study>/comparison/: aggregated_metrics.json and .csv, criteria.md; of the points that
run_ids names, in comparison-<hash>/. A point without predictions is refused by name unless
--allow-missing is given; a diverged point is a result.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.analysis.joined import home, join
from lib.analysis.results import (
    inputs_of,
    read_point,
    table_file,
    write_table,
)
from lib.analysis.tables import directory_of as tables_of
from lib.config import tasks
from lib.config.errors import BadInput, listed
from lib.config.grid import digest
from lib.config.points import STUDY
from lib.config.selected import is_selected, mark, selected_of
from lib.config.study import Point, Study
from lib.config.tasks import PointResult
from lib.data.testsets import own_rows, rows_of
from lib.runs.directory import done_mark, mark_done, status, verify_done
from lib.runs.files import as_csv, check_writable, write_json, write_text
from lib.runs.progress import tracked
from lib.tracking.readback import fill_logs
from stages.command import DONE, load, parser, run, say
from stages.points import comparison_of, take_run_ids

if TYPE_CHECKING:
    from lib.analysis.engine import Answers


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate a study, or one point of it; returns the exit code."""
    arguments = parser("stages.stage4_evaluate", __doc__)
    arguments.add_argument("--point", metavar="NAME", help="metrics of this point only")
    take_run_ids(arguments, "compare only these points, given as a JSON list")
    arguments.add_argument("--allow-missing", action="store_true",
                           help="compare the existing points")  # fmt: skip
    arguments.add_argument("--from", metavar="SOURCE", dest="source",
                           help="fetch missing train.jsonl files: "
                           "wandb:ENTITY/PROJECT")  # fmt: skip
    args = arguments.parse_intermixed_args(argv)
    study = load(args)
    if args.point and args.run_ids:
        raise BadInput("--point and --run-ids: found both, expected one of them")
    named = [args.point] if args.point else args.run_ids
    study = join(study, named or [])
    points = [study.point_by_name(name) for name in named] if named else list(study.points())
    if args.source:
        own = [point for point in points if STUDY not in point.values]
        fill_logs(study, own, args.source, os.environ, say)
    missing = [p.name for p in points if status(*home(study, p)) in ("missing", "trained")]
    if missing and (args.point or not args.allow_missing or len(missing) == len(points)):
        raise BadInput(
            f"{study.directory}: no predictions of {len(missing)} of {len(points)} points: "
            f"{listed(missing, 6)}; run stages 2 and 3 for them, or give --allow-missing"
        )
    evaluate(study, points, args.force, None if args.point else comparison_of(study, named))
    return DONE


def evaluate(study: Study, points: Sequence[Point], force: bool, comparison: Path | None) -> None:
    """Write the metrics of the points, and their comparison to `comparison`."""
    from lib.analysis.engine import analyse

    names = study.config.tasks
    inputs = {point.name: inputs_of(study, point) for point in points}
    done = [point for point in points if inputs[point.name]["status"] == "done"]
    if (
        not force
        and comparison
        and is_whole(comparison, inputs)
        and is_whole(tables_of(comparison), inputs)
        and all(is_whole(point.directory, inputs[point.name]) for point in done)
    ):
        say(f"evaluated already: {comparison / 'criteria.md'}")
        return
    check_writable(study.directory)
    # Read and measure all of them, or raise BadInput, before anything is written.
    rows = {task: rows_of(study, task) for task in names}
    results: dict[str, list[PointResult]] = {task: [] for task in names}
    for point in tracked(points, len(points), "evaluate", "point"):
        for task in names:
            results[task].append(read_point(study, point, task, rows[task]))
    answers = analyse(study, points, rows, results)
    metrics = {task: measure(study, task, answers) for task in names}
    for point in points:
        if STUDY in point.values:  # its own study writes its metrics
            continue
        own = {task: found[point.name] for task, found in metrics.items() if point.name in found}
        if own and (force or not is_whole(point.directory, inputs[point.name])):
            write_metrics(study, point, own, inputs[point.name])
    if comparison is None:
        say(f"metrics: {points[0].directory / 'metrics.json'}")
        return
    answers.tables.write(tables_of(comparison), inputs)
    write_comparison(study, answers, comparison, inputs)
    say(f"tables: {tables_of(comparison)}")
    say(f"comparison: {comparison / 'aggregated_metrics.csv'}")
    say(f"criteria: {comparison / 'criteria.md'}")


def measure(study: Study, task: str, answers: Answers) -> dict[str, dict[str, Any]]:
    """Point → metrics.json of a task."""
    from lib.analysis.views import metrics_of_points, with_extras

    analysis, eval_config = tasks.get(task).analysis, study.config.evaluate
    of_tables, found = metrics_of_points(answers, task), {}
    for result in answers.results[task]:
        if result.predictions is None:
            continue
        rows = own_rows(task, answers.rows[task], result.config)[: result.config.infer.rows]
        view = of_tables[result.name]
        found[result.name] = with_extras(view, analysis, rows, result.predictions, eval_config)
        if is_selected(study, study.point_by_name(result.name)):
            found[result.name]["selected"] = selected_of(study).model_dump()
    return found


def write_metrics(
    study: Study, point: Point, metrics: Mapping[str, Any], inputs: Mapping[str, Any]
) -> None:
    """metrics.json of a point, and of each further task; the mark of a point that is done."""
    files = {task: f"{study.named('metrics', task)}.json" for task in metrics}
    for task, name in files.items():
        write_json(point.directory / name, metrics[task])
    if inputs["status"] == "done":
        mark_done(point.directory, "evaluate", inputs, files.values())


def write_comparison(
    study: Study, answers: Answers, comparison: Path, inputs: Mapping[str, Any]
) -> None:
    """aggregated_metrics.json and .csv, criteria.md, and what a task puts beside them."""
    from lib.analysis.views import comparison_of_tables

    made = comparison_of_tables(answers)
    mark(study, made)
    write_json(comparison / "aggregated_metrics.json", {"study": study.name, **made.tables})
    write_text(comparison / "aggregated_metrics.csv", as_csv(made.rows))
    for name, table in made.files.items():
        write_table(comparison, name, table)
    write_text(comparison / "criteria.md", made.criteria)
    written = ["aggregated_metrics.json", "aggregated_metrics.csv", "criteria.md"]
    mark_done(comparison, "evaluate", inputs, [*written, *map(table_file, made.files)])


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


if __name__ == "__main__":
    raise SystemExit(run(main))
