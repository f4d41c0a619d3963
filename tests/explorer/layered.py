"""A small network of two convolutions, with layers to look at: pooled at its end, or flattened."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from explorer import POOLINGS
from explorer.errors import MethodError
from explorer.framing import Preprocessing
from explorer.networks import Network

FLATTENS = "Tiny flattens its feature maps, so that no pooling can take another's place."
PREPROCESSING = Preprocessing(size=96, stride=24)
CLASSES = ("cat", "dog", "<b>cow</b>", "hen")


class Steps(nn.Module):
    """(B, 3, 96, 96) to "one" (B, 4, 12, 12) to "two" (B, 6, 4, 4) to logits. It counts how often each step runs."""

    def __init__(self, pooled: bool, classes: int = 4, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.one = nn.Sequential(nn.Conv2d(3, 4, 8, stride=8), nn.Tanh())
            self.two = nn.Sequential(nn.Conv2d(4, 6, 3, stride=3), nn.Softplus())
            self.rest = nn.Linear(6, classes) if pooled else nn.Sequential(nn.Flatten(), nn.Linear(96, classes))
        self.pooled = pooled
        self.passes = {"one": 0, "two": 0, "rest": 0}

    def run(self, step: str, x: Tensor) -> Tensor:
        self.passes[step] += 1
        if step != "rest":
            return getattr(self, step)(x)
        return self.rest(x.mean((2, 3)) if self.pooled else x)

    def forward(self, x: Tensor) -> Tensor:
        return self.run("rest", self.run("two", self.run("one", x)))


class Trunk(nn.Module):
    """The steps up to "two"."""

    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        return self.steps.run("two", self.steps.run("one", x))


class TwoLayers:
    """What `explorer.networks.layers.Layers` offers, written out for the two layers."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.all = (SimpleNamespace(key="one", shape=(4, 12, 12)), SimpleNamespace(key="two", shape=(6, 4, 4)))

    def of(self, key: str) -> SimpleNamespace:
        for layer in self.all:
            if layer.key == key:
                return layer
        raise MethodError(f"There is no layer {key!r}; expected one of one, two.")

    @torch.no_grad()
    def logits(self, x: Tensor) -> Tensor:
        return self.steps(x)

    @torch.no_grad()
    def maps(self, x: Tensor, key: str) -> Tensor:
        first = self.steps.run("one", x)
        return first if key == "one" else self.steps.run("two", first)

    def answer(self, x: Tensor, key: str, maps: Tensor) -> Tensor:
        return self.steps.run("rest", self.steps.run("two", maps) if key == "one" else maps)


def network(pooled: bool = True, activation: str = "softmax", classes: int = 4, seed: int = 0) -> Network:
    """The network, cut after "two"; without a pooling its head cannot be run alone."""
    steps = Steps(pooled, classes, seed)
    steps.requires_grad_(False).eval()
    return Network(
        name="tiny", title="Tiny", backbone=Trunk(steps), pooling=POOLINGS["gap"] if pooled else None,
        head=steps.rest if pooled else nn.Identity(), class_names=CLASSES[:classes], preprocessing=PREPROCESSING,
        digest="0" * 64, origin="untrained", activation=activation, layers=TwoLayers(steps),
        reason="" if pooled else FLATTENS,
    )


def photo(seed: int = 0, size: tuple[int, int] = (130, 100)) -> Image.Image:
    """Random patches of colour."""
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size)
