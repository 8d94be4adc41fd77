"""What is submitted, and what waits for what; SLURM's commands are stand-ins."""

import os
import shlex
from pathlib import Path

import pytest

from lib.config.load import load_study
from lib.data.prepared import KEYS
from lib.runs.code import snapshot
from lib.runs.files import read_json, write_json, write_sealed
from lib.slurm import commands as slurm
from lib.slurm import submission
from lib.slurm.arrays import recorded_array
from lib.training.reference_key import pair_checksums, reference_directory, reference_key
from stages import jobs, submit
from tests.fake_slurm import FakeSlurm


@pytest.fixture
def fake_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    fake = FakeSlurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{fake.bin}:{os.environ['PATH']}")
    monkeypatch.setattr(slurm, "PAUSE", 0.0)
    monkeypatch.chdir(tmp_path)
    code = tmp_path / "code" / "lib" / "losses.py"  # the whole code takes half a second to copy
    code.parent.mkdir(parents=True)
    code.touch()
    monkeypatch.setattr(submission, "snapshot", lambda to: snapshot(to, tmp_path / "code"))
    return fake


@pytest.fixture
def finished(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, int]]:
    """Return the (stage, point) that count as done; tests add to it."""
    done: set[tuple[str, int]] = set()
    monkeypatch.setattr(jobs, "is_finished", lambda study, stage, i: (stage, i) in done)
    return done


@pytest.fixture
def study(write_study, finished, fake_slurm) -> str:
    return write_study()  # three points


def options(call: list[str], *names: str) -> list[str]:
    """Return the values of these options of an sbatch call, in this order; "" where missing."""
    found = dict(word.split("=", 1) for word in call if word.startswith("--") and "=" in word)
    return [found.get(f"--{name}", "") for name in names]


def arrays(fake: FakeSlurm) -> list[list[str]]:
    """Return array, offset and dependency of every sbatch call."""
    return [options(call, "array", "offset", "dependency") for call in fake.calls("sbatch")]


def test_what_is_queued_is_not_submitted_again(run_stage, study, fake_slurm, finished) -> None:
    assert run_stage("submit", "train", study).code == 0
    again = run_stage("submit", "train", study)
    assert "queued already: job 101: points 0-2 (3 PENDING)" in again.out
    assert "nothing to submit" in again.out
    # One is done, one has failed, one still runs: the failed one alone is submitted, as itself.
    finished.add(("train", 0))
    fake_slurm.set(queue={"101": {"1": "RUNNING"}})
    third = run_stage("submit", "train", study, "--force")
    assert "job 101: points 1 (1 RUNNING)" in third.out
    assert arrays(fake_slurm) == [["0-2", "", ""], ["0,2", "", ""]]
    directory = load_study(study).directory
    assert read_json(directory / "jobs.json") == {"train": ["101", "102"]}
    assert recorded_array(load_study(study), "102").tasks == "0,2"


def test_one_call_of_squeue_asks_for_all_jobs(run_stage, study, fake_slurm) -> None:
    for gone in ({"0": "PENDING"}, {"1": "PENDING"}):
        run_stage("submit", "train", study)
        fake_slurm.set(queue={**fake_slurm.state["queue"], "101": gone})
    before = len(fake_slurm.calls("squeue"))
    run_stage("submit", "train", study)
    calls = fake_slurm.calls("squeue")[before:]
    assert [options(call, "jobs") for call in calls] == [["101,102"]]


def test_infer_waits_for_each_array_that_trains(run_stage, study, fake_slurm, finished) -> None:
    run_stage("submit", "train", study)
    finished.add(("train", 0))
    fake_slurm.set(queue={"101": {"2": "RUNNING"}})
    run_stage("submit", "train", study)  # point 1 again
    said = run_stage("submit", "infer", study, "slurm.infer.points=1")
    assert said.code == 0
    assert arrays(fake_slurm)[2:] == [["0", "", ""], ["1", "", "aftercorr:102"],
                                      ["2", "", "aftercorr:101"]]  # fmt: skip
    assert all("--kill-on-invalid-dep=yes" in call for call in fake_slurm.calls("sbatch")[3:])
    assert read_json(load_study(study).directory / "jobs.json") == {
        "train": ["101", "102"],
        "infer": ["103", "104", "105"],
    }


def test_tasks_of_other_points_wait_for_the_whole_training(
    run_stage, study, fake_slurm, finished
) -> None:
    run_stage("submit", "train", study)
    run_stage("submit", "infer", study, "slurm.infer.points=2")
    assert arrays(fake_slurm)[1:] == [["0-1", "", "afterany:101"]]
    finished |= {("train", i) for i in range(3)}
    fake_slurm.set(queue={"102": {"1": "PENDING"}})
    said = run_stage("submit", "infer", study, "slurm.infer.points=3").out
    assert "points 0-1 share a task with queued points" in said  # the one queued has point 2
    assert len(arrays(fake_slurm)) == 2


def test_a_refused_chunk_is_all_that_the_next_call_submits(run_stage, study, fake_slurm) -> None:
    fake_slurm.set(max_array_size=2, limit=1)
    first = run_stage("submit", "train", study)
    assert (first.code, first.err.count("\n")) == (2, 1)
    assert "QOSMaxSubmitJobPerUserLimit" in first.err
    assert "submitted before it: job 101; points 2 of train are not submitted" in first.err
    fake_slurm.set(limit=100)
    second = run_stage("submit", "train", study)
    assert "queued already: job 101: points 0-1" in second.out
    assert "as job 102, points 2;" in second.out
    assert arrays(fake_slurm) == [["0-1", "", ""], ["0", "2", ""], ["0", "2", ""]]
    fake_slurm.set(queue={"102": {"0": "RUNNING"}})  # indices count from the chunk's offset
    assert "job 102: points 2 (1 RUNNING)" in run_stage("submit", "train", study).out


def test_points_that_nothing_trains_are_not_inferred(run_stage, study, fake_slurm, finished):
    ended = run_stage("submit", "infer", study)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "neither trained nor queued for training: baseline_gamma1, accept" in ended.err
    finished.add(("train", 1))
    assert "neither trained" in run_stage("submit", "infer", study, "slurm.infer.points=1").out
    assert arrays(fake_slurm) == [["1", "", ""]]


DOWN = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"


@pytest.mark.parametrize("command", ["squeue", "scontrol ping", "scontrol show"])
def test_silence_submits_and_runs_nothing(run_stage, study, fake_slurm, command) -> None:
    run_stage("submit", "train", study)
    fake_slurm.set(queue={}, fails={command: DOWN})
    for again in range(2):  # neither did the first try record anything
        ended = run_stage("submit", "train", study)
        assert (ended.code, ended.err.count("\n"), len(arrays(fake_slurm))) == (2, 1, 1), again
        assert "Unable to contact slurm controller" in ended.err


def test_a_controller_that_hangs_is_silent(run_stage, study, fake_slurm, monkeypatch) -> None:
    monkeypatch.setattr(slurm, "TIMEOUT", 0.5)
    fake_slurm.set(fails={"scontrol ping": "hang"})
    ended = run_stage("submit", "train", study)
    assert ended.code == 2
    assert "no answer within 0.5 s" in ended.err
    assert "--here" in ended.err


@pytest.mark.parametrize("module", ["submit", "demo"])
def test_here_asks_no_controller(run_stage, study, fake_slurm, monkeypatch, module) -> None:
    fake_slurm.set(fails={"scontrol ping": DOWN, "scontrol": DOWN, "sbatch": DOWN})
    started = []
    monkeypatch.setattr(submit, "call", lambda command: started.append(command) or 0)
    monkeypatch.setattr("stages.demo.call", lambda command: started.append(command) or 7)
    words = ["train", study] if module == "submit" else [study]
    assert run_stage(module, *words).code == 2
    assert started == []
    assert run_stage(module, *words, "--here").code == (0 if module == "submit" else 7)
    assert len(started) == 1
    assert fake_slurm.calls("sbatch") == []


def test_packages_that_no_site_set_up_are_no_slurm(fake_slurm, monkeypatch, capfd) -> None:
    unknown = "scontrol: error: resolve_ctls_from_dns_srv: res_nsearch error: {}\n"
    fatal = "scontrol: fatal: Could not establish a configuration source"
    fake_slurm.set(fails={"scontrol": unknown.format("Unknown host") + fatal})
    assert not slurm.is_available()
    fake_slurm.set(fails={"scontrol": unknown.format("Host name lookup failure") + fatal})
    with pytest.raises(slurm.NoAnswer):
        slurm.is_available()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train.epochs=2"], "is queued with overrides {}, found {'train.epochs': 2}"),
        (["slurm.train.cpus=2"], None),
    ],
)
def test_other_overrides_while_queued(run_stage, study, fake_slurm, words, said) -> None:
    run_stage("submit", "train", study)
    ended = run_stage("submit", "train", study, *words)
    assert ended.code == (2 if said else 0)
    assert (said or "") in ended.err


def test_another_grid_while_queued(run_stage, study, fake_slurm) -> None:
    run_stage("submit", "train", study)
    text = Path(study).read_text().replace("- accept\n  - reject", "- reject\n  - accept")
    Path(study).write_text(text)
    ended = run_stage("submit", "infer", study)
    assert ended.code == 2
    assert "the grid has changed while job 101 (train) is queued" in ended.err


def test_a_job_of_which_nothing_is_recorded(run_stage, study, fake_slurm) -> None:
    run_stage("submit", "train", study)
    record = load_study(study).directory / "arrays" / "101.json"
    record.write_text('{"grid": "x"}')
    assert "101.json: does not say what job 101 does" in run_stage("submit", "train", study).err
    fake_slurm.set(queue={})  # once it has ended, it does not matter
    assert run_stage("submit", "train", study).code == 0


def test_directories_of_the_output_are_made(run_stage, write_study, fake_slurm, finished, tmp_path):
    extra = ["--output=mine/%x.out", "-e", "other/%j/x.err"]
    study = write_study({"slurm": {"train": {"extra": extra}}})
    assert run_stage("submit", "train", study).code == 0
    assert (tmp_path / "logs").is_dir()
    assert (tmp_path / "mine").is_dir()
    assert not (tmp_path / "other").exists()


def test_forgotten_jobs_are_not_queued(fake_slurm) -> None:
    fake_slurm.set(queue={"7": {"0": "RUNNING", "3": "PENDING"}})
    assert slurm.queued(["7", "8"]) == {"7": {0: "RUNNING", 3: "PENDING"}}
    assert slurm.queued(["8"]) == {}
    assert slurm.queued([]) == {}


class TestAll:
    """`make submit`: all that is missing, as one chain."""

    @pytest.fixture(autouse=True)
    def data(self, monkeypatch) -> list[list[str]]:
        """Return the commands of stage 1, which are run here; they do nothing."""
        started: list[list[str]] = []
        monkeypatch.setattr(submit, "call", lambda command: started.append(command) or 0)
        return started

    def test_a_chain_of_what_is_missing(self, run_stage, study, fake_slurm, finished, data):
        finished.add(("train", 1))
        assert run_stage("submit", "all", study, "slurm.infer.points=1").code == 0
        assert data[0][2:4] == ["stages.stage1_generate_datasets", study]
        assert arrays(fake_slurm) == [["0,2", "", ""], ["0,2", "", "aftercorr:101"],
                                      ["1", "", ""], ["", "", "afterany:101:102:103"]]  # fmt: skip
        calls = fake_slurm.calls("sbatch")
        assert all("--kill-on-invalid-dep=yes" in call for call in (calls[1], calls[3]))
        assert "--gres=none" in calls[3]
        jobs = {"train": ["101"], "infer": ["102", "103"], "evaluate": ["104"]}
        assert read_json(load_study(study).directory / "jobs.json") == jobs

    def test_a_second_call_submits_nothing(self, run_stage, study, fake_slurm) -> None:
        run_stage("submit", "all", study)
        again = run_stage("submit", "all", study)
        assert "evaluate of small is queued already: job 103 (PENDING)" in again.out
        assert "small: nothing to submit" in again.out
        assert len(fake_slurm.calls("sbatch")) == 3
        assert [options(call, "jobs") for call in fake_slurm.calls("squeue")] == [["101,102,103"]]

    def test_one_task_of_several_points_waits_for_whole_arrays(self, run_stage, study, fake_slurm):
        run_stage("submit", "all", study)
        assert arrays(fake_slurm)[1:] == [["0", "", "afterany:101"],
                                          ["", "", "afterany:101:102"]]  # fmt: skip

    def test_what_has_ended_is_evaluated_once(self, run_stage, study, fake_slurm, finished) -> None:
        finished |= {(stage, i) for stage in ("train", "infer") for i in range(3)}
        run_stage("submit", "all", study)
        assert arrays(fake_slurm) == [["", "", ""]]
        fake_slurm.set(queue={})
        loaded = load_study(study)
        drawn = loaded.directory / "comparison" / "done" / "visualize.json"
        write_json(drawn, {})
        assert "nothing to submit" in run_stage("submit", "all", study).out
        dry = run_stage("submit", "train", study, "--dry-run")
        assert (dry.code, dry.out) == (0, "")
        assert dry.err.splitlines()[-1] == "train of small: nothing to submit"
        predicted = loaded.point(1).directory / "done" / "infer.json"
        write_json(predicted, {})
        os.utime(predicted, (drawn.stat().st_mtime + 1,) * 2)
        run_stage("submit", "all", study)
        assert len(fake_slurm.calls("sbatch")) == 2

    def test_a_dry_run_prints_what_is_submitted(self, run_stage, study, fake_slurm, data) -> None:
        """Data first; the same commands but for ids, and for what is frozen."""
        fake_slurm.set(max_array_size=2)
        words = ["slurm.train.throttle=5", "slurm.train.successors=1"]
        said = run_stage("submit", "all", study, *words, "--dry-run").out.splitlines()
        assert (data, fake_slurm.calls("sbatch")) == ([], [])
        assert not (load_study(study).directory / "submissions").exists()
        assert "stages.stage1_generate_datasets" in said[0]
        run_stage("submit", "all", study, *words)
        ids = {"101": "TRAIN_JOB", "102": "TRAIN_JOB_2", "103": "TRAIN_JOB_3", "104": "TRAIN_JOB_4",
               "105": "INFER_JOB"}  # fmt: skip
        for line, call in zip(said[1:], fake_slurm.calls("sbatch"), strict=True):
            submitted = " ".join(word for word in call if word.startswith("--")
                                 and not word.startswith("--code="))  # fmt: skip
            for job, name in ids.items():
                submitted = submitted.replace(job, name)
            shown = [word for word in shlex.split(line) if word.startswith("--")]
            assert " ".join(shown) == submitted
        assert "--array=0-1%5" in said[1]

    def test_successors_start_only_after_all_before_them(self, run_stage, study, fake_slurm):
        run_stage("submit", "all", study, "slurm.train.successors=2", "--force")
        again = ["--force" in call for call in fake_slurm.calls("sbatch")]
        assert again == [True, False, False, True, False]
        after = ["", "afternotok:101", "afternotok:101:102", "afterany:101:102:103"]
        assert [row[2] for row in arrays(fake_slurm)][:4] == after
        assert [row[0] for row in arrays(fake_slurm)][:4] == ["0-2", "0-2", "0-2", "0"]

    def test_a_refusal_names_all_that_is_not_submitted(self, run_stage, study, fake_slurm) -> None:
        fake_slurm.set(limit=1)
        ended = run_stage("submit", "all", study)
        assert (ended.code, ended.err.count("\n")) == (2, 1)
        assert "job 101; points 0-2 of infer, evaluate are not submitted" in ended.err
        fake_slurm.set(limit=9)
        run_stage("submit", "all", study)
        assert arrays(fake_slurm)[2:] == [["0", "", "afterany:101"],
                                          ["", "", "afterany:101:102"]]  # fmt: skip


def test_exactly_these_points_with_more_options(study, fake_slurm, finished) -> None:
    finished |= {("train", 0), ("train", 1)}
    loaded = load_study(study)
    assert submit.submit_points(loaded, "train", [1, 2], ["--exclude=node7"]) == ["101"]
    assert submit.submit_points(loaded, "train", [2]) == []  # queued
    assert submit.submit_points(loaded, "infer", [0, 2]) == ["102", "103"]
    assert arrays(fake_slurm) == [["2", "", ""], ["0", "", ""], ["2", "", "aftercorr:101"]]
    assert "--exclude=node7" in fake_slurm.calls("sbatch")[0]


class TestFrozen:
    """What was submitted is what runs: a copy of the study file and a snapshot of the code."""

    def test_what_is_kept(self, run_stage, study, fake_slurm) -> None:
        text = Path(study).read_text()
        run_stage("submit", "train", study, "train.epochs=2")
        loaded = load_study(study)
        [call] = fake_slurm.calls("sbatch")
        template, code, copy = (word for word in call if "submissions" in word)
        assert Path(copy).read_text() == text
        assert load_study(copy, ["train.epochs=2"]).name == loaded.name
        code = Path(code.removeprefix("--code="))
        assert template == f"{code}/sbatch/train.sbatch"
        kept = read_json(Path(copy).parent / "submission.json")
        array = recorded_array(loaded, "101")
        assert kept["overrides"] == ["train.epochs=2"]
        assert kept["jobs"] == [{"job": "101", "stage": "train", "command": ["sbatch", *call]}]
        assert (kept["grid"], kept["config"]) == (loaded.grid_hash, array.config)
        assert code.name == f"code-{kept['code']}" == f"code-{array.code}"
        assert (code / "lib" / "losses.py").exists()

    def test_one_snapshot_for_all_submissions_of_the_same_code(self, run_stage, study, fake_slurm):
        run_stage("submit", "train", study)
        run_stage("submit", "infer", study)
        submissions = load_study(study).directory / "submissions"
        assert len(list(submissions.glob("code-*"))) == 1
        assert len(list(submissions.glob("2*"))) == 2

    def test_another_config_while_queued(self, run_stage, study, fake_slurm) -> None:
        """What is queued runs as it was submitted, so more of another config must not join it."""
        run_stage("submit", "train", study)
        text = Path(study).read_text().replace("learning_rate: 0.001", "learning_rate: 0.01")
        Path(study).write_text(text)
        ended = run_stage("submit", "train", study)
        assert (ended.code, ended.err.count("\n")) == (2, 1)
        assert "changed while job 101 (train) is queued" in ended.err


class TestReference:
    """The reference of preference pairs: a job of its own that an array waits for."""

    @pytest.fixture
    def pairs(self, finished, fake_slurm, write_study) -> str:
        """Return a study of three points, two of which share a reference, whose data are there."""
        changes = {
            "tasks": ["preference"],
            "data": {"source": "synthetic"},
            "train.objective": "dpo",
            "axes": {"beta": "train.beta"},
            "variants": {"half": {"train.precision": "bf16"}, "whole": {"train.precision": "fp32"}},
            "grid": [{"variant": "half", "beta": [0.1, 0.2]}, {"variant": "whole", "beta": 0.1}],
            "evaluate": {"baseline": {"variant": "half", "beta": 0.1}},
        }
        path = write_study(changes, drop=["trial"])
        data = load_study(path).directory / "data"
        tokens = {"encoded/train": "a", "encoded/test": "b"}
        manifest = {"models": {"one": {"digest": "c"}}, "tokens": tokens,
                    "splits": {"train": {"rows": 9}, "test": {"rows": 3}}}  # fmt: skip
        write_sealed(data / "manifest.json", dict.fromkeys(KEYS, {}) | manifest)
        return path

    def stored(self, path: str, index: int) -> None:
        study = load_study(path)
        config = study.point(index).config
        key = reference_key(config.model, config.train, pair_checksums(study), four_bits=False)
        write_json(reference_directory(study.directory, key) / "key.json", {})

    def sent(self, fake: FakeSlurm) -> list[list[str]]:
        """Return array, dependency and template of every sbatch call."""
        return [[*options(call, "array", "dependency"),
                 next(Path(word).name for word in call if word.endswith(".sbatch"))]
                for call in fake.calls("sbatch")]  # fmt: skip

    def test_an_array_waits_for_one_of_each(self, run_stage, pairs, fake_slurm) -> None:
        assert run_stage("submit", "train", pairs).code == 0
        assert self.sent(fake_slurm) == [["0,2", "", "reference.sbatch"],
                                         ["0-2", "afterok:101", "train.sbatch"]]  # fmt: skip
        assert "--kill-on-invalid-dep=yes" in fake_slurm.calls("sbatch")[1]
        assert read_json(load_study(pairs).directory / "jobs.json") == {
            "reference": ["101"], "train": ["102"],
        }  # fmt: skip

    def test_gaps_alone(self, run_stage, pairs, fake_slurm, finished) -> None:
        """What is stored or queued is not submitted again; what is queued is waited for."""
        self.stored(pairs, 1)  # of points 0 and 1
        assert run_stage("submit", "reference", pairs).code == 0
        run_stage("submit", "train", pairs)
        assert self.sent(fake_slurm) == [["2", "", "reference.sbatch"],
                                         ["0-2", "afterok:101", "train.sbatch"]]  # fmt: skip
        assert "nothing to submit" in run_stage("submit", "reference", pairs).out
        self.stored(pairs, 2)
        fake_slurm.set(queue={})
        run_stage("submit", "train", pairs)
        assert self.sent(fake_slurm)[2:] == [["0-2", "", "train.sbatch"]]

    def test_one_task_computes_its_own(self, run_stage, pairs, fake_slurm, finished) -> None:
        finished |= {("train", 0), ("train", 1)}
        run_stage("submit", "train", pairs)
        assert self.sent(fake_slurm) == [["2", "", "train.sbatch"]]

    def test_a_dry_run_shows_both(self, run_stage, pairs, fake_slurm) -> None:
        said = run_stage("submit", "train", pairs, "--dry-run").out.splitlines()
        assert ["reference" in line and "--array=0,2" in line for line in said] == [True, False]
        assert "--dependency=afterok:REFERENCE_JOB" in said[1]

    def test_no_other_objective_has_one(self, run_stage, study, fake_slurm, tmp_path) -> None:
        assert "nothing to submit" in run_stage("submit", "reference", study).out
        ended = run_stage("reference", study, "--index", "0")
        assert (ended.code, ended.err.count("\n")) == (2, 1)
        assert "expected training on preference pairs" in ended.err
