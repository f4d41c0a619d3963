"""Lesson 8: attention and adaptive pooling. The weights of attention, learned or not, and how a photo sets the gate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from explorer.analysis import Analysis, Answer
from explorer.checks import checked_number
from explorer.errors import MethodError
from explorer.networks import Network
from explorer.poolings import POOLINGS

# The temperature, as a multiple of the usual one; a learned query's usual one is 1, for it was learned with it.
TEMPERATURES = (0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True, eq=False)
class AttentionMap:
    """The weights of an attention pooling on the photo.

    Attributes:
        key, name: of the pooling.
        weights: (H, W) float64, the share of each position; they add up to 1.
        answer: of the head that was trained with it, under these weights; None without one.
    """

    key: str
    name: str
    weights: np.ndarray
    answer: Answer | None


@dataclass(frozen=True, eq=False)
class Adaptive:
    """Both attentions on a photo, and the gate's share.

    Attributes:
        free: attention without anything learned.
        learned: attention of a learned query; None where the network has none.
        gate: the share of GAP in the gated mix, 0 to 1, the rest is GMP; None where the network has none, or where
            average and maximum are the same.
        gated: the answer of the head that was trained with the gate; None likewise.
    """

    free: AttentionMap
    learned: AttentionMap | None
    gate: float | None
    gated: Answer | None


def attention_and_adaptive(analysis: Analysis, teacher: Network | None = None, temperature: float = 1.0) -> Adaptive:
    """The weights of attention on a photo at a temperature, and how the photo sets the gate.

    Args:
        analysis: of any network with evidence.
        teacher: a network with learned poolings for the same feature maps (`teaches`); None is the analysis's own.
        temperature: from the first to the last of TEMPERATURES, times the usual one of either attention.

    Raises:
        ParameterError: a temperature outside that range.
        MethodError: the network has no evidence, or the teacher's poolings are for other feature maps.
    """
    analysis.require_evidence()
    checked_number(temperature, TEMPERATURES[0], TEMPERATURES[-1], "temperature")
    teacher = teacher or analysis.network
    if teacher is not analysis.network and not teaches(teacher, analysis.network):
        raise MethodError(f"The poolings of {teacher.title} were learned on other feature maps.")
    usual = POOLINGS["attention"].resolve({})["t"]
    outcome = analysis.under("attention", t=usual * temperature)
    free = AttentionMap("attention", outcome.name, outcome.weights[0].double().numpy(), None)
    learned = _learned(analysis, teacher, temperature) if "learned_attention" in teacher.trained else None
    gate, gated = _gate(analysis, teacher) if "gated" in teacher.trained else (None, None)
    return Adaptive(free, learned, gate, gated)


def teaches(teacher: Network, network: Network) -> bool:
    """Whether a teacher's learned poolings are for the network's feature maps: the backbones have the same weights."""
    own, other = (dict(one.backbone.named_parameters()) for one in (teacher, network))
    return bool(teacher.trained) and own.keys() == other.keys() and all(
        own[name].shape == other[name].shape and bool((own[name] == other[name]).all()) for name in own)


def _learned(analysis: Analysis, teacher: Network, temperature: float) -> AttentionMap:
    pooling, parameters, head = teacher.trained["learned_attention"]
    usual = pooling.weights(analysis.feature_maps, **parameters)[0].double()
    # softmax(a / t) is softmax(a) to the power of 1 / t, made to add up to 1 again; of logarithms, for small numbers.
    weights = ((usual.clamp_min(1e-300).log() / temperature).flatten().softmax(0)).view_as(usual)
    pooled = (weights * analysis.feature_maps.double()).sum((1, 2)).float()
    return AttentionMap(pooling.key, pooling.name, weights.numpy(), _answer(teacher, head(pooled[None])[0]))


def gate_of(feature_maps: Tensor, teacher: Network) -> tuple[float | None, Tensor]:
    """The share of GAP in a teacher's gated mix of feature maps (C, H, W), None where there is no telling; and the mix.

    The gate is read from what it gives: g * average + (1 - g) * maximum.
    """
    pooling, parameters, _ = teacher.trained["gated"]
    value = pooling.value(feature_maps, **parameters)
    average, maximum = (POOLINGS[key].value(feature_maps).double() for key in ("gap", "gmp"))
    span = maximum - average
    length = float(span @ span)
    return float((maximum - value.double()) @ span) / length if length > 0 else None, value


def _gate(analysis: Analysis, teacher: Network) -> tuple[float | None, Answer]:
    share, value = gate_of(analysis.feature_maps, teacher)
    return share, _answer(teacher, teacher.trained["gated"].head(value[None])[0])


def _answer(network: Network, logits: Tensor) -> Answer:
    probabilities = network.probabilities(logits, 0)
    best = int(logits.argmax())
    return Answer(best, network.class_names[best], float(probabilities[best]), float(logits[best]), 1)
