"""The eight kinds of heads on feature maps: what each keeps of them, and where on the grid its logits come from.

Each is something that turns feature maps (N, C, H, W) into pooled vectors (N, D), and one Linear. Nothing is drawn by
lot: at first all weights are 0 and all classes alike, GeM and attention are the average, and the gate is half open. So
two kinds of heads differ in nothing but what they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional

from explorer.errors import MethodError, ParameterError
from explorer.evidence import Evidence
from explorer.poolings.learned import KEYS, pooling_with
from explorer.poolings.registry import PLACES, POOLINGS, Pooling

Prepared = tuple[Tensor, ...]
_GEM = POOLINGS["gem"].parameter


class Head(nn.Module):
    """A pooling of its own and a Linear: (N, C, H, W) to logits (N, classes).

    Attributes:
        kind, name, explanation: key of KINDS, for people, one sentence.
        source: the paper; "" where there is none to name.
        shape: (C, H, W) of the feature maps that it is trained on.
        linear: (N, D) to (N, classes).
    """

    kind = ""
    name = ""
    explanation = ""
    source = ""

    def __init__(self, shape: Sequence[int], classes: int) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.linear = nn.Linear(self.width(self.shape), classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    @staticmethod
    def width(shape: tuple[int, ...]) -> int:
        """D: how many numbers are left of feature maps of that shape (C, H, W)."""
        return shape[0]

    @staticmethod
    def prepare(feature_maps: Tensor) -> Prepared:
        """What can be computed once, before anything is learned; of feature maps (N, C, H, W)."""
        raise NotImplementedError

    def pool(self, prepared: Prepared) -> Tensor:
        """(N, D): the pooled vectors, of what was prepared; differentiable in what is learned."""
        return prepared[0]

    def settle(self) -> None:
        """After a step: bring what is learned back into its range."""

    def pooled(self, feature_maps: Tensor) -> Tensor:
        """(N, D): the pooled vectors of feature maps (N, C, H, W). Raises ParameterError for another shape."""
        self.check(feature_maps)
        return self.pool(self.prepare(feature_maps))

    def check(self, feature_maps: Tensor) -> None:
        """Raises ParameterError unless feature maps are (N, C, H, W) with as many channels as it was trained on."""
        if feature_maps.ndim != 4 or feature_maps.shape[1] != self.shape[0]:
            raise ParameterError(f"The feature maps have shape {tuple(feature_maps.shape)}; expected "
                                 f"(N, {self.shape[0]}, H, W).")

    def forward(self, feature_maps: Tensor) -> Tensor:
        """Logits (N, classes) of feature maps (N, C, H, W); flatten takes no other grid than it was trained on."""
        return self.linear(self.pooled(feature_maps))

    def cells(self, feature_maps: Tensor, slopes: Tensor) -> Tensor:
        """(H, W): slopes (D,) times the pooled vector of feature maps (C, H, W), by the position that it comes from."""
        raise NotImplementedError

    def pooling(self) -> tuple[Pooling, dict[str, float]]:
        """Its pooling and the parameters that it learned. Raises MethodError where it is more than one pooling."""
        if self.kind not in KEYS:
            raise MethodError(f"{self.name} is no pooling that can stand before another head.")
        return pooling_with(self.kind, self.state_dict())

    @torch.no_grad()
    def evidence(self, feature_maps: Tensor, class_index: int) -> Evidence:
        """A class's logit over the positions of feature maps (C, H, W): exact, with weights and gates held.

        `channels` and `slopes` are (D,): one for each number of the pooled vector. Raises ParameterError for another
        shape and a class that does not exist.
        """
        classes = self.linear.out_features
        if isinstance(class_index, bool) or not isinstance(class_index, int) or not 0 <= class_index < classes:
            raise ParameterError(f"There is no class {class_index!r}; expected a whole number from 0 to {classes - 1}.")
        if feature_maps.ndim != 3:
            raise ParameterError(f"The feature maps have shape {tuple(feature_maps.shape)}; expected (C, H, W).")
        pooled = self.pooled(feature_maps[None])
        logit = float(self.linear(pooled)[0, class_index])
        slopes, baseline = self.linear.weight[class_index], float(self.linear.bias[class_index])
        cells = self.cells(feature_maps, slopes)
        left = logit - baseline - float(cells.sum(dtype=torch.float64))
        return Evidence(class_index, cells, slopes * pooled[0], slopes, baseline, logit, left, exact=True)


class OnePooling(Head):
    """A head whose pooling gives every channel one number; the pooling itself is `pooling()`."""

    def pooled(self, feature_maps: Tensor) -> Tensor:
        self.check(feature_maps)
        pooling, parameters = self.pooling()
        return pooling.value(feature_maps, **parameters)

    def cells(self, feature_maps: Tensor, slopes: Tensor) -> Tensor:
        pooling, parameters = self.pooling()
        kept = pooling.weights(feature_maps, **parameters) * feature_maps
        return (slopes @ kept.flatten(1)).unflatten(0, kept.shape[1:])


class Gap(OnePooling):
    kind, name = "gap", "GAP"
    explanation, source = POOLINGS["gap"].explanation, POOLINGS["gap"].source

    @staticmethod
    def prepare(feature_maps: Tensor) -> Prepared:
        return (POOLINGS["gap"].value(feature_maps),)


class Gmp(OnePooling):
    kind, name = "gmp", "GMP"
    explanation, source = POOLINGS["gmp"].explanation, POOLINGS["gmp"].source

    @staticmethod
    def prepare(feature_maps: Tensor) -> Prepared:
        return (POOLINGS["gmp"].value(feature_maps),)


class Gem(OnePooling):
    """GeM with a learned p, from 1 to 100; it starts at 1, the average.

    Powers are taken of active positions alone, of which there are few: the others add nothing to the mean.
    """

    kind, name = "gem", "GeM, p learned"
    explanation, source = POOLINGS["gem"].explanation, POOLINGS["gem"].source

    def __init__(self, shape: Sequence[int], classes: int) -> None:
        super().__init__(shape, classes)
        self.p = nn.Parameter(torch.tensor(_GEM.low))

    @staticmethod
    def prepare(feature_maps: Tensor) -> Prepared:
        """Peaks (N, C), logarithms of the active positions' shares of them, which peak each is of, and H * W."""
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
        self.p.clamp_(_GEM.low, _GEM.high)


class Attention(OnePooling):
    """One learned query q: positions count by softmax(q . F_ij), the same for all channels."""

    kind, name = "attention", "Learned attention"
    explanation = "Positions that agree with a learned query count more, the same for all channels."
    source = ("After Ilse, Tomczak and Welling, Attention-based Deep Multiple Instance Learning, ICML 2018, "
              "arXiv:1802.04712, without its hidden layer")

    def __init__(self, shape: Sequence[int], classes: int) -> None:
        super().__init__(shape, classes)
        self.query = nn.Parameter(torch.zeros(self.shape[0]))

    @staticmethod
    def prepare(feature_maps: Tensor) -> Prepared:
        return (feature_maps.flatten(2).mT.contiguous(),)  # (N, H * W, C)

    def pool(self, prepared: Prepared) -> Tensor:
        vectors = prepared[0]
        looks = torch.softmax(vectors @ self.query, -1)
        return (looks[:, None] @ vectors)[:, 0]


class Gated(OnePooling):
    """GAP and GMP, mixed by a learned gate that reads the photo's own GAP."""

    kind, name = "gated", "Gated mix"
    explanation = "A mix of the average and the maximum whose share each photo sets itself."
    source = ("After Lee, Gallagher and Tu, Generalizing Pooling Functions in Convolutional Neural Networks, 2016, "
              "arXiv:1509.08985 (there over local windows)")

    def __init__(self, shape: Sequence[int], classes: int) -> None:
        super().__init__(shape, classes)
        self.gate = nn.Linear(self.shape[0], 1)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    @staticmethod
    def prepare(feature_maps: Tensor) -> Prepared:
        return (*Gap.prepare(feature_maps), *Gmp.prepare(feature_maps))

    def shares(self, feature_maps: Tensor) -> Tensor:
        """(N,): GAP's share of the mix for each of some feature maps (N, C, H, W), 0 to 1; the rest is GMP's."""
        return self._shares(Gap.prepare(feature_maps)[0])[:, 0]

    def _shares(self, average: Tensor) -> Tensor:
        return torch.sigmoid(self.gate(average))

    def pool(self, prepared: Prepared) -> Tensor:
        average, maximum = prepared
        share = self._shares(average)
        return share * average + (1 - share) * maximum


class SideBySide(Head):
    kind, name = "side_by_side", "GAP beside GMP"
    explanation = "Each channel gives two numbers, its average and its maximum."

    @staticmethod
    def width(shape: tuple[int, ...]) -> int:
        return 2 * shape[0]

    @staticmethod
    def prepare(feature_maps: Tensor) -> Prepared:
        return (torch.cat([*Gap.prepare(feature_maps), *Gmp.prepare(feature_maps)], 1),)

    def cells(self, feature_maps: Tensor, slopes: Tensor) -> Tensor:
        halves = zip(slopes.chunk(2), (POOLINGS["gap"], POOLINGS["gmp"]), strict=True)
        return sum((part @ (pooling.weights(feature_maps) * feature_maps).flatten(1)).unflatten(
            0, feature_maps.shape[1:]) for part, pooling in halves)


class Pyramid(Head):
    kind, name = "pyramid", "Spatial pyramid, 1 + 2 x 2"
    explanation = "The average of the whole grid and of each of its quarters: some of the layout is kept."
    source = "After He, Zhang, Ren and Sun, Spatial Pyramid Pooling in Deep Convolutional Networks for Visual " \
             "Recognition, 2014, arXiv:1406.4729 (there with maxima)"
    levels = (1, 2)

    @staticmethod
    def width(shape: tuple[int, ...]) -> int:
        return shape[0] * sum(level ** 2 for level in Pyramid.levels)

    @staticmethod
    def prepare(feature_maps: Tensor) -> Prepared:
        """Windows first, then channels: the first C numbers are GAP."""
        windows = [functional.adaptive_avg_pool2d(feature_maps, level).flatten(2).mT for level in Pyramid.levels]
        return (torch.cat(windows, 1).flatten(1),)

    def cells(self, feature_maps: Tensor, slopes: Tensor) -> Tensor:
        rows, columns = feature_maps.shape[PLACES[0]:]
        # Each window's weights, as torch itself has them: what it makes of a single active position.
        single = torch.eye(rows * columns, dtype=feature_maps.dtype).unflatten(1, (1, rows, columns))
        windows = self.prepare(single)[0].T
        of_windows = slopes.unflatten(0, (len(windows), -1)) @ feature_maps.flatten(1)
        return (windows * of_windows).sum(0).unflatten(0, (rows, columns))


class Flatten(Head):
    kind, name = "flatten", "Flatten"
    explanation = "Every channel at every position has a weight of its own: what came before global pooling."

    @staticmethod
    def width(shape: tuple[int, ...]) -> int:
        return shape[0] * shape[1] * shape[2]

    @staticmethod
    def prepare(feature_maps: Tensor) -> Prepared:
        return (feature_maps.flatten(1),)

    def cells(self, feature_maps: Tensor, slopes: Tensor) -> Tensor:
        return (slopes.view_as(feature_maps) * feature_maps).sum(0)


KINDS: MappingProxyType[str, type[Head]] = MappingProxyType({
    head.kind: head for head in (Gap, Gmp, Gem, Attention, Gated, SideBySide, Pyramid, Flatten)
})


def kinds_of(keys: Sequence[str]) -> list[type[Head]]:
    """The kinds of those keys. Raises ParameterError naming the keys that exist, or where none is given."""
    keys = [keys] if isinstance(keys, str) else list(keys)
    if not keys or set(keys) - set(KINDS):
        raise ParameterError(f"The kinds of heads are {', '.join(map(repr, keys)) or 'none'}; expected some of "
                             f"{', '.join(KINDS)}.")
    return [KINDS[key] for key in dict.fromkeys(keys)]
