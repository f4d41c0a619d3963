"""The global poolings that can stand before any head: their names, parameters, papers and functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from torch import Tensor

from explorer.checks import checked_key, is_number
from explorer.errors import ParameterError
from explorer.poolings import values


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
        learned: what else it is made of, by name, for those that compute it elsewhere (live.js); {} of the registry's.
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
    learned: Mapping[str, Any] = field(default_factory=dict, compare=False)

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
        if not is_number(value) or not known.low <= value <= known.high:
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


GEM_POWER = Parameter("p", 3.0, 1.0, 100.0, "power: 1 is the average, large values approach the maximum",
                      usual=(1.0, 10.0), logarithmic=True)
POOLINGS = MappingProxyType({pooling.key: pooling for pooling in (
    Pooling(
        "gap", "GAP", "Every position counts the same: the average.",
        r"\frac{1}{HW}\sum_{ij} F_{ij}",
        "Lin, Chen and Yan, Network In Network, 2014, arXiv:1312.4400",
        values.gap, values.gap_weights,
    ),
    Pooling(
        "gmp", "GMP", "Only the strongest position of each channel counts.",
        r"\max_{ij} F_{ij}",
        "Oquab, Bottou, Laptev and Sivic, Is object localization for free?, CVPR 2015",
        values.gmp, values.gmp_weights,
    ),
    Pooling(
        "gem", "GeM", "A power mean: from the average (p = 1) towards the maximum (large p).",
        r"\left(\frac{1}{HW}\sum_{ij} F_{ij}^{\,p}\right)^{1/p}",
        "Radenović, Tolias and Chum, Fine-tuning CNN Image Retrieval with No Human Annotation, arXiv:1711.02512",
        values.gem, values.gem_weights,
        GEM_POWER,
    ),
    Pooling(
        "lse", "LSE", "A smooth maximum: from the average (r near 0) towards the maximum (large r).",
        r"\frac{1}{r}\log\frac{1}{HW}\sum_{ij} e^{\,r F_{ij}}",
        "Pinheiro and Collobert, From Image-level to Pixel-level Labeling with Convolutional Networks, "
        "CVPR 2015, arXiv:1411.6228",
        values.lse, values.lse_weights,
        Parameter("r", 3.0, 0.05, 100.0, "sharpness: near 0 the average, large values approach the maximum",
                  usual=(0.1, 20.0), logarithmic=True),
        exact=False,
    ),
    Pooling(
        "topk", "Top-k", "The average of each channel's strongest positions.",
        r"\frac{1}{k}\sum_{ij \in \mathrm{top}_k} F_{ij}",
        "Durand, Thome and Cord, WELDON, CVPR 2016",
        values.topk, values.topk_weights,
        Parameter("share", 0.2, 0.001, 1.0, "share of the positions that count, at least one",
                  usual=(0.02, 1.0), logarithmic=True),
    ),
    Pooling(
        "mixed", "Mixed", "A fixed mix of the maximum and the average.",
        r"a \max_{ij} F_{ij} + (1-a) \frac{1}{HW}\sum_{ij} F_{ij}",
        "Lee, Gallagher and Tu, Generalizing Pooling Functions in Convolutional Neural Networks, 2016, "
        "arXiv:1509.08985",
        values.mixed, values.mixed_weights,
        Parameter("a", 0.5, 0.0, 1.0, "share of the maximum: 0 is the average, 1 the maximum",
                  usual=(0.0, 1.0)),
    ),
    Pooling(
        "softpool", "SoftPool", "An average in which stronger positions of a channel weigh exponentially more.",
        r"\sum_{ij} \frac{e^{F_{ij}}}{\sum_{ab} e^{F_{ab}}} F_{ij}",
        "Stergiou, Poppe and Kalliatakis, Refining activation downsampling with SoftPool, ICCV 2021, "
        "arXiv:2101.00440 (there over local windows)",
        values.softpool, values.softpool_weights,
    ),
    Pooling(
        "attention", "Attention", "Positions that resemble the photo's average count more, the same for all channels.",
        r"\sum_{ij} \mathrm{softmax}_{ij}\!\left(\frac{\cos(q, F_{ij})}{t}\right) F_{ij},\quad q = \mathrm{GAP}(F)",
        "After SimPool (Psomas et al., ICCV 2023, arXiv:2309.06891), without its learned parts",
        values.attention, values.attention_weights,
        Parameter("t", 0.1, 0.01, 10.0, "temperature: small looks at few positions, large at all alike",
                  usual=(0.02, 2.0), logarithmic=True),
    ),
)})


# Poolings that only some networks have, as their own (native.py) or learned (learned.py). They have no parameter.
OF_SOME_NETWORKS = ("catavgmax", "attention_pool", "class_token", "learned_attention",
                    "multi_query_attention", "gated")


def pooling_of(key: str) -> Pooling:
    """The pooling of that key. Raises ParameterError naming the keys that exist."""
    return POOLINGS[checked_key(key, POOLINGS, "pooling")]


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
