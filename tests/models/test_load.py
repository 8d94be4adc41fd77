"""Models: full, with adapters, on 4-bit weights; loaded, trained for a step, saved, refused."""

import json
import math
import sys
from pathlib import Path

import bitsandbytes
import pytest
import torch
from safetensors.torch import load_file, save
from transformers import AutoModelForCausalLM

from lib.config.errors import BadInput
from lib.config.load import load_study
from lib.config.schema import Lora, Model, Train
from lib.models.load import context_length, load_base, load_tokenizer
from lib.models.merging import merge
from lib.models.trainable import described, load_for_training, nf4_fault
from lib.runs.files import read_json, read_jsonl
from lib.training.inputs import train_data
from lib.training.loop import train_point


def loaded(tiny_model: Path, **train):
    return load_for_training(Model(name=str(tiny_model)), Train(**train))


def trainable(model) -> dict[str, torch.Tensor]:
    return {name: w for name, w in model.named_parameters() if w.requires_grad}


@pytest.mark.parametrize(("kind", "known"), [("default", 512), ("yarn", 512), ("linear", None)])
def test_the_context_is_that_of_the_config(tiny_model, tmp_path, kind, known):
    config = read_json(tiny_model / "config.json")
    config["rope_parameters"] = {"rope_type": kind, "factor": 2.0, "rope_theta": 10000.0}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").symlink_to(tiny_model / "model.safetensors")
    assert context_length(Model(name=str(tmp_path))) == known


class TestLoading:
    """What a point starts from."""

    @pytest.mark.parametrize("precision", ["bf16", "fp32"])
    def test_full_tuning_trains_every_weight_in_fp32(self, tiny_model, precision):
        model = loaded(tiny_model, tuning="full", precision=precision)
        assert len(trainable(model)) == len(list(model.parameters()))
        assert {w.dtype for w in model.parameters()} == {torch.float32}

    @pytest.mark.parametrize("precision", ["bf16", "fp32"])
    def test_lora_trains_fp32_adapters_alone(self, tiny_model, precision):
        model = loaded(tiny_model, tuning="lora", precision=precision, lora=Lora(r=4))
        adapters = trainable(model)
        frozen = {n: w for n, w in model.named_parameters() if n not in adapters}
        assert adapters
        assert all("lora_" in name for name in adapters)
        assert {w.dtype for w in adapters.values()} == {torch.float32}
        assert {w.dtype for w in frozen.values()} == {
            {"bf16": torch.bfloat16, "fp32": torch.float32}[precision]
        }
        assert {4} == {w.shape[0] for name, w in adapters.items() if "lora_A" in name}

    def test_lora_keeps_to_its_modules_and_layers(self, tiny_model):
        lora = Lora(r=2, target_modules=["q_proj", "v_proj"], layers=[1])
        names = trainable(loaded(tiny_model, tuning="lora", lora=lora))
        assert {name.split(".lora_")[0].partition("layers.")[2] for name in names} == {
            "1.self_attn.q_proj",
            "1.self_attn.v_proj",
        }

    def test_lora_on_modules_that_there_are_not(self, tiny_model):
        with pytest.raises(BadInput, match=r"train\.lora\.target_modules: .nowhere_proj. matches"):
            loaded(tiny_model, tuning="lora", lora=Lora(target_modules=["nowhere_proj"]))

    def test_qlora_is_nf4_with_double_quantisation(self, tiny_model):
        model = loaded(tiny_model, tuning="qlora", lora=Lora(r=4))
        linear = [m for m in model.modules() if isinstance(m, bitsandbytes.nn.Linear4bit)]
        assert len(linear) == 2 * 7  # every projection of both layers, adapters left out
        for module in linear:
            assert module.weight.quant_type == "nf4"
            assert module.compute_dtype == torch.bfloat16
            assert module.weight.quant_state.quant_type == "nf4"
            assert module.weight.quant_state.nested
            assert not module.weight.requires_grad
        base = load_base(Model(name=str(tiny_model)), torch.float32)
        # Not one with 32 inputs: where a row is no multiple of its blocks (64), bitsandbytes 0.50.2
        # on a CPU gives back other values than it packed. Rows of real models are such multiples.
        name = "model.layers.0.mlp.down_proj"
        four_bit = next(m for n, m in model.named_modules() if n.endswith(f"{name}.base_layer"))
        whole = base.get_submodule(name).weight
        weight = four_bit.weight
        assert weight.numel() * weight.element_size() == whole.numel() // 2
        back = bitsandbytes.functional.dequantize_4bit(weight.data, weight.quant_state).float()
        apart = (back - whole).abs().max() / whole.abs().max()
        assert 0 < apart < 0.16  # half of NF4's widest gap is 0.15 of a block's largest weight
        assert all("lora_" in name for name in trainable(model))


class TestWithoutKernels:
    """NF4 is used where it works, which is found out by using it."""

    @pytest.fixture(autouse=True)
    def fresh(self):
        nf4_fault.cache_clear()
        yield
        nf4_fault.cache_clear()

    def test_here_it_works(self):
        assert nf4_fault() is None

    def test_an_error_of_any_kind_is_the_reason(self, monkeypatch):
        def fail(*given, **more):
            raise AttributeError("no kernel image\nsecond line")

        monkeypatch.setattr(bitsandbytes.functional, "quantize_4bit", fail)
        assert nf4_fault() == "bitsandbytes on cpu: no kernel image"

    def test_bitsandbytes_may_be_missing(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "bitsandbytes", None)
        assert nf4_fault().startswith("bitsandbytes on cpu: import of bitsandbytes halted")

    def test_a_kernel_that_computes_something_else_is_found_out(self, monkeypatch):
        multiply = bitsandbytes.matmul_4bit
        monkeypatch.setattr(bitsandbytes, "matmul_4bit", lambda *a, **k: 0 * multiply(*a, **k))
        assert nf4_fault() == "bitsandbytes on cpu: products are off by 100 %"

    def test_qlora_is_lora_then(self, tiny_model, monkeypatch):
        monkeypatch.setattr("lib.models.trainable.nf4_fault", lambda: "no kernel")
        settings = {"lora": Lora(r=4), "precision": "fp32", "gradient_checkpointing": False}
        model = loaded(tiny_model, tuning="qlora", **settings)
        assert {w.dtype for w in model.parameters()} == {torch.float32}
        assert not [m for m in model.modules() if isinstance(m, bitsandbytes.nn.Linear4bit)]
        assert described(model, Train(tuning="qlora")) == {
            "quantised": False,
            "quantised_reason": "no kernel",
            "adapter": {
                "dtype": "float32",
                "targets": dict.fromkeys(
                    ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"), 2
                ),
            },
        }

    def test_what_happened_is_said_and_recorded(self, prepared_study, run_stage, monkeypatch):
        lora = "train.lora={r: 4, target_modules: [q_proj, v_proj]}"
        words = ["train.max_steps=1", "train.tuning=qlora", lora, "--index", "1"]
        record = load_study(prepared_study).point(1).directory / "config.json"
        ended = run_stage("stage2_train", prepared_study, *words)
        assert ended.code == 0, ended.err
        said = "accept_gamma2: adapters of r 4 in float32 over NF4 weights: q_proj × 2, v_proj × 2"
        assert said in ended.out.splitlines()
        found = read_json(record)
        targets = {"q_proj": 2, "v_proj": 2}
        assert (found["quantised"], found["quantised_reason"]) == (True, None)
        assert found["adapter"] == {"dtype": "float32", "targets": targets}
        monkeypatch.setattr("lib.models.trainable.nf4_fault", lambda: "no kernel")
        ended = run_stage("stage2_train", prepared_study, *words, "--force")
        assert ended.code == 0, ended.err
        [line] = [line for line in ended.out.splitlines() if "adapters" in line]
        assert (
            "over unquantised fp32 weights, because an NF4 kernel is unavailable (no kernel)"
            in line
        )
        found = read_json(record)
        assert (found["quantised"], found["quantised_reason"]) == (False, "no kernel")


def test_full_tuning_has_no_adapters_to_describe(tiny_model):
    assert described(loaded(tiny_model, tuning="full"), Train()) == {
        "quantised": None,
        "quantised_reason": None,
        "adapter": None,
    }


@pytest.fixture
def trained(prepared_study, tmp_path):
    """Return a function that trains point 1 for a step and returns (directory, loss)."""

    def train(tuning: str, *words: str) -> tuple[Path, float]:
        common = ["train.max_steps=1", "train.warmup=0", f"train.tuning={tuning}"]
        study = load_study(prepared_study, [*common, *words])
        data = train_data(study, study.point(1))
        directory = tmp_path / "runs" / "-".join([tuning, *words])
        directory.mkdir(parents=True)
        outcome = train_point(study.point(1), data, directory, lambda: False)
        assert (outcome.status, outcome.step) == ("done", 1)
        [row] = read_jsonl(directory / "train.jsonl")
        return directory / "model", row["loss"]

    return train


def test_one_step_of_each_tuning(trained, tiny_model):
    """Fresh adapters change nothing, so the first loss is that of full tuning; 4 bits move it."""
    _, full = trained("full")
    assert math.isfinite(full)
    saved, lora = trained("lora")
    assert lora == pytest.approx(full, rel=1e-5)
    saved_qlora, qlora = trained("qlora")
    assert qlora == pytest.approx(full, rel=0.05)
    assert qlora != pytest.approx(full, rel=1e-6)
    for directory in (saved, saved_qlora):
        assert not list(directory.glob("*.bin"))
        assert [path.name for path in directory.glob("*.safetensors")] == [
            "adapter_model.safetensors"
        ]
        adapter = load_file(directory / "adapter_model.safetensors")
        assert all("lora_" in name for name in adapter)
        assert any(w.abs().max() > 0 for name, w in adapter.items() if "lora_B" in name)
        assert all(w.isfinite().all() for w in adapter.values())
        written = json.loads((directory / "adapter_config.json").read_text())
        assert written["base_model_name_or_path"] == str(tiny_model)


def test_adapters_of_4_bit_weights_are_merged_into_whole_ones(trained, tiny_model, tmp_path):
    saved, _ = trained("qlora", "train.learning_rate=0.5")
    model = Model(name=str(tiny_model))
    merge(model, saved, torch.float32, tmp_path / "merged")
    merged = load_file(tmp_path / "merged" / "model.safetensors")
    base = load_file(tiny_model / "model.safetensors")
    assert merged.keys() == base.keys()
    adapter = load_file(saved / "adapter_model.safetensors")
    name = "model.layers.1.self_attn.q_proj"
    a, b = (adapter[f"base_model.model.{name}.lora_{side}.weight"].float() for side in "AB")
    wanted = base[f"{name}.weight"] + 16 / 8 * b @ a
    torch.testing.assert_close(merged[f"{name}.weight"], wanted)
    assert (wanted - base[f"{name}.weight"]).abs().max() > 0.01


def test_an_adapter_that_does_not_fit_is_one_line(trained, tiny_model, tmp_path):
    saved, _ = trained("lora")
    weights = load_file(saved / "adapter_model.safetensors")
    whole = (saved / "adapter_model.safetensors").read_bytes()
    wide = {name: torch.cat([w, w]) for name, w in weights.items()}
    for content in (save(wide), whole[: len(whole) // 2]):
        (saved / "adapter_model.safetensors").write_bytes(content)
        with pytest.raises(BadInput, match=f"{saved}: no adapter that fits {tiny_model}") as error:
            merge(Model(name=str(tiny_model)), saved, torch.float32, tmp_path / "merged")
        assert "\n" not in str(error.value)
        assert not (tmp_path / "merged").exists()


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_a_full_model_is_saved_in_the_studys_precision(trained, tokenizer, precision):
    saved, _ = trained("full", f"train.precision={precision}")
    dtype = {"bf16": torch.bfloat16, "fp32": torch.float32}[precision]
    assert {w.dtype for w in load_file(saved / "model.safetensors").values()} == {dtype}
    model = AutoModelForCausalLM.from_pretrained(saved, use_safetensors=True)
    assert model.config.use_cache
    assert read_json(saved / "config.json")["dtype"] == str(dtype).removeprefix("torch.")
    found = load_tokenizer(Model(name="nobody/nothing"), str(saved))
    assert found.chat_template == tokenizer.chat_template
    assert found(r"\boxed{Accept}") == tokenizer(r"\boxed{Accept}")


class TestRefusals:
    """A directory that is no model is refused in one line that says what it lacks."""

    def refused(self, name: object) -> str:
        with pytest.raises(BadInput) as error:
            load_base(Model(name=str(name)), torch.float32)
        assert len(str(error.value).splitlines()) == 1
        return str(error.value)

    def test_no_such_directory(self, tiny_model):
        said = self.refused(tiny_model.with_name("tinny"))
        assert f"model.name: no such model directory {tiny_model.with_name('tinny')}" in said
        assert f"did you mean '{tiny_model}'?" in said

    @pytest.mark.parametrize(
        "missing, said",
        [
            ("config.json", "has no configuration (config.json), it holds "),
            ("model.safetensors", "has no weights (*.safetensors), it holds "),
        ],
    )
    def test_a_part_is_missing(self, tiny_model, tmp_path, missing, said):
        for path in tiny_model.iterdir():
            if path.name != missing:
                (tmp_path / path.name).symlink_to(path)
        assert f"model.name: model directory {tmp_path} {said}" in self.refused(tmp_path)
        assert "tokenizer.json" in self.refused(tmp_path)

    def test_nothing_there(self, tmp_path):
        assert self.refused(tmp_path).endswith("(config.json), it holds nothing")

    def test_pickled_weights_that_stage_1_has_not_converted(self, tiny_model, tmp_path):
        (tmp_path / "config.json").symlink_to(tiny_model / "config.json")
        (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04")
        assert self.refused(tmp_path).endswith("as safetensors; run stage 1 again")

    def test_torn_weights(self, tiny_model, tmp_path):
        (tmp_path / "config.json").symlink_to(tiny_model / "config.json")
        (tmp_path / "model.safetensors").write_bytes(b"torn")
        said = self.refused(tmp_path)
        assert said.startswith(f"model.name: {tmp_path} cannot be loaded: ")

    def test_a_hub_id_out_of_reach(self):
        said = self.refused("nobody/nothing-of-the-kind")
        assert "is neither a local directory nor available from the hub" in said

    def test_a_tokenizer_that_is_not_there(self, tiny_model, tmp_path):
        for name in ("config.json", "model.safetensors"):
            (tmp_path / name).symlink_to(tiny_model / name)
        with pytest.raises(BadInput, match=r"model\.name: "):
            load_tokenizer(Model(name=str(tmp_path)))
