"""The head after the pooling: whether it is affine, and its slopes and baselines with statistics held."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

# In evaluation these pass a vector on unchanged.
_TRANSPARENT = (nn.Identity, nn.Flatten, nn.Dropout)
_AFFINE = (nn.Linear, nn.LayerNorm, nn.BatchNorm1d)


def head_kind(head: nn.Module) -> str:
    """"affine" when the head is a chain of Flatten, Dropout, LayerNorm, BatchNorm and Linear; else "nonlinear".

    A LayerNorm is affine with its statistics held at its input; BatchNorm's are constants in evaluation.
    """
    return "affine" if all(isinstance(module, _TRANSPARENT + _AFFINE) for module in _chain(head)) else "nonlinear"


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
        slopes (n, C) and baselines (n,): the held head's logits of the zero vector.
    """
    modules = [module for module in _chain(head) if isinstance(module, _AFFINE)]
    statistics = max((n for n, module in enumerate(modules) if isinstance(module, nn.LayerNorm)), default=-1)
    steps: list[tuple[Tensor, Tensor]] = []
    vector = pooled
    for n, module in enumerate(modules):
        weight, shift = _held(module, vector)
        steps.append((weight, shift))
        if n < statistics:  # modules after the last LayerNorm need not be run
            vector = module(vector) if isinstance(module, nn.Linear) else vector * weight + shift
    if steps and steps[-1][0].ndim == 2:
        weight, shift = steps.pop()
        slopes, baselines = weight[list(classes)], shift[list(classes)]
    else:
        width = len(steps[-1][0]) if steps else len(pooled)
        slopes = torch.eye(width, dtype=pooled.dtype)[list(classes)]
        baselines = torch.zeros(len(classes), dtype=pooled.dtype)
    for weight, shift in reversed(steps):
        baselines = baselines + slopes @ shift
        slopes = slopes @ weight if weight.ndim == 2 else slopes * weight
    return slopes, baselines


def _chain(head: nn.Module) -> list[nn.Module]:
    # A subclass of Sequential with another forward may do anything: it counts as one module.
    if isinstance(head, nn.Sequential) and type(head).forward is nn.Sequential.forward:
        return [module for child in head for module in _chain(child)]
    return [head]


def _held(module: nn.Linear | nn.LayerNorm | nn.BatchNorm1d, vector: Tensor) -> tuple[Tensor, Tensor]:
    """(weight, shift) of a module at this vector: a matrix for a Linear, (C,) of a normalisation's statistics."""
    if isinstance(module, nn.Linear):
        return module.weight, module.weight.new_zeros(module.out_features) if module.bias is None else module.bias
    if isinstance(module, nn.BatchNorm1d):
        mean, variance = module.get_buffer("running_mean"), module.get_buffer("running_var")
    else:
        mean, variance = vector.mean().expand_as(vector), vector.var(unbiased=False)
    weight = torch.ones_like(mean) if module.weight is None else module.weight
    bias = torch.zeros_like(mean) if module.bias is None else module.bias
    scale = weight / torch.sqrt(variance + module.eps)
    return scale, bias - mean * scale
