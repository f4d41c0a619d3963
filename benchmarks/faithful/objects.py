"""Where an object is, on photos where that is known: what is asked, and how a map that answers is measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from timm.data import ImageNetInfo

from explorer import analyse, read_image
from explorer.networks import Network

TILE = 224  # px

# What is asked.


class Question(NamedTuple):
    """Where on the photo is the object of this class?

    Attributes:
        photo: its number among the photos; questions about one photo are not independent.
        class_index: the class.
        boxes: left, top, right, bottom of each place where it is, as shares of the photo.
        others: three other classes.
        rank: of the class in the network's answer, 1 is the most probable.
    """

    photo: int
    class_index: int
    boxes: tuple[tuple[float, float, float, float], ...]
    others: tuple[int, ...]
    rank: int


PhotoQuestions = list[tuple[Image.Image, list[Question]]]


def of_coco(network: Network, folder: Path, side: int, seed: int = 0) -> PhotoQuestions:
    """One question a photo: a class whose boxes together cover less than half of it.

    Of the photo's classes that have ImageNet classes the one with the largest logit among them is asked, and of its
    ImageNet classes that one. Three other classes are drawn.

    Args:
        folder: holds images/, labels/*.txt (class, centre x, centre y, width, height as shares), classes.txt and
            classes_in_imagenet.json.
        side: short side of the whole photo at which the network is asked for that logit.
    """
    names = (folder / "classes.txt").read_text(encoding="utf-8").splitlines()
    in_imagenet = json.loads((folder / "classes_in_imagenet.json").read_text(encoding="utf-8"))
    drawn, photos = np.random.default_rng(seed), []
    for path in sorted((folder / "images").iterdir()):
        label = folder / "labels" / f"{path.stem}.txt"
        if not label.exists():
            continue
        boxes = boxes_of(label.read_text(encoding="utf-8"), names)
        possible = {name: own for name, own in boxes.items() if name in in_imagenet and area_of(own) < 0.5}
        if not possible:
            continue
        photo = read_image(path)
        logits = analyse(network, photo, "whole", side).under().logits
        _, index, name = max((float(logits[index]), index, name) for name in possible for index in in_imagenet[name])
        others = drawn.choice(np.setdiff1d(np.arange(len(logits)), in_imagenet[name]), 3, replace=False)
        photos.append((photo, [Question(len(photos), index, possible[name], tuple(others.tolist()),
                                       int((logits > logits[index]).sum()) + 1)]))
    return photos


def boxes_of(label: str, names: Sequence[str]) -> dict[str, tuple[tuple[float, float, float, float], ...]]:
    """Left, top, right, bottom of each box, by class, as shares of the photo."""
    boxes: dict[str, tuple[tuple[float, float, float, float], ...]] = {}
    for line in label.splitlines():
        number, x, y, width, height = (float(part) for part in line.split())
        box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        boxes[names[int(number)]] = (*boxes.get(names[int(number)], ()), box)
    return boxes


def labelled(folder: Path) -> list[tuple[Path, int]]:
    """Photos named synset_class.JPEG with their class index: a synset's place among all thousand in order."""
    synsets = {synset: index for index, synset in enumerate(ImageNetInfo().label_names())}
    photos = ((path, synsets.get(path.name.partition("_")[0])) for path in sorted(folder.glob("n*_*")))
    return [(path, index) for path, index in photos if index is not None]


def of_grids(network: Network, folder: Path, count: int = 60, seed: int = 0) -> PhotoQuestions:
    """Four questions a grid of 2 x 2 photos of four classes: where each is, and the other three are rivals.

    Drawn from the photos whose class is the answer when the network sees them alone, as it was trained.
    """
    right: dict[int, list[Path]] = {}
    for path, index in labelled(folder):
        if analyse(network, read_image(path)).under().top(1)[0].class_index == index:
            right.setdefault(index, []).append(path)
    drawn, photos = np.random.default_rng(seed), []
    for n in range(count):
        classes = drawn.choice(sorted(right), 4, replace=False).tolist()
        paths = [right[index][drawn.integers(len(right[index]))] for index in classes]
        photos.append((grid_of([read_image(path) for path in paths]), [
            Question(n, index, (tile_of(place),), tuple(other for other in classes if other != index), 1)
            for place, index in enumerate(classes)
        ]))
    return photos


def tile_of(place: int) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the tile, from 0 (left above) by row to 3, as shares of the grid."""
    top, left = divmod(place, 2)
    return left / 2, top / 2, (left + 1) / 2, (top + 1) / 2


def grid_of(photos: Sequence[Image.Image]) -> Image.Image:
    """Four photos, each its central square, in two rows."""
    grid = Image.new("RGB", (2 * TILE, 2 * TILE))
    for place, photo in enumerate(photos):
        side, (left, top, _, _) = min(photo.size), tile_of(place)
        x, y = (photo.width - side) // 2, (photo.height - side) // 2
        square = photo.crop((x, y, x + side, y + side)).resize((TILE, TILE), Image.Resampling.BICUBIC)
        grid.paste(square, (round(left * 2 * TILE), round(top * 2 * TILE)))
    return grid


# How a map is measured.


class Measured(NamedTuple):
    """How well a map finds an object, each 0 to 1.

    Attributes:
        pointing: whether the centre of the strongest place lies on it (of several level ones, the share).
        energy: the share of what is positive that lies on it. A map that is sharpened gets more, wherever it points.
        own_size: of the strongest places that together are as large as the object, the share that lies on it.
    """

    pointing: float
    energy: float
    own_size: float


def measured(cells: np.ndarray, covered: np.ndarray, inside: np.ndarray) -> Measured:
    """Measure a map (H, W) of any scale. A map without anything positive has its energy everywhere alike.

    Args:
        covered: (H, W), the share of each place that is covered by the object, not all 0.
        inside: (H, W) bool, whether its centre is.
    """
    positive = np.maximum(cells, 0)
    energy = (positive * covered).sum() / positive.sum() if positive.any() else covered.mean()
    size = covered.sum()  # in places
    # Level places share what is left of the object's size.
    _, level, counts = np.unique(-cells, return_inverse=True, return_counts=True)
    taken = np.clip(size - (np.cumsum(counts) - counts), 0, counts) / counts
    return Measured(float(inside[cells == cells.max()].mean()), float(energy),
                    float((taken[level.reshape(cells.shape)] * covered).sum() / size))


def overlaps(count: int, edges: Sequence[float]) -> np.ndarray:
    """(count, spans): the share of each of `count` equal parts of 0..1 that lies between two edges."""
    begin = np.arange(count)[:, None] / count
    spans = np.minimum(begin + 1 / count, edges[1:]) - np.maximum(begin, edges[:-1])
    return spans.clip(0) * count


def covered_by(boxes: Sequence[Sequence[float]], rows: int, columns: int) -> np.ndarray:
    """(rows, columns): the share of each place that the boxes cover together; they may overlap and leave the photo."""
    xs, ys = (np.array(sorted({0.0, 1.0, *(float(np.clip(box[n], 0, 1)) for box in boxes for n in sides)}))
              for sides in ((0, 2), (1, 3)))
    return overlaps(rows, ys) @ centres_in(boxes, (ys[:-1] + ys[1:]) / 2, (xs[:-1] + xs[1:]) / 2) @ overlaps(
        columns, xs).T


def centres_in(boxes: Sequence[Sequence[float]], down: np.ndarray, across: np.ndarray) -> np.ndarray:
    """(down, across) bool: which of these points lie in a box."""
    return np.any([np.outer((top <= down) & (down < bottom), (left <= across) & (across < right))
                   for left, top, right, bottom in boxes], 0)


def area_of(boxes: Sequence[Sequence[float]]) -> float:
    """The share of the photo that they cover together."""
    return float(covered_by(boxes, 1, 1)[0, 0])
