"""Does a map's order matter to the network: deletion, insertion, average drop and randomised weights, over photos."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from explorer import CAM_METHODS, analyse, read_image
from explorer.analysis import Outcome
from explorer.networks import Network
from explorer.questions.paired_test import Paired, paired
from explorer.questions.randomisation import EVIDENCE, PARTS, randomised
from explorer.questions.removal_order import CONTROLS
from explorer.questions.trust import Curves, drops, judged, maps_to_judge

PHOTOS = 100
STEPS = 20
FILL = "blur"
METHODS = tuple(key for key in CAM_METHODS if key not in ("cam", "score_cam"))  # CAM is evidence; Score-CAM runs 1280
DRAWN_ANEW = 20  # photos
SHUFFLED = (EVIDENCE, "grad_cam", "layer_cam", "eigen_cam")
GAINS = ("deletion", "insertion", "between")


@dataclass
class Judged:
    """What was found; rows are photos.

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

    def gain(self, name: str, control: str) -> dict[str, Paired]:
        """By how much a map's areas are better than a control's, by GAINS: see `faithfulness.Gain`."""
        (deletion, insertion), (others, other) = self.areas[name].T, self.areas[control].T
        gains = (others - deletion, insertion - other, (insertion - deletion) - (other - others))
        return {kind: paired(values) for kind, values in zip(GAINS, gains, strict=True)}


def judge(network: Network, photos: Sequence[Path], told: Callable[[str], None] = print) -> Judged:
    """Every map of the answer under the network's own pooling, photo by photo."""
    areas: dict[str, list[tuple[float, float]]] = {}
    through: dict[str, list[tuple[float, float, float]]] = {}
    found, begin = Judged(), time.perf_counter()
    for number, path in enumerate(photos):
        outcome = analyse(network, read_image(path)).under()
        index = outcome.top(1)[0].class_index
        maps = maps_to_judge(outcome, index, methods=METHODS).maps
        curves: Curves = judged(outcome, index, maps, FILL, STEPS)
        for each in curves.curves:
            areas.setdefault(each.name, []).append((each.deletion_area, each.insertion_area))
        for each in drops(outcome, index, maps, FILL):
            through.setdefault(each.name, []).append((each.drop, each.increase, each.kept))
        found.passes += curves.passes
        found.seconds += curves.seconds
        if number < DRAWN_ANEW:
            _draw_anew(found, outcome, index)
        if (number + 1) % 10 == 0 or number + 1 == len(photos):
            told(f"{number + 1} of {len(photos)} photos, {time.perf_counter() - begin:.0f} s")
    found.areas, found.drops = ({name: np.array(rows, float) for name, rows in each.items()}
                                for each in (areas, through))
    return found


def chosen(folder: Path, count: int = PHOTOS, seed: int = 0) -> list[Path]:
    """So many of a folder's photos, drawn."""
    paths = sorted(folder.iterdir())
    drawn = np.random.default_rng(seed).permutation(len(paths))[:count]
    return [paths[n] for n in sorted(drawn)]


def is_control(name: str) -> bool:
    """Whether it is none of the maps."""
    return name in CONTROLS


def _draw_anew(found: Judged, outcome: Outcome, index: int) -> None:
    for kind in SHUFFLED:
        for part in PARTS:
            each = randomised(outcome, index, part, kind)
            found.agreements.setdefault((each.name, part), []).append(each.agreement)
            found.fallen.setdefault((each.name, part), []).append(each.fallen_apart)
