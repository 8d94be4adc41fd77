"""Batches and the loss of a step: nothing but the rows may matter."""

import random

import pytest
import torch

from lib.config.schema import Train
from lib.logps import token_nll
from lib.losses import weighted_nll
from lib.models.trainable import without_dropout
from lib.training.batches import collate_answers
from lib.training.responses import Responses
from lib.training.trainers import AnswerTrainer

ROWS = [
    {"input_ids": [5, 6, 7, 8, 9], "prompt_length": 3, "decision": [3, 4], "group": "accept"},
    {"input_ids": [5, 6, 7, 8, 9, 10, 11], "prompt_length": 4, "decision": [4, 6],
     "group": "reject"},
]  # fmt: skip


def test_collate_by_hand():
    batch = collate_answers(ROWS, pad=0, weighted_class="reject", packed=False)
    assert batch["input_ids"].shape == batch["responses"].shape == (2, 32)
    assert batch["input_ids"][:, :7].tolist() == [[5, 6, 7, 8, 0, 0, 0], [5, 6, 7, 8, 9, 10, 0]]
    assert batch["responses"][:, :6].int().tolist() == [[0, 0, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1]]
    assert batch["labels"].tolist() == [8, 9, 9, 10, 11]
    assert batch["answers"] == (2, 3)
    assert batch["decision"].int().tolist() == [[1, 0, 0], [1, 1, 0]]
    assert batch["weighted"].tolist() == [False, True]


def test_no_class_is_weighted_where_none_is_named():
    assert not collate_answers(ROWS, 0, None, packed=True)["weighted"].any()


def test_row_without_decision_tokens():
    row = {**ROWS[0], "decision": [0, 0]}
    assert not collate_answers([row], 0, None, packed=True)["decision"].any()


def padded_on_the_left(rows, weighted_class):
    """The rows as another implementation has them: a mask, and labels in the last T columns."""
    width = max(len(row["input_ids"]) for row in rows) - 1
    tail = max(len(row["input_ids"]) - row["prompt_length"] for row in rows)
    ids, mask = torch.zeros(2, len(rows), width, dtype=torch.long)
    labels = torch.full((len(rows), tail), -100)
    decision = torch.zeros_like(labels, dtype=torch.bool)
    for i, row in enumerate(rows):
        tokens = torch.tensor(row["input_ids"])
        ids[i, width - len(tokens) + 1 :], mask[i, width - len(tokens) + 1 :] = tokens[:-1], 1
        answer = tokens[row["prompt_length"] :]
        labels[i, tail - len(answer) :] = answer
        start, end = (place - len(tokens) + tail for place in row["decision"])
        decision[i, start:end] = bool(row["decision"][1])
    weighted = torch.tensor([row["group"] == weighted_class for row in rows])
    inputs = {"input_ids": ids, "attention_mask": mask, "logits_to_keep": tail,
              "position_ids": (mask.cumsum(1) - 1).clamp(min=0)}  # fmt: skip
    return inputs, labels, decision, weighted


SIZES = {
    "vocab_size": 97, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0,
}  # fmt: skip
SLIDING = {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}
MODELS = {  # tied: Qwen2 and Gemma; capped logits: Gemma 2; a head of its own: Llama
    "Llama": SIZES,
    "Qwen2": {**SIZES, "tie_word_embeddings": True},
    "Gemma2": {**SIZES, **SLIDING, "final_logit_softcapping": 0.5},
    "Gemma3Text": {**SIZES, **SLIDING},
}


def tiny(family):
    import transformers

    config = getattr(transformers, f"{family}Config")(**MODELS[family])
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config)
    without_dropout(model)
    return model


def rows_of_many_lengths(count):
    draw, rows = random.Random(0), []
    for i in range(count):
        ids = [draw.randrange(3, 97) for _ in range(draw.randint(4, 40))]
        length = draw.randint(1, len(ids) - 1)
        end = draw.randint(length + 1, len(ids))
        rows.append({"input_ids": ids, "prompt_length": length, "decision": [length, end],
                     "group": ("accept", "reject")[i % 2]})  # fmt: skip
    return rows


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize("family", MODELS)
def test_loss_and_gradients_are_those_of_padding_on_the_left(family, packed, tmp_path):
    """With a mask, positions counted from each row's start, and logits in the last columns."""
    from transformers import TrainingArguments

    model, rows = tiny(family), rows_of_many_lengths(6)
    inputs, labels, decision, weighted = padded_on_the_left(rows, "accept")
    nll = token_nll(model(**inputs).logits, labels)
    per_row = weighted_nll(nll, decision, weighted, gamma=4.0, weighting="decision")
    expected = per_row.sum() / (labels != -100).sum()
    expected.backward()
    wanted = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    model.zero_grad()
    trainer = AnswerTrainer(
        model=model, args=TrainingArguments(str(tmp_path), use_cpu=True, report_to="none"),
        config=Train(weighted_class="accept", gamma=4.0),
    )  # fmt: skip
    found = trainer.compute_loss(model, collate_answers(rows, 0, "accept", packed))
    found.backward()
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    for name, weight in model.named_parameters():
        apart = (weight.grad - wanted[name]).norm() / wanted[name].norm()
        assert apart < 1e-5, name


@pytest.mark.parametrize("family", ["Llama", "Qwen2"])
def test_attention_is_causal_without_a_mask(family, monkeypatch):
    """What a flash kernel needs; a mask would be of (B, 1, L, L), and repeat keys and values."""
    seen, attend = [], torch.nn.functional.scaled_dot_product_attention

    def spy(*tensors, attn_mask=None, is_causal=False, **more):
        seen.append((attn_mask, is_causal, tensors[1].shape[1]))
        return attend(*tensors, attn_mask=attn_mask, is_causal=is_causal, **more)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", spy)
    model = tiny(family)
    for packed in (True, False):
        Responses(model)(model, collate_answers(rows_of_many_lengths(3), 0, None, packed))
    assert set(seen) == {(None, True, 2)}


def gradients(tiny_model, tmp_path, micro, weighted_class="accept", gamma=4.0):
    """Gradients of one optimizer step over the same four rows, cut into passes of `micro` rows."""
    from transformers import AutoModelForCausalLM, TrainingArguments

    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    settings = Train(weighted_class=weighted_class, gamma=gamma)
    arguments = TrainingArguments(str(tmp_path), use_cpu=True, report_to="none")
    trainer = AnswerTrainer(model=model, args=arguments, config=settings)
    rows = [*ROWS, ROWS[1], {**ROWS[0], "input_ids": [9, 8, 7, 6, 5]}]
    batches = [
        collate_answers(rows[i : i + micro], 0, weighted_class, packed=True)
        for i in range(0, len(rows), micro)
    ]
    (step,), count = trainer.get_batch_samples(iter([batches]), 1, torch.device("cpu"))
    loss = trainer.training_step(model, step, num_items_in_batch=count)
    grads = {name: p.grad.clone() for name, p in model.named_parameters()}
    return loss, count, grads


@pytest.mark.parametrize("micro", [1, 3])
def test_micro_batches_change_nothing(tiny_model, tmp_path, micro):
    """One pass of four rows, against passes of one class and of unequal lengths."""
    whole, count, expected = gradients(tiny_model, tmp_path, 4)
    cut, count_cut, found = gradients(tiny_model, tmp_path, micro)
    assert count == count_cut == 10
    torch.testing.assert_close(cut, whole)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], msg=name)


def test_gamma_survives_micro_batches_of_one_class(tiny_model, tmp_path):
    """Dividing by the sum of weights would give the plain gradient where all rows are weighted."""
    _, _, plain = gradients(tiny_model, tmp_path, 1, weighted_class=None, gamma=1.0)
    _, _, weighted = gradients(tiny_model, tmp_path, 1)
    norms = [sum(g.square().sum() for g in grads.values()).sqrt() for grads in (plain, weighted)]
    assert norms[1] > 1.2 * norms[0]
