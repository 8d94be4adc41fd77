"""Stage 5: the figures of every point and of the comparison, as PDF and PNG. Needs no torch.

    python -m stages.stage5_visualize configs/weighted_loss.yaml [run_ids='["NAME", "NAME"]']

Writes results/<study>/<point>/<point>_<topic>.pdf and results/<study>/comparison/
comparison_<topic>.pdf, each with a PNG beside it, captions.md, findings.md, and
results/<study>/report.html, one file with all of it. Reads the tables that stage 4 wrote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.analysis.joined import join
from lib.analysis.results import inputs_of, read_training
from lib.analysis.tables import directory_of, read_tables
from lib.config.errors import BadInput, listed
from lib.config.figures import Figure, analyses, figures_of
from lib.config.grid import digest
from lib.config.points import STUDY
from lib.config.study import Point, Study, flatten
from lib.config.tasks import PointResult
from lib.runs.directory import done_mark, mark_done, verify_done
from lib.runs.files import write_text
from lib.runs.integrity import verify
from lib.runs.progress import progress
from stages.command import DONE, load, parser, run, say
from stages.points import comparison_of, take_run_ids

if TYPE_CHECKING:
    from lib.plotting.specs import Drawn
    from lib.plotting.view import View


def main(argv: Sequence[str] | None = None) -> int:
    """Draw every figure of a study; returns the exit code."""
    arguments = parser("stages.stage5_visualize", __doc__)
    take_run_ids(arguments, "draw only these points, as stage 4 compared them")
    args = arguments.parse_intermixed_args(argv)
    study = join(load(args), args.run_ids or [])
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
    from lib.plotting.findings import findings
    from lib.plotting.view import view_of

    trained = [read_training(study, point) for point in points]
    view = view_of(study, read_tables(directory_of(comparison)), trained)
    with progress(len(points) + 1, "draw", "folder") as shown:
        for place, point in enumerate(points):
            key = {"evaluated": evaluated["identity"].get(point.name),
                   "figures": [one for one in identity["figures"] if one["each"]]}  # fmt: skip
            other = STUDY in point.values
            if not other and (args.force or not is_drawn(point.directory, digest(key))):
                draw_point(view, figures, point, key)
            shown.update(place + 1)
        drawn = draw_comparison(view, figures, comparison)
        shown.update(len(points) + 1)
    page = study.directory / f"{comparison.name.replace('comparison', 'report')}.html"
    found = "\n".join(findings(view, t, a.findings) for t, a in analyses(study).items())
    write_text(comparison / "findings.md", f"# What the study found\n\n{found}")
    write_text(page, page_of(study, view, found, drawn, comparison, trained, evaluated["end"]))
    names = [f"comparison_{one.name}" for one in drawn]
    written = [*files_of(names), "captions.md", "findings.md"]
    mark_done(comparison, "visualize", identity, written, figures=names)
    for name in names:
        say(f"figure: {comparison / name}.pdf")
    say(f"report: {page}")
    return DONE


def draw_point(view: View, figures: Sequence[Figure], point: Point, key: Mapping[str, Any]) -> None:
    """The figures of one point, in its directory."""
    from lib.plotting.figures import save
    from lib.plotting.specs import draw

    if not point.directory.exists():
        return
    drawn = [one for figure in figures if figure.each for one in draw(view, figure, point.name)]
    names = [f"{point.name}_{one.name}" for one in drawn]
    for name, one in zip(names, drawn, strict=True):
        save(one.figure, point.directory / name)
    mark_done(point.directory, "visualize", key, files_of(names))


def draw_comparison(view: View, figures: Sequence[Figure], comparison: Path) -> list[Drawn]:
    """The figures of all points together, and what each shows in words."""
    from lib.plotting.captions import ended
    from lib.plotting.figures import save
    from lib.plotting.specs import draw

    drawn = [one for figure in figures if not figure.each for one in draw(view, figure)]
    for one in drawn:
        save(one.figure, comparison / f"comparison_{one.name}")
    names = {one.name for one in drawn}
    empty = [one.name for one in figures if not one.each and one.name not in names]
    lines = [f"- `comparison_{one.name}`: {ended(one.title)} {one.caption}" for one in drawn]
    if empty:
        lines.append(f"- Not drawn, as no point has these numbers: {listed(empty, 20)}.")
        say(f"not drawn, as no point has these numbers: {listed(empty, 20)}")
    write_text(comparison / "captions.md", "\n".join([*lines, ""]))
    return drawn


def page_of(
    study: Study,
    view: View,
    found: str,
    drawn: Sequence[Drawn],
    comparison: Path,
    trained: Sequence[PointResult],
    date: str,
) -> str:
    """The page over a comparison, beside its directory; found: its findings as Markdown."""
    from lib.plotting.report import Shown, report

    shown = [Shown(f"{comparison.name}/comparison_{one.name}.png", one.title, one.caption)
             for one in drawn]  # fmt: skip
    records = {one.name: one.records["run"] for one in trained if one.records["run"]}
    return report(study, view, found, shown, study.directory, records, date)


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
