"""Models to be trained: whole, with adapters, or with adapters over 4-bit weights."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from typing import Any

import torch

from lib.config.errors import BadInput, listed, nearest
from lib.config.schema import Lora, Model, Train
from lib.losses import OBJECTIVES
from lib.models.load import DTYPES, empty_base, load_base

FIRST_FACTOR = re.compile(r"\.lora_(embedding_)?A\.")  # of an adapter, in names of parameters


def load_for_training(model: Model, train: Train, empty: bool = False) -> Any:
    """The model that a point trains: full, with adapters, or with adapters on 4-bit weights.

    `empty`: without values, see `empty_base`; 4-bit weights have theirs in any case.

    Where this device cannot hold 4-bit weights (see `nf4_fault`) qlora is as lora.
    Full tuning keeps fp32 weights and lets autocast compute in bf16: bf16 weights would swallow
    updates below 1/256 of a weight. Adapters are fp32 over frozen weights of the chosen precision.
    A policy has no dropout of its own, as in DPO's published code: its reference has none.
    """
    loaded = _base_for_training(model, train, empty)
    if OBJECTIVES[train.objective].batch == "pairs":
        without_dropout(loaded)
    loaded.config.use_cache = False
    return loaded if train.tuning == "full" else with_adapters(loaded, train.lora)


def without_dropout(model: Any) -> None:
    """Set every probability of a model to drop activations, attention or layers to 0."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name, value in vars(module).items():
            if "drop" in name and isinstance(value, float):
                setattr(module, name, 0.0)


def _base_for_training(model: Model, train: Train, empty: bool) -> Any:
    load = empty_base if empty else load_base
    if train.tuning == "full":
        return load(model, torch.float32)
    if train.tuning == "qlora" and nf4_fault() is None:
        from peft import prepare_model_for_kbit_training
        from transformers import BitsAndBytesConfig

        # NF4 with double quantisation, computing in bf16 (Dettmers et al., arXiv 2305.14314).
        four_bit = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
            bnb_4bit_quant_storage=torch.bfloat16,
        )
        return prepare_model_for_kbit_training(
            load_base(model, torch.bfloat16, quantization_config=four_bit),
            use_gradient_checkpointing=train.gradient_checkpointing,
            gradient_checkpointing_kwargs={"use_reentrant": False},
        )
    loaded = load(model, DTYPES[train.precision])
    if train.gradient_checkpointing:
        loaded.enable_input_require_grads()
    return loaded


@cache
def nf4_fault() -> str | None:
    """Why the device that trains here cannot hold and multiply NF4 weights; None where it can.

    Found out by doing it: whether bitsandbytes has a kernel depends on its build, the driver and
    the device, and it says so by errors of many kinds.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        from bitsandbytes import matmul_4bit
        from bitsandbytes.functional import quantize_4bit

        generator = torch.Generator().manual_seed(0)
        weight, x = (torch.randn(64, 64, generator=generator).to(device) for _ in range(2))
        packed, state = quantize_4bit(weight.bfloat16(), quant_type="nf4", compress_statistics=True)
        found = matmul_4bit(x.bfloat16(), packed.t(), quant_state=state).float()
    except Exception as error:
        first = str(error).strip().splitlines() or [type(error).__name__]
        return f"bitsandbytes on {device}: {first[0][:200]}"
    exact = x @ weight.t()
    off = ((found - exact).norm() / exact.norm()).item()
    # Rounding to NF4 moves Gaussian weights by some 10 %; anything wrong moves them by 100 %.
    return None if off < 0.3 else f"bitsandbytes on {device}: products are off by {100 * off:.0f} %"


def with_adapters(loaded: Any, lora: Lora) -> Any:
    """The model with fresh adapters. Raises BadInput where it has no such modules or layers."""
    from peft import LoraConfig

    return adapted(loaded, lora_config(lora, LoraConfig))


def adapted(loaded: Any, config: Any) -> Any:
    """The model with the adapters of a PEFT config.

    Raises BadInput where it has no such modules, with the nearest names of those it has.
    """
    from peft import get_peft_model

    if not isinstance(config.target_modules, str):
        left_out = config.exclude_modules or ()
        modules = {n: m for n, m in loaded.named_modules() if n not in left_out}
        linear = [name for name, module in modules.items() if isinstance(module, torch.nn.Linear)]
        there = sorted({name.rpartition(".")[2] for name in linear})
        for target in sorted(config.target_modules or ()):
            if not any(name == target or name.endswith(f".{target}") for name in modules):
                raise BadInput(
                    f"train.lora.target_modules: {target!r} matches no module of "
                    f"{loaded.config.name_or_path or 'the model'}, expected names among "
                    f"{listed(there, 12)}{nearest(target, there)}"
                )
    try:
        return get_peft_model(loaded, config)
    except ValueError as error:
        raise BadInput(f"train.lora: {error}") from None


def described(model: Any, train: Train) -> dict[str, Any]:
    """What was loaded to be trained, for a run's record.

    `quantised`: None where 4-bit weights were not asked for, else with the reason why not;
    `adapter`: None, or its dtype and how many modules of each name it adapts.
    """
    reason = nf4_fault() if train.tuning == "qlora" else None
    parts = {name: p.dtype for name, p in model.named_parameters() if FIRST_FACTOR.search(name)}
    adapted = Counter(FIRST_FACTOR.split(name)[0].rpartition(".")[2] for name in parts)
    dtypes = sorted({str(dtype).removeprefix("torch.") for dtype in parts.values()})
    return {
        "quantised": reason is None if train.tuning == "qlora" else None,
        "quantised_reason": reason,
        "adapter": {"dtype": ", ".join(dtypes), "targets": dict(adapted)} if parts else None,
    }


def lora_config(lora: Lora, kind: Any) -> Any:
    """The study's adapters as a PEFT config."""
    return kind(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules,
        layers_to_transform=lora.layers,
        task_type="CAUSAL_LM",
    )
