"""What a trained head is measured by: the interval of a share, and the evidence of each position for a class."""

from __future__ import annotations

import math
from statistics import NormalDist

import torch
from torch import Tensor

from explorer.checks import checked_whole
from explorer.heads.kinds import Head
from explorer.poolings.learned import KEYS, pooling_with


def wilson(right: int, photos: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of a share of `right` of `photos`, after Wilson: it stays between 0 and 1, also for all or none.

    Raises ParameterError: there are no photos, or more right ones than photos.
    """
    checked_whole(photos, 1, None, "number of photos")
    checked_whole(right, 0, photos, "number of right ones")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, weight = right / photos, z ** 2 / photos
    middle = (share + weight / 2) / (1 + weight)
    half = z * math.sqrt(share * (1 - share) / photos + weight / (4 * photos)) / (1 + weight)
    return (0.0 if right == 0 else middle - half), (1.0 if right == photos else middle + half)


def evidence_of(head: Head, feature_maps: Tensor, classes: Tensor) -> Tensor:
    """(N, H, W): how much each position adds to the logit of a class, one class a photo; exact, in logits.

    Of a pooling and a Linear it is the sum over channels of slope * pooling weight * activation. The kinds without
    pooling weights (side by side, pyramid, flatten) are linear in the maps, or a maximum: there the gradient times the
    activation is the same.

    Args:
        feature_maps: (N, C, H, W).
        classes: (N,) class indices.
    """
    if head.kind in KEYS:
        pooling, parameters = pooling_with(head.kind, head.state_dict())
        weights = pooling.weights(feature_maps, **parameters)
        return torch.einsum("nc,nchw->nhw", head.linear.weight[classes].detach(), weights * feature_maps)
    with torch.enable_grad():
        leaf = feature_maps.detach().clone().requires_grad_()
        logits = head(leaf).gather(1, classes[:, None]).sum()
        (slopes,) = torch.autograd.grad(logits, leaf)
    return (slopes * feature_maps).sum(1)
