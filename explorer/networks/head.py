"""What follows the pooling: whether it is affine, and its slopes and constant once statistics are held."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

# In evaluation these pass a vector on unchanged.
_TRANSPARENT = (nn.Identity, nn.Flatten, nn.Dropout)


def head_kind(head: nn.Module) -> str:
    """"affine" when the head is a chain of Flatten, Dropout, LayerNorm, BatchNorm and Linear; else "nonlinear".

    A LayerNorm is affine with its statistics held at the vector it is given; BatchNorm's are held anyway.
    """
    affine = (*_TRANSPARENT, nn.Linear, nn.LayerNorm, nn.BatchNorm1d)
    return "affine" if all(isinstance(module, affine) for module in _chain(head)) else "nonlinear"


def hold(head: nn.Module, pooled: Tensor, classes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """An affine head at a pooled vector: logit(c) = slopes[c] @ pooled + baselines[c].

    Args:
        head: of kind "affine", in evaluation mode.
        pooled: (C,), at which a LayerNorm's mean and variance are held.
        classes: n class indices.

    Returns:
        slopes (n, C) and baselines (n,): what the held head gives for the zero vector.
    """
    steps, vector = [], pooled
    for module in _chain(head):
        if isinstance(module, nn.Linear):
            steps.append((module.weight, module.bias))
            vector = module(vector)
        elif isinstance(module, (nn.LayerNorm, nn.BatchNorm1d)):
            steps.append(_held_normalisation(module, vector))
            scale, shift = steps[-1]
            vector = vector * scale + shift
    slopes = torch.eye(len(vector), dtype=vector.dtype)[list(classes)] if not _ends_linear(steps) else None
    baselines = torch.zeros(len(classes), dtype=vector.dtype)
    for weight, shift in reversed(steps):
        if slopes is None:
            slopes = weight[list(classes)]
            baselines = baselines if shift is None else baselines + shift[list(classes)]
            continue
        baselines = baselines if shift is None else baselines + slopes @ shift
        slopes = slopes @ weight if weight.ndim == 2 else slopes * weight
    return slopes, baselines


def _chain(head: nn.Module) -> list[nn.Module]:
    # A Sequential with a forward of its own may do anything: it counts as one module.
    if isinstance(head, nn.Sequential) and type(head).forward is nn.Sequential.forward:
        return [module for child in head for module in _chain(child)]
    return [head]


def _ends_linear(steps: list[tuple[Tensor, Tensor | None]]) -> bool:
    return bool(steps) and steps[-1][0].ndim == 2


def _held_normalisation(module: nn.Module, vector: Tensor) -> tuple[Tensor, Tensor]:
    """(scale, shift), each (C,), of a normalisation at this vector."""
    if isinstance(module, nn.BatchNorm1d):
        mean, variance = module.running_mean, module.running_var
    else:
        mean, variance = vector.mean(), vector.var(unbiased=False)
    weight = torch.ones_like(vector) if module.weight is None else module.weight
    bias = torch.zeros_like(vector) if module.bias is None else module.bias
    scale = weight / torch.sqrt(variance + module.eps)
    return scale, bias - mean * scale
