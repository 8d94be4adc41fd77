"""Tokenizers and models, loaded with one line for every error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate import init_empty_weights
from safetensors import SafetensorError
from transformers.utils import logging

from lib.config.errors import BadInput, listed
from lib.config.schema import Model
from lib.models.checkpoints import check_directory
from lib.models.safetensors_cache import weights_of

# Libraries show progress bars even in a log file.
logging.disable_progress_bar()

# transformers' report of missing, unexpected and mismatched weights.
LOADING_FAULTS = {
    "missing_keys": "lacks",
    "unexpected_keys": "has unexpected",
    "mismatched_keys": "has other shapes of",
}
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def load_tokenizer(model: Model, directory: str | None = None) -> Any:
    """The tokenizer of the study's model, or of a trained `directory`; else BadInput."""
    name = directory or model.name
    with loading(name):
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, **_hub(model, name))
    # Tokenizers of encoders have a separator and no end of sequence.
    if tokenizer.eos_token_id is None and tokenizer.cls_token_id is None:
        raise BadInput(f"model.name: the tokenizer of {name} has no end-of-sequence token")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def config_of(model: Model, directory: str | None = None) -> Any:
    """transformers' config of the study's model, or of a `directory`; else BadInput."""
    name = directory or model.name
    with loading(name):
        return transformers.AutoConfig.from_pretrained(name, **_hub(model, name))


def context_length(model: Model, directory: str | None = None) -> int | None:
    """Maximum tokens of prompt and answer, None if the config does not say.

    Raises BadInput without a config.
    """
    config = config_of(model, directory).get_text_config()
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") in ("linear", "dynamic"):  # RoPE scaling extends the trained positions
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

    kind: another auto class of transformers. Of multimodal models, such as Gemma 3 from 4B on, only
    the language model. Pickled weights are read as stage 1 converted them (see
    lib.models.safetensors_cache). Raises BadInput where the model is unavailable, or its weights do
    not match its config: transformers would initialise or ignore them. may_differ: (model, name of
    a weight) → whether that one may differ, as of a new head.
    """
    check_directory(directory or model.name)
    name = directory or weights_of(model)
    with loading(name):
        loaded, info = (kind or transformers.AutoModelForCausalLM).from_pretrained(
            name, dtype=dtype, use_safetensors=True, output_loading_info=True,
            **_hub(model, name), **more,
        )  # fmt: skip
    for key, said in LOADING_FAULTS.items():
        names = {k if isinstance(k, str) else k[0] for k in info[key]}
        if strange := sorted(k for k in names if not may_differ or not may_differ(loaded, k)):
            raise BadInput(
                f"model.name: {name} {said} {len(strange)} weights of a {type(loaded).__name__}: "
                f"{listed(strange, 3)}"
            )
    if not directory:  # the original: adapters name it as their base
        loaded.name_or_path = loaded.config.name_or_path = model.name
    return language_model(loaded) if kind is None else loaded


def meta_base(model: Model) -> Any:
    """The study's causal language model without any memory: names and shapes of its weights."""
    config = config_of(model)
    with quiet(), torch.device("meta"):
        return language_model(
            transformers.AutoModelForCausalLM.from_config(
                config, trust_remote_code=model.trust_remote_code
            )
        )


def empty_base(model: Model, dtype: torch.dtype) -> Any:
    """Like `load_base`, on a rank that gets the parameters from another rank.

    Memory of parameters is allocated and never written, so the host provides none. (accelerate
    identifies parameters by address, so `meta` does not work.) Buffers are those of a loaded model.
    """
    config = config_of(model)
    with loading(model.name), init_empty_weights(include_buffers=False):
        loaded = transformers.AutoModelForCausalLM.from_config(
            config, dtype=dtype, trust_remote_code=model.trust_remote_code
        )
    loaded._apply(lambda t: torch.empty_like(t, device="cpu") if t.is_meta else t)
    loaded.tie_weights()
    return language_model(loaded.eval())


@contextmanager
def loading(name: str) -> Iterator[None]:
    """Raise BadInput where a model or a part of it cannot be loaded within the block.

    transformers' report of missing weights, which `load_base` checks, is not shown.
    """
    check_directory(name)
    try:
        with quiet():
            yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        if Path(name).is_dir():
            raise BadInput(f"model.name: {name} cannot be loaded: {first}") from None
        raise BadInput(
            f"model.name: {name} is neither a local directory nor available from the hub "
            f"(offline, misspelt, or gated without a token): {first[:200]}"
        ) from None


@contextmanager
def quiet() -> Iterator[None]:
    """transformers only reports errors within the block."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def language_model(loaded: Any) -> Any:
    """The language model of a multimodal one, as a causal language model on the same weights.

    So adapters are the language model's, all parameters get gradients, and serving needs no image
    processor. A text-only model is returned as it is.
    """
    whole, text = loaded.config, loaded.config.get_text_config()
    if text is whole or type(text) not in transformers.MODEL_FOR_CAUSAL_LM_MAPPING:
        return loaded
    text.name_or_path, text.dtype = whole.name_or_path, loaded.dtype
    if quantised := getattr(whole, "quantization_config", None):
        text.quantization_config = quantised
    with torch.device("meta"):
        part = transformers.MODEL_FOR_CAUSAL_LM_MAPPING[type(text)](text)
    part.model, part.lm_head = loaded.get_decoder(), loaded.get_output_embeddings()
    part.generation_config = loaded.generation_config
    for name in ("hf_quantizer", "is_quantized", "is_loaded_in_4bit", "quantization_method"):
        if hasattr(loaded, name):
            setattr(part, name, getattr(loaded, name))
    return part.eval()


def _hub(model: Model, name: str) -> dict[str, Any]:
    revision = {"revision": model.revision} if name == model.name and model.revision else {}
    return {"trust_remote_code": model.trust_remote_code, **revision}
