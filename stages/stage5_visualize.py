"""Stage 5: the figures of every point and of the comparison, as PDF and PNG. Needs no torch.

    python -m stages.stage5_visualize configs/weighted_loss.yaml [run_ids='["NAME", "NAME"]']

Writes results/<study>/<point>/<point>_<topic>.pdf and results/<study>/comparison/
comparison_<topic>.pdf, each with a PNG beside it, and results/<study>/report.html, one page with
all of it. Reads what stage 4 wrote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lib.analysis.results import inputs_of, read_point
from lib.config import tasks
from lib.config.errors import BadInput, listed
from lib.config.grid import digest
from lib.config.study import Point, Study, flatten
from lib.data.testsets import rows_of
from lib.runs.directory import done_mark, mark_done, verify_done
from lib.runs.files import read_json, read_sealed, write_text
from lib.runs.integrity import verify
from lib.runs.progress import progress
from stages.command import DONE, comparison_of, load, parser, run, say, take_run_ids


def main(argv: Sequence[str] | None = None) -> int:
    """Draw every figure of a study; returns the exit code."""
    arguments = parser("stages.stage5_visualize", __doc__)
    take_run_ids(arguments, "draw these points alone, as stage 4 compared them")
    args = arguments.parse_intermixed_args(argv)
    study = load(args)
    comparison = comparison_of(study, args.run_ids)
    evaluated = done_mark(comparison, "evaluate")
    if evaluated is None:
        raise BadInput(f"{comparison}: not evaluated yet; run python -m stages.stage4_evaluate "
                       f"{study.path}{' with the same run_ids' if args.run_ids else ''}"
                       )  # fmt: skip
    points = list(map(study.point_by_name, args.run_ids)) if args.run_ids else list(study.points())
    check_evaluated(study, points, evaluated["identity"], comparison)
    verify(comparison, evaluated["files"], f"run python -m stages.stage4_evaluate {study.path}")
    if not args.force and is_drawn(comparison, evaluated["hash"]):
        say(f"drawn already: {comparison}")
        return DONE
    from lib.plotting.figures import save

    kinds, eval_config = study.config.tasks, study.config.evaluate
    rows = {task: rows_of(study, task) for task in kinds}
    read = [{t: read_point(study, p, t, rows[t]) for t in kinds} for p in points]
    results = []
    with progress(len(points) + 1, "draw", "folder") as shown:
        for count, (point, of_point) in enumerate(zip(points, read, strict=True), 1):
            others = {t: of_point[t].metrics for t in kinds[1:] if of_point[t].metrics}
            for result in of_point.values():
                result.others = others
            results.append(of_point[kinds[0]])
            key = evaluated["identity"].get(point.name)
            if args.force or not is_drawn(point.directory, digest(key)):
                topics = []
                for task, result in of_point.items():
                    for topic, figure in tasks.get(task).point_figures(result, eval_config):
                        save(figure, point.directory / f"{point.name}_{topic}")
                        topics.append(f"{point.name}_{topic}")
                if point.directory.exists():
                    mark_done(point.directory, "visualize", key, files_of(topics))
            shown.update(count)
        tables = read_json(comparison / "aggregated_metrics.json")
        # Tables that training wrote for figures, such as curves of the losses.
        for path in (study.directory / "tables").glob("*.json"):
            tables[path.stem] = read_sealed(path, "remove it and run a point of stage 2 again")
        names = []
        for task in kinds:
            for topic, figure in tasks.get(task).comparison_figures(results, tables, eval_config):
                save(figure, comparison / f"comparison_{topic}")
                names.append(f"comparison_{topic}")
        shown.update(len(points) + 1)
    page = study.directory / f"{comparison.name.replace('comparison', 'report')}.html"
    write_report(study, points, names, comparison, page)
    mark_done(comparison, "visualize", evaluated["identity"], files_of(names), figures=names)
    for name in names:
        say(f"figure: {comparison / name}.pdf")
    say(f"report: {page}")
    return DONE


def files_of(names: Sequence[str]) -> list[str]:
    """The files of figures."""
    return [f"{name}.{ending}" for name in names for ending in ("pdf", "png")]


def is_drawn(directory: Path, evaluated: str) -> bool:
    """Whether all figures of stage 4's results, with the hash `evaluated`, exist."""
    try:
        mark = done_mark(directory, "visualize")
        if mark is None or mark["hash"] != evaluated:
            return False
        verify_done(directory, "visualize")
    except BadInput as error:
        say(f"drawn again: {error}")
        return False
    return True


def write_report(
    study: Study, points: Sequence[Point], figures: Sequence[str], comparison: Path, page: Path
) -> None:
    """Write the page with the figures of a comparison and of its points."""
    from lib.plotting.report import report

    marks = {point.name: done_mark(point.directory, "visualize") for point in points}
    of_points = {
        name: [f"{name}/{file}" for file in sorted(mark["files"] if mark else ())
               if file.endswith(".png")]
        for name, mark in marks.items()
    }  # fmt: skip
    text = report(
        study.name,
        study.words,
        (comparison / "criteria.md").read_text(encoding="utf-8"),
        (comparison / "aggregated_metrics.csv").read_text(encoding="utf-8"),
        [f"{comparison.name}/{name}.png" for name in figures],
        of_points,
    )
    write_text(page, text)


def check_evaluated(
    study: Study, points: Sequence[Point], evaluated: Mapping[str, Any], comparison: Path
) -> None:
    """Raise BadInput where the points changed since stage 4."""
    before = flatten(evaluated)
    now = flatten({point.name: inputs_of(study, point) for point in points})
    changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    if changed:
        raise BadInput(
            f"{comparison}: changed since stage 4: {listed(changed, 3)}; "
            f"run python -m stages.stage4_evaluate {study.path} again"
        )


if __name__ == "__main__":
    raise SystemExit(run(main))
