"""One number per pooling that calibrates the probabilities of a head trained with another pooling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


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


def fit_multiplier(logits: Tensor, labels: Tensor) -> float:
    """The multiplier s > 0 that minimises the mean negative log-likelihood of softmax(s * logits).

    This is temperature scaling (Guo et al., On Calibration of Modern Neural Networks, 2017, arXiv:1706.04599), with
    s = 1 / temperature.

    Args:
        logits: (N, classes).
        labels: (N,) class indices.
    """
    logits, labels = logits.double(), labels.long()
    log_multiplier = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([log_multiplier], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = functional.cross_entropy(log_multiplier.exp() * logits, labels)
        value.backward()
        return value

    optimiser.step(loss)
    return float(log_multiplier.detach().exp())
