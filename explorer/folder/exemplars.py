"""Photos of a run that are alike: those of the same cause, and those that a channel contributes to most."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from explorer.checks import checked_whole
from explorer.folder.contributions import contributions_to, evenly, kept_contributions, pooled_vectors, slopes_of
from explorer.folder.index import Index
from explorer.networks.head import has_constant_slopes, head_kind, hold

MOST_PHOTOS = 20_000  # that are looked through; of more, as many evenly spread
_MOST_INTEGRATED = 300  # photos whose slopes are integrated, those with the strongest response
_SILENT = 0.05  # of the channel's largest contribution in the run: less counts as nothing


class Similar(NamedTuple):
    """A photo, and the cosine of its contributions to a class and another photo's, -1 to 1."""

    number: int
    cosine: float


class Exemplar(NamedTuple):
    """A photo, how a channel responds to it (its pooled value), and what that adds to its prediction, in logits."""

    number: int
    answer: int
    response: float
    contribution: float


def same_cause(index: Index, number: int, class_index: int | None = None, most: int = 12) -> list[Similar]:
    """The photos called the class whose contributions to it are most like those of one photo.

    Args:
        number: of that photo, which is left out.
        class_index: the class; None is the photo's own prediction.
        most: photos.

    Raises RunError: the photo, or every photo that is called the class, has no evidence.
    """
    if class_index is None:
        class_index = int(index.query("SELECT answer FROM rows WHERE rowid = ?", [number])["answer"][0].as_py() or 0)
    own = contributions_to(index, class_index, numbers=[number]).values[0]
    among = kept_contributions(index, class_index)
    lengths = np.linalg.norm(among.values, axis=1) * np.linalg.norm(own)
    cosines = among.values @ own / np.maximum(lengths, np.finfo(np.float32).tiny)
    order = [place for place in np.argsort(-cosines, kind="stable") if among.numbers[place] != number][:most]
    return [Similar(int(among.numbers[place]), float(cosines[place])) for place in order]


def exemplars(index: Index, channel: int, most: int = 12) -> tuple[list[Exemplar], list[Exemplar]]:
    """The photos to whose prediction a channel contributes most, and those to which it responds most for nothing.

    "For nothing": it adds or takes less than a twentieth of what it adds or takes at most in this run. Of a head whose
    slopes have to be integrated photo by photo, the 300 strongest responses are looked at.

    Args:
        channel: from 0.
        most: photos of each kind.

    Raises ParameterError: there is no such channel.
    """
    numbers = index.query("SELECT rowid AS number FROM rows WHERE answer IS NOT NULL ORDER BY rowid")[
        "number"].to_numpy()
    taken = evenly(numbers, MOST_PHOTOS)
    pooled, table, has = pooled_vectors(index, taken, ("answer",))
    if not len(pooled):
        return [], []
    checked_whole(channel, 0, pooled.shape[1] - 1, "channel")
    answers, numbers = table["answer"].to_numpy().astype(np.int64), taken[has]
    network = index.run.network
    if head_kind(network.head) != "affine" and len(pooled) > _MOST_INTEGRATED:
        strongest = np.sort(np.argsort(-np.abs(pooled[:, channel]), kind="stable")[:_MOST_INTEGRATED])
        pooled, answers, numbers = pooled[strongest], answers[strongest], numbers[strongest]
    contribution, response = _contribution(index, pooled, answers, channel), pooled[:, channel]
    silent = np.abs(contribution) < _SILENT * np.abs(contribution).max()

    def listed(places: np.ndarray) -> list[Exemplar]:
        return [Exemplar(int(numbers[n]), int(answers[n]), float(response[n]), float(contribution[n])) for n in places]

    by_contribution = np.argsort(-contribution, kind="stable")
    by_response = [n for n in np.argsort(-response, kind="stable") if silent[n] and response[n] > 0]
    return listed(by_contribution[contribution[by_contribution] > 0][:most]), listed(np.array(by_response[:most], int))


def _contribution(index: Index, pooled: np.ndarray, answers: np.ndarray, channel: int) -> np.ndarray:
    """(N,): what the channel adds to each photo's own prediction."""
    network = index.run.network
    if has_constant_slopes(network.head):
        classes = np.unique(answers)
        slopes = hold(network.head, torch.from_numpy(pooled[0]), classes.tolist())[0].detach().numpy()
        return pooled[:, channel] * slopes[np.searchsorted(classes, answers), channel]
    return np.array([slopes_of(network, vector[None], [int(answer)])[0, 0, channel] * vector[channel]
                     for vector, answer in zip(pooled, answers, strict=True)])
