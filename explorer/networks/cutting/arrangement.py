"""How a tensor inside a network holds maps: channels first, channels last, or a row of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Arrangement:
    """One way to hold the maps of C channels at H x W positions.

    Attributes:
        kind: "first" (B, C, H, W), "last" (B, H, W, C) or "tokens" (B, prefix + H * W, C).
        prefix: tokens before the positions, such as a class token.
    """

    kind: str = "first"
    prefix: int = 0

    def maps(self, tensor: Tensor, input_size: Sequence[int]) -> Tensor:
        """(B, C, H, W) of a tensor so arranged.

        `input_size` is (h, w) of the network's input, whose aspect a row of tokens is given.
        Raises ValueError when that many tokens do not fill a grid of that aspect.
        """
        if self.kind == "first":
            return tensor
        if self.kind == "last":
            return tensor.permute(0, 3, 1, 2)
        grid = grid_of(tensor.shape[1] - self.prefix, input_size)
        return tensor[:, self.prefix:].transpose(1, 2).unflatten(2, grid)

    def put_back(self, tensor: Tensor, maps: Tensor) -> Tensor:
        """A tensor so arranged that holds these maps (B, C, H, W), and `tensor`'s own tokens before them."""
        if self.kind == "first":
            return maps
        if self.kind == "last":
            return maps.permute(0, 2, 3, 1)
        return torch.cat([tensor[:, : self.prefix], maps.flatten(2).transpose(1, 2)], 1)


class Backbone(nn.Module):
    """A model up to its maps, brought to (B, C, H, W) and repeated as often as the pooling takes them."""

    def __init__(self, part: nn.Module, arrangement: Arrangement, copies: int = 1) -> None:
        super().__init__()
        self.part = part
        self.arrangement = arrangement
        self.copies = copies

    def forward(self, x: Tensor) -> Tensor:
        # forward, because a graph's own call prints what goes wrong before it raises it
        maps = self.arrangement.maps(self.part.forward(x), x.shape[-2:])
        return maps if self.copies == 1 else maps.repeat(1, self.copies, 1, 1)


def grid_of(positions: int, input_size: Sequence[int]) -> tuple[int, int]:
    """(rows, columns) of that many positions with the input's aspect. Raises ValueError when there is no such grid."""
    height, width = input_size
    rows = round((positions * height / width) ** 0.5)
    for candidate in (rows, rows - 1, rows + 1):
        if candidate > 0 and positions % candidate == 0:
            columns = positions // candidate
            if abs(height / candidate - width / columns) <= 1:  # px from one position to the next, either way
                return candidate, columns
    raise ValueError(f"{positions} positions fill no grid of the aspect {width} x {height}")


def arrangement_of(output: Any, input_size: Sequence[int]) -> Arrangement | None:
    """How a module's output holds maps of an input of (h, w) px; None when it does not seem to."""
    if not isinstance(output, Tensor) or not output.is_floating_point():
        return None
    height, width = input_size
    if output.ndim == 4:
        first, last = output.shape[2:], output.shape[1:3]
        # Maps have the input's aspect; where both do, the smaller pair of sides is the grid.
        fits = [(rows * columns, kind) for kind, (rows, columns) in (("first", first), ("last", last))
                if rows <= height and columns <= width and abs(rows * width - columns * height) < max(height, width)]
        return Arrangement(min(fits)[1]) if fits else None
    if output.ndim == 3:
        for prefix in (0, 1, 2, 4, 5):  # none, a class token, one for distillation, four registers
            positions = output.shape[1] - prefix
            if positions > 1:
                try:
                    grid_of(positions, input_size)
                except ValueError:
                    continue
                return Arrangement("tokens", prefix)
    return None
