"""Small sets of positions that do something, found by asking a network about many sets at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from explorer.analysis import Outcome
from explorer.errors import ParameterError, StoppedError
from explorer.progress import Progress, Stop
from explorer.questions.edited_photo import analysed_again, answers_to, changed_photo, likewise

Margins = Callable[[Sequence[Sequence[int]]], np.ndarray]  # sets of positions, each asked about: above 0 where it does

_AT_ONCE = 16  # sets of an order that are asked about together
_STEPS = 64  # sizes of sets that an order is first tried with, where it holds many positions
_POOL = 24  # positions that are asked about again after each step of `measured`
_FIRST = 96  # positions that it begins with
_ROUNDS = 25  # steps in which it would take all positions
_FURTHER = 2  # times as many positions as the smallest set so far: a search that has come so far finds no smaller one
_EXPECTED = 8  # inputs for each position: what a search hardly ever needs, for its progress
_ROUNDING = 1e-9  # by which a share may be missed
OWN, MEASURED = "your own order", "measured at the input"  # ways to search, by their names


class Tried(NamedTuple):
    """One way to search: its name, and the sizes of the set it came to first and of what was left of it and verified.

    Both are None where it found nothing, or nothing smaller than was known.
    """

    name: str
    first: int | None
    fewest: int | None


class Verified(NamedTuple):
    """A set of positions, and what is said of the photo that was changed by it."""

    chosen: list[int]
    said: Outcome


class Search:
    """Looks for the smallest set of positions for which a margin of the logits is above 0.

    Args:
        margin: (n, classes) to (n,).
        taken: the set, (..., H, W) bool, to what is taken out of the photo.

    Attributes:
        passes: inputs that the network was run on, in batches or alone.
        tried: the ways to search, in their order.
    """

    def __init__(
        self, outcome: Outcome, fill: str, most: float, margin: Callable[[Tensor], Tensor],
        taken: Callable[[np.ndarray], np.ndarray], progress: Progress | None, stop: Stop | None,
    ) -> None:
        if isinstance(most, bool) or not isinstance(most, (int, float)) or not 0 < most <= 1:
            raise ParameterError(f"The share of positions to try is {most!r}; expected a number above 0, up to 1.")
        self.passes = 0
        self.tried: list[Tried] = []
        self._outcome, self._fill = outcome, fill
        self._margin, self._taken = margin, taken
        self._progress, self._stop = progress, stop
        self._grid = outcome.analysis.framing.grid
        self._positions = self._grid[0] * self._grid[1]
        self._limit = max(1, int(most * self._positions + _ROUNDING))

    def smallest(self, maps: dict[str, np.ndarray]) -> Verified | None:
        """By each map, its largest positions first, then by measuring, unless the map is someone's own."""
        orders = {name: np.argsort(-np.nan_to_num(each, nan=-np.inf), axis=None, kind="stable").tolist()
                  for name, each in maps.items()}
        best = self._verified([]) if self._margins([[]])[0] > 0 else None
        for name, order in orders.items():
            best = self._improved(name, by_order(self._margins, order, self._limit), best)
        if OWN not in orders:
            most = self._limit if best is None else min(self._limit, _FURTHER * len(best.chosen))
            best = self._improved(MEASURED, measured(self._margins, next(iter(orders.values())), most), best)
        self._tell(self._expected)
        return best

    def _improved(self, name: str, found: Iterator[list[int]], best: Verified | None) -> Verified | None:
        """A verified set that is smaller than the best so far, if one comes of the sets that are found; else the best.

        Where a set's smallest part is not confirmed on the photo, the larger ones are asked about, then the next set.
        """
        if best is not None and len(best.chosen) <= 1:  # none at all has been asked about
            return best
        first = None
        for each in found:
            first = first or len(each)
            smaller = [part for part in thinned(self._margins, each) if best is None or len(part) < len(best.chosen)]
            verified = next(filter(None, map(self._verified, smaller)), None)
            if verified or not smaller:
                self.tried.append(Tried(name, first, verified and len(verified.chosen)))
                return verified or best
        self.tried.append(Tried(name, first, None))
        return best

    def _margins(self, sets: Sequence[Sequence[int]]) -> np.ndarray:
        """(n,): of each set, at the network's input."""
        if not sets:
            return np.zeros(0)
        shares = torch.from_numpy(np.stack([self.taken_out(each) for each in sets]).astype(np.float32))
        start = self.passes
        logits = answers_to(self._outcome, shares, self._fill, lambda done, _: self._tell(start + done), self._stop)
        self.passes += len(sets)
        return self._margin(logits).numpy().astype(np.float64)

    def _verified(self, chosen: list[int]) -> Verified | None:
        """The set, once the network has confirmed it on the changed photo itself; None where it does not."""
        if self._stop is not None and self._stop():
            raise StoppedError(f"Stopped after {self.passes} inputs.")
        analysis = self._outcome.analysis
        again = analysed_again(analysis, changed_photo(analysis, self.taken_out(chosen), self._fill))
        self.passes += 1
        self._tell(self.passes)
        said = likewise(self._outcome, again)
        return Verified(chosen, said) if float(self._margin(said.logits[None])[0]) > 0 else None

    def on_grid(self, chosen: Sequence[int]) -> np.ndarray:
        """(H, W) bool of numbers of positions, row by row."""
        found = np.zeros(self._positions, bool)
        found[list(chosen)] = True
        return found.reshape(self._grid)

    def taken_out(self, chosen: Sequence[int]) -> np.ndarray:
        """(H, W) bool: what a set of positions takes out of the photo."""
        return self._taken(self.on_grid(chosen))

    @property
    def _expected(self) -> int:
        return _EXPECTED * self._positions

    def _tell(self, done: int) -> None:
        if self._progress is not None:
            self._progress(min(done, self._expected), self._expected)


def by_order(margins: Margins, order: Sequence[int], most: int) -> Iterator[list[int]]:
    """The first positions of an order, 1, 2, 3... up to `most` of them, wherever so many do it.

    Of an order that is longer than some dozens, sizes are tried in growing steps, and all between the last that did
    not and the first that did.
    """
    sizes, before = _sizes(min(most, len(order))), 0
    for start in range(0, len(sizes), _AT_ONCE):
        tried = sizes[start : start + _AT_ONCE]
        for size, margin in zip(tried, margins([order[:size] for size in tried]), strict=True):
            if margin > 0:
                between = list(range(before + 1, size))
                yield from (list(order[:n]) for n, each in zip(between, _asked(margins, order, between), strict=True)
                            if each > 0)
                yield list(order[:size])
            before = size


def measured(margins: Margins, candidates: Sequence[int], most: int) -> Iterator[list[int]]:
    """Sets that are grown greedily, from 1 to `most` positions, wherever they do it.

    Every candidate is asked about alone; the best are taken, a few at a time, and those that come next are asked about
    again on top of what was taken. The others are supposed to have moved as these did.

    Args:
        candidates: positions, those likeliest to be of use first: of many, only the first are asked about.
    """
    taken: list[int] = []
    step = max(2, len(candidates) // _ROUNDS)
    known = dict.fromkeys(candidates[:_FIRST], 0.0)
    while known and len(taken) < most:
        asked = _best_first(known)[:_POOL] if taken else list(known)
        found = np.nan_to_num(margins([[*taken, each] for each in asked]), nan=-np.inf)
        moved = float(np.median([now - known[each] for each, now in zip(asked, found, strict=True)])) if taken else 0.0
        for each in known:
            known[each] += moved if np.isfinite(moved) else 0.0
        known.update(zip(asked, found.tolist(), strict=True))
        best = asked[int(found.argmax())]
        if known[best] > 0:
            yield [*taken, best]
        for each in _best_first(known)[:step]:
            taken.append(each)
            del known[each]


def thinned(margins: Margins, chosen: Sequence[int]) -> list[list[int]]:
    """A set that does it, and ever smaller ones in it that still do, the smallest first.

    In each round every position is left out alone; those that can be spared are then left out together, the least
    missed first, as many as can be. Of the smallest set no single position can be left out.
    """
    trail = [list(chosen)]
    while trail[-1]:
        now = trail[-1]
        alone = margins([_without(now, [each]) for each in now])
        spare = [now[n] for n in np.argsort(-alone, kind="stable") if alone[n] > 0]
        if not spare:
            break
        together = margins([_without(now, spare[:count]) for count in range(2, len(spare) + 1)])
        count = max([1, *(n for n, margin in enumerate(together, 2) if margin > 0)])
        trail.append(_without(now, spare[:count]))
    return trail[::-1]


def _asked(margins: Margins, order: Sequence[int], sizes: Sequence[int]) -> Sequence[float]:
    return margins([order[:size] for size in sizes]) if sizes else []


def _sizes(most: int) -> list[int]:
    """1, 2, 3... up to `most`, in growing steps where these would be too many."""
    if most <= _STEPS:
        return list(range(1, most + 1))
    return sorted({round(size) for size in np.geomspace(1, most, _STEPS)})


def _best_first(known: dict[int, float]) -> list[int]:
    return sorted(known, key=lambda each: -known[each])


def _without(chosen: Sequence[int], left_out: Sequence[int]) -> list[int]:
    return [each for each in chosen if each not in left_out]
