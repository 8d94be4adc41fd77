import errno
import math
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lib.config.errors import BadInput
from lib.runs import directory as runs
from lib.runs.directory import (
    Busy,
    archive,
    done_mark,
    is_done,
    locked,
    mark_done,
    refuse_change,
    unchanged,
)
from lib.runs.files import read_json, read_jsonl, replacing, write_json, write_jsonl, write_text
from lib.runs.integrity import checksum

REPOSITORY = Path(__file__).parents[2]


class Boom(Exception):
    """What goes wrong in the middle of a write."""


def write_directory(path: Path, size: int = 10) -> None:
    with replacing(path) as temporary:
        temporary.mkdir()
        (temporary / "a.txt").write_text("new")
        (temporary / "b.bin").write_bytes(b"x" * size)


# -- atomic writes ---------------------------------------------------------------------------------


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    rows = [{"id": "1", "text": "naïve \u2028 \x85 \u2029 line"}, {"id": "2", "text": None}]
    write_jsonl(tmp_path / "deep" / "rows.jsonl", rows)
    assert read_jsonl(tmp_path / "deep" / "rows.jsonl") == rows
    write_json(tmp_path / "x.json", {"é": [1, 2.5, None]})
    assert read_json(tmp_path / "x.json") == {"é": [1, 2.5, None]}
    write_text(tmp_path / "x.txt", "é\n")
    assert (tmp_path / "x.txt").read_text(encoding="utf-8") == "é\n"
    write_directory(tmp_path / "d")
    assert (tmp_path / "d" / "a.txt").read_text() == "new"


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_a_failure_leaves_what_was_there(tmp_path: Path, snapshot, kind: str) -> None:
    path = tmp_path / "it"
    if kind == "file":
        path.write_text("old")
    else:
        (path / "inner").mkdir(parents=True)
        (path / "inner" / "a.txt").write_text("old")
    before = snapshot(tmp_path)
    with pytest.raises(Boom), replacing(path) as temporary:  # noqa: PT012
        if kind == "file":
            temporary.write_text("half")
        else:
            temporary.mkdir()
            (temporary / "a.txt").write_text("half")
        raise Boom
    assert snapshot(tmp_path) == before


def test_rows_that_fail_half_way_leave_what_was_there(tmp_path: Path, snapshot) -> None:
    write_jsonl(tmp_path / "rows.jsonl", [{"a": 1}])
    before = snapshot(tmp_path)

    def rows():
        yield {"a": 2}
        raise Boom

    with pytest.raises(Boom):
        write_jsonl(tmp_path / "rows.jsonl", rows())
    assert snapshot(tmp_path) == before


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, ["old"] * 1000)
    seen, over = set(), threading.Event()

    def read() -> None:
        while not over.is_set():
            seen.add(tuple(set(read_json(path))))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(30):
        write_json(path, [number] * 1000)
    over.set()
    reader.join()
    assert seen <= {("old",), *((n,) for n in range(30))}


def test_directories_are_replaced_whole(tmp_path: Path) -> None:
    (tmp_path / "d" / "sub").mkdir(parents=True)
    (tmp_path / "d" / "sub" / "old.txt").write_text("old")
    write_directory(tmp_path / "d")
    assert sorted(p.name for p in (tmp_path / "d").rglob("*")) == ["a.txt", "b.bin"]
    assert [p.name for p in tmp_path.iterdir()] == ["d"]


def test_a_directory_comes_back_when_its_replacement_cannot_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, snapshot
) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "old.txt").write_text("old")
    before, replace = snapshot(tmp_path), os.replace

    def refuse(source: Path, target: Path) -> None:
        if Path(source).suffix == ".tmp":
            raise OSError(errno.EIO, "Input/output error")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(BadInput, match="d: cannot be written: Input/output error; existing files"):
        write_directory(tmp_path / "d")
    assert snapshot(tmp_path) == before


def test_what_a_killed_process_left_goes_with_the_next_lock(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "candidates"):
        (place / ".model.0123456789ab.tmp").mkdir(parents=True)
        (place / ".model.0123456789ab.tmp" / "half").write_text("half")
    fresh, stale = (tmp_path / f".{n}.json.0123456789ab.tmp" for n in ("fresh", "stale"))
    for path in (fresh, stale):
        path.write_text("{")
    os.utime(stale, (1, 1))
    (tmp_path / ".mine.tmp").write_text("not ours")
    with locked(tmp_path, "test"):
        left = sorted(p.name for p in tmp_path.rglob("*"))
    assert left == [".fresh.json.0123456789ab.tmp", ".lock", ".mine.tmp", "candidates"]


def test_a_directory_that_a_kill_left_moved_away_comes_back(tmp_path: Path) -> None:
    for name in ("lost", "there"):
        write_directory(tmp_path / f".{name}.0123456789ab.old")
    write_directory(tmp_path / "there", size=20)
    with locked(tmp_path, "test"):
        pass
    assert sorted(p.name for p in tmp_path.glob("*")) == [".lock", "lost", "there"]
    assert (tmp_path / "lost" / "b.bin").stat().st_size == 10
    assert (tmp_path / "there" / "b.bin").stat().st_size == 20


def test_processes_of_one_host_name_and_number_write_beside_each_other(tmp_path: Path) -> None:
    with replacing(tmp_path / "x") as one, replacing(tmp_path / "x") as other:
        one.write_text("1")
        other.write_text("2")
    assert one != other
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_files_get_the_mode_that_the_umask_asks_for(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with replacing(tmp_path / "d") as temporary:
            temporary.mkdir()
            (temporary / "w").write_text("1")
            (temporary / "w").chmod(0o600)  # as safetensors makes them
    finally:
        os.umask(before)
    assert (tmp_path / "d" / "w").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "d").stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_refused(tmp_path: Path, snapshot, number: float) -> None:
    write_json(tmp_path / "x.json", {"a": 1})
    write_jsonl(tmp_path / "x.jsonl", [{"a": 1}])
    before = snapshot(tmp_path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"a": number})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_jsonl(tmp_path / "x.jsonl", [{"a": 1}, {"a": number}])
    assert snapshot(tmp_path) == before


# -- the disk says no ------------------------------------------------------------------------------


def test_a_full_disk_leaves_files_and_directories_as_they_were(small_disk: Path, snapshot) -> None:
    write_json(small_disk / "x.json", {"a": 1})
    write_jsonl(small_disk / "x.jsonl", [{"a": 1}])
    write_directory(small_disk / "d")
    before, large = snapshot(small_disk), "x" * 500_000
    for write in (
        lambda: write_json(small_disk / "x.json", large),
        lambda: write_jsonl(small_disk / "x.jsonl", [{"a": large[:50_000]}] * 10),
        lambda: write_directory(small_disk / "d", 500_000),
    ):
        with pytest.raises(BadInput, match="cannot be written: .*; existing files are unchanged"):
            write()
        assert snapshot(small_disk) == before
    with pytest.raises(BadInput, match=r"new.json: cannot be written: [\w ]+$"):
        write_json(small_disk / "new.json", large)
    assert snapshot(small_disk) == before
    write_json(small_disk / "new.json", "fits")  # the room of the failed ones is free again


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, snapshot) -> None:
    (tmp_path / "file").write_text("in the way")
    before = snapshot(tmp_path)
    for path in (tmp_path / "file" / "x.json", tmp_path / "file" / "deep" / "x.json"):
        with pytest.raises(BadInput, match=f"{path}: cannot be written: "):
            write_json(path, 1)
    (tmp_path / "directory").mkdir()
    with pytest.raises(BadInput, match="directory: cannot be written: Is a directory"):
        write_json(tmp_path / "directory", 1)
    (tmp_path / "directory").rmdir()
    assert snapshot(tmp_path) == before


def test_an_inner_file_is_named_by_its_final_place(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=f"^{tmp_path}/d/x: "), replacing(tmp_path / "d") as inner:  # noqa: PT012
        (inner / "x").mkdir(parents=True)
        write_json(inner / "x", 1)


def test_an_error_of_ours_is_no_bad_input(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "x"):
        (tmp_path / "nowhere" / "y").read_text()


# -- reading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", range(1, len('{"id": 2, "a": "é"}'.encode())))
def test_a_torn_last_line_is_left_out_wherever_it_is_cut(tmp_path: Path, cut: int) -> None:
    whole, last = '{"id": 1, "a": "ü"}\n'.encode(), '{"id": 2, "a": "é"}'.encode()
    path = tmp_path / "x.jsonl"
    path.write_bytes(whole + last[:cut])
    assert read_jsonl(path, torn_tail=True) == [{"id": 1, "a": "ü"}]
    with pytest.raises(BadInput, match=rf"{path}: line 2: not a JSON object"):
        read_jsonl(path)


def test_a_torn_line_in_the_middle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"id": 1}\n{"id"\n{"id": 3}\n')
    with pytest.raises(BadInput, match="x.jsonl: line 2: not a JSON object"):
        read_jsonl(tmp_path / "x.jsonl", torn_tail=True)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    for read in (read_json, read_jsonl):
        with pytest.raises(BadInput, match=f"{tmp_path}/none: no such file"):
            read(tmp_path / "none")
        with pytest.raises(BadInput, match=f"{tmp_path}: cannot be read"):
            read(tmp_path)
    (tmp_path / "x").write_text("{")
    with pytest.raises(BadInput, match="x: cannot be read as JSON"):
        read_json(tmp_path / "x")
    (tmp_path / "x").write_text("[1]\n")
    with pytest.raises(BadInput, match="x: line 1: not a JSON object: expected an object"):
        read_jsonl(tmp_path / "x")
    (tmp_path / "x").write_text("")
    assert read_jsonl(tmp_path / "x") == []


def test_checksum(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert checksum(tmp_path / "x").startswith("ba7816bf8f01cfea")


# -- locks -----------------------------------------------------------------------------------------

HOLDER = """
import sys
from pathlib import Path
from lib.runs.directory import locked
with locked(Path(sys.argv[1]), "the holder"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path):
    """Return another process that holds tmp_path / "d"."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "d")]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_a_second_process_is_told_who_holds_the_directory(tmp_path: Path, holder) -> None:
    with (
        pytest.raises(Busy, match=r"d: held by another task \(the holder\)"),
        locked(tmp_path / "d", "me"),
    ):
        pass
    holder.stdin.close()
    assert holder.wait() == 0
    with locked(tmp_path / "d", "me"):
        assert (tmp_path / "d" / ".lock").read_text() == "me"


def test_a_killed_holder_lets_go(tmp_path: Path, holder) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with locked(tmp_path / "d", "me"):
        pass


def test_a_lock_ends_with_its_block(tmp_path: Path) -> None:
    with pytest.raises(Boom), locked(tmp_path, "one"):
        raise Boom
    with locked(tmp_path, "two"):
        assert (tmp_path / ".lock").read_text() == "two"


def test_a_lock_that_cannot_be_had_is_bad_input(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(BadInput, match="file/d: cannot be written"),
        locked(tmp_path / "file" / "d", "me"),
    ):
        pass

    def refuse(*_) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(runs.fcntl, "flock", refuse)  # Lustre mounted without flock
    with (
        pytest.raises(BadInput, match="cannot be locked: Function not implemented"),
        locked(tmp_path, "me"),
    ):
        pass


# -- done marks ------------------------------------------------------------------------------------


def test_a_stage_is_done_once_it_is_marked(tmp_path: Path) -> None:
    now = {"train.gamma": 2.0, "model.name": "x"}
    assert done_mark(tmp_path, "train") is is_done(tmp_path, "train", now) is None
    mark_done(tmp_path, "train", now, [], status="done")
    mark = is_done(tmp_path, "train", dict(reversed(now.items())))
    assert (mark["status"], mark["identity"], mark["stage"]) == ("done", now, "train")
    assert done_mark(tmp_path, "infer") is None


def test_another_config_is_refused_by_the_keys_that_changed(tmp_path: Path) -> None:
    before = {"train.gamma": 2.0, "train.seed": 1, "model.name": "x", "gone": True}
    mark_done(tmp_path, "train", before, [])
    now = {"train.gamma": 4.0, "train.seed": 1, "model.name": "x", "fresh": [1]}
    with pytest.raises(BadInput) as refused:
        is_done(tmp_path, "train", now)
    said = str(refused.value)
    assert said.startswith(f"{tmp_path}: train has results of another config: ")
    assert "train.gamma was 2.0, is 4.0; gone was True, is None; fresh was None, is [1]; g" in said
    assert "seed" not in said
    assert "--force" in said


def test_many_changed_keys_are_counted(tmp_path: Path) -> None:
    before = {f"k{i}": i for i in range(9)}
    with pytest.raises(BadInput, match=r"k3 was 3, is 4 and 5 more; give") as refused:
        refuse_change(tmp_path, "train", before, {k: v + 1 for k, v in before.items()})
    assert "k4" not in str(refused.value)
    refuse_change(tmp_path, "train", before, dict(before))


# -- archives --------------------------------------------------------------------------------------


def test_old_results_are_archived(tmp_path: Path, snapshot) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "w").write_text("1")
    mark_done(tmp_path, "infer", {}, [])
    mark_done(tmp_path, "train", {}, ["model"])
    assert archive(tmp_path, ["nothing"]) is None
    first = archive(tmp_path, ["model", "done/infer.json", "nothing"])
    assert first.parent == tmp_path / "previous"
    assert sorted(snapshot(first)) == ["done", "done/infer.json", "model", "model/w"]
    assert not (tmp_path / "model").exists()
    assert done_mark(tmp_path, "infer") is None
    assert done_mark(tmp_path, "train") is not None
    (tmp_path / "model").mkdir()
    second = archive(tmp_path, ["model"])
    assert first != second
    assert (first / "model" / "w").read_text() == "1"


def test_a_key_that_is_null_says_what_a_missing_one_says(tmp_path: Path) -> None:
    mark_done(tmp_path, "train", {"a": 1}, [])
    assert is_done(tmp_path, "train", {"a": 1, "new": None})
    assert unchanged({"a": None}, {})
    assert unchanged({}, {"a": None})
    assert not unchanged({"a": 0}, {})
    with pytest.raises(BadInput, match="new was None, is 2; "):
        is_done(tmp_path, "train", {"a": 1, "new": 2})
