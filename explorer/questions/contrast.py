"""Why this class and not that one: the difference of two logits, taken apart over positions and channels as a logit is.

Both logits are of the same pooled vector, so evidence of the one minus evidence of the other is evidence of their
difference: it tells apart what speaks for one of them alone from what speaks for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from explorer.analysis import Outcome
from explorer.arrays import to_array
from explorer.errors import MethodError, ParameterError

# One pooling, two classes.


@dataclass(frozen=True, eq=False)
class Contrast:
    """What speaks for a class (positive) and for its rival (negative), in logits; arrays are float64.

    difference = baseline + cells.sum() + residual, and difference = baseline + channels.sum() up to the same order.

    Attributes:
        class_index, rival: the class and the other one.
        cells: (H, W), evidence of the class minus evidence of the rival.
        channels: (C,), likewise the contribution of each channel.
        baseline: of the class, minus that of the rival.
        difference: the class's logit minus the rival's, as the head gave them.
        residual: what the parts leave over, computed and not assumed.
        exact: whether both decompositions are identities.
        multiplier: what all the numbers above have been multiplied with; 1 unless asked for.
    """

    class_index: int
    rival: int
    cells: np.ndarray
    channels: np.ndarray
    baseline: float
    difference: float
    residual: float
    exact: bool
    multiplier: float = 1.0


def contrast(outcome: Outcome, class_index: int, rival: int | None = None) -> Contrast:
    """Why a class rather than another, under one pooling.

    Args:
        outcome: of any pooling.
        class_index: the class.
        rival: the other one; None is the likeliest other: the runner-up of the answer, of all others the answer.

    Raises:
        ParameterError: a class does not exist, or the two are the same.
        MethodError: the network has one logit alone, or its answer cannot be taken apart.
    """
    outcome.analysis.require_evidence()
    check_pair(outcome, class_index, rival)
    return _contrast(outcome, class_index, _likeliest(outcome, class_index) if rival is None else rival)


def check_pair(outcome: Outcome, class_index: int | None, rival: int | None) -> None:
    """Raises ParameterError and MethodError as `contrast` does where there is no such pair; None is not yet chosen."""
    network = outcome.analysis.network
    for each in (class_index, rival):
        if each is not None:
            network.check_class(each)
    if len(network.class_names) < 2:
        raise MethodError(f"{network.title} has one logit alone, so its class has no rival.")
    if rival is not None and class_index == rival:
        raise ParameterError(f"The class and its rival are both {rival}; expected two different classes.")


class Deciding(NamedTuple):
    """One channel: its contribution to a difference = to the class - to the rival, in logits; its pooled value."""

    channel: int
    contribution: float
    to_class: float
    to_rival: float
    pooled: float


def deciding_channels(contrast: Contrast, outcome: Outcome, count: int = 6) -> list[Deciding]:
    """The channels that add most to a difference, either way: the largest magnitudes first, ties by number.

    At most `count`; channels that add nothing are left out, and so is what is not finite. A contrast with a multiplier
    has its contributions multiplied, and the pooled values as they are.

    Raises ParameterError when the contrast is not of this outcome.
    """
    of_class, of_rival = (contrast.multiplier * to_array(each.channels)
                          for each in outcome.evidences([contrast.class_index, contrast.rival]))
    expected = _minus(of_class, of_rival)
    if expected.shape != contrast.channels.shape or not np.allclose(expected, contrast.channels, equal_nan=True):
        raise ParameterError(f"The contrast is not that of {outcome.name} on this photo; expected the outcome that it "
                             "was made of.")
    size = np.where(np.isfinite(contrast.channels), np.abs(contrast.channels), 0)
    order = np.argsort(-size, kind="stable")[:max(0, count)]
    return [
        Deciding(int(k), float(contrast.channels[k]), float(of_class[k]), float(of_rival[k]), float(outcome.pooled[k]))
        for k in order if size[k] > 0
    ]


class Share(NamedTuple):
    """What some positions add to a difference.

    `logits` is their sum, signed; `for_class` and `for_rival` are their shares, 0 to 1, of all that speaks for the
    class (positive cells) and for the rival (negative cells): 0 where nothing does.
    """

    logits: float
    for_class: float
    for_rival: float


def share_of(contrast: Contrast, chosen: np.ndarray) -> Share:
    """What the chosen positions, (H, W) bool, add to a difference.

    Raises ParameterError for positions of another grid.
    """
    chosen, cells = np.asarray(chosen), contrast.cells
    if chosen.shape != cells.shape or chosen.dtype != bool:
        raise ParameterError(f"The positions have shape {chosen.shape} of {chosen.dtype}; expected {cells.shape} of "
                             "bool.")
    return Share(float(cells[chosen].sum()), _part(cells, chosen & (cells > 0), cells > 0),
                 _part(cells, chosen & (cells < 0), cells < 0))


def _part(cells: np.ndarray, some: np.ndarray, everything: np.ndarray) -> float:
    return float(cells[some].sum() / cells[everything].sum()) if everything.any() else 0.0


# Two poolings, two classes.


@dataclass(frozen=True, eq=False)
class Parting:
    """Why one pooling leans to a class and another to its rival; arrays are float64.

    difference = baseline + cells.sum() + residual. Logits under two poolings are not calibrated to each other: a
    pooling that is surer of everything has larger cells.

    Attributes:
        one, other: the same two classes under each of the poolings.
        cells: (H, W), the first's cells minus the second's: positive where it is the first that leans to the class.
        channels: (C,), likewise.
        baseline, difference: the first's minus the second's.
        residual: what the parts leave over, computed and not assumed.
        exact: whether both contrasts are identities.
        calibrated: whether each contrast was multiplied with its pooling's fitted number, where one was fitted.
    """

    one: Contrast
    other: Contrast
    cells: np.ndarray
    channels: np.ndarray
    baseline: float
    difference: float
    residual: float
    exact: bool
    calibrated: bool


def parting(
    one: Outcome, other: Outcome, class_index: int | None = None, rival: int | None = None, calibrated: bool = False
) -> Parting:
    """Why two poolings answer differently, or how much surer one is than the other.

    Args:
        one, other: two outcomes of the same analysis.
        class_index: None is the answer under `one` (where that is the rival named, its runner-up).
        rival: None is the answer under `other`; where both agree, its runner-up.
        calibrated: whether to multiply each contrast with its outcome's fitted number. It changes no sign within
            one, and brings the two to the same scale.

    Raises:
        ParameterError: the outcomes are of different analyses, a class does not exist, or the two are the same.
        MethodError: the network has one logit alone, or its answer cannot be taken apart.
    """
    if one.analysis is not other.analysis:
        raise ParameterError("The two outcomes are of different analyses; expected two poolings of one photo.")
    one.analysis.require_evidence()
    check_pair(one, class_index, rival)
    class_index = _likeliest(one, rival) if class_index is None else class_index
    rival = _likeliest(other, class_index) if rival is None else rival
    first, second = (_contrast(each, class_index, rival, (each.multiplier or 1.0) if calibrated else 1.0)
                     for each in (one, other))
    cells, baseline = _minus(first.cells, second.cells), first.baseline - second.baseline
    difference = first.difference - second.difference
    return Parting(
        one=first, other=second, cells=cells, channels=_minus(first.channels, second.channels), baseline=baseline,
        difference=difference, residual=difference - baseline - float(cells.sum()),
        exact=first.exact and second.exact, calibrated=calibrated,
    )


def _contrast(outcome: Outcome, class_index: int, rival: int, factor: float = 1.0) -> Contrast:
    of_class, of_rival = outcome.evidences([class_index, rival])
    cells = factor * _minus(to_array(of_class.cells), to_array(of_rival.cells))
    baseline = factor * (of_class.baseline - of_rival.baseline)
    difference = factor * (of_class.logit - of_rival.logit)
    return Contrast(
        class_index=class_index, rival=rival, cells=cells,
        channels=factor * _minus(to_array(of_class.channels), to_array(of_rival.channels)), baseline=baseline,
        difference=difference, residual=difference - baseline - float(cells.sum()),
        exact=of_class.exact and of_rival.exact, multiplier=factor,
    )


def _likeliest(outcome: Outcome, but: int | None) -> int:
    """The class with the largest logit, without that one."""
    return next(each.class_index for each in outcome.top(2) if each.class_index != but)


def _minus(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # infinity less infinity is NaN, and soundness.py says so
        return one - other
