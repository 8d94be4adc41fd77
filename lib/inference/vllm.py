"""Answers and their probabilities from vLLM."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from lib.config.errors import BadInput
from lib.config.schema import Infer, Model
from lib.data.special_tokens import end_tokens
from lib.inference.base import Draw, EngineDied, Ids, default_draw, free, regroup
from lib.runs.children import blocked
from lib.runs.devices import CHECK_BY_NVML
from lib.runs.progress import Progress, progress

# Enough for some hundred short rows at a time; vLLM would otherwise ask for nearly all memory.
CPU_MEMORY = {"gpu_memory_utilization": 0.2, "kv_cache_memory_bytes": 1 << 30}
# A prompt goes through in one piece: vLLM takes back what it draws after a part of one, which the
# generator of a seeded request cannot do on a CPU ("CPU Generator does not use offset").
CPU_WHOLE = {"enable_chunked_prefill": False}
# Whole blocks alone are shared between prompts: of 128 tokens, a CPU's default, a question of
# arithmetic fills one at most. 32 is the least that the CPU's kernels take, 16 a GPU's default.
CPU_SHARING = {"block_size": 32}


class VllmEngine:
    """vLLM, in a process of its own where there is a GPU."""

    def __init__(
        self,
        model: Model,
        settings: Infer,
        directory: Path,
        token_budget: int | None = None,
        caching: bool = False,
        rank: int = 0,
    ) -> None:
        self.cuda = cuda = prepare_start()
        from lib.models.load import context_length

        tokens = token_budget or model.max_length + settings.max_new_tokens
        # vLLM refuses more than the model's own; an answer that would go beyond ends there.
        tokens = min(tokens, context_length(model, str(directory)) or tokens)
        self.caching = caching
        from vllm import LLM

        self.served, self.adapter = directory, None
        self.adapters = 0  # that were used so far: each has a number of its own
        # SLURM sends its warning (--signal) to every process of a step: this one finishes the rows
        # at hand and stops, for which it needs the engine.
        with blocked(signal.SIGUSR2):
            self.llm = LLM(
                model=str(directory),
                revision=model.revision if str(directory) == model.name else None,
                dtype={"bf16": "bfloat16", "fp32": "float32"}[settings.precision],
                max_model_len=tokens,
                max_num_batched_tokens=max(2048, tokens),
                trust_remote_code=model.trust_remote_code,
                enable_prefix_caching=caching,
                # Compiling pays off over hours on a GPU and never on a CPU.
                enforce_eager=not cuda,
                seed=0,
                disable_log_stats=True,
                **({"gpu_memory_utilization": settings.gpu_memory} if cuda else CPU_MEMORY),
                **({} if cuda else CPU_WHOLE),
                **(CPU_SHARING if caching and not cuda else {}),
                **(lora_options(rank) if rank else {}),
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

    def use(self, adapter: Path) -> None:
        """See `Engine`; vLLM keeps prefixes of different adapters apart by their numbers."""
        from vllm.lora.request import LoRARequest

        self.adapters += 1
        self.adapter = LoRARequest(f"{adapter}", self.adapters, str(adapter))

    def close(self) -> None:
        """See `Engine`: the process of the engine ends, and here its groups of devices."""
        from vllm.distributed import cleanup_dist_env_and_memory

        self.llm.llm_engine.engine_core.shutdown()
        del self.llm
        cleanup_dist_env_and_memory()
        free()

    def generate(
        self, prompts: Sequence[Ids], settings: Infer, draws: Sequence[Draw] | None = None
    ) -> list[list[str]]:
        """See `Engine`.

        vLLM makes of a request for n answers n requests, the i-th with seed + i (its
        ParentRequest), of which all but the first find the prompt's whole blocks in the cache.
        """
        from vllm import SamplingParams

        params = [
            SamplingParams(
                temperature=draw.temperature,
                max_tokens=settings.max_new_tokens,
                stop_token_ids=self.ends,
                skip_special_tokens=True,
                seed=draw.seed if draw.temperature else None,
                n=draw.count,
            )
            for draw in draws or [default_draw(settings)] * len(prompts)
        ]
        with (
            alive(),
            progress(len(prompts), "generate", "prompt", passing=True) as shown,
        ):
            outputs = self.llm.generate(
                _prompts(prompts), params, use_tqdm=_bars(shown), lora_request=self.adapter
            )
        return [[one.text for one in output.outputs] for output in outputs]

    def score(self, prompts: Sequence[Ids], answers: Sequence[Sequence[Ids]]) -> list[list[float]]:
        """See `Engine`."""
        from vllm import SamplingParams

        if self.caching:
            raise ValueError("an engine with prefix caching cannot score")
        params = SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=0, detokenize=False)
        pairs = [(p, a) for p, given in zip(prompts, answers, strict=True) for a in given]
        whole = _prompts([[*prompt, *answer] for prompt, answer in pairs])
        sums = []
        with alive():
            outputs = self.llm.generate(whole, params, use_tqdm=False, lora_request=self.adapter)
        for (prompt, answer), output in zip(pairs, outputs, strict=True):
            scored = output.prompt_logprobs[len(prompt) :]
            sums.append(sum(at[token].logprob for token, at in zip(answer, scored, strict=True)))
        return regroup(sums, answers)

    def generate_and_score(
        self, prompts: Sequence[Ids], settings: Infer, answers: Sequence[Sequence[Ids]]
    ) -> tuple[list[list[str]], list[list[float]]]:
        """See `Engine`."""
        return self.generate(prompts, settings), self.score(prompts, answers)


def lora_options(rank: int) -> dict[str, Any]:
    """vLLM's options for one adapter at a time, of up to `rank`: it knows certain ranks alone."""
    from vllm.config.lora import MaxLoRARanks

    fitting = [known for known in get_args(MaxLoRARanks) if known >= rank]
    if not fitting:
        raise BadInput(
            f"infer.adapters: found adapters of rank {rank}, expected at most "
            f"{max(get_args(MaxLoRARanks))} to be served by vLLM; set infer.adapters=merge"
        )
    return {"enable_lora": True, "max_loras": 1, "max_lora_rank": min(fitting)}


@contextmanager
def alive() -> Iterator[None]:
    """Raise EngineDied where the engine's process ends within the block."""
    from vllm.v1.engine.exceptions import EngineDeadError

    try:
        yield
    except EngineDeadError as error:
        raise EngineDied("the engine's process has ended, see above") from error


def has_gpu() -> bool:
    """Whether there is a GPU; asking does not start CUDA."""
    import torch

    os.environ[CHECK_BY_NVML] = "1"  # as vLLM does once it is imported
    return torch.cuda.is_available()


def prepare_start() -> bool:
    """Set how vLLM starts its process, before it is imported; returns whether there is a GPU.

    A process that was forked after CUDA had been started, or only asked for, cannot use it, and
    forking is vLLM's default: it sees for itself that CUDA was started, not that it was asked for.
    """
    os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"
    cuda = has_gpu()
    if not cuda:
        # An engine in a process of its own keeps one core for itself and starts 25 s later.
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    return cuda


def _bars(shown: Progress) -> Any:
    """Makes the bars that vLLM asks for: none is seen, and that of finished prompts feeds ours."""
    from tqdm import tqdm

    class Bar(tqdm):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **{**named, "file": io.StringIO()})
            self.finished = 0

        def update(self, n: float | None = 1) -> bool | None:
            if self.iterable is None:  # else a bar of prompts that are handed over
                self.finished += 1
                shown.update(self.finished)
            return super().update(n)

    return Bar


def _repack(model: Any) -> None:
    """Pack the head anew: on a CPU vLLM keeps a packed copy, which a reload leaves as it was.

    Where head and embeddings are tied and have changed, log-probabilities were off by up to 1.0.
    """
    head = getattr(model, "lm_head", None)
    method = getattr(head, "quant_method", None)
    if method is not None:
        method.process_weights_after_loading(head)


def _prompts(rows: Sequence[Ids]) -> list[dict[str, list[int]]]:
    return [{"prompt_token_ids": list(row)} for row in rows]
