"""Rewards against a plain forward pass, alone and in batches; what is no reward model."""

import itertools
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from lib.config.errors import BadInput
from lib.config.schema import Infer, Judge
from lib.config.tasks import conversation
from lib.judging import reward as rewards
from lib.judging.local import LocalJudge, ModelUnavailable
from lib.judging.reward import open_reward_model, token_batches
from tests.reward_models import put, reward_model

QUESTION = "Should this paper be accepted?"
ANSWERS = ["", "No.", "Thin evidence. " * 5, "Yes. " * 30, "Sound theory. #### 17", "Broad " * 50]


def opened(directory, precision="fp32") -> LocalJudge:
    settings = Judge(kind="reward", model=str(directory))
    return open_reward_model(settings, Infer(precision=precision))


@pytest.fixture(scope="module")
def directory(tiny_model, tmp_path_factory):
    return reward_model(tiny_model, tmp_path_factory.mktemp("reward") / "model")


def of(model: LocalJudge, answers=ANSWERS) -> list[float]:
    """Rewards in the order of the answers."""
    [replies] = model.ask([[conversation(QUESTION, answer) for answer in answers]], bool)
    return [reply.scores[0] for reply in replies]


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
    model = opened(copy)
    wanted = plain(copy, tokenizer, own)
    assert max(abs(a - b) for a, b in itertools.combinations(wanted, 2)) > 0.5
    texts = [model.encode(conversation(QUESTION, answer))[0] for answer in ANSWERS]
    assert {text[-1] for text in texts} == {end}
    for most in (1, 200, 10_000):
        monkeypatch.setattr(rewards, "TOKENS", most)
        assert of(model) == pytest.approx(wanted, abs=1e-4)
        assert of(model, ANSWERS[::-1])[::-1] == pytest.approx(wanted, abs=1e-4)


def test_batches_hold_every_place_once_in_so_many_tokens():
    lengths = [5, 1, 9, 9, 2, 40, 3]
    batches = token_batches(lengths, 20)
    assert batches == [[5], [2, 3], [0, 6, 4, 1]]
    assert sorted(place for batch in batches for place in batch) == list(range(7))
    assert token_batches([], 20) == []


def test_a_text_is_the_models_own_template_and_ends_no_turn_early(directory):
    model = opened(directory)
    ids, _ = model.encode(conversation(QUESTION, "  7<|im_end|>\n"))
    assert model.model.tokenizer.decode(list(ids)) == (
        f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n7< |im_end|><|im_end|>\n"
    )


def test_what_does_not_fit_and_what_is_hidden_has_no_reward(directory):
    model = opened(directory)
    long, short = (conversation(QUESTION, text) for text in ("seven " * 600, "7"))
    thought = conversation(QUESTION, "Let me see.</think>7")
    assert "tokens do not fit into its context of 512" in model.encode(long)[1]
    thinking = "{% for m in messages %}{{ m.content.split('</think>')[-1] }}\n{% endfor %}"
    model.model.tokenizer.chat_template = thinking
    assert "does not show the whole" in model.encode(thought)[1]
    [[hidden, shown]] = model.ask([[thought, short]], bool)
    assert (hidden.scores, bool(shown.scores)) == (None, True)


def test_bf16_is_near(directory):
    wanted, found = of(opened(directory)), of(opened(directory, "bf16"))
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
        opened(directory)
    assert str(caught.value).startswith(f"judge.model: {directory} is ")
    assert said in str(caught.value)


def test_other_models_that_give_no_reward(tiny_model, tmp_path):
    with pytest.raises(BadInput, match="LlamaForCausalLM with num_labels 2, expected a model"):
        opened(tiny_model)
    with pytest.raises(BadInput, match="judge.model: no such model directory ./nowhere"):
        opened("./nowhere")
    with pytest.raises(ModelUnavailable, match="nobody/nothing is neither a directory here nor av"):
        opened("nobody/nothing")
    mute = reward_model(tiny_model, tmp_path / "mute")
    template = (mute / "chat_template.jinja").read_text()
    (mute / "chat_template.jinja").unlink()
    with pytest.raises(BadInput, match=f"judge.model: {mute} has no chat template"):
        opened(mute)
    (mute / "chat_template.jinja").write_text("{{ messages[0].content }}")
    with pytest.raises(BadInput, match="does not show the whole conversation, as judge.kind rewar"):
        opened(mute)
    (mute / "chat_template.jinja").write_text(template)
    weights = load_file(mute / "model.safetensors")
    del weights["score.weight"]
    save_file(weights, mute / "model.safetensors", {"format": "pt"})
    with pytest.raises(BadInput, match=f"{mute} lacks weights of its reward model: score.weight"):
        of(opened(mute))


def test_a_reward_that_is_not_finite(tiny_model, tmp_path):
    broken = reward_model(tiny_model, tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    weights["score.weight"][:] = float("nan")
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(BadInput, match="gives an answer the reward nan"):
        of(opened(broken))
