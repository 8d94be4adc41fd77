"""Accuracy on word problems against lm-evaluation-harness: the same prompts, item by item.

    pip install --no-deps --target DIR lm-eval evaluate jsonlines sqlitedict word2number \\
        more_itertools pytablewriter sacrebleu rouge-score portalocker tabulate DataProperty \\
        mbstrdecoder pathvalidate tabledata tcolorpy typepy absl-py nltk zstandard dill colorama \\
        chardet lxml
    python -m bench.lm_eval STUDY.yaml POINT --harness DIR [key=value …]

The point must be predicted (stage 3). The harness is no requirement of the project and runs in a
process of its own, hub-free, from a task file made here: gsm8k.yaml's filters and metric, the
point's examples as turns of a chat, its merged weights, its limit of new tokens. Printed are the
right answers by both readings on both sides, whether prompts and texts are equal, and each item on
which the two disagree with why: another text, or another reading of one text.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from lib.analysis.results import read_predictions
from lib.config import tasks
from lib.config.grid import aligned
from lib.config.load import load_study
from lib.config.study import Point
from lib.data.testsets import rows_of
from lib.runs.files import read_jsonl, write_jsonl

TASK = "lossgrid_problems"
# Source: lm_eval/tasks/gsm8k/gsm8k.yaml, version 3.
FILTERS = {
    "strict": {"regex_pattern": r"#### (\-?[0-9\.\,]+)"},
    "flexible": {"regex_pattern": r"(-?[$0-9.,]{2,})|(-?[0-9]+)", "group_select": -1},
}
METRIC = {
    "metric": "exact_match",
    "aggregation": "mean",
    "higher_is_better": True,
    "ignore_case": True,
    "ignore_punctuation": False,
    "regexes_to_ignore": [",", r"\$", r"(?s).*#### ", r"\.$"],
}


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.lm_eval", description=__doc__.split("\n")[0])
    parser.add_argument("study", metavar="STUDY.yaml", nargs="?")
    parser.add_argument("point", metavar="POINT", nargs="?", help="name of a predicted point")
    parser.add_argument("words", metavar="key=value", nargs="*", help="the study's overrides")
    parser.add_argument("--harness", metavar="DIR", help="where pip has put lm-eval")
    parser.add_argument("--batch", type=int, default=16, help="prompts that the harness pads")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    args = parser.parse_intermixed_args()
    if args.job:
        run_harness(json.loads(args.job))
        return
    if not (args.study and args.point and args.harness):
        parser.error("expected STUDY.yaml, POINT and --harness DIR")
    study = load_study(args.study, args.words)
    point, name = study.point_by_name(args.point), study.config.tasks[0]
    rows, task = rows_of(study, name, point), tasks.get(name)
    path = point.directory / f"{study.named('predictions', name)}.jsonl"
    ours = read_predictions(path, rows, task)
    from lib.inference.serving import whole_weights

    with tempfile.TemporaryDirectory() as scratch:
        model, directory = point.config.model, point.directory / "model"
        with whole_weights(model, directory, point.config.infer.precision) as weights:
            job = write_task(point, rows, weights, Path(scratch), args.batch)
            environ = {
                **os.environ,
                "PYTHONPATH": os.pathsep.join([args.harness, os.environ.get("PYTHONPATH", "")]),
                "HF_DATASETS_CACHE": scratch,
                "HF_HUB_OFFLINE": "1",
            }
            command = [sys.executable, "-m", "bench.lm_eval", "--job", json.dumps(job)]
            subprocess.run(command, check=True, env=environ)
        theirs = read_jsonl(Path(job["samples"]))
    compare(ours, rows, theirs)


def write_task(
    point: Point, rows: list[dict], weights: Path, scratch: Path, batch: int
) -> dict[str, Any]:
    """The harness's task and its data; returns what its process is told."""
    data, infer = point.config.data, point.config.infer
    shots = rows[0]["shots"][: data.shots]
    asked = [{"question": r["prompt"]["question"], "answer": r["target"], "id": r["id"]}
             for r in rows]  # fmt: skip
    # datasets wants the same columns in both files.
    examples = [{**shot, "id": f"shot-{i}"} for i, shot in enumerate(shots)]
    if data.instruction:  # before the first question of a prompt, as in lib.tasks.math.data
        for one in examples[:1] or asked:
            one["question"] = f"{data.instruction}\n\n{one['question']}"
    files = {"test": scratch / "test.jsonl", "fewshot": scratch / "fewshot.jsonl"}
    write_jsonl(files["test"], asked)
    write_jsonl(files["fewshot"], examples or asked[:1])
    task = {
        "task": TASK,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {split: str(path) for split, path in files.items()}},
        "output_type": "generate_until",
        "test_split": "test",
        "fewshot_split": "fewshot",
        "fewshot_config": {"sampler": "first_n"},
        "num_fewshot": len(shots),
        "doc_to_text": "{{question}}",
        "doc_to_target": "{{answer}}",
        "target_delimiter": "",
        "metric_list": [METRIC],
        "generation_kwargs": {
            "until": [],
            "do_sample": False,
            "max_gen_toks": infer.max_new_tokens,
            "repetition_penalty": 1.0,  # not the one that a model may come with, such as Qwen2.5
        },
        "filter_list": [
            {"name": name, "filter": [{"function": "regex", **f}, {"function": "take_first"}]}
            for name, f in FILTERS.items()
        ],
        "metadata": {"version": 0},
    }
    (scratch / f"{TASK}.yaml").write_text(yaml.safe_dump(task), encoding="utf-8")
    return {
        "model": str(weights),
        "dtype": {"bf16": "bfloat16", "fp32": "float32"}[infer.precision],
        "tasks": str(scratch),
        "system": data.system,
        "batch": batch,
        "samples": str(scratch / "samples.jsonl"),
    }


def run_harness(job: dict[str, Any]) -> None:
    """In the harness's own process: evaluate, and write what it says of each item and reading."""
    import torch
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager
    from transformers import AutoTokenizer

    from lib.data.encoding import prompt_hash

    found = simple_evaluate(
        model="hf",
        model_args={"pretrained": job["model"], "dtype": job["dtype"]},
        tasks=[TASK],
        task_manager=TaskManager(include_path=job["tasks"], include_defaults=False),
        batch_size=job["batch"],
        device="cuda" if torch.cuda.is_available() else "cpu",
        apply_chat_template=True,
        fewshot_as_multiturn=True,
        system_instruction=job["system"],
        bootstrap_iters=0,
    )
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    rows = []
    for sample in found["samples"][TASK]:
        prompt = sample["arguments"][0][0]
        ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        rows.append(
            {
                "id": sample["doc"]["id"],
                "reading": sample["filter"],
                "prompt_hash": prompt_hash(ids),
                "text": sample["resps"][0][0],
                "read": sample["filtered_resps"][0],
                "right": bool(sample["exact_match"]),
            }
        )
    write_jsonl(Path(job["samples"]), rows)


def compare(ours: list[dict], rows: list[dict], theirs: list[dict]) -> None:
    """Print the table of both sides, and each item on which they disagree."""
    by_place = {(row["id"], row["reading"]): row for row in theirs}
    table = [["reading", "items", "ours right", "harness right", "same prompt", "same text",
              "disagree"]]  # fmt: skip
    apart = [["item", "reading", "gold", "ours", "harness", "why"]]
    for reading, key in (("strict", "correct_strict"), ("flexible", "correct")):
        pairs = [(one, by_place[one["id"], reading]) for one in ours]
        same = [alike(one["outputs"][0], other["text"]) for one, other in pairs]
        differ = [i for i, (one, other) in enumerate(pairs) if one[key] != other["right"]]
        table.append(
            [reading, len(pairs), sum(one[key] for one in ours), sum(o["right"] for _, o in pairs),
             sum(one["prompt_hash"] == o["prompt_hash"] for one, o in pairs), sum(same),
             len(differ)]
        )  # fmt: skip
        for i in differ:
            one, other = pairs[i]
            why = "another reading of one text" if same[i] else "another text"
            apart.append([one["id"], reading, rows[i]["final"], one[reading], other["read"], why])
    print(aligned([[str(cell) for cell in row] for row in table]))
    if len(apart) > 1:
        print()
        print(aligned([[str(cell) for cell in row] for row in apart]))


def alike(one: str, other: str) -> bool:
    """Whether two texts are equal but for white space at their ends."""
    return one.strip() == other.strip()


if __name__ == "__main__":
    main()
