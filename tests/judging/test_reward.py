"""Rewards against a plain forward pass, alone and in batches; what is no reward model."""

import itertools
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from lib.config.errors import BadInput
from lib.config.schema import Judge
from lib.judging import reward as rewards
from lib.judging.local import Missing
from lib.judging.reward import RewardModel, open_reward, token_batches
from tests.reward_models import put, reward_model

QUESTION = "Should this paper be accepted?"
ANSWERS = ["", "No.", "Thin evidence. " * 5, "Yes. " * 30, "Sound theory. #### 17", "Broad " * 50]


def judge(directory) -> Judge:
    return Judge(kind="reward", model=str(directory))


@pytest.fixture(scope="module")
def directory(tiny_model, tmp_path_factory):
    return reward_model(tiny_model, tmp_path_factory.mktemp("reward") / "model")


@pytest.fixture
def model(directory) -> RewardModel:
    return RewardModel(open_reward(judge(directory)), "fp32")


def of(model: RewardModel, texts) -> list[float]:
    """Rewards in the order of the texts."""
    found = {}
    for some in model.score(texts):
        assert not found.keys() & some.keys()
        found |= some
    return [found[place] for place in range(len(texts))]


def plain(directory, tokenizer, pad) -> list[float]:
    """Head times the hidden state of the last token that is no `pad`, one forward each."""
    model = AutoModelForSequenceClassification.from_pretrained(directory, dtype=torch.float32)
    found = []
    for answer in ANSWERS:
        chat = [{"role": "user", "content": QUESTION},
                {"role": "assistant", "content": answer.strip()}]  # fmt: skip
        ids = tokenizer.apply_chat_template(chat, return_dict=False, return_tensors="pt")
        last = max(place for place, token in enumerate(ids[0].tolist()) if token != pad)
        with torch.inference_mode():
            hidden = model.model(input_ids=ids, attention_mask=torch.ones_like(ids))[0]
            found.append(float(model.score(hidden[0, last])))
            assert float(model(ids).logits[0, 0]) == pytest.approx(found[-1], abs=1e-5)
    return found


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("pad", [None, "<|endoftext|>", "<|im_end|>", "\u010a"])
def test_a_text_has_the_reward_that_it_has_alone(
    directory, tokenizer, monkeypatch, tmp_path, pad, side
):
    """In a batch too, whatever config and tokenizer pad with: nothing, or what texts end in."""
    copy = shutil.copytree(directory, tmp_path / "model")
    end = tokenizer.convert_tokens_to_ids("\u010a")
    own = tokenizer.convert_tokens_to_ids(pad) if pad else None
    put(copy / "config.json", pad_token_id=own)
    put(copy / "tokenizer_config.json", pad_token="\u010a", padding_side=side)
    model = RewardModel(open_reward(judge(copy)), "fp32")
    wanted = plain(copy, tokenizer, own)
    assert max(abs(a - b) for a, b in itertools.combinations(wanted, 2)) > 0.5
    texts = [model.encode(QUESTION, answer) for answer in ANSWERS]
    assert {text[-1] for text in texts} == {end}
    for most in (1, 200, 10_000):
        monkeypatch.setattr(rewards, "TOKENS", most)
        assert of(model, texts) == pytest.approx(wanted, abs=1e-4)
        assert of(model, texts[::-1])[::-1] == pytest.approx(wanted, abs=1e-4)


def test_batches_hold_every_place_once_in_so_many_tokens():
    lengths = [5, 1, 9, 9, 2, 40, 3]
    batches = token_batches(lengths, 20)
    assert batches == [[5], [2, 3], [0, 6, 4, 1]]
    assert sorted(place for batch in batches for place in batch) == list(range(7))
    assert token_batches([], 20) == []


def test_a_text_is_the_models_own_template_and_ends_no_turn_early(model):
    ids = model.encode(QUESTION, "  7<|im_end|>\n")
    assert model.local.tokenizer.decode(ids) == (
        f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n7< |im_end|><|im_end|>\n"
    )


def test_what_does_not_fit_and_what_is_hidden_has_no_reward(model):
    assert len(model.encode(QUESTION, "7 " * 100)) <= 512
    assert model.encode(QUESTION, "seven " * 600) is None
    thinking = "{% for m in messages %}{{ m.content.split('</think>')[-1] }}\n{% endfor %}"
    model.local.tokenizer.chat_template = thinking
    assert model.encode(QUESTION, "Let me see.</think>7") is None
    assert model.encode(QUESTION, "7")


def test_bf16_is_near(directory, model):
    texts = [model.encode(QUESTION, answer) for answer in ANSWERS]
    wanted = of(model, texts)
    found = of(RewardModel(model.local, "bf16"), texts)
    assert found == pytest.approx(wanted, abs=0.5)
    assert found != wanted


@pytest.mark.parametrize(("changes", "said"), [
    ({"num_labels": 2}, "a reward model without a single logit: found LlamaForSequenceClassificatio"
     "n with num_labels 2, expected a model …ForSequenceClassification with num_labels 1"),
    ({"architectures": ["LlamaForCausalLM"]}, "without a single logit: found LlamaForCausalLM with "
     "num_labels 1, expected"),
])  # fmt: skip
def test_a_model_without_a_single_logit(tiny_model, tmp_path, changes, said):
    directory = reward_model(tiny_model, tmp_path / "model")
    if "num_labels" in changes:  # a config counts its labels by their names
        changes = {"id2label": {"0": "no", "1": "yes"}, "label2id": {"no": 0, "yes": 1}}
    put(directory / "config.json", **changes)
    with pytest.raises(BadInput) as caught:
        open_reward(judge(directory))
    assert str(caught.value).startswith(f"judge.model: {directory} is ")
    assert said in str(caught.value)


def test_other_models_that_give_no_reward(tiny_model, tmp_path):
    with pytest.raises(BadInput, match="LlamaForCausalLM with num_labels 2, expected a model"):
        open_reward(judge(tiny_model))
    with pytest.raises(BadInput, match="judge.model: no such model directory ./nowhere"):
        open_reward(judge("./nowhere"))
    with pytest.raises(Missing, match="nobody/nothing is neither a directory here nor to be had"):
        open_reward(judge("nobody/nothing"))
    mute = reward_model(tiny_model, tmp_path / "mute")
    template = (mute / "chat_template.jinja").read_text()
    (mute / "chat_template.jinja").unlink()
    with pytest.raises(BadInput, match=f"judge.model: {mute} has no chat template"):
        open_reward(judge(mute))
    (mute / "chat_template.jinja").write_text("{{ messages[0].content }}")
    with pytest.raises(BadInput, match="does not show the whole conversation, as judge.kind rewar"):
        open_reward(judge(mute))
    (mute / "chat_template.jinja").write_text(template)
    weights = load_file(mute / "model.safetensors")
    del weights["score.weight"]
    save_file(weights, mute / "model.safetensors", {"format": "pt"})
    with pytest.raises(BadInput, match=f"{mute} lacks weights of its reward model: score.weight"):
        RewardModel(open_reward(judge(mute)), "fp32")


def test_a_reward_that_is_not_finite(tiny_model, tmp_path):
    broken = reward_model(tiny_model, tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    weights["score.weight"][:] = float("nan")
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    model = RewardModel(open_reward(judge(broken)), "fp32")
    with pytest.raises(BadInput, match="gives an answer the reward nan"):
        of(model, [model.encode(QUESTION, "7")])
