"""Greys of more than 8 bits (scanners, microscopes, CT): the range of numbers that goes from black to white."""

from __future__ import annotations

import numpy as np

from explorer.errors import ImageError

Window = tuple[float, float]  # the number that is black, and the one that is white

_DEPTHS = (8, 10, 12, 14, 16)  # bits that instruments record


def own_range(pixels: np.ndarray) -> Window:
    """The range that greys are of: 0 to the largest number of their depth, such as 4095 for 12 bits in a file of 16.

    Of floats from 0 to 1 it is that; of other numbers, as in a CT with negative ones, it is from the smallest to the
    largest.
    """
    if not np.isfinite(pixels).all():
        raise ImageError("The photo has pixels that are not numbers (NaN or infinity); expected finite ones.")
    low, high = float(pixels.min()), float(pixels.max())
    if pixels.dtype.kind == "f":
        return (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)
    depth = next((bits for bits in _DEPTHS if low >= 0 and high < 2 ** bits), None)
    return (low, high) if depth is None else (0.0, float(2 ** depth - 1))


def checked_window(window: object) -> Window:
    """The window itself. Raises ImageError unless it is two finite numbers, the first the smaller."""
    if not isinstance(window, (tuple, list)) or len(window) != 2 or not all(
            isinstance(number, (int, float)) and np.isfinite(number) for number in window) or window[0] >= window[1]:
        raise ImageError(f"The window is {window!r:.60}; expected two numbers, black first, such as (0, 4095).")
    return float(window[0]), float(window[1])


def to_grey(pixels: np.ndarray, window: Window | None = None) -> np.ndarray:
    """uint8 (H, W) of numbers (H, W): black at the window's first and below, white at its second and above."""
    low, high = own_range(pixels) if window is None else window
    if high <= low:
        return np.zeros(pixels.shape, np.uint8)
    shares = (pixels.astype(np.float64) - low) / (high - low)
    return np.floor(np.clip(shares, 0, 1) * 255 + 0.5).astype(np.uint8)
