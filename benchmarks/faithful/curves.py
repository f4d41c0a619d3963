"""Does a map's order matter to the network: deletion, insertion, average drop and randomised weights, over photos."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.faithful.paired_test import PairedTest, paired_test
from explorer import CAM_METHODS, analyse, read_image
from explorer.analysis import Outcome
from explorer.networks import Network
from explorer.questions.randomisation import EVIDENCE, PARTS, randomisation
from explorer.questions.trust import maps_to_judge, probability_drops, removal_curves

PHOTOS = 100
STEPS = 20
FILL = "blur"
METHODS = tuple(key for key in CAM_METHODS if key not in ("cam", "score_cam"))  # CAM is evidence; Score-CAM runs 1280
DRAWN_ANEW = 20  # photos
SHUFFLED = (EVIDENCE, "grad_cam", "layer_cam", "eigen_cam")
GAINS = ("deletion", "insertion", "between")


@dataclass
class CurveResults:
    """Results of all maps; rows are photos.

    Attributes:
        areas: (n, 2) by map or control: under the deletion and the insertion curve.
        drops: (n, 3) by map: the drop, whether the probability rose (0 or 1), the share of the photo let through.
        agreements: by map and part, one a photo: how far the map agrees with itself when the part is drawn anew.
        fallen: likewise, whether it fell apart (0 or 1).
        passes, seconds: of all curves.
    """

    areas: dict[str, np.ndarray] = field(default_factory=dict)
    drops: dict[str, np.ndarray] = field(default_factory=dict)
    agreements: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    fallen: dict[tuple[str, str], list[bool]] = field(default_factory=dict)
    passes: int = 0
    seconds: float = 0.0

    @property
    def photos(self) -> int:
        """How many were judged."""
        return len(next(iter(self.areas.values())))

    def gain(self, name: str, control: str) -> dict[str, PairedTest]:
        """By how much a map's areas are better than a control's, by GAINS."""
        (deletion, insertion), (others, other) = self.areas[name].T, self.areas[control].T
        gains = (others - deletion, insertion - other, (insertion - deletion) - (other - others))
        return {kind: paired_test(values) for kind, values in zip(GAINS, gains, strict=True)}


def judge(network: Network, photos: Sequence[Path], report: Callable[[str], None] = print) -> CurveResults:
    """Every map of the answer under the network's own pooling, photo by photo."""
    areas: dict[str, list[tuple[float, float]]] = {}
    through: dict[str, list[tuple[float, float, float]]] = {}
    results, begin = CurveResults(), time.perf_counter()
    for number, path in enumerate(photos):
        outcome = analyse(network, read_image(path)).under()
        index = outcome.top(1)[0].class_index
        maps, _ = maps_to_judge(outcome, index, methods=METHODS)
        curves = removal_curves(outcome, index, maps, FILL, STEPS)
        for curve in curves.curves:
            areas.setdefault(curve.name, []).append((curve.deletion_area, curve.insertion_area))
        for drop in probability_drops(outcome, index, maps, FILL):
            through.setdefault(drop.name, []).append((drop.drop, drop.increase, drop.kept))
        results.passes += curves.passes
        results.seconds += curves.seconds
        if number < DRAWN_ANEW:
            _draw_anew(results, outcome, index)
        if (number + 1) % 10 == 0 or number + 1 == len(photos):
            report(f"{number + 1} of {len(photos)} photos, {time.perf_counter() - begin:.0f} s")
    results.areas, results.drops = ({name: np.array(rows, float) for name, rows in by_name.items()}
                                    for by_name in (areas, through))
    return results


def drawn_photos(folder: Path, count: int = PHOTOS, seed: int = 0) -> list[Path]:
    """So many of a folder's photos, drawn."""
    paths = sorted(folder.iterdir())
    drawn = np.random.default_rng(seed).permutation(len(paths))[:count]
    return [paths[n] for n in sorted(drawn)]


def _draw_anew(results: CurveResults, outcome: Outcome, index: int) -> None:
    for kind in SHUFFLED:
        for part in PARTS:
            redrawn = randomisation(outcome, index, part, kind)
            results.agreements.setdefault((redrawn.name, part), []).append(redrawn.agreement)
            results.fallen.setdefault((redrawn.name, part), []).append(redrawn.fallen_apart)
