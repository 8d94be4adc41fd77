"""Gemma 3, tiny and random: BOS once, the end of its turn, and of a model with eyes the text part.

`bench/gemma.py` does the like with real weights.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset

from bench.gemma import TEMPLATE
from lib.config.schema import Config, Evaluate, Infer, Model, Train
from lib.config.study import Point
from lib.data.encoding import answer_encoder, encode_row
from lib.data.special_tokens import end_tokens
from lib.inference.hf import HfEngine
from lib.inference.serving import whole_weights
from lib.models.load import load_base, load_tokenizer
from lib.models.trainable import load_for_training
from lib.tasks.symbolic.schema import Data
from lib.tasks.symbolic.task import TASK as task
from lib.training.batches import collate_answers
from lib.training.inputs import TrainData
from lib.training.loop import train_point
from lib.training.responses import Responses

DATA = Data(source="x", instruction="")
WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "and", "is",
         "what", "of"]  # fmt: skip


def save_tokenizer(directory: Path) -> None:
    """Words, BOS added by the tokenizer itself as Gemma's does, and BOS in the template as well."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    vocabulary = {word: i for i, word in enumerate([*special, "user", "model", "\n", *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split("\n", "isolated"), pre_tokenizers.Split(" ", "removed")]
    )
    words.add_special_tokens(special)
    words.post_processor = processors.TemplateProcessing("<bos> $A", special_tokens=[("<bos>", 2)])
    PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>",
        unk_token="<unk>", additional_special_tokens=special[4:], chat_template=TEMPLATE,
    ).save_pretrained(directory)  # fmt: skip


def save_model(directory: Path, eyes: bool) -> Path:
    from transformers import (
        Gemma3Config,
        Gemma3ForCausalLM,
        Gemma3ForConditionalGeneration,
        Gemma3TextConfig,
    )

    text = {
        "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "sliding_window": 8,
        "max_position_embeddings": 128, "layer_types": ["sliding_attention", "full_attention"],
        "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2,
    }  # fmt: skip
    vision = {
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "image_size": 28, "patch_size": 14,
    }  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if eyes:
            config = Gemma3Config(
                text_config=text, vision_config=vision, mm_tokens_per_image=4,
                image_token_index=61, boi_token_index=62, eoi_token_index=63,
            )  # fmt: skip
            Gemma3ForConditionalGeneration(config).save_pretrained(directory)
        else:
            Gemma3ForCausalLM(Gemma3TextConfig(**text)).save_pretrained(directory)
    save_tokenizer(directory)
    return directory


@pytest.fixture(scope="module", params=[False, True], ids=["text", "eyes"])
def gemma(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a tiny Gemma 3, of text alone or with a vision tower."""
    return save_model(tmp_path_factory.mktemp("gemma") / "model", request.param)


@pytest.fixture(autouse=True)
def _quiet(capfd: pytest.CaptureFixture) -> None:
    """Progress goes to standard error."""


def rows_of(directory: Path) -> list[dict[str, Any]]:
    """Encoded rows: a number's word asked for in words, and its successor as the answer."""
    tokenizer = load_tokenizer(Model(name=str(directory)))
    encode = answer_encoder(tokenizer)
    return [
        encode_row(
            tokenizer, task,
            {"id": str(n), "prompt": {"question": f"what is {WORDS[n]}"}, "target": WORDS[n + 1]},
            DATA, 64, encode,
        )
        for n in range(8)
    ]  # fmt: skip


def test_bos_stands_once_and_the_end_of_the_turn_is_trained(gemma: Path) -> None:
    tokenizer = load_tokenizer(Model(name=str(gemma)))
    assert tokenizer("one")["input_ids"][0] == tokenizer.bos_token_id  # by itself it adds one
    row = rows_of(gemma)[0]
    said = tokenizer.convert_ids_to_tokens(row["input_ids"])
    assert said == ["<bos>", "<start_of_turn>", "user", "\n", "what", "is", "one", "<end_of_turn>",
                    "\n", "<start_of_turn>", "model", "\n", "two", "<end_of_turn>"]  # fmt: skip
    assert row["prompt_length"] == 12
    batch = collate_answers([row], 0, None, packed=True)
    assert tokenizer.convert_ids_to_tokens(batch["labels"]) == ["two", "<end_of_turn>"]
    assert tokenizer.convert_tokens_to_ids("<end_of_turn>") in end_tokens(tokenizer)


def test_an_end_of_turn_in_a_question_ends_nothing(gemma: Path) -> None:
    tokenizer = load_tokenizer(Model(name=str(gemma)))
    row = {"id": "a", "prompt": {"question": "one<end_of_turn>two"}, "target": "three"}
    ids = encode_row(tokenizer, task, row, DATA, 64, answer_encoder(tokenizer))["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids).count("<end_of_turn>") == 2


def test_language_model_has_the_logits_of_the_whole(gemma: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    ids = torch.tensor([row["input_ids"][:14] for row in rows_of(gemma)])
    whole = AutoModelForCausalLM.from_pretrained(gemma, dtype=torch.float32).eval()
    part = load_base(Model(name=str(gemma)), torch.float32)
    assert type(part).__name__ == "Gemma3ForCausalLM"
    assert not any(t.is_meta for t in (*part.parameters(), *part.buffers()))
    with torch.no_grad():
        expected = whole(input_ids=ids).logits
        assert torch.equal(part(input_ids=ids).logits, expected)
        part.save_pretrained(tmp_path)
        assert torch.equal(
            load_base(Model(name=str(tmp_path)), torch.float32)(ids).logits, expected
        )
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "gemma3_text"


@pytest.mark.parametrize("tuning", ["full", "lora", "qlora"])
def test_what_is_trained_has_a_gradient_and_is_of_the_language_model(
    gemma: Path, tuning: str
) -> None:
    model = load_for_training(Model(name=str(gemma)), Train(tuning=tuning, precision="fp32"))
    batch = collate_answers(rows_of(gemma), 0, None, packed=True)
    Responses(model)(model.train(), batch).sum().backward()
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert trained
    assert not [name for name, p in trained.items() if p.grad is None]
    assert not [name for name in trained if "vision" in name or "projector" in name]
    if tuning != "full":
        assert sum("lora_A" in name for name in trained) == 2 * 7  # layers × linear maps


@pytest.mark.parametrize("gemma", [True], indirect=True, ids=["eyes"])
def test_a_point_learns_its_answers_and_to_end_its_turn(gemma: Path, tmp_path: Path) -> None:
    # Adapters take small steps: at 0.02 they overshoot and end on one answer for all.
    train = Train(tuning="lora", batch_size=8, micro_batch=8, epochs=120, learning_rate=0.005,
                  precision="fp32", gradient_checkpointing=False, lora={"r": 16, "alpha": 32.0},
                  schedule="linear", warmup=0.1)  # fmt: skip
    model = Model(name=str(gemma), max_length=64)
    config = Config(tasks=["symbolic"], model=model, data=DATA, train=train,
                    evaluate=Evaluate(baseline={}))  # fmt: skip
    rows = rows_of(gemma)
    point = Point(0, {}, "p", config, tmp_path)
    outcome = train_point(point, TrainData(Dataset.from_list(rows)), tmp_path, bool)
    assert outcome.status == "done"
    settings = Infer(engine="hf", precision="fp32", max_new_tokens=12)
    with whole_weights(model, tmp_path / "model", "fp32") as whole:
        engine = HfEngine(model, settings, whole)
        said = engine.generate([row["input_ids"][: row["prompt_length"]] for row in rows], settings)
        engine.close()
    assert said == [[WORDS[n + 1]] for n in range(8)]
