"""Answers and their probabilities from transformers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from os.path import commonprefix
from pathlib import Path
from typing import Any

from lib.config.errors import BadInput
from lib.config.schema import Infer, Model
from lib.data.special_tokens import end_tokens
from lib.inference.base import Draw, Ids, default_draw, free, regroup
from lib.runs.progress import progress


class HfEngine:
    """transformers, in batches of similar length, whose prompts' common start is computed once."""

    BATCH, LARGEST_BATCH = 16, 64  # rows; more than BATCH where prompts are short
    TOKENS = 4096  # of prompts in a batch of more

    def __init__(self, model: Model, settings: Infer, directory: Path) -> None:
        self.model_settings, self.settings = model, settings
        self.load(directory)

    def load(self, directory: Path) -> None:
        """Load the weights anew, unless they are served already."""
        import torch
        from transformers import DynamicCache, GenerationConfig
        from transformers.cache_utils import DynamicLayer

        from lib.models.load import DTYPES, load_base, load_tokenizer
        from lib.models.trainable import four_bit, nf4_fault

        if getattr(self, "served", None) == directory:
            return
        dtype = DTYPES[self.settings.precision]
        self.model: Any = None  # never two of them
        self.adapted = False
        self.served = None
        where = None if str(directory) == self.model_settings.name else str(directory)
        if self.settings.base == "nf4":
            if fault := nf4_fault():
                raise BadInput(f"infer.base: found 'nf4', expected full here: {fault}")
            self.model = load_base(
                self.model_settings, torch.bfloat16, where, quantization_config=four_bit()
            )
        else:
            self.model = load_base(self.model_settings, dtype, where)
            self.model.to("cuda" if torch.cuda.is_available() else "cpu")
        self.model.eval()
        self.served = directory
        # What a model's authors like to sample with, such as Qwen2.5's repetition penalty, would be
        # taken for whatever `generate` is not told; vLLM takes none of it.
        self.model.generation_config = GenerationConfig()
        # Padding behind a shared prefix would count as tokens of a sliding window or of a state.
        layers = DynamicCache(config=self.model.config).layers
        self.shares_prefixes = all(type(layer) is DynamicLayer for layer in layers)
        self.tokenizer = load_tokenizer(self.model_settings, str(directory))

    def use(self, adapter: Path) -> None:
        """See `Engine`."""
        from lib.models.adapters import load_adapter

        base = self.model.unload() if self.adapted else self.model
        self.model = load_adapter(base, adapter, self.model_settings)
        self.adapted = True

    def close(self) -> None:
        """See `Engine`."""
        self.model = self.served = None
        free()

    def generate(
        self, prompts: Sequence[Ids], settings: Infer, draws: Sequence[Draw] | None = None
    ) -> list[list[str]]:
        """See `Engine`."""
        import torch

        draws = draws or [default_draw(settings)] * len(prompts)
        single = [
            (prompt, Draw(draw.temperature, draw.seed + i))
            for prompt, draw in zip(prompts, draws, strict=True)
            for i in range(draw.count)
        ]
        texts = [""] * len(single)
        with progress(len(single), "generate", "answer", passing=True) as shown:
            done = 0
            for places in self._batches([prompt for prompt, _ in single]):
                asked = [single[place][0] for place in places]
                shared = self._shared(asked)
                repeated = shared or len(list(groupby(asked))) < len(asked)
                ids, mask = self._pad(asked, shared)
                noise = GumbelNoise([single[place][1] for place in places], ids.device)
                with torch.inference_mode():
                    generated = self.model.generate(
                        input_ids=ids,
                        attention_mask=mask,
                        past_key_values=self._prefixes(asked) if repeated else None,
                        max_new_tokens=settings.max_new_tokens,
                        eos_token_id=sorted(end_tokens(self.tokenizer)),
                        pad_token_id=self.tokenizer.pad_token_id,
                        logits_processor=[noise] if noise.drawn else [],
                        do_sample=False,
                        temperature=None,
                        top_p=None,
                        top_k=None,
                    )
                new = generated[:, ids.shape[1] :]
                decoded = self.tokenizer.batch_decode(new, skip_special_tokens=True)
                for place, text in zip(places, decoded, strict=True):
                    texts[place] = text
                shown.update(done := done + len(places))
        return regroup(texts, [range(draw.count) for draw in draws])

    def score(self, prompts: Sequence[Ids], answers: Sequence[Sequence[Ids]]) -> list[list[float]]:
        """See `Engine`. A prompt is computed once for all of its answers."""
        return regroup([score for score, _ in self._scored(prompts, answers)], answers)

    def generate_and_score(
        self, prompts: Sequence[Ids], settings: Infer, answers: Sequence[Sequence[Ids]]
    ) -> tuple[list[list[str]], list[list[float]]]:
        """See `Engine`. A greedy answer that is one of the scored answers is not generated."""
        scored = regroup(self._scored(prompts, answers), answers)
        ends, texts = end_tokens(self.tokenizer), [[""]] * len(prompts)
        left = []
        for place, (given, results) in enumerate(zip(answers, scored, strict=True)):
            greedy = [
                answer
                for answer, (_, likeliest) in zip(given, results, strict=True)
                if likeliest and len(answer) <= settings.max_new_tokens
                and [token in ends for token in answer] == [False] * (len(answer) - 1) + [True]
            ]  # fmt: skip
            if greedy and not default_draw(settings).temperature:
                texts[place] = [self.tokenizer.decode(greedy[0], skip_special_tokens=True)]
            else:
                left.append(place)
        generated = self.generate([prompts[place] for place in left], settings)
        for place, text in zip(left, generated, strict=True):
            texts[place] = text
        return texts, [[score for score, _ in results] for results in scored]

    def _scored(
        self, prompts: Sequence[Ids], answers: Sequence[Sequence[Ids]]
    ) -> list[tuple[float, bool]]:
        """Of each answer of each prompt its log-probability, and whether it is the greedy answer.

        The latter as far as it goes: each of its tokens is the likeliest after those before.
        """
        import torch

        from lib.logps import token_nll

        pairs = [(p, a) for p, given in zip(prompts, answers, strict=True) for a in given]
        results = [(0.0, False)] * len(pairs)
        for places in self._batches([prompt for prompt, _ in pairs]):
            batch = [pairs[place] for place in places]
            asked = [prompt for prompt, _ in batch]
            before = self._pad(asked, self._shared(asked))[1][:, :-1]
            ids, mask = self._pad([[p[-1], *answer[:-1]] for p, answer in batch], side="right")
            labels = _padded([answer for _, answer in batch], -100, "right").to(ids.device)
            mask = torch.cat([before, mask], 1)
            with torch.inference_mode():
                logits = self.model(
                    input_ids=ids,
                    attention_mask=mask,
                    position_ids=_positions(mask)[:, before.shape[1] :],
                    past_key_values=self._prefixes(asked),
                ).logits
            sums = (-token_nll(logits, labels).sum(1)).tolist()
            likeliest = ((logits.argmax(-1) == labels) | (labels == -100)).all(1).tolist()
            for place, *result in zip(places, sums, likeliest, strict=True):
                results[place] = tuple(result)
        return results

    def _batches(self, prompts: Sequence[Ids]) -> Iterator[list[int]]:
        """Places of prompts in batches, longest first; equal neighbours stay together."""
        order = sorted(range(len(prompts)), key=lambda place: -len(prompts[place]))
        size = self._rows(prompts)
        batch: list[int] = []
        for _, group in groupby(order, key=lambda place: prompts[place]):
            same = list(group)
            if batch and len(batch) + len(same) > size:
                yield batch
                batch = []
            batch += same
        if batch:
            yield batch

    def _rows(self, prompts: Sequence[Ids]) -> int:
        """Rows of a batch: more of short prompts, whose single tokens leave a device idle."""
        longest = max(map(len, prompts), default=1)
        return max(self.BATCH, min(self.LARGEST_BATCH, self.TOKENS // longest))

    def _prefixes(self, prompts: Sequence[Ids]) -> Any:
        """Keys and values of all but the last token of each prompt, one row a prompt given.

        The tokens that all prompts begin with are computed once, as are equal prompts beside each
        other. None where all prompts are single tokens.
        """
        import torch

        distinct = [(list(prompt), len(list(same))) for prompt, same in groupby(prompts)]
        shared = self._shared(prompts)
        ids, mask = self._pad([prompt for prompt, _ in distinct], shared)
        if ids.shape[1] == 1:
            return None
        mask = mask[:, :-1]
        copies = torch.tensor([count for _, count in distinct], device=ids.device)
        rows = torch.arange(len(distinct), device=ids.device).repeat_interleave(copies)
        with torch.inference_mode():
            cache = None
            if shared:
                cache = self._forward(ids[:1, :shared], mask[:1, :shared])
                cache.batch_repeat_interleave(len(distinct))
            cache = self._forward(ids[:, shared:-1], mask, cache)
            cache.batch_select_indices(rows)
        return cache

    def _shared(self, prompts: Sequence[Ids]) -> int:
        """Tokens that different prompts all begin with, at most all but the last two of each."""
        start = len(commonprefix([list(prompt) for prompt in prompts]))
        shortest = min(map(len, prompts))
        different = start < shortest or start < max(map(len, prompts))
        return max(0, min(start, shortest - 2)) if self.shares_prefixes and different else 0

    def _forward(self, ids: Any, mask: Any, cache: Any = None) -> Any:
        """Keys and values of the tokens `ids`, behind those of `cache`; `mask` is of both."""
        return self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=_positions(mask)[:, -ids.shape[1] :],
            past_key_values=cache,
            logits_to_keep=1,
            use_cache=True,
        ).past_key_values

    def _pad(self, rows: Sequence[Ids], start: int = 0, side: str = "left") -> tuple[Any, Any]:
        """Token ids and mask, (B, L), padded on a side of what follows the first `start` tokens."""
        import torch

        ids = _padded([row[start:] for row in rows], self.tokenizer.pad_token_id, side)
        mask = _padded([[1] * (len(row) - start) for row in rows], 0, side)
        first = torch.tensor([list(row[:start]) for row in rows], dtype=torch.int64)
        ids, mask = torch.cat([first, ids], 1), torch.cat([torch.ones_like(first), mask], 1)
        return ids.to(self.model.device), mask.to(self.model.device)


class GumbelNoise:
    """Logits + temperature · Gumbel noise, whose argmax is a draw from softmax(logits/temperature).

    transformers samples a batch at one temperature and from one generator, so that a row would
    depend on its neighbours; here each row has its own.
    Source: Gumbel-max trick, Maddison et al. 2014.
    """

    def __init__(self, draws: Sequence[Draw], device: Any) -> None:
        import torch

        self.drawn = {
            row: (draw.temperature, torch.Generator(device).manual_seed(draw.seed))
            for row, draw in enumerate(draws)
            if draw.temperature
        }

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Scores (B, V) with the noise of one more step."""
        scores = scores.float().clone()
        for row, (temperature, generator) in self.drawn.items():
            exponential = scores.new_empty(scores.shape[1]).exponential_(generator=generator)
            scores[row] -= temperature * exponential.clamp_min(1e-38).log()
        return scores


def _positions(mask: Any) -> Any:
    """Position of each token in its row, (B, L)."""
    return (mask.cumsum(1) - 1).clamp(min=0)


def _padded(rows: Sequence[Ids], value: int, side: str) -> Any:
    """(B, L) int64."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    tensors = [torch.tensor(list(row)) for row in rows]
    return pad_sequence(tensors, True, value, padding_side=side)
