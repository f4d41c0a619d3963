"""One number per pooling that calibrates the probabilities of a head trained with another pooling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Calibration:
    """Fitted multipliers of the logits, by pooling key.

    Attributes:
        multipliers: for each key the pairs (parameter, multiplier) in rising order of the parameter; a pooling
            without a parameter has the single pair (0, multiplier).
    """

    multipliers: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)

    def multiplier(self, pooling: str, parameters: Mapping[str, float]) -> float | None:
        """Of the logits under this pooling, interpolated between fitted parameters; None where nothing was fitted.

        A parameter outside the fitted range has no number: None, never an extrapolation.
        """
        pairs = self.multipliers.get(pooling)
        if not pairs:
            return None
        at, fitted = zip(*pairs, strict=True)
        where = next(iter(parameters.values()), 0.0)
        return float(np.interp(where, at, fitted)) if at[0] <= where <= at[-1] else None
