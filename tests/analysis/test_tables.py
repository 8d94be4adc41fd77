"""The tables of a study: written, read again, and refused where they are not what stage 4 wrote."""

import pandas as pd
import pytest

from lib.analysis import tables
from lib.analysis.tables import StudyTables, columns, directory_of, read_tables
from lib.config.errors import BadInput


def empty(**frames):
    made = {name: pd.DataFrame(columns=columns(name)) for name in tables.TABLES}
    return StudyTables(**(made | frames))


def test_tables_are_read_as_they_were_written(tmp_path):
    points = pd.DataFrame({"point": ["a", "b"], "setting": ["1", "2"], "seconds": [1 / 3, None]})
    items = pd.DataFrame({"item": pd.Categorical(["x", "y"]), "right": [1.0, None]})
    extra = pd.DataFrame({"point": ["a"], "delta": [0.1]})
    empty(points=points, items=items).write(tmp_path, {})
    made = empty(points=points, items=items)
    made.extras["theory"] = extra
    made.write(tmp_path, {})
    found = read_tables(tmp_path)
    pd.testing.assert_frame_equal(found.points, points)
    pd.testing.assert_frame_equal(found.items, items)
    pd.testing.assert_frame_equal(found.extras["theory"], extra)
    assert list(found.claims) == columns("claims")


def test_what_stage_4_did_not_write_is_refused(tmp_path, monkeypatch):
    with pytest.raises(BadInput, match="no tables yet; run python -m stages.stage4_evaluate"):
        read_tables(tmp_path)
    monkeypatch.setattr(tables, "SCHEMA", tables.SCHEMA + 1)
    empty().write(tmp_path, {})
    monkeypatch.undo()
    with pytest.raises(BadInput, match=r"schema: found 2, expected at most 1: a newer version"):
        read_tables(tmp_path)
    empty().write(tmp_path, {})
    (tmp_path / "points.csv").write_text("point\nc\n")
    with pytest.raises(BadInput, match=r"points.csv: .*run stage 4 again"):
        read_tables(tmp_path)


def test_tables_of_some_points_lie_in_their_comparison(tmp_path):
    assert directory_of(tmp_path / "comparison") == tmp_path / "tables"
    assert directory_of(tmp_path / "comparison-1a") == tmp_path / "comparison-1a" / "tables"
