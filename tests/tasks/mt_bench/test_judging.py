"""What the judge is asked, and which ratings count."""

import json

import pytest

from lib.config.errors import BadInput
from lib.tasks.mt_bench.judging import NAMES, NEEDED, judge_messages, rating_of, read_prompts

ROW = {"id": "1", "category": "writing", "turns": ["Q-one", "Q-two"], "reference": None}
BESIDE = {**ROW, "category": "math", "reference": ["R-one", "R-two"]}


@pytest.mark.parametrize(
    ("raw", "rating"),
    [
        ("Rating: [[7]]", 7),
        ("Rating: [[7.5]] or so", 7.5),
        ("[[ 10 ]]", 10),
        ("[[1]]", 1),
        ("[[8.]]", 8),
        ("[[+3]]", 3),
        ("first [[4]], then [[9]]", 4),
        ("[[rating]]: [[6]]", 6),
        ("[[11]] no, [[5]]", None),
        ("[[0]]", None),
        ("[[0.99]]", None),
        ("[[10.01]]", None),
        ("[[-5]]", None),
        ("[[8/10]]", None),
        ("[[8/10]], that is [[8]]", None),
        ("[[−5]] [[5]]", None),
        ("[[７]]", None),
        ("[[turn 1]] [[7]]", 7),
        ("[[7,5]]", None),
        ("[[٧]]", None),
        ("[7]", None),
        ("Rating: 7", None),
        ("[[1e1]]", None),
        ("[[" + "9" * 400 + "]]", None),
        ("", None),
        (None, None),
    ],
)
def test_rating(raw, rating):
    assert rating_of(raw) == rating


class TestOurPrompts:
    @pytest.mark.parametrize("row", [ROW, BESIDE], ids=["alone", "beside a reference"])
    @pytest.mark.parametrize("turn", [1, 2])
    def test_hold_what_they_need_and_no_more(self, row, turn):
        [said] = judge_messages(read_prompts(None), row, turn, [" A-one\n", "A-two "])
        text = said["content"]
        assert said["role"] == "user"
        assert "[[rating]]" in text
        shown = {word: text.count(word) for word in ("Q-one", "Q-two", "A-one", "A-two")}
        beside = row is BESIDE
        wanted = 1 + (beside and turn == 2)
        assert shown["Q-one"] == wanted
        assert shown["A-one"] == 1
        assert shown["Q-two"] == (wanted if turn == 2 else 0)
        assert shown["A-two"] == (turn == 2)
        assert ("R-one" in text, "R-two" in text) == (beside, beside and turn == 2)
        assert "{" not in text
        assert rating_of(text) == 5  # the example: what a judge repeats must not be the whole scale

    def test_places_in_an_answer_are_only_text(self):
        [said] = judge_messages(read_prompts(None), ROW, 1, ["{question} {answer} {x} \\1", ""])
        assert "{question} {answer} {x} \\1" in said["content"]


def fastchat(**changes) -> list[dict]:
    """Prompts in FastChat's format, of other words; `changes` to the first."""
    made = []
    for name in NAMES.values():
        places = "\n".join(f"{place}: {{{place}}}" for place in NEEDED[name])
        made.append(
            {
                "name": name,
                "type": "single",
                "system_prompt": f"You judge {name}.",
                "prompt_template": f"Judge.\n{places}",
                "output_format": "[[rating]]",
            }
        )
    made[0] |= changes
    return [{"name": "pair-v2", "output_format": "[[A]]"}, *made]


@pytest.fixture
def write(tmp_path):
    def write_lines(records: list[dict]) -> str:
        path = tmp_path / "prompts.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        return str(path)

    return write_lines


class TestFilesOfPrompts:
    def test_replace_ours(self, write):
        prompts = read_prompts(write(fastchat()))
        system, user = judge_messages(prompts, BESIDE, 2, ["A-one", "A-two"])
        assert system == {"role": "system", "content": "You judge single-math-v1-multi-turn."}
        assert user["content"] == (
            "Judge.\nquestion_1: Q-one\nanswer_1: A-one\nquestion_2: Q-two\nanswer_2: A-two\n"
            "ref_answer_1: R-one\nref_answer_2: R-two"
        )
        assert prompts.hash != read_prompts(None).hash

    def test_the_hash_is_of_the_words(self, write):
        before = read_prompts(write(fastchat())).hash
        assert read_prompts(write(fastchat()[::-1])).hash == before
        assert read_prompts(write(fastchat(system_prompt="Be kind."))).hash != before

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"name": "single-v11"}, "'single-v1': missing, found .*did you mean 'single-v11'"),
            ({"prompt_template": "{question}"}, "'single-v1': prompt_template lacks {answer}"),
            (
                {"prompt_template": "{question} {answer} {ref_answer_1}"},
                "prompt_template has {ref_answer_1}, expected {question}, {answer}",
            ),
            ({"system_prompt": None}, "expected system_prompt and prompt_template as texts"),
            ({"output_format": "[[A]]"}, "output_format: found '\\[\\[A\\]\\]'"),
        ],
    )
    def test_bad_ones(self, write, changes, expected):
        path = write(fastchat(**changes))
        with pytest.raises(BadInput, match=expected) as error:
            read_prompts(path)
        assert str(error.value).startswith(path)

    def test_no_file(self):
        with pytest.raises(BadInput, match="nowhere.jsonl: no such file"):
            read_prompts("nowhere.jsonl")
