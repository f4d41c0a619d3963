"""How far a map can be trusted: positions are taken out of the photo in its order, and the network runs again.

Every map of one analysis is judged by the same answer and beside the same controls, because a number alone says little:
how fast an answer falls depends on the photo and on what fills a position.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from explorer import CAM_METHODS
from explorer.analysis import Outcome
from explorer.analysis.memory import remembered
from explorer.arrays import positive_part, to_array
from explorer.checks import checked_key, checked_whole
from explorer.errors import MethodError, ParameterError
from explorer.progress import Progress, Stop
from explorer.questions.edited_photo import BATCHED, answers_to

MOST_STEPS = 200
CONTROLS = MappingProxyType({
    "random": "positions in a random order, averaged over several",
    "centre": "the position nearest to the middle first",
    "uniform": "no order at all: each step fades the whole photo evenly",
})
_REMEMBERED = 2_000_000  # numbers: logits of changed photos that an outcome keeps


def maps_to_judge(
    outcome: Outcome, class_index: int, poolings: Sequence[str] | None = None,
    methods: Sequence[str] = ("grad_cam", "layer_cam"),
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Maps (H, W) float64 of one class by name, as "evidence under GMP" or "Grad-CAM"; and why others are missing.

    Args:
        outcome: its pooling is the one under which the CAM methods work.
        poolings: keys of those whose evidence is judged; None is each there is (`Outcome.under_each_pooling`).
        methods: keys of CAM_METHODS.

    Returns: the maps, and by name one sentence for each that does not exist for this network.

    Raises ParameterError for a class, pooling or method that does not exist.
    """
    analysis = outcome.analysis
    analysis.network.check_class(class_index)
    maps: dict[str, np.ndarray] = {}
    skipped: dict[str, str] = {}
    if analysis.has_evidence:
        known = {other.pooling: other for other in outcome.under_each_pooling()}
        for key in known if poolings is None else poolings:
            judged = known.get(key) or analysis.under(key)
            maps[f"evidence under {judged.name}"] = to_array(judged.evidence(class_index).cells)
    elif poolings is None or poolings:
        skipped["evidence"] = analysis.no_evidence_reason
    for key in methods:
        try:
            maps[CAM_METHODS[key].name] = to_array(outcome.cam(key, class_index))
        except MethodError as error:
            skipped[CAM_METHODS[key].name] = str(error)
    return maps, skipped


# Deletion and insertion.


@dataclass(frozen=True, eq=False)
class Curve:
    """The answer as positions go, and as they come, in a map's order; arrays are float64 of shape (steps + 1,).

    Attributes:
        name: of the map, or key of CONTROLS.
        control: whether it is one of these.
        shares: of the photo that has been taken out, or put in, from 0 to 1.
        deletion: the class's probability with that share taken out, the strongest first: from the photo to nothing. A
            map that finds what the answer depends on makes it fall early.
        insertion: with that share put in, the strongest first: from nothing to the photo. It rises early.
        deletion_area, insertion_area: under the probabilities, by the trapezoid rule, 0 to 1: the lower, and the
            higher, the better.
    """

    name: str
    control: bool
    shares: np.ndarray
    deletion: np.ndarray
    insertion: np.ndarray
    deletion_area: float
    insertion_area: float

    @property
    def between(self) -> float:
        """The insertion area minus the deletion area, -1 to 1: above 0 where the order says something."""
        return self.insertion_area - self.deletion_area


class Gain(NamedTuple):
    """By how much a curve is better than another: its area above at insertion, and both areas together."""

    insertion: float
    between: float


@dataclass(frozen=True, eq=False)
class Curves:
    """Several maps of one class, judged alike.

    Attributes:
        curves: of the maps as they were given, then of the controls.
        pooling: the outcome's name: under it the network answered.
        fill: what filled a position, key of `edited_photo.FILLS`.
        before, nothing: the class's probability for the photo, and for the photo without anything.
        passes: inputs that were run for all of them; what was known from before is not counted.
        seconds: that this took.
    """

    curves: tuple[Curve, ...]
    pooling: str
    fill: str
    before: float
    nothing: float
    passes: int
    seconds: float

    def of(self, name: str) -> Curve:
        """The curve of that name. Raises ParameterError naming those that there are."""
        curves = {curve.name: curve for curve in self.curves}
        return curves[checked_key(name, curves, "curve")]

    def gain(self, name: str, control: str = "random") -> Gain:
        """By how much a map's areas are better than a control's; negative where they are worse."""
        own, other = self.of(name), self.of(control)
        return Gain(own.insertion_area - other.insertion_area, own.between - other.between)


def removal_curves(
    outcome: Outcome, class_index: int, maps: Mapping[str, np.ndarray], fill: str = "blur", steps: int = 20,
    orders: int = 4, seed: int = 0, progress: Progress | None = None, stop: Stop | None = None,
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
        maps: (H, W) of any sign and scale by name; only their order counts. Positions that are level with each other
            go in an order that is drawn once for all maps; NaN and infinity go last.
        fill: "blur" or "mean", see `edited_photo.FILLS`.
        steps: at step k, round(k * H * W / steps) positions are out (halves go up), 1 to 200.
        orders: random ones to average, at least 1; each second one is the one before it backwards, which needs the same
            passes.
        seed: of what is drawn.
        progress, stop: after and before each batch of inputs, see `explorer.progress`.

    Raises ParameterError for a bad argument, StoppedError when `stop` returns True.
    """
    begin = time.perf_counter()
    outcome.analysis.network.check_class(class_index)
    checked_key(fill, BATCHED, "fill")
    checked_whole(steps, 1, MOST_STEPS, "number of steps")
    checked_whole(orders, 1, None, "number of random orders")
    grid = outcome.analysis.framing.grid
    cells = {name: _checked(name, values, grid) for name, values in maps.items()}
    plans = _plans(cells, grid, steps, orders, seed)
    taken = np.concatenate([plan.reshape(-1, *grid) for plan in plans.values()])
    probabilities, passes = _probabilities_without(outcome, class_index, taken, fill, progress, stop)
    shares = _counts(grid[0] * grid[1], steps) / (grid[0] * grid[1])
    of_orders = iter(probabilities.reshape(-1, 2, steps + 1))
    return Curves(
        curves=tuple(_curve(name, shares, np.stack(list(islice(of_orders, len(plan)))))
                     for name, plan in plans.items()),
        pooling=outcome.name, fill=fill, before=float(probabilities[0]), nothing=float(probabilities[steps]),
        passes=passes, seconds=time.perf_counter() - begin,
    )


def _checked(name: str, cells: object, grid: tuple[int, int]) -> np.ndarray:
    if name in CONTROLS:
        raise ParameterError(f"A map is called {name!r}, as a control is; expected another name.")
    values = np.asarray(cells, dtype=np.float64)
    if values.shape != grid:
        raise ParameterError(f"The map {name!r:.60} has shape {values.shape}; expected {grid}.")
    return values


def _curve(name: str, shares: np.ndarray, probabilities: np.ndarray) -> Curve:
    """Of probabilities (orders, 2, steps + 1): of each order, for deletion and insertion."""
    deletion, insertion = probabilities.mean(0)
    return Curve(name, name in CONTROLS, shares, deletion, insertion, float(np.trapezoid(deletion, shares)),
                 float(np.trapezoid(insertion, shares)))


def _counts(positions: int, steps: int) -> np.ndarray:
    """(steps + 1,) int: how many positions are out at each step, round(k * positions / steps), halves up."""
    return (2 * np.arange(steps + 1) * positions + steps) // (2 * steps)


def _plans(cells: Mapping[str, np.ndarray], grid: tuple[int, int], steps: int, orders: int, seed: int
           ) -> dict[str, np.ndarray]:
    """How much of each position is taken out, 0 to 1: by name float32 (orders, 2, steps + 1, H, W).

    The second axis is deletion and insertion: the strongest positions taken out, and all but these. One for each of the
    cells, in their order, then one for each of CONTROLS.
    """
    (rows, columns), positions = grid, grid[0] * grid[1]
    counts, drawn = _counts(positions, steps), np.random.default_rng(seed)
    ties = drawn.permutation(positions)
    forwards = [drawn.permutation(positions) for _ in range((orders + 1) // 2)]
    randoms = [order for forward in forwards for order in (forward, forward[::-1])][:orders]
    # Twice the distance from the middle, squared: whole numbers, so that what is level is level.
    down, across = 2 * np.arange(rows) - rows + 1, 2 * np.arange(columns) - columns + 1
    centre = -(down[:, None] ** 2 + across ** 2).astype(np.float64)
    plans = {name: _sharp([_order(values, ties)], counts) for name, values in cells.items()}
    plans["random"] = _sharp(randoms, counts)
    plans["centre"] = _sharp([_order(centre, ties)], counts)
    plans["uniform"] = np.stack([counts, positions - counts])[None, ..., None].repeat(positions, 3) / positions
    return {name: plan.astype(np.float32).reshape(*plan.shape[:3], *grid) for name, plan in plans.items()}


def _order(cells: np.ndarray, ties: np.ndarray) -> np.ndarray:
    """(H * W,): the positions, the strongest first; level ones by their number in `ties`, what is not finite last."""
    return np.lexsort((ties, -np.where(np.isfinite(cells), cells, -np.inf).ravel()))


def _sharp(orders: Sequence[np.ndarray], counts: np.ndarray) -> np.ndarray:
    """(orders, 2, steps + 1, H * W) bool: the first so many of each order, and all but these."""
    ranks = np.argsort(np.stack(orders), 1)
    out = ranks[:, None] < counts[:, None]
    return np.stack([out, ~out], 1)


def _probabilities_without(
    outcome: Outcome, class_index: int, taken: np.ndarray, fill: str, progress: Progress | None, stop: Stop | None
) -> tuple[np.ndarray, int]:
    """(n,) float64: the class's probability for photos of which these shares (n, H, W) float32 are taken out.

    Equal ones are run once, and what the outcome keeps from before is not run again. Second, how many were run.
    """
    known = _known_logits(outcome, fill)
    keys = [hashlib.blake2b(shares.tobytes(), digest_size=16).digest() for shares in taken]  # short: they are kept
    logits = {key: row for key in keys if (row := known.get(key)) is not None}
    logits |= {key: outcome.logits for key, shares in zip(keys, taken, strict=True) if not shares.any()}
    missing = {key: n for n, key in enumerate(keys) if key not in logits}
    if missing:
        rows = answers_to(outcome, torch.from_numpy(taken[list(missing.values())]), fill, progress, stop)
        new = dict(zip(missing, rows, strict=True))
        logits |= new
        if (len(known) + len(new)) * len(outcome.logits) > _REMEMBERED:
            known.clear()
        known.update(new)
    rows = torch.stack([logits[key] for key in keys])
    return to_array(outcome.analysis.network.probabilities(rows, 1)[:, class_index]), len(missing)


@remembered
def _known_logits(outcome: Outcome, fill: str) -> dict[bytes, Tensor]:
    return {}


# The photo seen through a map.


class ProbabilityDrop(NamedTuple):
    """What is left of a class's probability when the photo is seen through a map.

    Attributes:
        name: of the map.
        after: the probability of the photo seen through the map.
        drop: max(0, before - after) / before, 0 to 1; 0 where there was nothing to lose.
        increase: whether the probability rose.
        kept: the share of the photo that the map lets through. A uniform map lets all of it through and drops
            nothing, so compare drops at similar shares.
    """

    name: str
    after: float
    drop: float
    increase: bool
    kept: float


def probability_drops(
    outcome: Outcome, class_index: int, maps: Mapping[str, np.ndarray], fill: str = "blur", stop: Stop | None = None
) -> list[ProbabilityDrop]:
    """How much of the answer is lost when the photo is seen through each map: one forward pass a map.

    A. Chattopadhyay, A. Sarkar, P. Howlader, V. Balasubramanian, Grad-CAM++, WACV 2018, arXiv:1710.11063: each
    position is multiplied by the map's positive part over its maximum. What is missing to 1 is filled here, and not
    black; and positions are squares, not smoothed. NaN and infinity let nothing through.

    Args and raises: see `removal_curves`.
    """
    outcome.analysis.network.check_class(class_index)
    checked_key(fill, BATCHED, "fill")
    grid = outcome.analysis.framing.grid
    through = {name: _ranged(_checked(name, values, grid)) for name, values in maps.items()}
    taken = np.stack([np.zeros(grid), *(1 - values for values in through.values())]).astype(np.float32)
    before, *rest = _probabilities_without(outcome, class_index, taken, fill, None, stop)[0].tolist()
    return [
        ProbabilityDrop(name, after, max(0.0, before - after) / before if before > 0 else 0.0, after > before,
                        float(values.mean()))
        for (name, values), after in zip(through.items(), rest, strict=True)
    ]


def _ranged(cells: np.ndarray) -> np.ndarray:
    """The positive part over its maximum; zeros where nothing is positive."""
    positive = positive_part(cells)
    return positive / positive.max() if positive.any() else positive
