"""A class token's attention: its weight for each token, in the block where it attends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

CLOSE = 1e-4


def class_token_attention(calls: Sequence[Any], after: str) -> Tensor | None:
    """(heads, tokens) of one input: softmax weights of the first token in the first attention after a layer.

    The weights are computed again from the module's own queries and keys, and used only when they reproduce the
    module's output from its values.

    Args:
        calls: of a pass, see `explorer.networks.cutting.taps.Taps.watch`.
        after: key of the layer whose maps the attention reads.
    """
    ended = max((n for n, call in enumerate(calls) if call.key == after), default=None)
    if ended is None:
        return None
    for call in calls[ended + 1:]:
        tokens = call.arguments[0] if call.arguments else None
        if not isinstance(tokens, Tensor) or tokens.ndim != 3:
            continue
        if isinstance(call.module, nn.MultiheadAttention):
            return _of_torch(call, tokens)
        if all(isinstance(getattr(call.module, name, None), nn.Linear) for name in ("qkv", "proj")):
            return _of_timm(call, tokens)
    return None


def _of_torch(call: Any, tokens: Tensor) -> Tensor | None:
    output, weights = type(call.module).forward(call.module, tokens, tokens, tokens, need_weights=True,
                                                average_attn_weights=False)
    own = call.output[0] if isinstance(call.output, tuple) else call.output
    return weights[0, :, 0] if torch.allclose(output, own, atol=CLOSE, rtol=CLOSE) else None


def _of_timm(call: Any, tokens: Tensor) -> Tensor | None:
    module, (batch, length, _) = call.module, tokens.shape
    heads = getattr(module, "num_heads", None)
    if not isinstance(heads, int):
        return None
    query, key, value = module.qkv(tokens).reshape(batch, length, 3, heads, -1).permute(2, 0, 3, 1, 4)
    query = getattr(module, "q_norm", nn.Identity())(query)
    key = getattr(module, "k_norm", nn.Identity())(key)
    weights = (query * getattr(module, "scale", query.shape[-1] ** -0.5) @ key.transpose(-2, -1)).softmax(-1)
    output = module.proj(getattr(module, "norm", nn.Identity())((weights @ value).transpose(1, 2).flatten(2)))
    same = output.shape == call.output.shape and torch.allclose(output, call.output, atol=CLOSE, rtol=CLOSE)
    return weights[0, :, 0] if same else None
