"""Two-turn answers: what the engine is given, and that batches and stops change nothing."""

from types import SimpleNamespace

import pytest

from lib.config.errors import BadInput
from lib.config.schema import Infer, Model
from lib.data.encoding import encode_prompt, prompt_hash
from lib.inference.serving import start_engine
from lib.tasks.mt_bench.answers import answer, messages, seed_of
from lib.tasks.mt_bench.data import build
from lib.tasks.mt_bench.schema import TEMPERATURES, Data

ROWS = sorted(
    build(Data(questions="sample")).rows["test"], key=lambda row: row["id"] != "sample-writing"
)
SETTINGS = Infer(engine="hf", precision="fp32", max_new_tokens=6)


class Echo:
    """An engine that answers with the number of its call and of the row."""

    def __init__(self, said: str = " answer {} of call {}\n") -> None:
        self.said, self.calls = said, []

    def generate(self, prompts, settings, temperatures, seeds):
        self.calls.append(SimpleNamespace(prompts=prompts, temperatures=temperatures, seeds=seeds))
        return [[self.said.format(i, len(self.calls))] for i in range(len(prompts))]


def test_the_second_turn_sees_the_first_answer(tokenizer):
    engine = Echo()
    [made] = answer(engine, tokenizer, ROWS[:1], SETTINGS, 500)
    first, second = engine.calls
    question, again = ROWS[0]["turns"]
    asked = [{"role": "user", "content": question}]
    assert first.prompts == [encode_prompt(tokenizer, asked)]
    asked += [
        {"role": "assistant", "content": "answer 0 of call 1"},
        {"role": "user", "content": again},
    ]
    assert second.prompts == [encode_prompt(tokenizer, asked)]
    assert made == {
        "id": ROWS[0]["id"],
        "prompt_hash": prompt_hash(first.prompts[0]),
        "outputs": [" answer 0 of call 1\n", " answer 0 of call 2\n"],
        "scores": None,
        "cut": False,
    }


def test_each_row_has_its_temperature_and_its_seed(tokenizer):
    engine = Echo()
    answer(engine, tokenizer, ROWS, SETTINGS, 500)
    first, second = engine.calls
    assert first.temperatures == [TEMPERATURES[row["category"]] for row in ROWS]
    assert second.temperatures == first.temperatures
    assert set(first.temperatures) == {0.0, 0.1, 0.7}
    assert len({*first.seeds, *second.seeds}) == 2 * len(ROWS)
    assert first.seeds[0] == seed_of(ROWS[0], 1) == 2478664809  # on every machine


def test_a_long_first_answer_makes_room(tokenizer):
    engine = Echo("word " * 300)
    [made] = answer(engine, tokenizer, ROWS[:1], SETTINGS, 300)
    assert made["cut"] is True
    assert made["outputs"][0] == "word " * 300
    length = len(engine.calls[1].prompts[0])
    assert 250 < length <= 300
    text = tokenizer.decode(engine.calls[1].prompts[0])
    assert text.endswith(f"{ROWS[0]['turns'][1]}<|im_end|>\n<|im_start|>assistant\n")


@pytest.mark.parametrize("turn", [1, 2])
def test_a_question_that_is_too_long(tokenizer, turn):
    room = len(encode_prompt(tokenizer, messages(ROWS[0], "" if turn == 2 else None))) - 1
    with pytest.raises(BadInput, match=f"model.max_length: question sample-writing .* {room}"):
        answer(Echo(), tokenizer, ROWS[:1], SETTINGS, room)


def test_no_rows(tokenizer):
    assert answer(Echo(), tokenizer, [], SETTINGS, 100) == []


class TestRealEngine:
    """The tiny model through transformers."""

    @pytest.fixture(scope="class")
    def engine(self, tiny_model):
        return start_engine(Model(name=str(tiny_model)), SETTINGS, tiny_model)

    @pytest.fixture(scope="class")
    def whole(self, engine, tokenizer):
        return answer(engine, tokenizer, ROWS, SETTINGS, 400)

    def test_neighbours_change_no_answer(self, engine, tokenizer, whole):
        alone = [answer(engine, tokenizer, [row], SETTINGS, 400)[0] for row in ROWS]
        assert alone == whole
        assert [made["id"] for made in whole] == [row["id"] for row in ROWS]
        assert all(len(made["outputs"]) == 2 for made in whole)
