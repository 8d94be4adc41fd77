"""Points that take no step: an adapter that exists already, or the model as it is."""

from __future__ import annotations

import shutil
from pathlib import Path

import transformers

from lib.config.schema import Model
from lib.config.study import Point
from lib.models.checkpoints import ADAPTER, check_adapter
from lib.models.load import DTYPES, load_base, load_tokenizer
from lib.models.trainable import with_adapters
from lib.runs.files import replacing


def save_untrained(point: Point) -> None:
    """Write `model/` of a point with `model.adapter` or `train.epochs: 0`.

    Raises BadInput where the adapter is not one of the study's model.
    """
    model, train = point.config.model, point.config.train
    target = point.directory / "model"
    if model.adapter:
        _copy(model, check_adapter(model), target)
        return
    transformers.set_seed(train.seed)
    untrained = load_base(model, DTYPES[train.precision])
    if train.tuning != "full":
        # B of a fresh adapter is 0, so that it adds exactly nothing: the point is its base.
        untrained = with_adapters(untrained, train.lora)
    with replacing(target) as temporary:
        untrained.save_pretrained(temporary)
        load_tokenizer(model).save_pretrained(temporary)


def _copy(model: Model, source: Path, target: Path) -> None:
    """Copy the adapter with its own tokenizer, where it has one; nothing else of its directory."""
    own = any((source / name).exists() for name in ("tokenizer.json", "tokenizer_config.json"))
    tokenizer = load_tokenizer(model, str(source) if own else None)
    with replacing(target) as temporary:
        temporary.mkdir()
        for name in ADAPTER:
            shutil.copyfile(source / name, temporary / name)
        tokenizer.save_pretrained(temporary)
