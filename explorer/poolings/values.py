"""The functions of the eight poolings: the value, and the weights that explain it.

Every value y and its weights w keep `(w * F).sum((-2, -1)) == y`, so that the value can be followed back to positions.
All functions take (..., C, H, W): leading dimensions are a batch. `registry.py` says what each is called and cites it.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from torch import Tensor

PLACES = (-2, -1)


def _positions(feature_maps: Tensor) -> int:
    return feature_maps.shape[-2] * feature_maps.shape[-1]


def gap(feature_maps: Tensor) -> Tensor:
    return feature_maps.mean(PLACES)


def gap_weights(feature_maps: Tensor) -> Tensor:
    return torch.full_like(feature_maps, 1 / _positions(feature_maps))


def gmp(feature_maps: Tensor) -> Tensor:
    return feature_maps.amax(PLACES)


def gmp_weights(feature_maps: Tensor) -> Tensor:
    maximal = (feature_maps == feature_maps.amax(PLACES, keepdim=True)).to(feature_maps.dtype)
    return maximal / maximal.sum(PLACES, keepdim=True)


def _gem_parts(feature_maps: Tensor, p: float) -> tuple[Tensor, Tensor, Tensor]:
    """Each channel's maximum m, the ratios F / m, and the p-mean of the ratios.

    Powers are taken of ratios, because F ** p overflows float32 from p of about 50.
    """
    # Not clamp_min, which has no gradient at 0: p = 1 is the average, inactive positions included.
    clamped = torch.where(feature_maps < 0, torch.zeros_like(feature_maps), feature_maps)
    peak = clamped.amax(PLACES, keepdim=True)
    ratio = clamped / torch.where(peak > 0, peak, torch.ones_like(peak)).detach()
    # A silent channel has a mean of 0, whose p-th root has no gradient.
    mean = ratio.pow(p).mean(PLACES, keepdim=True).clamp_min(torch.finfo(feature_maps.dtype).tiny)
    return peak.detach(), ratio, mean.pow(1 / p)


def gem(feature_maps: Tensor, p: float) -> Tensor:
    peak, _, mean = _gem_parts(feature_maps, p)
    return (peak * mean).squeeze(-1).squeeze(-1)


def gem_weights(feature_maps: Tensor, p: float) -> Tensor:
    peak, ratio, mean = _gem_parts(feature_maps, p)
    uniform = torch.ones_like(feature_maps)
    weights = torch.where(peak > 0, (ratio / mean).pow(p - 1), uniform) / _positions(feature_maps)
    return torch.where(feature_maps < 0, torch.zeros_like(weights), weights)


def _topk_count(feature_maps: Tensor, share: float) -> int:
    return max(1, math.floor(share * _positions(feature_maps) + 0.5))


def topk(feature_maps: Tensor, share: float) -> Tensor:
    # Not topk().values.mean(), whose gradient goes to some of several tied positions, at the algorithm's whim.
    return (topk_weights(feature_maps.detach(), share) * feature_maps).sum(PLACES)


def topk_weights(feature_maps: Tensor, share: float) -> Tensor:
    count = _topk_count(feature_maps, share)
    least = feature_maps.flatten(-2).topk(count, sorted=False).values.amin(-1)[..., None, None]
    above = (feature_maps > least).to(feature_maps.dtype)
    tied = (feature_maps == least).to(feature_maps.dtype)
    left_for_ties = count - above.sum(PLACES, keepdim=True)
    return (above + tied * left_for_ties / tied.sum(PLACES, keepdim=True)) / count


def mixed(feature_maps: Tensor, a: float) -> Tensor:
    return a * gmp(feature_maps) + (1 - a) * gap(feature_maps)


def mixed_weights(feature_maps: Tensor, a: float) -> Tensor:
    return a * gmp_weights(feature_maps) + (1 - a) * gap_weights(feature_maps)


def lse(feature_maps: Tensor, r: float) -> Tensor:
    # In float64: two logarithms of about equal size are subtracted, and the rest is divided by a small r.
    total = torch.logsumexp(r * feature_maps.double(), PLACES)
    return ((total - math.log(_positions(feature_maps))) / r).to(feature_maps.dtype)


@cache
def along_ray(panels: int, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre places on 0..1 and their weights: one panel of so many nodes, and more, each a quarter of the
    next."""
    points, weights = np.polynomial.legendre.leggauss(nodes)
    edges = np.array([0.0, *(4.0 ** -k for k in range(panels, -1, -1))])[:, None]
    spans = np.diff(edges, axis=0)
    return (edges[:-1] + spans * (points + 1) / 2).ravel(), (spans * weights / 2).ravel()


def lse_weights(feature_maps: Tensor, r: float) -> Tensor:
    """Softmax weights averaged along the ray t * F, t from 0 to 1: their product with F integrates the gradient."""
    exponents = r * (feature_maps - feature_maps.amax(PLACES, keepdim=True)).flatten(-2)
    # A channel that is not finite must not decide how finely the others are integrated.
    span = float(-torch.nan_to_num(exponents, 0, 0, 0).amin()) if exponents.numel() else 0.0
    # The softmax changes fastest where t is about 1 / span, so a large span needs panels there; a single panel with the
    # same number of nodes is a thousand times less accurate. With 14 nodes a panel no logit of the bundled network is
    # off by more than 2e-5, for r from 0.05 to 100.
    places, weights = along_ray(max(0, math.ceil(math.log(max(span, 1) / 24, 4))), nodes=14)
    total = torch.zeros_like(exponents)
    for t, weight in zip(places.tolist(), weights.tolist(), strict=True):
        total.add_(torch.softmax(exponents * t, -1), alpha=weight)
    return total.unflatten(-1, feature_maps.shape[-2:])


def softpool_weights(feature_maps: Tensor) -> Tensor:
    return torch.softmax(feature_maps.flatten(-2), -1).unflatten(-1, feature_maps.shape[-2:])


def softpool(feature_maps: Tensor) -> Tensor:
    return (softpool_weights(feature_maps) * feature_maps).sum(PLACES)


def _attention_over_positions(feature_maps: Tensor, t: float) -> Tensor:
    """(..., H * W): softmax of each position's cosine to the mean vector, over the temperature."""
    vectors = feature_maps.flatten(-2)
    query = vectors.mean(-1, keepdim=True)
    lengths = torch.linalg.vector_norm(vectors, dim=-2) * torch.linalg.vector_norm(query, dim=-2)
    # torch.cosine_similarity would do, but makes four copies of the feature maps on the way.
    cosine = (query.mT @ vectors).squeeze(-2) / lengths.clamp_min(torch.finfo(vectors.dtype).tiny)
    return torch.softmax(cosine / t, -1)


def attention(feature_maps: Tensor, t: float) -> Tensor:
    return (feature_maps.flatten(-2) @ _attention_over_positions(feature_maps, t).unsqueeze(-1)).squeeze(-1)


def attention_weights(feature_maps: Tensor, t: float) -> Tensor:
    attention = _attention_over_positions(feature_maps, t).unflatten(-1, feature_maps.shape[-2:])
    return attention.unsqueeze(-3).expand_as(feature_maps)
