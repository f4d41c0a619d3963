"""The feature maps of a run's labelled photos, and which of them train, validate and test."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from explorer.analysis import analyse_input
from explorer.errors import ExplorerError, RunError, StoppedError
from explorer.folder.run import Run
from explorer.folder.scanning import Framed, Scanner, rows_here
from explorer.framing import Framing
from explorer.images import quoted
from explorer.progress import Progress, Stop
from explorer.wording import listed

PARTS = ("train", "validation", "test")
SHARES = (0.6, 0.2, 0.2)  # of the photos, about: a hash decides photo by photo
FEWEST = (3, 1, 1)  # photos of a class in each part, or the class is left out
_PROPOSED = 20  # photos of a class, of which 12 train and 4 test; with fewer the hash may leave a part empty
# Of the maps as float16: 2,100 photos of 1280 x 7 x 7. Training, one kind of head at a time and in float32, takes 0.4
# to 0.7 GB beside them, and GeM 1.7 GB.
MOST_BYTES = 256 * 2**20
_HALF_AT_MOST = float(torch.finfo(torch.float16).max)
_LABELLED = ("SELECT path, label, bytes, modified FROM rows WHERE label IS NOT NULL AND trim(label) != '' "
        "AND error IS NULL ORDER BY path")


@dataclass(frozen=True, eq=False)
class LabelledMaps:
    """Feature maps of labelled photos.

    Attributes:
        maps: (N, C, H, W) float16.
        labels: (N,) class indices.
        parts: (N,) places in PARTS.
        class_names: the distinct labels, sorted.
        paths, framings: one a photo.
        left_out: labels with too few photos, and how many those have.
        beyond: photos that were left out because their maps would not fit into the memory that is allowed.
        unread: photos that could not be read or framed now.
    """

    maps: Tensor
    labels: Tensor
    parts: Tensor
    class_names: tuple[str, ...]
    paths: tuple[str, ...]
    framings: tuple[Framing, ...]
    left_out: tuple[tuple[str, int], ...] = ()
    beyond: int = 0
    unread: int = 0

    def of(self, part: str) -> Tensor:
        """(n,) indices of the photos of a part."""
        return torch.nonzero(self.parts == PARTS.index(part)).flatten()

    def counts(self) -> dict[str, int]:
        """Photos by part."""
        return {part: len(self.of(part)) for part in PARTS}


def part_of(path: str) -> str:
    """The part that a photo belongs to, by a hash of its path from the run's folder: the same in every run."""
    drawn = int.from_bytes(_hash(path)[:8], "big") / 2**64
    return PARTS[0] if drawn < SHARES[0] else PARTS[1] if drawn < SHARES[0] + SHARES[1] else PARTS[2]


def labelled_maps(
    run: Run, most_bytes: int = MOST_BYTES, progress: Progress | None = None, stop: Stop | None = None
) -> LabelledMaps:
    """Pass the labelled photos of a run once through its network, framed as there.

    Classes are the run's labels as they were given, also those that the network has no class for. Photos are drawn
    evenly: one of each class after the other, in the order of a hash of their paths, until all are drawn or their maps
    take `most_bytes`.

    Args:
        progress: called with photos done and photos to pass.
        stop: StoppedError is raised when it returns True.

    Raises:
        RunError: fewer than two labels have enough photos (FEWEST), the photos are gone, or the feature maps of the
            photos differ in size.
        NetworkError: the run's network cannot be loaded again.
        StoppedError: `stop` said so.
    """
    photos = run.query(_LABELLED).to_pylist()
    names, left_out = _classes(photos)
    network = run.network
    if network.pooling is None:
        raise RunError(f"{network.title} has no global pooling, so no head can be trained on its feature maps; "
                       "expected a run of a network that pools its maps.")
    order = _evenly(photos, names)
    kept, total, unread = _Kept(), len(order), 0
    scanner = _MapsOnly(network, run.photos, (), run.recipe["framing"]["kind"], run.recipe["framing"]["short_side"], {})
    with closing(rows_here(scanner, pa.Table.from_pylist(order))) as rows:
        for n, row in enumerate(rows):
            if stop is not None and stop():
                raise StoppedError(f"Stopped after {n:,} of {total:,} photos.")
            if row["maps"] is None:
                if not run.photos.is_dir():
                    raise RunError(f"The folder of the photos, {quoted(run.photos)}, is gone; expected it to be where "
                                   "the run has it.")
                unread += 1
                continue
            if kept.maps is None:
                total = min(total, max(1, most_bytes // (2 * row["maps"].numel())))
            kept.add(row, total)
            if progress is not None:
                progress(len(kept.paths), total)
            if len(kept.paths) >= total:
                break
    return kept.result(names, left_out, len(order) - unread - len(kept.paths), unread)


class _MapsOnly(Scanner):
    """Gives the feature maps of a photo in place of its row."""

    def row(self, framed: Framed) -> dict[str, Any]:
        if framed.image is None or framed.input is None or framed.framing is None:
            return framed.listed | {"maps": None}
        try:
            analysis = analyse_input(self.network, framed.image, framed.input, framed.framing)
        except ExplorerError:
            return framed.listed | {"maps": None}
        halves = analysis.feature_maps.clamp(-_HALF_AT_MOST, _HALF_AT_MOST).half()
        return framed.listed | {"maps": halves, "framing": analysis.framing}


class _Kept:
    """The photos passed so far."""

    def __init__(self) -> None:
        self.maps: Tensor | None = None
        self.labels: list[str] = []
        self.paths: list[str] = []
        self.framings: list[Framing] = []

    def add(self, row: dict[str, Any], most: int) -> None:
        shape = row["maps"].shape
        if self.maps is None:
            self.maps = torch.empty((most, *shape), dtype=torch.float16)
        if self.maps.shape[1:] != shape:
            first, here = (" x ".join(map(str, length)) for length in (self.maps.shape[1:], shape))
            raise RunError(f"The feature maps of {self.paths[0]!r:.80} are {first} and those of {row['path']!r:.80} "
                           f"{here}; expected one size: scan the photos again with --framing crop or squash.")
        self.maps[len(self.paths)] = row["maps"]
        self.labels.append(row["label"])
        self.paths.append(row["path"])
        self.framings.append(row["framing"])

    def result(
        self, names: Sequence[str], left_out: Sequence[tuple[str, int]], beyond: int, unread: int
    ) -> LabelledMaps:
        counts = Counter((label, part_of(path)) for label, path in zip(self.labels, self.paths, strict=True))
        few = [name for name in names if any(
            counts[name, part] < least for part, least in zip(PARTS, FEWEST, strict=True))]
        if self.maps is None or few:
            raise RunError(f"{len(self.paths):,} photos could be passed and {unread:,} could not be read, and "
                           f"{listed([repr(name)[:60] for name in few[:3]])} have too few of them to train, validate "
                           "and test on; expected the photos to be where the run has them, and maps that fit into the "
                           "memory allowed.")
        index = {name: n for n, name in enumerate(names)}
        return LabelledMaps(
            self.maps[:len(self.paths)], torch.tensor([index[label] for label in self.labels]),
            torch.tensor([PARTS.index(part_of(path)) for path in self.paths]), tuple(names), tuple(self.paths),
            tuple(self.framings), tuple(left_out), beyond, unread)


def _classes(photos: Sequence[dict[str, Any]]) -> tuple[list[str], list[tuple[str, int]]]:
    """The labels with enough photos in each part, and the others with how many they have."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for photo in photos:
        counts[photo["label"]][part_of(photo["path"])] += 1
    enough = [label for label in sorted(counts) if all(
        counts[label][part] >= least for part, least in zip(PARTS, FEWEST, strict=True))]
    left_out = [(label, counts[label].total()) for label in sorted(counts) if label not in set(enough)]
    if len(enough) < 2:
        largest = sorted(left_out, key=lambda item: -item[1])[:3]
        words = "; ".join([f"{len(enough)} has enough", *(f"{label!r:.40} has {count:,}" for label, count in largest)])
        there = f"{len(counts):,} labels on {len(photos):,} photos ({words})" if counts else "no photo with a label"
        raise RunError(
            f"The run has {there}; expected at least two labels with some {_PROPOSED} photos each: {FEWEST[0]} to "
            f"train on, {FEWEST[1]} to validate and {FEWEST[2]} to test, as a hash of their paths divides them. Scan "
            "more photos, or give their labels with --labels.")
    return enough, left_out


def _evenly(photos: Sequence[dict[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    """One photo of each class after the other, those of a class in the order of a hash."""
    of_class: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for photo in photos:
        if photo["label"] in of_class:
            of_class[photo["label"]].append(photo)
    for same in of_class.values():
        same.sort(key=lambda photo: _hash(photo["path"])[8:])
    return [photo for turn in zip_longest(*of_class.values()) for photo in turn if photo is not None]


def _hash(path: str) -> bytes:
    return hashlib.sha256(path.encode()).digest()


def batches(count: int, size: int) -> Iterator[slice]:
    """Slices of so many photos at a time."""
    return (slice(start, start + size) for start in range(0, count, size))
