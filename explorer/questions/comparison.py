"""Two poolings side by side, and one along its parameter: where they look, and where their answers differ."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from explorer.analysis import Analysis, Outcome
from explorer.arrays import fewest_holding, to_array
from explorer.checks import checked_share
from explorer.errors import ParameterError
from explorer.poolings import Parameter, Pooling
from explorer.questions.contrast import largest_magnitudes, minus

STEPS = 31  # values of a parameter along a path

# Where a pooling looks.


def mean_weights(outcome: Outcome, class_index: int) -> np.ndarray:
    """Where a pooling looks for a class: (H, W) float64 that sums to 1.

    Each channel's pooling weights are brought to a sum of 1 over positions (those of GeM have another), then averaged
    over channels, each counting as much as it contributes to the class, for or against. When nothing contributes all
    channels count alike. What is not finite counts for nothing; where nothing else is left the map is even.

    Raises ParameterError when there is no such class, MethodError where nothing is pooled.
    """
    weights = to_array(outcome.weights).reshape(len(outcome.pooled), -1)
    with np.errstate(invalid="ignore"):
        sums = weights.sum(1)
    usable = np.isfinite(sums) & (sums > 0)
    size = np.abs(to_array(outcome.evidence(class_index).channels))
    size = np.where(usable & np.isfinite(size), size, 0)
    if not size.any():
        size = usable.astype(np.float64)
    if not size.any():
        return np.full(outcome.analysis.feature_maps.shape[1:], 1 / weights.shape[1])
    counted = size > 0
    averaged = (size[counted] / sums[counted]) @ weights[counted]
    return (averaged / averaged.sum()).reshape(outcome.analysis.feature_maps.shape[1:])


def entropy(weights: np.ndarray) -> float:
    """Shannon's entropy, in bits, of a map (H, W) that sums to 1: 0 for one position, log2(H * W) for an even map."""
    values = np.asarray(weights, dtype=np.float64)
    # A position without weight adds nothing: the limit of -w log w. NaN goes through.
    terms = values * np.log2(np.where(values == 0, 1, values))
    return float(-terms.sum()) + 0.0  # not -0.0


def fewest_positions(weights: np.ndarray, share: float = 0.8) -> int:
    """How few positions hold at least that share (above 0, up to 1) of a map (H, W) with values >= 0.

    Zero for a map of zeros. Raises ParameterError for a share outside the range.
    """
    return len(fewest_holding(np.asarray(weights, dtype=np.float64), checked_share(share, "share"))[0])


# Where two poolings differ.


class Difference(NamedTuple):
    """One channel under two poolings; `difference` = contribution_a - contribution_b, in logits to the class."""

    channel: int
    pooled_a: float
    pooled_b: float
    contribution_a: float
    contribution_b: float
    difference: float


def largest_differences(a: Outcome, b: Outcome, class_index: int, count: int = 6) -> list[Difference]:
    """The channels whose contribution to a class differs most between two outcomes, the largest difference first.

    At most `count`, ties by number; channels that contribute alike are left out, and so is what is not finite.

    Raises ParameterError when there is no such class, or the outcomes have different numbers of channels; MethodError
    where nothing is pooled.
    """
    if len(a.pooled) != len(b.pooled):
        raise ParameterError(f"The outcomes have {len(a.pooled)} and {len(b.pooled)} channels; expected as many.")
    of_a, of_b = (to_array(outcome.evidence(class_index).channels) for outcome in (a, b))
    difference = minus(of_a, of_b)
    return [
        Difference(k, float(a.pooled[k]), float(b.pooled[k]), float(of_a[k]), float(of_b[k]), float(difference[k]))
        for k in largest_magnitudes(difference, count)
    ]


# A pooling along its parameter.


@dataclass(frozen=True, eq=False)
class Path:
    """The answer along a pooling's parameter; arrays are float64.

    Attributes:
        parameter: the pooling's number's name, range and meaning.
        values: (STEPS,) of the parameter, rising over its usual range, in equal ratios where it is logarithmic.
        probabilities: (STEPS, classes), as the network makes them of all logits: softmax or sigmoid.
        calibrated: whether the probabilities are. All of them or none: one curve is never a mixture.
        ends: what the pooling is at the lower and at the upper end, in a few words.
    """

    parameter: Parameter
    values: np.ndarray
    probabilities: np.ndarray
    calibrated: bool
    ends: tuple[str, str]


def path(analysis: Analysis, pooling: str, classes: Sequence[int], calibrated: bool = False) -> Path:
    """The probabilities of some classes along a pooling's parameter; the logits are remembered.

    Args:
        analysis: from `analyse`. Neither its backbone nor pooling weights are computed.
        pooling: key of one that has a parameter.
        classes: class indices.
        calibrated: whether to use fitted multipliers. They are used only when every step has one, or is native
            and needs none.

    Raises:
        ParameterError: a pooling that does not exist or has no parameter, or an unknown class.
        MethodError: nothing is pooled here.
    """
    analysis.require_evidence()
    chosen = analysis.network.pooling_of(pooling)
    parameter = chosen.parameter
    if parameter is None:
        raise ParameterError(f"{chosen.name} has no parameter; expected a pooling that has one.")
    classes = [analysis.network.check_class(index) for index in classes]
    # Clipped: rounding must not carry an end out of the valid range.
    spaced = (np.geomspace if parameter.logarithmic else np.linspace)(*parameter.usual, STEPS)
    values = np.clip(spaced, *parameter.usual)
    logits = analysis.results(("path", pooling), lambda: _logits(analysis, chosen, parameter, values))
    factors = _factors(analysis, pooling, parameter, values) if calibrated else None
    probabilities = analysis.network.probabilities(
        logits if factors is None else logits * torch.tensor(factors)[:, None], 1)
    return Path(parameter, values, to_array(probabilities[:, classes]), factors is not None,
                _ENDS[pooling](analysis.feature_maps, parameter.usual))


@torch.no_grad()
def _logits(analysis: Analysis, pooling: Pooling, parameter: Parameter, values: np.ndarray) -> Tensor:
    """(STEPS, classes) float64: the head once, for the pooled vectors of all steps."""
    vectors = [pooling.value(analysis.feature_maps, **{parameter.name: float(value)}) for value in values]
    return analysis.network.head_under(pooling.key)(torch.stack(vectors)).double()


def _factors(analysis: Analysis, pooling: str, parameter: Parameter, values: np.ndarray) -> list[float] | None:
    """What each step's logits are to be multiplied with; None when one of them has no such number."""
    network, factors = analysis.network, []
    for value in values:
        setting = {parameter.name: float(value)}
        factor = 1.0 if network.is_native(pooling, setting) else network.multiplier(pooling, setting)
        if factor is None:
            return None
        factors.append(factor)
    return factors


def _gem_ends(feature_maps: Tensor, _: tuple[float, float]) -> tuple[str, str]:
    clamped = ", negatives as 0" if bool((feature_maps < 0).any()) else ""
    return f"GAP{clamped}", f"towards GMP{clamped}"


def _topk_ends(feature_maps: Tensor, usual: tuple[float, float]) -> tuple[str, str]:
    positions = feature_maps.shape[-2] * feature_maps.shape[-1]
    count = max(1, math.floor(usual[0] * positions + 0.5))
    return "GMP" if count == 1 else f"the {count} strongest of {positions} positions", "GAP"


# A test holds that this names every pooling with a parameter.
_ENDS: dict[str, Callable[[Tensor, tuple[float, float]], tuple[str, str]]] = {
    "gem": _gem_ends,
    "lse": lambda *_: ("near GAP", "towards GMP"),
    "topk": _topk_ends,
    "mixed": lambda *_: ("GAP", "GMP"),
    "attention": lambda *_: ("few positions", "near GAP"),
}
