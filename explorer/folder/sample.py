"""A small folder of photos to try things with: the bundled examples, each as it is and changed in seven ways."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from explorer.analysis import analyse
from explorer.images import read_image
from explorer.networks.loading.bundled import ASSETS
from explorer.networks.loading.load import load_network


def _turned(photo: Image.Image) -> Image.Image:
    return photo.transpose(Image.Transpose.ROTATE_90)


def _tiny(photo: Image.Image) -> Image.Image:
    return photo.resize((48, round(48 * photo.height / photo.width)))


def _corner(photo: Image.Image) -> Image.Image:
    return photo.crop((0, 0, photo.width * 2 // 3, photo.height * 2 // 3))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "mirrored": ImageOps.mirror,
    "turned": _turned,
    "dark": lambda photo: ImageEnhance.Brightness(photo).enhance(0.25),
    "grey": lambda photo: ImageOps.grayscale(photo).convert("RGB"),
    "blurred": lambda photo: photo.filter(ImageFilter.GaussianBlur(max(photo.size) / 60)),
    "tiny": _tiny,
    "corner": _corner,
}


def draw_sample(folder: Path) -> None:
    """Write the examples, and each with each change, into folders named by what the bundled network predicts for them.

    So a photo is wrong where the change alone has changed the prediction: the labels are not true, but known.
    """
    network = load_network("efficientnet_lite0")
    for file in sorted((ASSETS / "examples").glob("*.jpg")):
        photo = read_image(file)
        label = analyse(network, photo).under().top(1)[0].name
        (folder / label).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / label / f"{file.stem}, as it is.jpg")  # written anew, it is another photo
        for name, change in CHANGES.items():
            change(photo).save(folder / label / f"{file.stem}, {name}.jpg", quality=92)
