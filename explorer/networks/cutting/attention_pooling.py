"""CLIP-style attention pooling: the values that it averages, and each head's weights of the positions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from timm.layers import AttentionPool2d, RotAttentionPool2d
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from explorer.networks.cutting.head_chain import linear


def is_attention_pool(module: nn.Module) -> bool:
    """Whether a module pools (B, C, H, W) by an attention with one query token: timm's, or OpenAI's own."""
    if isinstance(module, (AttentionPool2d, RotAttentionPool2d)):
        return getattr(module, "pool_type", "token") == "token"
    parts = ("q_proj", "k_proj", "v_proj", "c_proj")
    return hasattr(module, "positional_embedding") and all(
        isinstance(getattr(module, name, None), nn.Linear) for name in parts)


class AttentionValues(nn.Module):
    """Feature maps (B, C, H, W) to the values (B, D, H, W) that an attention pooling averages, then its weights.

    The weights are (B, heads, H, W) and sum to 1 over positions. The query token has a weight too. It is the mean of
    the positions (or a learned token), so its weight is divided evenly among them, and the difference of its value from
    their mean is added to each. The weighted average of these values is the attention's own, to rounding.
    """

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, feature_maps: Tensor) -> Tensor:
        query, key, value = _queries_keys_values(self.pool, feature_maps)
        rows, columns = feature_maps.shape[2:]
        weights = ((query[:, :, :1] @ key.transpose(-2, -1)) * query.shape[-1] ** -0.5).softmax(-1)[:, :, 0]
        own, others = weights[..., :1], weights[..., 1:]
        first, rest = value[:, :, :1], value[:, :, 1:]
        rest = rest + own[..., None] * (first - rest.mean(2, keepdim=True))
        values = rest.transpose(2, 3).flatten(1, 2)
        return torch.cat([values, others + own / others.shape[-1]], 1).unflatten(2, (rows, columns))


def projection(pool: Any, heads: int) -> nn.Linear:
    """The Linear after the average: (B, D + heads) to (B, out); it ignores the entries of the weights."""
    last = pool.c_proj if hasattr(pool, "c_proj") else pool.proj
    if isinstance(last, nn.Identity):
        width = pool.embed_dim
        return linear(torch.eye(width, width + heads), None)
    return linear(functional.pad(last.weight, (0, heads)), last.bias)


class _Attended(BaseException):  # not an Exception: a model may catch those
    def __init__(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        super().__init__()
        self.parts = query, key, value


class _StopAtAttention(TorchFunctionMode):
    """Stops a module, in this thread alone, where it computes its attention."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(function, "__name__", "")
        if name == "scaled_dot_product_attention":
            raise _Attended(*args[:3])
        if name == "multi_head_attention_forward":
            raise _Attended(*_of_torch(args, kwargs or {}))
        return function(*args, **(kwargs or {}))


def _queries_keys_values(pool: Any, feature_maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Three tensors (B, heads, 1 + H W, D / heads)."""
    if hasattr(pool, "fused_attn"):
        pool.fused_attn = True  # one operation to stop at, and not the same written out
    try:
        with _StopAtAttention():
            pool(feature_maps)
    except _Attended as attended:
        return attended.parts
    raise ValueError("the attention pooling does not attend")


def _of_torch(args: tuple, named: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of OpenAI's module, which hands its projections to torch's function."""
    bound = inspect.signature(functional.multi_head_attention_forward).bind(*args, **named).arguments
    heads, bias = bound["num_heads"], bound.get("in_proj_bias")
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    projected = [functional.linear(bound[name], bound[f"{name[0]}_proj_weight"], own)
                 for name, own in zip(("query", "key", "value"), biases, strict=True)]
    # (L, B, D) to (B, heads, L, D / heads)
    return tuple(part.unflatten(-1, (heads, -1)).permute(1, 2, 0, 3) for part in projected)
