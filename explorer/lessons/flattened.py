"""A network's own head, written as one that flattens: what it looks like when every position has its own weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from explorer.analysis import Outcome


@dataclass(frozen=True, eq=False)
class FlattenHead:
    """Flatten and a Linear of C * H * W inputs, for some classes, that gives the logits of a pooling and its head.

    Attributes:
        module: (B, C, H, W) to logits (B, n).
        classes: the n classes.
    """

    module: nn.Module
    classes: tuple[int, ...]

    def logits(self, feature_maps: Tensor) -> Tensor:
        """(n,) of feature maps (C, H, W). Raises torch's own RuntimeError for maps with more or fewer numbers."""
        with torch.no_grad():
            return self.module(feature_maps[None])[0]


def flatten_head(outcome: Outcome, classes: Sequence[int]) -> FlattenHead:
    """The head of an outcome as a flatten head: each class's weight of a channel times that channel's pooling weights.

    Under GAP and a Linear a channel's weight is repeated at each position and divided by H * W: the same logits for
    every photo. Under other poolings, and heads that are not one Linear, pooling weights and slopes are held as they
    are at this photo, so it is this photo's logits that are the same (up to the residual of a head that is
    integrated).

    Raises ParameterError when there is no such class, MethodError where the answer cannot be decomposed.
    """
    outcome.analysis.require_evidence()
    parts = outcome.evidences(classes)
    weights = outcome.weights.flatten(1)
    linear = nn.utils.skip_init(nn.Linear, weights.numel(), len(parts))
    with torch.no_grad():
        for row, part in zip(linear.weight, parts, strict=True):
            row.copy_((part.slopes[:, None] * weights).flatten())
        linear.bias.copy_(torch.tensor([part.baseline for part in parts]))
    module = nn.Sequential(nn.Flatten(), linear).eval().requires_grad_(False)
    return FlattenHead(module, tuple(classes))
