"""Causes: parts of the channel contributions to a class that many photos share, and which photos are wrong by them."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from explorer.errors import RunError
from explorer.folder.contributions import Contributions
from explorer.folder.parts import Parts, decompose, present
from explorer.heads.measures import wilson
from explorer.progress import Progress, Stop

FEWEST_PHOTOS = 8  # fewer share nothing that could be called a cause
_CONFIDENCE = 0.95
_LOOKS = ("brightness", "sharpness", "border")


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
        present: (N,) bool, the photos that have it, see `explorer.folder.parts.present`.
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
    present: np.ndarray
    channels: np.ndarray
    added: np.ndarray
    common: Difference | None
    extra: float | None
    looks: dict[str, float]
    labels: tuple[tuple[int, int], ...]

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


def _cause(
    contributions: Contributions, shares: np.ndarray, strengths: np.ndarray, positive: float, causes: int
) -> Cause:
    has_it, wrong, right = present(strengths), contributions.wrong, contributions.right
    added = shares * np.maximum(contributions.values, 0).mean(0)
    channels = np.argsort(-added, kind="stable")[: int((added > 0).sum())]
    both = wrong.any() and right.any()
    labels = contributions.column("label_class")[has_it]
    return Cause(
        shares, strengths, mean=float(strengths.mean()), share=float(strengths.mean()) / positive if positive else 0.0,
        present=has_it, channels=channels, added=added[channels],
        common=difference(int((has_it & wrong).sum()), int(wrong.sum()), int((has_it & right).sum()),
                          int(right.sum()), 1 - (1 - _CONFIDENCE) / causes) if both else None,
        extra=float(strengths[wrong].mean() - strengths[right].mean()) if both else None,
        looks={name: _correlation(strengths, contributions.column(name)) for name in _LOOKS},
        labels=tuple((int(label), count) for label, count in
                     Counter(labels[np.isfinite(labels)].tolist()).most_common(3)))


def _correlation(strengths: np.ndarray, values: np.ndarray) -> float:
    known = np.isfinite(values)
    if known.sum() < 3 or np.ptp(values[known]) == 0 or np.ptp(strengths[known]) == 0:
        return 0.0
    from scipy.stats import spearmanr  # takes a second to import, and pages that only link here need none of it

    return float(spearmanr(strengths[known], values[known]).statistic)


def difference(have: int, of: int, others_have: int, of_others: int, confidence: float = _CONFIDENCE) -> Difference:
    """The share `have / of` less `others_have / of_others`, bounded by Newcombe's method 10."""
    one, other = have / of, others_have / of_others
    (low, high), (other_low, other_high) = wilson(have, of, confidence), wilson(others_have, of_others, confidence)
    return Difference(one, other, one - other - math.hypot(one - low, other_high - other),
                      one - other + math.hypot(high - one, other - other_low))
