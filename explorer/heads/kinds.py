"""The nine kinds of heads on feature maps, each with its own pooling.

A head turns feature maps (N, C, H, W) into pooled vectors (N, D), and these into logits by one Linear. Nothing is drawn
at random: at first all weights are 0 and all classes alike, GeM and both attentions are the average, and the gate is
half open. So two kinds of heads differ in nothing but their pooling.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional

from explorer.errors import ParameterError
from explorer.poolings.learned import slices_of
from explorer.poolings.registry import GEM_POWER, POOLINGS

Prepared = tuple[Tensor, ...]


class Head(nn.Module):
    """A pooling and a Linear: (N, C, H, W) to logits (N, classes).

    Attributes:
        kind: key of KINDS; name: for people.
        shape: (C, H, W) of the feature maps that it is trained on.
        linear: (N, D) to (N, classes).
    """

    kind = ""
    name = ""

    def __init__(self, shape: Sequence[int], classes: int) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.linear = nn.Linear(self.width(self.shape), classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    @staticmethod
    def width(shape: tuple[int, ...]) -> int:
        """D: the length of the pooled vector of feature maps of that shape (C, H, W)."""
        return shape[0]

    @staticmethod
    def prepare(feature_maps: Tensor) -> Prepared:
        """What can be computed of feature maps (N, C, H, W) once, before anything is learned."""
        raise NotImplementedError

    def pool(self, prepared: Prepared) -> Tensor:
        """(N, D): the pooled vectors of what was prepared; differentiable in what is learned."""
        return prepared[0]

    def settle(self) -> None:
        """After a step: bring what is learned back into its range."""

    def forward(self, feature_maps: Tensor) -> Tensor:
        """Logits (N, classes) of feature maps (N, C, H, W).

        Raises ParameterError for another number of channels than it was trained on, and torch's RuntimeError where a
        flatten head meets another grid.
        """
        if feature_maps.ndim != 4 or feature_maps.shape[1] != self.shape[0]:
            raise ParameterError(f"The feature maps have shape {tuple(feature_maps.shape)}; expected "
                                 f"(N, {self.shape[0]}, H, W).")
        return self.linear(self.pool(self.prepare(feature_maps)))


class Gap(Head):
    """The average."""

    kind, name = "gap", "GAP"

    @staticmethod
    def prepare(feature_maps: Tensor) -> Prepared:
        return (POOLINGS["gap"].value(feature_maps),)


class Gmp(Head):
    """The maximum."""

    kind, name = "gmp", "GMP"

    @staticmethod
    def prepare(feature_maps: Tensor) -> Prepared:
        return (POOLINGS["gmp"].value(feature_maps),)


class Gem(Head):
    """GeM with a learned p, from 1 to 100; it starts at 1, the average.

    Powers are taken of active positions alone, of which there are few: the others add nothing to the mean.
    """

    kind, name = "gem", "GeM, p learned"

    def __init__(self, shape: Sequence[int], classes: int) -> None:
        super().__init__(shape, classes)
        self.p = nn.Parameter(torch.tensor(GEM_POWER.low))

    @staticmethod
    def prepare(feature_maps: Tensor) -> Prepared:
        """Peaks (N, C), logarithms of the active positions' shares of them, the peak that belongs to each, and H * W.
        """
        rows = feature_maps.flatten(2)
        active = rows > 0
        peaks = rows.amax(2).clamp_min(0)
        logarithms = (rows / peaks.clamp_min(torch.finfo(rows.dtype).tiny)[..., None])[active].log()
        channels = torch.arange(peaks.numel()).repeat_interleave(active.sum(2).flatten())
        return peaks, logarithms, channels, torch.tensor(rows.shape[2])

    def pool(self, prepared: Prepared) -> Tensor:
        peaks, logarithms, channels, positions = prepared
        powers = (self.p * logarithms).exp()
        sums = powers.new_zeros(peaks.numel()).index_add(0, channels, powers).view_as(peaks)
        # A silent channel has a sum of 0, whose logarithm has no gradient.
        return peaks * ((torch.where(peaks > 0, sums, 1.0) / positions).log() / self.p).exp()

    @torch.no_grad()
    def settle(self) -> None:
        self.p.clamp_(GEM_POWER.low, GEM_POWER.high)


class Attention(Head):
    """One learned query q: positions count by softmax(q . F_ij), the same for all channels.

    See `explorer.poolings.learned.learned_attention`.
    """

    kind, name = "attention", "Learned attention"

    def __init__(self, shape: Sequence[int], classes: int) -> None:
        super().__init__(shape, classes)
        self.query = nn.Parameter(torch.zeros(self.shape[0]))

    @staticmethod
    def prepare(feature_maps: Tensor) -> Prepared:
        return (feature_maps.flatten(2).mT.contiguous(),)  # (N, H * W, C)

    def pool(self, prepared: Prepared) -> Tensor:
        vectors = prepared[0]
        shares = torch.softmax(vectors @ self.query, -1)
        return (shares[:, None] @ vectors)[:, 0]


class MultiQuery(Head):
    """Several learned queries, each with a slice of the channels. See `explorer.poolings.learned.multi_query`.

    All queries start at 0 and come to differ by their slices: the gradient of each is of other channels and other
    weights of the Linear. So they need no random start.
    """

    kind, name = "multi_query", "Multi-query attention"
    queries_at_most = 8

    def __init__(self, shape: Sequence[int], classes: int) -> None:
        super().__init__(shape, classes)
        channels = self.shape[0]
        self.queries = nn.Parameter(torch.zeros(min(self.queries_at_most, channels), channels))

    @staticmethod
    def prepare(feature_maps: Tensor) -> Prepared:
        return Attention.prepare(feature_maps)

    def pool(self, prepared: Prepared) -> Tensor:
        vectors = prepared[0]
        shares = torch.softmax(vectors @ self.queries.mT, 1).mT  # (N, queries, H * W)
        slices = slices_of(len(self.queries), self.shape[0])
        return torch.cat([(shares[:, n, None] @ vectors[..., which])[:, 0] for n, which in enumerate(slices)], 1)


class Gated(Head):
    """GAP and GMP, mixed by a learned gate that reads the photo's own GAP. See `explorer.poolings.learned.gated`."""

    kind, name = "gated", "Gated mix"

    def __init__(self, shape: Sequence[int], classes: int) -> None:
        super().__init__(shape, classes)
        self.gate = nn.Linear(self.shape[0], 1)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    @staticmethod
    def prepare(feature_maps: Tensor) -> Prepared:
        return (*Gap.prepare(feature_maps), *Gmp.prepare(feature_maps))

    def pool(self, prepared: Prepared) -> Tensor:
        average, maximum = prepared
        share = torch.sigmoid(self.gate(average))
        return share * average + (1 - share) * maximum


class SideBySide(Head):
    """Two numbers a channel, its average and its maximum."""

    kind, name = "side_by_side", "GAP beside GMP"

    @staticmethod
    def width(shape: tuple[int, ...]) -> int:
        return 2 * shape[0]

    @staticmethod
    def prepare(feature_maps: Tensor) -> Prepared:
        return (torch.cat([*Gap.prepare(feature_maps), *Gmp.prepare(feature_maps)], 1),)


class Pyramid(Head):
    """The average of the whole grid and of each of its quarters: some of the layout is kept.

    After He, Zhang, Ren and Sun, Spatial Pyramid Pooling in Deep Convolutional Networks for Visual Recognition, 2014,
    arXiv:1406.4729 (there with maxima).
    """

    kind, name = "pyramid", "Spatial pyramid, 1 + 2 x 2"
    levels = (1, 2)

    @staticmethod
    def width(shape: tuple[int, ...]) -> int:
        return shape[0] * sum(level ** 2 for level in Pyramid.levels)

    @staticmethod
    def prepare(feature_maps: Tensor) -> Prepared:
        """Windows first, then channels: the first C numbers are GAP."""
        windows = [functional.adaptive_avg_pool2d(feature_maps, level).flatten(2).mT for level in Pyramid.levels]
        return (torch.cat(windows, 1).flatten(1),)


class Flatten(Head):
    """A weight for every channel at every position: what came before global pooling."""

    kind, name = "flatten", "Flatten"

    @staticmethod
    def width(shape: tuple[int, ...]) -> int:
        return shape[0] * shape[1] * shape[2]

    @staticmethod
    def prepare(feature_maps: Tensor) -> Prepared:
        return (feature_maps.flatten(1),)


KINDS: MappingProxyType[str, type[Head]] = MappingProxyType({
    head.kind: head for head in (Gap, Gmp, Gem, Attention, MultiQuery, Gated, SideBySide, Pyramid, Flatten)
})


def kinds_of(keys: Sequence[str]) -> list[type[Head]]:
    """The kinds of those keys. Raises ParameterError naming the keys that exist, or where none is given."""
    keys = [keys] if isinstance(keys, str) else list(keys)
    if not keys or set(keys) - set(KINDS):
        raise ParameterError(f"The kinds of heads are {', '.join(map(repr, keys)) or 'none'}; expected some of "
                             f"{', '.join(KINDS)}.")
    return [KINDS[key] for key in dict.fromkeys(keys)]
