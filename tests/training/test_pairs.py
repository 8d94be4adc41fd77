"""Batches of pairs and their loss: hand-worked, by brute force, and against TRL's own trainer."""

import pytest
import torch
from datasets import Dataset

from lib.config.schema import Train
from lib.config.steps import validates
from lib.losses import PairLogps, loss_of
from lib.training import responses
from lib.training.batches import collate_pairs
from lib.training.responses import Responses
from lib.training.scoring import autocast, pair_scores
from lib.training.trainers import PairTrainer, correct
from tests.training.outcomes import one_by_one

ROWS = [
    {"prompt_ids": [5, 6], "chosen_ids": [7, 8], "rejected_ids": [9], "row": 4},
    {"prompt_ids": [5], "chosen_ids": [6], "rejected_ids": [7, 8, 9], "row": 0},
]


def test_collate_by_hand():
    batch = collate_pairs(ROWS, pad=0, packed=False)
    assert batch["input_ids"].shape == (4, 32)
    assert batch["input_ids"][:, :4].tolist() == [
        [5, 6, 7, 0], [5, 6, 0, 0], [5, 0, 0, 0], [5, 7, 8, 0],
    ]  # fmt: skip
    assert batch["responses"][:, :3].int().tolist() == [
        [0, 1, 1], [0, 1, 0], [1, 0, 0], [1, 1, 1],
    ]  # fmt: skip
    assert batch["labels"].tolist() == [7, 8, 9, 6, 7, 8, 9]
    assert batch["answers"] == (2, 1, 1, 3)
    assert batch["row"].tolist() == [4, 0]


def test_steps_of_validation():
    assert [s for s in range(1, 8) if validates(Train(eval_steps=3), s, 7)] == [3, 6, 7]
    assert [s for s in range(1, 8) if validates(Train(), s, 7)] == [7]
    evenly = Train(validations=3)
    assert [s for s in range(1, 8) if validates(evenly, s, 7)] == [3, 5, 7]
    assert [s for s in range(1, 3) if validates(evenly, s, 2)] == [1, 2]


def test_ties_are_half_correct():
    pairs = PairLogps(torch.tensor([[1.0, 0], [0, 1], [2, 2]]), torch.zeros(3, 2), torch.ones(3, 2))
    assert correct(pairs).tolist() == [1, 0, 0.5]


@pytest.fixture(scope="module")
def model(tiny_model):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()


@pytest.mark.parametrize("packed", [True, False])
def test_garbage_in_the_padding_changes_nothing(model, pair_rows, packed):
    batch, other = (collate_pairs(pair_rows(5), pad, packed) for pad in (0, 77))
    assert not torch.equal(batch["input_ids"], other["input_ids"])
    score = Responses(model)
    assert torch.equal(score(model, batch), score(model, other))


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_a_row_is_scored_alike_in_every_batch(model, pair_rows, precision, packed):
    """To the bit: alone, among others, and beside a row that makes the batch wider."""
    rows, score = pair_rows(7), Responses(model)
    wide = {**rows[0], "prompt_ids": [5] * 100}
    with torch.no_grad(), autocast(torch.device("cpu"), precision):
        whole = pair_scores(score, model, collate_pairs([*rows, wide], 0, packed))
        for size in (1, 2, 3):
            parts = [rows[i : i + size] for i in range(0, 7, size)]
            found = torch.cat(
                [pair_scores(score, model, collate_pairs(part, 0, packed)) for part in parts]
            )
            assert torch.equal(found, whole[:7])


def apart(one, other):
    """Distance of two tensors as a share of the second's norm; 0 where both are 0."""
    distance = (one - other).norm()
    return (distance / other.norm()).item() if distance else 0.0


def step_gradients(tiny_model, rows, piece, tuning="full", monkeypatch=None, change=None):
    """Scores, and gradients of a loss that weighs every pair otherwise."""
    from lib.config.schema import Lora, Model
    from lib.models.trainable import load_for_training

    monkeypatch.setattr(responses, "CHUNK", piece)
    torch.manual_seed(0)
    train = Train(tuning=tuning, precision="fp32", gradient_checkpointing=False, lora=Lora(r=2))
    model = load_for_training(Model(name=str(tiny_model)), train)
    if change:
        change(model)
    score = Responses(model)
    logps = pair_scores(score, model, collate_pairs(rows, 0, packed=True))
    (logps * torch.arange(1.0, logps.numel() + 1).view(logps.shape)).sum().backward()
    grads = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return score, logps.detach(), grads


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_the_head_chunked_changes_nothing(tiny_model, pair_rows, monkeypatch, tuning):
    """Chunks of three positions, all at once, and logits that the model hands out."""
    rows = pair_rows(5)

    def whole(model):
        monkeypatch.setattr(Responses, "_returns_head_output", lambda *_: False)

    runs = [
        step_gradients(tiny_model, rows, piece, tuning, monkeypatch, change)
        for piece, change in ((3 * 512, None), (1 << 30, None), (1 << 30, whole))
    ]
    assert [run[0].chunked for run in runs] == [True, True, False]
    for _, logps, grads in runs[1:]:
        torch.testing.assert_close(logps, runs[0][1])
        assert grads
        assert grads.keys() == runs[0][2].keys()
        for name, grad in grads.items():
            assert apart(grad, runs[0][2][name]) < 1e-5, name


def test_a_model_that_caps_its_logits(pair_rows):
    """Gemma 2 squashes logits behind its head: found out, and scored from whole logits."""
    from transformers import Gemma2Config, Gemma2ForCausalLM

    config = Gemma2Config(
        vocab_size=300, hidden_size=16, intermediate_size=16, num_hidden_layers=2, head_dim=8,
        num_attention_heads=2, num_key_value_heads=1, final_logit_softcapping=0.5,
    )  # fmt: skip
    torch.manual_seed(0)
    model = Gemma2ForCausalLM(config).eval()
    rows = pair_rows(3)
    score = Responses(model)
    state = torch.get_rng_state()
    found = pair_scores(score, model, collate_pairs(rows, 0, packed=True)).detach()
    assert torch.equal(torch.get_rng_state(), state)
    assert score.chunked is False
    torch.testing.assert_close(found, one_by_one(model, rows).detach())


def test_the_head_sees_response_positions_alone(model, pair_rows):
    rows = pair_rows(5)
    seen = []
    before = model.lm_head.forward
    score = Responses(model)
    score(model, collate_pairs(rows, 0, packed=True))
    linear = torch.nn.functional.linear
    hook = lambda x, *more: seen.append(x.shape[0] if x.dim() == 2 else None) or linear(x, *more)  # noqa: E731
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.functional, "linear", hook)
        score(model, collate_pairs(rows, 0, packed=True))
    assert seen[-1] == sum(len(r["chosen_ids"]) + len(r["rejected_ids"]) for r in rows)
    assert model.lm_head.forward == before


OBJECTIVES = {
    "dpo": {"beta": 0.3},
    "discopop": {"beta": 0.3, "modulation": 0.05},
    "ipo": {"beta": 0.3},
}


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_agrees_with_trl(tiny_model, tokenizer, pair_rows, tmp_path, objective):
    """Loss and gradients of TRL's trainer, its collator and its loss, on the same batch and model.

    The policy is moved off the reference first, so that margins are not 0.
    """
    from transformers import AutoModelForCausalLM
    from trl import DPOConfig, DPOTrainer

    settings = Train(objective=objective, precision="fp32", **OBJECTIVES[objective])
    arguments = DPOConfig(
        str(tmp_path), use_cpu=True, report_to="none", bf16=False, gradient_checkpointing=False,
        beta=settings.beta, discopop_tau=settings.modulation, disable_dropout=True,
        per_device_train_batch_size=4,
        loss_type={"dpo": "sigmoid"}.get(objective, objective),
    )  # fmt: skip
    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    policy = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    text = [{"prompt": "Title", "chosen": " new", "rejected": " old"}]
    theirs = DPOTrainer(
        model=policy, ref_model=base, args=arguments, processing_class=tokenizer,
        train_dataset=Dataset.from_list(text * 4),
    )  # fmt: skip
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in policy.parameters():
            weight += 0.02 * torch.randn(weight.shape, generator=generator)
    rows = pair_rows(6)
    expected = theirs.compute_loss(policy.train(), theirs.data_collator(rows))
    policy.zero_grad()
    expected.backward()
    wanted = {name: weight.grad.clone() for name, weight in policy.named_parameters()}
    policy.zero_grad()

    with torch.no_grad():
        reference = pair_scores(Responses(base), base, collate_pairs(rows, 0, packed=True))
    rows = [{**row, "row": place} for place, row in enumerate(rows)]
    from transformers import TrainingArguments

    ours = PairTrainer(
        model=policy, args=TrainingArguments(str(tmp_path), use_cpu=True, report_to="none"),
        config=settings,
    )  # fmt: skip
    ours.set_references({"train": reference.numpy()})
    found = ours.compute_loss(policy, collate_pairs(rows, 0, packed=True))
    equal = PairLogps(reference, reference, torch.ones(6, 2))
    assert found.item() != pytest.approx(loss_of(settings)(equal).loss.mean().item(), rel=1e-3)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    found.backward()
    for name, weight in policy.named_parameters():
        assert apart(weight.grad, wanted[name]) < 1e-4, name
