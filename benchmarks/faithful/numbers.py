"""What is found, photo by photo, and how sure that is."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from benchmarks.faithful.maps import AGAINST, CONTROLS, EVERYWHERE, Runs, evidence_name, maps_of
from benchmarks.faithful.objects import Asked, Measured, centres_in, covered_by, measured
from explorer import CAM_METHODS
from explorer.networks import Network

MEASURES = (*Measured._fields, "together")  # the last is the mean of the others
SPLITS = 500
NAMED = 5  # of the network's answers, among which a class is said to be named


class Asking(NamedTuple):
    """A way to ask where an object is: the map's name, the input's short side in px, whether it is stitched."""

    name: str
    side: int
    stitched: bool


class Mean(NamedTuple):
    """(4,) each, in the order of MEASURES; the error is over photos."""

    mean: np.ndarray
    error: np.ndarray


@dataclass
class Found:
    """What each way to ask found; n questions in one order.

    Attributes:
        numbers: (n, 4) for each way, in the order of MEASURES.
        photos: (n,), the photo that each question is about.
        ranks: (n,), of the class in the network's answer.
        alike: the correlation of Grad-CAM's positive part with that of the evidence under GAP, one a question and side.
    """

    numbers: dict[Asking, np.ndarray] = field(default_factory=dict)
    photos: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    ranks: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    alike: list[float] = field(default_factory=list)

    def mean(self, asking: Asking, beside: Asking | None = None, chosen: np.ndarray | None = None) -> Mean:
        """Of the chosen questions (all): means over photos of their means, or of the paired differences to another."""
        values = self.numbers[asking] - (0 if beside is None else self.numbers[beside])
        return mean_over(values, self.photos, chosen)

    @property
    def named(self) -> np.ndarray:
        """(n,) bool: whether the class is among the network's most probable."""
        return self.ranks <= NAMED


def mean_over(values: np.ndarray, photos: np.ndarray, chosen: np.ndarray | None = None) -> Mean:
    """Questions about one photo are averaged first: they are not independent."""
    values, photos = (values, photos) if chosen is None else (values[chosen], photos[chosen])
    own = np.array([values[photos == photo].mean(0) for photo in np.unique(photos)])
    return Mean(own.mean(0), own.std(0, ddof=1) / len(own) ** 0.5)


def find(network: Network, asked: Asked, sides: Sequence[int], told: Callable[[str], None] = print) -> Found:
    """Ask every map about every question at every size."""
    rows: dict[Asking, list[tuple[float, ...]]] = {}
    found, begin = Found(), time.perf_counter()
    for number, (photo, questions) in enumerate(asked):
        for side in sides:
            drawn: dict[tuple[int, str], np.ndarray] = {}
            grids: dict[tuple[int, int, int], tuple[np.ndarray, np.ndarray]] = {}
            for each in maps_of(Runs(network, photo, side), questions):
                drawn[each.question, each.name] = each.plain
                for stitched, cells in ((False, each.plain), (True, each.stitched)):
                    if cells is None:
                        continue
                    key = (each.question, *cells.shape)
                    if key not in grids:
                        grids[key] = _places(questions[each.question].boxes, *cells.shape)
                    row = measured(cells, *grids[key])
                    rows.setdefault(Asking(each.name, side, stitched), []).append((*row, np.mean(row)))
            for n in range(len(questions)):
                area = float(grids[n, *drawn[n, CONTROLS[1]].shape][0].mean())
                rows.setdefault(Asking(EVERYWHERE, side, False), []).append((area,) * len(MEASURES))
                found.alike.append(float(np.corrcoef(*(
                    np.maximum(drawn[n, name], 0).ravel()
                    for name in (CAM_METHODS["grad_cam"].name, evidence_name("gap"))))[0, 1]))
        if (number + 1) % 10 == 0 or number + 1 == len(asked):
            told(f"{number + 1} of {len(asked)} photos, {time.perf_counter() - begin:.0f} s")
    everything = [question for _, questions in asked for question in questions]
    found.numbers = {asking: np.array(row) for asking, row in rows.items()}
    found.photos, found.ranks = (np.array([getattr(each, name) for each in everything]) for name in ("photo", "rank"))
    return found


def _places(boxes: Sequence[Sequence[float]], rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    down, across = ((np.arange(count) + 0.5) / count for count in (rows, columns))
    return covered_by(boxes, rows, columns), centres_in(boxes, down, across)


# Which is best.


@dataclass(frozen=True)
class Choice:
    """The best way to ask on one half of the photos, and how it does on the other; over many splits into halves.

    Attributes:
        first: what the first split chose.
        first_gain: of that on the other half, its differences to the baseline.
        gains: (splits, 4), such differences of what each split chose, on its other half.
        often: what was chosen, the most frequent first, with how many splits chose it.
    """

    first: Asking
    first_gain: Mean
    gains: np.ndarray
    often: list[tuple[Asking, int]]


def candidates(found: Found) -> list[Asking]:
    """All ways to ask but controls, and rivals that nobody would have named without knowing what is on the photo."""
    return [each for each in found.numbers if each.name not in CONTROLS and not each.name.endswith(AGAINST[2])]


def choose(found: Found, ways: Sequence[Asking], baseline: Asking, splits: int = SPLITS, seed: int = 0) -> Choice:
    """Choose the largest mean of all measures on a half of the photos, and look at the other half, again and again."""
    drawn, photos = np.random.default_rng(seed), np.unique(found.photos)
    numbers = np.stack([found.numbers[way] for way in ways])
    differences = numbers - found.numbers[baseline]
    chosen, gains, first_gain = [], [], None
    for _ in range(splits):
        half = np.isin(found.photos, drawn.permutation(photos)[:len(photos) // 2])
        best = int(np.argmax(numbers[:, half, -1].mean(1)))
        gain = mean_over(differences[best], found.photos, ~half)
        first_gain = first_gain or gain
        chosen.append(best)
        gains.append(gain.mean)
    often = [(ways[n], count) for n, count in Counter(chosen).most_common()]
    return Choice(ways[chosen[0]], first_gain, np.array(gains), often)
