"""Whether one thing is better than another over several photos, or only seems so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from explorer.errors import ParameterError

_EXACT = 13  # differences whose 8,192 signs are gone through; of more, signs are drawn


class PairedTest(NamedTuple):
    """Whether differences lie to one side of 0.

    Attributes:
        mean, standard_error: of the differences; of one alone the error is NaN.
        p: how often their sum would be at least as far from 0 if each had either sign with equal chance.
    """

    mean: float
    standard_error: float
    p: float


def paired_test(differences: Sequence[float] | np.ndarray, draws: int = 9_999, seed: int = 0) -> PairedTest:
    """A paired, two-sided permutation test by flipping signs: R. A. Fisher, The Design of Experiments, 1935.

    Args:
        differences: one a photo, such as the area of a control minus the area of a map.
        draws: of signs, where there are more than 13 differences; the differences as they are count as one more.
        seed: of these.

    Raises ParameterError when there is no difference, or one is not finite.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ParameterError(f"The differences have shape {values.shape}; expected at least one, all finite.")
    exact = len(values) <= _EXACT
    signs = _all_signs(len(values)) if exact else _drawn_signs(len(values), draws, seed)
    # Sums that are equal by arithmetic differ in their last digits.
    least = abs(values.sum()) - 1e-9 * np.abs(values).sum()
    far = int((np.abs(signs @ values) >= least).sum())
    error = float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else float("nan")
    return PairedTest(float(values.mean()), error, far / len(signs) if exact else (1 + far) / (1 + draws))


def _all_signs(count: int) -> np.ndarray:
    """(2 ** count, count) of -1 and 1."""
    return (np.arange(2 ** count)[:, None] >> np.arange(count) & 1) * 2.0 - 1


def _drawn_signs(count: int, draws: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2, (draws, count), dtype=np.int8) * np.float32(2) - 1
