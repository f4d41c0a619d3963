"""Lesson 6: what is lost, place. The positions of the feature maps are shuffled, and all answers are computed again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from explorer.analysis import Analysis, Outcome
from explorer.checks import checked_whole
from explorer.errors import ExplorerError, MethodError
from explorer.heads.kinds import KINDS

LARGEST_SEED = 999_999
LAYOUTS = ("pyramid", "flatten")  # of KINDS, those that keep the place

Head = Callable[[Tensor], Tensor]  # feature maps (1, C, H, W) to logits (1, classes)


class BeforeAndAfter(NamedTuple):
    """One pooling or layout, before the positions were shuffled and after.

    Attributes:
        key, name: of the pooling or layout.
        vector_change: length of the difference of its vectors, as a share of the length before.
        before, after: logits (classes,); None for a layout without a head.
        logit_change: the largest difference of a logit, as a share of the largest logit before; None likewise.
    """

    key: str
    name: str
    vector_change: float
    before: Tensor | None
    after: Tensor | None
    logit_change: float | None


@dataclass(frozen=True, eq=False)
class LostPlace:
    """The answers to feature maps, and to the same maps with their positions shuffled.

    Attributes:
        permutation: (H * W,) int64: position n after is position permutation[n] before, both counted row by row.
        moved: share of the positions that lie elsewhere than before.
        poolings: every pooling there is, under the network's own head.
        layouts: spatial pyramid and flatten, which keep the place, each under its head where there is one.
        cells_before, cells_after: (H, W), evidence for the class under the outcome's pooling.
        evidence_change: the largest difference between the evidence of a position after and that of the same position
            before, wherever it lies, as a share of the largest evidence.
    """

    permutation: Tensor
    moved: float
    poolings: tuple[BeforeAndAfter, ...]
    layouts: tuple[BeforeAndAfter, ...]
    cells_before: Tensor
    cells_after: Tensor
    evidence_change: float


def lost_place(
    outcome: Outcome, class_index: int, seed: int = 0, heads: Mapping[str, Head] = MappingProxyType({})
) -> LostPlace:
    """Shuffle the positions, the same way in all channels, and compute all answers again.

    Args:
        outcome: its pooling gives the evidence.
        class_index: the class of the evidence.
        seed: of the shuffle, 0 to 999,999.
        heads: trained ones by the key of their layout, such as those of `explorer.heads`: feature maps (1, C, H, W)
            to logits (1, classes). Their classes may be other ones than the network's.

    Raises:
        ParameterError: no such class, or a seed outside its range.
        MethodError: the answer cannot be decomposed, or a head does not take these feature maps.
    """
    analysis = outcome.analysis
    analysis.require_evidence()
    checked_whole(seed, 0, LARGEST_SEED, "seed")
    before = outcome.evidence(class_index).cells
    order = torch.randperm(before.numel(), generator=torch.Generator().manual_seed(seed))
    shuffled = _shuffled(analysis, order)
    after = shuffled.under(outcome.pooling, **outcome.parameters).evidence(class_index).cells
    maps = analysis.feature_maps, shuffled.feature_maps
    return LostPlace(
        permutation=order, moved=float((order != torch.arange(len(order))).double().mean()),
        poolings=tuple(_of_pooling(other, shuffled) for other in outcome.under_each_pooling()),
        layouts=tuple(_of_layout(key, maps, heads.get(key)) for key in LAYOUTS),
        cells_before=before, cells_after=after,
        evidence_change=_largest_change(before.flatten()[order], after.flatten()),
    )


def _shuffled(analysis: Analysis, order: Tensor) -> Analysis:
    maps = analysis.feature_maps
    return Analysis(analysis.network, analysis.image, analysis.framing, analysis.input,
                    maps.flatten(1)[:, order].unflatten(1, maps.shape[1:]), 0.0)


def _of_pooling(outcome: Outcome, shuffled: Analysis) -> BeforeAndAfter:
    after = shuffled.under(outcome.pooling, **outcome.parameters)
    return _compared(outcome.pooling, outcome.name, (outcome.pooled, after.pooled), (outcome.logits, after.logits))


def _of_layout(key: str, maps: tuple[Tensor, Tensor], head: Head | None) -> BeforeAndAfter:
    before, after = (KINDS[key].prepare(part[None])[0][0] for part in maps)
    return _compared(key, KINDS[key].name, (before, after), None if head is None else _logits(key, head, maps))


def _compared(
    key: str, name: str, vectors: tuple[Tensor, Tensor], logits: tuple[Tensor, Tensor] | None
) -> BeforeAndAfter:
    before, after = logits or (None, None)
    change = None if logits is None else _largest_change(*logits)
    return BeforeAndAfter(key, name, _relative_distance(*vectors), before, after, change)


def _logits(name: str, head: Head, maps: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    try:
        with torch.no_grad():
            return head(maps[0][None])[0], head(maps[1][None])[0]
    except (ExplorerError, RuntimeError) as error:
        raise MethodError(f"The head {name} does not take feature maps of shape {tuple(maps[0].shape)} "
                          f"({str(error).splitlines()[0]:.160}); expected a head that was made for them.") from None


def _relative_distance(before: Tensor, after: Tensor) -> float:
    before, after = before.double(), after.double()
    difference = torch.linalg.vector_norm(after - before)
    return float(difference / torch.linalg.vector_norm(before)) if bool(difference != 0) else 0.0


def _largest_change(before: Tensor, after: Tensor) -> float:
    """The largest difference as a share of the largest number before."""
    before, after = before.double(), after.double()
    difference = (after - before).abs().max()
    return float(difference / before.abs().max()) if bool(difference != 0) else 0.0
