"""Recognise a network's global pooling by its numbers, not by its name."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from explorer.poolings.native import CATAVGMAX, CATMAXAVG
from explorer.poolings.registry import GEM_POWER, POOLINGS, Pooling
from explorer.poolings.values import PLACES

CLOSE = 1e-4  # of the largest pooled value
FINE = 2e-7  # so close that a parameter may be rounded


@dataclass(frozen=True)
class Recognised:
    """A pooling, whose default parameter is the network's own, and how many copies of the feature maps it takes."""

    pooling: Pooling
    copies: int = 1


def recognise(feature_maps: Tensor, pooled: Tensor) -> Recognised | None:
    """The pooling that turns (B, C, H, W) into (B, D); None when no known one does.

    Known are the average, the maximum, their mix, GeM with any p, SoftPool, and average and maximum side by side
    (D = 2 C).
    """
    channels = feature_maps.shape[1]
    is_constant = feature_maps[0, 0].numel() < 2 or torch.equal(feature_maps.amax(PLACES), feature_maps.amin(PLACES))
    if is_constant or not pooled.any():
        return None  # all poolings agree on constant or silent maps
    if pooled.shape[1] == 2 * channels:
        both = feature_maps.repeat(1, 2, 1, 1)
        return next((Recognised(pair, 2) for pair in (CATAVGMAX, CATMAXAVG)
                     if _difference(pair(both), pooled) <= CLOSE), None)
    if pooled.shape[1] != channels:
        return None
    if not _lies_between(feature_maps, pooled):
        return None  # a network has hundreds of vectors: almost all of them end here, at the price of two reductions
    for key in ("gap", "gmp", "softpool"):
        if _difference(POOLINGS[key](feature_maps), pooled) <= CLOSE:
            return Recognised(POOLINGS[key])
    for key, fit in (("mixed", _share_of_maximum), ("gem", _power)):
        if (value := fit(feature_maps, pooled)) is None:
            continue
        precise, rounded = (POOLINGS[key].with_default(number) for number in (value, round(value, 4)))
        if (least := _difference(precise(feature_maps), pooled)) <= CLOSE:
            good = _difference(rounded(feature_maps), pooled) <= max(FINE, 2 * least)
            return Recognised(rounded if good else precise)
    return None


def _lies_between(feature_maps: Tensor, pooled: Tensor) -> bool:
    """Whether each channel's number is from its average to its maximum, as of every known pooling, or 0."""
    slack = CLOSE * pooled.abs().max()
    least, most = feature_maps.mean(PLACES) - slack, feature_maps.amax(PLACES).clamp_min(0) + slack
    return bool(((pooled >= least) & (pooled <= most)).all())


def _difference(one: Tensor, pooled: Tensor) -> float:
    """The largest difference from the pooled vector, as a share of its largest number."""
    return float((one - pooled).abs().max() / pooled.abs().max().clamp_min(1e-12))


def _share_of_maximum(feature_maps: Tensor, pooled: Tensor) -> float | None:
    """a of a * maximum + (1 - a) * average, by least squares."""
    average, maximum = (POOLINGS[key](feature_maps).double() for key in ("gap", "gmp"))
    span = maximum - average
    below = float((span * span).sum())
    share = float((span * (pooled.double() - average)).sum()) / below if below > 0 else -1.0
    return min(max(share, 0.0), 1.0) if -1e-4 <= share <= 1 + 1e-4 else None


def _power(feature_maps: Tensor, pooled: Tensor) -> float | None:
    """p of GeM, by bisection: each channel's power mean rises with p."""
    target = float(pooled.double().sum())
    low, high = GEM_POWER.low, GEM_POWER.high

    def total(p: float) -> float:
        return float(POOLINGS["gem"](feature_maps.double(), p=p).sum())

    # At p = 1 it is the average of what a ReLU leaves, and no GeM.
    if not total(1.001) <= target or not total(high) >= target:
        return None
    for _ in range(48):
        middle = (low + high) / 2
        low, high = (middle, high) if total(middle) < target else (low, middle)
    return (low + high) / 2
