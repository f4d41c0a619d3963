"""The channels of the feature maps: ranked by what they do, counted by kind, and one of them in full."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from explorer.analysis import Analysis, Outcome
from explorer.errors import ParameterError
from explorer.networks.head import has_slopes_of_its_own, head_kind, hold

_MOST_BINS = 20
_ROUNDING = 1e-9  # by which a share may be missed: in binary, three tenths of ten are a hair less than three


@dataclass(frozen=True)
class Ranking:
    """An order of the channels: its key, name, and one sentence."""

    key: str
    name: str
    explanation: str


RANKINGS: MappingProxyType[str, Ranking] = MappingProxyType({ranking.key: ranking for ranking in (
    Ranking("contribution", "Contribution", "Logits that the channel adds to the class, largest first."),
    Ranking("pooled", "Pooled value", "What the pooling keeps of the channel, largest first."),
    Ranking("spread", "Spread", "Standard deviation of the channel over positions, largest first."),
    Ranking("sparsity", "Sparsity", "Share of positions at which the channel is not above 0, largest first."),
    Ranking("index", "Number", "The channel's number, rising."),
)})

KINDS: MappingProxyType[str, str] = MappingProxyType({
    "all": "every channel",
    "paying": "channels that speak for the class: their contribution is above 0",
    "opposing": "channels that speak against the class: their contribution is below 0",
    "silent": "channels whose map is 0 at every position",
})


class Carrying(NamedTuple):
    """The fewest channels (`count` of `total`) that carry a `share` of all that speaks for a class."""

    count: int
    total: int
    share: float


@dataclass(frozen=True, eq=False)
class ChannelTable:
    """What each channel does for one class under one pooling: arrays (C,), read-only, float64 unless said otherwise.

    Attributes:
        class_index: the class.
        contribution: logits that each channel adds to the class; with `baseline` they sum to the logit.
        pooled: the pooled vector.
        weight: the class's slope at each channel: contribution = weight * pooled. A head's weights where it has
            them, else its slopes along the way from an empty pooled vector to this one (`explorer.evidence`).
        spread: standard deviation over positions, in units of the feature maps.
        sparsity: share of positions that are not above 0, from 0 to 1.
        silent: bool, True where the map has no value but 0.
        baseline: the logit of an empty pooled vector.
    """

    class_index: int
    contribution: np.ndarray
    pooled: np.ndarray
    weight: np.ndarray
    spread: np.ndarray
    sparsity: np.ndarray
    silent: np.ndarray
    baseline: float

    def order(self, ranking: str = "contribution", kind: str = "all") -> np.ndarray:
        """Channels (n,) int64 of a kind in the order of a ranking; ties by number, NaN last.

        Raises ParameterError for a ranking or a kind that does not exist.
        """
        if ranking not in RANKINGS:
            raise ParameterError(f"There is no ranking {ranking!r}; expected one of {', '.join(RANKINGS)}.")
        chosen = self._of_kind(kind)
        order = np.arange(len(chosen)) if ranking == "index" else _largest_first(getattr(self, ranking))
        return order[chosen[order]]

    def count(self, kind: str = "all") -> int:
        """How many channels are of a kind. Raises ParameterError for one that does not exist."""
        return int(self._of_kind(kind).sum())

    def rank(self, channel: int) -> int:
        """The channel's place by contribution, from 1. Raises ParameterError when there is no such channel."""
        return 1 + int(np.flatnonzero(self.order() == _checked(channel, len(self.contribution)))[0])

    def carrying(self, share: float = 0.8) -> Carrying | None:
        """The fewest channels that carry at least that share (above 0, up to 1) of what speaks for the class.

        What speaks for it is the sum of the contributions of the paying channels; None when there are none. Raises
        ParameterError for a share outside the range.
        """
        if not 0 < share <= 1:
            raise ParameterError(f"The share is {share!r}; expected a number above 0, up to 1.")
        paying = self.contribution[self.order(kind="paying")]
        running = np.cumsum(paying[np.isfinite(paying)])
        if not running.size:
            return None
        carried = running / running[-1]
        count = int(np.searchsorted(carried, share - _ROUNDING)) + 1
        return Carrying(count, len(self.contribution), float(carried[count - 1]))

    def running(self) -> np.ndarray:
        """(C + 1,) logits: the baseline, then each channel's contribution added, largest first.

        The last one is the logit, up to rounding, or up to the quadrature of a head that is integrated.
        """
        with np.errstate(invalid="ignore"):  # infinities of both signs sum to NaN
            return self.baseline + np.concatenate([[0.0], np.cumsum(self.contribution[self.order()])])

    def _of_kind(self, kind: str) -> np.ndarray:
        """(C,) bool. A silent channel is of no other kind, even where rounding leaves it a contribution."""
        if kind not in KINDS:
            raise ParameterError(f"There is no kind of channel {kind!r}; expected one of {', '.join(KINDS)}.")
        if kind == "all":
            return np.ones_like(self.silent)
        if kind == "silent":
            return self.silent
        return ~self.silent & (self.contribution > 0 if kind == "paying" else self.contribution < 0)


class PooledUnder(NamedTuple):
    """A channel under one pooling: the pooling's name, "native" or "what-if", and the pooled value."""

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

    Attributes:
        channel, contribution, weight, rank: as in the table; `count` is of how many channels.
        pooled_under: the channel's pooled value under each pooling there is, in the registry's order.
        speaks_for: up to five classes with the largest weights above 0, largest first.
        speaks_against: up to five classes with the weights furthest below 0, the furthest first.
        weights_are: what those weights are. "weights": the head's own, the same for every photo. "slopes at this
            photo": a LayerNorm's statistics are held at this pooled vector, or, where the head is not affine, it is
            the logit's derivative there. (`weight` is then the slope along the way to it, and may differ.)
        histogram: counts (n,) int64 and edges (n + 1,) of the map's finite values; n is 20 at most, one for a map
            with a single value.
        minimum, maximum, mean: of the map, NaN where it holds one.
        zero_share: share of positions that are exactly 0.
    """

    channel: int
    contribution: float
    weight: float
    rank: int
    count: int
    pooled_under: list[PooledUnder]
    speaks_for: list[ClassWeight]
    speaks_against: list[ClassWeight]
    weights_are: str
    histogram: tuple[np.ndarray, np.ndarray]
    minimum: float
    maximum: float
    mean: float
    zero_share: float


def channel_table(outcome: Outcome, class_index: int) -> ChannelTable:
    """What each channel does for a class; remembered. Raises ParameterError when there is no such class."""
    return outcome.remember(("channel table", class_index), lambda: _table(outcome, class_index))


def _table(outcome: Outcome, class_index: int) -> ChannelTable:
    evidence = outcome.evidence(class_index)
    spread, sparsity, silent = outcome.analysis.remember("spread of channels", lambda: _spread(outcome.analysis))
    return ChannelTable(
        class_index, _array(evidence.channels), _array(outcome.pooled), _array(evidence.slopes), spread, sparsity,
        silent, evidence.baseline,
    )


def _spread(analysis: Analysis) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Standard deviation, share not above 0, and whether nothing but 0 is there, of each channel: (C,) each."""
    maps = _array(analysis.feature_maps.flatten(1))
    with np.errstate(invalid="ignore"):  # an infinite value leaves no standard deviation: NaN, without a warning
        parts = maps.std(1), 1 - (maps > 0).mean(1), (maps == 0).all(1)
    for part in parts:
        part.setflags(write=False)
    return parts


def channel_card(outcome: Outcome, class_index: int, channel: int) -> ChannelCard:
    """One channel in full. Raises ParameterError when there is no such class or channel."""
    table = channel_table(outcome, class_index)
    rank = table.rank(channel)
    values = _array(outcome.analysis.feature_maps[channel]).ravel()
    speaks_for, speaks_against = _spoken_for(outcome, channel)
    with np.errstate(invalid="ignore"):
        mean = float(values.mean())
    return ChannelCard(
        channel=channel, contribution=float(table.contribution[channel]), weight=float(table.weight[channel]),
        rank=rank, count=len(table.contribution),
        pooled_under=[
            PooledUnder(each.name, each.label, float(each.pooled[channel])) for each in outcome.under_each_pooling()
        ],
        speaks_for=speaks_for, speaks_against=speaks_against,
        weights_are="weights" if has_slopes_of_its_own(outcome.analysis.network.head) else "slopes at this photo",
        histogram=_histogram(values), minimum=float(values.min()), maximum=float(values.max()),
        mean=mean, zero_share=float((values == 0).mean()),
    )


def _spoken_for(outcome: Outcome, channel: int, count: int = 5) -> tuple[list[ClassWeight], list[ClassWeight]]:
    """The classes for which a channel's weight is largest, and those for which it is furthest below 0."""
    weights, names = _weights_of_classes(outcome, channel), outcome.analysis.network.class_names

    def first(order: np.ndarray, fits: Callable[[float], bool]) -> list[ClassWeight]:
        return [ClassWeight(int(n), names[n], float(weights[n])) for n in order[:count] if fits(weights[n])]

    return (first(_largest_first(weights), lambda weight: weight > 0),
            first(_largest_first(-weights), lambda weight: weight < 0))


def _weights_of_classes(outcome: Outcome, channel: int) -> np.ndarray:
    """(classes,): the slope of each class's logit at one channel."""
    head = outcome.analysis.network.head
    if head_kind(head) == "affine" and not has_slopes_of_its_own(head):
        # As evidence has it: a LayerNorm's statistics are held. Its slopes belong to this pooled vector alone.
        classes = range(len(outcome.logits))
        held = outcome.remember("held slopes", lambda: hold(head, outcome.pooled, classes)[0].detach())
        return _array(held[:, channel])
    return _array(_derivatives(head, outcome.pooled, channel))


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


def _largest_first(values: np.ndarray) -> np.ndarray:
    return np.argsort(-values, kind="stable")


def _checked(channel: int, count: int) -> int:
    if isinstance(channel, bool) or not isinstance(channel, (int, np.integer)) or not 0 <= channel < count:
        raise ParameterError(f"There is no channel {channel!r}; expected a whole number from 0 to {count - 1}.")
    return channel


def _array(tensor: Tensor) -> np.ndarray:
    """Float64, read-only: what is remembered is shared."""
    array = tensor.detach().numpy().astype(np.float64)
    array.setflags(write=False)
    return array
