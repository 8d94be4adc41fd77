"""Batches and the loss of a step: nothing but the rows may matter."""

import pytest
import torch

from lib.losses import token_nll
from lib.schema import Train
from lib.training.causal import CausalTrainer, collate

ROWS = [
    {"input_ids": [5, 6, 7, 8, 9], "prompt_length": 3, "decision": [3, 4], "group": "accept"},
    {"input_ids": [5, 6, 7, 8, 9, 10, 11], "prompt_length": 4, "decision": [4, 6],
     "group": "reject"},
]  # fmt: skip


def test_collate_by_hand():
    batch = collate(ROWS, pad=0, weighted_class="reject", multiple=1)
    assert batch["input_ids"].tolist() == [[0, 0, 5, 6, 7, 8], [5, 6, 7, 8, 9, 10]]
    assert batch["attention_mask"].tolist() == [[0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]]
    assert batch["position_ids"].tolist() == [[0, 0, 0, 1, 2, 3], [0, 1, 2, 3, 4, 5]]
    assert batch["labels"].tolist() == [[-100, 8, 9], [9, 10, 11]]
    assert batch["decision"].tolist() == [[False, True, False], [True, True, False]]
    assert batch["weighted"].tolist() == [False, True]


def test_width_is_a_multiple():
    batch = collate(ROWS, pad=0, weighted_class=None, multiple=8)
    assert batch["input_ids"].tolist() == [[0, 0, 0, 0, 5, 6, 7, 8], [0, 0, 5, 6, 7, 8, 9, 10]]
    assert batch["labels"].tolist() == [[-100, 8, 9], [9, 10, 11]]


def test_no_class_is_weighted_where_none_is_named():
    assert not collate(ROWS, pad=0, weighted_class=None)["weighted"].any()


def test_row_without_decision_tokens():
    row = {**ROWS[0], "decision": [0, 0]}
    assert not collate([row], pad=0, weighted_class=None)["decision"].any()


@pytest.fixture(scope="module")
def model(tiny_model):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()


def forward(model, batch):
    return model(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"],
        position_ids=batch["position_ids"], logits_to_keep=batch["labels"].shape[1],
    ).logits  # fmt: skip


def test_padding_changes_no_loss(model):
    """A row alone, unpadded, against the same row padded beside a longer one."""
    together = collate(ROWS, pad=0, weighted_class=None)
    alone = collate(ROWS[:1], pad=0, weighted_class=None, multiple=1)
    both = token_nll(forward(model, together), together["labels"])
    one = token_nll(forward(model, alone), alone["labels"])
    torch.testing.assert_close(both[0, 1:], one[0])


def test_logits_at_labels_are_those_of_all_positions(model):
    """The loss equals the library's own, which makes logits everywhere."""
    batch = collate(ROWS, pad=0, weighted_class=None)
    ours = token_nll(forward(model, batch), batch["labels"]).sum()
    theirs = 0.0
    for row in ROWS:
        ids = torch.tensor([row["input_ids"]])
        labels = ids.clone()
        labels[:, : row["prompt_length"]] = -100
        count = len(row["input_ids"]) - row["prompt_length"]
        theirs += model(input_ids=ids, labels=labels).loss * count
    torch.testing.assert_close(ours, theirs)


def test_lm_head_sees_labelled_positions_alone(model):
    batch = collate(ROWS, pad=0, weighted_class=None)
    seen = []
    hook = model.lm_head.register_forward_hook(lambda _m, _i, out: seen.append(out.shape[1]))
    forward(model, batch)
    hook.remove()
    assert seen == [batch["labels"].shape[1]]


def gradients(tiny_model, tmp_path, micro, weighted_class="accept", gamma=4.0):
    """Gradients of one optimizer step over the same four rows, cut into passes of `micro` rows."""
    from transformers import AutoModelForCausalLM, TrainingArguments

    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    settings = Train(weighted_class=weighted_class, gamma=gamma)
    arguments = TrainingArguments(str(tmp_path), use_cpu=True, report_to="none")
    trainer = CausalTrainer(model=model, args=arguments, settings=settings)
    rows = [*ROWS, ROWS[1], {**ROWS[0], "input_ids": [9, 8, 7, 6, 5]}]
    batches = [
        collate(rows[i : i + micro], pad=0, weighted_class=weighted_class)
        for i in range(0, len(rows), micro)
    ]
    samples, count = trainer.get_batch_samples(iter(batches), len(batches), torch.device("cpu"))
    losses = [trainer.training_step(model, b, num_items_in_batch=count) for b in samples]
    grads = {name: p.grad.clone() for name, p in model.named_parameters()}
    return sum(losses), count, grads


@pytest.mark.parametrize("micro", [1, 2, 3])
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
