"""Tokenizers and models: loaded, adapted, merged, and refused in one clear line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers.utils import logging

from lib.config.errors import BadInput, listed
from lib.config.schema import Model
from lib.models.checkpoints import check_directory
from lib.models.safetensors_cache import weights_of

# Bars of a library that does not know whether it writes to a terminal or to a log file.
logging.disable_progress_bar()

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
    Weights that are pickles alone are those that stage 1 converted (lib.models.safetensors_cache).
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


def merge(model: Model, adapter: Path, dtype: torch.dtype, target: Path) -> None:
    """Write base weights with the adapter folded in, as an ordinary checkpoint, to `target`.

    Merged weights serve several times faster than adapters on a CPU. Adapters trained over 4-bit
    weights are folded into the unquantised base. Of tied embeddings each gets what it was trained
    with, and its own weights. Raises BadInput for an adapter that is not whole or does not fit the
    base, and where the merged model gives other probabilities.
    """
    from lib.models.adapters import load_adapter, merged

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
