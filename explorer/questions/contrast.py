"""Why this class and not that one: the difference of two logits, decomposed over positions and channels as a logit is.

Both logits are of the same pooled vector, so evidence of the one minus evidence of the other is evidence of their
difference: what both classes share cancels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from explorer.analysis import ClassMap, Outcome
from explorer.arrays import to_array
from explorer.errors import MethodError, ParameterError
from explorer.wording import exactness, sum_sentence


@dataclass(frozen=True, eq=False)
class Contrast:
    """Evidence for a class (positive) against its rival (negative), in logits; arrays are float64.

    difference = baseline + cells.sum() + residual, and difference = baseline + channels.sum() up to the same order.

    Attributes:
        class_index, rival: the class and the other one.
        cells: (H, W), evidence of the class minus evidence of the rival.
        channels: (C,), likewise the contribution of each channel.
        baseline: of the class, minus that of the rival.
        difference: the class's logit minus the rival's, as the head gave them.
        exact: whether both decompositions are identities.
    """

    class_index: int
    rival: int
    cells: np.ndarray
    channels: np.ndarray
    baseline: float
    difference: float
    exact: bool

    @property
    def residual(self) -> float:
        """What the parts leave over, computed and not assumed."""
        return self.difference - self.baseline - float(self.cells.sum())


def contrast(outcome: Outcome, class_index: int, rival: int) -> Contrast:
    """Why a class rather than another, under one pooling.

    Raises:
        ParameterError: a class does not exist, or the two are the same.
        MethodError: the network has one logit alone, or there is no evidence.
    """
    outcome.analysis.require_evidence()
    check_pair(outcome, class_index, rival)
    one, other = outcome.evidences([class_index, rival])
    return Contrast(
        class_index, rival, minus(to_array(one.cells), to_array(other.cells)),
        minus(to_array(one.channels), to_array(other.channels)), one.baseline - other.baseline,
        one.logit - other.logit, one.exact and other.exact)


def contrast_map(outcome: Outcome, class_index: int, rival: int) -> ClassMap:
    """The map of a class against its rival, with its words, for files. Raises as `contrast` does."""
    one, network = contrast(outcome, class_index, rival), outcome.analysis.network
    names = network.class_names
    account = sum_sentence(one.difference, one.baseline, float(one.cells.sum()), "difference")
    title = f"Evidence for {names[class_index]} against {names[rival]}"
    return ClassMap(torch.from_numpy(one.cells), "evidence", title, f"under {outcome.name}", network.unit,
                    (account, exactness(one.exact, one.residual, outcome.logits)))


def pooling_contrast(one: Outcome, other: Outcome, class_index: int, rival: int) -> Contrast:
    """Why one pooling leans to a class and another to its rival: the first's contrast minus the second's.

    Logits under two poolings are not calibrated to each other: a pooling that is surer of everything has larger cells.

    Raises:
        ParameterError: the outcomes are of different analyses, a class does not exist, or the two are the same.
        MethodError: the network has one logit alone, or there is no evidence.
    """
    if one.analysis is not other.analysis:
        raise ParameterError("The two outcomes are of different analyses; expected two poolings of one photo.")
    first, second = (contrast(outcome, class_index, rival) for outcome in (one, other))
    return Contrast(
        class_index, rival, minus(first.cells, second.cells), minus(first.channels, second.channels),
        first.baseline - second.baseline, first.difference - second.difference, first.exact and second.exact)


def check_pair(outcome: Outcome, class_index: int, rival: int | None) -> int:
    """The rival. Raises ParameterError and MethodError as `contrast` does where there is no such pair (None: no rival).
    """
    network = outcome.analysis.network
    network.check_class(class_index)
    if rival is not None:
        network.check_class(rival)
    if rival is None or len(network.class_names) < 2:
        raise MethodError(f"{network.title} has one {network.number} alone, so its class has no rival.")
    if class_index == rival:
        raise ParameterError(f"The class and its rival are both {rival}; expected two different classes.")
    return rival


class DecidingChannel(NamedTuple):
    """One channel: its contribution to a difference = to the class - to the rival, in logits; its pooled value."""

    channel: int
    contribution: float
    to_class: float
    to_rival: float
    pooled: float


def deciding_channels(outcome: Outcome, class_index: int, rival: int, count: int = 6) -> list[DecidingChannel]:
    """The channels that add most to the difference of two logits, either way, the largest magnitudes first.

    At most `count`, ties by number; channels that add nothing are left out, and so is what is not finite. Raises as
    `contrast` does.
    """
    channels = contrast(outcome, class_index, rival).channels
    to_class, to_rival = (to_array(evidence.channels) for evidence in outcome.evidences([class_index, rival]))
    return [
        DecidingChannel(k, float(channels[k]), float(to_class[k]), float(to_rival[k]), float(outcome.pooled[k]))
        for k in largest_magnitudes(channels, count)
    ]


def largest_magnitudes(values: np.ndarray, count: int) -> list[int]:
    """Places in (n,) of the numbers furthest from 0, ties by place; without zeros and what is not finite."""
    size = np.where(np.isfinite(values), np.abs(values), 0)
    return [int(k) for k in np.argsort(-size, kind="stable")[:max(0, count)] if size[k] > 0]


def minus(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The difference, without a warning where infinities meet."""
    with np.errstate(invalid="ignore"):  # infinity less infinity is NaN, and soundness.py says so
        return one - other
