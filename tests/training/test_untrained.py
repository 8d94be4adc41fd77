"""Points without training: through stage 2, by their outputs and by what is left on the disk."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from lib.config.load import load_study
from lib.config.schema import Lora, Model, Train
from lib.config.steps import step_count
from lib.inference.serving import whole_weights
from lib.models.checkpoints import ADAPTER
from lib.models.trainable import load_for_training
from lib.runs.directory import done_mark
from lib.runs.files import read_json

IDS = torch.tensor([[5, 17, 200, 33, 60, 61]])
POINT = "baseline_gamma1"


def logits(model, directory: Path) -> torch.Tensor:
    with whole_weights(model, directory, "fp32") as whole, torch.no_grad():
        return AutoModelForCausalLM.from_pretrained(whole, dtype=torch.float32).eval()(IDS).logits


@pytest.mark.parametrize("rows", [0, 1, 100])
def test_no_epochs_are_no_steps_whatever_the_rows(rows: int) -> None:
    assert step_count(Train(epochs=0, max_steps=5), rows) == 0


@pytest.mark.parametrize("tuning", ["full", "qlora"])
def test_epochs_0_leave_the_base(prepared_study, run_stage, tiny_model, tuning, tmp_path) -> None:
    words = ["train.epochs=0", f"train.tuning={tuning}", "train.processes=2",
             "train.micro_batch=2"]  # fmt: skip
    ended = run_stage("stage2_train", prepared_study, *words, "--index", "0")
    assert ended.code == 0, ended.err
    assert f"{POINT}: done after 0 steps" in ended.out
    point = load_study(prepared_study, words).point(0)
    mark = done_mark(point.directory, "train")
    assert (mark["status"], mark["step"]) == ("done", 0)
    assert not (point.directory / "checkpoints").exists()
    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()
    with torch.no_grad():
        wanted = base(IDS).logits
    found = logits(point.config.model, point.directory / "model")
    assert torch.equal(found, wanted)
    assert (point.directory / "model" / ADAPTER[1]).exists() == (tuning != "full")


def test_a_trial_keeps_0_epochs(write_study) -> None:
    study = load_study(write_study(), ["mode=trial", "train.epochs=0"])
    assert (study.config.train.epochs, study.config.train.max_steps) == (0, 2)


@pytest.fixture
def adapter(tiny_model: Path, tmp_path: Path) -> Path:
    """An adapter that moves the tiny model, without a tokenizer, among other files."""
    torch.manual_seed(0)
    train = Train(tuning="lora", lora=Lora(r=2), precision="fp32", gradient_checkpointing=False)
    model = load_for_training(Model(name=str(tiny_model)), train)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight += 0.3
    model.save_pretrained(tmp_path / "adapter")
    (tmp_path / "adapter" / "training_args.bin").write_bytes(b"pickled")
    return tmp_path / "adapter"


def test_an_adapter_is_copied_with_a_tokenizer(prepared_study, run_stage, tiny_model, adapter):
    words = [f"model.adapter={adapter}"]
    ended = run_stage("stage2_train", prepared_study, *words, "--index", "0")
    assert ended.code == 0, ended.err
    point = load_study(prepared_study, words).point(0)
    model = point.directory / "model"
    for name in ADAPTER:
        assert (model / name).read_bytes() == (adapter / name).read_bytes()
    assert (model / "tokenizer_config.json").exists()
    assert not (model / "training_args.bin").exists()
    config = read_json(point.directory / "config.json")
    assert config["identity"]["model.adapter"] == str(adapter)
    assert len(config["identity"]["model.adapter sha256"]) == 12
    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()
    with torch.no_grad():
        apart = (base(IDS).logits - logits(point.config.model, model)).abs().max()
    assert apart > 0.01

    # It goes on without the original, and stage 3 answers with it.
    adapter.rename(adapter.with_name("moved"))
    ended = run_stage("stage3_infer", prepared_study, *words, "--index", "0")
    assert ended.code == 0, ended.err
    assert "8 rows predicted" in ended.out


def test_another_content_of_the_adapter_is_refused(prepared_study, run_stage, adapter) -> None:
    command = ("stage2_train", prepared_study, f"model.adapter={adapter}", "--index", "0")
    assert run_stage(*command).code == 0
    weights = adapter / ADAPTER[1]
    weights.write_bytes(weights.read_bytes() + b" ")
    ended = run_stage(*command)
    assert ended.code == 2
    assert "train has results of another config: model.adapter sha256 was" in ended.err


def test_an_adapters_own_tokenizer_comes_with_it(prepared_study, run_stage, tokenizer, adapter):
    from transformers import AutoTokenizer

    tokenizer.save_pretrained(adapter)
    own = AutoTokenizer.from_pretrained(adapter)
    own.chat_template = "{{ 'own' }}"
    own.save_pretrained(adapter)
    words = [f"model.adapter={adapter}"]
    assert run_stage("stage2_train", prepared_study, *words, "--index", "0").code == 0
    model = load_study(prepared_study, words).point(0).directory / "model"
    assert AutoTokenizer.from_pretrained(model).chat_template == "{{ 'own' }}"
    assert load_file(model / ADAPTER[1]).keys() == load_file(adapter / ADAPTER[1]).keys()
