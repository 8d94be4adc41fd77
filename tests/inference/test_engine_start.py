"""How vLLM's process is started: what is set before the import, and what signals it inherits."""

import os
import signal
import subprocess
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from lib.config.schema import Infer, Model
from lib.inference.base import EngineDied, free
from lib.inference.serving import start_engine
from lib.inference.vllm import VllmEngine, alive
from lib.runs.children import blocked

SET = ("PYTORCH_NVML_BASED_CUDA_CHECK", "VLLM_WORKER_MULTIPROC_METHOD",
       "VLLM_ENABLE_V1_MULTIPROCESSING")  # fmt: skip
MASK = "import re; print(re.search(r'SigBlk:\\s*(\\w+)', open('/proc/self/status').read())[1])"


@pytest.mark.parametrize("gpus", [4, 0])
def test_cuda_is_not_started_before_vllm_is_told_to_spawn(
    tiny_model, tokenizer, monkeypatch, gpus
) -> None:
    """Asking the runtime for GPUs starts CUDA, asking NVML does not, see torch.cuda.is_available.

    vLLM forks a process that cannot use CUDA then.
    """
    started, seen = [], {}

    def is_available() -> bool:
        if os.environ.get(SET[0]) != "1":
            started.append(True)
        return gpus > 0

    class Vllm(ModuleType):
        def __getattr__(self, name: str) -> Any:
            if name == "LLM":
                seen.update({name: os.environ.get(name) for name in SET})
            return lambda **given: SimpleNamespace(given=given, get_tokenizer=lambda: tokenizer)

    for name in SET:
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setitem(sys.modules, "vllm", Vllm("vllm"))
    free()
    asked = Infer(engine="auto" if gpus else "vllm")
    engine = start_engine(Model(name=str(tiny_model)), asked, tiny_model)
    assert not started
    assert seen == {SET[0]: "1", SET[1]: "spawn", SET[2]: None if gpus else "0"}
    assert engine.llm.given["enforce_eager"] == (not gpus)


def is_blocked(mask: str, number: int) -> bool:
    """Whether a signal is in a mask of /proc/PID/status."""
    return bool(int(mask, 16) >> (number - 1) & 1)


def test_the_engines_process_never_gets_the_warning(tiny_model, tokenizer, monkeypatch) -> None:
    """USR2 is SLURM's, and sent to every process of a step; this process still takes it."""
    taken, masks = [], []

    def start(**_settings):
        signal.raise_signal(signal.SIGUSR2)
        assert not taken
        child = subprocess.run([sys.executable, "-S", "-c", MASK], capture_output=True, text=True)
        masks.append(child.stdout)
        return SimpleNamespace(get_tokenizer=lambda: tokenizer)

    before = signal.signal(signal.SIGUSR2, lambda number, _: taken.append(number))
    try:
        monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(LLM=start))
        VllmEngine(Model(name=str(tiny_model), max_length=64), Infer(engine="vllm"), tiny_model)
        assert taken == [signal.SIGUSR2]  # once it had started
        signal.raise_signal(signal.SIGUSR2)
        assert len(taken) == 2
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert is_blocked(masks[0], signal.SIGUSR2)
    assert not is_blocked(masks[0], signal.SIGTERM)  # by which vLLM ends its process


@pytest.mark.parametrize("asked", [True, False])
def test_an_engine_that_ended_with_the_job_is_a_stop(
    prepared_study, run_stage, monkeypatch, fake, asked
) -> None:
    """scancel and preemption send TERM to all processes of a job, and vLLM's ends at once."""
    from vllm.v1.engine.exceptions import EngineDeadError

    from lib.config.load import load_study
    from stages import stage3_infer

    study = load_study(prepared_study)
    fake.trained(study, study.point(0))

    def dies(*_given):
        if asked:
            signal.raise_signal(signal.SIGTERM)
        with alive():
            raise EngineDeadError

    monkeypatch.setattr(stage3_infer, "infer", dies)
    if asked:
        ended = run_stage("stage3_infer", prepared_study, "--index", "0")
        assert ended.code == 75
        assert ended.out == "stopped by SIGTERM, finished rows are kept\n"
    else:
        with pytest.raises(EngineDied):
            run_stage("stage3_infer", prepared_study, "--index", "0")


def test_a_mask_is_as_it_was_after_an_error() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with pytest.raises(KeyError), blocked(signal.SIGUSR2):
        raise KeyError
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
