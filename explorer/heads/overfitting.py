"""How much a head learns by heart: kinds of heads trained on few photos, judged by these and by others."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch

from explorer.checks import checked_whole
from explorer.errors import ParameterError, StoppedError
from explorer.heads.head_files import Sample
from explorer.heads.kinds import KINDS, kinds_of
from explorer.heads.training import Budget, Epoch, Photos, TrainedHead, fit
from explorer.progress import Stop

SIZES = (5, 10, 20, 40)
# Nothing is chosen by looking at the validation photos: the whole budget is spent, and the last epoch counts.
WHOLE = Budget(epochs=100, patience=None, every=20)
NUMBERS = Epoch._fields[1:]


class Run(NamedTuple):
    """One head, trained on some photos of each class.

    Attributes:
        kind: key of KINDS.
        size: photos a class.
        trained: the head and how its training went.
    """

    kind: str
    size: int
    trained: TrainedHead


class Spread(NamedTuple):
    """Over the seeds: the mean, and the standard deviation of a single run (0 of one seed)."""

    mean: float
    deviation: float


class Summary(NamedTuple):
    """One kind at one size, over the seeds.

    Attributes:
        kind, size, seeds: which, and how many seeds.
        train_loss, train_accuracy, validation_loss, validation_accuracy: see Epoch.
        gap: train accuracy less validation accuracy.
    """

    kind: str
    size: int
    seeds: int
    train_loss: Spread
    train_accuracy: Spread
    validation_loss: Spread
    validation_accuracy: Spread
    gap: Spread


def training_runs(
    sample: Sample, kinds: Sequence[str] = tuple(KINDS), sizes: Sequence[int] = SIZES, seeds: int = 5, *,
    budget: Budget = WHOLE, stop: Stop | None = None,
) -> Iterator[Run]:
    """One head after another, seed by seed, kind by kind and the smallest draws first, to be shown as they come.

    All kinds train on the same photos; of one seed the larger draw holds the smaller.

    Args:
        sample: photos to draw from, and photos that only validate.
        kinds: keys of KINDS.
        sizes: photos a class, in any order; at most as many as the sample has to train on.
        seeds: how many draws, 0 to seeds - 1.
        budget: of each head. With patience, it would stop by the photos that it is then judged by.
        stop: checked at each epoch.

    Raises:
        ParameterError: a kind that does not exist, a size or a number of seeds that cannot be.
        StoppedError: `stop` returned True.
    """
    chosen, sizes = kinds_of(kinds), sorted(set(sizes))
    _check(sample, sizes, seeds)
    others = sample.features.floats(sample.validation)
    shape, classes, prepared = others.shape[1:], len(sample.class_names), {}
    for seed in range(seeds):
        order = _drawn(sample, seed)
        for kind in chosen:
            if kind.kind not in prepared:  # what GeM prepares takes long, and the first head does not wait for it
                prepared[kind.kind] = Photos(kind.prepare(others), sample.labels[sample.validation])
            for size in sizes:
                if stop and stop():
                    raise StoppedError(f"Stopped before {kind.name} at {size} photos a class.")
                photos = torch.cat([of_class[:size] for of_class in order])
                train = Photos(kind.prepare(sample.features.floats(photos)), sample.labels[photos])
                head = kind(shape, classes)
                yield Run(kind.kind, size, fit(head, train, prepared[kind.kind], budget, stop=stop))


def summaries(runs: Iterable[Run]) -> tuple[Summary, ...]:
    """Of any runs, also while others are still to come: by kind in the order of KINDS, then by size."""
    groups: dict[tuple[str, int], list[Epoch]] = {}
    for run in runs:
        groups.setdefault((run.kind, run.size), []).append(run.trained.kept)
    order = sorted(groups, key=lambda key: (list(KINDS).index(key[0]), key[1]))
    return tuple(_summary(kind, size, groups[kind, size]) for kind, size in order)


def _summary(kind: str, size: int, ends: list[Epoch]) -> Summary:
    own = {name: _spread([getattr(end, name) for end in ends]) for name in NUMBERS}
    return Summary(kind, size, len(ends), **own,
                   gap=_spread([end.train_accuracy - end.validation_accuracy for end in ends]))


def _spread(values: list[float]) -> Spread:
    return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0)


def _drawn(sample: Sample, seed: int) -> list[torch.Tensor]:
    """Of each class the photos to train on, in an order drawn with this seed."""
    generator, orders = torch.Generator().manual_seed(seed), []
    for index in range(len(sample.class_names)):
        photos = torch.nonzero((sample.labels == index) & ~sample.validation).flatten()
        orders.append(photos[torch.randperm(len(photos), generator=generator)])
    return orders


def _check(sample: Sample, sizes: Sequence[int], seeds: int) -> None:
    counts = torch.bincount(sample.labels[~sample.validation], minlength=len(sample.class_names))
    least = int(counts.amin())
    if not sizes or not all(isinstance(size, int) and 1 <= size <= least for size in sizes):
        raise ParameterError(f"The numbers of photos a class are {list(sizes)}; expected whole numbers from 1 "
                             f"to {least}.")
    checked_whole(seeds, 1, None, "number of seeds")
