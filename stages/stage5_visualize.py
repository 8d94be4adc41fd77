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
from lib.config.figure_specs import figures_of
from lib.config.figures import Figure, analyses
from lib.config.grid import digest
from lib.config.points import STUDY
from lib.config.study import Point, Study, flatten
from lib.config.tasks import PointResult
from lib.runs.directory import done_mark, mark_done, verify_done
from lib.runs.files import write_text
from lib.runs.integrity import verify
from lib.runs.progress import tracked
from stages.command import DONE, load, parser, run, say
from stages.points import comparison_of, take_run_ids

if TYPE_CHECKING:
    from lib.plotting.specs import Shown
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
    from lib.plotting.view import view_of

    trained = [read_training(study, point) for point in points]
    view = view_of(study, read_tables(directory_of(comparison), items=False), trained)
    specs = [one for one in identity["figures"] if one["each"]]
    due = []
    for point in points:
        key = {"evaluated": evaluated["identity"].get(point.name), "figures": specs}
        own = STUDY not in point.values and point.directory.exists()
        if own and (args.force or not is_drawn(point.directory, digest(key))):
            due.append((point, key))
    shown = draw_all(view, figures, comparison, due)
    write_captions(comparison, figures, shown)
    page = write_report(study, view, shown, comparison, trained, evaluated["end"])
    names = [Path(one.path).name for one in shown]
    written = [*files_of(shown), "captions.md", "findings.md"]
    mark_done(comparison, "visualize", identity, written, figures=names)
    for name in names:
        say(f"figure: {comparison / name}.pdf")
    say(f"report: {page}")
    return DONE


def draw_all(
    view: View,
    figures: Sequence[Figure],
    comparison: Path,
    due: Sequence[tuple[Point, Mapping[str, Any]]],
) -> list[Shown]:
    """Draw the figures of all points together, which are returned, and those of each point.

    due: points whose figures are out of date, with the key of their mark.
    """
    from lib.plotting.specs import Job, draw_files

    together = [Job([one], f"{comparison}/comparison_") for one in figures if not one.each]
    each = [one for one in figures if one.each]
    jobs = [*together, *(Job(each, f"{p.directory}/{p.name}_", p.name) for p, _ in due)]
    drawn = tracked(draw_files(view, jobs), len(jobs), "draw", "folder")
    shown = [one for _ in together for one in next(drawn)]
    for (point, key), found in zip(due, drawn, strict=True):
        mark_done(point.directory, "visualize", key, files_of(found))
    return shown


def write_captions(comparison: Path, figures: Sequence[Figure], shown: Sequence[Shown]) -> None:
    """captions.md: what each figure of all points shows, and which had nothing to show."""
    from lib.plotting.captions import ended

    lines = [f"- `{Path(one.path).name}`: {ended(one.title)} {one.caption}" for one in shown]
    names = {one.name for one in shown}
    if empty := [one.name for one in figures if not one.each and one.name not in names]:
        lines.append(f"- Not drawn, as no point has these numbers: {listed(empty, 20)}.")
        say(f"not drawn, as no point has these numbers: {listed(empty, 20)}")
    write_text(comparison / "captions.md", "\n".join([*lines, ""]))


def write_report(
    study: Study,
    view: View,
    shown: Sequence[Shown],
    comparison: Path,
    trained: Sequence[PointResult],
    date: str,
) -> Path:
    """findings.md, and the page over a comparison, which is returned; date: of the evaluation."""
    from lib.plotting.findings import findings
    from lib.plotting.report import report

    page = study.directory / f"{comparison.name.replace('comparison', 'report')}.html"
    found = "\n".join(findings(view, t, a.findings) for t, a in analyses(study).items())
    write_text(comparison / "findings.md", f"# What the study found\n\n{found}")
    records = {one.name: one.records["run"] for one in trained if one.records["run"]}
    write_text(page, report(study, view, found, shown, page.parent, records, date))
    return page


def files_of(shown: Sequence[Shown]) -> list[str]:
    """The files of figures, in their directory."""
    return [f"{Path(one.path).name}.{ending}" for one in shown for ending in ("pdf", "png")]


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
