"""Which pooling learns best on frozen feature maps, and whether heads trained one against all place evidence better.

    python -m benchmarks.pooling_heads FLOWERS [--network NAME] [--kinds KIND ...] [--epochs N] [--grids 150]
        [--json FILE]

FLOWERS holds photos in train/CLASS/ and val/CLASS/. Of those in train a hash of the path takes a fifth to decide when
training stops; those in val test. Prints the accuracy of every kind of head by each loss, and for grids of 2 x 2 test
photos of four classes the share of the positive evidence for a tile's class that lies in its tile: by each loss of the
heads that are a pooling and a Linear, and the difference between the losses with its standard error over grids. Once of
the evidence for the class alone, and once of that for it against the mean of all other classes, in which nothing counts
that all classes have in common.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from explorer import analyse, load_network, read_image
from explorer.folder.heads import outcomes_of
from explorer.folder.labelled_maps import PARTS, LabelledMaps, part_of
from explorer.framing import frame
from explorer.heads import BUDGET, KINDS, Budget, Head
from explorer.heads.kinds import Gem
from explorer.heads.measures import evidence_of
from explorer.networks import Network
from explorer.poolings.learned import KEYS

MEASURES = ("alone", "against the others")
TILE = 224  # px


def maps_of(network: Network, folder: Path) -> LabelledMaps:
    """The photos of train and val, framed by crop; every fifth of train, by a hash, decides when to stop."""
    classes = sorted(path.name for path in (folder / "train").iterdir() if path.is_dir())
    photos = [path for part in ("train", "val") for name in classes
              for path in sorted((folder / part / name).glob("*.jpg"))]
    maps, framings, parts = [], [], []
    for path in photos:
        analysis = analyse(network, read_image(path))
        maps.append(analysis.feature_maps.half())
        framings.append(analysis.framing)
        place = path.relative_to(folder).as_posix()
        parts.append("test" if path.parts[-3] == "val" else "validation" if part_of(place) == "validation" else "train")
    return LabelledMaps(
        torch.stack(maps), torch.tensor([classes.index(path.parent.name) for path in photos]),
        torch.tensor([PARTS.index(part) for part in parts]), tuple(classes), tuple(map(str, photos)), tuple(framings))


def tile_of(photo: Image.Image) -> Image.Image:
    """The centre of a photo, 224 px square, as a network of 224 px is given it."""
    side = round(min(photo.size) * 0.875)
    left, top = (photo.width - side) // 2, (photo.height - side) // 2
    return photo.crop((left, top, left + side, top + side)).resize((TILE, TILE), Image.Resampling.BICUBIC)


def grids_of(network: Network, maps: LabelledMaps, count: int, seed: int = 0) -> list[tuple[Tensor, list[int]]]:
    """Feature maps (C, 14, 14) of grids of 2 x 2 test photos of four classes, and the classes tile by tile."""
    drawn, test = random.Random(seed), maps.of("test").tolist()
    of_class = [[n for n in test if int(maps.labels[n]) == label] for label in range(len(maps.class_names))]
    grids = []
    for _ in range(count):
        labels = drawn.sample(range(len(of_class)), 4)
        grid = Image.new("RGB", (2 * TILE, 2 * TILE))
        for place, label in enumerate(labels):
            photo = read_image(maps.paths[drawn.choice(of_class[label])])
            grid.paste(tile_of(photo), (TILE * (place % 2), TILE * (place // 2)))
        x, _ = frame(grid, network.preprocessing, "whole", 2 * TILE)
        with torch.no_grad():
            grids.append((network.engine(x)[0], labels))
    return grids


def shares_in_tiles(head: Head, maps: Tensor, labels: Sequence[int]) -> tuple[float, ...]:
    """Mean over the four tiles: the share of the positive evidence for its class that lies in the tile, by MEASURES."""
    classes = len(head.linear.bias)
    cells = evidence_of(head, maps.expand(classes, *maps.shape), torch.arange(classes))
    against = (cells * classes - cells.sum(0)) / (classes - 1)
    return tuple(_mean_share(of[labels].clamp_min(0)) for of in (cells, against))


def _mean_share(positive: Tensor) -> float:
    rows, columns = positive.shape[1] // 2, positive.shape[2] // 2
    shares = []
    for place in range(4):
        i, j = rows * (place // 2), columns * (place % 2)
        total = float(positive[place].sum())
        shares.append(float(positive[place, i:i + rows, j:j + columns].sum()) / total if total > 0 else 0.25)
    return statistics.fmean(shares)


def _learned(head: Head) -> str:
    """What a pooling of one number has learned, in words."""
    return f"  p = {float(head.p):.2f}" if isinstance(head, Gem) else ""


def mean_and_error(numbers: Sequence[float]) -> tuple[float, float]:
    """The mean, and its standard error."""
    return statistics.fmean(numbers), statistics.stdev(numbers) / math.sqrt(len(numbers))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("flowers", type=Path)
    parser.add_argument("--network", default="efficientnet_lite0")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--epochs", type=int, help="of every head, none stopped early (default: 200 at most)")
    parser.add_argument("--grids", type=int, default=150)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    network = load_network(options.network)
    maps = maps_of(network, options.flowers)
    print(f"{network.title}: {maps.counts()}, {len(maps.class_names)} classes", flush=True)
    budget = BUDGET if options.epochs is None else Budget(options.epochs, None)
    outcomes = []
    for one in outcomes_of(maps, options.kinds, ("ce", "bce"), budget=budget):
        outcomes.append(one)
        interval = f"{100 * one.low:5.1f} to {100 * one.high:5.1f}"
        print(f"{one.kind:<13} {one.loss:<4} {100 * one.accuracy:5.1f}%  {interval}  {one.parameters:>8,}  "
              f"{one.epochs:>3} epochs {one.seconds:6.1f} s{_learned(one.head)}", flush=True)
    grids = grids_of(network, maps, options.grids)
    heads = {(one.kind, one.loss): one.head for one in outcomes}
    shares: dict[str, Any] = {}
    for kind in (kind for kind in KEYS if kind in options.kinds):
        by = {loss: [shares_in_tiles(heads[kind, loss], grid, labels) for grid, labels in grids]
              for loss in ("ce", "bce")}
        for n, measure in enumerate(MEASURES):
            ce, bce = ([numbers[n] for numbers in by[loss]] for loss in ("ce", "bce"))
            difference = [after - before for before, after in zip(ce, bce, strict=True)]
            shares[f"{kind}, {measure}"] = named = {
                name: mean_and_error(numbers) for name, numbers in (("ce", ce), ("bce", bce), ("bce - ce", difference))}
            print(f"{kind}, {measure}:", "  ".join(f"{name} {mean:+.3f} ± {error:.3f}" for name, (mean, error)
                                                   in named.items()), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"heads": [one.numbers() for one in outcomes], "grids": shares}, indent=1))


if __name__ == "__main__":
    main()
