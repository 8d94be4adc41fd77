"""Sides of a pair in every form, and the prompt that two of them share."""

import pytest

from lib.config.errors import BadInput
from lib.tasks.preference.conversations import as_messages, is_transcript, split, whole


def said(*contents, system=None):
    """User and assistant in turn."""
    roles = ("user", "assistant")
    made = [{"role": roles[n % 2], "content": text} for n, text in enumerate(contents)]
    return [{"role": "system", "content": system}, *made] if system else made


def answer(text):
    return {"role": "assistant", "content": text}


Q, QA = said("Why?"), said("Why?", "So.")


@pytest.mark.parametrize(
    ("value", "prompt", "expected"),
    [
        ("So.", "Why?", QA),
        ("So.", Q, QA),
        (QA, None, QA),
        (QA, "", QA),
        (QA, [], QA),
        (QA, Q, QA),  # the prompt is the head of the conversation
        ([answer("So.")], Q, QA),  # the answer alone, as a message
        ([answer("So.")], "Why?", QA),
        (said("Why?", "So.", "Sure?", "Yes."), "Why?", said("Why?", "So.", "Sure?", "Yes.")),
        (said("Why?", "So.", system="S"), " Why? ", said("Why?", "So.", system="S")),
        ([{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}], None, QA),
        ("\n\nHuman: Why?\n\nAssistant: So.", None, QA),
        ("\n\nHuman: Why?\n\nAssistant: So.", "\n\nHuman: Why?\n\nAssistant:", QA),
        (" So.", "\n\nHuman: Why?\n\nAssistant:", QA),  # the space is the transcript's
        (" So.", "Why?", said("Why?", " So.")),
        (None, "Why?", said("Why?", "")),
    ],
)
def test_a_side_in_every_form(value, prompt, expected):
    assert whole(value, prompt, "f:1", "chosen") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\n\nHuman: A\n\nAssistant: B\n\nHuman: C\n\nAssistant:", said("A", "B", "C")),
        ("Human: A\n\nAssistant: ", said("A")),
        ("\n\nHuman: A\n\nB\n\nAssistant: C\nHuman: D", said("A\n\nB", "C\nHuman: D")),
        ("\n\nHuman: A\n\nHuman: B\n\nAssistant:", said("A\n\nB")),  # said twice: one message
        ("\n\nHuman: A\n\nAssistant:\n\nHuman: B\n\nAssistant:", said("A", "", "B")),
        ("Human rights: what are they?", said("Human rights: what are they?")),
        ("Write as\n\nHuman: …\n\nAssistant: …", said("Write as\n\nHuman: …\n\nAssistant: …")),
    ],
)  # fmt: skip
def test_transcripts(text, expected):
    assert as_messages(text, "f:1", "prompt") == expected


def test_a_transcript_is_told_from_text():
    assert is_transcript("\n\nHuman: A\n\nAssistant:")
    assert not is_transcript("Human: A")
    assert not is_transcript("Assistant: A\n\nHuman: B")


@pytest.mark.parametrize(
    ("value", "prompt", "message"),
    [
        (3, "Why?", "f:1: chosen: found 3, expected text or a list of messages"),
        (["So."], "Why?", "f:1: chosen: found ['So.'], expected text or a list of messages"),
        ("So.", {"text": "Why?"}, "f:1: prompt: found {'text': 'Why?'}, expected text or"),
        ([{"role": "bot", "content": "x"}], Q, "f:1: chosen: found role 'bot', expected one of"),
        ([{"role": "asistant", "content": "x"}], Q, "did you mean 'assistant'?"),
        ([{"role": "assistant"}], Q, "found a message whose 'content' is None, expected text"),
        ([{"role": "user", "content": [{"type": "text"}]}], Q, "'content' is [{'type': 'text'}]"),
        ([{"content": "x"}], Q, "found role None, expected one of"),
        (QA, "What?", "f:1: chosen: the prompt is no part of this conversation"),
    ],
)
def test_bad_sides(value, prompt, message):
    with pytest.raises(BadInput) as error:
        whole(value, prompt, "f:1", "chosen")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("chosen", "rejected", "expected"),
    [
        (QA, said("Why?", "No."), (Q, "So.", "No.")),
        (said("A", "B", "C", "D"), said("A", "B", "C", "E"), (said("A", "B", "C"), "D", "E")),
        (QA, QA, (Q, "So.", "So.")),
        # They part before the last answer: what is preferred is more than one answer.
        (said("A", "B", "C", "D"), said("A", "X", "C", "E"), None),
        (QA, said("Why?", "So.", "Sure?", "Yes."), None),
        (said("A", "B", "C", "D"), said("A", "B", "c", "D"), None),
    ],
)
def test_the_shared_prompt(chosen, rejected, expected):
    assert split(chosen, rejected, "f:1") == expected


def test_texts_that_begin_alike_share_no_prompt():
    chosen, rejected = said("Why is it so?", "a"), said("Why is it not?", "b")
    with pytest.raises(BadInput, match="f:1: chosen and rejected have no common prompt"):
        split(chosen, rejected, "f:1")


@pytest.mark.parametrize(
    ("chosen", "rejected", "message"),
    [
        (said("A", "B", system="S"), said("C", "B", system="S"), "no common prompt"),
        ([answer("A")], [answer("B")], "no common prompt"),
        (Q, QA, "f:1: chosen: found a message of the user at the end, expected the assistant's"),
        (QA, [], "f:1: rejected: found nothing at the end, expected the assistant's answer"),
    ],
)
def test_sides_that_make_no_pair(chosen, rejected, message):
    with pytest.raises(BadInput) as error:
        split(chosen, rejected, "f:1")
    assert message in str(error.value)
