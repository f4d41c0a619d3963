"""Feature maps as bytes: whole multiples of one step, which take a quarter of the room and much less compressed."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from explorer.errors import ParameterError


class Quantised(NamedTuple):
    """Feature maps codes * scale.

    Attributes:
        codes: (N, C, H, W) uint8.
        scale: what one step is worth.
    """

    codes: Tensor
    scale: float

    def floats(self, which: Tensor | None = None) -> Tensor:
        """(n, C, H, W) float32: the feature maps of some photos (indices or (N,) bool), or of all."""
        return (self.codes if which is None else self.codes[which]).float() * self.scale


def quantise(feature_maps: Tensor, steps: int = 255, highest: float | None = None) -> Quantised:
    """Feature maps (N, C, H, W), none negative, rounded to whole multiples of `highest / steps`.

    Args:
        steps: 1 to 255.
        highest: what the last step stands for; larger activations become it. None is the largest there is.

    Raises ParameterError for a number of steps out of range, and for activations that are negative or not finite.
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= 255:
        raise ParameterError(f"The number of steps is {steps!r}; expected a whole number from 1 to 255.")
    if feature_maps.numel() and not (torch.isfinite(feature_maps).all() and feature_maps.amin() >= 0):
        raise ParameterError("Some activations are negative or not finite; expected feature maps from 0 up.")
    largest = float(feature_maps.amax()) if feature_maps.numel() else 0.0
    scale = (largest if highest is None else highest) / steps
    if not scale > 0:
        scale = 1.0
    return Quantised((feature_maps / scale).round_().clamp_(0, steps).to(torch.uint8), scale)
