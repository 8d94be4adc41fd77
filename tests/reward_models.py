"""Tiny reward models for tests: a Llama with one logit, its weights drawn at random."""

import json
import shutil
from pathlib import Path
from typing import Any


def reward_model(tiny_model: Path, directory: Path, **changes: Any) -> Path:
    """Write one, with the tokenizer of the tiny model; `changes`: of its config. Returns where.

    Its logits differ by far more than rounding does.
    """
    import torch
    from transformers import AutoConfig, LlamaForSequenceClassification

    given = {"num_labels": 1, "pad_token_id": None} | changes
    config = AutoConfig.from_pretrained(tiny_model, **given)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = LlamaForSequenceClassification(config)
        for weight in model.parameters():
            weight.data *= 4
    model.save_pretrained(directory)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(tiny_model / name, directory)
    return directory


def put(file: Path, **changes: Any) -> None:
    """Change keys of a JSON file."""
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
