"""Lesson 2: local and global pooling. A window slides over a map, and grows until it is the whole map."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from explorer.analysis import Analysis
from explorer.checks import checked_key, checked_whole
from explorer.questions.channel_table import array

KINDS = MappingProxyType({"max": "maximum", "average": "average"})


@dataclass(frozen=True, eq=False)
class LocalPooling:
    """A local pooling of one channel's map, without padding; (h, w) are the outputs' rows and columns.

    Attributes:
        values: (H, W) float64, the channel's map.
        output: (h, w) float64, one number a window.
        sides: rows and columns of a window; where they are (H, W) the output is GAP or GMP.
        peaks: (h, w, 2) int, row and column of each window's maximum, the first in a tie; None for averages.
        unread: share of the positions that no window reads.
        variance_kept: how well the map can be drawn again from the outputs: each position is given the mean of the
            outputs that have read it (one that none has, the mean of the others), and the squared correlation of that
            picture with the map is taken, 0 to 1. For averages over windows that divide the map evenly it is the
            variance between windows as a share of all. None for a map with one value alone, or one not finite.
        global_value: GAP or GMP of the map.
    """

    values: np.ndarray
    output: np.ndarray
    sides: tuple[int, int]
    peaks: np.ndarray | None
    unread: float
    variance_kept: float | None
    global_value: float


def largest_window(analysis: Analysis) -> int:
    """The side at which a window is the whole map: the longer of the map's sides."""
    return max(analysis.feature_maps.shape[1:])


def local_and_global(
    analysis: Analysis, channel: int, kind: str = "max", window: int = 2, stride: int | None = None
) -> LocalPooling:
    """Pool a channel's map in windows.

    Args:
        analysis: of any network and at any layer.
        channel: 0 to C - 1.
        kind: key of KINDS.
        window: side of the window in positions, 1 to `largest_window`; where the map is not as wide or not as high
            the window ends with it, so that the largest is the whole map of whatever shape.
        stride: positions from one window to the next, 1 to `window`; None is `window`.

    Raises ParameterError for what is outside its range.
    """
    maps = analysis.feature_maps
    checked_whole(channel, 0, len(maps) - 1, "channel")
    checked_key(kind, KINDS, "kind of pooling")
    checked_whole(window, 1, largest_window(analysis), "window")
    stride = checked_whole(window if stride is None else stride, 1, window, "stride")
    values = maps[channel].detach().double()
    rows, columns = values.shape
    sides = min(window, rows), min(window, columns)
    output, peaks = _slide(values, kind, sides, stride)
    reads = _painted(torch.ones_like(output), sides, stride, values.shape)
    return LocalPooling(
        values=array(values), output=array(output), sides=sides, peaks=peaks,
        unread=float((reads == 0).double().mean()),
        variance_kept=_variance_kept(values, _painted(output, sides, stride, values.shape), reads),
        global_value=float(values.max() if kind == "max" else values.mean()),
    )


def _slide(values: Tensor, kind: str, sides: tuple[int, int], stride: int) -> tuple[Tensor, np.ndarray | None]:
    """The outputs (h, w), and where each maximum is."""
    if kind == "average":
        return functional.avg_pool2d(values[None, None], sides, stride)[0, 0], None
    output, places = functional.max_pool2d(values[None, None], sides, stride, return_indices=True)
    return output[0, 0], np.stack(np.divmod(places[0, 0].numpy(), values.shape[1]), -1)


def _painted(output: Tensor, sides: tuple[int, int], stride: int, shape: torch.Size) -> Tensor:
    """(H, W): each output added to all positions of its window, down and then across."""
    down = functional.conv_transpose2d(output[None, None], output.new_ones(1, 1, sides[0], 1), stride=(stride, 1))
    both = functional.conv_transpose2d(down, output.new_ones(1, 1, 1, sides[1]), stride=(1, stride))[0, 0]
    return functional.pad(both, (0, shape[1] - both.shape[1], 0, shape[0] - both.shape[0]))


def _variance_kept(values: Tensor, painted: Tensor, reads: Tensor) -> float | None:
    if not bool(values.isfinite().all()) or bool((values == values[0, 0]).all()):
        return None
    read = reads > 0
    drawn = painted / reads.clamp_min(1)
    drawn = torch.where(read, drawn, drawn[read].mean())
    rounding = 1e-26 * values.square().sum()
    drawn, values = drawn - drawn.mean(), values - values.mean()
    spread = drawn.square().sum()
    if spread <= rounding:  # one number everywhere
        return 0.0
    return min(1.0, float((drawn * values).sum().square() / (spread * values.square().sum())))
