"""Which global pooling a network has, told from what it does and not from what it is called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from explorer.poolings.native import CATAVGMAX, CATMAXAVG
from explorer.poolings.registry import PLACES, POOLINGS, Pooling

Pool = Callable[[Tensor], Tensor]
CLOSE = 1e-4  # of the largest pooled value
FINE = 2e-7  # so close that a parameter may be said with fewer digits


@dataclass(frozen=True)
class Recognised:
    """A pooling, whose default parameter is the network's own; `copies` of the feature maps that it takes."""

    pooling: Pooling
    copies: int = 1

    @property
    def parameters(self) -> dict[str, float]:
        """The network's own."""
        return self.pooling.resolve({})


def recognise(feature_maps: Tensor, pooled: Tensor) -> Recognised | None:
    """The pooling that makes (B, D) of (B, C, H, W); None when none of those that are known does.

    Tried are the average, the maximum, their mix, GeM with any p, SoftPool, and average and maximum side by side
    (D = 2 C).
    """
    channels = feature_maps.shape[1]
    if torch.equal(feature_maps.amax(PLACES), feature_maps.amin(PLACES)) or not pooled.any():
        return None  # constant maps, or silent ones, tell nothing: all poolings agree on them
    if pooled.shape[1] == 2 * channels:
        both = feature_maps.repeat(1, 2, 1, 1)
        return next((Recognised(each, 2) for each in (CATAVGMAX, CATMAXAVG) if _alike(each(both), pooled)), None)
    if pooled.shape[1] != channels:
        return None
    for key in ("gap", "gmp", "softpool"):
        if _alike(POOLINGS[key](feature_maps), pooled):
            return Recognised(POOLINGS[key])
    for key, find in (("mixed", _share_of_maximum), ("gem", _power)):
        value = find(feature_maps, pooled)
        if value is None or _apart(key, value, feature_maps, pooled) > CLOSE:
            continue
        plain = round(value, 4)
        good = _apart(key, plain, feature_maps, pooled) <= max(FINE, 2 * _apart(key, value, feature_maps, pooled))
        return Recognised(_with_default(key, plain if good else value))
    return None


def _apart(key: str, value: float, feature_maps: Tensor, pooled: Tensor) -> float:
    """How far this pooling with this parameter is from what was pooled, as a share of its largest."""
    got = POOLINGS[key](feature_maps, **{_parameter(key): value})
    return float((got - pooled).abs().max() / pooled.abs().max().clamp_min(1e-12))


def _alike(got: Tensor, wanted: Tensor) -> bool:
    return bool((got - wanted).abs().max() <= CLOSE * wanted.abs().max().clamp_min(1e-12))


def _parameter(key: str) -> str:
    return POOLINGS[key].parameter.name


def _with_default(key: str, value: float) -> Pooling:
    pooling = POOLINGS[key]
    return replace(pooling, parameter=replace(pooling.parameter, default=value))


def _share_of_maximum(feature_maps: Tensor, pooled: Tensor) -> float | None:
    """a of a * maximum + (1 - a) * average, by least squares."""
    average, maximum = (POOLINGS[key](feature_maps).double() for key in ("gap", "gmp"))
    span = maximum - average
    below = float((span * span).sum())
    share = float((span * (pooled.double() - average)).sum()) / below if below > 0 else -1.0
    return min(max(share, 0.0), 1.0) if -1e-4 <= share <= 1 + 1e-4 else None


def _power(feature_maps: Tensor, pooled: Tensor) -> float | None:
    """p of GeM, by bisection: each channel's power mean rises with p."""
    wanted = float(pooled.double().sum())
    low, high = POOLINGS["gem"].parameter.low, POOLINGS["gem"].parameter.high

    def total(p: float) -> float:
        return float(POOLINGS["gem"](feature_maps.double(), p=p).sum())

    # At p = 1 it is the average of what a ReLU leaves, and no GeM.
    if not total(1.001) <= wanted or not total(high) >= wanted:
        return None
    for _ in range(48):
        middle = (low + high) / 2
        low, high = (middle, high) if total(middle) < wanted else (low, middle)
    return (low + high) / 2
