"""The eight global poolings: feature maps (C, H, W) to one pooled vector (C,), and the weights that explain it.

Every pooling gives a value y and weights w with `(w * F).sum((-2, -1)) == y`, so that the value can be followed back to
positions. All functions take (..., C, H, W): leading dimensions are a batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from explorer.errors import ParameterError

PLACES = (-2, -1)


@dataclass(frozen=True)
class Parameter:
    """A pooling's one number.

    Attributes:
        name, default, explanation: what it is called, is unless chosen, and does.
        low, high: its valid range, both ends included.
        usual: the part of that range in which the answer changes, for sliders and plots.
        logarithmic: whether equal ratios of it, and not equal steps, change the answer alike.
    """

    name: str
    default: float
    low: float
    high: float
    explanation: str
    usual: tuple[float, float]
    logarithmic: bool = False


@dataclass(frozen=True)
class Pooling:
    """A global pooling.

    Attributes:
        key, name: "gmp", "GMP".
        explanation: one sentence.
        formula: of the value, in LaTeX.
        source: the paper.
        parameter: its number, or None.
        exact: whether weights times feature maps give the value itself (False: to a quadrature).
    """

    key: str
    name: str
    explanation: str
    formula: str
    source: str
    compute_value: Callable[..., Tensor]
    compute_weights: Callable[..., Tensor]
    parameter: Parameter | None = None
    exact: bool = True

    def value(self, feature_maps: Tensor, **parameters: float) -> Tensor:
        """Pooled vector (..., C) of feature maps (..., C, H, W). Raises ParameterError for a bad parameter."""
        return self.compute_value(feature_maps, *self.resolve(parameters).values())

    __call__ = value

    def weights(self, feature_maps: Tensor, **parameters: float) -> Tensor:
        """Pooling weights (..., C, H, W); times the feature maps, summed over positions, they give the value."""
        return self.compute_weights(feature_maps, *self.resolve(parameters).values())

    def resolve(self, parameters: dict[str, float]) -> dict[str, float]:
        """The parameters with the default filled in; ParameterError when one is unknown or out of range."""
        if self.parameter is None:
            if parameters:
                raise ParameterError(f"{self.name} has no parameter; got {', '.join(parameters)}.")
            return {}
        known = self.parameter
        if unknown := set(parameters) - {known.name}:
            raise ParameterError(f"{self.name} has no parameter {', '.join(sorted(unknown))}; expected {known.name}.")
        value = parameters.get(known.name, known.default)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not known.low <= value <= known.high:
            raise ParameterError(f"{self.name}'s {known.name} is {value!r}; expected a number from {known.low:g} "
                                 f"to {known.high:g}.")
        return {known.name: float(value) + 0.0}  # never -0.0

    def with_default(self, value: float) -> Pooling:
        """The same pooling with another default of its parameter; itself where it has none."""
        return self if self.parameter is None else replace(self, parameter=replace(self.parameter, default=value))

    def label(self, **parameters: float) -> str:
        """For people: "GMP", "GeM, p = 3"."""
        resolved = self.resolve(parameters)
        return ", ".join([self.name, *(f"{name} = {value:g}" for name, value in resolved.items())])

    def written(self, **parameters: float) -> str:
        """For links, recipes and the command line: "gmp", "gem:p=3"; `parse_pooling` reads the same number back."""
        resolved = self.resolve(parameters)
        return ":".join([self.key, *(f"{name}={_shortest(value)}" for name, value in resolved.items())])


def _shortest(value: float) -> str:
    """"3", "0.1", "2.3456789": as few digits as bring the same number back."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)


def _positions(feature_maps: Tensor) -> int:
    return feature_maps.shape[-2] * feature_maps.shape[-1]


def _gap(feature_maps: Tensor) -> Tensor:
    return feature_maps.mean(PLACES)


def _gap_weights(feature_maps: Tensor) -> Tensor:
    return torch.full_like(feature_maps, 1 / _positions(feature_maps))


def _gmp(feature_maps: Tensor) -> Tensor:
    return feature_maps.amax(PLACES)


def _gmp_weights(feature_maps: Tensor) -> Tensor:
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


def _gem(feature_maps: Tensor, p: float) -> Tensor:
    peak, _, mean = _gem_parts(feature_maps, p)
    return (peak * mean).squeeze(-1).squeeze(-1)


def _gem_weights(feature_maps: Tensor, p: float) -> Tensor:
    peak, ratio, mean = _gem_parts(feature_maps, p)
    uniform = torch.ones_like(feature_maps)
    weights = torch.where(peak > 0, (ratio / mean).pow(p - 1), uniform) / _positions(feature_maps)
    return torch.where(feature_maps < 0, torch.zeros_like(weights), weights)


def _topk_count(feature_maps: Tensor, share: float) -> int:
    return max(1, math.floor(share * _positions(feature_maps) + 0.5))


def _topk(feature_maps: Tensor, share: float) -> Tensor:
    # Not topk().values.mean(), whose gradient goes to some of several tied positions, at the algorithm's whim.
    return (_topk_weights(feature_maps.detach(), share) * feature_maps).sum(PLACES)


def _topk_weights(feature_maps: Tensor, share: float) -> Tensor:
    count = _topk_count(feature_maps, share)
    least = feature_maps.flatten(-2).topk(count, sorted=False).values.amin(-1)[..., None, None]
    above = (feature_maps > least).to(feature_maps.dtype)
    tied = (feature_maps == least).to(feature_maps.dtype)
    left_for_ties = count - above.sum(PLACES, keepdim=True)
    return (above + tied * left_for_ties / tied.sum(PLACES, keepdim=True)) / count


def _mixed(feature_maps: Tensor, a: float) -> Tensor:
    return a * _gmp(feature_maps) + (1 - a) * _gap(feature_maps)


def _mixed_weights(feature_maps: Tensor, a: float) -> Tensor:
    return a * _gmp_weights(feature_maps) + (1 - a) * _gap_weights(feature_maps)


def _lse(feature_maps: Tensor, r: float) -> Tensor:
    # In float64: two logarithms of about equal size are subtracted, and the rest is divided by a small r.
    total = torch.logsumexp(r * feature_maps.double(), PLACES)
    return ((total - math.log(_positions(feature_maps))) / r).to(feature_maps.dtype)


_gauss_legendre = cache(np.polynomial.legendre.leggauss)


def _ray_quadrature(span: float, nodes: int = 14) -> list[tuple[float, float]]:
    """Gauss-Legendre nodes and weights on 0..1, in panels that shrink by four towards 0.

    The softmax of t * r * F changes fastest where t is about 1 / span (span: r times the range of F), so a large
    span needs panels there; a single panel with the same number of nodes is a thousand times less accurate. With 14
    nodes a panel no logit of the bundled network is off by more than 2e-5, for r from 0.05 to 100.
    """
    panels = max(0, math.ceil(math.log(max(span, 1) / 24, 4)))
    edges = [0.0, *(4.0 ** -k for k in range(panels, -1, -1))]
    points, weights = _gauss_legendre(nodes)
    return [
        (float(start + (stop - start) * (point + 1) / 2), float(weight * (stop - start) / 2))
        for start, stop in pairwise(edges)
        for point, weight in zip(points, weights, strict=True)
    ]


def _lse_weights(feature_maps: Tensor, r: float) -> Tensor:
    """Softmax weights averaged along the ray t * F, t from 0 to 1: their product with F integrates the gradient."""
    exponents = r * (feature_maps - feature_maps.amax(PLACES, keepdim=True)).flatten(-2)
    # A channel that is not finite must not decide how finely the others are integrated.
    span = float(-torch.nan_to_num(exponents, 0, 0, 0).amin()) if exponents.numel() else 0.0
    total = torch.zeros_like(exponents)
    for t, weight in _ray_quadrature(span):
        total.add_(torch.softmax(exponents * t, -1), alpha=weight)
    return total.unflatten(-1, feature_maps.shape[-2:])


def _softpool_weights(feature_maps: Tensor) -> Tensor:
    return torch.softmax(feature_maps.flatten(-2), -1).unflatten(-1, feature_maps.shape[-2:])


def _softpool(feature_maps: Tensor) -> Tensor:
    return (_softpool_weights(feature_maps) * feature_maps).sum(PLACES)


def _attention_over_positions(feature_maps: Tensor, t: float) -> Tensor:
    """(..., H * W): softmax of each position's cosine to the mean vector, over the temperature."""
    vectors = feature_maps.flatten(-2)
    query = vectors.mean(-1, keepdim=True)
    lengths = torch.linalg.vector_norm(vectors, dim=-2) * torch.linalg.vector_norm(query, dim=-2)
    # torch.cosine_similarity would do, but makes four copies of the feature maps on the way.
    cosine = (query.mT @ vectors).squeeze(-2) / lengths.clamp_min(torch.finfo(vectors.dtype).tiny)
    return torch.softmax(cosine / t, -1)


def _attention(feature_maps: Tensor, t: float) -> Tensor:
    return (feature_maps.flatten(-2) @ _attention_over_positions(feature_maps, t).unsqueeze(-1)).squeeze(-1)


def _attention_weights(feature_maps: Tensor, t: float) -> Tensor:
    attention = _attention_over_positions(feature_maps, t).unflatten(-1, feature_maps.shape[-2:])
    return attention.unsqueeze(-3).expand_as(feature_maps)


GEM_POWER = Parameter("p", 3.0, 1.0, 100.0, "power: 1 is the average, large values approach the maximum",
                      usual=(1.0, 10.0), logarithmic=True)
POOLINGS = MappingProxyType({pooling.key: pooling for pooling in (
    Pooling(
        "gap", "GAP", "Every position counts the same: the average.",
        r"\frac{1}{HW}\sum_{ij} F_{ij}",
        "Lin, Chen and Yan, Network In Network, 2014, arXiv:1312.4400",
        _gap, _gap_weights,
    ),
    Pooling(
        "gmp", "GMP", "Only the strongest position of each channel counts.",
        r"\max_{ij} F_{ij}",
        "Oquab, Bottou, Laptev and Sivic, Is object localization for free?, CVPR 2015",
        _gmp, _gmp_weights,
    ),
    Pooling(
        "gem", "GeM", "A power mean: from the average (p = 1) towards the maximum (large p).",
        r"\left(\frac{1}{HW}\sum_{ij} F_{ij}^{\,p}\right)^{1/p}",
        "Radenović, Tolias and Chum, Fine-tuning CNN Image Retrieval with No Human Annotation, arXiv:1711.02512",
        _gem, _gem_weights,
        GEM_POWER,
    ),
    Pooling(
        "lse", "LSE", "A smooth maximum: from the average (r near 0) towards the maximum (large r).",
        r"\frac{1}{r}\log\frac{1}{HW}\sum_{ij} e^{\,r F_{ij}}",
        "Pinheiro and Collobert, From Image-level to Pixel-level Labeling with Convolutional Networks, "
        "CVPR 2015, arXiv:1411.6228",
        _lse, _lse_weights,
        Parameter("r", 3.0, 0.05, 100.0, "sharpness: near 0 the average, large values approach the maximum",
                  usual=(0.1, 20.0), logarithmic=True),
        exact=False,
    ),
    Pooling(
        "topk", "Top-k", "The average of each channel's strongest positions.",
        r"\frac{1}{k}\sum_{ij \in \mathrm{top}_k} F_{ij}",
        "Durand, Thome and Cord, WELDON, CVPR 2016",
        _topk, _topk_weights,
        Parameter("share", 0.2, 0.001, 1.0, "share of the positions that count, at least one",
                  usual=(0.02, 1.0), logarithmic=True),
    ),
    Pooling(
        "mixed", "Mixed", "A fixed mix of the maximum and the average.",
        r"a \max_{ij} F_{ij} + (1-a) \frac{1}{HW}\sum_{ij} F_{ij}",
        "Lee, Gallagher and Tu, Generalizing Pooling Functions in Convolutional Neural Networks, 2016, "
        "arXiv:1509.08985",
        _mixed, _mixed_weights,
        Parameter("a", 0.5, 0.0, 1.0, "share of the maximum: 0 is the average, 1 the maximum",
                  usual=(0.0, 1.0)),
    ),
    Pooling(
        "softpool", "SoftPool", "An average in which stronger positions of a channel weigh exponentially more.",
        r"\sum_{ij} \frac{e^{F_{ij}}}{\sum_{ab} e^{F_{ab}}} F_{ij}",
        "Stergiou, Poppe and Kalliatakis, Refining activation downsampling with SoftPool, ICCV 2021, "
        "arXiv:2101.00440 (there over local windows)",
        _softpool, _softpool_weights,
    ),
    Pooling(
        "attention", "Attention", "Positions that resemble the photo's average count more, the same for all channels.",
        r"\sum_{ij} \mathrm{softmax}_{ij}\!\left(\frac{\cos(q, F_{ij})}{t}\right) F_{ij},\quad q = \mathrm{GAP}(F)",
        "After SimPool (Psomas et al., ICCV 2023, arXiv:2309.06891), without its learned parts",
        _attention, _attention_weights,
        Parameter("t", 0.1, 0.01, 10.0, "temperature: small looks at few positions, large at all alike",
                  usual=(0.02, 2.0), logarithmic=True),
    ),
)})


# Poolings that only some networks have, as their own (native.py) or learned (learned.py). They have no parameter.
OF_SOME_NETWORKS = ("catavgmax", "attention_pool", "learned_attention", "gated")


def pooling_of(key: str) -> Pooling:
    """The pooling of that key. Raises ParameterError naming the keys that exist."""
    if key not in POOLINGS:
        raise ParameterError(f"There is no pooling {key!r}; expected one of {', '.join(POOLINGS)}.")
    return POOLINGS[key]


def parse_pooling(text: str) -> tuple[str, dict[str, float]]:
    """"gmp" or "gem:p=4" to a key and the parameters that are named. Raises ParameterError for anything else.

    A parameter that is not named is the usual one, or the one that a network's head was trained with. The keys of
    poolings that only some networks have are read too.
    """
    if text in OF_SOME_NETWORKS:
        return text, {}
    key, colon, setting = text.partition(":")
    name, _, value = setting.partition("=")
    try:
        parameters = {name: float(value)} if colon else {}
    except ValueError:
        raise ParameterError(f"The pooling {text!r:.60} cannot be read; expected a key such as gmp, or a key and its "
                             "parameter such as gem:p=4.") from None
    resolved = pooling_of(key).resolve(parameters)
    return key, resolved if parameters else {}
