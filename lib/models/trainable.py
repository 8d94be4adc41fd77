"""Models for training: fully trainable, with adapters, or with adapters over 4-bit weights."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from transformers import BitsAndBytesConfig

from lib.config.errors import BadInput, listed, nearest
from lib.config.schema import Lora, Model, Train
from lib.losses import OBJECTIVES
from lib.models.load import DTYPES, empty_base, load_base
from lib.models.shared import SharedBase

FIRST_FACTOR = re.compile(r"\.lora_(embedding_)?A\.")  # part of an adapter's parameter names


def load_for_training(
    model: Model, train: Train, shared: SharedBase | None = None, empty: bool = False
) -> Any:
    """The causal language model that a point trains.

    Full tuning keeps fp32 weights and computes in bf16 by autocast, since bf16 weights would lose
    updates below 1/256 of a weight. Adapters are fp32, over frozen weights of the chosen precision;
    where the device does not support 4-bit weights (see `nf4_fault`), qlora is lora. Dropout of the
    model itself is 0, as in DPO's published code, since the reference has none. shared: may
    have the frozen weights. empty: without values, see `empty_base`; 4-bit weights always have
    theirs.
    """
    loaded = _base_for_training(model, train, shared or SharedBase(keeps=False), empty)
    if OBJECTIVES[train.objective].batch == "pairs":
        without_dropout(loaded)
    loaded.config.use_cache = False
    return loaded if train.tuning == "full" else with_adapters(loaded, train.lora)


def without_dropout(model: Any) -> None:
    """Set all dropout probabilities of a model to 0: activations, attention, layers."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name, value in vars(module).items():
            if "drop" in name and isinstance(value, float):
                setattr(module, name, 0.0)


def _base_for_training(model: Model, train: Train, shared: SharedBase, empty: bool) -> Any:
    if train.tuning == "full":
        shared.clear()
        return empty_base(model, torch.float32) if empty else load_base(model, torch.float32)
    if train.tuning == "qlora" and nf4_fault() is None:
        return prepare_model_for_kbit_training(
            shared.base(model, torch.bfloat16, four_bit()),
            use_gradient_checkpointing=train.gradient_checkpointing,
            gradient_checkpointing_kwargs={"use_reentrant": False},
        )
    dtype = DTYPES[train.precision]
    loaded = empty_base(model, dtype) if empty else shared.base(model, dtype)
    if train.gradient_checkpointing:
        loaded.enable_input_require_grads()
    return loaded


def four_bit() -> Any:
    """NF4 with double quantisation, computing in bf16 (Dettmers et al., arXiv 2305.14314)."""
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
        bnb_4bit_quant_storage=torch.bfloat16,
    )


@cache
def nf4_fault() -> str | None:
    """Why the training device cannot multiply NF4 weights, None if it can.

    Determined by trying: whether bitsandbytes has a kernel depends on its build, the driver and the
    device, and it fails with errors of many kinds.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        from bitsandbytes import matmul_4bit
        from bitsandbytes.functional import quantize_4bit

        generator = torch.Generator().manual_seed(0)
        weight, x = (torch.randn(64, 64, generator=generator).to(device) for _ in range(2))
        packed, state = quantize_4bit(weight.bfloat16(), quant_type="nf4", compress_statistics=True)
        product = matmul_4bit(x.bfloat16(), packed.t(), quant_state=state).float()
    except Exception as error:
        first = str(error).strip().splitlines() or [type(error).__name__]
        return f"bitsandbytes on {device}: {first[0][:200]}"
    exact = x @ weight.t()
    off = ((product - exact).norm() / exact.norm()).item()
    # Rounding to NF4 changes Gaussian weights by some 10 %, a wrong kernel by 100 %.
    return None if off < 0.3 else f"bitsandbytes on {device}: products are off by {100 * off:.0f} %"


def with_adapters(loaded: Any, lora: Lora) -> Any:
    """The model with new adapters. Raises BadInput for unknown modules or layers."""
    return adapted(loaded, lora_config(lora))


def adapted(loaded: Any, config: Any) -> Any:
    """The model with the adapters of a PEFT config.

    Raises BadInput for unknown modules, with the closest names.
    """
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
    """Facts about the loaded model, for config.json.

    `quantised`: None unless tuning is qlora, with the reason if False; `adapter`: None, or its
    dtype and the number of adapted modules by name.
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


def lora_config(lora: Lora) -> LoraConfig:
    """The study's adapters as a PEFT config."""
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules,
        layers_to_transform=lora.layers,
        task_type="CAUSAL_LM",
    )
