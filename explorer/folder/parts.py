"""Parts of the channel contributions of many photos: channels that are used together, shared out among a few parts.

The positive contributions X (N photos, C channels) are decomposed by non-negative matrix factorisation, X ~ W H (Lee
and Seung, Learning the parts of objects by non-negative matrix factorization, 1999, doi:10.1038/44565). Each channel is
then shared out among the parts, a fixed share each, the same for all photos. So what the parts hold of a photo's logit
adds up exactly, each part has its evidence map, and a head can be made without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from explorer.errors import ParameterError, StoppedError
from explorer.progress import Progress, Stop

FEWEST, MOST = 2, 10  # parts
CHOSEN_FROM = range(5, 8)  # fewer mix what is planted with the rest, more split it (docs/causes.md)
_HELD = 0.99  # of all positive contributions is held by the channels that are looked at
_TRIED = 300  # photos by which the number of parts is chosen
_PRESENT = 0.5  # of the strength that 95% of the photos stay below
_STEPS, _TOLERANCE = 500, 1e-3


class Tried(NamedTuple):
    """A number of parts: the share of X (its squares) that they explain, and how alike those of two halves are."""

    parts: int
    explained: float
    stability: float


@dataclass(frozen=True, eq=False)
class Parts:
    """Channels shared out among parts.

    Attributes:
        shares: (R, C) float32 from 0 to 1; of a channel they sum to 1, or to 0 where it adds next to nothing anywhere.
        explained: share of the squares of X that W H explains.
        tried: the numbers of parts that were looked at, where it was not given.
    """

    shares: np.ndarray
    explained: float
    tried: tuple[Tried, ...] = ()

    def strengths(self, values: np.ndarray) -> np.ndarray:
        """(N, R) float32: what each part holds of the contributions (N, C), in their unit."""
        return values @ self.shares.T


def present(strengths: np.ndarray, among: np.ndarray | None = None) -> np.ndarray:
    """(N,) bool: those of at least half the 95th percentile, of all strengths or of `among` them, (N,) bool."""
    reference = strengths if among is None or not among.any() else strengths[among]
    return strengths >= _PRESENT * float(np.quantile(reference, 0.95))


def decompose(
    positive: np.ndarray, parts: int | None = None, *, progress: Progress | None = None, stop: Stop | None = None
) -> Parts:
    """Share channels out among parts by what photos use together.

    Args:
        positive: (N, C), contributions; what is negative counts as 0.
        parts: how many; None chooses from 5 to 7 the number whose parts are most alike in two halves of the photos
            (mean cosine after matching).
        progress: called with the numbers of parts that are done, and all.

    Raises ParameterError for another number of parts, StoppedError where `stop` returned True.
    """
    x = np.maximum(positive, 0).astype(np.float32)
    kept = _channels_held(x)
    most = min(MOST, len(x) // 2, len(kept))
    if parts is not None and not FEWEST <= parts <= max(most, FEWEST):
        raise ParameterError(f"The number of parts is {parts!r}; expected {FEWEST} to {max(most, FEWEST)}.")
    tried: tuple[Tried, ...] = ()
    if parts is None:
        tried = _try_out(x[:, kept], [n for n in CHOSEN_FROM if n <= most] or [max(most, FEWEST)], progress, stop)
        parts = max(tried, key=lambda one: one.stability).parts
    w, h, explained = _factors(x[:, kept], parts)
    masses = h * w.mean(0)[:, None]  # (R, kept): what each part adds through each channel, in the mean
    shares = np.zeros((parts, x.shape[1]), np.float32)
    shares[:, kept] = masses / np.maximum(masses.sum(0), np.finfo(np.float32).tiny)
    return Parts(shares, explained, tried)


def _channels_held(x: np.ndarray) -> np.ndarray:
    """The fewest channels that hold 99% of all, in their order."""
    masses = x.sum(0, dtype=np.float64)
    order = np.argsort(-masses, kind="stable")
    count = int(np.searchsorted(np.cumsum(masses[order]), _HELD * masses.sum())) + 1
    return np.sort(order[:count])


def _factors(x: np.ndarray, parts: int) -> tuple[np.ndarray, np.ndarray, float]:
    """W (N, R), H (R, C), and the share of the squares that they explain; the same for the same X."""
    from sklearn.decomposition import NMF  # takes a second to import, and a page that links here needs none of it
    from threadpoolctl import threadpool_limits

    model = NMF(parts, init="nndsvda", max_iter=_STEPS, tol=_TOLERANCE, random_state=0)
    with threadpool_limits(1):  # on so small matrices threads wait for each other, beside other work for seconds
        w = model.fit_transform(x)
    total = float(np.square(x, dtype=np.float64).sum())
    return w, model.components_, 1 - float(model.reconstruction_err_) ** 2 / total if total else 0.0


def _try_out(x: np.ndarray, numbers: Sequence[int], progress: Progress | None, stop: Stop | None) -> tuple[Tried, ...]:
    order = np.random.default_rng(0).permutation(len(x))[:_TRIED]
    halves, tried = (x[order[::2]], x[order[1::2]]), []
    for done, parts in enumerate(numbers):
        if stop and stop():
            raise StoppedError(f"Stopped after {done} of {len(numbers)} numbers of parts.")
        (_, one, first), (_, other, second) = (_factors(half, parts) for half in halves)
        tried.append(Tried(parts, (first + second) / 2, _alike(one, other)))
        if progress:
            progress(done + 1, len(numbers))
    return tuple(tried)


def _alike(one: np.ndarray, other: np.ndarray) -> float:
    """Mean cosine of the rows of two matrices, matched so that it is largest."""
    from scipy.optimize import linear_sum_assignment  # likewise

    norms = [np.linalg.norm(rows, axis=1, keepdims=True) for rows in (one, other)]
    cosines = (one / np.maximum(norms[0], 1e-12)) @ (other / np.maximum(norms[1], 1e-12)).T
    return float(cosines[linear_sum_assignment(-cosines)].mean())
