"""Rewards of answers: the one logit of a sequence classifier that reads question and answer.

Texts go in batches of about equal length, padded on the right. Such a model takes the logit at the
last token that is not its config's `pad_token_id`, or at the last of all where it has none. So that
is what texts are padded with, or with a token that none of them holds: each gets the reward that it
gets alone, whatever the tokenizer's padding is.
Source: GenericForSequenceClassification of transformers; Skywork-Reward-V2's model card.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from lib.config.errors import BadInput
from lib.config.schema import Infer, Judge
from lib.config.tasks import Reply, conversation
from lib.inference.base import Ids, free
from lib.judging.local import Answer, LocalJudge, LocalModel, not_loaded, open_model
from lib.models.precision import precision_here
from lib.runs.progress import progress

TOKENS = 8192  # of one batch, padding included
HEAD = "ForSequenceClassification"


def open_reward_model(settings: Judge, infer: Infer) -> LocalJudge:
    """The reward model of a study, checked, its weights not yet loaded; scores are [reward].

    Raises what `open_model` raises, and BadInput where it is no model with a single logit.
    """
    model = open_model(settings, conversation("A question?", "An answer."), writes=False)
    named, logits = list(model.config.architectures or []), model.config.num_labels
    if not any(name.endswith(HEAD) for name in named) or logits != 1:
        raise BadInput(
            f"judge.model: {settings.model} is a reward model without a single logit: found "
            f"{', '.join(named) or 'no architecture'} with num_labels {logits}, expected a model "
            f"…{HEAD} with num_labels 1"
        )
    load = partial(_loaded, model, infer.precision)
    return LocalJudge(model, load, infer.batch_size, token_budget=0)


@contextmanager
def _loaded(model: LocalModel, precision: str, longest: int) -> Iterator[Answer]:
    """The model in memory. precision: of `infer`. Raises BadInput where weights are missing."""
    import torch

    classifier: Any = _weights(model, precision)
    classifier.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    text_config = classifier.config.get_text_config()
    text_config.use_cache = False
    padding = text_config.pad_token_id

    def answer(questions: list[Ids]) -> list[Reply]:
        replies: dict[int, Reply] = {}
        with progress(len(questions), "reward", "answer", passing=True) as shown:
            for places in token_batches(list(map(len, questions)), TOKENS):
                batch = [questions[place] for place in places]
                text_config.pad_token_id = _absent(batch) if padding is None else padding
                rewards = _rewards(classifier, batch, text_config.pad_token_id)
                if not all(map(math.isfinite, rewards)):
                    raise BadInput(f"judge.model: {model.settings.model} gives an answer the "
                                   f"reward {min(rewards, key=math.isfinite)}")  # fmt: skip
                replies |= {p: Reply(scores=[r]) for p, r in zip(places, rewards, strict=True)}
                shown.update(len(replies))
        return [replies[place] for place in range(len(questions))]

    try:
        yield answer
    finally:
        classifier = None
        free()


def _weights(model: LocalModel, precision: str) -> Any:
    from safetensors import SafetensorError
    from transformers import AutoModelForSequenceClassification

    from lib.models.load import DTYPES

    settings = model.settings
    try:
        classifier, loading = AutoModelForSequenceClassification.from_pretrained(
            model.directory,
            dtype=DTYPES[precision_here(precision)],
            trust_remote_code=settings.trust_remote_code,
            use_safetensors=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise not_loaded(settings, error) from None
    if missing := sorted(loading["missing_keys"]):
        raise BadInput(f"judge.model: {settings.model} lacks weights of its reward model: "
                       f"{', '.join(missing[:3])}")  # fmt: skip
    return classifier


def _rewards(classifier: Any, batch: Sequence[Ids], pad: int) -> list[float]:
    import torch
    from torch.nn.utils.rnn import pad_sequence

    def padded(rows: list[list[int]], value: int) -> Any:
        tensors = [torch.tensor(row) for row in rows]
        return pad_sequence(tensors, batch_first=True, padding_value=value).to(classifier.device)

    with torch.inference_mode():
        logits = classifier(
            input_ids=padded([list(ids) for ids in batch], pad),
            attention_mask=padded([[1] * len(ids) for ids in batch], 0),
        ).logits
    return logits.float()[:, 0].tolist()


def token_batches(lengths: Sequence[int], most: int) -> list[list[int]]:
    """Places in batches of at most `most` tokens with padding, one text at least; longest first."""
    batches: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        if not batches or (len(batches[-1]) + 1) * lengths[batches[-1][0]] > most:
            batches.append([])
        batches[-1].append(place)
    return batches


def _absent(texts: Sequence[Ids]) -> int:
    """The first token that no text holds."""
    held = {token for text in texts for token in text}
    return next(token for token in range(len(held) + 1) if token not in held)
