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


def has_constant_slopes(head: nn.Module) -> bool:
    """Whether the head is affine with slopes that are the same for every vector: of kind "affine", no LayerNorm."""
    return head_kind(head) == "affine" and not any(isinstance(module, nn.LayerNorm) for module in _chain(head))


def hold(head: nn.Module, pooled: Tensor, classes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """An affine head at a pooled vector: logit(c) = slopes[c] @ pooled + baselines[c].

    Args:
        head: of kind "affine", in evaluation mode.
        pooled: (C,), at which a LayerNorm's mean and variance are held.
        classes: n class indices.

    Returns:
        slopes (n, C) and baselines (n,): what the held head gives for the zero vector.
    """
    modules = [module for module in _chain(head) if not isinstance(module, _TRANSPARENT)]
    statistics = max((n for n, module in enumerate(modules) if isinstance(module, nn.LayerNorm)), default=-1)
    steps, vector = [], pooled
    for n, module in enumerate(modules):
        steps.append((module.weight, module.bias) if isinstance(module, nn.Linear) else
                     _held_normalisation(module, vector))
        if n < statistics:  # what comes after the last LayerNorm need not be run
            vector = module(vector) if isinstance(module, nn.Linear) else vector * steps[-1][0] + steps[-1][1]
    width = len(steps[-1][0]) if steps else len(pooled)
    slopes = None if _ends_linear(steps) else torch.eye(width, dtype=pooled.dtype)[list(classes)]
    baselines = torch.zeros(len(classes), dtype=pooled.dtype)
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
        like, mean, variance = module.running_mean, module.running_mean, module.running_var
    else:
        like, mean, variance = vector, vector.mean(), vector.var(unbiased=False)
    weight = torch.ones_like(like) if module.weight is None else module.weight
    bias = torch.zeros_like(like) if module.bias is None else module.bias
    scale = weight / torch.sqrt(variance + module.eps)
    return scale, bias - mean * scale
