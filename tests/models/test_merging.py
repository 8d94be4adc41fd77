"""Adapters merged into their base file by file."""

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from lib.config.schema import Lora, Model, Train
from lib.models import merging
from lib.models.adapters import sequence_logps
from lib.models.merging import merge, products
from lib.models.trainable import load_for_training
from lib.runs.files import read_json, write_json

SEQUENCES = [[5, 17, 200, 33, 60, 61], [90, 91, 92, 93]]


@pytest.fixture
def sharded(tiny_model, tokenizer, tmp_path):
    """(model in three files, directory of an adapter of all linear layers, the adapted model)."""
    base = tmp_path / "base"
    whole = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    whole.save_pretrained(base, max_shard_size="60KB")
    tokenizer.save_pretrained(base)
    assert len(list(base.glob("*.safetensors"))) > 2
    model = Model(name=str(base))
    train = Train(tuning="lora", precision="fp32", gradient_checkpointing=False,
                  lora=Lora(r=4, alpha=12, target_modules="all-linear"))  # fmt: skip
    torch.manual_seed(0)
    adapted = load_for_training(model, train).eval()
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            weight.data = 0.3 * torch.randn(weight.shape)
    adapted.save_pretrained(tmp_path / "adapter")
    tokenizer.save_pretrained(tmp_path / "adapter")
    return model, tmp_path / "adapter", adapted


def test_a_merge_file_by_file_is_the_adapted_model(sharded, tmp_path, monkeypatch):
    model, adapter, adapted = sharded
    monkeypatch.setattr(merging, "load_base", lambda *given: pytest.fail("loaded as a whole"))
    merge(model, adapter, torch.float32, tmp_path / "whole")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "whole", dtype=torch.float32).eval()
    torch.testing.assert_close(
        sequence_logps(merged, SEQUENCES), sequence_logps(adapted, SEQUENCES), atol=1e-4, rtol=0
    )
    index = read_json(tmp_path / "whole" / "model.safetensors.index.json")["weight_map"]
    assert set(index.values()) == {p.name for p in (tmp_path / "whole").glob("*.safetensors")}
    merge(model, adapter, torch.bfloat16, tmp_path / "half")
    for path in (tmp_path / "half").glob("*.safetensors"):
        exact = load_file(tmp_path / "whole" / path.name)
        for name, weight in load_file(path).items():
            assert torch.equal(weight, exact[name].bfloat16())


@pytest.mark.parametrize("change", [{"use_rslora": True}, {"alpha_pattern": {"q_proj": 3}}])
def test_other_kinds_of_adapters_are_merged_in_memory(sharded, tmp_path, change):
    """Their product is scaled otherwise, so that streaming would give another model."""
    model, adapter, _ = sharded
    path = adapter / "adapter_config.json"
    write_json(path, read_json(path) | change)
    assert products(model, adapter, merging.base_files(model)) is None
    merge(model, adapter, torch.float32, tmp_path / "whole")
    base = AutoModelForCausalLM.from_pretrained(model.name, dtype=torch.float32)
    from peft import PeftModel

    expected = PeftModel.from_pretrained(base, str(adapter)).eval()
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "whole", dtype=torch.float32).eval()
    torch.testing.assert_close(
        sequence_logps(merged, SEQUENCES), sequence_logps(expected, SEQUENCES), atol=1e-3, rtol=0
    )
