"""The channels of the feature maps, ranked by what they do and counted by kind."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from torch import Tensor

from explorer.analysis import Analysis, Outcome
from explorer.analysis.memory import remembered
from explorer.arrays import fewest_holding, positive_part, to_array
from explorer.checks import checked_key, checked_share
from explorer.errors import MethodError, ParameterError


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
    "paying": "positive channels: their contribution to the class is above 0",
    "opposing": "negative channels: their contribution to the class is below 0",
    "silent": "channels whose map is 0 at every position",
})
_PLAIN_KINDS = ("all", "silent")


@dataclass(frozen=True)
class TopContributors:
    """The fewest channels (`count` of `total`) that hold a `share` of all positive contributions to a class."""

    count: int
    total: int
    share: float


@dataclass(frozen=True, eq=False)
class ChannelTable:
    """What each channel does for one class under one pooling: arrays (C,), read-only, float64 unless said otherwise.

    Without evidence (`plain_channel_table`) contribution, weight and baseline are None, and what needs them raises
    MethodError.

    Attributes:
        contribution: logits that each channel adds to the class; with `baseline` they sum to the logit.
        pooled: the pooled vector; the maps' means where nothing is pooled.
        weight: the class's slope at each channel: contribution = weight * pooled. A head's weights where it has
            them, else its slopes along the way from an empty pooled vector to this one (`explorer.evidence`).
        spread: standard deviation over positions, in units of the feature maps.
        sparsity: share of positions that are not above 0, from 0 to 1.
        silent: bool, True where the map has no value but 0.
        baseline: the logit of an empty pooled vector.
        no_evidence_reason: one sentence why there are no contributions; "" when there are.
    """

    contribution: np.ndarray | None
    pooled: np.ndarray
    weight: np.ndarray | None
    spread: np.ndarray
    sparsity: np.ndarray
    silent: np.ndarray
    baseline: float | None
    no_evidence_reason: str = ""

    @property
    def rankings(self) -> tuple[str, ...]:
        """Keys of those of RANKINGS that it can be ordered by, the usual one first."""
        return tuple(key for key in RANKINGS if key != "contribution" or self.contribution is not None)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Keys of those of KINDS that it tells apart."""
        return tuple(key for key in KINDS if key in _PLAIN_KINDS or self.contribution is not None)

    def order(self, ranking: str | None = None, kind: str = "all") -> np.ndarray:
        """Channels (n,) int64 of a kind in the order of a ranking (None: the usual one); ties by number, NaN last.

        Raises ParameterError for a ranking or a kind that does not exist, MethodError for one that needs contributions
        where there are none.
        """
        ranking = self.rankings[0] if ranking is None else ranking
        checked_key(ranking, RANKINGS, "ranking")
        chosen = self._of_kind(kind)
        if ranking not in self.rankings:
            raise MethodError(self.no_evidence_reason)
        order = np.arange(len(chosen)) if ranking == "index" else largest_first(getattr(self, ranking))
        return order[chosen[order]]

    def count(self, kind: str = "all") -> int:
        """How many channels are of a kind. Raises as `order` does."""
        return int(self._of_kind(kind).sum())

    def rank(self, channel: int) -> int:
        """The channel's place in the usual order, from 1. Raises ParameterError when there is no such channel."""
        return 1 + int(np.flatnonzero(self.order() == _checked(channel, len(self.pooled)))[0])

    def top_contributors(self, share: float = 0.8) -> TopContributors | None:
        """The fewest channels that hold at least that share (above 0, up to 1) of the positive contributions.

        None when there are none. Raises ParameterError for a share outside the range.
        """
        checked_share(share, "share")
        positive = np.where(self._of_kind("paying"), positive_part(self._contributions), 0)
        channels, held = fewest_holding(positive, share)
        return TopContributors(len(channels), len(positive), held) if len(channels) else None

    def running(self) -> np.ndarray:
        """(C + 1,) logits: the baseline, then each channel's contribution added, largest first.

        The last one is the logit, up to rounding, or up to the quadrature of a head that is integrated.
        """
        running = np.concatenate([[self.baseline], self._contributions[self.order()]])
        with np.errstate(invalid="ignore"):  # infinities of both signs sum to NaN
            return np.cumsum(running)

    def _of_kind(self, kind: str) -> np.ndarray:
        """(C,) bool. A silent channel is of no other kind, even where rounding leaves it a contribution."""
        checked_key(kind, KINDS, "kind of channel")
        if kind == "all":
            return np.ones_like(self.silent)
        if kind == "silent":
            return self.silent
        return ~self.silent & (self._contributions > 0 if kind == "paying" else self._contributions < 0)

    @property
    def _contributions(self) -> np.ndarray:
        if self.contribution is None:
            raise MethodError(self.no_evidence_reason)
        return self.contribution


@dataclass(frozen=True, eq=False)
class ContributionTable(ChannelTable):
    """A table with evidence, from `channel_table`."""

    contribution: np.ndarray
    weight: np.ndarray
    baseline: float


@remembered
def channel_table(outcome: Outcome, class_index: int) -> ContributionTable:
    """What each channel does for a class; remembered.

    Raises ParameterError when there is no such class, MethodError without evidence.
    """
    evidence = outcome.evidence(class_index)
    spread, sparsity, silent = _spread(outcome.analysis)
    return ContributionTable(array(evidence.channels), array(outcome.pooled), array(evidence.slopes), spread,
                             sparsity, silent, evidence.baseline)


@remembered
def plain_channel_table(analysis: Analysis) -> ChannelTable:
    """What there is of each channel without a class: its mean, spread, sparsity and whether it is silent."""
    reason = analysis.no_evidence_reason or "A channel contributes to a class under a pooling, and none was named."
    spread, sparsity, silent = _spread(analysis)
    return ChannelTable(None, array(analysis.feature_maps.mean((1, 2))), None, spread, sparsity, silent, None, reason)


@remembered
def _spread(analysis: Analysis) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Standard deviation, share not above 0, and whether nothing but 0 is there, of each channel: (C,) each."""
    maps = array(analysis.feature_maps.flatten(1))
    with np.errstate(invalid="ignore"):  # an infinite value leaves no standard deviation: NaN, without a warning
        parts = maps.std(1), 1 - (maps > 0).mean(1), (maps == 0).all(1)
    for part in parts:
        part.setflags(write=False)
    return parts


def largest_first(values: np.ndarray) -> np.ndarray:
    """Places (n,) int64 of the numbers from the largest down; ties by place, NaN last."""
    return np.argsort(-values, kind="stable")


def _checked(channel: int, count: int) -> int:
    if isinstance(channel, bool) or not isinstance(channel, (int, np.integer)) or not 0 <= channel < count:
        raise ParameterError(f"There is no channel {channel!r}; expected a whole number from 0 to {count - 1}.")
    return channel


def array(tensor: Tensor) -> np.ndarray:
    """Float64, read-only: what is remembered is shared."""
    values = to_array(tensor)
    values.setflags(write=False)
    return values
