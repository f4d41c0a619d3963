"""Lesson 6: what is lost, place. The positions of the feature maps are shuffled, and everything is asked again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from explorer.analysis import Analysis, Outcome
from explorer.errors import ExplorerError, MethodError
from explorer.heads.kinds import KINDS
from explorer.lessons.checks import whole

LARGEST_SEED = 999_999
LAYOUTS = ("pyramid", "flatten")  # of KINDS, those that keep the place

Head = Callable[[Tensor], Tensor]  # feature maps (1, C, H, W) to logits (1, classes), by a way of its own


class Asked(NamedTuple):
    """One pooling, layout or head, before the positions were shuffled and after.

    Attributes:
        key, name: what was asked.
        numbers: of the vector that it makes of the feature maps; None for a head that keeps its vector to itself.
        vector_change: length of the vectors' difference, as a share of the length of the one before; None likewise.
        before, after: logits (classes,); None for a layout without a head.
        logit_change: the largest difference of a logit, as a share of the largest logit before; None likewise.
    """

    key: str
    name: str
    numbers: int | None
    vector_change: float | None
    before: Tensor | None
    after: Tensor | None
    logit_change: float | None


@dataclass(frozen=True, eq=False)
class LostPlace:
    """Everything that is asked of feature maps, and of the same maps with their positions shuffled.

    Attributes:
        seed: of the shuffle.
        permutation: (H * W,) int64: position n after is position permutation[n] before, both counted row by row.
        moved: share of the positions that lie elsewhere than before.
        shuffled: the analysis of the shuffled maps; its photo and input are the ones before.
        poolings: every pooling there is, under the network's own head.
        layouts: spatial pyramid and flatten, which keep the place; their vectors alone.
        heads: the trained heads that were given, in their order.
        cells_before, cells_after: (H, W), evidence for the class under the outcome's pooling.
        evidence_change: the largest difference between the evidence of a position after and that of the same position
            before, wherever it lies, as a share of the largest evidence.
    """

    seed: int
    permutation: Tensor
    moved: float
    shuffled: Analysis
    poolings: tuple[Asked, ...]
    layouts: tuple[Asked, ...]
    heads: tuple[Asked, ...]
    cells_before: Tensor
    cells_after: Tensor
    evidence_change: float


def lost_place(
    outcome: Outcome, class_index: int, seed: int = 0, heads: Mapping[str, Head] | None = None
) -> LostPlace:
    """Shuffle the positions, the same way in all channels, and ask again.

    Args:
        outcome: its pooling gives the evidence.
        class_index: the class of the evidence.
        seed: of the shuffle, 0 to 999,999.
        heads: trained ones by name, such as those of `explorer.heads`: feature maps (1, C, H, W) to logits
            (1, classes). Their classes may be other ones than the network's.

    Raises:
        ParameterError: no such class, or a seed outside its range.
        MethodError: the answer cannot be taken apart, or a head does not take these feature maps.
    """
    analysis = outcome.analysis
    analysis.require_evidence()
    whole(seed, 0, LARGEST_SEED, "seed")
    before = outcome.evidence(class_index).cells
    order = torch.randperm(before.numel(), generator=torch.Generator().manual_seed(seed))
    shuffled = _shuffled(analysis, order)
    after = shuffled.under(outcome.pooling, **outcome.parameters).evidence(class_index).cells
    maps = analysis.feature_maps, shuffled.feature_maps
    return LostPlace(
        seed=seed, permutation=order, moved=float((order != torch.arange(len(order))).double().mean()),
        shuffled=shuffled,
        poolings=tuple(_of_pooling(each, shuffled) for each in outcome.under_each_pooling()),
        layouts=tuple(_of_layout(key, maps) for key in LAYOUTS),
        heads=tuple(_asked(name, name, None, _answers(name, head, maps)) for name, head in (heads or {}).items()),
        cells_before=before, cells_after=after,
        evidence_change=_largest(after.flatten(), before.flatten()[order]),
    )


def _shuffled(analysis: Analysis, order: Tensor) -> Analysis:
    maps = analysis.feature_maps
    return Analysis(analysis.network, analysis.image, analysis.framing, analysis.input,
                    maps.flatten(1)[:, order].unflatten(1, maps.shape[1:]), 0.0)


def _of_pooling(outcome: Outcome, shuffled: Analysis) -> Asked:
    after = shuffled.under(outcome.pooling, **outcome.parameters)
    return _asked(outcome.pooling, outcome.name, (outcome.pooled, after.pooled), (outcome.logits, after.logits))


def _of_layout(key: str, maps: tuple[Tensor, Tensor]) -> Asked:
    return _asked(key, KINDS[key].name, tuple(KINDS[key].prepare(each[None])[0][0] for each in maps))


def _asked(
    key: str, name: str, vectors: tuple[Tensor, Tensor] | None, logits: tuple[Tensor, Tensor] | None = None
) -> Asked:
    return Asked(
        key, name, None if vectors is None else len(vectors[0]), None if vectors is None else _apart(*vectors),
        *(logits or (None, None)), None if logits is None else _largest(*reversed(logits)),
    )


def _answers(name: str, head: Head, maps: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    try:
        with torch.no_grad():
            return tuple(head(each[None])[0] for each in maps)
    except (ExplorerError, RuntimeError) as error:
        raise MethodError(f"The head {name} does not take feature maps of shape {tuple(maps[0].shape)} "
                          f"({str(error).splitlines()[0]:.160}); expected a head that was made for them.") from None


def _apart(before: Tensor, after: Tensor) -> float:
    before, after = before.double(), after.double()
    difference = torch.linalg.vector_norm(after - before)
    return float(difference / torch.linalg.vector_norm(before)) if bool(difference != 0) else 0.0


def _largest(after: Tensor, before: Tensor) -> float:
    """The largest difference as a share of the largest number before."""
    before, after = before.double(), after.double()
    difference = (after - before).abs().max()
    return float(difference / before.abs().max()) if bool(difference != 0) else 0.0
