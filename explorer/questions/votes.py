"""The answer of each position alone: which class wins it, and how far the answers agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from explorer.analysis import Outcome
from explorer.networks.head import has_constant_slopes

_NAMED = 7  # classes at most
OTHERS = -1  # the label of a position whose winner is not among the classes that are named


class WinningClass(NamedTuple):
    """A class and the number of positions whose most probable class it is."""

    class_index: int
    name: str
    positions: int


@dataclass(frozen=True, eq=False)
class Winners:
    """Which class wins each position, by its vote: the largest number of head(F_ij).

    Attributes:
        labels: (H, W) int64, a place in `classes`, or -1 where another class wins or none does.
        classes: at most 7, by positions won, ties by class index.
        others: number of positions won by classes that are not named.
        top: for each position, row by row, its three most probable classes (name, probability), best first; empty
            where its votes are NaN.
    """

    labels: np.ndarray
    classes: list[WinningClass]
    others: int
    top: list[list[tuple[str, float]]]


def winners(outcome: Outcome) -> Winners:
    """The class that wins each position, with the 7 that win most of them by name; remembered.

    Raises MethodError where there are no votes.
    """
    return outcome.analysis.results(("winners", id(outcome.head)), lambda: _winners(outcome))


def _winners(outcome: Outcome) -> Winners:
    analysis = outcome.analysis
    names = analysis.network.class_names
    grid = tuple(analysis.feature_maps.shape[1:])
    votes = outcome.votes().detach().numpy().reshape(-1, grid[0] * grid[1])
    answered = np.isfinite(votes).all(0)
    # By logits: among probabilities several may be 1.
    logits = outcome.vote_logits().detach().numpy().reshape(votes.shape)
    best = _best(np.where(answered, logits, 0), 3)
    won, counts = np.unique(best[0, answered], return_counts=True)
    named = won[np.argsort(-counts, kind="stable")][:_NAMED]
    labels = np.full(answered.shape, OTHERS)
    for place, index in enumerate(named):
        labels[answered & (best[0] == index)] = place
    return Winners(
        labels=labels.reshape(grid),
        classes=[WinningClass(int(index), names[index], int((labels == n).sum())) for n, index in enumerate(named)],
        others=int((answered & (labels == OTHERS)).sum()),
        top=[
            [(names[index], float(votes[index, n])) for index in best[:, n]] if answered[n] else []
            for n in range(len(answered))
        ],
    )


def _best(logits: np.ndarray, count: int) -> np.ndarray:
    """(count, positions): the classes with the largest logits, best first, ties by class index."""
    logits, best = logits.copy(), []
    for _ in range(min(count, len(logits))):  # some passes cost less than sorting a thousand classes
        best.append(np.nanargmax(logits, 0))
        np.put_along_axis(logits, best[-1][None], np.nan, 0)
    return np.stack(best)


def votes_average_to_logit(outcome: Outcome) -> bool:
    """Whether each logit is the plain mean over positions of their own logits, head(F_ij).

    So it is when all positions weigh the same, as under GAP or GeM with p = 1, and the head is affine with slopes of
    its own: the head of a mean is the mean of the heads. It is not so where there are no votes.
    """
    if not outcome.analysis.has_evidence:
        return False
    weights = outcome.weights
    alike = torch.allclose(weights, torch.full_like(weights, 1 / weights[0].numel()), rtol=1e-5, atol=0)
    return alike and has_constant_slopes(outcome.head)
