"""Which pooling for these photos? Heads trained on a run's feature maps, each with its own pooling, and compared."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch

from explorer.checks import checked_key
from explorer.errors import ParameterError, RunError, StoppedError
from explorer.folder.boxes import Box, inside, read_boxes, shares_inside
from explorer.folder.head_outcomes import HeadOutcome, HeadsOnRun, backbone_of
from explorer.folder.labelled_maps import MOST_BYTES, LabelledMaps, batches, labelled_maps
from explorer.folder.run import Run
from explorer.heads import BUDGET, KINDS, Budget, Head
from explorer.heads.kinds import kinds_of
from explorer.heads.measures import evidence_of, wilson
from explorer.heads.training import LOSSES, Photos, fit
from explorer.progress import Progress, Stop

_AT_ONCE = 64  # photos


def train_heads(
    run: Run, kinds: Sequence[str] = tuple(KINDS), losses: Sequence[str] = tuple(LOSSES), *,
    boxes: str | os.PathLike | Mapping[str, Sequence[Box]] | None = None, budget: Budget = BUDGET,
    most_bytes: int = MOST_BYTES, progress: Progress | None = None, stop: Stop | None = None,
) -> HeadsOnRun:
    """Train heads on a run's labelled photos and measure each on photos that it never saw.

    The photos are passed once through the run's network, framed as there; all heads learn from the same feature maps
    with the same budget. A hash of its path decides whether a photo trains (60%), validates (20%, and so decides when
    training stops) or tests (20%).

    Args:
        kinds: keys of KINDS.
        losses: keys of LOSSES; the network that is made of them answers with the first, unless another is named.
        boxes: where the objects are: a table of path, left, top, right and bottom in px of the photo, or by path.
        budget: of each head.
        most_bytes: of feature maps, see `explorer.folder.labelled_maps`.
        progress: called with steps done and all; a step is a photo passed or an epoch of training.
        stop: StoppedError is raised when it returns True.

    Raises:
        RunError: the labels, photos or boxes do not do, with what was expected.
        ParameterError: there is no such kind or loss.
        NetworkError: the run's network cannot be loaded again.
        StoppedError: `stop` said so.
    """
    *_, last = heads_one_by_one(run, kinds, losses, boxes=boxes, budget=budget, most_bytes=most_bytes,
                                progress=progress, stop=stop)
    return last


def heads_one_by_one(
    run: Run, kinds: Sequence[str] = tuple(KINDS), losses: Sequence[str] = tuple(LOSSES), *,
    boxes: str | os.PathLike | Mapping[str, Sequence[Box]] | None = None, budget: Budget = BUDGET,
    most_bytes: int = MOST_BYTES, progress: Progress | None = None, stop: Stop | None = None,
) -> Iterator[HeadsOnRun]:
    """`train_heads`, with what there is after each head; nothing is computed before the first is asked for."""
    count = len(kinds_of(kinds)) * len(_losses(losses))
    known = read_boxes(boxes, run.photos) if isinstance(boxes, (str, os.PathLike)) else dict(boxes or {})
    passed: list[int] = [0, 0]  # photos done and in all

    def of_photos(done: int, total: int) -> None:
        passed[:] = done, total
        if progress is not None:
            progress(done, total + count * budget.epochs)

    def of_epochs(done: int, total: int) -> None:
        if progress is not None:
            progress(passed[1] + done, passed[1] + total)

    maps = labelled_maps(run, most_bytes, of_photos, stop)
    if known and not any(path in known for path in maps.paths):
        raise RunError(f"No photo has a box: the boxes are of {next(iter(known))!r:.80} and so on, the photos are "
                       f"{maps.paths[0]!r:.80} and so on; expected paths that begin at the folder of the photos.")
    chance = _chance(maps, known)
    _, *shape = maps.maps.shape
    so_far = HeadsOnRun(run, backbone_of(run), maps.class_names, maps.counts(), maps.left_out, maps.beyond, maps.unread,
                        (shape[0], shape[1], shape[2]), chance, (), count)
    for outcome in outcomes_of(maps, kinds, losses, boxes=known, budget=budget, progress=of_epochs, stop=stop):
        so_far = replace(so_far, outcomes=(*so_far.outcomes, outcome))
        yield so_far


def outcomes_of(
    maps: LabelledMaps, kinds: Sequence[str], losses: Sequence[str], *,
    boxes: Mapping[str, Sequence[Box]] | None = None, budget: Budget = BUDGET, progress: Progress | None = None,
    stop: Stop | None = None,
) -> Iterator[HeadOutcome]:
    """Train each kind by each loss on feature maps, and measure it: one outcome after another.

    `progress` is called with the epochs done and all; otherwise see `train_heads`.
    """
    chosen, by = kinds_of(kinds), _losses(losses)
    train, validation, done = maps.of("train"), maps.of("validation"), 0
    total = len(chosen) * len(by) * budget.epochs
    for kind in chosen:
        begun = time.perf_counter()
        if stop is not None and stop():
            raise StoppedError(f"Stopped before {kind.name}.")
        photos, others = (Photos(kind.prepare(maps.maps[which].float()), maps.labels[which])
                          for which in (train, validation))
        preparing = time.perf_counter() - begun
        for loss in by:
            begun = time.perf_counter()
            head = fit(kind(maps.maps.shape[1:], len(maps.class_names)), photos, others, budget,
                       progress and (lambda epochs, before=done: progress(before + epochs, total)),
                       stop, loss)
            seconds, done = preparing + time.perf_counter() - begun, done + budget.epochs
            right, shares = _measured(head.module, maps, boxes or {})
            tested = len(maps.of("test"))
            yield HeadOutcome(
                kind.kind, loss, right, tested, *wilson(right, tested), head.kept.validation_accuracy,
                sum(weight.numel() for weight in head.module.parameters()), head.kept.epoch, seconds,
                sum(shares) / len(shares) if shares else None, len(shares), head.module)


@torch.no_grad()
def _measured(head: Head, maps: LabelledMaps, boxes: Mapping[str, Sequence[Box]]) -> tuple[int, list[float]]:
    """How many test photos are right, and of those with boxes the share of the positive evidence inside."""
    test, right, shares = maps.of("test"), 0, []
    for part in batches(len(test), _AT_ONCE):
        which = test[part]
        features, labels = maps.maps[which].float(), maps.labels[which]
        right += int((head(features).argmax(1) == labels).sum())
        boxed = [n for n, photo in enumerate(which.tolist()) if maps.paths[photo] in boxes]
        if not boxed:
            continue
        cells = evidence_of(head, features[boxed], labels[boxed]).numpy()
        for n, map_ in zip(boxed, cells, strict=True):
            photo = int(which[n])
            area = shares_inside(maps.framings[photo], boxes[maps.paths[photo]])
            share = inside(map_, area) if area.any() else None  # the network saw nothing of the object
            shares += [] if share is None else [share]
    return right, shares


def _chance(maps: LabelledMaps, boxes: Mapping[str, Sequence[Box]]) -> float | None:
    areas = [shares_inside(maps.framings[photo], boxes[maps.paths[photo]])
             for photo in maps.of("test").tolist() if maps.paths[photo] in boxes]
    shares = [float(area.mean()) for area in areas if area.any()]
    return sum(shares) / len(shares) if shares else None


def _losses(keys: Sequence[str]) -> list[str]:
    keys = [keys] if isinstance(keys, str) else list(keys)
    if not keys:
        raise ParameterError(f"There is no loss to train by; expected some of {', '.join(LOSSES)}.")
    return [checked_key(key, LOSSES, "loss") for key in dict.fromkeys(keys)]
