"""A stand-in for a person's fine-tuned checkpoint: a small ResNet-18 whose last layer was trained on five flowers.

No trained ResNet can be fetched here, so its convolutions are random (and its normalisation statistics those of the
photos, without which random convolutions tell nothing apart). What is trained is the head.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import resnet18
from torchvision.transforms import functional as pictures

CLASSES = ("daisy", "dandelion", "roses", "sunflowers", "tulips")
EACH = 12  # photos a class


def photos() -> tuple[list[Image.Image], Tensor]:
    """Some photos of each flower, and which they show: of POOLSCOPE_FLOWERS, a folder with one of photos for each.

    Without it they are drawn patterns, as many and as different.
    """
    labels = torch.arange(len(CLASSES)).repeat_interleave(EACH)
    if folder := os.environ.get("POOLSCOPE_FLOWERS"):
        files = [file for name in CLASSES for file in sorted((Path(folder) / name).iterdir())[:EACH]]
        return [Image.open(file).convert("RGB") for file in files], labels
    chance = np.random.default_rng(0)
    y, x = np.mgrid[:256, :256]
    drawn = []
    for label in labels.tolist():
        waves = np.sin((x * (label + 1) + y * (4 - label)) / 9 + chance.uniform(0, 6))
        pixels = 127 + 80 * waves[..., None] + chance.normal(0, 25, (256, 256, 3))
        drawn.append(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)))
    return drawn, labels


def prepared(photo: Image.Image) -> Tensor:
    """(1, 3, 224, 224), as torchvision evaluates its ResNet-18."""
    x = pictures.to_tensor(pictures.center_crop(pictures.resize(photo, 256), 224))
    return pictures.normalize(x, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])[None]


def trained() -> nn.Module:
    """The network, in evaluation mode; the same each time."""
    images, labels = photos()
    x = torch.cat([prepared(image) for image in images])
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = resnet18(num_classes=len(CLASSES))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the statistics of all that it sees, and not of the last
    with torch.no_grad():
        model(x)
        head, model.fc = model.fc, nn.Identity()
        features = model.eval()(x)
    _fit(head, features, labels)
    model.fc = head
    return model.eval().requires_grad_(False)


def _fit(head: nn.Linear, features: Tensor, labels: Tensor) -> None:
    optimiser = torch.optim.LBFGS(head.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = functional.cross_entropy(head(features), labels) + 1e-3 * head.weight.square().sum()
        value.backward()
        return value

    optimiser.step(loss)
