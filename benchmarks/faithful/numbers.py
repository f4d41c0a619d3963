"""Results of every map, photo by photo, and how sure they are."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from benchmarks.faithful.maps import AGAINST, CONTROLS, EVERYWHERE, Runs, evidence_name, maps_of
from benchmarks.faithful.objects import Measured, PhotoQuestions, centres_in, covered_by, measured
from explorer import CAM_METHODS
from explorer.networks import Network

MEASURES = (*Measured._fields, "together")  # the last is the mean of the others
SPLITS = 500
NAMED = 5  # of the network's answers, among which a class is said to be named


class MapVariant(NamedTuple):
    """A way to ask where an object is: the map's name, the input's short side in px, whether it is stitched."""

    name: str
    side: int
    stitched: bool


class Mean(NamedTuple):
    """(4,) each, in the order of MEASURES; the error is over photos."""

    mean: np.ndarray
    error: np.ndarray


@dataclass
class ObjectResults:
    """What each way to ask results; n questions in one order.

    Attributes:
        numbers: (n, 4) for each way, in the order of MEASURES.
        photos: (n,), the photo that each question is about.
        ranks: (n,), of the class in the network's answer.
        alike: the correlation of Grad-CAM's positive part with that of the evidence under GAP, one a question and side.
    """

    numbers: dict[MapVariant, np.ndarray] = field(default_factory=dict)
    photos: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    ranks: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    alike: list[float] = field(default_factory=list)

    def mean(self, variant: MapVariant, beside: MapVariant | None = None, chosen: np.ndarray | None = None) -> Mean:
        """Of the chosen questions (all): means over photos of their means, or of the paired differences to another."""
        values = self.numbers[variant] - (0 if beside is None else self.numbers[beside])
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


def find(
    network: Network, photos: PhotoQuestions, sides: Sequence[int], report: Callable[[str], None] = print
) -> ObjectResults:
    """Measure every map at every size, for every question."""
    rows: dict[MapVariant, list[tuple[float, ...]]] = {}
    results, begin = ObjectResults(), time.perf_counter()
    for number, (photo, questions) in enumerate(photos):
        for side in sides:
            drawn: dict[tuple[int, str], np.ndarray] = {}
            grids: dict[tuple[int, int, int], tuple[np.ndarray, np.ndarray]] = {}
            for drawn_map in maps_of(Runs(network, photo, side), questions):
                drawn[drawn_map.question, drawn_map.name] = drawn_map.plain
                for stitched, cells in ((False, drawn_map.plain), (True, drawn_map.stitched)):
                    if cells is None:
                        continue
                    key = (drawn_map.question, *cells.shape)
                    if key not in grids:
                        grids[key] = _places(questions[drawn_map.question].boxes, *cells.shape)
                    row = measured(cells, *grids[key])
                    rows.setdefault(MapVariant(drawn_map.name, side, stitched), []).append((*row, np.mean(row)))
            for n in range(len(questions)):
                area = float(grids[n, *drawn[n, CONTROLS[1]].shape][0].mean())
                rows.setdefault(MapVariant(EVERYWHERE, side, False), []).append((area,) * len(MEASURES))
                results.alike.append(float(np.corrcoef(*(
                    np.maximum(drawn[n, name], 0).ravel()
                    for name in (CAM_METHODS["grad_cam"].name, evidence_name("gap"))))[0, 1]))
        if (number + 1) % 10 == 0 or number + 1 == len(photos):
            report(f"{number + 1} of {len(photos)} photos, {time.perf_counter() - begin:.0f} s")
    every = [question for _, questions in photos for question in questions]
    results.numbers = {variant: np.array(row) for variant, row in rows.items()}
    results.photos, results.ranks = (np.array([getattr(question, name) for question in every])
                                     for name in ("photo", "rank"))
    return results


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

    first: MapVariant
    first_gain: Mean
    gains: np.ndarray
    often: list[tuple[MapVariant, int]]


def candidates(results: ObjectResults) -> list[MapVariant]:
    """All ways to ask but controls, and rivals that nobody would have named without knowing what is on the photo."""
    return [way for way in results.numbers if way.name not in CONTROLS and not way.name.endswith(AGAINST[2])]


def choose(
    results: ObjectResults, ways: Sequence[MapVariant], baseline: MapVariant, splits: int = SPLITS, seed: int = 0
) -> Choice:
    """Choose the largest mean of all measures on a half of the photos, and look at the other half, again and again."""
    drawn, photos = np.random.default_rng(seed), np.unique(results.photos)
    numbers = np.stack([results.numbers[way] for way in ways])
    differences = numbers - results.numbers[baseline]
    chosen, gains, first_gain = [], [], None
    for _ in range(splits):
        half = np.isin(results.photos, drawn.permutation(photos)[:len(photos) // 2])
        best = int(np.argmax(numbers[:, half, -1].mean(1)))
        gain = mean_over(differences[best], results.photos, ~half)
        first_gain = first_gain or gain
        chosen.append(best)
        gains.append(gain.mean)
    often = [(ways[n], count) for n, count in Counter(chosen).most_common()]
    return Choice(ways[chosen[0]], first_gain, np.array(gains), often)
