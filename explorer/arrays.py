"""Tensors to numpy arrays."""

from __future__ import annotations

import numpy as np
from torch import Tensor


def to_array(tensor: Tensor) -> np.ndarray:
    """A float64 copy, detached from any graph."""
    return tensor.detach().numpy().astype(np.float64)
