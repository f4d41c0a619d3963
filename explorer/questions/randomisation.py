"""Whether a map depends on what the network has learned: it must fall apart when weights are drawn anew.

J. Adebayo, J. Gilmer, M. Muelly, I. Goodfellow, M. Hardt, B. Kim, Sanity Checks for Saliency Maps, 2018,
arXiv:1810.03292: the model parameter randomisation test. A map that does not change shows the photo and not the
network. That it changes proves less: noise would (A. Binder et al., Shortcomings of Top-Down Randomization-Based
Sanity Checks for Evaluations of Deep Neural Network Explanations, 2022, arXiv:2211.12486).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from torch import Tensor

from explorer import CAM_METHODS
from explorer.analysis import Analysis, Outcome
from explorer.arrays import to_array
from explorer.errors import MethodError, ParameterError, StoppedError
from explorer.progress import Progress, Stop
from explorer.questions.redrawn_weights import PARTS, Redrawn, maps_of, part_of

FALLEN_APART = 0.5  # mean size of the rank correlation below which a map counts as fallen apart
EVIDENCE = "evidence"  # stands beside the keys of CAM_METHODS


@dataclass(frozen=True, eq=False)
class Randomised:
    """A map before and after a part of the network was drawn anew; arrays are float64.

    Attributes:
        what: key of PARTS.
        map: "evidence", or key of CAM_METHODS; name: for people.
        class_index: the class.
        before: (H, W), the map.
        after: (seeds, H, W), the map of each drawing.
        correlations: (seeds,), Spearman's rank correlation over positions of each with the one before: 1 the same
            order, -1 that order upside down, 0 none of it, or a map that is even. NaN where one is not finite.
        cosines: (seeds,), of the angle between the maps as vectors, likewise; what is large in both counts most.
        correlation, correlation_spread, cosine, cosine_spread: means and standard deviations of these.
        agreement: mean size of the correlations, 0 to 1: a map upside down is no new map.
        energy_before: the map's rank correlation with the energy of its feature maps (the sum over channels of their
            squares, at each position): how far it shows where there is much, whatever that says.
        energy_after: mean size of the same for the maps after, with the energy of theirs.
        fallen_apart: whether the agreement is below FALLEN_APART.
        weights: how many were drawn anew.
        passes: forward passes that this took; Score-CAM's own are not counted.
        seconds: that this took.
    """

    what: str
    map: str
    name: str
    class_index: int
    before: np.ndarray
    after: np.ndarray
    correlations: np.ndarray
    cosines: np.ndarray
    correlation: float
    correlation_spread: float
    cosine: float
    cosine_spread: float
    agreement: float
    energy_before: float
    energy_after: float
    fallen_apart: bool
    weights: int
    passes: int
    seconds: float


def randomised(
    outcome: Outcome, class_index: int, what: str, map: str = EVIDENCE, seed: int = 0, seeds: int = 3,
    progress: Progress | None = None, stop: Stop | None = None,
) -> Randomised:
    """A map of a class, and what becomes of it when the head or the backbone knows nothing.

    Each weight is drawn from the normal distribution with its own tensor's mean and standard deviation: new, at the
    scale that the others expect. (Shuffled, a tensor of two numbers would often stay as it is.) Batch normalisation of
    maps goes by this photo's statistics in what is drawn anew, as in training: the ones it has kept are of maps that
    are no more. The network is neither changed nor copied, see `redrawing`.

    Under GAP and a Linear a head that knows nothing still mixes the same feature maps, with weights of either sign: its
    evidence often follows their energy, this way up or upside down. `energy_after` tells; the backbone is the harder
    test.

    Args:
        outcome: under whose pooling the map is made, before and after.
        class_index: the class.
        what: "head" or "backbone". Where nothing is pooled, or a layer is looked at: what follows those maps, or what
            leads there.
        map: "evidence", or key of CAM_METHODS.
        seed: of the first drawing; the others follow it.
        seeds: how many drawings, at least 1. Of the head they need no forward pass; of the backbone one each, which
            another map of the same analysis need not run again.
        progress: is told (drawings done, drawings in all) after each.
        stop: is asked before each.

    Raises:
        ParameterError: a bad argument.
        MethodError: the map does not exist for this network or holds nothing that could fall apart, or there are no
            weights to draw.
        StoppedError: when told to stop.
    """
    begin = time.perf_counter()
    _check(outcome, class_index, what, map, seed, seeds)
    before, own_energy = _map(outcome, class_index, map, stop), _energy(outcome.analysis)
    if not np.isfinite(before).all() or before.min() == before.max():
        raise MethodError("The map is not finite, or the same at all positions: nothing of it could fall apart.")
    part, after, energies, weights, passes = part_of(outcome, what), [], [], 0, 0
    for n in range(seeds):
        if stop is not None and stop():
            raise StoppedError(f"Stopped after {n} of {seeds} drawings.")
        drawing = _drawing(outcome, what, part, seed + n)
        with drawing.redrawn:
            after.append(_map(drawing.outcome, class_index, map, stop))
            weights = drawing.weights or _read_by_the_answer(drawing)
        if not weights:
            raise MethodError(f"The {what} has no weights that could be drawn anew.")
        energies.append(_energy(drawing.outcome.analysis))
        passes += drawing.passes
        if progress is not None:
            progress(n + 1, seeds)
    return _compared(
        before, np.stack(after), own_energy, energies, what=what, map=map, class_index=class_index, weights=weights,
        name=f"evidence under {outcome.name}" if map == EVIDENCE else CAM_METHODS[map].name, passes=passes,
        seconds=time.perf_counter() - begin,
    )


def _check(outcome: Outcome, class_index: int, what: str, map: str, seed: int, seeds: int) -> None:
    outcome.analysis.network.check_class(class_index)
    if what not in PARTS:
        raise ParameterError(f"There is no part {what!r:.40}; expected one of {', '.join(PARTS)}.")
    if map != EVIDENCE and map not in CAM_METHODS:
        raise ParameterError(f"There is no map {map!r:.40}; expected one of {', '.join([EVIDENCE, *CAM_METHODS])}.")
    for name, number, least in (("first drawing", seed, 0), ("number of drawings", seeds, 1)):
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise ParameterError(f"The {name} is {number!r:.40}; expected a whole number of at least {least}.")


class _Drawing(NamedTuple):
    """The outcome of one drawing, to be asked while `redrawn` is entered; weights, passes: so far."""

    outcome: Outcome
    redrawn: Redrawn
    weights: int
    passes: int


def _drawing(outcome: Outcome, what: str, part: list[Tensor], seed: int) -> _Drawing:
    analysis, ran = outcome.analysis, []

    def run() -> tuple[Tensor, int]:
        ran.append(seed)
        with Redrawn(part, seed) as redrawn:
            return maps_of(analysis), redrawn.count

    maps, weights = analysis.feature_maps, 0
    if what == "backbone":
        maps, weights = analysis.remember(("drawn anew", seed), run)
    other = Analysis(analysis.network, analysis.image, analysis.framing, analysis.input, maps, analysis.seconds,
                     analysis.layer)
    same = other.under(outcome.pooling, **outcome.parameters) if other.has_evidence else other.under()
    return _Drawing(same, Redrawn(part, seed), weights, len(ran))


def _read_by_the_answer(drawing: _Drawing) -> int:
    """How many weights of a head are drawn anew; a map such as Eigen-CAM's reads none of them."""
    _ = drawing.outcome.logits
    return drawing.redrawn.count


def _map(outcome: Outcome, class_index: int, map: str, stop: Stop | None) -> np.ndarray:
    if map == EVIDENCE:
        return to_array(outcome.evidence(class_index).cells)
    heard = {"stop": stop} if stop is not None and "stop" in CAM_METHODS[map].options else {}
    return to_array(outcome.cam(map, class_index, **heard))


def _energy(analysis: Analysis) -> np.ndarray:
    return to_array(analysis.feature_maps.double().square().sum(0))


def _compared(
    before: np.ndarray, after: np.ndarray, own_energy: np.ndarray, energies: list[np.ndarray], **others: object
) -> Randomised:
    correlations = np.array([rank_correlation(before, each) for each in after])
    cosines = np.array([_cosine(before, each) for each in after])
    followed = np.array([rank_correlation(*pair) for pair in zip(after, energies, strict=True)])
    agreement = _mean(np.abs(correlations))
    return Randomised(
        before=before, after=after, correlations=correlations, cosines=cosines,
        correlation=_mean(correlations), correlation_spread=_spread(correlations),
        cosine=_mean(cosines), cosine_spread=_spread(cosines), agreement=agreement,
        energy_before=rank_correlation(before, own_energy), energy_after=_mean(np.abs(followed)),
        fallen_apart=agreement < FALLEN_APART, **others,
    )


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's, of two maps of one shape: -1 to 1; level positions have their mean rank.

    0 where one is the same at all positions and so has no order; NaN where one is not finite.
    """
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("nan")
    return _cosine(*(ranks - ranks.mean() for ranks in (_ranks(a), _ranks(b))))


def _ranks(cells: np.ndarray) -> np.ndarray:
    _, which, counts = np.unique(cells.ravel(), return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[which]


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    """0 where one is 0 everywhere."""
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.clip(np.vdot(a, b) / lengths, -1, 1)) if lengths else 0.0


def _mean(values: np.ndarray) -> float:
    """Of those that are numbers; NaN where none is."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


def _spread(values: np.ndarray) -> float:
    values = values[~np.isnan(values)]
    return float(values.std()) if len(values) else float("nan")
