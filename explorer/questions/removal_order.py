"""In which order positions leave a photo, and what the network says meanwhile."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from explorer.analysis import Outcome
from explorer.progress import Progress, Stop
from explorer.questions.edited_photo import answers_to

CONTROLS = MappingProxyType({
    "random": "positions in a random order, averaged over several",
    "centre": "the position nearest to the middle first",
    "uniform": "no order at all: each step fades the whole photo evenly",
})
_REMEMBERED = 2_000_000  # numbers: logits of changed photos that an outcome keeps


def counts_of(positions: int, steps: int) -> np.ndarray:
    """(steps + 1,) int: how many positions are out at each step, round(k * positions / steps), halves up."""
    return (2 * np.arange(steps + 1) * positions + steps) // (2 * steps)


def plans(cells: Mapping[str, np.ndarray], grid: tuple[int, int], steps: int, orders: int, seed: int
          ) -> dict[str, np.ndarray]:
    """How much of each position is taken out, 0 to 1: by name float32 (orders, 2, steps + 1, H, W).

    The second axis is deletion and insertion: the strongest positions taken out, and all but these.

    Args:
        cells: (H, W) float64 by name; what is level, and what is not finite and so last, goes in an order that is drawn
            once for all.
        grid: (H, W).
        steps: how many.
        orders: random ones; each second one is the one before it backwards, whose steps are the same inputs.
        seed: of what is drawn.

    Returns: one for each of the cells, in their order, then one for each of CONTROLS.
    """
    (rows, columns), positions = grid, grid[0] * grid[1]
    counts, drawn = counts_of(positions, steps), np.random.default_rng(seed)
    ties = drawn.permutation(positions)
    forwards = [drawn.permutation(positions) for _ in range((orders + 1) // 2)]
    randoms = [order for each in forwards for order in (each, each[::-1])][:orders]
    # Twice the distance from the middle, squared: whole numbers, so that what is level is level.
    down, across = 2 * np.arange(rows) - rows + 1, 2 * np.arange(columns) - columns + 1
    centre = -(down[:, None] ** 2 + across ** 2).astype(np.float64)
    found = {name: _sharp([_order(each, ties)], counts) for name, each in cells.items()}
    found["random"] = _sharp(randoms, counts)
    found["centre"] = _sharp([_order(centre, ties)], counts)
    found["uniform"] = np.stack([counts, positions - counts])[None, ..., None].repeat(positions, 3) / positions
    return {name: plan.astype(np.float32).reshape(*plan.shape[:3], *grid) for name, plan in found.items()}


def _order(cells: np.ndarray, ties: np.ndarray) -> np.ndarray:
    """(H * W,): the positions, the strongest first; level ones by their number in `ties`."""
    return np.lexsort((ties, -np.where(np.isfinite(cells), cells, -np.inf).ravel()))


def _sharp(orders: Sequence[np.ndarray], counts: np.ndarray) -> np.ndarray:
    """(orders, 2, steps + 1, H * W) bool: the first so many of each order, and all but these."""
    ranks = np.argsort(np.stack(orders), 1)
    out = ranks[:, None] < counts[:, None]
    return np.stack([out, ~out], 1)


def answers_without(
    outcome: Outcome, taken: np.ndarray, fill: str, progress: Progress | None = None, stop: Stop | None = None
) -> tuple[Tensor, list[bytes], int]:
    """The logits (n, classes) for photos of which these shares (n, H, W) float32 are taken out; equal ones are run
    once, and what the outcome was asked before is not run again.

    Returns: the logits, what tells the photos apart, and how many were run. Raises: see `edits.answers_to`.
    """
    known: dict[bytes, Tensor] = outcome.remember(("without positions", fill), dict)
    keys = [_key(each) for each in taken]
    found = {key: row for key in keys if (row := known.get(key)) is not None}
    found[_key(np.zeros_like(taken[0]))] = outcome.logits
    missing = {key: n for n, key in enumerate(keys) if key not in found}
    if missing:
        rows = answers_to(outcome, torch.from_numpy(taken[list(missing.values())]), fill, progress, stop)
        new = dict(zip(missing, rows, strict=True))
        found |= new
        if (len(known) + len(new)) * len(outcome.logits) > _REMEMBERED:
            known.clear()
        known.update(new)
    return torch.stack([found[key] for key in keys]), keys, len(missing)


def _key(shares: np.ndarray) -> bytes:
    return hashlib.blake2b(shares.tobytes(), digest_size=16).digest()  # short: they are kept
