"""Attention over one packed row: each answer sees its own prompt, and answers share prompts.

A packed row holds groups of a prompt and its answers, without padding between them. An answer
attends to its prompt and to itself, at the positions that it would have in a row of its own. Every
group is one call of the library's attention, or one an answer, so nothing is computed that a mask
would hide: with a (T, T) mask a row of 2,000 tokens takes 6 times as long as its groups of 300
(SmolLM2's heads on a CPU), and memory of T². What a group gets does not depend on the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from lib.models.load import quiet

NAME = "lossgrid_packed"
# Of each group of a packed row: tokens of the prompt that its answers share, then of each answer.
Layout = Sequence[Sequence[int]]
LAYERS = {"full_attention", "sliding_attention"}  # that attention without a mask can compute


def packing_fault(model: Any) -> str | None:
    """Why a causal model cannot take packed rows, None if it can.

    Its layers have to hand the layout on to their attention, which transformers' models do that
    declare an attention backend, and must not carry a state from token to token.
    """
    whole = model.get_base_model() if hasattr(model, "get_base_model") else model
    config = whole.config.get_text_config()
    if not getattr(whole, "_supports_attention_backend", False):
        return f"{type(whole).__name__} computes attention in its own way"
    if config._attn_implementation not in ("sdpa", NAME):
        return f"{type(whole).__name__} needs {config._attn_implementation} attention"
    other = sorted(set(getattr(config, "layer_types", None) or ()) - LAYERS)
    if other or getattr(whole, "_is_stateful", False):
        return f"{type(whole).__name__} has {' and '.join(other) or 'recurrent'} layers"
    if getattr(config, "use_bidirectional_attention", False) or not getattr(
        config, "is_causal", True
    ):
        return f"{type(whole).__name__} attends to later tokens"
    return None


def use_packed_attention(model: Any) -> bool:
    """Whether the model takes packed rows; if so its attention is `packed_attention` from here on.

    Rows of one sequence each, unpadded or padded on the right, are scored as before.
    """
    if packing_fault(model) is not None:
        return False
    with quiet():
        model.set_attn_implementation(NAME)
    return True


def packed_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: None,
    layout: Layout | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """transformers' attention function; query: (1, H, T, D), returns (1, T, H, D).

    transformers makes no mask for it. layout: of the packed row; None where each row of a batch is
    one sequence.
    """
    if layout is None:
        mask = causal_mask(query.shape[2], key.shape[2], sliding_window, query.device)
        return sdpa_attention_forward(module, query, key, value, mask, **kwargs)
    sizes = [size for shared, first, *others in layout for size in (shared + first, *others)]
    sizes.append(query.shape[2] - sum(sizes))  # padding, which attends to nothing
    # One split, whose backward pass is one concatenation; slices would each add to a whole row.
    pieces = zip(*(states.split(sizes, dim=2) for states in (query, key, value)), strict=True)
    outputs = []
    for shared, *answers in layout:
        prompt: list[Tensor] = []
        for _ in answers:
            queries, *states = next(pieces)
            if prompt:
                states = [torch.cat(both, dim=2) for both in zip(prompt, states, strict=True)]
            else:  # the first answer's piece begins with the prompt
                prompt = [part[:, :, :shared] for part in states]
            mask = causal_mask(queries.shape[2], states[0].shape[2], sliding_window, query.device)
            outputs.append(sdpa_attention_forward(module, queries, *states, mask, **kwargs)[0])
    padding, _, unused = next(pieces)
    outputs.append(padding.new_zeros(1, sizes[-1], padding.shape[1], unused.shape[3]))
    return torch.cat(outputs, dim=1), None


def causal_mask(queries: int, keys: int, window: int | None, device: torch.device) -> Tensor | None:
    """(queries, keys) bool: what the last `queries` of `keys` positions attend to.

    None where they are all of them, and no window cuts them short: plain causal attention.
    """
    cut = window is not None and window < keys
    if queries == keys and not cut:
        return None
    behind = torch.arange(keys - queries, keys, device=device)[:, None] - torch.arange(
        keys, device=device
    )
    mask = behind >= 0
    return mask & (behind < window) if cut else mask


ALL_ATTENTION_FUNCTIONS.register(NAME, packed_attention)
