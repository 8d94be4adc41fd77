"""Tokenizers and models: loaded, adapted, merged, and refused in one clear line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers.utils import logging

from lib.checkpoints import check_directory
from lib.errors import BadInput, listed, nearest
from lib.losses import OBJECTIVES
from lib.safetensors_cache import weights_of
from lib.schema import Lora, Model, Train

# Bars of a library that does not know whether it writes to a terminal or to a log file.
logging.disable_progress_bar()

FIRST_FACTOR = re.compile(r"\.lora_(embedding_)?A\.")  # of an adapter, in names of parameters
# What transformers says of weights that it did not load from a file, or not into the model.
LOADING_FAULTS = {
    "missing_keys": "lacks",
    "unexpected_keys": "has unexpected",
    "mismatched_keys": "has other shapes of",
}
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def load_tokenizer(model: Model, directory: str | None = None) -> Any:
    """The tokenizer of the study's model, or of a trained `directory`.

    Raises BadInput where there is none.
    """
    from transformers import AutoTokenizer

    name = directory or model.name
    check_directory(name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **_hub(model, name))
    except (OSError, ValueError, KeyError) as error:
        raise _not_loaded(name, error) from None
    # An encoder's ends its text with a separator, and writes nothing.
    if tokenizer.eos_token_id is None and tokenizer.cls_token_id is None:
        raise BadInput(f"model.name: the tokenizer of {name} has no end-of-sequence token")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def context_length(model: Model, directory: str | None = None) -> int | None:
    """Tokens that a model can read and write together; None where its config does not tell.

    Raises BadInput where there is no config.
    """
    from transformers import AutoConfig

    name = directory or model.name
    check_directory(name)
    try:
        config = AutoConfig.from_pretrained(name, **_hub(model, name)).get_text_config()
    except (OSError, ValueError, KeyError) as error:
        raise _not_loaded(name, error) from None
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") in ("linear", "dynamic"):  # positions go beyond those of training
        return None
    return getattr(config, "max_position_embeddings", None)


def load_base(
    model: Model,
    dtype: torch.dtype,
    directory: str | None = None,
    kind: Any = None,
    may_differ: Callable[[Any, str], bool] | None = None,
    **more: Any,
) -> Any:
    """A causal language model from a hub id or a directory of safetensors.

    `kind`: another class of transformers' automatic ones. Of a model that also sees images, such as
    Gemma 3 from 4B on, its language model alone. Raises BadInput where it cannot be had, has no
    weights, or not those of its config: transformers would draw them at random, or leave them out.
    Weights that are pickles alone are those that stage 1 converted (lib.safetensors_cache).
    `may_differ`: (model, name of a weight) → whether that one may, as of a head yet to be trained.
    """
    from transformers import AutoModelForCausalLM

    check_directory(directory or model.name)
    name = directory or weights_of(model)
    try:
        with quiet():  # its table of missing weights, which is checked here
            loaded, info = (kind or AutoModelForCausalLM).from_pretrained(
                name, dtype=dtype, use_safetensors=True, output_loading_info=True,
                **_hub(model, name), **more,
            )  # fmt: skip
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise _not_loaded(name, error) from None
    for key, said in LOADING_FAULTS.items():
        names = {k if isinstance(k, str) else k[0] for k in info[key]}
        if strange := sorted(k for k in names if not may_differ or not may_differ(loaded, k)):
            raise BadInput(
                f"model.name: {name} {said} {len(strange)} weights of a {type(loaded).__name__}: "
                f"{listed(strange, 3)}"
            )
    if not directory:  # not where its weights were converted: adapters name this as their base
        loaded.name_or_path = loaded.config.name_or_path = model.name
    return language_model(loaded) if kind is None else loaded


def empty_base(model: Model, dtype: torch.dtype) -> Any:
    """As `load_base`, on a rank that gets the values of all parameters from another one.

    Their memory is asked for and never written, so that the host gives none. (On `meta`, accelerate
    could not tell them apart: it goes by their addresses.) Buffers are those of a loaded model.
    """
    from accelerate import init_empty_weights
    from transformers import AutoConfig, AutoModelForCausalLM

    check_directory(model.name)
    try:
        config = AutoConfig.from_pretrained(model.name, **_hub(model, model.name))
        with quiet(), init_empty_weights(include_buffers=False):
            loaded = AutoModelForCausalLM.from_config(
                config, dtype=dtype, trust_remote_code=model.trust_remote_code
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise _not_loaded(model.name, error) from None
    loaded._apply(lambda t: torch.empty_like(t, device="cpu") if t.is_meta else t)
    loaded.tie_weights()
    return language_model(loaded.eval())


@contextmanager
def quiet() -> Iterator[None]:
    """transformers reports errors alone within the block."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def language_model(loaded: Any) -> Any:
    """The text part of a model as a causal language model of its own, on the same weights.

    So its adapters are the language model's, no parameter is without a gradient, and an engine
    that serves it asks for no image processor. A model of text alone is returned as it is.
    """
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    whole, text = loaded.config, loaded.config.get_text_config()
    if text is whole or type(text) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        return loaded
    text.name_or_path, text.dtype = whole.name_or_path, loaded.dtype
    if quantised := getattr(whole, "quantization_config", None):
        text.quantization_config = quantised
    with torch.device("meta"):
        part = MODEL_FOR_CAUSAL_LM_MAPPING[type(text)](text)
    part.model, part.lm_head = loaded.get_decoder(), loaded.get_output_embeddings()
    part.generation_config = loaded.generation_config
    for name in ("hf_quantizer", "is_quantized", "is_loaded_in_4bit", "quantization_method"):
        if hasattr(loaded, name):
            setattr(part, name, getattr(loaded, name))
    return part.eval()


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


def merge(model: Model, adapter: Path, dtype: torch.dtype, target: Path) -> None:
    """Write base weights with the adapter folded in, as an ordinary checkpoint, to `target`.

    Merged weights serve several times faster than adapters on a CPU. Adapters trained over 4-bit
    weights are folded into the unquantised base. Of tied embeddings each gets what it was trained
    with, and its own weights. Raises BadInput for an adapter that is not whole or does not fit the
    base, and where the merged model gives other probabilities.
    """
    from lib.adapters import load_adapter, merged

    check_directory(adapter, "model")
    # Folded in fp32: a product of two small matrices added in bf16 would lose most of its digits.
    adapted = load_adapter(load_base(model, torch.float32), adapter, model)
    merged(adapted, adapter).to(dtype).save_pretrained(target)
    load_tokenizer(model, str(adapter)).save_pretrained(target)


def _hub(model: Model, name: str) -> dict[str, Any]:
    revision = {"revision": model.revision} if name == model.name and model.revision else {}
    return {"trust_remote_code": model.trust_remote_code, **revision}


def _not_loaded(name: str, error: Exception) -> BadInput:
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if Path(name).is_dir():
        return BadInput(f"model.name: {name} cannot be loaded: {first}")
    return BadInput(
        f"model.name: {name} is neither a directory here nor to be had from the hub "
        f"(offline, misspelt, or gated without a token): {first[:200]}"
    )
