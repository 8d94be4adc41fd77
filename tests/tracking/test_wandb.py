"""Runs in W&B by its real client: offline files, and a server on this machine (wandb_server)."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lib.config.grid import digest
from lib.config.load import load_study
from lib.tracking import runs, to_wandb
from lib.tracking.live import Live, place_of
from tests.tracking.made import KEY, log, metrics_of, row
from tests.wandb_server import Server

ROWS = [row(step) for step in range(1, 9)]
AGAIN = [*ROWS[:6], *(row(step, attempt=2) for step in (7, 8, 9))]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Return W&B's server; its address and a key are in the environment, which W&B reads once."""
    made = Server()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_BASE_URL", made.url)
        patch.setenv("WANDB_API_KEY", KEY)
        patch.setenv("WANDB_ENTITY", "team")
        patch.setenv("NO_PROXY", "127.0.0.1")
        import wandb

        wandb.teardown()  # what another file of tests may have left
        to_wandb.server.cache_clear()
        yield made
        wandb.teardown()
        to_wandb.server.cache_clear()
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture
def study(server, write_study):
    """Return the small study with the log of one point; the server has no project."""
    server.projects.clear()
    loaded = load_study(write_study())
    log(loaded.point(1).directory, ROWS)
    return loaded


def on_server(server: Server, name: str = "accept_gamma2") -> list[tuple[int, dict[str, float]]]:
    return [(r["_step"], {k: v for k, v in r.items() if not k.startswith("_")})
            for r in server.projects["team/small"][name]["rows"]]  # fmt: skip


def offline_runs(study: Any) -> list[Path]:
    return sorted((study.directory / "tracking" / "wandb").glob("offline-run-*"))


def offline_records(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Kind → records of an offline run, by W&B's own reader."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, list[dict[str, Any]]] = {}
    for line in done.stdout.splitlines():
        record = json.loads(line)
        found.setdefault(record["type"], []).append(record[record["type"]])
    return found


def logged(folder: Path) -> list[tuple[int, dict[str, float]]]:
    """Steps and values of an offline run."""
    items = [record["item"] for record in offline_records(folder)["history"]]
    return [(i["_step"], {k: v for k, v in i.items() if not k.startswith("_")}) for i in items]


def test_the_server_gets_rows_once_and_the_last_attempts(study, server, run_stage) -> None:
    words = ("track", study.path, "--to", "wandb")
    first = run_stage(*words)
    assert (first.code, "1 with new rows (8 rows)" in first.out) == (0, True)
    assert on_server(server) == metrics_of(ROWS)
    found = server.projects["team/small"]["accept_gamma2"]
    config = {key: item["value"] for key, item in found["config"].items() if key != "_wandb"}
    assert (found["group"], config["hash"], config["gamma"]) == ("small", "a1", 2)
    assert (found["summary"]["best.loss"], found["summary"]["final.loss"]) == (1.125, 1.125)
    server.asked.clear()
    assert "(0 rows)" in run_stage(*words).out
    assert server.asked == []
    log(study.point(1).directory, [*ROWS, row(9)])
    assert "(1 rows)" in run_stage(*words).out
    assert on_server(server) == metrics_of([*ROWS, row(9)])
    assert "RewindRun" not in server.asked
    log(study.point(1).directory, AGAIN)
    run_stage(*words)
    assert on_server(server) == metrics_of(AGAIN)
    # A clone without our notes asks the server what it has.
    shutil.rmtree(study.directory / "tracking")
    log(study.point(1).directory, [*AGAIN, row(10)])
    run_stage(*words)
    assert on_server(server) == metrics_of([*AGAIN, row(10)])
    # Trained anew from another config it is another run.
    log(study.point(1).directory, ROWS[:2], identity="b2")
    run_stage(*words)
    assert on_server(server) == metrics_of([*AGAIN, row(10)])
    assert on_server(server, "accept_gamma2-b2") == metrics_of(ROWS[:2])


@pytest.mark.slow
def test_offline_runs_lose_nothing_when_they_are_synced(
    study, server, run_stage, monkeypatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    words = ("track", study.path, "--to", "wandb")
    assert "(8 rows)" in run_stage(*words).out
    assert server.projects == {}
    log(study.point(1).directory, AGAIN)  # not synced yet: replaced
    run_stage(*words)
    (folder,) = offline_runs(study)
    assert folder.name.endswith("-accept_gamma2")
    read = offline_records(folder)
    ((run,), summary) = read["run"], {}
    for record in read["summary"]:
        summary |= record["update"]
    assert (run["run_id"], run["run_group"], run["project"]) == ("accept_gamma2", "small", "small")
    assert run["config"]["update"]["hash"] == "a1"
    assert (summary["best.loss"], summary["final.loss"]) == (1 + 1 / 6, 2 + 1 / 9)
    assert logged(folder) == metrics_of(AGAIN)
    assert "(0 rows)" in run_stage(*words).out
    assert offline_runs(study) == [folder]
    sync(folder)
    assert on_server(server) == metrics_of(AGAIN)
    log(study.point(1).directory, [*AGAIN, row(10)])  # synced: a run with the new row alone
    run_stage(*words)
    assert len(offline_runs(study)) == 2
    sync(*offline_runs(study))
    assert on_server(server) == metrics_of([*AGAIN, row(10)])
    log(study.point(1).directory, [*ROWS, row(9), row(10, 2), row(11)])
    said = run_stage(*words).out
    assert "accept_gamma2: rows that were synced have changed, and W&B keeps" in said
    sync(*offline_runs(study))
    assert on_server(server) == metrics_of([*AGAIN, row(10), row(11)])


def sync(*folders: Path) -> None:
    """Upload offline runs by W&B's own command; its logs go to where it is called."""
    command = [sys.executable, "-m", "wandb", "sync", *map(str, folders)]
    environ = {**os.environ, "WANDB_MODE": "online"}
    subprocess.run(command, env=environ, cwd=folders[0].parent, check=True, capture_output=True)


@pytest.mark.parametrize("mode", ["online", "offline"])
def test_a_live_run_goes_on_after_a_requeue(study, server, monkeypatch, mode: str) -> None:
    monkeypatch.setenv("WANDB_MODE", mode)
    place, said = place_of(study, os.environ), []
    begun = runs.Run("live", "small", {"hash": "a1"})
    for kept, later in (([], ROWS[:6]), (ROWS[:4], ROWS[4:])):
        live = Live("wandb", begun, place, said.append)
        live.start(kept)
        for one in later:
            live.add(one)
        live.finish()
    assert not said
    if mode == "online":
        assert on_server(server, "live") == metrics_of(ROWS)
    else:
        (folder,) = offline_runs(study)
        assert logged(folder) == metrics_of(ROWS)


def test_no_file_log_or_request_has_the_key(
    study, server, run_stage, monkeypatch, tmp_path
) -> None:
    said = ""
    for mode in ("online", "offline"):
        monkeypatch.setenv("WANDB_MODE", mode)
        log(study.point(1).directory, ROWS if mode == "online" else AGAIN)
        ended = run_stage("track", study.path, "--to", "wandb")
        assert ended.code == 0
        said += ended.out + ended.err
    files = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()]
    assert [path for path in files if path.suffix == ".wandb"]
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
    assert KEY not in said
    assert not any(KEY in body for body in server.bodies)


def test_train_jsonl_is_read_back_for_points_that_have_none(
    study, server, run_stage, fake, write_study, snapshot
) -> None:
    point = study.point(1)
    run_stage("track", study.path, "--to", "wandb")
    before = (point.directory / "train.jsonl").read_bytes()
    shutil.rmtree(point.directory)
    log(study.point(0).directory, ROWS[:3])
    here = (study.point(0).directory / "train.jsonl").read_bytes()
    words = ("stage4_evaluate", study.path, "--allow-missing", "--from", "wandb:team/small")
    ended = run_stage(*words)
    assert "train.jsonl: 1 from wandb:team/small, 1 here already; not in the project: " \
           "reject_gamma2" in ended.out  # fmt: skip
    assert (point.directory / "train.jsonl").read_bytes() == before
    assert (study.point(0).directory / "train.jsonl").read_bytes() == here
    assert ended.code == 2  # no predictions of any point
    (point.directory / "train.jsonl").write_text("{}\n")
    run_stage(*words)
    assert (point.directory / "train.jsonl").read_text() == "{}\n"


def test_a_run_of_another_config_is_not_read_back(study, server, run_stage, monkeypatch) -> None:
    run_stage("track", study.path, "--to", "wandb")
    shutil.rmtree(study.point(1).directory)
    monkeypatch.setattr("lib.tracking.readback.train_identity", lambda study, point: {"x": 1})
    ended = run_stage("stage4_evaluate", study.path, "--from", "wandb:team/small")
    assert ended.code == 2
    assert (f"--from: wandb:team/small: run accept_gamma2 is of another config: found hash a1, "
            f"expected {digest({'x': 1})}") in ended.err  # fmt: skip
    assert not study.point(1).directory.exists()


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("wandb:team/hidden", "--from: wandb: team/hidden: no accessible project of this "
                              "name"),
        ("wanbd:team/small", "--from: found 'wanbd:team/small', expected wandb:ENTITY/PROJECT; did "
                             "you mean 'wandb'?"),
        ("wandb:small", "--from: found 'wandb:small', expected wandb:ENTITY/PROJECT"),
        ("wandb:", "--from: found 'wandb:', expected wandb:ENTITY/PROJECT"),
    ],
)  # fmt: skip
def test_a_source_that_cannot_be_read(study, run_stage, source: str, line: str) -> None:
    ended = run_stage("stage4_evaluate", study.path, "--allow-missing", "--from", source)
    assert (ended.code, ended.err.splitlines()[-1]) == (2, f"error: {line}")


@pytest.mark.parametrize("words", [("track", "--to", "wandb"),
                                   ("stage4_evaluate", "--from", "wandb:team/small")])  # fmt: skip
def test_without_a_key(study, run_stage, monkeypatch, tmp_path, words: tuple[str, ...]) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    ended = run_stage(words[0], study.path, *words[1:])
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "wandb: no key for http://127.0.0.1" in ended.err
    assert "set WANDB_API_KEY or run `wandb login`; or WANDB_MODE=offline" in ended.err
