"""The search behind `flip`: small sets of positions that change or keep an answer, many sets tried at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from explorer.analysis import Outcome
from explorer.arrays import to_array
from explorer.checks import checked_share
from explorer.errors import StoppedError
from explorer.progress import Progress, Stop
from explorer.questions.edited_photo import analysed_again, answers_to, changed_photo

Margins = Callable[[Sequence[Sequence[int]]], np.ndarray]  # of sets of positions: above 0 where a set succeeds

_AT_ONCE = 16  # sets of an order that are tried together
_STEPS = 64  # sizes of sets that an order is first tried with, where it holds many positions
_POOL = 24  # positions that are tried again after each step of `measured`
_FIRST = 96  # positions that it begins with
_ROUNDS = 25  # steps in which it would take all positions
_FURTHER = 2  # times as many positions as the smallest set so far: a search that has come so far finds no smaller one
_EXPECTED = 8  # inputs for each position: what a search hardly ever needs, for its progress
_ROUNDING = 1e-9  # by which a share may be missed


class VerifiedSet(NamedTuple):
    """A set of positions, and the outcome of the photo that was changed by it."""

    chosen: list[int]
    outcome: Outcome


class Search:
    """Looks for the smallest set of positions for which a margin of the logits is above 0.

    Args:
        outcome, fill, most, progress, stop: see `explorer.questions.flip.smallest_flip`.
        margin: (n, classes) to (n,).
        taken: the set, (..., H, W) bool, to what is taken out of the photo.

    Attributes:
        passes: inputs that the network was run on, in batches or alone.
    """

    def __init__(
        self, outcome: Outcome, fill: str, most: float, margin: Callable[[Tensor], Tensor],
        taken: Callable[[np.ndarray], np.ndarray], progress: Progress | None, stop: Stop | None,
    ) -> None:
        self.passes = 0
        self.fill, self.most = fill, checked_share(most, "share of positions to try")
        self._outcome = outcome
        self._margin, self._taken = margin, taken
        self._progress, self._stop = progress, stop
        self._grid = outcome.analysis.framing.grid
        self._positions = self._grid[0] * self._grid[1]
        self._limit = max(1, int(most * self._positions + _ROUNDING))
        self._expected = _EXPECTED * self._positions

    def smaller_and_smaller(self, maps: Sequence[np.ndarray]) -> Iterator[VerifiedSet | None]:
        """By each map, its largest positions first, then by measuring: the best so far, None before there is one."""
        orders = [np.argsort(-np.nan_to_num(cells, nan=-np.inf), axis=None, kind="stable").tolist() for cells in maps]
        best = self._verified([]) if self._margins([[]])[0] > 0 else None
        for order in orders:
            for better in self._improved(by_order(self._margins, order, self._limit), best):
                yield (best := better)
            yield best
        most = self._limit if best is None else min(self._limit, _FURTHER * len(best.chosen))
        yield from self._improved(measured(self._margins, orders[0], most), best)
        self._report(self._expected)

    def _improved(self, candidates: Iterator[list[int]], best: VerifiedSet | None) -> Iterator[VerifiedSet]:
        """A verified set that is smaller than the best so far, if one comes of the candidates.

        The very first comes as it is before it comes thinned. Where a set's smallest part is not confirmed on the
        photo, the larger ones are tried, then the next set.
        """
        if best is not None and len(best.chosen) <= 1:  # none at all has been tried
            return
        for candidate in candidates:
            if best is None and (rough := self._verified(candidate)):
                yield rough
            smaller = [part for part in thinned(self._margins, candidate)
                       if best is None or len(part) < len(best.chosen)]
            verified = next(filter(None, map(self._verified, smaller)), None)
            if verified:
                yield verified
            if verified or not smaller:
                return

    def _margins(self, sets: Sequence[Sequence[int]]) -> np.ndarray:
        """(n,): of each set, at the network's input."""
        if not sets:
            return np.zeros(0)
        shares = torch.from_numpy(np.stack([self._taken_out(chosen) for chosen in sets]).astype(np.float32))
        start = self.passes
        logits = answers_to(self._outcome, shares, self.fill, lambda done, _: self._report(start + done), self._stop)
        self.passes += len(sets)
        return to_array(self._margin(logits))

    def _verified(self, chosen: list[int]) -> VerifiedSet | None:
        """The set, once the network has confirmed it on the changed photo itself; None where it does not."""
        if self._stop is not None and self._stop():
            raise StoppedError(f"Stopped after {self.passes} inputs.")
        analysis = self._outcome.analysis
        changed = analysed_again(analysis, changed_photo(analysis, self._taken_out(chosen), self.fill))
        self.passes += 1
        self._report(self.passes)
        outcome = self._outcome.on(changed)
        return VerifiedSet(chosen, outcome) if float(self._margin(outcome.logits[None])[0]) > 0 else None

    def on_grid(self, chosen: Sequence[int]) -> np.ndarray:
        """(H, W) bool of numbers of positions, row by row."""
        cells = np.zeros(self._positions, bool)
        cells[list(chosen)] = True
        return cells.reshape(self._grid)

    def _taken_out(self, chosen: Sequence[int]) -> np.ndarray:
        """(H, W) bool: what a set of positions takes out of the photo."""
        return self._taken(self.on_grid(chosen))

    def _report(self, done: int) -> None:
        if self._progress is not None:
            self._progress(min(done, self._expected), self._expected)


def by_order(margins: Margins, order: Sequence[int], most: int) -> Iterator[list[int]]:
    """The first positions of an order, 1, 2, 3... up to `most` of them, wherever so many succeed.

    Of an order that is longer than some dozens, sizes are tried in growing steps, and all between the last that failed
    and the first that succeeded.
    """
    sizes, before = _sizes(min(most, len(order))), 0
    for start in range(0, len(sizes), _AT_ONCE):
        tried = sizes[start : start + _AT_ONCE]
        for size, margin in zip(tried, margins([order[:size] for size in tried]), strict=True):
            if margin > 0:
                between = list(range(before + 1, size))
                for n, inner in zip(between, margins([order[:n] for n in between]), strict=True):
                    if inner > 0:
                        yield list(order[:n])
                yield list(order[:size])
            before = size


def measured(margins: Margins, candidates: Sequence[int], most: int) -> Iterator[list[int]]:
    """Sets that are grown greedily, from 1 to `most` positions, wherever they succeed.

    Every candidate is tried alone; the best are taken, a few at a time, and those that come next are tried again on
    top of what was taken. The others are supposed to have moved as these did.

    Args:
        candidates: positions, those likeliest to be of use first: of many, only the first are tried.
    """
    taken: list[int] = []
    step = max(2, len(candidates) // _ROUNDS)
    known = dict.fromkeys(candidates[:_FIRST], 0.0)
    while known and len(taken) < most:
        pool = _best_first(known)[:_POOL] if taken else list(known)
        values = np.nan_to_num(margins([[*taken, position] for position in pool]), nan=-np.inf)
        moved = float(np.median([now - known[place] for place, now in zip(pool, values, strict=True)])) if taken else 0
        for position in known:
            known[position] += moved if np.isfinite(moved) else 0.0
        known.update(zip(pool, values.tolist(), strict=True))
        best = pool[int(values.argmax())]
        if known[best] > 0:
            yield [*taken, best]
        for position in _best_first(known)[:step]:
            taken.append(position)
            del known[position]


def thinned(margins: Margins, chosen: Sequence[int]) -> list[list[int]]:
    """A set that succeeds, and ever smaller ones in it that still do, the smallest first.

    In each round every position is left out alone; those that can be spared are then left out together, the least
    missed first, as many as can be. Of the smallest set no single position can be left out.
    """
    trail = [list(chosen)]
    while trail[-1]:
        now = trail[-1]
        alone = margins([_without(now, [position]) for position in now])
        spare = [now[n] for n in np.argsort(-alone, kind="stable") if alone[n] > 0]
        if not spare:
            break
        together = margins([_without(now, spare[:count]) for count in range(2, len(spare) + 1)])
        count = max([1, *(n for n, margin in enumerate(together, 2) if margin > 0)])
        trail.append(_without(now, spare[:count]))
    return trail[::-1]


def _sizes(most: int) -> list[int]:
    """1, 2, 3... up to `most`, in growing steps where these would be too many."""
    if most <= _STEPS:
        return list(range(1, most + 1))
    return sorted({round(size) for size in np.geomspace(1, most, _STEPS)})


def _best_first(known: dict[int, float]) -> list[int]:
    return sorted(known, key=lambda position: -known[position])


def _without(chosen: Sequence[int], left_out: Sequence[int]) -> list[int]:
    return [position for position in chosen if position not in left_out]
