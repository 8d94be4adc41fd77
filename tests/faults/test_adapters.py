"""Models and adapters whose files are not what was trained: tied, torn, exchanged, not finite."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from lib.config.errors import BadInput
from lib.config.schema import Lora, Model, Train
from lib.inference.serving import ties_embeddings, whole_weights
from lib.models import adapters
from lib.models.adapters import check_adapter_config, load_adapter, sequence_logps
from lib.models.load import load_base
from lib.models.merging import merge
from lib.models.trainable import described, load_for_training
from lib.runs.files import read_json, write_json

SEQUENCES = [[5, 17, 200, 33, 60, 61], [90, 91, 92, 93]]
FILE = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def tied_model(tiny_model, tmp_path_factory) -> Path:
    """The tiny model with a head that is its embeddings."""
    directory = tmp_path_factory.mktemp("models") / "tied"
    shutil.copytree(tiny_model, directory)
    config = read_json(directory / "config.json") | {"tie_word_embeddings": True}
    write_json(directory / "config.json", config)
    weights = load_file(directory / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, directory / "model.safetensors", {"format": "pt"})
    return directory


def trained(model: Path, directory: Path, targets, tokenizer, **more):
    """An adapter that moves the model, saved to `directory`; (model in memory, its settings)."""
    torch.manual_seed(0)
    train = Train(tuning="lora", precision="fp32", gradient_checkpointing=False,
                  lora=Lora(r=4, target_modules=targets))  # fmt: skip
    adapted = load_for_training(Model(name=str(model)), train).eval()
    for name, weight in adapted.named_parameters():
        if "lora_B" in name or "lora_embedding_" in name:
            weight.data = 0.3 * torch.randn(weight.shape)
    adapted.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return adapted, train


TARGETS = [["lm_head"], ["embed_tokens"], ["embed_tokens", "lm_head"], ["lm_head", "q_proj"]]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("targets", TARGETS, ids=",".join)
def test_tied_embeddings_are_served_as_they_were_trained(tied_model, tokenizer, tmp_path, targets):
    """Each with what it was trained with: not the head with the embeddings' adapter as well."""
    adapted, train = trained(tied_model, tmp_path / "adapter", targets, tokenizer)
    expected = sequence_logps(adapted, SEQUENCES)
    model = Model(name=str(tied_model))
    with whole_weights(model, tmp_path / "adapter", "fp32") as whole:
        served = AutoModelForCausalLM.from_pretrained(whole, dtype=torch.float32).eval()
        assert ties_embeddings(whole) is False
    torch.testing.assert_close(sequence_logps(served, SEQUENCES), expected)
    assert described(adapted, train)["adapter"]["targets"] == {
        name: 2 if name == "q_proj" else 1 for name in targets
    }


def test_what_is_tied_and_not_adapted_stays_tied(tied_model, tokenizer, tmp_path):
    trained(tied_model, tmp_path / "adapter", ["q_proj"], tokenizer)
    merge(Model(name=str(tied_model)), tmp_path / "adapter", torch.float32, tmp_path / "whole")
    assert ties_embeddings(tmp_path / "whole") is True
    assert "lm_head.weight" not in load_file(tmp_path / "whole" / "model.safetensors")


@pytest.mark.filterwarnings("ignore")
def test_a_merge_that_gives_another_model_is_refused(tied_model, tokenizer, tmp_path, monkeypatch):
    trained(tied_model, tmp_path / "adapter", ["lm_head"], tokenizer)
    monkeypatch.setattr(adapters, "untie", lambda adapted: None)
    with pytest.raises(BadInput, match="merged into its base it is another model than was trained"):
        merge(Model(name=str(tied_model)), tmp_path / "adapter", torch.float32, tmp_path / "whole")
    assert not (tmp_path / "whole").exists()


@pytest.fixture
def adapter(tiny_model, tokenizer, tmp_path):
    """(directory, model, train) of an adapter on all linear layers."""
    _, train = trained(tiny_model, tmp_path / "adapter", "all-linear", tokenizer)
    return tmp_path / "adapter", Model(name=str(tiny_model)), train


def rewritten(directory: Path, change) -> None:
    weights = load_file(directory / FILE)
    change(weights)
    save_file(weights, directory / FILE, {"format": "pt"})


def first(weights):
    return sorted(weights)[0]


FAULTS = {
    "lacks 1 of the tensors": lambda w: w.pop(first(w)),
    "has unexpected 1 of the tensors": lambda w: w.update(extra=torch.zeros(2)),
    "found NaN or infinity, expected finite": lambda w: w[first(w)].fill_(float("inf")),
    "no adapter that fits": lambda w: w.update({first(w): torch.zeros(3, 3)}),
}


@pytest.mark.parametrize("said", FAULTS)
def test_tensors_that_are_not_those_of_the_config(adapter, said):
    directory, model, _ = adapter
    rewritten(directory, FAULTS[said])
    with pytest.raises(BadInput, match=said) as refused:
        load_adapter(load_base(model, torch.float32), directory, model)
    assert "\n" not in str(refused.value)
    assert str(directory) in str(refused.value)


@pytest.mark.parametrize(
    "key, value",
    [("r", 2), ("alpha_pattern", {"q_proj": 1}), ("peft_type", "LOHA")],
)  # fmt: skip
def test_a_config_that_is_not_the_points_own(adapter, key, value):
    directory, model, train = adapter
    check_adapter_config(directory, model, train)
    path = directory / "adapter_config.json"
    write_json(path, read_json(path) | {key: value})
    with pytest.raises(BadInput, match=rf"adapter_config\.json: {key}: found "):
        check_adapter_config(directory, model, train)


def test_an_adapter_of_another_base(adapter):
    directory, model, train = adapter
    path = directory / "adapter_config.json"
    write_json(path, read_json(path) | {"base_model_name_or_path": "some/other"})
    for check in (check_adapter_config, lambda *given: load_adapter(None, *given[:2])):
        with pytest.raises(BadInput, match="adapter of another base model: found 'some/other'"):
            check(directory, model, train)


@pytest.mark.parametrize("said, change", [
    ("lacks 1 weights of a LlamaForCausalLM: model.norm.weight",
     lambda w: w.pop("model.norm.weight")),
    ("has unexpected 1 weights of a LlamaForCausalLM: model.layers.2.extra",
     lambda w: w.update({"model.layers.2.extra": torch.zeros(2)})),
    ("cannot be loaded", lambda w: w.update({"model.norm.weight": torch.zeros(3)})),
])  # fmt: skip
def test_whole_weights_that_are_not_those_of_the_config(tiny_model, tmp_path, said, change):
    """transformers draws what is missing at random, and leaves out what it does not know."""
    shutil.copytree(tiny_model, tmp_path / "model")
    weights = load_file(tmp_path / "model" / "model.safetensors")
    change(weights)
    save_file(weights, tmp_path / "model" / "model.safetensors", {"format": "pt"})
    with pytest.raises(BadInput, match=said) as refused:
        load_base(Model(name=str(tmp_path / "model")), torch.float32)
    assert "\n" not in str(refused.value)


def test_a_config_with_fewer_layers_than_its_weights(tiny_model, tmp_path):
    shutil.copytree(tiny_model, tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_hidden_layers": 1}))
    with pytest.raises(BadInput, match="has unexpected 9 weights"):
        load_base(Model(name=str(tmp_path / "model")), torch.float32)


class TestAfterTraining:
    """The saved model is loaded as it will be served, and has to score rows as it was trained."""

    @pytest.fixture
    def train(self, prepared_study, tmp_path):
        from lib.config.load import load_study
        from lib.training.inputs import train_data
        from lib.training.loop import train_point

        def run(*words):
            study = load_study(prepared_study, ["train.max_steps=1", "train.warmup=0", *words])
            point = study.point(1)
            return train_point(point, train_data(study, point), tmp_path / "run", bool)

        return run

    @pytest.mark.parametrize("tuning", ["full", "lora"])
    def test_another_model_fails_the_point(self, train, monkeypatch, tmp_path, tuning):
        from lib.training import loop

        def saved(trainer, target):
            for name, weight in trainer.model.named_parameters():
                if "layers.1.mlp" in name and weight.requires_grad:
                    weight.data = weight.data + 0.5
            save(trainer, target)

        save = loop.save_model
        monkeypatch.setattr(loop, "save_model", saved)
        with pytest.raises(BadInput, match=r"run/model: loaded again it is another model than was"):
            train(f"train.tuning={tuning}")

    @pytest.mark.parametrize("tuning", ["full", "lora"])
    @pytest.mark.parametrize("precision", ["fp32", "bf16"])
    def test_the_same_model_passes(self, train, tuning, precision):
        words = [f"train.tuning={tuning}", f"train.precision={precision}"]
        assert train(*words, "train.learning_rate=0.1").status == "done"
