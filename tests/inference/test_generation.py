"""Both engines against brute force and against each other; merged adapters; swapped weights."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from lib.config.schema import Infer, Lora, Model, Train
from lib.data.encoding import encode_answer, encode_prompt
from lib.data.special_tokens import end_tokens
from lib.inference.base import Draw
from lib.inference.hf import GumbelNoise, HfEngine
from lib.inference.serving import start_engine, whole_weights
from lib.inference.vllm import VllmEngine
from lib.models.load import load_tokenizer
from lib.models.trainable import load_for_training

TEXTS = (
    "Hi",
    "Is the Earth flat? Answer yes or no.",
    "Title: New idea. Text: Sound theory. Thin evidence. Rough writing. " * 3,
    r"Should this paper be accepted? Answer with \boxed{Accept} or \boxed{Reject}.",
    "Count: one, two, three,",
)
ANSWERS = (r"\boxed{Accept}", r"\boxed{Reject}", "no")
FP32 = Infer(engine="hf", precision="fp32", max_new_tokens=12)
FEW = FP32.model_copy(update={"max_new_tokens": 6})  # of a model of some size


def token_ids(tokenizer) -> tuple[list[list[int]], list[list[list[int]]]]:
    """Return prompts of different lengths, and for each one to three answers."""
    talks = [[{"role": "user", "content": text}] for text in TEXTS]
    prompts = [encode_prompt(tokenizer, talk) for talk in talks]
    answers = [
        [encode_answer(tokenizer, talk, answer) for answer in ANSWERS[: 1 + i % 3]]
        for i, talk in enumerate(talks)
    ]
    assert len({len(prompt) for prompt in prompts}) > 2
    return prompts, answers


def summed(model, prompt: list[int], answer: list[int]) -> float:
    """log p(answer | prompt) by one plain forward pass, token by token."""
    with torch.no_grad():
        logs = model(input_ids=torch.tensor([prompt + answer])).logits[0].double().log_softmax(-1)
    return sum(logs[len(prompt) + i - 1, token].item() for i, token in enumerate(answer))


def greedy(model, tokenizer, prompt: list[int], count: int) -> list[int]:
    """The likeliest tokens, one forward pass each, up to the first that ends a turn."""
    ids = list(prompt)
    while len(ids) < len(prompt) + count:
        with torch.no_grad():
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] in end_tokens(tokenizer):
            break
    return ids[len(prompt) :]


def draws(temperatures, *more) -> list[Draw]:
    """`more`: seeds and counts."""
    return [Draw(*draw) for draw in zip(temperatures, *more, strict=True)]


def flat(groups: list[list[float]]) -> list[float]:
    return [value for group in groups for value in group]


class TestHuggingFace:
    """The engine of transformers on the tiny model."""

    @pytest.fixture(scope="class")
    def engine(self, tiny_model) -> HfEngine:
        return start_engine(Model(name=str(tiny_model)), FP32, tiny_model)

    @pytest.fixture(scope="class")
    def plain(self, tiny_model):
        return AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()

    def test_scores_are_summed_log_probabilities(self, engine, plain, tokenizer):
        prompts, answers = token_ids(tokenizer)
        found = engine.score(prompts, answers)
        assert [len(group) for group in found] == [len(group) for group in answers]
        wanted = [
            [summed(plain, p, a) for a in group] for p, group in zip(prompts, answers, strict=True)
        ]
        assert flat(found) == pytest.approx(flat(wanted), abs=1e-4)
        assert len({round(value, 2) for value in flat(wanted)}) > 5

    def test_generates_the_likeliest_tokens(self, engine, plain, tokenizer):
        prompts, _ = token_ids(tokenizer)
        wanted = [greedy(plain, tokenizer, prompt, 12) for prompt in prompts]
        texts = [[tokenizer.decode(ids, skip_special_tokens=True)] for ids in wanted]
        assert engine.generate(prompts, FP32) == texts
        assert len({text for [text] in texts}) > 1

    def test_a_row_does_not_hang_on_the_others_of_its_batch(self, engine, tokenizer, monkeypatch):
        prompts, answers = token_ids(tokenizer)
        texts, scores = engine.generate(prompts, FP32), engine.score(prompts, answers)
        for size in (1, 2):
            monkeypatch.setattr(HfEngine, "BATCH", size)
            monkeypatch.setattr(HfEngine, "LARGEST_BATCH", size)
            assert engine.generate(prompts[::-1], FP32)[::-1] == texts
            alone = engine.score(prompts[::-1], answers[::-1])[::-1]
            assert flat(alone) == pytest.approx(flat(scores), abs=1e-4)

    def test_an_answer_ends_with_the_turn(self, tiny_model, plain, tokenizer, tmp_path):
        """The model would go on; the token at its third place becomes the end of turn."""
        [prompt, *_], _ = token_ids(tokenizer)
        made = greedy(plain, tokenizer, prompt, 12)
        place = next(i for i in range(2, 12) if made[i] not in made[:i])
        end = tokenizer.eos_token_id
        copied(tiny_model, tmp_path / "ending")
        weights = load_file(tmp_path / "ending" / "model.safetensors")
        head = weights["lm_head.weight"]
        head[[end, made[place]]] = head[[made[place], end]].clone()
        save_file(weights, tmp_path / "ending" / "model.safetensors", {"format": "pt"})
        engine = HfEngine(Model(name=str(tiny_model)), FP32, tmp_path / "ending")
        assert engine.generate([prompt], FP32) == [[tokenizer.decode(made[:place])]]

    def test_what_a_models_authors_sample_with_changes_nothing(
        self, engine, tiny_model, tokenizer, tmp_path
    ):
        """Qwen2.5 comes with a repetition penalty, which vLLM does not take up either."""
        prompts, _ = token_ids(tokenizer)
        habits = {"do_sample": True, "temperature": 0.7, "top_k": 1, "repetition_penalty": 9.0}
        other = copied(tiny_model, tmp_path / "habits")
        (other / "generation_config.json").write_text(json.dumps(habits))
        found = HfEngine(Model(name=str(tiny_model)), FP32, other).generate(prompts, FP32)
        assert found == engine.generate(prompts, FP32)

    def test_sampling_is_seeded(self, engine, tokenizer):
        prompts, _ = token_ids(tokenizer)
        hot = FP32.model_copy(update={"temperature": 1.5})
        first = engine.generate(prompts, hot)
        assert engine.generate(prompts, hot) == first
        assert first != engine.generate(prompts, FP32)

    def test_each_row_has_its_own_temperature_and_seed(self, engine, tokenizer, monkeypatch):
        prompts, _ = token_ids(tokenizer)
        hot, seeds = [0.0, 1.5, 0.0, 0.7, 1.5], [5, 6, 7, 8, 9]
        found = engine.generate(prompts, FP32, draws(hot, seeds))
        cold = engine.generate(prompts, FP32)
        assert [a == b for a, b in zip(found, cold, strict=True)] == [not t for t in hot]
        monkeypatch.setattr(HfEngine, "BATCH", 2)
        monkeypatch.setattr(HfEngine, "LARGEST_BATCH", 2)
        assert engine.generate(prompts[::-1], FP32, draws(hot[::-1], seeds[::-1]))[::-1] == found
        other = engine.generate(prompts, FP32, draws(hot, [seed + 1 for seed in seeds]))
        assert [a == b for a, b in zip(found, other, strict=True)] == [not t for t in hot]

    def test_answer_i_of_a_prompt_is_drawn_with_its_seed_plus_i(self, engine, tokenizer):
        prompts, _ = token_ids(tokenizer)
        seeds, counts = [5, 60, 700, 8000, 9], [3, 1, 4, 2, 17]
        hot = [1.5] * len(prompts)
        found = engine.generate(prompts, FP32, draws(hot, seeds, counts))
        assert [len(texts) for texts in found] == counts
        assert found == [
            [engine.generate([prompt], FP32, draws([1.5], [seed + i]))[0][0] for i in range(count)]
            for prompt, seed, count in zip(prompts, seeds, counts, strict=True)
        ]
        assert len(set(found[4])) > 10

    def test_equal_neighbours_are_read_once(self, engine, tokenizer, monkeypatch):
        """A greedy answer and three samples each: the tokens that go through the embeddings."""
        prompts, _ = token_ids(tokenizer)
        seen = []
        embedding = engine.model.get_input_embeddings()
        hook = embedding.register_forward_hook(lambda _, given, __: seen.append(given[0].shape))
        twice = [prompt for prompt in prompts for _ in range(2)]
        monkeypatch.setattr(HfEngine, "BATCH", 8)
        monkeypatch.setattr(HfEngine, "LARGEST_BATCH", 8)
        made = engine.generate(twice, FP32, draws([0.0, 1.5] * 5, [0, 3] * 5, [1, 3] * 5))
        hook.remove()
        read = [shape for shape in seen if shape[1] > 1]
        ordered = sorted(prompts, key=len, reverse=True)
        starts = [len(os.path.commonprefix(ordered[i : i + 2])) for i in (0, 2)]
        assert min(starts) > 1
        assert read == [
            (1, starts[0]), (2, len(ordered[0]) - 1 - starts[0]),
            (1, starts[1]), (2, len(ordered[2]) - 1 - starts[1]),
            (1, len(ordered[4]) - 1),
        ]  # fmt: skip
        assert made[::2] == engine.generate(prompts, FP32)
        assert made[1::2] == engine.generate(prompts, FP32, draws([1.5] * 5, [3] * 5, [3] * 5))

    def test_an_answer_that_is_scored_is_not_generated_again(
        self, engine, plain, tokenizer, monkeypatch
    ):
        """Ends of turn are made of tokens that the model likes; of three rows it is a given one."""
        prompts, answers = token_ids(tokenizer)
        ends = {greedy(plain, tokenizer, prompt, 3)[2] for prompt in prompts[:3]}
        monkeypatch.setattr("lib.inference.hf.end_tokens", lambda tokenizer: ends)
        monkeypatch.setitem(globals(), "end_tokens", lambda tokenizer: ends)
        made = [greedy(plain, tokenizer, prompt, 12) for prompt in prompts]
        # Another answer that ends the turn, and that the model likes less: it stands first.
        less = [next(t for t in range(9, 99) if t not in {*ends, one[0]}) for one in made]
        given = [
            [*own, [other, *one[1:]], one]
            for own, other, one in zip(answers, less, made, strict=True)
        ]
        given[3][-1] = made[3][:-1]  # the model would go on
        given[4] = answers[4]
        asked, generate = [], engine.generate
        monkeypatch.setattr(
            engine, "generate", lambda ids, *more: asked.append(ids) or generate(ids, *more)
        )
        texts, scores = engine.generate_and_score(prompts, FP32, given)
        assert asked == [prompts[3:]]
        assert texts == [[tokenizer.decode(ids, skip_special_tokens=True)] for ids in made]
        wanted = [
            [summed(plain, p, a) for a in group] for p, group in zip(prompts, given, strict=True)
        ]
        assert flat(scores) == pytest.approx(flat(wanted), abs=1e-5)
        asked.clear()
        hot = FP32.model_copy(update={"temperature": 1.5})
        engine.generate_and_score(prompts, hot, given)
        engine.generate_and_score(prompts, FEW.model_copy(update={"max_new_tokens": 2}), given)
        assert asked == [prompts, prompts]

    def test_heads_longer_than_a_sliding_window_are_read_once_too(self, tokenizer, tmp_path):
        """As Gemma 3 has them: five layers that see a few tokens, and one that sees all."""
        from transformers import Gemma3ForCausalLM, Gemma3TextConfig

        config = Gemma3TextConfig(
            vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=6,
            num_attention_heads=2, num_key_value_heads=1, head_dim=16, sliding_window=8,
            max_position_embeddings=512, pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        )  # fmt: skip
        with torch.random.fork_rng():
            torch.manual_seed(0)
            Gemma3ForCausalLM(config).save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        engine = HfEngine(Model(name=str(tmp_path)), FP32, tmp_path)
        prompts, answers = token_ids(tokenizer)
        plain = Gemma3ForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
        wanted = [
            [summed(plain, p, a) for a in group] for p, group in zip(prompts, answers, strict=True)
        ]
        assert flat(engine.score(prompts, answers)) == pytest.approx(flat(wanted), abs=1e-4)
        found = engine.generate(prompts, FP32, draws([1.5] * 5, [0] * 5, [3] * 5))
        for prompt, texts in zip(prompts, found, strict=True):
            alone = [engine.generate([prompt], FP32, draws([1.5], [i]))[0][0] for i in range(3)]
            assert texts == alone
        assert "sliding_attention" in engine.model.config.layer_types

    def test_samples_do_not_make_the_answer_of_a_prompt_hot(self, engine, tokenizer):
        prompts, _ = token_ids(tokenizer)
        hot = FP32.model_copy(update={"temperature": 1.5, "samples": 4})
        assert engine.generate(prompts, hot) == engine.generate(prompts, FP32)

    @pytest.mark.parametrize("temperature", [0.5, 2.0])
    def test_draws_follow_the_softmax(self, temperature):
        logits = torch.tensor([1.0, 0.0, -0.5, 2.0])
        noise = GumbelNoise([Draw(temperature, seed) for seed in range(4000)], "cpu")
        drawn = noise(None, logits.expand(4000, 4)).argmax(1)
        shares = torch.bincount(drawn, minlength=4) / 4000
        torch.testing.assert_close(shares, (logits / temperature).softmax(0), atol=0.03, rtol=0)

    def test_load_swaps_the_weights(self, tiny_model, tokenizer, tmp_path):
        prompts, answers = token_ids(tokenizer)
        other = changed(tiny_model, tmp_path / "other")
        engine = HfEngine(Model(name=str(tiny_model)), FP32, tiny_model)
        before = engine.score(prompts, answers)
        engine.load(other)
        after = engine.score(prompts, answers)
        plain = AutoModelForCausalLM.from_pretrained(other, dtype=torch.float32).eval()
        assert after[0][0] == pytest.approx(summed(plain, prompts[0], answers[0][0]), abs=1e-4)
        assert abs(after[0][0] - before[0][0]) > 0.01
        engine.load(tiny_model)
        assert engine.score(prompts, answers) == before


def copied(source: Path, target: Path) -> Path:
    """A copy of a model directory, of which the weights may be overwritten."""
    target.mkdir()
    for path in source.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def changed(source: Path, target: Path) -> Path:
    """A copy of a model directory: the last MLP turned around, the embeddings (tied?) scaled."""
    layers = json.loads((source / "config.json").read_text())["num_hidden_layers"]
    target.mkdir()
    for path in source.iterdir():
        if path.suffix != ".safetensors":
            (target / path.name).write_bytes(path.read_bytes())
    weights = load_file(source / "model.safetensors")
    weights[f"model.layers.{layers - 1}.mlp.down_proj.weight"] *= -1
    weights["model.embed_tokens.weight"] *= 1.25
    save_file(weights, target / "model.safetensors", {"format": "pt"})
    return target


class TestWholeWeights:
    """What an engine is given to serve."""

    def test_a_full_model_is_served_where_it_lies(self, tiny_model):
        with whole_weights(Model(name="nobody/nothing"), tiny_model, "fp32") as directory:
            assert directory == tiny_model

    def test_an_adapter_is_merged_for_the_while(self, tiny_model, tokenizer, tmp_path):
        model = Model(name=str(tiny_model))
        train = Train(tuning="lora", lora=Lora(r=4), precision="fp32", gradient_checkpointing=False)
        adapted = load_for_training(model, train).eval()
        generator = torch.Generator().manual_seed(0)
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:  # zero at first: the adapter would change nothing
                weight.data = torch.randn(weight.shape, generator=generator) * 0.3
        adapted.save_pretrained(tmp_path / "adapter")
        tokenizer.save_pretrained(tmp_path / "adapter")

        ids = torch.tensor([token_ids(tokenizer)[0][2]])
        with whole_weights(model, tmp_path / "adapter", "fp32") as directory, torch.no_grad():
            merged = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
            assert not any("lora" in name for name, _ in merged.named_parameters())
            assert load_tokenizer(model, str(directory)).get_vocab() == tokenizer.get_vocab()
            wanted = adapted(input_ids=ids).logits
            torch.testing.assert_close(merged(input_ids=ids).logits, wanted, atol=1e-5, rtol=1e-4)
        assert not directory.exists()
        base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
        with torch.no_grad():
            assert (base(input_ids=ids).logits - wanted).abs().max() > 0.1

    def test_merged_weights_have_the_precision_asked_for(self, tiny_model, tokenizer, tmp_path):
        model = Model(name=str(tiny_model))
        train = Train(tuning="lora", precision="fp32", gradient_checkpointing=False)
        load_for_training(model, train).save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        with whole_weights(model, tmp_path, "bf16") as directory:
            kinds = {w.dtype for w in load_file(directory / "model.safetensors").values()}
        assert kinds == {torch.bfloat16}


@pytest.mark.parametrize(("room", "asked"), [(600, 512), (500, 500), (None, 512)])
def test_vllm_is_asked_for_no_more_than_the_models_context(
    tiny_model, tokenizer, monkeypatch, room, asked
):
    """It would refuse to start; that is seen only once the training is done."""
    given = {}

    def start(**settings):
        given.update(settings)
        return SimpleNamespace(get_tokenizer=lambda: tokenizer)

    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(LLM=start))
    model = Model(name=str(tiny_model), max_length=512)
    VllmEngine(model, FP32, tiny_model, room)
    assert given["max_model_len"] == asked


@pytest.mark.slow
def test_vllm_keeps_heads_of_prompts_and_can_be_closed(short_model, tmp_path):
    """Other weights get nothing that was kept; the engine below starts after this one's end."""
    tokenizer = AutoTokenizer.from_pretrained(short_model)
    # vLLM keeps whole blocks alone, of 128 tokens on a CPU: the prompts share some hundreds.
    talks = [[{"role": "user", "content": 6 * TEXTS[2] + text}] for text in TEXTS]
    ids = [encode_prompt(tokenizer, talk) for talk in talks]
    assert len(os.path.commonprefix(ids)) > 2 * 128
    model = Model(name=str(short_model), max_length=192)
    settings = FEW.model_copy(update={"engine": "vllm"})
    transformers, other = (
        HfEngine(model, FEW, short_model),
        changed(short_model, tmp_path / "other"),
    )
    engine = start_engine(model, settings, short_model, 1024, True)
    first = engine.generate(ids, settings)
    assert first == transformers.generate(ids, FEW)
    assert engine.generate(ids, settings) == first
    engine.load(other)
    transformers.load(other)
    swapped = engine.generate(ids, settings)
    assert swapped == transformers.generate(ids, FEW)
    assert swapped != first
    with pytest.raises(ValueError, match="prefix caching cannot score"):
        engine.score(ids, [[ids[0]]] * len(ids))
    assert_read_once(engine, ids[1], settings.model_copy(update={"max_new_tokens": 1}))
    engine.close()
    assert not hasattr(engine, "llm")


def assert_read_once(engine: VllmEngine, prompt: list[int], settings: Infer) -> None:
    """Nine answers to a prompt, one of them greedy, compute its whole blocks of 32 tokens once."""
    engine.llm.reset_prefix_cache()
    scheduler = engine.llm.llm_engine.engine_core.engine_core.scheduler
    plan, computed = scheduler.schedule, []

    def counted(*given):
        output = plan(*given)
        computed.append(output.total_num_scheduled_tokens)
        return output

    scheduler.schedule = counted
    found = engine.generate([prompt, prompt], settings, draws([0.0, 1.0], [0, 3], [1, 8]))
    scheduler.schedule = plan
    assert [len(texts) for texts in found] == [1, 8]
    tail = len(prompt) - (len(prompt) - 1) // 32 * 32
    assert sum(computed) == len(prompt) + 8 * tail
    assert tail < len(prompt) / 8


@pytest.mark.slow
class TestVllm:
    """A real engine on layers of a real model, beside the Hugging Face engine; both in fp32.

    The scores of the two differed by 5e-5 at most when this was written.
    """

    SETTINGS = FEW.model_copy(update={"engine": "vllm"})
    CLOSE = 1e-2

    @pytest.fixture(scope="class")
    def ids(self, short_model):
        return token_ids(AutoTokenizer.from_pretrained(short_model))

    @pytest.fixture(scope="class")
    def engine(self, short_model) -> Iterator[VllmEngine]:
        before = set(psutil.Process().children(recursive=True))
        engine = start_engine(
            Model(name=str(short_model), max_length=192), self.SETTINGS, short_model
        )
        started = set(psutil.Process().children(recursive=True)) - before
        # Python's own tracker of shared memory ends with this process.
        engines = [p for p in started if "resource_tracker" not in " ".join(p.cmdline())]
        yield engine
        engine.llm.llm_engine.engine_core.shutdown()
        _, left = psutil.wait_procs(engines, 20)
        for process in left:
            process.kill()

    @pytest.fixture(scope="class")
    def transformers(self, short_model) -> HfEngine:
        return HfEngine(Model(name=str(short_model), max_length=192), FEW, short_model)

    def test_same_answers(self, engine, transformers, ids):
        texts = transformers.generate(ids[0], FEW)
        assert engine.generate(ids[0], self.SETTINGS) == texts
        assert all(text for [text] in texts)
        assert not any("<|im_end|>" in text for [text] in texts)

    def test_tells_how_many_prompts_are_finished(self, engine, transformers, ids, monkeypatch):
        told = {}
        for name, one in (("vllm", engine), ("hf", transformers)):
            shown = SimpleNamespace(update=told.setdefault(name, []).append)
            monkeypatch.setattr(
                f"lib.inference.{name}.progress", lambda *_, s=shown, **__: nullcontext(s)
            )
            one.generate(ids[0], self.SETTINGS)
        assert told["vllm"] == list(range(1, len(ids[0]) + 1))
        assert told["hf"][-1] == len(ids[0])

    def test_each_row_has_its_own_temperature_and_seed(self, engine, ids):
        prompts, hot, seeds = ids[0], [0.0, 1.5, 0.0, 0.7, 1.5], [5, 6, 7, 8, 9]
        found = engine.generate(prompts, self.SETTINGS, draws(hot, seeds))
        cold = engine.generate(prompts, self.SETTINGS)
        assert [found[0], found[2]] == [cold[0], cold[2]]
        assert found[1] != cold[1]
        again = engine.generate(prompts[::-1], self.SETTINGS, draws(hot[::-1], seeds[::-1]))
        assert again[::-1] == found

    def test_answer_i_of_a_prompt_is_drawn_with_its_seed_plus_i(self, engine, ids):
        prompts, seeds, counts = ids[0], [5, 60, 700, 8000, 9], [3, 1, 4, 1, 2]
        found = engine.generate(prompts, self.SETTINGS, draws([1.0] * 5, seeds, counts))
        flat_prompts = [p for p, count in zip(prompts, counts, strict=True) for _ in range(count)]
        each = [s + i for s, count in zip(seeds, counts, strict=True) for i in range(count)]
        alone = engine.generate(flat_prompts, self.SETTINGS, draws([1.0] * 11, each))
        assert [text for texts in found for text in texts] == [text for [text] in alone]
        assert [len(texts) for texts in found] == counts
        assert len(set(found[2])) == 4

    def test_more_prompts_than_go_through_at_once_are_drawn_as_alone(self, engine, ids):
        """vLLM would part the prompt at the end of a batch, and its seeded draw would fail."""
        prompts = ids[0] * 10
        assert sum(map(len, prompts)) > 2048
        few = self.SETTINGS.model_copy(update={"max_new_tokens": 4})
        found = engine.generate(prompts, few, draws([1.0] * 50, list(range(50))))
        for start in (0, 20, 45):
            seeds = list(range(start, start + 5))
            assert engine.generate(ids[0], few, draws([1.0] * 5, seeds)) == found[start : start + 5]

    def test_same_scores(self, engine, transformers, ids):
        found, wanted = engine.score(*ids), transformers.score(*ids)
        assert [len(group) for group in found] == [len(group) for group in wanted]
        apart = [abs(a - b) for a, b in zip(flat(found), flat(wanted), strict=True)]
        print("largest difference:", max(apart))
        assert flat(found) == pytest.approx(flat(wanted), abs=self.CLOSE)
        assert len({round(value, 1) for value in flat(wanted)}) > 5

    def test_swapped_weights_are_served(self, engine, transformers, ids, short_model, tmp_path):
        other = changed(short_model, tmp_path / "other")
        before = engine.score(*ids)
        try:
            engine.load(other)
            transformers.load(other)
            after = engine.score(*ids)
            assert flat(after) == pytest.approx(flat(transformers.score(*ids)), abs=self.CLOSE)
            assert engine.generate(ids[0], self.SETTINGS) == transformers.generate(ids[0], FEW)
            apart = [abs(a - b) for a, b in zip(flat(after), flat(before), strict=True)]
            assert max(apart) > 100 * self.CLOSE
        finally:
            engine.load(short_model)
            transformers.load(short_model)
        assert flat(engine.score(*ids)) == pytest.approx(flat(before), abs=1e-4)
