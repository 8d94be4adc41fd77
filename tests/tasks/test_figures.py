"""The figures that tasks bring, drawn of the golden studies and laid out without overlap."""

from importlib import import_module

import pytest

from lib.analysis.engine import analyse
from lib.analysis.results import read_point
from lib.config import tasks
from lib.config.figure_specs import figures_of
from lib.config.load import load_study
from lib.data.testsets import rows_of
from lib.plotting.findings import findings
from lib.plotting.specs import draw
from lib.plotting.view import view_of
from tests.golden.layout import write_study
from tests.plotting.test_figures import assert_laid_out

STUDIES = ("weighted_loss", "td_dpo", "gsm8k_qlora", "gsm_symbolic", "iw_lora")


@pytest.mark.parametrize("name", STUDIES)
def test_every_figure_of_a_task_is_laid_out_and_says_what_it_shows(name, tmp_path):
    study = load_study(write_study(import_module(f"tests.golden.{name}").STUDY, tmp_path))
    rows = {task: rows_of(study, task) for task in study.config.tasks}
    results = {
        task: [read_point(study, point, task, rows[task]) for point in study.points()]
        for task in rows
    }
    tables = analyse(study, study.points(), rows, results).tables
    view = view_of(study, tables, results[study.config.tasks[0]])
    figures = figures_of(study)
    blank = []
    for figure in figures:
        # Of points alone: one of each status.
        points = view.points.drop_duplicates("status").point if figure.each else [None]
        drawn = [one for point in points for one in draw(view, figure, point)]
        if not drawn:  # stage 2 leaves the curves of losses, and was not run here
            blank.append(figure.name)
            continue
        assert_laid_out(drawn[0].figure)
        assert not {"nan", "None", "share"} & set(drawn[0].caption.split()), drawn[0].caption
    assert len(blank) < len(figures) / 2, blank
    for task in study.config.tasks:
        text = findings(view, task, tasks.get(task).analysis.findings)
        assert text.startswith("- ")
        assert "nan" not in text
