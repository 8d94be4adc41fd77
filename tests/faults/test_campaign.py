"""Some 300 faults, one after the other: none may leave a wrong result.

    make test-faults

A small study is led through all stages once, undisturbed. Then stages are killed at random moments,
files are spoiled, and disks are full. Whatever happens, a stage either ends with one line and a
code that is not 0, or leaves what the undisturbed study has, to the byte. Prints a table of faults,
times tried and steps lost. Seeded; not part of `make test`, since it takes a quarter of an hour.
"""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lib.runs.files import read_jsonl
from tests.conftest import as_started, study_text

pytestmark = [pytest.mark.slow, pytest.mark.faults]

STEPS, CHECKPOINT = 60, 10  # of a point; steps between two checkpoints
KILLS = 20  # of each stage
DATA, TRAIN, INFER, EVALUATE, VISUALIZE = STAGES = (
    ("stage1_generate_datasets",),
    ("stage2_train", "--index", "0-1"),
    ("stage3_infer", "--index", "0-1"),
    ("stage4_evaluate", "--allow-missing"),
    ("stage5_visualize",),
)
# What an undisturbed study and a disturbed one must agree in, to the byte.
RESULTS = ("*/model/*.safetensors", "*/predictions.jsonl", "*/metrics.json", "data/*.jsonl",
           "tables/estimates.csv", "tables/contrasts.csv")  # fmt: skip
TIMED = (b",seconds,", b",gpu_hours,")  # rows of estimates.csv that no two runs share
LOGGED = ("step", "loss", "grad_norm", "learning_rate")
SPOILED = 60  # files, each in every way
table: list[tuple[str, int, str]] = []  # fault, times tried, what was lost


@pytest.fixture(scope="module", autouse=True)
def _print_table() -> Iterator[None]:
    yield
    print("\nfault | times | lost | wrong results")
    for fault, times, lost in table:
        print(f"{fault} | {times} | {lost} | 0")
    print(f"in all {sum(times for _, times, _ in table)} faults")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, tiny_model) -> Path:
    """A directory with small.yaml and results/small, led through all stages."""
    root = tmp_path_factory.mktemp("undisturbed")
    changes = {
        "model.name": str(tiny_model),
        "results_dir": "results",
        "train.max_steps": STEPS,
        "train.checkpoint_steps": CHECKPOINT,
        "infer.batch_size": 1,  # predictions are saved after each
    }
    (root / "small.yaml").write_text(study_text(changes, ()), encoding="utf-8")
    return root


@pytest.fixture
def study(undisturbed, run_stage, tmp_path, monkeypatch) -> Path:
    """A copy of the undisturbed study, the current directory of the test."""
    if not (undisturbed / "results").exists():
        monkeypatch.chdir(undisturbed)
        for module, *words in STAGES:
            ended = run_stage(module, "small.yaml", *words)
            assert ended.code == 0, ended.err
    root = shutil.copytree(undisturbed, tmp_path / "study")
    monkeypatch.chdir(root)
    return root


def results(root: Path) -> dict[str, object]:
    """Lines of each result, and the columns of each training log, that time does not change."""
    directory = root / "results" / "small"
    files: dict[str, object] = {
        str(path.relative_to(directory)): [
            line for line in path.read_bytes().splitlines() if not any(t in line for t in TIMED)
        ]
        for pattern in RESULTS
        for path in directory.glob(pattern)
    }
    for path in directory.glob("*/train.jsonl"):
        rows = read_jsonl(path, torn_tail=True)
        files[str(path.relative_to(directory))] = [[row[key] for key in LOGGED] for row in rows]
    return files


def last_step(directory: Path) -> int:
    path = directory / "train.jsonl"
    rows = read_jsonl(path, torn_tail=True) if path.exists() else []
    return rows[-1]["step"] if rows else 0


# -- killed ----------------------------------------------------------------------------------------


def killed(stage, process, seconds: float) -> bool:
    """Start a stage and kill it after so many seconds; False where it had ended by then."""
    module, *words = stage
    command = (f"stages.{module}", "small.yaml", *words)
    started = process(target=as_started, args=command)
    started.start()
    started.join(seconds)
    if started.exitcode is not None:
        assert started.exitcode == 0
        return False
    os.kill(started.pid, signal.SIGKILL)
    started.join()
    return True


def test_training_that_is_killed_at_random_moments(study, undisturbed, processes, run_stage):
    draw, lost, kills = random.Random(1), [], 0
    results_of = study / "results" / "small"
    while kills < KILLS:
        for point in ("baseline_gamma1", "accept_gamma2"):
            shutil.rmtree(results_of / point, ignore_errors=True)
        before = 0
        while killed(TRAIN, processes.Process, draw.uniform(0.5, 8)) and kills < KILLS:
            kills += 1
            reached = sum(last_step(results_of / p) for p in ("baseline_gamma1", "accept_gamma2"))
            lost.append(max(0, reached - before) % CHECKPOINT)
            before = reached
        module, *words = TRAIN
        ended = run_stage(module, "small.yaml", *words)
        assert ended.code == 0, ended.err
        now, then = results(study), results(undisturbed)
        trained = [name for name in then if name.endswith(("train.jsonl", "model.safetensors"))]
        assert {name: now[name] for name in trained} == {name: then[name] for name in trained}
    assert max(lost) <= CHECKPOINT
    table.append(("kill -9 of training at a random moment", kills, f"{sum(lost)} steps"))


def test_inference_that_is_killed_at_random_moments(study, undisturbed, processes, run_stage):
    draw, kills = random.Random(2), 0
    directory = study / "results" / "small"
    while kills < KILLS:
        for point in ("baseline_gamma1", "accept_gamma2"):
            for name in ("predictions.jsonl", "done/infer.json"):
                (directory / point / name).unlink()
        while killed(INFER, processes.Process, draw.uniform(0.5, 5)) and kills < KILLS:
            kills += 1
        module, *words = INFER
        ended = run_stage(module, "small.yaml", *words)
        assert ended.code == 0, ended.err
        assert results(study) == results(undisturbed)
    table.append(("kill -9 of inference at a random moment", kills, "at most a batch each"))


@pytest.mark.parametrize("stage", [DATA, EVALUATE, VISUALIZE], ids=lambda stage: stage[0])
def test_a_stage_without_a_gpu_that_is_killed(study, undisturbed, processes, run_stage, stage):
    draw, kills = random.Random(3), 0
    module, *words = stage
    for _ in range(KILLS // 2):
        process = processes.Process(
            target=as_started, args=(f"stages.{module}", "small.yaml", *words, "--force")
        )
        process.start()
        process.join(draw.uniform(0.1, 4))
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.join()
        for name, *more in STAGES:  # what was half done is done again, or was never touched
            ended = run_stage(name, "small.yaml", *more)
            assert ended.code == 0, (name, ended.err)
        assert results(study) == results(undisturbed)
    table.append((f"kill -9 of {module}", kills, "the stage"))


# -- spoiled ---------------------------------------------------------------------------------------


def spoil(path: Path, way: str, draw: random.Random) -> None:
    content = path.read_bytes()
    if way == "deleted":
        path.unlink()
    elif way == "emptied":
        path.write_bytes(b"")
    elif way == "cut in half":
        path.write_bytes(content[: len(content) // 2])
    else:
        at = draw.randrange(len(content))
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 << draw.randrange(8)])
                         + content[at + 1 :])  # fmt: skip


@pytest.mark.parametrize("way", ["a bit flipped", "cut in half", "emptied", "deleted"])
def test_any_file_of_a_finished_study_that_is_spoiled(study, undisturbed, run_stage, way):
    """Run again, the stages refuse it by name, make it anew, or do not depend on it."""
    draw = random.Random(way)
    files = sorted(path.relative_to(study) for path in (study / "results").rglob("*")
                   if path.is_file() and path.stat().st_size)  # fmt: skip
    chosen = draw.sample(files, min(SPOILED, len(files)))
    ends = {"refused": 0, "as before": 0}
    wrong = []
    for name in chosen:
        spoil(study / name, way, draw)
        for module, *words in STAGES:
            ended = run_stage(module, "small.yaml", *words)
            if ended.code:
                break
        if ended.code:
            one_line = ended.code in (1, 2) and ended.err.strip().count("\n") == 0
            if not one_line:
                wrong.append((str(name), module, ended.code, ended.err[-300:]))
            ends["refused"] += 1
        else:
            now, then = results(study), results(undisturbed)
            if unlike := [key for key in then if now.get(key) != then[key]]:
                wrong.append((str(name), "other results", *unlike))
            ends["as before"] += 1
        shutil.rmtree(study / "results")
        shutil.copytree(undisturbed / "results", study / "results")
    assert not wrong, "\n".join(map(str, wrong))
    said = ", ".join(f"{count} {end}" for end, count in ends.items())
    table.append((f"a file of a finished study, {way}", len(chosen), said))


# -- no space --------------------------------------------------------------------------------------


@contextmanager
def mounted(directory: Path, options: str) -> Iterator[None]:
    """A tmpfs with these options, holding what the directory held."""
    if os.geteuid() != 0:
        pytest.skip("a disk of its own takes root")
    kept = directory.with_name("kept")
    directory.rename(kept)
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)]
    if (done := subprocess.run(command, capture_output=True, text=True)).returncode:
        pytest.skip(f"no tmpfs here: {done.stderr.strip()}")
    try:
        shutil.copytree(kept, directory, dirs_exist_ok=True)
        shutil.rmtree(kept)
        yield
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


UNDO = {  # stage → what it would do again
    DATA: ("data",),
    TRAIN: ("accept_gamma2",),
    INFER: ("accept_gamma2/predictions.jsonl", "accept_gamma2/done/infer.json"),
    EVALUATE: ("tables", "comparison", "accept_gamma2/metrics.json",
               "accept_gamma2/done/evaluate.json"),
    VISUALIZE: ("comparison/done/visualize.json", "report.html"),
}  # fmt: skip


@pytest.mark.parametrize("fault", ["no space", "no inodes", "read-only"])
@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage[0])
def test_a_disk_that_takes_no_more(study, undisturbed, run_stage, stage, fault):
    module, *words = stage
    disk = study / "results"
    with mounted(disk, "size=200m,nr_inodes=100k"):
        for name in UNDO[stage]:
            path = disk / "small" / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        usage = os.statvfs(disk)
        if fault == "no space":
            kept = 8 << 10
            (disk / "filler").write_bytes(bytes(usage.f_bavail * usage.f_frsize - kept))
        elif fault == "no inodes":
            subprocess.run(["mount", "-o", f"remount,nr_inodes={usage.f_files - usage.f_ffree + 1}",
                            str(disk)], check=True)  # fmt: skip
        else:
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        ended = run_stage(module, "small.yaml", *words)
        assert ended.code in (1, 2), ended
        assert "Traceback" not in ended.err
        lines = [line for line in ended.err.splitlines() if "error" in line.lower()]
        assert len(lines) == 1, ended.err
        subprocess.run(["mount", "-o", "remount,rw,size=400m,nr_inodes=100k", str(disk)],
                       check=True)  # fmt: skip
        (disk / "filler").unlink(missing_ok=True)
        for name, *more in STAGES:
            again = run_stage(name, "small.yaml", *more)
            assert again.code == 0, again.err
        assert results(study) == results(undisturbed)
    table.append((f"{fault} in {module}", 1, "the stage"))


def test_a_clock_that_was_set_back(study, undisturbed, run_stage):
    """Files of the future: nothing is decided by which is newer."""
    later = time.time() + 86400
    paths = [path for path in (study / "results").rglob("*") if path.is_file()]
    for path in paths:
        os.utime(path, (later, later))
    for module, *words in STAGES:
        ended = run_stage(module, "small.yaml", *words)
        assert ended.code == 0, ended.err
    assert results(study) == results(undisturbed)
    table.append(("a clock set back by a day, all files of tomorrow", 1, "nothing"))
