"""What bench.memory computes, against published sizes and values worked by hand."""

import pytest

from bench.memory import (
    GIB,
    LOGIT,
    PROCESS,
    SHAPES,
    adapters,
    flops,
    layer_activations,
    need,
    stop_seconds,
    table,
    training_rows,
)
from lib.config.load import load_study
from lib.config.schema import Lora
from tests.conftest import SHIPPED

SMALL = SHAPES[".cache/SmolLM2-135M-Instruct"]


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", 7_615_616_512),
        ("Qwen/Qwen2.5-1.5B-Instruct", 1_543_714_304),
        ("meta-llama/Llama-2-7b-chat-hf", 6_738_415_616),
        ("google/gemma-3-1b-it", 999_885_952),
        ("google/gemma-3-4b-it", 3_880_263_168),  # its language model; with the vision tower 4.3e9
        (".cache/SmolLM2-135M-Instruct", 134_515_008),
        ("microsoft/deberta-v3-base", 183_831_552),
    ],
)
def test_parameters_are_those_published(name: str, published: int) -> None:
    assert SHAPES[name].parameters == published


def test_a_shape_is_what_transformers_makes_of_the_config() -> None:
    import torch
    from transformers import DebertaV2Config, DebertaV2Model, Gemma3ForCausalLM, Gemma3TextConfig

    sizes = {"relative_attention": True, "position_buckets": 256, "share_att_key": True,
             "pos_att_type": ["p2c", "c2p"], "norm_rel_ebd": "layer_norm",
             "position_biased_input": False, "hidden_size": 768, "intermediate_size": 3072,
             "num_hidden_layers": 12, "num_attention_heads": 12}  # fmt: skip
    four = {"hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34}
    with torch.device("meta"):
        encoder = DebertaV2Model(DebertaV2Config(**sizes))
        decoder = Gemma3ForCausalLM(Gemma3TextConfig(**four))
    assert encoder.num_parameters() == SHAPES["microsoft/deberta-v3-base"].parameters
    assert decoder.num_parameters() == SHAPES["google/gemma-3-4b-it"].parameters


def test_adapters_of_some_layers_and_modules() -> None:
    # q: 576 → 576, v: 576 → 192; 8 × (1,152 + 768) = 15,360 a layer.
    lora = Lora(r=8, target_modules=["q_proj", "v_proj"], layers=list(range(8, 30)))
    assert adapters(SMALL, lora, 8) == 22 * 15_360
    # k as v, o as q, and 576 ↔ 1,536 three times: 2 × 1,152 + 2 × 768 + 3 × 2,112 = 10,176.
    assert adapters(SMALL, Lora(r=8), 8) == 30 * 8 * 10_176


@pytest.fixture
def small(write_study):
    """A function: the config of a point on SmolLM2, with some keys set."""

    def config(**keys):
        changes = {"model.name": ".cache/SmolLM2-135M-Instruct", "model.max_length": 256,
                   "train.micro_batch": 2, "train.batch_size": 8, "train.precision": "bf16",
                   **{f"train.{key}": value for key, value in keys.items()}}  # fmt: skip
        return load_study(write_study(changes)).point(0).config

    return config


def test_full_tuning_by_hand(small) -> None:
    n, tokens = 134_515_008, 2 * 256
    found = need(SMALL, small(tuning="full", gradient_checkpointing=True))
    assert found["parameters"] == found["gradients"] == 4 * n
    assert found["optimizer"] == 8 * n
    assert found["activations"] == 30 * tokens * 576 * 4  # each layer's input, fp32
    assert found["logits"] == LOGIT * 2**24 < LOGIT * tokens * 49_152  # a piece at a time
    assert found["host"] == 4 * n + PROCESS
    assert found["checkpoint"] == 12 * n
    assert found["model"] == 2 * n
    # bf16 copies of the weights beside a layer that is computed again and a piece's logits.
    forward = 2 * n + layer_activations(SMALL, 2, 256, 4, 2) + 2 * 2**24
    assert found["peak"] == 16 * n + found["activations"] + forward


def test_adapters_over_frozen_weights_by_hand(small) -> None:
    n, a = 134_515_008, 30 * 8 * 10_176
    lora = need(SMALL, small(tuning="lora", lora={"r": 8}))
    assert lora["parameters"] == 2 * n + 4 * a
    assert (lora["gradients"], lora["optimizer"]) == (4 * a, 8 * a)
    # Read in bf16, and at the end in fp32, to see what was saved.
    assert (lora["host"], lora["checkpoint"], lora["model"]) == (4 * n + PROCESS, 12 * a, 4 * a)
    four_bit = need(SMALL, small(tuning="qlora", lora={"r": 8}))
    linear = 30 * (2 * 576 * 576 + 2 * 576 * 192 + 3 * 576 * 1_536)
    # 4 bits and 0.127 of constants a weight (arXiv 2305.14314, section 3); the rest in fp32.
    expected = linear * (4 + 0.127) / 8 + 4 * (n - linear) + 4 * a
    assert four_bit["parameters"] == pytest.approx(expected, rel=1e-4)


def test_ranks_that_shard_divide_the_state_and_one_reads_for_all(small) -> None:
    one = need(SMALL, small(tuning="full"))
    two = need(SMALL, small(tuning="full", processes=2, fsdp="configs/launchers/fsdp.yaml"))
    for name in ("parameters", "gradients", "optimizer"):
        assert two[name] == one[name] / 2
    apart = need(SMALL, small(tuning="full", processes=2))
    assert two["host"] == one["host"] + PROCESS
    assert apart["host"] == 2 * one["host"]
    assert two["checkpoint"] == one["checkpoint"]
    assert two["activations"] == one["activations"]


def test_flops_by_hand(small) -> None:
    linear = 30 * (2 * 576 * 576 + 2 * 576 * 192 + 3 * 576 * 1_536)
    attention = 2 * 30 * 576 * 256  # QKᵀ and PV, half of each masked
    config = small(tuning="full", epochs=2, gradient_checkpointing=False)
    assert flops(SMALL, config, 10, 1.0) == 3 * 2 * 10 * 256 * (2 * linear + attention)
    frozen = small(tuning="lora", epochs=2, gradient_checkpointing=True)
    assert flops(SMALL, frozen, 10, 1.0) == flops(SMALL, config, 10, 1.0)  # two and a repeat


@pytest.mark.parametrize("path", map(str, SHIPPED))
def test_every_shipped_study_has_a_row_and_fits_80_gb(path: str) -> None:
    rows = table(path, 0.5, 0.35)
    assert rows
    for point in load_study(path).points():
        if point.config.train.epochs:
            assert training_rows(point.config) > 0
            peak = need(SHAPES[point.config.model.name], point.config)["peak"]
            assert peak / GIB < 0.9 * 79.6


@pytest.mark.parametrize("path", map(str, SHIPPED))
def test_every_shipped_study_asks_for_the_host_memory_and_the_time_to_stop(path: str) -> None:
    study = load_study(path)
    slurm = study.config.slurm.train
    for point in study.points():
        config = point.config
        if config.train.epochs:
            sizes = need(SHAPES[config.model.name], config)
            if slurm.gpus:  # without CUDA a process takes less than PROCESS
                assert sizes["host"] / GIB < 0.9 * int(slurm.memory.removesuffix("G"))
            rows = training_rows(config)
            work = flops(SHAPES[config.model.name], config, rows, 1.0)
            stop = stop_seconds(sizes["checkpoint"], work, config, rows, 0.35)
            assert 1.5 * stop < slurm.warning
