from types import SimpleNamespace

import pytest

from lib.judging import judgments as judged
from lib.judging.judgments import check_local, unjudged, write_judgments
from lib.judging.local import Missing

ROWS = [{"id": "a", "judgments": []}]
JUDGE = {"judge": "j", "revision": "r"}


@pytest.fixture
def points(tmp_path, monkeypatch):
    """Two points whose answers have the checksum of their name."""
    found = [SimpleNamespace(name=name, directory=tmp_path / name) for name in ("p", "q")]
    for point in found:
        point.directory.mkdir()
    monkeypatch.setattr(judged, "answered", lambda study, task, point: ([point.name], point.name))
    return found


def left(points, judge="j", **settings):
    study = SimpleNamespace(
        config=SimpleNamespace(judge=SimpleNamespace(model=judge, revision="r"))
    )
    found = unjudged(study, "task", points, **settings)
    assert all(identity["answers"] == point.name for point, identity, _ in found)
    assert all(made == [point.name] for point, _, made in found)
    return [point.name for point, *_ in found]


def test_whole_judgments_of_the_same_judge_are_not_asked_again(points) -> None:
    assert left(points) == ["p", "q"]
    write_judgments(points[0], "task", {"answers": "p", **JUDGE}, ROWS)
    assert left(points) == ["q"]
    assert left(points, "another judge") == ["p", "q"]
    assert left(points, kind="another") == ["p", "q"]


def test_judgments_in_part_or_lost_are_asked_again(points) -> None:
    write_judgments(points[0], "task", {"answers": "p", **JUDGE}, ROWS, whole=False)
    write_judgments(points[1], "task", {"answers": "q", **JUDGE}, ROWS)
    assert left(points) == ["p"]
    (points[1].directory / "judgments_task.jsonl").unlink()
    assert left(points) == ["p", "q"]


def test_a_judge_is_opened_only_where_answers_are_left(points, monkeypatch) -> None:
    opened = []
    study = SimpleNamespace(config=SimpleNamespace(judge=SimpleNamespace(model="m")))

    def absent(judge):
        opened.append(judge.model)
        raise Missing("no such model")

    monkeypatch.setattr(judged, "rows_of", lambda study, task: ROWS)
    check_local(study, "task", points, absent)
    assert opened == ["m"]
    for point in points:
        write_judgments(point, "task", {}, ROWS)
    check_local(study, "task", points, absent)
    assert opened == ["m"]
    study.config.judge.model = None
    points[0].directory = points[0].directory / "elsewhere"
    check_local(study, "task", points, absent)
    assert opened == ["m"]
