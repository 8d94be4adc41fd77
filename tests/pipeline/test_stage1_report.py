"""Stage 1 says what became of every row, and renders the prompts of every task."""

import json
from pathlib import Path

from tests.tasks.mt_bench.test_data import question


def write(path: Path, rows: list[dict]) -> str:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return str(path)


def study(tiny_model, tmp_path, **keys):
    pair = {"chosen": "Sound theory.", "rejected": "Loose theory."}
    rows = [{"id": n, "prompt": f"Paper {n}?", "note": "n", **pair} for n in range(30)]
    rows += [rows[0], {**rows[1], "rejected": "Sound theory."}]
    return {
        "model.name": str(tiny_model),
        "tasks": ["preference", "mt_bench"],
        "data": {"source": write(tmp_path / "pairs.jsonl", rows), "train_rows": 40},
        "mt_bench": {"questions": write(tmp_path / "q.jsonl", [question(n) for n in range(6)]),
                     "limit": 2},
        "train.objective": "dpo",
        "axes": {"beta": "train.beta"},
        "variants": {},
        "grid": [{"beta": 0.1}],
        "evaluate.baseline": {"beta": 0.1},
        **keys,
    }  # fmt: skip


def test_every_drop_is_shown(run_stage, write_study, tiny_model, tmp_path) -> None:
    path = write_study(study(tiny_model, tmp_path))
    ended = run_stage("stage1_generate_datasets", path)
    assert ended.code == 0, ended.err
    for line in (
        "1 of 32 rows (3.1 %) left out: repeat an earlier row",
        "1 of 32 rows (3.1 %) left out: both answers are equal",
        "columns not read: note",
        "train: 24 rows, 40 asked for (data.train_rows)",
        "mt_bench 2 of 6 rows drawn, each kind with its share (mt_bench.limit)",
    ):
        assert line in ended.out, ended.out


def test_a_refusal_of_the_template_comes_before_anything_is_written(
    run_stage, write_study, tiny_model, tmp_path
) -> None:
    """The training prompts have one turn; MT-Bench's second question makes three."""
    from shutil import copytree

    from transformers import AutoTokenizer

    single = copytree(tiny_model, tmp_path / "single")
    tokenizer = AutoTokenizer.from_pretrained(single)
    tokenizer.chat_template = (
        "{% if messages | length > 2 %}{{ raise_exception('One turn only') }}{% endif %}"
        + tokenizer.chat_template
    )
    tokenizer.save_pretrained(single)
    path = write_study(study(single, tmp_path))
    ended = run_stage("stage1_generate_datasets", path)
    assert (ended.code, len(ended.err.strip().splitlines())) == (2, 1)
    assert "mt_bench: row " in ended.err
    assert "refuses a conversation of user, assistant, user: One turn only" in ended.err
    assert not (tmp_path / "results").exists()
