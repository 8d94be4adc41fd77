"""Classifiers: what variants share, what is trained, and what is refused."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from lib.config.errors import BadInput
from lib.config.schema import Config, Evaluate, Model, Train
from lib.models.classifiers import (
    classifier_for_training,
    head_modules,
    load_classifier,
    load_trained,
    schedule,
)
from lib.training.adapters import adapted_matrices
from tests.training.conftest import TARGETS

LABELS = ["no", "maybe", "yes"]


def train_of(tuning="lora", kind="bert", seed=42, **changes):
    lora = {"r": 2, "target_modules": TARGETS[kind], **changes.pop("lora", {})}
    return Train(
        objective="classification", tuning=tuning, lora=lora, seed=seed,
        gradient_checkpointing=False, **changes,
    )  # fmt: skip


def made(models, kind="bert", steps=100, **changes):
    model = Model(name=str(models[kind]))
    return classifier_for_training(model, train_of(kind=kind, **changes), LABELS, steps)


def head_of(model):
    """Trained weights of head and pooler, by their names without adapters."""
    return {
        name.removeprefix("base_model.model.").replace("modules_to_save.default.", ""): p
        for name, p in model.named_parameters()
        if p.requires_grad and ("classifier" in name or "pooler" in name)
    }


@pytest.mark.parametrize("kind", TARGETS)
def test_variants_start_from_the_same_head_and_dropout(tiny_encoders, kind):
    full = made(tiny_encoders, kind, tuning="full")
    head, drawn = head_of(full), torch.rand(5)
    assert len(head) == 4
    for changes in ({}, {"lora": {"r": 4}}, {"tuning": "adalora"}):
        model = made(tiny_encoders, kind, **changes)
        assert torch.equal(torch.rand(5), drawn)
        other = head_of(model)
        assert other.keys() == head.keys()
        assert all(torch.equal(head[name], other[name]) for name in head)
    again = head_of(made(tiny_encoders, kind, tuning="full", seed=43))
    assert not torch.equal(head["classifier.weight"], again["classifier.weight"])


def test_adapters_hang_on_the_seed_alone(tiny_encoders):
    def adapters(seed):
        model = made(tiny_encoders, seed=seed)
        torch.rand(7)
        return [m.factors[0] for m in adapted_matrices(model)]

    assert all(torch.equal(a, b) for a, b in zip(adapters(1), adapters(1), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(adapters(1), adapters(2), strict=True))


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("targets", [None, "all-linear"])
@pytest.mark.parametrize("tuning", ["lora", "adalora"])
def test_what_is_trained(tiny_encoders, kind, targets, tuning):
    """Six matrices a layer; the pooler's `dense` and the classifier are trained whole."""
    lora = {"target_modules": targets} if targets else {}
    model = made(tiny_encoders, kind, tuning=tuning, lora=lora)
    found = adapted_matrices(model)
    assert len(found) == 12
    assert {m.layer for m in found} == {0, 1}
    assert len({m.module for m in found}) == 6
    assert not any("pooler" in m.name for m in found)
    rest = {n for n, p in model.named_parameters() if p.requires_grad and "lora_" not in n}
    assert {name.rpartition(".default.")[2] for name in rest} == {
        "dense.weight", "dense.bias", "weight", "bias"}  # fmt: skip
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_head_modules(tiny_encoders):
    for kind in TARGETS:
        model = load_classifier(Model(name=str(tiny_encoders[kind])), LABELS)
        assert sorted(head_modules(model)) == ["classifier", "pooler"]


def test_untouched_adapters_change_no_logit(tiny_encoders):
    ids = torch.tensor([[2, 7, 9, 3]])
    plain = made(tiny_encoders, tuning="full").eval()(input_ids=ids).logits
    for tuning in ("lora", "adalora"):
        found = made(tiny_encoders, tuning=tuning).eval()(input_ids=ids).logits
        assert torch.equal(found, plain)


def test_modules_that_are_not_there(tiny_encoders):
    message = (
        r"'querry' matches no module of .*bert.* expected names among dense, key, query, "
        r"value; did you mean 'query'\?"
    )
    with pytest.raises(BadInput, match=message):
        made(tiny_encoders, lora={"target_modules": ["key", "querry"]})


def test_schedule_of_adalora():
    """Of 50 steps 5 before the first cut and 15 after the last."""
    assert schedule(train_of("adalora"), 50) == (5, 15)
    assert schedule(train_of("adalora"), 1) == (0, 0)
    long = train_of("adalora", adalora={"tinit": 0.6, "tfinal": 0.5})
    with pytest.raises(BadInput, match=r"tinit 0\.6 and tfinal 0\.5 of 50 steps, 30 \+ 25"):
        schedule(long, 50)


def test_a_checkpoint_of_something_else(tiny_encoders, tmp_path):
    """Weights that lack a layer of the encoder are not filled in at random."""
    for file in tiny_encoders["bert"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    state = load_file(tmp_path / "model.safetensors")
    kept = {k: v for k, v in state.items() if "layer.1." not in k}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BadInput, match=r"lacks 16 weights of a BertForSequenceClassification"):
        load_classifier(Model(name=str(tmp_path)), LABELS)


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_trained_weights_of_other_labels(tiny_encoders, tmp_path, tuning):
    made(tiny_encoders, tuning=tuning).save_pretrained(tmp_path / "model")
    config = Config(
        tasks=["glue"], model=Model(name=str(tiny_encoders["bert"])), data=None,
        train=train_of(tuning), evaluate=Evaluate(baseline={}),
    )  # fmt: skip
    assert load_trained(config, LABELS, tmp_path / "model").config.num_labels == 3
    with pytest.raises(BadInput) as refused:
        load_trained(config, ["no", "yes"], tmp_path / "model")
    assert "\n" not in str(refused.value)
    assert str(tmp_path / "model") in str(refused.value)


def test_a_saved_classifier_names_its_labels(tiny_encoders, tmp_path):
    made(tiny_encoders, tuning="full").save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["id2label"] == {"0": "no", "1": "maybe", "2": "yes"}
