"""A logit decomposed, exactly, over positions and channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from explorer.networks.head import head_kind, hold
from explorer.poolings.values import along_ray

_LARGEST_RESIDUAL = 0.1  # of the logit
_GOOD = 3e-3  # logits: a residual that needs no finer quadrature
_PANELS = (0, 4, 8)


@dataclass(frozen=True, eq=False)
class Evidence:
    """The evidence for (positive) and against (negative) a class, in logits.

    logit = baseline + cells.sum() + residual, and logit = baseline + channels.sum() up to the same order.

    Attributes:
        class_index: the class.
        cells: (H, W), evidence of each position.
        channels: (C,), contribution of each channel.
        slopes: (C,), the class's weight of each channel: channels = slopes * pooled vector.
        baseline: the logit of an empty pooled vector (a Linear's bias).
        logit: as the head gave it.
        residual: what the parts leave over, computed and not assumed.
        exact: True when the decomposition is an identity and the residual rounding alone.
    """

    class_index: int
    cells: Tensor
    channels: Tensor
    slopes: Tensor
    baseline: float
    logit: float
    residual: float
    exact: bool

    @property
    def adds_up(self) -> bool:
        """Whether the residual is small enough to speak of evidence: a tenth of the logit, or next to nothing.

        A residual that is not a number says so only where the logit itself is one.
        """
        if not math.isfinite(self.residual):
            return not math.isfinite(self.logit)
        return abs(self.residual) <= max(_GOOD, _LARGEST_RESIDUAL * abs(self.logit))


def decompose(
    kept: Tensor, pooled: Tensor, logits: Tensor, head: nn.Module, classes: Sequence[int], exact_pooling: bool
) -> list[Evidence]:
    """Evidence for each of some classes.

    The published form is E = sum_k r_k (w_k F_k) / y_k; with r_k = slope_k * y_k the division cancels, which is
    what is computed: no 0 / 0 at silent channels, no noise at nearly silent ones (docs/decisions/0002).

    Args:
        kept: (C, H, W), pooling weights times feature maps.
        pooled: (C,).
        logits: (classes,), the head's answer to `pooled`.
        head: of any kind; an affine one is exact, any other is integrated (Sundararajan et al., Axiomatic
            Attribution for Deep Networks, 2017, arXiv:1703.01365).
        classes: class indices.
        exact_pooling: whether `kept` sums to `pooled` by identity.
    """
    affine = head_kind(head) == "affine"
    slopes, baselines = (hold if affine else integrate)(head, pooled, classes)
    cells = (slopes @ kept.flatten(1)).unflatten(1, kept.shape[1:])
    baselines, chosen = baselines.double(), logits[list(classes)].double()
    residuals = chosen - baselines - cells.sum((1, 2), dtype=torch.float64)
    return [
        Evidence(index, cells[n], slopes[n] * pooled, slopes[n], baseline=float(baselines[n]), logit=float(chosen[n]),
                 residual=float(residuals[n]), exact=affine and exact_pooling)
        for n, index in enumerate(classes)
    ]


def integrate(head: nn.Module, pooled: Tensor, classes: Sequence[int], nodes: int = 256) -> tuple[Tensor, Tensor]:
    """Slopes (n, C) and baselines (n,) of any head: its gradient averaged along the ray from zero to `pooled`.

    Gauss-Legendre quadrature with that many nodes; the head alone is run, not the backbone. So many, because the
    gradients of ReLU and Hardswish jump: with 64 nodes many a small head is left with a residual above 0.01. A head
    that normalises its input does most of its change next to zero: where the slopes do not add up, panels of as many
    nodes that shrink towards zero take their place, if they add up better.
    """
    with torch.no_grad():
        logits, baselines = head(torch.stack([pooled, torch.zeros_like(pooled)]))[:, list(classes)]
    tried = []
    for panels in _PANELS:
        slopes = _mean_slopes(head, pooled, classes, *along_ray(panels, nodes))
        tried.append((float((logits - baselines - slopes @ pooled).abs().max()), slopes))
        if not tried[-1][0] > _GOOD:  # nor where it is not a number, which no quadrature mends
            break
    return min(tried, key=lambda one: one[0])[1], baselines


def _mean_slopes(
    head: nn.Module, pooled: Tensor, classes: Sequence[int], places: np.ndarray, weights: np.ndarray
) -> Tensor:
    """(n, C): the gradient of each class's logit at those places of the ray, averaged with those weights."""
    along = (torch.tensor(places, dtype=pooled.dtype)[:, None] * pooled).requires_grad_()
    shares = torch.tensor(weights, dtype=pooled.dtype)
    with torch.enable_grad():
        answers = head(along)
        return torch.stack([
            shares @ torch.autograd.grad(answers[:, index].sum(), along, retain_graph=True)[0] for index in classes
        ])
