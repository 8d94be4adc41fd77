"""Answers and their probabilities from a trained model: vLLM or Hugging Face behind one face.

Both engines get the same token ids and give the same rows. One engine serves a whole grid: `load`
swaps the weights of the next point in, where starting an engine takes most of a minute.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from lib.checkpoints import check_directory, is_adapter
from lib.encoding import end_tokens
from lib.schema import Infer, Model

Ids = Sequence[int]
# Room for some hundred short rows at a time; vLLM would otherwise ask for nearly all of the memory.
CPU_MEMORY = {"gpu_memory_utilization": 0.2, "kv_cache_memory_bytes": 1 << 30}


class Engine(Protocol):
    """What stage 3 asks of an engine. Prompts and answers are token ids."""

    def load(self, directory: Path) -> None:
        """Serve these whole weights from now on."""

    def generate(
        self,
        prompts: Sequence[Ids],
        settings: Infer,
        temperatures: Sequence[float] | None = None,
        seeds: Sequence[int] | None = None,
    ) -> list[list[str]]:
        """Raw text of one answer a prompt, as a list of one; special tokens left out.

        temperatures, seeds: one a prompt; None: the settings' temperature and seed 0 for all. What
        is drawn for a prompt hangs on its own seed alone, not on the prompts beside it.
        """

    def score(self, prompts: Sequence[Ids], answers: Sequence[Sequence[Ids]]) -> list[list[float]]:
        """log p(answer | prompt), nats, summed over tokens, of each answer of each prompt.

        Not of an engine that was started with `caching`.
        """

    def close(self) -> None:
        """Free the memory; nothing can be asked afterwards."""


@contextmanager
def whole_weights(model: Model, directory: Path, precision: str) -> Iterator[Path]:
    """A directory of whole weights: a full model's own, an adapter's merged for the while."""
    check_directory(directory, "model")
    if not is_adapter(directory):
        yield directory
        return
    from lib.models import DTYPES, merge

    with tempfile.TemporaryDirectory(prefix="lossgrid-merged-") as scratch:
        merge(model, directory, DTYPES[precision], Path(scratch))
        yield Path(scratch)


def start_engine(
    model: Model,
    settings: Infer,
    directory: Path,
    room: int | None = None,
    caching: bool = False,
) -> Engine:
    """The engine that `settings` ask for, serving the whole weights in `directory`.

    directory: may also be `model.name`, a hub id. room: tokens of prompt and answer together; None:
    as model and settings have them. caching: keep the heads that prompts share (vLLM); cached
    positions have no log-probabilities, so that nothing can be scored then.
    """
    if settings.engine == "hf":
        return HfEngine(model, settings, directory)
    return VllmEngine(model, settings, directory, room, caching)


def free() -> None:
    """Give memory back that no object holds any more, where torch has any of a GPU's."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


class VllmEngine:
    """vLLM, in a process of its own where there is a GPU."""

    def __init__(
        self,
        model: Model,
        settings: Infer,
        directory: Path,
        room: int | None = None,
        caching: bool = False,
    ) -> None:
        import torch

        room = room or model.max_length + settings.max_new_tokens
        self.caching = caching
        self.cuda = cuda = torch.cuda.is_available()
        if not cuda:
            # An engine in a process of its own keeps one core for itself and starts 25 s later.
            os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        from vllm import LLM

        self.served = directory
        self.llm = LLM(
            model=str(directory),
            revision=model.revision if str(directory) == model.name else None,
            dtype={"bf16": "bfloat16", "fp32": "float32"}[settings.precision],
            max_model_len=room,
            max_num_batched_tokens=max(2048, room),
            trust_remote_code=model.trust_remote_code,
            enable_prefix_caching=caching,
            # Compiling pays off over hours on a GPU and never on a CPU.
            enforce_eager=not cuda,
            seed=0,
            disable_log_stats=True,
            **({"gpu_memory_utilization": settings.gpu_memory} if cuda else CPU_MEMORY),
        )
        self.ends = sorted(end_tokens(self.llm.get_tokenizer()))

    def load(self, directory: Path) -> None:
        """Swap the weights in place."""
        if directory != self.served:
            self.llm.collective_rpc("reload_weights", kwargs={"weights_path": str(directory)})
            if not self.cuda:
                self.llm.apply_model(_repack)
            if self.caching:  # what is kept was computed with the old weights
                self.llm.reset_prefix_cache()
            self.served = directory

    def close(self) -> None:
        """See `Engine`: the process of the engine ends, and here its groups of devices."""
        from vllm.distributed import cleanup_dist_env_and_memory

        self.llm.llm_engine.engine_core.shutdown()
        del self.llm
        cleanup_dist_env_and_memory()
        free()

    def generate(
        self,
        prompts: Sequence[Ids],
        settings: Infer,
        temperatures: Sequence[float] | None = None,
        seeds: Sequence[int] | None = None,
    ) -> list[list[str]]:
        """See `Engine`."""
        from vllm import SamplingParams

        params = [
            SamplingParams(
                temperature=temperature,
                max_tokens=settings.max_new_tokens,
                stop_token_ids=self.ends,
                skip_special_tokens=True,
                seed=seed if temperature else None,
            )
            for temperature, seed in _sampling(prompts, settings, temperatures, seeds)
        ]
        outputs = self.llm.generate(_prompts(prompts), params, use_tqdm=False)
        return [[output.outputs[0].text] for output in outputs]

    def score(self, prompts: Sequence[Ids], answers: Sequence[Sequence[Ids]]) -> list[list[float]]:
        """See `Engine`."""
        from vllm import SamplingParams

        if self.caching:
            raise ValueError("an engine with prefix caching cannot score")
        params = SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=0, detokenize=False)
        pairs = [(p, a) for p, given in zip(prompts, answers, strict=True) for a in given]
        whole = _prompts([[*prompt, *answer] for prompt, answer in pairs])
        sums = []
        outputs = self.llm.generate(whole, params, use_tqdm=False)
        for (prompt, answer), output in zip(pairs, outputs, strict=True):
            scored = output.prompt_logprobs[len(prompt) :]
            sums.append(sum(at[token].logprob for token, at in zip(answer, scored, strict=True)))
        return _regroup(sums, answers)


def _repack(model: Any) -> None:
    """Pack the head anew: on a CPU vLLM keeps a packed copy, which a reload leaves as it was.

    Where head and embeddings are tied and have changed, log-probabilities were off by up to 1.0.
    """
    head = getattr(model, "lm_head", None)
    method = getattr(head, "quant_method", None)
    if method is not None:
        method.process_weights_after_loading(head)


class HfEngine:
    """transformers, in batches padded on the left."""

    BATCH = 16

    def __init__(self, model: Model, settings: Infer, directory: Path) -> None:
        self.model_settings, self.settings = model, settings
        self.load(directory)

    def load(self, directory: Path) -> None:
        """Load the weights anew."""
        import torch

        from lib.models import DTYPES, load_base, load_tokenizer

        dtype = DTYPES[self.settings.precision]
        self.model: Any = None  # never two of them
        self.model = load_base(self.model_settings, dtype, str(directory))
        self.model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        self.tokenizer = load_tokenizer(self.model_settings, str(directory))

    def close(self) -> None:
        """See `Engine`."""
        self.model = None
        free()

    def generate(
        self,
        prompts: Sequence[Ids],
        settings: Infer,
        temperatures: Sequence[float] | None = None,
        seeds: Sequence[int] | None = None,
    ) -> list[list[str]]:
        """See `Engine`."""
        import torch

        texts = []
        rows = list(zip(prompts, _sampling(prompts, settings, temperatures, seeds), strict=True))
        for batch in _batches(rows, self.BATCH):
            ids, mask = self._pad([prompt for prompt, _ in batch])
            noise = GumbelNoise([sampling for _, sampling in batch], ids.device)
            with torch.inference_mode():
                made = self.model.generate(
                    input_ids=ids,
                    attention_mask=mask,
                    max_new_tokens=settings.max_new_tokens,
                    eos_token_id=sorted(end_tokens(self.tokenizer)),
                    pad_token_id=self.tokenizer.pad_token_id,
                    logits_processor=[noise] if noise.drawn else [],
                    do_sample=False,
                    temperature=None,
                    top_p=None,
                    top_k=None,
                )
            new = made[:, ids.shape[1] :]
            texts += [[t] for t in self.tokenizer.batch_decode(new, skip_special_tokens=True)]
        return texts

    def score(self, prompts: Sequence[Ids], answers: Sequence[Sequence[Ids]]) -> list[list[float]]:
        """See `Engine`; logits are made at the answers' positions alone."""
        import torch

        from lib.losses import token_nll

        pairs = [(p, a) for p, given in zip(prompts, answers, strict=True) for a in given]
        sums: list[float] = []
        for batch in _batches(pairs, self.BATCH):
            ids, mask = self._pad([[*prompt, *answer][:-1] for prompt, answer in batch])
            tail = max(len(answer) for _, answer in batch)
            labels = torch.full((len(batch), tail), -100, device=ids.device)
            for row, (_, answer) in zip(labels, batch, strict=True):
                row[tail - len(answer) :] = torch.tensor(list(answer))
            with torch.inference_mode():
                logits = self.model(
                    input_ids=ids,
                    attention_mask=mask,
                    position_ids=(mask.cumsum(1) - 1).clamp(min=0),
                    logits_to_keep=torch.arange(
                        ids.shape[1] - tail, ids.shape[1], device=ids.device
                    ),
                    use_cache=False,
                ).logits
            sums += (-token_nll(logits, labels).sum(1)).tolist()
        return _regroup(sums, answers)

    def _pad(self, rows: Sequence[Ids]) -> tuple[Any, Any]:
        """Token ids and mask, (B, L), padded on the left."""
        import torch

        width = max(map(len, rows))
        ids = torch.full((len(rows), width), self.tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, width - len(row) :] = torch.tensor(list(row))
            mask[i, width - len(row) :] = 1
        return ids.to(self.model.device), mask.to(self.model.device)


class GumbelNoise:
    """Logits + temperature · Gumbel noise, whose argmax is a draw from softmax(logits/temperature).

    transformers samples a batch at one temperature and from one generator, so that a row would hang
    on its neighbours; here each row has its own. Source: Gumbel-max trick, Maddison et al. 2014.
    """

    def __init__(self, sampling: Sequence[tuple[float, int]], device: Any) -> None:
        import torch

        self.drawn = {
            row: (temperature, torch.Generator(device).manual_seed(seed))
            for row, (temperature, seed) in enumerate(sampling)
            if temperature
        }

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Scores (B, V) with the noise of one more step."""
        scores = scores.float().clone()
        for row, (temperature, generator) in self.drawn.items():
            exponential = scores.new_empty(scores.shape[1]).exponential_(generator=generator)
            scores[row] -= temperature * exponential.clamp_min(1e-38).log()
        return scores


def _sampling(
    prompts: Sequence[Ids],
    settings: Infer,
    temperatures: Sequence[float] | None,
    seeds: Sequence[int] | None,
) -> list[tuple[float, int]]:
    """(temperature, seed) of each prompt."""
    hot = [settings.temperature] * len(prompts) if temperatures is None else temperatures
    return list(zip(hot, [0] * len(prompts) if seeds is None else seeds, strict=True))


def _prompts(rows: Sequence[Ids]) -> list[dict[str, list[int]]]:
    return [{"prompt_token_ids": list(row)} for row in rows]


def _batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _regroup(flat: list[float], like: Sequence[Sequence[Any]]) -> list[list[float]]:
    values = iter(flat)
    return [[next(values) for _ in group] for group in like]
