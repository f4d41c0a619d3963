"""Whether a map depends on what the network has learned: it must fall apart when weights are drawn anew.

J. Adebayo, J. Gilmer, M. Muelly, I. Goodfellow, M. Hardt, B. Kim, Sanity Checks for Saliency Maps, 2018,
arXiv:1810.03292: the model parameter randomisation test. A map that does not change shows the photo and not the
network. That it changes proves less: noise would (A. Binder et al., Shortcomings of Top-Down Randomization-Based
Sanity Checks for Evaluations of Deep Neural Network Explanations, 2022, arXiv:2211.12486).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from explorer import CAM_METHODS
from explorer.analysis import Analysis, Outcome
from explorer.arrays import to_array
from explorer.checks import checked_key
from explorer.errors import MethodError
from explorer.progress import Progress, Stop, in_batches
from explorer.questions.redrawn_network import PARTS, redrawn

DRAWINGS = 3  # of the head they need no forward pass, of the backbone one each
FALLEN_APART = 0.5  # mean size of the rank correlation below which a map counts as fallen apart
EVIDENCE = "evidence"  # stands beside the keys of CAM_METHODS


@dataclass(frozen=True, eq=False)
class Randomisation:
    """How much of a map is left when a part of the network is drawn anew.

    Attributes:
        part: key of PARTS.
        name: of the map, for people.
        agreement: mean size over drawings of Spearman's rank correlation between the map before and after, 0 to 1: a
            map upside down is no new map. Drawings whose map is not finite are left out; NaN where all are.
        energy_after: mean size of the same between the maps after and the energy of their feature maps (the sum over
            channels of their squares): how far they show where activations are large, whatever the class.
        fallen_apart: whether the agreement is below FALLEN_APART.
    """

    part: str
    name: str
    agreement: float
    energy_after: float
    fallen_apart: bool


def randomisation(
    outcome: Outcome, class_index: int, part: str, map: str = EVIDENCE, progress: Progress | None = None,
    stop: Stop | None = None,
) -> Randomisation:
    """A map of a class, and what becomes of it when the head or the backbone has lost what it learned.

    Under GAP and a Linear a head that knows nothing still mixes the same feature maps, with weights of either sign: its
    evidence often follows their energy, with either sign: `energy_after` measures that. The backbone is the
    harder test.

    Args:
        outcome: under whose pooling the map is made, before and after.
        part: "head" or "backbone", see `redrawn_network.redrawn`.
        map: "evidence", or key of CAM_METHODS.
        progress, stop: after and before each drawing, see `explorer.progress`.

    Raises:
        ParameterError: a bad argument.
        MethodError: the map does not exist for this network or holds nothing that could fall apart, or there are no
            weights to draw.
        StoppedError: `stop` returned True.
    """
    outcome.analysis.network.check_class(class_index)
    checked_key(part, PARTS, "part")
    checked_key(map, [EVIDENCE, *CAM_METHODS], "map")
    before = _map(outcome, class_index, map, stop)
    if not np.isfinite(before).all() or before.min() == before.max():
        raise MethodError("The map is not finite, or the same at all positions: nothing of it could fall apart.")
    agreements, energies = [], []
    for (seed,) in in_batches(range(DRAWINGS), 1, "drawings", progress, stop):
        other = redrawn(outcome, part, seed)
        after = _map(other, class_index, map, stop)
        agreements.append(abs(rank_correlation(before, after)))
        energies.append(abs(rank_correlation(after, _energy(other.analysis))))
    agreement = _mean(agreements)
    return Randomisation(
        part, f"evidence under {outcome.name}" if map == EVIDENCE else CAM_METHODS[map].name, agreement,
        _mean(energies), agreement < FALLEN_APART)


def _map(outcome: Outcome, class_index: int, map: str, stop: Stop | None) -> np.ndarray:
    if map == EVIDENCE:
        return to_array(outcome.evidence(class_index).cells)
    options = {"stop": stop} if stop is not None and "stop" in CAM_METHODS[map].options else {}
    return to_array(outcome.cam(map, class_index, **options))


def _energy(analysis: Analysis) -> np.ndarray:
    return to_array(analysis.feature_maps.double().square().sum(0))


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's, of two maps of one shape: -1 to 1; level positions have their mean rank.

    0 where one is the same at all positions and so has no order; NaN where one is not finite.
    """
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("nan")
    one, other = (ranks - ranks.mean() for ranks in (_ranks(a), _ranks(b)))
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.clip(one @ other / lengths, -1, 1)) if lengths else 0.0


def _ranks(cells: np.ndarray) -> np.ndarray:
    _, which, counts = np.unique(cells.ravel(), return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[which]


def _mean(values: list[float]) -> float:
    """Of those that are numbers; NaN where none is."""
    numbers = [value for value in values if not np.isnan(value)]
    return float(np.mean(numbers)) if numbers else float("nan")
