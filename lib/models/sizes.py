"""How large models, adapters and checkpoints are, from the heads of files. Nothing is loaded.

    parameters(model)     weights of a base model, and how that is known
    trained(config)       weights that training a point changes
    footprint(config)     bytes of model/ and of a checkpoint

A size that nothing tells is None. Adam keeps two moments a trained weight, all three in fp32.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from lib.config.schema import Config, Lora, Model
from lib.losses import OBJECTIVES
from lib.models.safetensors_cache import BESIDE, conversion, snapshot
from lib.runs.files import read_json

Shapes = Mapping[str, tuple[int, ...]]  # name of a tensor → its shape
CHECKPOINT = 12  # bytes a trained weight: fp32, and Adam's two moments
LAYER = re.compile(r"\.(?:layers?|h|blocks?)\.(\d+)\.(.+)\.weight$")
IN_NAME = re.compile(r"(?<![a-z\d.])(?:(\d+)x)?(\d+(?:\.\d+)?)([bm])(?![a-z\d])")


class Size(NamedTuple):
    """Weights of a model; None where nothing tells them."""

    weights: int | None
    source: str


class Footprint(NamedTuple):
    """Bytes that training a point leaves in model/ and in a checkpoint; None: unknown."""

    model: int | None
    checkpoint: int | None


def parameters(model: Model) -> Size:
    """Weights of a base model, from its files here, else from its name, such as `7B`."""
    shapes, source = _shapes(model.name, model.revision)
    if shapes:
        return Size(sum(map(math.prod, shapes.values())), source)
    if match := IN_NAME.search(Path(model.name).name.lower()):
        experts, number, unit = match.groups()
        scale = {"b": 1e9, "m": 1e6}[unit]
        return Size(int(int(experts or 1) * float(number) * scale), f"the name {model.name}")
    return Size(None, f"unknown: no files of {model.name} here, and its name has no size")


def trained(config: Config) -> int | None:
    """Weights that training changes: all of them, or those of adapters and of a classifier."""
    train = config.train
    if train.tuning == "full":
        return parameters(config.model).weights
    shapes, _ = _shapes(config.model.name, config.model.revision)
    if not shapes:
        return None
    rank = train.adalora.init_r if train.tuning == "adalora" else train.lora.r
    adapted = (sum(shape) for name, shape in shapes.items() if _is_adapted(name, shape, train.lora))
    return rank * sum(adapted) + _head(config, shapes)


def _is_adapted(name: str, shape: tuple[int, ...], lora: Lora) -> bool:
    """Whether a tensor is a matrix of a layer that gets an adapter."""
    match = LAYER.search(name)
    if match is None or len(shape) != 2:
        return False
    layer, module = int(match[1]), f".{match[2]}"
    modules = lora.target_modules
    named = modules == "all-linear" or any(module.endswith(f".{one}") for one in modules)
    return named and (lora.layers is None or layer in lora.layers)


def _head(config: Config, shapes: Shapes) -> int:
    """Weights of a classifier on top of an encoder: a square matrix, and a few vectors."""
    if OBJECTIVES[config.train.objective].batch != "classes":
        return 0
    words = (shape[-1] for name, shape in shapes.items() if name.endswith("embeddings.weight"))
    hidden = min(words, default=0)
    return hidden**2 + 4 * hidden


def footprint(config: Config) -> Footprint:
    """What a point's training writes. Adapters are fp32, full weights of the study's precision."""
    weights = trained(config)
    if weights is None:
        return Footprint(None, None)
    beside = _beside(config.model.name, config.model.revision)
    untrained = config.model.adapter or config.train.epochs == 0
    checkpoint = 0 if untrained else weights * CHECKPOINT + beside
    return Footprint(weights * _width(config) + beside, checkpoint)


def _width(config: Config) -> int:
    """Bytes a weight in model/; classifiers are kept in fp32, see lib.models.classifiers."""
    wide = OBJECTIVES[config.train.objective].batch == "classes"
    narrow = config.train.tuning == "full" and config.train.precision == "bf16" and not wide
    return 2 if narrow else 4


def directories(model: Model) -> list[Path]:
    """Where files of a model lie on this machine: its own, and its converted weights."""
    try:
        return [path for path in (snapshot(model), conversion(model)) if path is not None]
    except ValueError:  # neither a directory that exists nor the id of a model on the hub
        return []


@cache
def _beside(name: str, revision: str | None) -> int:
    """Bytes of tokenizer and configuration, which lie beside all weights that are written."""
    places = directories(Model(name=name, revision=revision))[:1]
    files = (path for place in places for pattern in BESIDE for path in place.glob(pattern))
    return sum(path.stat().st_size for path in files)


@cache
def _shapes(name: str, revision: str | None) -> tuple[Shapes, str]:
    """The tensors of a model that is on this machine; none where it is not."""
    places = directories(Model(name=name, revision=revision))
    for place in places:
        if shapes := heads(place):
            return shapes, f"the weights of {name}"
    for place in places:
        config = place / "config.json"
        if config.is_file() and (shapes := decoder(read_json(config))):
            return shapes, f"config.json of {name}"
    return {}, ""


def heads(directory: Path) -> Shapes:
    """Name → shape of all tensors in a directory's safetensors, from their heads."""
    shapes: dict[str, tuple[int, ...]] = {}
    for path in sorted(directory.glob("*.safetensors")):
        with path.open("rb") as file:
            head = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        shapes |= {name: tuple(t["shape"]) for name, t in head.items() if name != "__metadata__"}
    return shapes


def decoder(config: Mapping[str, Any]) -> Shapes:
    """The matrices of a decoder with a gated MLP, from its config.json; none of other models."""
    config = config.get("text_config", config)
    wanted = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
              "vocab_size")  # fmt: skip
    if "num_key_value_heads" not in config or not all(key in config for key in wanted):
        return {}
    hidden, inner, layers, heads_, vocabulary = (config[key] for key in wanted)
    size = config.get("head_dim") or hidden // heads_
    queries, keys = heads_ * size, config["num_key_value_heads"] * size
    matrices = {
        "self_attn.q_proj": (queries, hidden),
        "self_attn.k_proj": (keys, hidden),
        "self_attn.v_proj": (keys, hidden),
        "self_attn.o_proj": (hidden, queries),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }
    shapes = {f"model.layers.{layer}.{name}.weight": shape
              for layer in range(layers) for name, shape in matrices.items()}  # fmt: skip
    shapes["model.embed_tokens.weight"] = (vocabulary, hidden)
    if not config.get("tie_word_embeddings", False):
        shapes["lm_head.weight"] = (vocabulary, hidden)
    return shapes
