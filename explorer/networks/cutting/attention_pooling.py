"""Attention pooling, CLIP's and SigLIP's: the values that it averages, and each head's weights of the positions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from timm.layers import AttentionPool2d, AttentionPoolLatent, RotAttentionPool2d
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from explorer.networks.cutting.arrangement import Arrangement, grid_of
from explorer.networks.cutting.head_chain import linear
from explorer.networks.cutting.torch_attention import projected


def is_attention_pool(module: nn.Module) -> bool:
    """Whether a module pools by an attention with one query: maps (B, C, H, W) as timm's and OpenAI's own do, or tokens
    (B, N, C) as SigLIP's does."""
    if isinstance(module, AttentionPoolLatent):
        return module.pool == "token" or (module.pool == "avg" and module.latent_len == 1)
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
        return _averaged(self.pool, feature_maps, 1).unflatten(2, feature_maps.shape[2:])


class TokenValues(nn.Module):
    """An input (B, channels, h, w) to the values and weights, as above, of a pooling of tokens.

    Tokens that stand before the positions are divided among them like a query that has a weight.
    """

    def __init__(self, part: nn.Module, arrangement: Arrangement, pool: nn.Module) -> None:
        super().__init__()
        self.part = part
        self.arrangement = arrangement
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        tokens, prefix = self.part.forward(x), self.arrangement.prefix
        grid = grid_of(tokens.shape[1] - prefix, x.shape[-2:])
        return _averaged(self.pool, tokens, prefix).unflatten(2, grid)


class AfterLatent(nn.Module):
    """What SigLIP's pooling does after its attention and projection: an MLP beside the vector (B, out)."""

    def __init__(self, pool: AttentionPoolLatent) -> None:
        super().__init__()
        self.norm = pool.norm
        self.mlp = pool.mlp

    def forward(self, pooled: Tensor) -> Tensor:
        return pooled + self.mlp(self.norm(pooled))


def _averaged(pool: nn.Module, features: Tensor, others: int) -> Tensor:
    """(B, D + heads, positions): the values, then the weights; so many tokens of the attention are no positions."""
    query, key, value = _queries_keys_values(pool, features)
    weights = ((query[:, :, :1] @ key.transpose(-2, -1)) * query.shape[-1] ** -0.5).softmax(-1)[:, :, 0]
    own, rest_weights = weights[..., :others], weights[..., others:]
    first, rest = value[:, :, :others], value[:, :, others:]
    rest = rest + (own[..., None] * (first - rest.mean(2, keepdim=True))).sum(2, keepdim=True)
    values = rest.transpose(2, 3).flatten(1, 2)
    return torch.cat([values, rest_weights + own.sum(-1, keepdim=True) / rest_weights.shape[-1]], 1)


def after_attention(pool: Any) -> Sequence[nn.Module]:
    """What follows a pooling's projection within it, as modules of the head."""
    return [AfterLatent(pool)] if getattr(pool, "mlp", None) is not None else []


def projection(pool: Any, heads: int) -> nn.Linear:
    """The Linear after the average: (B, D + heads) to (B, out); it ignores the entries of the weights."""
    last = pool.c_proj if hasattr(pool, "c_proj") else pool.proj
    if isinstance(last, nn.Identity):
        width = getattr(pool, "embed_dim", None) or pool.out_features
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
            raise _Attended(*projected(args, kwargs or {}))
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
