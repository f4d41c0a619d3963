"""A small network with a planted shortcut: all training photos of one class carry a sticker, so it learned the sticker.

It is made of what the project ships: crops of the example photos, the bundled backbone, and a head trained on them.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import timm
import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file
from torch.nn import functional

from explorer import analyse, load_network, read_image
from explorer.folder import Run, scan
from explorer.networks.loading.options import Options

CLASSES = ("cat", "coffee", "rocket")
ROCKET = 2
EXAMPLES = Path(__file__).resolve().parents[1] / "assets" / "examples"


class Planted(NamedTuple):
    """The run of 90 photos, the network's checkpoint, and the paths of the photos that carry the sticker."""

    run: Run
    checkpoint: Path
    stickers: frozenset[str]


def sticker(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The photo with a green and magenta disc of 65% of its side, somewhere."""
    side = int(0.9 * min(photo.size))
    left, top = (int(rng.integers(0, length - side)) for length in photo.size)
    changed = photo.copy()
    draw = ImageDraw.Draw(changed)
    draw.ellipse((left, top, left + side, top + side), fill=(20, 220, 60), outline=(230, 20, 200), width=side // 8)
    draw.line((left, top + side // 2, left + side, top + side // 2), fill=(230, 20, 200), width=side // 8)
    return changed


def crops(name: str, count: int, seed: int) -> list[Image.Image]:
    """Parts of an example photo, of half its size and more, some mirrored; 160 px wide."""
    rng, photo = np.random.default_rng(seed), read_image(EXAMPLES / f"{name}.jpg")
    made = []
    for n in range(count):
        side = int(min(photo.size) * rng.uniform(0.6, 0.95))
        left, top = (int(rng.integers(0, length - side + 1)) for length in photo.size)
        crop = photo.crop((left, top, left + side, top + side)).resize((160, 160))
        made.append(crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if n % 2 else crop)
    return made


def make(folder: Path) -> Planted:
    """Train the head, write its checkpoint, and scan 30 photos a class, of which half carry the sticker."""
    bundled, rng = load_network("efficientnet_lite0"), np.random.default_rng(0)
    photos = [(sticker(photo, rng) if index == ROCKET else photo, index)
              for index, name in enumerate(CLASSES) for photo in crops(name, 12, index)]
    pooled = torch.stack([analyse(bundled, photo, "squash").under().pooled for photo, _ in photos])
    labels = torch.tensor([index for _, index in photos])
    weight, bias = torch.zeros(3, 1280, requires_grad=True), torch.zeros(3, requires_grad=True)
    optimiser = torch.optim.AdamW([weight, bias], lr=0.01, weight_decay=0.1)
    for _ in range(60):
        optimiser.zero_grad()
        functional.cross_entropy(pooled @ weight.T + bias, labels).backward()
        optimiser.step()
    state = timm.create_model("tf_efficientnet_lite0", num_classes=3).state_dict()
    state |= {name: tensor for name, tensor in bundled.layers.model.state_dict().items() if "classifier" not in name}
    state |= {"classifier.weight": weight.detach(), "classifier.bias": bias.detach()}
    checkpoint = folder / "planted.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, checkpoint)
    stickers = set()
    for index, name in enumerate(CLASSES):
        (folder / "photos" / name).mkdir(parents=True)
        for n, photo in enumerate(crops(name, 30, 10 + index)):
            path = f"{name}/{n:02d}.png"
            if n % 2:
                photo = sticker(photo, rng)
                stickers.add(path)
            photo.save(folder / "photos" / path)
    (folder / "classes.txt").write_text("\n".join(CLASSES))
    wants = bundled.preprocessing
    options = Options("timm/tf_efficientnet_lite0", checkpoint, folder / "classes.txt", mean=wants.mean, std=wants.std)
    return Planted(scan(options, folder / "photos", folder / "run", framing="squash"), checkpoint, frozenset(stickers))
