"""Feature maps of photos, clean and planted: one forward pass each, kept in a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.causes.plants import PLANTS, Plant, scaled
from explorer import read_image
from explorer.framing import frame
from explorer.networks import Network
from explorer.networks.preparation import prepare

PLANTED = "tulips"


@dataclass(frozen=True)
class Flowers:
    """Photos of flowers, each clean and with every plant.

    Attributes:
        classes: names, by number.
        train, val: (n,) the photos' classes.
        pooled: by plant ("" is none) and part: (n, C) float32. A plant's part "train" has the planted class alone.
        maps: by plant: (n, C, H, W) float16 of the part "val".
    """

    classes: tuple[str, ...]
    train: np.ndarray
    val: np.ndarray
    pooled: dict[tuple[str, str], np.ndarray]
    maps: dict[str, np.ndarray]

    @property
    def target(self) -> int:
        """The class that plants are planted in."""
        return self.classes.index(PLANTED)


def flowers(network: Network, folder: Path, cache: Path) -> Flowers:
    """The maps of all photos in FOLDER/train/CLASS and FOLDER/val/CLASS, from the cache where they are there."""
    classes = tuple(sorted(path.name for path in (folder / "train").iterdir() if path.is_dir()))
    paths = {part: [path for name in classes for path in sorted((folder / part / name).glob("*.jpg"))]
             for part in ("train", "val")}
    labels = {part: np.array([classes.index(path.parent.name) for path in paths[part]]) for part in paths}
    pooled, maps = {}, {}
    for name, plant in {"": None, **PLANTS}.items():
        for part in paths:
            chosen = [path for path, label in zip(paths[part], labels[part], strict=True)
                      if not name or part == "val" or classes[label] == PLANTED]
            of_photos = kept(network, chosen, plant, cache / f"{name or 'clean'} {part}.npy")
            pooled[name, part] = of_photos.astype(np.float32).mean((2, 3))
            if part == "val":
                maps[name] = of_photos
    return Flowers(classes, labels["train"], labels["val"], pooled, maps)


def kept(network: Network, paths: list[Path], plant: Plant | None, file: Path) -> np.ndarray:
    """(n, C, H, W) float16: the maps of photos with a plant, from the file or written to it."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, np.stack([maps_of(network, path, plant, number) for number, path in enumerate(paths)]))
        print(f"{file.stem}: {len(paths)} photos", flush=True)
    return np.load(file, mmap_mode="r")


@torch.no_grad()
def maps_of(network: Network, path: Path, plant: Plant | None, seed: int) -> np.ndarray:
    """(C, H, W) float16 of a photo."""
    photo: Image.Image = scaled(read_image(path))
    if plant:
        photo = plant(photo, np.random.default_rng(seed))
    x, _ = frame(photo, network.preprocessing)
    prepare(network.engine, x)
    return network.engine(x)[0].numpy().astype(np.float16)
