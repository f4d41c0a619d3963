"""What torch's own attention function makes of its arguments before it attends."""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor
from torch.nn import functional


def arguments_of(args: tuple, named: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `multi_head_attention_forward` by name, defaults filled in."""
    bound = inspect.signature(functional.multi_head_attention_forward).bind(*args, **named)
    bound.apply_defaults()
    return bound.arguments


def projected(args: tuple, named: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values (B, heads, L, D / heads) that it attends with, its sequences being (L, B, D)."""
    given = arguments_of(args, named)
    bias = given["in_proj_bias"]
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    weights = ([given[f"{name}_proj_weight"] for name in "qkv"] if given["use_separate_proj_weight"]
               else given["in_proj_weight"].chunk(3))
    rows = [functional.linear(given[name], weight, own)
            for name, weight, own in zip(("query", "key", "value"), weights, biases, strict=True)]
    query, key, value = (one.unflatten(-1, (given["num_heads"], -1)).permute(1, 2, 0, 3) for one in rows)
    return query, key, value
