"""Stage 5: the figures of every point and of the comparison, as PDF and PNG. Needs no torch.

    python -m stages.stage5_visualize configs/weighted_loss.yaml [run_ids='["NAME", "NAME"]']

Writes results/<study>/<point>/<point>_<topic>.pdf and results/<study>/comparison/
comparison_<topic>.pdf, each with a PNG beside it, captions.md, and results/<study>/report.html, one
file with all of it. Reads the tables that stage 4 wrote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.analysis.results import inputs_of, read_point
from lib.analysis.tables import directory_of, read_tables
from lib.config import tasks
from lib.config.errors import BadInput, listed
from lib.config.figures import Figure, figures_of
from lib.config.grid import digest
from lib.config.study import Point, Study, flatten
from lib.config.tasks import PointResult
from lib.data.testsets import rows_of
from lib.runs.directory import done_mark, mark_done, verify_done
from lib.runs.files import read_json, read_sealed, write_text
from lib.runs.integrity import verify
from lib.runs.progress import progress
from stages.command import DONE, comparison_of, load, parser, run, say, take_run_ids

if TYPE_CHECKING:
    from lib.plotting.specs import Drawn
    from lib.plotting.view import View

Results = Mapping[str, list[PointResult]]  # task → its results, in the order of the points


def main(argv: Sequence[str] | None = None) -> int:
    """Draw every figure of a study; returns the exit code."""
    arguments = parser("stages.stage5_visualize", __doc__)
    take_run_ids(arguments, "draw only these points, as stage 4 compared them")
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
    figures = figures_of(study)
    identity = {"evaluated": evaluated["hash"], "figures": [asdict(one) for one in figures]}
    if not args.force and is_drawn(comparison, digest(identity)):
        say(f"drawn already: {comparison}")
        return DONE
    from lib.plotting.view import view_of

    rows = {task: rows_of(study, task) for task in study.config.tasks}
    results = {t: [read_point(study, p, t, rows[t]) for p in points] for t in rows}
    first_task = study.config.tasks[0]
    first = results[first_task]
    for place, result in enumerate(first):
        others = {task: of_task[place].metrics for task, of_task in results.items()}
        result.others = {t: found for t, found in others.items() if found and t != first_task}
    view = view_of(study, read_tables(directory_of(comparison)), first)
    with progress(len(points) + 1, "draw", "folder") as shown:
        for place, point in enumerate(points):
            key = {"evaluated": evaluated["identity"].get(point.name),
                   "figures": [one for one in identity["figures"] if one["each"]]}  # fmt: skip
            if args.force or not is_drawn(point.directory, digest(key)):
                draw_point(study, view, figures, point, key,
                           {task: of_task[place] for task, of_task in results.items()})  # fmt: skip
            shown.update(place + 1)
        drawn = draw_comparison(study, view, figures, comparison, results)
        shown.update(len(points) + 1)
    page = study.directory / f"{comparison.name.replace('comparison', 'report')}.html"
    write_text(page, page_of(study, view, drawn, comparison, points, evaluated["end"]))
    names = [f"comparison_{one.name}" for one in drawn]
    mark_done(comparison, "visualize", identity, [*files_of(names), "captions.md"], figures=names)
    for name in names:
        say(f"figure: {comparison / name}.pdf")
    say(f"report: {page}")
    return DONE


def draw_point(
    study: Study,
    view: View,
    figures: Sequence[Figure],
    point: Point,
    key: Mapping[str, Any],
    results: Mapping[str, PointResult],
) -> None:
    """The figures of one point, in its directory."""
    from lib.plotting.figures import save
    from lib.plotting.specs import draw

    if not point.directory.exists():
        return
    made = [(one.name, one.figure) for figure in figures if figure.each
            for one in draw(view, figure, point.name)]  # fmt: skip
    for task in unported(study):
        made += tasks.get(task).point_figures(results[task], study.config.evaluate)
    for topic, canvas in made:
        save(canvas, point.directory / f"{point.name}_{topic}")
    mark_done(point.directory, "visualize", key,
              files_of([f"{point.name}_{topic}" for topic, _ in made]))  # fmt: skip


def draw_comparison(
    study: Study, view: View, figures: Sequence[Figure], comparison: Path, results: Results
) -> list[Drawn]:
    """The figures of all points together, and what each shows in words."""
    from lib.plotting.figures import save
    from lib.plotting.specs import Drawn, draw

    drawn = [one for figure in figures if not figure.each for one in draw(view, figure)]
    tables = read_json(comparison / "aggregated_metrics.json")
    # What training has left for figures, such as curves of the functions that trained.
    for path in (study.directory / "tables").glob("*.json"):
        tables[path.stem] = read_sealed(path, "remove it and run a point of stage 2 again")
    for task in unported(study):
        made = tasks.get(task).comparison_figures(results[study.config.tasks[0]], tables,
                                                  study.config.evaluate)  # fmt: skip
        drawn += [Drawn(topic, canvas, topic.replace("_", " "), "") for topic, canvas in made]
    for one in drawn:
        save(one.figure, comparison / f"comparison_{one.name}")
    lines = [f"- `comparison_{one.name}`: {one.title}. {one.caption}" for one in drawn]
    write_text(comparison / "captions.md", "\n".join([*lines, ""]))
    return drawn


def unported(study: Study) -> list[str]:
    """Tasks that draw their figures themselves."""
    return [task for task in study.config.tasks if tasks.get(task).analysis is None]


def page_of(
    study: Study,
    view: View,
    drawn: Sequence[Drawn],
    comparison: Path,
    points: Sequence[Point],
    date: str,
) -> str:
    """The page over a comparison, beside its directory."""
    from lib.plotting.findings import findings
    from lib.plotting.report import Shown, report

    found = [findings(view, task, analysis.findings) for task in study.config.tasks
             if (analysis := tasks.get(task).analysis)]  # fmt: skip
    if not found:
        found = [(comparison / "criteria.md").read_text(encoding="utf-8")]
    shown = [Shown(f"{comparison.name}/comparison_{one.name}.png", one.title, one.caption)
             for one in drawn]  # fmt: skip
    configs = {point.name: point.directory / "config.json" for point in points}
    records = {name: read_json(path) for name, path in configs.items() if path.exists()}
    return report(study, view, "\n".join(found), shown, study.directory, records, date)


def files_of(names: Sequence[str]) -> list[str]:
    """The files of figures."""
    return [f"{name}.{ending}" for name in names for ending in ("pdf", "png")]


def is_drawn(directory: Path, key: str) -> bool:
    """Whether the figures of what stage 4 left, as their specs are now, are all there."""
    try:
        mark = done_mark(directory, "visualize")
        if mark is None or mark["hash"] != key:
            return False
        verify_done(directory, "visualize")
    except BadInput as error:
        say(f"drawn again: {error}")
        return False
    return True


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
