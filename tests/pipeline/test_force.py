"""--force: a stage is done again, and nothing of what hung on its old result is left in place."""

from lib.config.load import load_study
from lib.runs.directory import done_mark

LATER = (
    "predictions.jsonl",
    "predictions_mt_bench.jsonl",
    "judgments_mt_bench.jsonl",
    "metrics_mt_bench.json",
    ".predictions-0.part.jsonl",  # stage 3 would go on behind the rows of the old model
)


def test_a_point_trained_again_keeps_nothing_of_the_old_model(prepared_study, run_stage):
    study = load_study(prepared_study, ["train.max_steps=1"])
    directory = study.point(0).directory
    words = [prepared_study, "train.max_steps=1", "--index", "0"]
    assert run_stage("stage2_train", *words).code == 0
    for name in LATER:
        (directory / name).write_text("{}")
    assert run_stage("stage2_train", *words, "--force").code == 0
    there = {path.name for path in directory.iterdir()}
    kept = {"attempts.json", "config.json", "done", "model", "train.jsonl"}
    assert there == {".lock", "previous", *kept}
    (aside,) = (directory / "previous").iterdir()
    old = {path.name for path in aside.iterdir()}
    assert old == {*LATER, *kept}
    assert done_mark(directory, "train")["status"] == "done"
    assert run_stage("stage2_train", *words, "--force").code == 0
    assert aside.is_dir()  # not moved below the next
    assert len(list((directory / "previous").iterdir())) == 2
