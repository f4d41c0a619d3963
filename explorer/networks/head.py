"""The head after the pooling: whether it is affine, and its slopes and baselines with statistics held."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class BesideMaps(nn.Module):
    """(B, 2 C) to (B, C): what positions gave, and behind it what else there is, which is held: their sum."""

    def forward(self, pooled: Tensor) -> Tensor:
        maps, rest = pooled.chunk(2, -1)
        return maps + rest.detach()


class UnitNorm(nn.Module):
    """(..., C) to vectors of length 1, as before a cosine."""

    def __init__(self, eps: float = 1e-12) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, pooled: Tensor) -> Tensor:
        return functional.normalize(pooled, dim=-1, eps=self.eps)


class Elementwise(nn.Module):
    """(..., C) times a constant of each channel, plus another: factor and shift (C,)."""

    def __init__(self, factor: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("factor", factor.detach())
        self.register_buffer("shift", shift.detach())

    def forward(self, pooled: Tensor) -> Tensor:
        return pooled * self.get_buffer("factor") + self.get_buffer("shift")


# In evaluation these pass a vector on unchanged.
_TRANSPARENT = (nn.Identity, nn.Flatten, nn.Dropout)
_AT_A_VECTOR = (nn.LayerNorm, UnitNorm, BesideMaps)  # affine once something of the vector is held
_AFFINE = (nn.Linear, nn.BatchNorm1d, Elementwise, *_AT_A_VECTOR)


def head_kind(head: nn.Module) -> str:
    """"affine" when the head is a chain of Flatten, Dropout, LayerNorm, BatchNorm, Linear, constants by element
    and the norm of a cosine; else "nonlinear".

    A LayerNorm and a norm are affine with their statistics held at their input, BatchNorm's are constants.
    """
    return "affine" if all(isinstance(module, _TRANSPARENT + _AFFINE) for module in _chain(head)) else "nonlinear"


def has_constant_slopes(head: nn.Module) -> bool:
    """Whether the head is affine with slopes that are the same for every vector: of kind "affine", nothing held."""
    return head_kind(head) == "affine" and not any(isinstance(module, _AT_A_VECTOR) for module in _chain(head))


def before_last_linear(head: nn.Module) -> tuple[list[nn.Module], nn.Linear] | None:
    """The modules that leave each channel in its place, and the single Linear after them; None of any other head."""
    chain = [module for module in _chain(head) if not isinstance(module, _TRANSPARENT)]
    if not chain or not isinstance(chain[-1], nn.Linear):
        return None
    in_place = (nn.BatchNorm1d, Elementwise, *_AT_A_VECTOR)
    return (chain[:-1], chain[-1]) if all(isinstance(module, in_place) for module in chain[:-1]) else None


def affine_steps(head: nn.Module) -> list[nn.Module]:
    """The modules of an affine head that change a vector, in their order."""
    return [module for module in _chain(head) if isinstance(module, _AFFINE)]


def hold(head: nn.Module, pooled: Tensor, classes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """An affine head at a pooled vector: logit(c) = slopes[c] @ pooled + baselines[c].

    Args:
        head: of kind "affine", in evaluation mode.
        pooled: (C,), at which a LayerNorm's mean and variance, or a norm, are held.
        classes: n class indices.

    Returns:
        slopes (n, C) and baselines (n,): the held head's logits of the zero vector.
    """
    modules = affine_steps(head)
    statistics = max((n for n, module in enumerate(modules) if isinstance(module, _AT_A_VECTOR)), default=-1)
    steps: list[tuple[Tensor, Tensor]] = []
    vector = pooled
    for n, module in enumerate(modules):
        weight, shift = _held(module, vector)
        steps.append((weight, shift))
        if n < statistics:  # modules after the last one that holds something need not be run
            vector = vector * weight + shift if weight.ndim == 1 else module(vector)
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


def _held(module: nn.Module, vector: Tensor) -> tuple[Tensor, Tensor]:
    """(weight, shift) of a module at this vector: a matrix, or (C,) for one factor a channel."""
    if isinstance(module, nn.Linear):
        return module.weight, module.weight.new_zeros(module.out_features) if module.bias is None else module.bias
    if isinstance(module, BesideMaps):
        rest = vector.chunk(2)[1]
        return torch.eye(len(rest), len(vector), dtype=vector.dtype), rest
    if isinstance(module, UnitNorm):
        return torch.ones_like(vector) / vector.norm().clamp_min(module.eps), torch.zeros_like(vector)
    if isinstance(module, Elementwise):
        return module.get_buffer("factor"), module.get_buffer("shift")
    assert isinstance(module, (nn.LayerNorm, nn.BatchNorm1d))
    if isinstance(module, nn.BatchNorm1d):
        mean, variance = module.get_buffer("running_mean"), module.get_buffer("running_var")
    else:
        mean, variance = vector.mean().expand_as(vector), vector.var(unbiased=False)
    weight = torch.ones_like(mean) if module.weight is None else module.weight
    bias = torch.zeros_like(mean) if module.bias is None else module.bias
    scale = weight / torch.sqrt(variance + module.eps)
    return scale, bias - mean * scale
