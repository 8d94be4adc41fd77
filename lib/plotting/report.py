"""report.html: a study on one page, one file that any browser opens without a network."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from markdown_it import MarkdownIt
from markupsafe import Markup

from lib.analysis.wording import duration
from lib.config.errors import listed
from lib.config.grid import format_indices
from lib.plotting import captions
from lib.plotting.findings import TEMPLATES, environment
from lib.plotting.view import View, main_set, short

if TYPE_CHECKING:
    from lib.config.study import Study
    from lib.plotting.specs import Shown

VERDICTS = ("pass", "fail", "undecided", "not measurable")


def report(
    study: Study,
    view: View,
    findings: str,
    figures: Sequence[Shown],
    directory: Path,
    records: Mapping[str, Mapping[str, Any]],
    date: str,
) -> str:
    """The page as HTML text.

    findings: Markdown, its own HTML shown as text. directory: of the page, below which the figures
    are. records: point → its config.json, as far as there is one. date: of the evaluation.
    """
    page = environment(autoescape=True).get_template("report.html.jinja")
    return page.render(
        title=study.name + (" (trial)" if study.mode == "trial" else ""),
        question=question(Path(study.path)),
        claims=view.tables["claims"].astype(object).to_dict("records"),
        verdicts=VERDICTS,
        known=pd.notna,
        findings=Markup(MarkdownIt("commonmark", {"html": False}).render(findings)),
        figures=[
            (
                one,
                Path(one.path).relative_to(directory).as_posix(),
                *inlined(Path(f"{one.path}.png")),
            )
            for one in figures
        ],
        points=points_table(view),
        missing=missing(view),
        cost=cost(view),
        provenance=provenance(study, view, records, date),
        commands=commands(study),
        script=Markup((TEMPLATES / "report.js").read_text(encoding="utf-8")),
        style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
    )


def question(path: Path) -> str:
    """The comment that a study file opens with, without the commands in it."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("# ") or line.startswith("#  "):
            break
        lines.append(line.removeprefix("# ").strip())
    return " ".join(lines)


def inlined(png: Path) -> tuple[str, int]:
    """A picture as a data URL, and its width in pixels."""
    content = png.read_bytes()
    text = base64.b64encode(content).decode("ascii")
    return f"data:image/png;base64,{text}", int.from_bytes(content[16:20], "big")


def points_table(view: View) -> tuple[list[str], list[list[tuple[str, Any]]]]:
    """Header, and a row a point: each cell as (text, what it is sorted by)."""
    estimates = view.tables["estimates"]
    kept = estimates[(estimates["of"] == "point") & (estimates.slice.fillna("") == "")]
    metrics = {
        metric if task == view.first else f"{task}.{metric}": main_set(rows).set_index("name")
        for (task, metric), rows in kept.groupby(["task", "metric"], sort=False)
        if task != "training"
    }
    cost = {name: one for name, one in COST.items() if view.points[name].notna().any()}
    axes = [*view.axes, *(["seed"] if "seed" not in view.axes else [])]
    header = [
        "point",
        "status",
        *axes,
        *map(view.name, metrics),
        *(head for head, _ in cost.values()),
    ]
    rows = []
    for point in view.points.to_dict("records"):
        row = [(str(point["point"]), point["point"]), (point["status"], point["status"])]
        row += [(_cell(point[axis]), point[axis]) for axis in axes]
        for name, table in metrics.items():
            unit = view.unit(name)
            if point["point"] not in table.index or pd.isna(table.value[point["point"]]):
                row.append(("", ""))
                continue
            found = table.loc[point["point"]]
            text = captions.number(found.value, unit) + captions.interval(
                found.low, found.high, unit
            )
            row.append((text, found.value))
        row += [(put(point[name]), point[name]) for name, (_, put) in cost.items()]
        rows.append(row)
    return header, rows


def _cell(value: Any) -> str:
    if pd.isna(value):
        return ""
    return short(value) if isinstance(value, (int, float)) else str(value)


def _duration(seconds: float) -> str:
    return "" if pd.isna(seconds) else duration(seconds)


# Column of points.csv → its header and how it is put.
COST = {"seconds": ("training time", _duration), "gpu_hours": ("GPU-hours", _cell)}


def missing(view: View) -> list[str]:
    """A line a status: how many points, their indices as `submit` takes them, the first by name."""
    lost, found = view.points[view.points.status != "done"], []
    for status, rows in lost.groupby("status", sort=True):
        names = [
            row.point if pd.isna(row.diverged_at) else f"{row.point} at step {row.diverged_at:,.0f}"
            for row in rows.itertuples()
        ]
        count = f"{len(rows)} point{'s' * (len(rows) > 1)}"
        where = format_indices(rows["index"].astype(int).tolist()).replace(",", ", ")
        found.append(f"{count} {status} (index {where}): {listed(names, 6)}")
    return found


def cost(view: View) -> list[tuple[str, str]]:
    """What training took, as far as it is known."""
    points, found = view.points, []
    if points.gpu_hours.notna().any():
        found.append(("GPU-hours of training", f"{points.gpu_hours.sum():,.4g}"))
    if points.seconds.notna().any():
        known = points.seconds.dropna()
        found.append(
            (
                "training time",
                f"{duration(known.sum())} over {len(known)} points, {duration(known.min())} to "
                f"{duration(known.max())} each",
            )
        )
    if points.peak_memory_gb.notna().any():
        found.append(("peak memory of a device", f"{points.peak_memory_gb.max():,.3g} GB"))
    return found


def provenance(
    study: Study, view: View, records: Mapping[str, Mapping[str, Any]], date: str
) -> list[tuple[str, str]]:
    """What the numbers come from: model, data, n, seeds, commit, date."""
    config = study.config
    estimates = view.tables["estimates"]
    sizes = estimates[estimates.task != "training"].groupby(["task", "set"], sort=False).n.max()
    models = dict.fromkeys(str(p.config.model.name) for p in study.points())
    sources = {task: getattr(config, task, None) or config.data for task in config.tasks[1:]}
    sources = {config.tasks[0]: config.data} | sources
    gits = [record.get("git") or {} for record in records.values()]
    commits = dict.fromkeys(
        f"{git['commit'][:12]}{' with uncommitted changes' * bool(git.get('dirty'))}"
        for git in gits
        if git.get("commit")
    )
    devices = dict.fromkeys(str(r["device"]) for r in records.values() if r.get("device"))
    rows = {
        "model": ", ".join(models),
        "data": "; ".join(f"{t}: {source_of(s)}" for t, s in sources.items()),
        "test items": "; ".join(f"{t} {s}: {n:,.0f}" for (t, s), n in sizes.items()),
        "seeds": ", ".join(str(seed) for seed in sorted(view.points.seed.unique())),
        "intervals": f"{100 * view.level:g} %, {config.evaluate.resamples:,} resamples",
        "evaluated": date,
        "commit of training": ", ".join(commits) or "unknown",
        "device": ", ".join(devices) or "unknown",
        "overrides": shlex.join(study.words),
        "study file": study.path,
    }
    return [(name, text) for name, text in rows.items() if text]


def source_of(section: Any) -> str:
    """Where the rows of a task come from: the first of these keys that its section has."""
    found = (getattr(section, key, None) for key in ("source", "questions", "prompts"))
    return str(next(filter(None, found), "not given"))


def commands(study: Study) -> list[str]:
    """How to run the study again, from its file."""
    words = shlex.join([study.path, *study.words])
    stages = ("stage1_generate_datasets", "submit train", "submit infer", "stage4_evaluate",
              "stage5_visualize")  # fmt: skip
    return [f"python -m stages.{stage} {words}" for stage in stages]
