"""The tokenizer and base model of the points of a process, loaded by the first that needs them.

No torch before that.
"""

from __future__ import annotations

import copy
import gc
from typing import TYPE_CHECKING, Any

from lib.config.schema import Model

if TYPE_CHECKING:
    import torch


class SharedBase:
    """A base model whose weights stay in memory from point to point.

    Each point gets modules, config and parameters of its own, as if freshly loaded, over the same
    memory. What trains or merges base weights must not write to that memory; weights that changed
    nevertheless are noticed by their hashes, and loaded again. One model at most is kept, on the
    device that trains.
    """

    def __init__(self, keeps: bool = True) -> None:
        """keeps: whether further points may follow; else each call loads, and nothing is kept."""
        self.keeps = keeps
        self._tokenizer: tuple[Any, Any] | None = None  # key, tokenizer
        self._key: Any = None
        self._model: Any = None
        self._hashes: list[int] = []

    def tokenizer(self, model: Model) -> Any:
        """`load_tokenizer` of the base model."""
        from lib.models.load import load_tokenizer

        key = _source(model)
        if self._tokenizer is None or self._tokenizer[0] != key:
            self._tokenizer = key, load_tokenizer(model)
        return copy.deepcopy(self._tokenizer[1]) if self.keeps else self._tokenizer[1]

    def base(self, model: Model, dtype: torch.dtype, quantization: Any = None) -> Any:
        """`load_base` for training. quantization: a config of transformers, None for plain weights.

        With `keeps`, plain weights are on the device that trains.
        """
        from lib.models.load import load_base

        more = {} if quantization is None else {"quantization_config": quantization}
        key = _key(model, dtype, quantization, training_device())
        if not self._holds(key):
            self.clear()
            loaded = load_base(model, dtype, **more)
            if not self.keeps:
                return loaded
            self._model = loaded if more else loaded.to(training_device())
            self._key, self._hashes = key, _hashes(loaded)
        return _sharing(self._model)

    def on_cpu(self, model: Model) -> Any:
        """The base in fp32 on the CPU: over the memory of what is kept where that is the same."""
        import torch

        from lib.models.load import load_base

        if self._holds(_key(model, torch.float32, None, "cpu")):
            return _sharing(self._model)
        return load_base(model, torch.float32)

    def clear(self) -> None:
        """Free the memory of the kept model."""
        if self._model is None:
            return
        import torch

        self._key, self._model, self._hashes = None, None, []
        gc.collect()
        torch.cuda.empty_cache()

    def _holds(self, key: Any) -> bool:
        return self._model is not None and self._key == key and self._hashes == _hashes(self._model)


def training_device() -> str:
    """Type of the device that trains."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _source(model: Model) -> tuple[Any, ...]:
    return model.name, model.revision, model.trust_remote_code


def _key(model: Model, dtype: torch.dtype, quantization: Any, device: str) -> tuple[Any, ...]:
    return *_source(model), dtype, quantization and quantization.to_dict(), device


def _hashes(model: Any) -> list[int]:
    """A hash of each parameter, by the XOR of its values."""
    import torch

    return [torch.hash_tensor(weight).item() for weight in model.parameters()]


def _sharing(model: Any) -> Any:
    """A copy of a model over the memory of its parameters; tied ones stay tied.

    Parameters of a quantised layer are the same objects, since nothing but their values counts.
    """
    from torch import nn

    own = {
        id(weight): nn.Parameter(weight.detach(), weight.requires_grad)
        if type(weight) is nn.Parameter
        else weight
        for weight in model.parameters()
    }
    return copy.deepcopy(model, own)
