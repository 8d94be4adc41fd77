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
from typing import Any

from lib.config.errors import BadInput
from lib.config.schema import Judge
from lib.config.tasks import Message
from lib.inference.base import Ids, free
from lib.judging.local import Local, not_loaded, open_local, render

TOKENS = 8192  # of one batch, padding included
HEAD = "ForSequenceClassification"


def open_reward(settings: Judge) -> Local:
    """The reward model of a study, checked, its weights not yet loaded.

    Raises lib.judging.local.Missing where it is not to be had, BadInput where it is no model with a
    single logit and a chat template that shows question and answer.
    """
    local = open_local(settings)
    named, logits = list(local.config.architectures or []), local.config.num_labels
    if not any(name.endswith(HEAD) for name in named) or logits != 1:
        raise BadInput(
            f"judge.model: {settings.model} is a reward model without a single logit: found "
            f"{', '.join(named) or 'no architecture'} with num_labels {logits}, expected a model "
            f"…{HEAD} with num_labels 1"
        )
    if render(local.tokenizer, conversation("A question?", "An answer."), reply=False) is None:
        raise BadInput(f"judge.model: the chat template of {settings.model} does not show the "
                       f"whole conversation, as judge.kind reward needs it")  # fmt: skip
    return local


def conversation(question: str, answer: str) -> list[Message]:
    """The chat that is rewarded."""
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer.strip()}]


class RewardModel:
    """A reward model in memory."""

    def __init__(self, local: Local, precision: str) -> None:
        """Load the weights. precision: bf16 or fp32. Raises BadInput where some are not there."""
        import torch
        from safetensors import SafetensorError
        from transformers import AutoModelForSequenceClassification

        from lib.models.load import DTYPES

        self.local = local
        try:
            loaded, found = AutoModelForSequenceClassification.from_pretrained(
                local.directory,
                dtype=DTYPES[precision],
                trust_remote_code=local.settings.trust_remote_code,
                use_safetensors=True,
                output_loading_info=True,
            )
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise not_loaded(local.settings, error) from None
        if lacking := sorted(found["missing_keys"]):
            raise BadInput(f"judge.model: {local.settings.model} lacks weights of its reward "
                           f"model: {', '.join(lacking[:3])}")  # fmt: skip
        self.text_config = loaded.config.get_text_config()
        self.text_config.use_cache = False
        self.padding = self.text_config.pad_token_id
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model: Any = loaded.to(device).eval()

    def encode(self, question: str, answer: str) -> list[int] | None:
        """Token ids of a conversation; None where it cannot be rewarded as a whole.

        That is where the template hides a part, or where it is longer than the model can read.
        """
        text = render(self.local.tokenizer, conversation(question, answer), reply=False)
        if text is None:
            return None
        ids = self.local.tokenizer(text, add_special_tokens=False)["input_ids"]
        context = self.local.context
        return ids if context is None or len(ids) <= context else None

    def score(self, texts: Sequence[Ids]) -> Iterator[dict[int, float]]:
        """Place → reward, batch by batch, longest texts first.

        Raises BadInput where a reward is not finite.
        """
        import torch

        for places in token_batches(list(map(len, texts)), TOKENS):
            batch = [texts[place] for place in places]
            pad = self.padding if self.padding is not None else _absent(batch)
            width = max(map(len, batch))
            ids = torch.full((len(batch), width), pad)
            mask = torch.zeros_like(ids)
            for row, text in enumerate(batch):
                ids[row, : len(text)] = torch.tensor(list(text))
                mask[row, : len(text)] = 1
            self.text_config.pad_token_id = pad
            ids, mask = ids.to(self.model.device), mask.to(self.model.device)
            with torch.inference_mode():
                logits = self.model(input_ids=ids, attention_mask=mask).logits
            rewards = logits.float()[:, 0].tolist()
            if not all(map(math.isfinite, rewards)):
                raise BadInput(f"judge.model: {self.local.settings.model} gives an answer the "
                               f"reward {min(rewards, key=math.isfinite)}")  # fmt: skip
            yield dict(zip(places, rewards, strict=True))

    def close(self) -> None:
        """Free the memory."""
        self.model = None
        free()


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
