"""Lesson 1: from maps to one number. One channel's map to its GAP and GMP, all channels to one class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from explorer.analysis import Answer, Outcome
from explorer.arrays import to_array
from explorer.checks import checked_whole
from explorer.evidence import Evidence
from explorer.questions.channel_table import channel_table


class Stage(NamedTuple):
    """One step of the way: its key, its name, and in which shape there are numbers."""

    key: str
    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class OneChannel:
    """One channel's map, and the numbers that follow from it.

    Attributes:
        channel: its number.
        values: (H, W) float64, its map.
        total: the sum over positions.
        mean: total / (H * W), which is GAP.
        maximum: the largest value, which is GMP; NaN where a value is.
        places: the positions (i, j) that have it: one, or several in a tie.
        pooled: the map's number under the outcome's own pooling.
        weight: the class's slope at this channel.
        contribution: weight * pooled, in logits to the class.
        rank: of the channel by its contribution, 1 is the largest.
    """

    channel: int
    values: np.ndarray
    total: float
    mean: float
    maximum: float
    places: tuple[tuple[int, int], ...]
    pooled: float
    weight: float
    contribution: float
    rank: int


class Normalised(NamedTuple):
    """A logit becomes a probability: numerator / denominator.

    Softmax: numerator e^(logit - shift), denominator the sum of that over all classes, shift the largest logit.
    Sigmoid: the same of two numbers, the logit and 0. The shift cancels, and keeps the powers finite.
    """

    numerator: float
    denominator: float
    shift: float


@dataclass(frozen=True, eq=False)
class OneNumber:
    """All the way from the feature maps to one class.

    Attributes:
        stages: of the way, in order: maps, pooled, logits, probabilities (none where the network gives them itself)
            and answer.
        channel: the one that was chosen.
        answer: the class with its logit as the head gave it, its probability and its rank.
        total: the sum of all channels' contributions, in logits.
        baseline: the logit of an empty pooled vector.
        left_over: logit - baseline - total: rounding, or what the quadrature of a head that is not affine leaves.
        normalised: how the logit becomes a probability; None where the network gives probabilities itself.
    """

    stages: tuple[Stage, ...]
    channel: OneChannel
    answer: Answer
    total: float
    baseline: float
    left_over: float
    normalised: Normalised | None


def from_maps_to_one_number(outcome: Outcome, class_index: int, channel: int | None = None) -> OneNumber:
    """Every number on the way from the feature maps to a class under the outcome's pooling.

    Args:
        outcome: of any pooling; GAP and GMP of the channel are written out beside its own number.
        class_index: the class.
        channel: 0 to C - 1; None is the one that contributes most.

    Raises:
        ParameterError: no such class or channel.
        MethodError: the answer cannot be decomposed.
    """
    outcome.analysis.require_evidence()
    rows, evidence = channel_table(outcome, class_index), outcome.evidence(class_index)
    if channel is None:
        channel = int(rows.order()[0])
    checked_whole(channel, 0, len(rows.pooled) - 1, "channel")
    answer, total = outcome.answer(class_index), float(to_array(evidence.channels).sum())
    return OneNumber(
        stages=_stages(outcome), channel=_one_channel(outcome, evidence, channel, rows.rank(channel)), answer=answer,
        total=total, baseline=evidence.baseline, left_over=answer.logit - evidence.baseline - total,
        normalised=_normalised(outcome, class_index),
    )


def _stages(outcome: Outcome) -> tuple[Stage, ...]:
    activation, classes = outcome.analysis.network.activation, tuple(outcome.logits.shape)
    stages = [
        Stage("maps", "feature maps", tuple(outcome.analysis.feature_maps.shape)),
        Stage("pooled", "pooled vector", tuple(outcome.pooled.shape)),
        Stage("logits", "logits", classes),
    ]
    if activation not in ("none", "given"):
        stages.append(Stage("probabilities", "probabilities", classes))
    # A sigmoid answers each class alone: there may be several answers, or none.
    answers = int((outcome.probabilities() > 0.5).sum()) if activation == "sigmoid" else 1
    return (*stages, Stage("answer", "answer", (answers,)))


def _one_channel(outcome: Outcome, evidence: Evidence, channel: int, rank: int) -> OneChannel:
    values = to_array(outcome.analysis.feature_maps[channel])
    with np.errstate(invalid="ignore"):  # infinities of both signs sum to NaN
        total = float(values.sum())
    maximum = float(values.max())
    return OneChannel(
        channel=channel, values=values, total=total, mean=total / values.size, maximum=maximum,
        places=tuple((int(i), int(j)) for i, j in np.argwhere(values == maximum)),
        pooled=float(outcome.pooled[channel]), weight=float(evidence.slopes[channel]),
        contribution=float(evidence.channels[channel]), rank=rank,
    )


def _normalised(outcome: Outcome, class_index: int) -> Normalised | None:
    activation, logits = outcome.analysis.network.activation, outcome.logits.double()
    if activation in ("none", "given"):
        return None
    if activation == "sigmoid":
        logits = torch.stack([logits[class_index], torch.zeros((), dtype=logits.dtype)])
        class_index = 0
    shift = logits.max()
    powers = (logits - shift).exp()
    return Normalised(float(powers[class_index]), float(powers.sum()), float(shift))
