"""One channel of the feature maps in full."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from explorer.analysis import Analysis, Outcome
from explorer.analysis.memory import remembered
from explorer.arrays import to_array
from explorer.networks.head import has_constant_slopes, head_kind, hold
from explorer.questions.channel_table import channel_table, largest_first, plain_channel_table

_MOST_BINS = 20


class PooledUnder(NamedTuple):
    """A channel under one pooling: the pooling's name, "native", "trained" or "what-if", and the pooled value."""

    name: str
    label: str
    value: float


class ClassWeight(NamedTuple):
    """How much one class's logit rises when a channel's pooled value rises by 1."""

    class_index: int
    name: str
    weight: float


@dataclass(frozen=True, eq=False)
class ChannelCard:
    """One channel in full, for one class under one pooling.

    Without evidence (`plain_channel_card`) contribution and weight are None, the three lists empty and `weights_are`
    "".

    Attributes:
        channel, contribution, weight, rank: as in the table; `count` is of how many channels.
        pooled_under: the channel's pooled value under each pooling there is, in the registry's order.
        raises: up to five classes with the largest weights above 0, largest first.
        lowers: up to five classes with the weights furthest below 0, the furthest first.
        weights_are: what those weights are. "weights": the head's own, the same for every photo. "slopes at this
            photo": a LayerNorm's statistics are held at this pooled vector, or, where the head is not affine, it is
            the logit's derivative there. (`weight` is then the slope along the way to it, and may differ.)
        histogram: counts (n,) int64 and edges (n + 1,) of the map's finite values; n is 20 at most, one for a map
            with a single value.
        minimum, maximum, mean: of the map, NaN where it holds one.
        zero_share: share of positions that are exactly 0.
    """

    channel: int
    contribution: float | None
    weight: float | None
    rank: int
    count: int
    pooled_under: list[PooledUnder]
    raises: list[ClassWeight]
    lowers: list[ClassWeight]
    weights_are: str
    histogram: tuple[np.ndarray, np.ndarray]
    minimum: float
    maximum: float
    mean: float
    zero_share: float


def channel_card(outcome: Outcome, class_index: int, channel: int) -> ChannelCard:
    """One channel in full.

    Raises ParameterError when there is no such class or channel, MethodError without evidence.
    """
    table = channel_table(outcome, class_index)
    plain = plain_channel_card(outcome.analysis, channel)
    raises, lowers = _top_classes(outcome, channel)
    return replace(
        plain, contribution=float(table.contribution[channel]), weight=float(table.weight[channel]),
        rank=table.rank(channel),
        pooled_under=[
            PooledUnder(other.name, other.label, float(other.pooled[channel])) for other in outcome.under_each_pooling()
        ],
        raises=raises, lowers=lowers,
        weights_are="weights" if has_constant_slopes(outcome.head) else "slopes at this photo",
    )


def plain_channel_card(analysis: Analysis, channel: int) -> ChannelCard:
    """What there is of one channel without a class; its rank is by its mean.

    Raises ParameterError when there is no such channel.
    """
    table = plain_channel_table(analysis)
    rank = table.rank(channel)
    values = to_array(analysis.feature_maps[channel]).ravel()
    with np.errstate(invalid="ignore"):
        mean = float(values.mean())
    return ChannelCard(
        channel=channel, contribution=None, weight=None, rank=rank, count=len(table.pooled), pooled_under=[],
        raises=[], lowers=[], weights_are="", histogram=_histogram(values), minimum=float(values.min()),
        maximum=float(values.max()), mean=mean, zero_share=float((values == 0).mean()),
    )


def _top_classes(outcome: Outcome, channel: int, count: int = 5) -> tuple[list[ClassWeight], list[ClassWeight]]:
    """The classes for which a channel's weight is largest, and those for which it is furthest below 0."""
    weights, names = _weights_of_classes(outcome, channel), outcome.analysis.network.class_names

    def first(order: np.ndarray, fits: Callable[[float], bool]) -> list[ClassWeight]:
        return [ClassWeight(int(n), names[n], float(weights[n])) for n in order[:count] if fits(weights[n])]

    return (first(largest_first(weights), lambda weight: weight > 0),
            first(largest_first(-weights), lambda weight: weight < 0))


def _weights_of_classes(outcome: Outcome, channel: int) -> np.ndarray:
    """(classes,): the slope of each class's logit at one channel."""
    head = outcome.head
    if head_kind(head) == "affine" and not has_constant_slopes(head):
        # As evidence has it: a LayerNorm's statistics are held. Its slopes belong to this pooled vector alone.
        return to_array(_held_slopes(outcome)[:, channel])
    return to_array(_derivatives(head, outcome.pooled, channel))


@remembered
def _held_slopes(outcome: Outcome) -> Tensor:
    """(classes, C)"""
    return hold(outcome.head, outcome.pooled, range(len(outcome.logits)))[0].detach()


def _derivatives(head: torch.nn.Module, pooled: Tensor, channel: int) -> Tensor:
    """(classes,): the derivative of each logit by one channel's pooled value, without a row for every class.

    The product of the head's Jacobian J with a unit vector by two backward passes: J^T u is linear in u, and the
    gradient of its k-th number by u is column k of J. Not torch.func.jvp, which counts its nesting in a global that
    threads would share.
    """
    with torch.enable_grad():
        at = pooled.detach()[None].requires_grad_()
        logits = head(at)[0]
        direction = torch.zeros_like(logits, requires_grad=True)
        (pulled_back,) = torch.autograd.grad(logits, at, direction, create_graph=True)
        return torch.autograd.grad(pulled_back[0, channel], direction)[0]


def _histogram(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts and edges of what is finite; a single value, or none, has one bin around it."""
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    if low == high:
        half = max(0.5, abs(low) / 100)
        return np.array([finite.size]), np.array([low - half, low + half])
    return np.histogram(finite, min(_MOST_BINS, finite.size))
