"""Feature maps as bytes: whole multiples of one step, which take a quarter of the room and much less compressed."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


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
