"""How far a map can be trusted: positions are taken out of the photo in its order, and the network is asked again.

Every map of one analysis is judged by the same answer and beside the same controls, because a number alone says little:
how fast an answer falls depends on the photo and on what is put in a position's place.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from explorer import CAM_METHODS
from explorer.analysis import Outcome
from explorer.arrays import to_array
from explorer.errors import MethodError, ParameterError
from explorer.progress import Progress, Stop
from explorer.questions.edited_photo import BATCHED
from explorer.questions.removal_order import CONTROLS, answers_without, counts_of, plans

METHODS = ("grad_cam", "grad_cam_plus_plus", "layer_cam", "eigen_cam")  # judged unless others are named
MOST_STEPS = 200


# The maps.


class Maps(NamedTuple):
    """`maps`: (H, W) float64 by name; `skipped`: by name, one sentence why there is none."""

    maps: dict[str, np.ndarray]
    skipped: dict[str, str]


def maps_to_judge(
    outcome: Outcome, class_index: int, poolings: Sequence[str] | None = None, methods: Sequence[str] = METHODS
) -> Maps:
    """Maps of one class by names for people: "evidence under GMP", "Grad-CAM".

    Args:
        outcome: its pooling is the one under which the CAM methods work.
        poolings: keys of those under which evidence is wanted; None is each there is (`Outcome.under_each_pooling`).
        methods: keys of CAM_METHODS.

    Raises ParameterError for a class, pooling or method that does not exist. What does not exist for this network is
    skipped.
    """
    analysis = outcome.analysis
    analysis.network.check_class(class_index)
    maps: dict[str, np.ndarray] = {}
    skipped: dict[str, str] = {}
    if analysis.has_evidence:
        offered = {each.pooling: each for each in outcome.under_each_pooling()}
        for key in offered if poolings is None else poolings:
            each = offered.get(key) or analysis.under(key)
            maps[f"evidence under {each.name}"] = to_array(each.evidence(class_index).cells)
    elif poolings is None or poolings:
        skipped["evidence"] = analysis.no_evidence_reason
    for key in methods:
        try:
            cells = outcome.cam(key, class_index)
        except MethodError as error:
            skipped[CAM_METHODS[key].name] = str(error)
        else:
            maps[CAM_METHODS[key].name] = to_array(cells)
    return Maps(maps, skipped)


# Deletion and insertion.


@dataclass(frozen=True, eq=False)
class Curve:
    """The answer as positions go, and as they come, in a map's order; arrays are float64 of shape (steps + 1,).

    Attributes:
        name: of the map, or key of CONTROLS.
        control: whether it is one of these.
        shares: of the photo that has been taken out, or put in, from 0 to 1.
        deletion: the class's probability with that share taken out, the strongest first: from the photo to nothing. A
            map that finds what the answer hangs on makes it fall early.
        insertion: with that share put in, the strongest first: from nothing to the photo. It rises early.
        deletion_logits, insertion_logits: likewise the class's logit.
        deletion_area, insertion_area: under the probabilities, by the trapezoid rule, 0 to 1: the lower, and the
            higher, the better.
        deletion_spread, insertion_spread: standard deviation of the areas of the orders that were averaged; 0 of one.
        passes: different inputs that it is made of, both ends included; curves share what they have in common.
        unsound: positions of the map that are NaN or infinite; they come last.
    """

    name: str
    control: bool
    shares: np.ndarray
    deletion: np.ndarray
    insertion: np.ndarray
    deletion_logits: np.ndarray
    insertion_logits: np.ndarray
    deletion_area: float
    insertion_area: float
    deletion_spread: float
    insertion_spread: float
    passes: int
    unsound: int

    @property
    def between(self) -> float:
        """The insertion area minus the deletion area, -1 to 1: above 0 where the order says something."""
        return self.insertion_area - self.deletion_area


class Gain(NamedTuple):
    """By how much a curve is better than another: its area below at deletion, above at insertion, and both together."""

    deletion: float
    insertion: float
    between: float


@dataclass(frozen=True, eq=False)
class Curves:
    """Several maps of one class, judged alike.

    Attributes:
        curves: of the maps as they were given, then of the controls.
        class_index: the class.
        pooling: the outcome's name: under it the network was asked.
        fill: what took a position's place, key of `edits.FILLS`.
        before, nothing: the class's probability for the photo, and for the photo without anything.
        skipped: by name, why a map that is usually judged does not exist here.
        passes: inputs that were run for all of them; what was known from before is not counted.
        seconds: that this took.
    """

    curves: tuple[Curve, ...]
    class_index: int
    pooling: str
    fill: str
    before: float
    nothing: float
    skipped: dict[str, str]
    passes: int
    seconds: float

    def of(self, name: str) -> Curve:
        """The curve of that name. Raises ParameterError naming those that there are."""
        for curve in self.curves:
            if curve.name == name:
                return curve
        raise ParameterError(f"There is no curve {name!r:.60}; expected one of "
                             f"{', '.join(curve.name for curve in self.curves)}.")

    def gain(self, name: str, control: str = "random") -> Gain:
        """By how much a map's areas are better than a control's; negative where they are worse."""
        own, other = self.of(name), self.of(control)
        return Gain(other.deletion_area - own.deletion_area, own.insertion_area - other.insertion_area,
                    own.between - other.between)


def judged(
    outcome: Outcome, class_index: int, maps: Mapping[str, np.ndarray] | None = None, fill: str = "blur",
    steps: int = 20, orders: int = 4, seed: int = 0, progress: Progress | None = None, stop: Stop | None = None,
) -> Curves:
    """Deletion and insertion curves of maps and of three controls, see CONTROLS.

    V. Petsiuk, A. Das, K. Saenko, RISE: Randomized Input Sampling for Explanation of Black-box Models, 2018,
    arXiv:1806.07421; here positions go instead of pixels, and one fill serves both curves. Of the controls "uniform" is
    of another kind: it takes out no position wholly before the end, and a network bears half a fading better than half
    the photo missing. So most maps gain on it at deletion and lose at insertion; the area between the two is what can
    be compared: 0 for "uniform" and, on average, for an order that knows nothing.

    Args:
        outcome: its answer is the judge of all maps, whatever they were made from; for the network's own,
            `analysis.under()`.
        class_index: the class.
        maps: (H, W) of any sign and scale by name; only their order counts. Positions that are level with each other
            go in an order that is drawn once for all maps; NaN and infinity go last. None is `maps_to_judge`.
        fill: "blur" or "mean", see `edits.FILLS`.
        steps: at step k, round(k * H * W / steps) positions are out (halves go up), 1 to 200.
        orders: random ones to average, at least 1; each second one is the one before it backwards, which needs the same
            passes.
        seed: of what is drawn.
        progress: is told (inputs done, inputs in all) after each batch.
        stop: is asked before each batch.

    Raises ParameterError for a bad argument, StoppedError when told to stop.
    """
    begin = time.perf_counter()
    _check(outcome, class_index, fill, steps, orders)
    skipped: dict[str, str] = {}
    if maps is None:
        maps, skipped = maps_to_judge(outcome, class_index)
    grid = outcome.analysis.framing.grid
    cells = {name: _checked(name, each, grid) for name, each in maps.items()}
    planned = plans(cells, grid, steps, orders, seed)
    taken = np.concatenate([plan.reshape(-1, *grid) for plan in planned.values()])
    logits, keys, passes = answers_without(outcome, taken, fill, progress, stop)
    probabilities = to_array(outcome.analysis.network.probabilities(logits, 1)[:, class_index])
    numbers = np.stack([probabilities, to_array(logits[:, class_index])])
    shares, curves, start = counts_of(grid[0] * grid[1], steps) / (grid[0] * grid[1]), [], 0
    for name, plan in planned.items():
        rows = slice(start, start + len(plan) * 2 * (steps + 1))
        unsound = int((~np.isfinite(cells[name])).sum()) if name in cells else 0
        curves.append(_curve(name, shares, numbers[:, rows].reshape(2, *plan.shape[:3]), len(set(keys[rows])), unsound))
        start = rows.stop
    return Curves(
        curves=tuple(curves), class_index=class_index, pooling=outcome.name, fill=fill,
        before=float(probabilities[0]), nothing=float(probabilities[steps]), skipped=skipped,
        passes=passes, seconds=time.perf_counter() - begin,
    )


def _check(outcome: Outcome, class_index: int, fill: str, steps: int = 1, orders: int = 1) -> None:
    outcome.analysis.network.check_class(class_index)
    if fill not in BATCHED:
        raise ParameterError(f"There is no fill {fill!r:.40} here; expected one of {', '.join(BATCHED)}.")
    if not _is_whole(steps) or not 1 <= steps <= MOST_STEPS:
        raise ParameterError(f"There are {steps!r:.40} steps; expected a whole number from 1 to {MOST_STEPS}.")
    if not _is_whole(orders) or orders < 1:
        raise ParameterError(f"There are {orders!r:.40} random orders; expected a whole number of at least 1.")


def _is_whole(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)


def _checked(name: str, cells: object, grid: tuple[int, int]) -> np.ndarray:
    if name in CONTROLS:
        raise ParameterError(f"A map is called {name!r}, as a control is; expected another name.")
    values = np.asarray(cells, dtype=np.float64)
    if values.shape != grid:
        raise ParameterError(f"The map {name!r:.60} has shape {values.shape}; expected {grid}.")
    return values


def _curve(name: str, shares: np.ndarray, numbers: np.ndarray, passes: int, unsound: int) -> Curve:
    """Of (2, orders, 2, steps + 1): probabilities and logits, of each order, for deletion and insertion."""
    areas = np.trapezoid(numbers[0], shares)
    (deletion, insertion), (deletion_logits, insertion_logits) = numbers.mean(1)
    (deletion_area, insertion_area), (deletion_spread, insertion_spread) = areas.mean(0), areas.std(0)
    return Curve(
        name=name, control=name in CONTROLS, shares=shares, deletion=deletion, insertion=insertion,
        deletion_logits=deletion_logits, insertion_logits=insertion_logits,
        deletion_area=float(deletion_area), insertion_area=float(insertion_area),
        deletion_spread=float(deletion_spread), insertion_spread=float(insertion_spread),
        passes=passes, unsound=unsound,
    )


# The photo seen through a map.


class Drop(NamedTuple):
    """What is left of a class's probability when the photo is seen through a map.

    Attributes:
        name: of the map.
        before, after: the probability of the photo, and of the photo seen through the map.
        drop: max(0, before - after) / before, 0 to 1; 0 where there was nothing to lose.
        increase: whether the probability rose.
        kept: the share of the photo that the map lets through. A map that is even lets all of it through and drops
            nothing: drops are to be compared at a like share.
        fill: what the rest was replaced by, key of `edits.FILLS`.
    """

    name: str
    before: float
    after: float
    drop: float
    increase: bool
    kept: float
    fill: str


def drops(
    outcome: Outcome, class_index: int, maps: Mapping[str, np.ndarray], fill: str = "blur",
    progress: Progress | None = None, stop: Stop | None = None,
) -> list[Drop]:
    """How much of the answer is lost when the photo is seen through each map: one forward pass a map.

    A. Chattopadhyay, A. Sarkar, P. Howlader, V. Balasubramanian, Grad-CAM++, WACV 2018, arXiv:1710.11063: each
    position is multiplied by the map's positive part over its maximum. What is missing to 1 is filled here, and not
    black; and positions are squares, not smoothed. NaN and infinity let nothing through.

    Args and raises: see `judged`.
    """
    _check(outcome, class_index, fill)
    grid = outcome.analysis.framing.grid
    through = {name: _ranged(_checked(name, each, grid)) for name, each in maps.items()}
    whole = np.zeros((1, *grid))
    taken = np.concatenate([whole, *(1 - each[None] for each in through.values())]).astype(np.float32)
    logits = answers_without(outcome, taken, fill, progress, stop)[0]
    before, *after = to_array(outcome.analysis.network.probabilities(logits, 1)[:, class_index]).tolist()
    return [
        Drop(name, before, left, max(0.0, before - left) / before if before > 0 else 0.0, left > before,
             float(each.mean()), fill)
        for (name, each), left in zip(through.items(), after, strict=True)
    ]


def _ranged(cells: np.ndarray) -> np.ndarray:
    """The positive part over its maximum; zeros where nothing is positive."""
    positive = np.where(np.isfinite(cells), np.maximum(cells, 0), 0)
    return positive / positive.max() if positive.any() else positive
