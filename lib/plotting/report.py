"""report.html: a study's findings, numbers and figures on one page that any browser opens."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from io import StringIO

from markdown_it import MarkdownIt

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #111; margin: 2rem auto; max-width: 60rem;
       padding: 0 1rem; }
h1, h2 { line-height: 1.2; }
table { border-collapse: collapse; font-size: 0.85rem; }
th, td { border-bottom: 1px solid #bbb; padding: 0.2rem 0.6rem; text-align: left; }
.wide { overflow-x: auto; }
.wide td { white-space: nowrap; font-variant-numeric: tabular-nums; }
img { max-width: 100%; }
figcaption, .words { color: #555; font-size: 0.85rem; }
"""


def report(
    title: str,
    words: Sequence[str],
    criteria: str,
    table: str,
    comparison: Iterable[str],
    of_points: Mapping[str, Iterable[str]],
) -> str:
    """The page as HTML text. Figures are linked, not copied: keep it beside their folders.

    words: the command line's overrides; criteria: Markdown, its own HTML shown as text; table: the
    flat rows as CSV; comparison, of_points: paths of PNG files relative to the page, each with a
    PDF of the same name.
    """
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="words">Overrides: {escape(" ".join(words))}</p>' if words else "",
        MarkdownIt("commonmark", {"html": False}).enable("table").render(criteria),
        "<h1>Figures</h1>",
        *map(_figure, comparison),
        "<h1>Numbers</h1>",
        f'<div class="wide">{_table(table)}</div>',
        "<h1>Points</h1>",
    ]
    for name, figures in of_points.items():
        shown = "".join(map(_figure, figures)) or "<p>No figures.</p>"
        parts.append(f"<details><summary>{escape(name)}</summary>{shown}</details>")
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n"
        + "\n".join(part for part in parts if part)
        + "\n</html>\n"
    )


def _figure(path: str) -> str:
    name = path.rpartition("/")[2].removesuffix(".png")
    source = escape(path, quote=True)
    return (
        f'<figure><img src="{source}" alt="{escape(name)}" loading="lazy"><figcaption>'
        f'<a href="{source.removesuffix(".png")}.pdf">{escape(name)}</a></figcaption></figure>'
    )


def _table(text: str) -> str:
    header, *rows = list(csv.reader(StringIO(text))) or [[]]
    lines = ["".join(f"<th>{escape(cell)}</th>" for cell in header)]
    lines += ["".join(f"<td>{escape(_short(cell))}</td>" for cell in row) for row in rows]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _short(cell: str) -> str:
    """Four digits are enough to read; the CSV has them all."""
    try:
        return f"{float(cell):.4g}" if "." in cell else cell
    except ValueError:
        return cell
