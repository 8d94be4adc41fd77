"""Packed rows: equal to every sequence by itself, and to passes of padded rows; budgets."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lib.config.schema import Train
from lib.training import loop, packed_attention
from lib.training.batches import arranged, collate_answers, collate_pairs, shared_tokens
from lib.training.packed_attention import NAME, causal_mask, packing_fault
from lib.training.passes import length_passes, rank_passes, row_sizes, token_budget
from lib.training.responses import Responses
from lib.training.scoring import pair_scores
from tests.training.conftest import made_pairs
from tests.training.outcomes import one_by_one
from tests.training.test_causal import SIZES, rows_of_many_lengths

WINDOW = {"sliding_window": 6}
MODELS = {
    "Llama": SIZES,
    "Qwen2": {**SIZES, "tie_word_embeddings": True},
    "Gemma3Text": {**SIZES, **WINDOW, "layer_types": ["sliding_attention", "full_attention"]},
    "Mistral": {**SIZES, **WINDOW},
}


def tiny(family, **changes):
    import transformers

    config = getattr(transformers, f"{family}Config")(**{**MODELS.get(family, SIZES), **changes})
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(config)


def gradients(model, scores):
    """Of a loss that weighs every answer otherwise."""
    model.zero_grad()
    (scores * torch.arange(1.0, scores.numel() + 1).view(scores.shape)).sum().backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters()}


def assert_same_gradients(found, expected):
    assert found.keys() == expected.keys()
    for name, grad in found.items():
        assert (grad - expected[name]).norm() <= 1e-5 * expected[name].norm(), name


def test_packed_by_hand():
    batch = arranged([([5, 6, 7], ([8, 9], [10])), ([3], ([4],))], pad=0, packed=True)
    assert batch["input_ids"].shape == (1, 32)
    assert batch["input_ids"][0, :8].tolist() == [5, 6, 7, 8, 7, 3, 0, 0]
    assert batch["position_ids"][0, :6].tolist() == [0, 1, 2, 3, 2, 0]
    assert batch["responses"][0, :8].int().tolist() == [0, 0, 1, 1, 1, 1, 0, 0]
    assert batch["labels"].tolist() == [8, 9, 10, 4]
    assert batch["layout"] == ((2, 2, 1), (0, 1))
    assert batch["answers"] == (2, 1, 1)


def test_mask_by_hand():
    device = torch.device("cpu")
    assert causal_mask(3, 3, None, device) is None
    assert causal_mask(3, 3, 3, device) is None
    assert causal_mask(2, 4, None, device).int().tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert causal_mask(2, 4, 2, device).int().tolist() == [[0, 1, 1, 0], [0, 0, 1, 1]]


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("family", MODELS)
def test_pairs_are_scored_as_one_by_one(family, recompute):
    """Log-probabilities and gradients, windows shorter than a row and recomputation included."""
    rows, model = made_pairs(5, vocabulary=97), tiny(family).train()
    expected = one_by_one(model, rows)
    wanted = gradients(model, expected)
    if recompute:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    score = Responses(model)
    assert score.packed
    found = pair_scores(score, model, collate_pairs(rows, pad=0, packed=True))
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)
    assert_same_gradients(gradients(model, found), wanted)


def test_a_pair_never_sees_its_neighbours():
    """Not the other answer, another pair or padding: to the bit."""
    rows, model = made_pairs(3, vocabulary=97), tiny("Llama").eval()
    score = Responses(model)
    changed = [{**rows[0], "chosen_ids": [9] * 30}, *rows[1:]]
    with torch.no_grad():
        found, other = (pair_scores(score, model, collate_pairs(some, pad, True))
                        for some, pad in ((rows, 0), (changed, 5)))  # fmt: skip
    assert found[0, 0] != other[0, 0]
    assert torch.equal(found[0, 1:], other[0, 1:])
    assert torch.equal(found[1:], other[1:])


def test_attention_has_the_shapes_of_its_groups(monkeypatch):
    """No (T, T) matrix: what a mask over the whole row would cost."""
    seen, attend = [], torch.nn.functional.scaled_dot_product_attention

    def spy(query, key, *more, **kwargs):
        seen.append((query.shape[2], key.shape[2]))
        return attend(query, key, *more, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", spy)
    model = tiny("Llama", num_hidden_layers=1)
    score = Responses(model)
    score.chunked = True
    score(model, arranged([([5, 6, 7], ([8, 9], [10])), ([3], ([4],))], 0, True))
    assert seen == [(4, 4), (1, 3), (1, 1)]


FALLBACKS = {
    "Bloom": ({"vocab_size": 97, "hidden_size": 32, "n_layer": 1, "n_head": 4}, "in its own way"),
    "Mamba2": ({"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 1, "head_dim": 8,
                "num_heads": 8, "state_size": 8, "n_groups": 1}, "in its own way"),
    "GptOss": ({**SIZES, "num_local_experts": 2, "num_experts_per_tok": 1}, "eager attention"),
    "Llama4Text": ({**SIZES, "layer_types": ["chunked_attention", "full_attention"],
                    "num_local_experts": 2, "interleave_moe_layer_step": 5},
                   "chunked_attention layers"),
}  # fmt: skip


@pytest.mark.parametrize("family", FALLBACKS)
def test_models_that_need_rows_of_one_sequence(family):
    """ALiBi, a recurrent state, attention sinks, and windows that attention is not given."""
    import transformers

    settings, expected = FALLBACKS[family]
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(
            getattr(transformers, f"{family}Config")(**settings)
        )
    assert expected in packing_fault(model)


def test_a_model_that_cannot_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(packed_attention, "packing_fault", lambda model: "a reason")
    model = tiny("Llama")
    assert not Responses(model).packed
    assert model.config._attn_implementation == "sdpa" != NAME


def test_answers_packed_and_padded_have_one_loss():
    rows, model = rows_of_many_lengths(6), tiny("Llama")
    batches = [collate_answers(rows, 0, "accept", packed) for packed in (True, False)]
    for key in ("labels", "decision", "weighted"):
        assert torch.equal(batches[0][key], batches[1][key])
    assert batches[0]["answers"] == batches[1]["answers"]
    score = Responses(model)
    torch.testing.assert_close(*(score(model, batch) for batch in batches), atol=2e-5, rtol=0)


def test_a_start_that_rows_share_by_hand():
    groups = [([5, 6, 7, 8], ([9, 2],)), ([5, 6, 3], ([4],))]
    assert shared_tokens(groups) == 2
    batch = arranged(groups, 0, True, 2)
    assert batch["input_ids"][0, :7].tolist() == [5, 6, 7, 8, 9, 3, 0]
    assert batch["position_ids"][0, :6].tolist() == [0, 1, 2, 3, 4, 2]
    assert batch["responses"][0, :7].int().tolist() == [0, 0, 0, 1, 1, 1, 0]
    assert batch["layout"] == ((2, 3, 1),)
    assert shared_tokens(groups[:1]) == 0
    assert shared_tokens([([5, *range(20)], ([2],)), ([5, *range(1, 20)], ([2],))]) == 0


@pytest.mark.parametrize("family", MODELS)
def test_rows_that_share_a_start_are_trained_as_one_by_one(family):
    """Log-probabilities and gradients, of windows shorter than the start too."""
    model, start = tiny(family).train(), [11, 12, 13, 14, 15, 16, 17, 18]
    rows = [
        {**row, "input_ids": [*start, *row["input_ids"]], "decision": (0, 0),
         "prompt_length": row["prompt_length"] + len(start)}
        for row in rows_of_many_lengths(4)
    ]  # fmt: skip
    score, ways = Responses(model), {}
    for way, several in (("packed", [rows]), ("alone", [[row] for row in rows])):
        batches = [collate_answers(some, 0, None, True) for some in several]
        logps = torch.cat([score(model, batch) for batch in batches])
        model.zero_grad()
        (logps * torch.linspace(1, 2, len(logps))).sum().backward()
        ways[way] = logps, {name: one.grad.clone() for name, one in model.named_parameters()}
        assert [batch["layout"][0][0] >= 8 for batch in batches] == [True] * len(batches)
    torch.testing.assert_close(ways["packed"][0], ways["alone"][0], atol=2e-5, rtol=0)
    assert_same_gradients(ways["packed"][1], ways["alone"][1])


STEPS = {
    "td_dpo": {"beta": 0.1, "tau": 2.0},
    "adapters": {"tuning": "lora", "gradient_checkpointing": True},
}


@pytest.mark.parametrize("name", STEPS)
def test_a_run_is_the_same_packed_and_padded(train_pairs, pair_splits, tmp_path, monkeypatch, name):
    """Losses, gradient norms and validation of three steps; the reference of each its own."""
    from lib.runs.files import read_jsonl
    from lib.training.inputs import PairSplits

    objective = name if name != "adapters" else "dpo"
    logs = {}
    for way in ("packed", "padded"):
        if way == "padded":
            for module in (loop, packed_attention):
                monkeypatch.setattr(module, "packing_fault", lambda model: "a reason")
        pairs = PairSplits(tmp_path / way, pair_splits.splits, pair_splits.checksums)
        words = {"objective": objective, "micro_tokens": 60, "eval_steps": 1, **STEPS[name]}
        train_pairs(tmp_path / way / "run", pairs=pairs, **words)
        logs[way] = read_jsonl(tmp_path / way / "run" / "train.jsonl")
    for packed, padded in zip(*logs.values(), strict=True):
        for key in ("loss", "grad_norm", "train_accuracy", "validation_loss"):
            assert packed[key] == pytest.approx(padded[key], rel=2e-4, abs=1e-6), key


def test_models_that_fall_back_say_so(train_pairs, tmp_path, monkeypatch, capsys):
    for module in (loop, packed_attention):
        monkeypatch.setattr(module, "packing_fault", lambda model: "a reason")
    train_pairs(tmp_path / "run", max_steps=1)
    assert capsys.readouterr().out.count("rows are padded, not packed: a reason") == 1


SOME_SIZES = np.array([3, 9, 5, 5, 1])


def test_passes_by_hand():
    packed = length_passes(SOME_SIZES, 12, packed=True)
    assert [p.tolist() for p in packed] == [[1], [2, 3], [0, 4]]
    padded = length_passes(SOME_SIZES, 12, packed=False)
    assert [p.tolist() for p in padded] == [[1], [2, 3], [0, 4]]
    assert [len(p) for p in length_passes(SOME_SIZES, 1, packed=True)] == [1] * 5


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_passes_of_a_step(packed, world):
    """Every row once, as many rows and passes on each rank, and no pass over its budget."""
    draw = random.Random(world)
    for _ in range(50):
        sizes = np.array([draw.randint(1, 40) for _ in range(30)])
        step = np.array(draw.sample(range(30), 4 * world))
        budget = draw.randint(20, 100)
        ranks = rank_passes(step, sizes, budget, packed, world)
        assert sorted(int(i) for r in ranks for p in r for i in p) == sorted(step.tolist())
        assert {sum(map(len, passes)) for passes in ranks} == {4}
        assert len({len(passes) for passes in ranks}) == 1
        for one in (p for passes in ranks for p in passes):
            taken = sizes[one].sum() if packed else sizes[one].max() * len(one)
            assert taken <= budget or len(one) == 1


def test_the_budget_is_what_padded_rows_take():
    rows = made_pairs(20)
    widths = [len(r["prompt_ids"]) - 1 + max(len(r["chosen_ids"]), len(r["rejected_ids"]))
              for r in rows]  # fmt: skip
    assert token_budget(rows, "pairs", Train(micro_batch=3)) == 3 * 2 * max(widths)
    assert token_budget(rows, "pairs", Train(micro_batch=3, micro_tokens=7)) == 7
    packed, padded = (row_sizes(rows, "pairs", way) for way in (True, False))
    assert (packed <= padded).all()
    lengths = [len(arranged([(r["prompt_ids"], (r["chosen_ids"], r["rejected_ids"]))], 0, True)
                   ["labels"]) + len(r["prompt_ids"]) - 1 for r in rows]  # fmt: skip
    assert packed.tolist() == lengths


@pytest.mark.parametrize(
    ("words", "attempts", "expected"),
    [
        ({"micro_batch": 8}, [], ("train.micro_batch", 8, 4)),
        ({"micro_batch": 8}, [{"micro_batch": 4, "micro_tokens": None}],
         ("train.micro_batch", 4, 2)),
        ({"micro_tokens": 900}, [{"micro_batch": 4, "micro_tokens": 450}],
         ("train.micro_tokens", 450, 225)),
        ({"micro_batch": 1}, [], ("train.micro_batch", 1, None)),
    ],
)  # fmt: skip
def test_too_little_memory_halves_what_bounds_a_pass(words, attempts, expected):
    from stages.retry import size_of

    point = SimpleNamespace(config=SimpleNamespace(train=Train(**words)))
    assert size_of(point, "train", attempts) == expected
