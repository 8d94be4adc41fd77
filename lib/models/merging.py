"""An adapter merged into its base, written as an ordinary checkpoint."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from peft import PeftConfig, get_peft_model
from safetensors.torch import load_file

from lib.config.errors import BadInput
from lib.config.schema import Model
from lib.models.adapters import check_tensors, fitting, load_adapter, merged
from lib.models.checkpoints import ADAPTER, check_base, check_directory
from lib.models.load import config_of, load_base, load_tokenizer, meta_base
from lib.models.safetensors_cache import SAFE, SAFE_INDEX, snapshot, weights_of, write_weights
from lib.models.sizes import heads
from lib.runs.files import read_json

# Settings of an adapter under which it is more than W + lora_alpha / r · BA of whole matrices.
MORE_THAN_A_PRODUCT = (
    "use_rslora", "use_dora", "fan_in_fan_out", "alpha_pattern", "rank_pattern", "lora_bias",
    "modules_to_save", "trainable_token_indices", "layer_replication", "target_parameters",
)  # fmt: skip
FACTORS = (".lora_A.weight", ".lora_B.weight")
Factors = dict[str, tuple[torch.Tensor, torch.Tensor]]  # weight's name → A (r, in), B (out, r)


def merge(model: Model, adapter: Path, dtype: torch.dtype, target: Path) -> None:
    """Write the base weights with the adapter merged in, as an ordinary checkpoint, to `target`.

    W + lora_alpha / r · BA is computed in fp32, since a product of two small matrices would lose
    most of its digits in bf16, and matrix by matrix: memory holds one file of the base, in `dtype`.
    Where the adapter is of another kind, or the base's files name its weights otherwise, the whole
    model is merged in memory, in fp32; tied embeddings are untied if one has an adapter. Adapters
    trained over 4-bit weights are merged into the unquantised base. Raises BadInput for an adapter
    that is damaged or does not fit the base, and where a model merged in memory gives other
    probabilities.
    """
    check_directory(adapter, "model")
    files = base_files(model)
    factors = products(model, adapter, files)
    if factors is None:
        adapted = load_adapter(load_base(model, torch.float32), adapter, model)
        merged(adapted, adapter).to(dtype).save_pretrained(target)
    else:
        _stream(model, files, factors, dtype, target)
    load_tokenizer(model, str(adapter)).save_pretrained(target)


def base_files(model: Model) -> list[Path]:
    """The safetensors files of a base model that is on this disk, [] where it is not."""
    source = weights_of(model)
    directory = Path(source) if source != model.name else snapshot(model)
    if directory is None:
        return []
    if (directory / SAFE_INDEX).is_file():
        names = sorted(set(read_json(directory / SAFE_INDEX)["weight_map"].values()))
    else:
        names = [SAFE]
    files = [directory / name for name in names]
    return files if all(path.is_file() for path in files) else []


def products(model: Model, adapter: Path, files: list[Path]) -> Factors | None:
    """B and A of each weight in `files` that the adapter changes, B scaled by lora_alpha / r.

    None where the adapter or the files are of another kind than `merge` streams.
    """
    check_base(adapter, model, str(adapter))
    config = read_json(adapter / ADAPTER[0])
    plain = config.get("peft_type") == "LORA" and config.get("bias", "none") == "none"
    if not files or not plain or any(config.get(key) for key in MORE_THAN_A_PRODUCT):
        return None
    if model.trust_remote_code or getattr(config_of(model), "quantization_config", None):
        return None
    with fitting(adapter, model):
        tensors = load_file(adapter / ADAPTER[1])
        adapted = get_peft_model(meta_base(model), PeftConfig.from_pretrained(str(adapter)))
        check_tensors(adapter / ADAPTER[1], tensors, adapted)
    if not all(key.endswith(FACTORS) for key in tensors):
        return None
    names = {key.removeprefix("base_model.model.").removesuffix(end)
             for key in tensors for end in FACTORS if key.endswith(end)}  # fmt: skip
    there = heads(files[0].parent)
    tied = getattr(config_of(model).get_text_config(), "tie_word_embeddings", False)
    if any(f"{n}.weight" not in there or (tied and n.endswith("lm_head")) for n in names):
        return None
    scale = config["lora_alpha"] / config["r"]
    factors = {}
    for name in names:
        a, b = (tensors[f"base_model.model.{name}{end}"].float() for end in FACTORS)
        factors[f"{name}.weight"] = (a, b * scale)
        if (b.shape[0], a.shape[1]) != there[f"{name}.weight"]:
            raise BadInput(
                f"{adapter}: no adapter that fits {model.name}: {name}: BA is "
                f"{b.shape[0]} × {a.shape[1]}, the weight {there[f'{name}.weight']}"
            )
    return factors


def _merged_file(path: Path, factors: Factors, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    tensors = load_file(path)
    for name, tensor in tensors.items():
        if name in factors:
            a, b = factors[name]
            tensor = tensor.float() + b @ a
        tensors[name] = tensor.to(dtype) if tensor.is_floating_point() else tensor
    return tensors


def _stream(
    model: Model, files: list[Path], factors: Factors, dtype: torch.dtype, target: Path
) -> None:
    """Write file after file of the base to `target`, matrices of `factors` merged."""
    target.mkdir(parents=True, exist_ok=True)
    write_weights(target, ((path.name, _merged_file(path, factors, dtype)) for path in files))
    config = config_of(model)
    config.dtype = dtype
    config.save_pretrained(target)
    generation = files[0].parent / "generation_config.json"
    if generation.is_file():
        shutil.copyfile(generation, target / generation.name)
