"""Tensors to numpy arrays, and what many questions ask of one."""

from __future__ import annotations

import numpy as np
from torch import Tensor

_ROUNDING = 1e-9  # by which a share may be missed: in binary, three tenths of ten are a hair less than three


def to_array(tensor: Tensor) -> np.ndarray:
    """A float64 copy, detached from any graph."""
    return tensor.detach().numpy().astype(np.float64)


def positive_part(cells: np.ndarray) -> np.ndarray:
    """Float64 of the same shape: what is positive and finite, else 0."""
    values = np.asarray(cells, dtype=np.float64)
    return np.where(np.isfinite(values), np.maximum(values, 0), 0)


def fewest_holding(values: np.ndarray, share: float) -> tuple[np.ndarray, float]:
    """The fewest numbers that hold at least a share of their sum: their flat places, largest first, and the share held.

    Args:
        values: of any shape, finite and >= 0.
        share: above 0, up to 1.

    Returns no places and 0.0 where the sum is 0.
    """
    order = np.argsort(-values, axis=None, kind="stable")
    running = np.cumsum(values.ravel()[order])
    if not running.size or not running[-1] > 0:
        return order[:0], 0.0
    count = int(np.searchsorted(running / running[-1], share - _ROUNDING)) + 1
    return order[:count], float(running[count - 1] / running[-1])
