"""Calibration: values against autograd, what it leaves as it was; weights; use of ranks."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from lib.config.errors import BadInput
from lib.config.schema import Importance, Model, Train
from lib.losses import class_nll
from lib.models.classifiers import classifier_for_training
from lib.training.adapters import adapted_matrices, rank_use
from lib.training.batches import collate_classes
from lib.training.importance import (
    calibrate,
    calibration_rows,
    gradient_norms,
    importance_record,
    spread,
    weights_of,
)
from lib.training.penalties import adapters_penalty
from tests.training.conftest import TARGETS


def made(models, kind="bert", **changes):
    train = Train(
        objective="classification", tuning="lora", gradient_checkpointing=False,
        lora={"r": 2, "dropout": 0.1, "target_modules": TARGETS[kind]},
        **{"precision": "fp32", **changes},
    )  # fmt: skip
    return classifier_for_training(Model(name=str(models[kind])), train, "ab", 10), train


@pytest.fixture
def batches(class_rows):
    rows = class_rows(24)
    return [collate_classes(rows[i : i + 8], pad=0) for i in (0, 8, 16)]


def by_autograd(model, matrices, batches):
    """Mean of ‖∂L/∂W‖_F with the base weights trained, adapters at 0, dropout off."""
    model.eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for matrix in matrices:
        matrix.base.weight.requires_grad_(True)
    total = torch.zeros(len(matrices), dtype=torch.float64)
    for batch in batches:
        inputs = {key: value for key, value in batch.items() if key != "labels"}
        class_nll(model(**inputs).logits, batch["labels"]).mean().backward()
        total += torch.tensor([matrix.base.weight.grad.norm().item() for matrix in matrices])
        model.zero_grad()
    return total / len(batches)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("kind", TARGETS)
def test_norms_of_whole_gradients(tiny_encoders, batches, kind, checkpointing):
    """DeBERTa calls its query and key projections twice, once on what takes no gradient."""
    model, train = made(tiny_encoders, kind)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    matrices = adapted_matrices(model)
    found = calibrate(model, matrices, batches, train) / len(batches)
    expected = by_autograd(model, matrices, batches)
    assert len(matrices) == 12
    assert (expected > 0).all()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)
    assert len({round(x, 12) for x in found.tolist()}) == 12


def test_mean_of_norms_by_hand():
    """L = mean of y, y = xWᵀ, two rows, one output: ∂L/∂W is the mean row. Rows (3, 0) and (3, 8)
    give ‖(3, 4)‖ = 5, rows (0, 2) twice give 2: their mean is 3.5, and not the root of a mean."""

    class Matrix:
        name, base = "w", nn.Linear(2, 1, bias=False).requires_grad_(False)

    found = []
    with gradient_norms([Matrix]) as norms:
        for rows in ([[3.0, 0.0], [3.0, 8.0]], [[0.0, 2.0], [0.0, 2.0]]):
            Matrix.base(torch.tensor(rows)).mean().backward()
            assert Matrix.base.weight.grad is None
            found.append(norms["w"].item())
    assert found == [5.0, 2.0]
    assert not Matrix.base(torch.ones(1, 2)).requires_grad  # as it was before the block


def test_no_gradient_and_no_product_stays(tiny_encoders, batches):
    model, train = made(tiny_encoders)
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    before = {n: p.clone() for n, p in model.named_parameters()}
    matrices = adapted_matrices(model)
    calibrate(model, matrices, batches, train)
    assert all(p.grad is None for p in model.parameters())
    assert {n for n, p in model.named_parameters() if p.requires_grad} == trained
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())


def test_one_gradient_at_a_time(tiny_encoders, batches, monkeypatch):
    """When the norm of one is computed, no other matrix's is held."""
    model, train = made(tiny_encoders)
    matrices, held = adapted_matrices(model), []
    norm = torch.linalg.matrix_norm

    def watched(gradient):
        held.append(sum(m.base.weight.grad is not None for m in matrices))
        return norm(gradient)

    monkeypatch.setattr(torch.linalg, "matrix_norm", watched)
    calibrate(model, matrices, batches, train)
    assert held == [1] * 12 * 3


@pytest.mark.parametrize("frozen", [True, False])
def test_random_state_and_mode_stay(tiny_encoders, batches, frozen):
    changes = {"freeze_lora_during_warmup": frozen, "warmup_learning_rate": 1e-3}
    model, train = made(tiny_encoders, importance=changes)

    def drawn():
        return random.random(), np.random.random(), torch.rand(2).tolist()

    def seeded():
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)

    seeded()
    expected = drawn()
    seeded()
    model.train()
    calibrate(model, adapted_matrices(model), batches, train)
    assert drawn() == expected
    assert model.training
    assert all(m.training for m in model.modules())


def test_small_steps_while_measuring(tiny_encoders, batches):
    """Not frozen: B moves in the first step by the learning rate (AdamW), the head in none."""
    settings = {"freeze_lora_during_warmup": False, "warmup_learning_rate": 1e-3}
    model, train = made(tiny_encoders, importance=settings)
    matrices = adapted_matrices(model)
    head = {n: p.clone() for n, p in model.named_parameters() if "modules_to_save" in n}
    calibrate(model, matrices, batches[:1], train)
    for matrix in matrices:
        moved = matrix.factors[1].abs()
        assert moved.max().item() == pytest.approx(1e-3, rel=0.02)
    assert all(torch.equal(p, head[n]) for n, p in model.named_parameters() if n in head)


def test_rows_of_the_calibration():
    train = Train(batch_size=8, importance={"batches": 3})
    found = calibration_rows(train, 30)
    assert found.shape == (3, 8)
    assert len(set(found.ravel().tolist())) == 24
    assert np.array_equal(found, calibration_rows(train, 30))
    smaller = Train(batch_size=8, importance={"batches": 3, "batch_size": 2})
    assert calibration_rows(smaller, 6).shape == (3, 2)
    with pytest.raises(BadInput, match="found 3 of 8 rows, but the training split has 23 rows"):
        calibration_rows(train, 23)


def test_weights():
    """s = 1, 1, 2: shares ¼, ¼, ½; of the largest ½, ½, 1."""
    assert weights_of([1, 1, 2], "sum") == [0.25, 0.25, 0.5]
    assert weights_of([1, 1, 2], "max") == [0.5, 0.5, 1.0]
    for norms in ([0.0, 0.0], [float("nan"), 1.0], [float("inf"), 1.0]):
        with pytest.raises(BadInput, match="gradient norms of the calibration"):
            weights_of(norms, "sum")


def test_spread_and_when_it_is_uniform(tiny_encoders):
    """¾, ¾, ½: mean ⅔, sd √2/12. 12 matrices of which one has all the weight but little."""
    assert spread([0.75, 0.75, 0.5]) == {
        "min": 0.5, "max": 0.75, "cv": pytest.approx(2**0.5 / 12 / (2 / 3))}  # fmt: skip
    assert spread([0.0, 0.0])["cv"] is None
    matrices = adapted_matrices(made(tiny_encoders)[0])
    even = importance_record(matrices, [1.0] * 12, Importance(alpha=1), 0.5)
    assert even["uniform"] is True
    # As in FACTS: over many matrices Σw = 1 leaves (1 − w) near 1 though s differs by half.
    near = importance_record(matrices, [1.0] * 6 + [1.5] * 6, Importance(alpha=1), 0.5)
    assert near["uniform"] is True
    told = importance_record(matrices, [1.0] * 6 + [1.5] * 6, Importance(normalise="max"), 0.5)
    assert told["uniform"] is False
    assert told["spread"]["min"] == 0


def test_penalty_is_alpha_times_the_weighted_norms(tiny_encoders):
    model, _ = made(tiny_encoders)
    matrices, made_here = adapted_matrices(model), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for matrix in matrices:
            for factor in matrix.factors[:2]:
                factor.copy_(torch.randn(factor.shape, generator=made_here))
    w = [k / 20 for k in range(12)]
    found = adapters_penalty(matrices, w, alpha=1e-3, beta=2.0)
    expected = sum(
        1e-3 * (1 - one) ** 2 * (m.adapter.get_delta_weight("default")).square().sum()
        for one, m in zip(w, matrices, strict=True)
    )
    torch.testing.assert_close(found(), expected, rtol=1e-5, atol=0)
    found().backward()
    assert all(f.grad.abs().sum() > 0 for m in matrices for f in m.factors[:2])


def test_rank_use(tiny_encoders):
    """Two equal singular values of 2 · 3 = 6: norm 6√2, effective rank 2. B = 0: none."""
    model, _ = made(tiny_encoders)
    one, other, *_ = adapted_matrices(model)
    with torch.no_grad():
        a, b, scaling = one.factors
        assert scaling == 16 / 2
        a.copy_(torch.eye(2, 32))
        b.copy_(6 / 8 * torch.eye(32, 2))
    found = rank_use(one)
    assert found["norm"] == pytest.approx(6 * 2**0.5)
    assert found["effective_rank"] == pytest.approx(2)
    assert found["rank"] == 2
    delta = one.adapter.get_delta_weight("default")
    assert found["norm"] == pytest.approx(delta.norm().item(), rel=1e-5)
    assert (rank_use(other)["norm"], rank_use(other)["effective_rank"]) == (0.0, None)


def test_effective_rank_of_uneven_values(tiny_encoders):
    """Singular values in shares ¾ and ¼: e^H = 4 / 3^¾."""
    one, *_ = adapted_matrices(made(tiny_encoders)[0])
    with torch.no_grad():
        a, b, _ = one.factors
        a.copy_(torch.eye(2, 32))
        b.copy_(torch.eye(32, 2) * torch.tensor([3.0, 1.0]))
    assert rank_use(one)["effective_rank"] == pytest.approx(4 / 3**0.75, rel=1e-5)


def test_an_adapted_embedding_is_refused(tiny_encoders):
    from peft import LoraConfig, get_peft_model

    from lib.models.classifiers import load_classifier

    model = load_classifier(Model(name=str(tiny_encoders["bert"])), "ab")
    model = get_peft_model(model, LoraConfig(target_modules=["word_embeddings"]))
    with pytest.raises(BadInput, match="word_embeddings is a Embedding, expected linear"):
        adapted_matrices(model)
