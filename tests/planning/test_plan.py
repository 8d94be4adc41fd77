"""`make plan`: costs worked by hand, what claims could detect, and the same numbers as text."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lib.config.load import load_study
from lib.config.schema import Resources
from lib.data.prepared import train_identity
from lib.data.testsets import predict_identity
from lib.planning.costs import at_once_of, wall
from lib.planning.decisions import Decision, Seen, _cheapest
from lib.planning.times import Pilot, limit_seconds, predictor, train_kind
from lib.runs.directory import mark_done
from lib.runs.files import write_json, write_jsonl
from lib.slurm.partitions import partition_of
from stages.plan import plan, text
from tests.conftest import REPOSITORY
from tests.fake_slurm import FakeSlurm

CLAIM = {"say": "accuracy is kept", "metric": "accuracy", "of": {"variant": "accept"},
         "no_worse_by": 0.01}  # fmt: skip


@pytest.fixture
def pilot(prepared_study):
    """Return a function that leaves what a finished point leaves.

    A step takes `step` seconds, the first one more; loading and saving 20 in all. An engine starts
    in 30 seconds and loads in 2; eight rows take 8.
    """

    def finish(index: int, step: float, *words: str) -> None:
        study = load_study(prepared_study, words)
        point = study.point(index)
        rows = [{"step": n, "loss": 0.5, "seconds": 1 + n * step} for n in (1, 2, 3)]
        write_jsonl(point.directory / "train.jsonl", rows)
        end = f"2026-11-29T00:00:{20 + 3 * step:02.0f}+00:00"
        times = {"start": "2026-11-29T00:00:00+00:00", "end": end,
                 "config": point.config.model_dump()}  # fmt: skip
        write_json(point.directory / "config.json", times)
        mark_done(point.directory, "train", train_identity(study, point), ["train.jsonl"],
                  status="done", step=3)  # fmt: skip
        seconds = {"predict": 8, "rows": 8, "load": 2, "start": 30}
        mark_done(point.directory, "infer", predict_identity(study, point, "decision"), [],
                  rows=8, seconds=seconds)  # fmt: skip

    return finish


def planned(path: str, *words: str, price: float | None = None) -> dict:
    return plan(load_study(path, words), price, ask=False)


def test_before_anything_has_run_time_limits_are_an_upper_bound(write_study) -> None:
    """19 × 48 h × 4 GPUs; 2 points a task: 10 tasks of 4 hours."""
    made = planned("configs/weighted_loss.yaml", "slurm.infer.points=2", price=2.0)
    train, infer = made["stages"]
    assert (train["hours"], train["price"], train["unit"]) == (19 * 48 * 4, 7296.0, "GPU")
    assert (train["sources"], train["pilots"], train["wall_seconds"]) == (
        {"time limit": 19}, 0, 48 * 3600)  # fmt: skip
    assert (infer["tasks"], infer["hours"]) == (10, 40)
    shown = "\n".join(text(made))
    assert "≤ 3,648 GPU" in shown
    assert "≥ " in shown  # of the disk, without the data


def test_one_pilot_tells_what_the_others_take(prepared_study, pilot) -> None:
    """20 + 3 × 4 = 32 s a point; of two epochs 44 s. Inference: 30 s a task and 10 s a point."""
    pilot(1, 4.0)
    train, infer = planned(prepared_study, "slurm.infer.points=1", price=3.0)["stages"]
    assert train["hours"] == pytest.approx(3 * 32 * 4 / 3600)
    assert train["price"] == pytest.approx(3 * 3 * 32 * 4 / 3600)
    assert [train["wall_seconds"], train["longest_seconds"]] == pytest.approx([32, 32])
    assert (train["sources"], train["pilots"], train["done"]) == ({"measured": 3}, 1, 1)
    assert train["low"] is None  # one point tells nothing of the spread
    assert infer["hours"] == pytest.approx(3 * 40 / 3600)
    shared = planned(prepared_study, "slurm.infer.points=3")["stages"][1]
    assert (shared["tasks"], shared["hours"]) == (1, pytest.approx(60 / 3600))
    longer = planned(prepared_study, "train.epochs=2")["stages"][0]
    assert longer["longest_seconds"] == pytest.approx(20 + 6 * 4)
    twice = planned(prepared_study, "train.epochs=2", "train.batch_size=12")["stages"][0]
    assert twice["longest_seconds"] == pytest.approx(20 + 4 * 4 * 12 / 8)  # by tokens of a step


def test_two_pilots_give_a_spread(prepared_study, pilot) -> None:
    """4 and 6 s a step: 5 in the middle, so 35 s, from 32 to 38."""
    pilot(0, 4.0)
    pilot(1, 6.0)
    train, _ = planned(prepared_study)["stages"]
    of = [train[key] * 3600 / 4 / 3 for key in ("low", "hours", "high")]
    assert of == pytest.approx([32, 35, 38])


def test_another_model_is_scaled_by_its_weights(write_study) -> None:
    """7b beside a pilot of 1b: seven times the 2 s a unit; unknown weights tell nothing."""
    words = ["train.epochs=1", "model.name=nobody/large-7b"]
    point = load_study(write_study(), words).point(0)
    small = Pilot("nobody/small-1b", 1, train_kind(point), unit=2.0, beside=20.0)
    assert predictor([small], train_kind)(point, 3) == (20 + 3 * 2 * 7, None, None, "scaled")
    unknown = load_study(write_study()).point(0)  # nobody/nothing
    assert predictor([small], train_kind)(unknown, 3).value is None


def test_points_that_exceed_the_limit_are_named(prepared_study, pilot) -> None:
    pilot(0, 4.0)
    words = ["slurm.train.time=00:01:00", "slurm.train.points=2"]
    made = planned(prepared_study, *words)
    assert made["stages"][0]["too_long"] == ["accept_gamma2"]  # the second of a task: 64 s
    both = planned(prepared_study, *words, "slurm.train.parallel=2")["stages"][0]
    assert (both["too_long"], both["longest_seconds"]) == ([], pytest.approx(32))
    (said,) = [line for line in text(made) if line.startswith("warning: 1 points")]
    assert "slurm.train.time 00:01:00" in said
    assert said.endswith("accept_gamma2")


def test_a_damaged_pilot_is_said_and_not_used(prepared_study, pilot) -> None:
    pilot(0, 4.0)
    point = load_study(prepared_study).point(0)
    (point.directory / "config.json").write_text("{}")
    made = planned(prepared_study)
    assert made["stages"][0]["sources"] == {"time limit": 3}
    assert any(note.startswith(f"{point.name}: its times are not used") for note in made["notes"])


def test_wall_time_under_a_throttle() -> None:
    """Tasks of 3, 1, 1, 2 on two places: 3 beside 1 + 1, then 2 from second 2 on."""
    assert wall([3, 1, 1, 2], 2) == 4
    assert wall([3, 1, 1, 2], 10) == 3
    assert wall([3, None], 2) is None


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("90", 5400), ("10:30", 630), ("04:00:00", 14400), ("2-00", 172800), ("1-02:30", 95400),
     ("1-00:00:10", 86410), ("infinite", None)],
)  # fmt: skip
def test_times_as_slurm_writes_them(given, seconds) -> None:
    assert limit_seconds(given) == seconds


# -- what claims could detect ----------------------------------------------------------------------


def test_a_margin_that_is_too_small_is_warned_of(write_study) -> None:
    """2,024 items detect 2.4 points of accuracy; 1 point takes 11,770: six times as many."""
    path = write_study({"claims": [CLAIM], "data.test_rows": 2024})
    made = planned(path)
    (claim,) = made["claims"]
    assert claim["too_small"]
    assert claim["effect"] == pytest.approx(0.0241, abs=1e-4)
    assert claim["cheapest"]["items"] == 6 * 2024
    (said,) = [line for line in text(made) if "claim 1 is about 0.01" in line]
    assert "could detect 0.0241: one seed and 12,144 items would" in said
    enough = planned(path, "data.test_rows=20000")
    assert not enough["claims"][0]["too_small"]
    assert not enough["warnings"]


def test_the_cheapest_seeds_and_items(write_study) -> None:
    """σ²: 0.0004/t + 0.0005/S ≤ (0.06/2.8016)²: S, t = 2, 2 costs 6 hours, 3, 1.5 costs 7.5."""
    study = load_study(write_study({"claims": [CLAIM | {"no_worse_by": 0.06}]}))
    claim = study.claims[1]
    now = Decision(1, claim.say, 0.06, 0.084, "measured", "", 1, 100)
    seen = [Seen(0.0004, 0.0005)]
    found = _cheapest(study, claim, now, seen, lambda s, t: s * (1 + t), alpha=0.05)
    assert found == (2, 200, 6)
    free_seeds = _cheapest(study, claim, now, seen, lambda s, t: t, alpha=0.05)
    assert free_seeds == (9, 100, 1)  # 0.0004 + 0.0005/9 is little enough
    assert _cheapest(study, claim, now, [Seen(0.4, 0.5)], lambda s, t: s, alpha=0.05) is None


def test_variances_that_were_seen_replace_assumptions(write_study, tmp_path) -> None:
    path = write_study({"claims": [CLAIM], "data.test_rows": 2024})
    study = load_study(path)
    tables = study.directory / "tables"
    tables.mkdir(parents=True)
    head = "task,set,metric,a,b,low,high,low_items,high_items\n"
    row = "decision,test,accuracy,accept_gamma2,baseline_gamma1,-0.1,0.1,-0.05,0.05\n"
    (tables / "contrasts.csv").write_text(head + row)
    (claim,) = planned(path)["claims"]
    assert claim["basis"] == "measured"
    assert claim["effect"] == pytest.approx((1.959964 + 0.841621) * 0.1 / 1.959964, rel=1e-4)


# -- as a command ----------------------------------------------------------------------------------


def test_text_and_json_are_the_same(run_stage, prepared_study, pilot) -> None:
    pilot(1, 4.0)
    made = run_stage("plan", prepared_study, "--json", "--no-slurm", "--price", "3")
    assert (made.code, made.err) == (0, "")
    shown = run_stage("plan", prepared_study, "--no-slurm", "--price", "3")
    content = json.loads(made.out)
    told = "\n".join(text(content)).splitlines()
    assert [line.split() for line in shown.out.splitlines() if not line.startswith("free")] == [
        line.split() for line in told if not line.startswith("free")
    ]
    assert content["stages"][0]["price"] == pytest.approx(0.32)


@pytest.mark.parametrize("price", ["nan", "-1"])
def test_a_price_that_is_none(run_stage, write_study, price) -> None:
    ended = run_stage("plan", write_study(), f"--price={price}")
    assert (ended.code, ended.err.count("\n")) == (2, 1)


def test_neither_torch_nor_slurm_is_needed() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "stages.plan", "configs/td_dpo.yaml", "--json"],
        cwd=REPOSITORY, capture_output=True, text=True, env={**os.environ, "PATH": "/nowhere"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["points"] == 60
    for name in ("torch", "transformers", "vllm", "datasets"):
        assert f" {name}\n" not in done.stderr


# -- with SLURM ------------------------------------------------------------------------------------

SINFO = """#!/bin/sh
echo 'gpu*|1-00:00:00|2|64|gpu:a100:4(S:0-1)'
echo 'gpu*|1-00:00:00|1|16+|gpu:2'
echo 'cpu|infinite|10|32|(null)'
"""
TEST_ONLY = """#!/bin/sh
echo 'sbatch: Job 5 to start at 2026-11-29T09:00:00 using 64 processors on nodes n1' >&2
"""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    """Return a SLURM that answers: three nodes with ten GPUs in the default partition."""
    fake = FakeSlurm(tmp_path / "slurm")
    for name, script in (("sinfo", SINFO), ("sbatch", TEST_ONLY)):
        (fake.bin / name).write_text(script)
        (fake.bin / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.bin}:{os.environ['PATH']}")
    return fake


def test_a_partition_limits_what_runs_at_once(cluster, prepared_study, pilot) -> None:
    """Ten GPUs: two tasks of four at a time, so three points of 32 s take 64."""
    found = partition_of([])
    assert found == ("gpu", "1-00:00:00", 3, 2 * 64 + 16, 10)
    assert found.at_once(Resources(gpus=4, cpus=16)) == 2
    assert at_once_of(Resources(gpus=4, cpus=16, throttle=1), 3, found) == (1, "throttle")
    assert partition_of(["--partition=cpu"]).gpus == 0
    pilot(1, 4.0)
    made = plan(load_study(prepared_study, ["slurm.train.time=2-00:00:00"]))
    train = made["stages"][0]
    assert (train["at_once"], train["at_once_by"]) == (2, "partition gpu")
    assert train["wall_seconds"] == pytest.approx(64)
    assert made["starts"]["train"] == "at 2026-11-29T09:00:00"
    assert any("partition gpu takes jobs of at most 1-00:00:00" in w for w in made["warnings"])


def test_a_partition_without_gpus_is_said(cluster, prepared_study) -> None:
    study = load_study(prepared_study, ["slurm.train.extra=[--partition=cpu]"])
    assert "partition cpu has 0 GPUs" in "\n".join(plan(study)["warnings"])


def test_a_sinfo_that_fails_is_a_note(cluster, prepared_study) -> None:
    (cluster.bin / "sinfo").write_text("#!/bin/sh\necho 'sinfo: error: slurmctld' >&2; exit 1\n")
    made = plan(load_study(prepared_study))
    assert any(note.startswith("SLURM is not asked: sinfo") for note in made["notes"])
    assert made["stages"][0]["at_once_by"] == "tasks"
