"""The one chat predictor: what the engine is given, of one turn and of two."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from lib.config.errors import BadInput
from lib.config.load import load_study
from lib.data.encoding import encode_prompt, prompt_hash
from lib.data.testsets import prepare_test
from lib.inference.hf import HfEngine
from lib.inference.predict import ChatPredictor
from lib.tasks.mt_bench.data import messages
from lib.tasks.mt_bench.schema import TEMPERATURES


class Echo:
    """An engine that answers with the number of its call and of the row."""

    def __init__(self, text: str = " answer {} of call {}\n") -> None:
        self.text, self.calls = text, []

    def generate(self, prompts, settings, draws):
        self.calls.append(SimpleNamespace(prompts=prompts, settings=settings, draws=draws))
        return [[self.text.format(i, len(self.calls))] for i in range(len(prompts))]


@pytest.fixture
def chat(write_study, tiny_model):
    """Return a function that gives what a further task's predictor, served so, predicts, and it."""

    def predicted(engine, task, max_length=400, parts=((0, 99),), **section):
        changes = {f"{task}.{key}": value for key, value in section.items()}
        given = {"model.name": str(tiny_model), "tasks": ["decision", task],
                 "model.max_length": max_length, "infer.temperature": 0.5}  # fmt: skip
        study = load_study(write_study(given | changes))
        prepare_test(study, task)
        point = study.point(0)
        point.directory.mkdir(parents=True, exist_ok=True)
        if not (point.directory / "model").exists():
            (point.directory / "model").symlink_to(tiny_model)

        @contextmanager
        def serve(point, weights):
            yield engine or HfEngine(point.config.model, point.config.infer, tiny_model)

        predictor = ChatPredictor(study, task, SimpleNamespace(engine=serve))
        with predictor.serving(point):
            return [row for part in parts for row in predictor.predict(*part)], predictor.rows

    return predicted


def test_the_second_turn_sees_the_first_answer(chat, tokenizer):
    engine = Echo()
    made, rows = chat(engine, "mt_bench", questions="sample")
    first, second = engine.calls
    asked = [{"role": "user", "content": rows[0]["turns"][0]}]
    assert first.prompts[0] == encode_prompt(tokenizer, asked)
    asked += [
        {"role": "assistant", "content": "answer 0 of call 1"},
        {"role": "user", "content": rows[0]["turns"][1]},
    ]
    assert second.prompts[0] == encode_prompt(tokenizer, asked)
    assert made[0] == {
        "id": rows[0]["id"],
        "prompt_hash": prompt_hash(first.prompts[0]),
        "outputs": [" answer 0 of call 1\n", " answer 0 of call 2\n"],
        "scores": None,
        "cut": False,
    }
    assert [one["id"] for one in made] == [row["id"] for row in rows]


def test_each_question_of_two_turns_has_its_temperature_and_its_seed(chat):
    engine = Echo()
    _, rows = chat(engine, "mt_bench", questions="sample")
    first, second = ([(d.temperature, d.seed) for d in call.draws] for call in engine.calls)
    assert [heat for heat, _ in first] == [TEMPERATURES[row["category"]] for row in rows]
    assert [heat for heat, _ in first] == [heat for heat, _ in second]
    assert len({*first, *second}) == 2 * len(rows)
    writing = next(i for i, row in enumerate(rows) if row["id"] == "sample-writing")
    assert first[writing][1] == 2478664809  # on every machine


def test_a_long_first_answer_is_shortened(chat, tokenizer):
    engine = Echo("word " * 300)
    made, rows = chat(engine, "mt_bench", 300, questions="sample", limit=1)
    assert made[0]["cut"] is True
    assert made[0]["outputs"][0] == "word " * 300
    [prompt] = engine.calls[1].prompts
    assert 250 < len(prompt) <= 300
    end = f"{rows[0]['turns'][1]}<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.decode(prompt).endswith(end)


@pytest.mark.parametrize("turn", [1, 2])
def test_a_question_that_is_too_long(chat, tokenizer, turn):
    _, [row] = chat(Echo(), "mt_bench", questions="sample", limit=1)
    asked = row if turn == 1 else {**row, "answer": ""}
    most = len(encode_prompt(tokenizer, messages(asked, None))) - 1
    with pytest.raises(BadInput, match=f"model.max_length: row {row['id']} .* {most} are left"):
        chat(Echo(), "mt_bench", most, questions="sample", limit=1)


def test_a_task_of_one_turn_has_its_own_answer_length_and_the_studys_temperature(chat):
    engine = Echo()
    made, rows = chat(engine, "safety", prompts="sample", max_new_tokens=7)
    [call] = engine.calls
    assert call.settings.max_new_tokens == 7
    assert {(d.temperature, d.seed, d.count) for d in call.draws} == {(0.5, 0, 1)}
    assert made[3] == {"id": rows[3]["id"], "prompt_hash": prompt_hash(call.prompts[3]),
                       "outputs": [" answer 3 of call 1\n"], "scores": None}  # fmt: skip


def test_a_request_that_does_not_fit_is_named_and_not_quoted(chat):
    with pytest.raises(BadInput) as error:
        chat(Echo(), "safety", 16, prompts="sample")
    assert "row sample-" in str(error.value)
    assert "16 are left for it" in str(error.value)
    assert len(str(error.value)) < 110


def test_batches_change_no_answer(chat):
    whole, rows = chat(None, "mt_bench", questions="sample")
    apart, _ = chat(None, "mt_bench", parts=[(i, i + 1) for i in range(len(rows))],
                    questions="sample")  # fmt: skip
    assert apart == whole
    assert len({output for one in whole for output in one["outputs"]}) > len(rows)
