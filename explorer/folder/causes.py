"""Causes: parts of the channel contributions to a class that many photos share.

The positive contributions X (N photos, C channels) are decomposed by non-negative matrix factorisation, X ~ W H (Lee
and Seung, Learning the parts of objects by non-negative matrix factorization, 1999, doi:10.1038/44565). Each channel is
then shared out among the parts, a fixed share each, the same for all photos. So what the parts hold of a photo's logit
adds up exactly, each part has its evidence map, and a head can be made without it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import norm, spearmanr
from sklearn.decomposition import NMF
from threadpoolctl import threadpool_limits

from explorer.errors import ParameterError, RunError, StoppedError
from explorer.folder.contributions import Contributions
from explorer.progress import Progress, Stop

FEWEST, MOST = 2, 10  # parts
CHOSEN_FROM = range(4, 9)  # fewer mix what is planted with the rest, more split it (docs/causes.md)
FEWEST_PHOTOS = 8  # fewer share nothing that could be called a cause
_HELD = 0.99  # of all positive contributions is held by the channels that are looked at
_TRIED = 300  # photos by which the number of parts is chosen
_STEPS, _TOLERANCE = 500, 1e-3
_PRESENT = 0.5  # of the strength that 95% of the photos stay below
_CONFIDENCE = 0.95
_LOOKS = ("brightness", "sharpness", "border")


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


class Difference(NamedTuple):
    """How much more common something is among wrong photos than among right ones: two shares, and their difference.

    `low` and `high` bound the difference with a confidence of 95% for all causes together: the level is divided among
    them (Newcombe, Interval estimation for the difference between independent proportions, 1998, method 10).
    """

    wrong: float
    right: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Cause:
    """One part, and the photos that have it.

    Attributes:
        shares: (C,) of each channel, 0 to 1.
        strengths: (N,) logits, what it adds to each photo's logit.
        mean: of the strengths, logits; share: of all positive contributions.
        threshold: logits from which a photo has it: half of what 95% of the photos stay below.
        channels: by what they add through it, the largest first, and `added`, their mean logits.
        common: among wrong and right photos; None where there are too few labels.
        extra: mean strength of wrong photos less that of right ones, logits; None likewise.
        looks: Spearman's rank correlation of its strength with brightness, sharpness, and evidence at the border.
        labels: the commonest labels of the photos that have it: class and number of photos.
    """

    shares: np.ndarray
    strengths: np.ndarray
    mean: float
    share: float
    threshold: float
    channels: np.ndarray
    added: np.ndarray
    common: Difference | None
    extra: float | None
    looks: dict[str, float]
    labels: tuple[tuple[int, int], ...]

    @property
    def present(self) -> np.ndarray:
        """(N,) bool: the photos that have it."""
        return self.strengths >= self.threshold

    @property
    def strongest(self) -> np.ndarray:
        """(N,) places of the photos, those with most of it first."""
        return np.argsort(-self.strengths, kind="stable")

    @property
    def suspicious(self) -> bool:
        """Whether it is more common among wrong photos than chance makes it."""
        return self.common is not None and self.common.low > 0


@dataclass(frozen=True, eq=False)
class Causes:
    """The causes of a class, those first that add most to wrong answers beyond what they add to right ones.

    Attributes:
        contributions: that they are parts of.
        parts: as they were shared out.
        all: the causes.
    """

    contributions: Contributions
    parts: Parts
    all: tuple[Cause, ...]


def causes_of(
    contributions: Contributions, parts: int | None = None, progress: Progress | None = None, stop: Stop | None = None
) -> Causes:
    """The causes behind a class's logit, or behind its lead over a rival.

    Args:
        contributions: of the photos that the network calls the class.
        parts: how many, 2 to 10; None chooses, see `decompose`.

    Raises:
        ParameterError: another number of parts.
        RunError: too few photos.
        StoppedError: `stop` returned True.
    """
    values = contributions.values
    if len(values) < FEWEST_PHOTOS:
        raise RunError(f"{len(values)} photos are called this class; expected at least {FEWEST_PHOTOS} to find what "
                       "they share: choose another class, or scan more photos.")
    made = decompose(np.maximum(values, 0), parts, progress=progress, stop=stop)
    strengths = made.strengths(values)
    positive = float(np.maximum(values, 0).sum(1).mean())
    every = [_cause(contributions, shares, strengths[:, n], positive, len(made.shares))
             for n, shares in enumerate(made.shares)]
    order = sorted(every, key=lambda cause: (-(cause.extra or 0.0), -cause.mean))
    return Causes(contributions, made, tuple(order))


def decompose(
    positive: np.ndarray, parts: int | None = None, *, progress: Progress | None = None, stop: Stop | None = None
) -> Parts:
    """Share channels out among parts by what photos use together.

    Args:
        positive: (N, C), contributions; what is negative counts as 0.
        parts: how many; None chooses from 4 to 8 the number whose parts are most alike in two halves of the photos
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
        tried = _try_out(x[:, kept], [n for n in CHOSEN_FROM if n <= most] or [FEWEST], progress, stop)
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
    norms = [np.linalg.norm(rows, axis=1, keepdims=True) for rows in (one, other)]
    cosines = (one / np.maximum(norms[0], 1e-12)) @ (other / np.maximum(norms[1], 1e-12)).T
    return float(cosines[linear_sum_assignment(-cosines)].mean())


def _cause(
    contributions: Contributions, shares: np.ndarray, strengths: np.ndarray, positive: float, causes: int
) -> Cause:
    threshold = _PRESENT * float(np.quantile(strengths, 0.95))
    present, wrong, right = strengths >= threshold, contributions.wrong, contributions.right
    added = shares * np.maximum(contributions.values, 0).mean(0)
    channels = np.argsort(-added, kind="stable")[: int((added > 0).sum())]
    both = wrong.any() and right.any()
    labels = contributions.column("label_class")[present]
    return Cause(
        shares, strengths, mean=float(strengths.mean()), share=float(strengths.mean()) / positive if positive else 0.0,
        threshold=threshold, channels=channels, added=added[channels],
        common=difference(int((present & wrong).sum()), int(wrong.sum()), int((present & right).sum()),
                          int(right.sum()), 1 - (1 - _CONFIDENCE) / causes) if both else None,
        extra=float(strengths[wrong].mean() - strengths[right].mean()) if both else None,
        looks={name: _correlation(strengths, contributions.column(name)) for name in _LOOKS},
        labels=tuple((int(label), count) for label, count in
                     Counter(labels[np.isfinite(labels)].tolist()).most_common(3)))


def _correlation(strengths: np.ndarray, values: np.ndarray) -> float:
    known = np.isfinite(values)
    if known.sum() < 3 or np.ptp(values[known]) == 0 or np.ptp(strengths[known]) == 0:
        return 0.0
    return float(spearmanr(strengths[known], values[known]).statistic)


def difference(have: int, of: int, others_have: int, of_others: int, confidence: float = _CONFIDENCE) -> Difference:
    """The share `have / of` less `others_have / of_others`, bounded by Newcombe's method 10."""
    z = float(norm.ppf(0.5 + confidence / 2))
    (one, low, high), (other, other_low, other_high) = wilson(have, of, z), wilson(others_have, of_others, z)
    return Difference(one, other, one - other - math.hypot(one - low, other_high - other),
                      one - other + math.hypot(high - one, other - other_low))


def wilson(have: int, of: int, z: float = 1.959964) -> tuple[float, float, float]:
    """The share `have / of`, and the bounds of Wilson's score interval (1927, doi:10.1080/01621459.1927.10502953)."""
    share = have / of
    middle, width = share + z * z / (2 * of), z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return share, (middle - width) / (1 + z * z / of), (middle + width) / (1 + z * z / of)
