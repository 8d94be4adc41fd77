"""Adapters beside their base: the same answers as merged ones, and the base loaded once."""

from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from lib.config.errors import BadInput
from lib.config.load import load_study
from lib.config.schema import Infer, Lora, Model, Train
from lib.config.study import identity
from lib.inference import serving
from lib.inference.serving import Served, engine_of, serves, start_engine, whole_weights
from lib.models.adapters import sequence_logps
from lib.models.trainable import load_for_training

SEQUENCES = [[5, 17, 200, 33, 60, 61], [90, 91, 92, 93]]
PROMPTS, ANSWERS = [row[:2] for row in SEQUENCES], [[row[2:]] for row in SEQUENCES]
LORA = Lora(r=4, target_modules=["q_proj", "v_proj"])


def adapter(model: Model, directory: Path, tokenizer, seed: int, tuning: str = "lora"):
    """An adapter of random weights, saved; the adapted model as training has it."""
    torch.manual_seed(seed)
    train = Train(tuning=tuning, precision="fp32", gradient_checkpointing=False, lora=LORA)
    adapted = load_for_training(model, train).eval()
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            weight.data = 0.3 * torch.randn(weight.shape)
    adapted.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return adapted


def answer_logps(model) -> list[float]:
    """log p of the answers, from a model in memory."""
    whole = sequence_logps(model, SEQUENCES)
    return (whole - sequence_logps(model, PROMPTS)).tolist()


def test_each_adapter_in_turn_scores_as_it_was_trained(tiny_model, tokenizer, tmp_path):
    model, infer = Model(name=str(tiny_model)), Infer(engine="hf", precision="fp32")
    engine = start_engine(model, infer, tiny_model, rank=4)
    plain = engine.score(PROMPTS, ANSWERS)
    seen = []
    for seed in (1, 2, 1):
        place = tmp_path / f"adapter{seed}"
        expected = answer_logps(adapter(model, place, tokenizer, seed))
        engine.load(tiny_model)
        engine.use(place)
        scores = [value for [value] in engine.score(PROMPTS, ANSWERS)]
        assert scores == pytest.approx(expected, abs=1e-4)
        seen.append(scores)
    assert seen[0] == seen[2] != seen[1]
    assert [[value] for value in seen[0]] != plain


def test_an_adapter_over_nf4_scores_as_it_was_trained(tiny_model, tokenizer, tmp_path):
    model = Model(name=str(tiny_model))
    expected = answer_logps(adapter(model, tmp_path, tokenizer, 1, "qlora"))
    infer = Infer(engine="auto", base="nf4")
    assert engine_of(infer) == "hf"
    engine = start_engine(model, infer, tiny_model, rank=4)
    engine.use(tmp_path)
    over_nf4 = [value for [value] in engine.score(PROMPTS, ANSWERS)]
    whole = start_engine(model, Infer(engine="hf", precision="fp32"), tiny_model, rank=4)
    whole.use(tmp_path)
    over_fp32 = [value for [value] in whole.score(PROMPTS, ANSWERS)]
    off = [abs(a - b) for a, b in zip(over_nf4, expected, strict=True)]
    unlike = [abs(a - b) for a, b in zip(over_fp32, expected, strict=True)]
    assert max(off) < min(unlike) / 2


class FakeEngine:
    def __init__(self, calls: list) -> None:
        self.calls = calls

    def load(self, directory: Path) -> None:
        self.calls.append(("load", directory))

    def use(self, adapter: Path) -> None:
        self.calls.append(("use", adapter))

    def close(self) -> None:
        self.calls.append("close")


def test_a_grid_of_adapters_starts_one_engine_and_merges_nothing(
    prepared_study, tokenizer, monkeypatch
):
    words = ["infer.adapters=serve", "train.tuning=lora", "train.lora.r=4",
             'train.lora.target_modules=["q_proj", "v_proj"]']  # fmt: skip
    study = load_study(prepared_study, words)
    for seed, point in enumerate(study.points()):
        adapter(point.config.model, point.directory / "model", tokenizer, seed)
    calls = []
    monkeypatch.setattr(serving, "start_engine", lambda *given: calls.append(given[-1])
                        or FakeEngine(calls))  # fmt: skip
    monkeypatch.setattr(serving, "whole_weights", lambda *given: pytest.fail("merged"))
    served = Served(study)
    for point in study.points():
        with served.engine(point):
            pass
    models = [point.directory / "model" for point in study.points()]
    base = Path(study.config.model.name)
    assert calls == [4, ("use", models[0]), ("load", base), ("use", models[1]),
                     ("load", base), ("use", models[2])]  # fmt: skip


def test_without_a_gpu_adapters_are_merged(tiny_model, tokenizer, tmp_path):
    model = Model(name=str(tiny_model))
    adapter(model, tmp_path, tokenizer, 1)
    assert not torch.cuda.is_available()
    assert not serves(Infer(), model, tmp_path, scored=False)
    assert not serves(Infer(adapters="serve"), model, tiny_model, scored=False)
    assert engine_of(Infer()) == "hf"


def test_results_from_before_the_keys_keep_their_identity(write_study):
    study = load_study(write_study())
    config = study.point(0).config
    assert not {"infer.adapters", "infer.base"} & identity(config, "infer").keys()
    changed = config.infer.model_copy(update={"adapters": "serve"})
    changed = config.model_copy(update={"infer": changed})
    assert identity(changed, "infer")["infer.adapters"] == "serve"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["infer.base=nf4", "infer.engine=vllm"], "infer.engine: found 'vllm', expected auto"),
        (["infer.base=nf4", "infer.engine=hf", "infer.adapters=merge", "train.tuning=qlora"],
         "infer.adapters: found 'merge', expected auto or serve"),
        (["infer.base=nf4", "infer.engine=hf", "train.tuning=full"], "infer.base: found 'nf4'"),
    ],
)  # fmt: skip
def test_what_an_nf4_base_cannot_do_is_refused(write_study, words, message):
    with pytest.raises(BadInput, match=message):
        load_study(write_study(), words)


@pytest.mark.slow
def test_vllm_serves_adapters_in_turn(tiny_model, tokenizer, tmp_path):
    base = tmp_path / "base"
    config = AutoConfig.from_pretrained(
        tiny_model, num_attention_heads=2, num_key_value_heads=2, head_dim=32
    )  # the least that its attention takes on a CPU
    AutoModelForCausalLM.from_config(config).save_pretrained(base)
    tokenizer.save_pretrained(base)
    model = Model(name=str(base), max_length=64)
    infer = Infer(engine="vllm", precision="fp32", max_new_tokens=8, adapters="serve")
    for i in (1, 2):
        adapter(model, tmp_path / f"{i}", tokenizer, i)
    engine = start_engine(model, infer, base, 64, True, 4)
    served = []
    for i in (1, 2, 1):
        engine.load(base)
        engine.use(tmp_path / f"{i}")
        served.append(engine.generate(SEQUENCES, infer))
    engine.close()
    engine, merged = start_engine(model, infer, base, 64, True), []
    for i in (1, 2):
        with whole_weights(model, tmp_path / f"{i}", "fp32") as whole:
            engine.load(whole)
            merged.append(engine.generate(SEQUENCES, infer))
    engine.close()
    assert served == [*merged, merged[0]]
    assert merged[0] != merged[1]


def test_vllm_merges_where_answers_are_scored(tiny_model, tokenizer, tmp_path):
    model = Model(name=str(tiny_model))
    adapter(model, tmp_path, tokenizer, 1)
    infer = Infer(adapters="serve", engine="vllm")
    assert serves(infer, model, tmp_path, scored=False)
    assert not serves(infer, model, tmp_path, scored=True)
    assert serves(infer.model_copy(update={"engine": "hf"}), model, tmp_path, scored=True)
