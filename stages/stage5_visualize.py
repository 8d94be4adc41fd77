"""Stage 5: the figures of every point and of the comparison, as PDF and PNG. Needs no torch.

    python -m stages.stage5_visualize configs/weighted_loss.yaml

Writes results/<study>/<point>/<point>_<topic>.pdf and results/<study>/comparison/
comparison_<topic>.pdf, each with a PNG beside it. Reads what stage 4 wrote.
"""

from __future__ import annotations

from collections.abc import Sequence

from lib import tasks
from lib.errors import BadInput
from lib.prepared import test_rows
from lib.progress import progress
from lib.results import read_point
from lib.runs import done_mark, mark_done, read_json
from stages.command import DONE, load, parser, run, say


def main(argv: Sequence[str] | None = None) -> int:
    """Draw every figure of a study; returns the exit code."""
    args = parser("stages.stage5_visualize", __doc__).parse_intermixed_args(argv)
    study = load(args)
    comparison = study.directory / "comparison"
    evaluated = done_mark(comparison, "evaluate")
    if evaluated is None:
        raise BadInput(f"{comparison}: not evaluated yet; run python -m stages.stage4_evaluate "
                       f"{study.path}")  # fmt: skip
    drawn = done_mark(comparison, "visualize")
    if drawn and drawn["evaluated"] == evaluated["hash"] and not args.force:
        say(f"drawn already: {comparison}")
        return DONE
    from lib.figures import save

    task, settings = tasks.part(study.config.tasks[0], "figures"), study.config.evaluate
    rows, points = test_rows(study), list(study.points())
    results = []
    with progress(len(points) + 1, "draw", "directory") as shown:
        for count, point in enumerate(points, 1):
            result = read_point(study, point, rows)
            mark = done_mark(point.directory, "visualize")
            key = evaluated["identity"].get(point.name)
            if args.force or mark is None or mark["identity"] != key:
                for topic, figure in task.point_figures(result, settings):
                    save(figure, point.directory / f"{point.name}_{topic}")
                if point.directory.exists():
                    mark_done(point.directory, "visualize", key)
            results.append(result)
            shown.update(count)
        tables = read_json(comparison / "aggregated_metrics.json")
        names = []
        for topic, figure in task.comparison_figures(results, tables, settings):
            save(figure, comparison / f"comparison_{topic}")
            names.append(f"comparison_{topic}")
        shown.update(len(points) + 1)
    mark_done(comparison, "visualize", {"figures": names}, evaluated=evaluated["hash"])
    for name in names:
        say(f"figure: {comparison / name}.pdf")
    return DONE


if __name__ == "__main__":
    raise SystemExit(run(main))
