"""Models as people write them: small, with random seeded weights; a test overrides what it is about."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from explorer.framing import Preprocessing
from explorer.networks import Network

OWN = Preprocessing(size=32)
CHANNELS, CLASSES = 8, 4


class Small(nn.Module):
    """(B, 3, h, w) to (B, 4): a stem, a block with maps of 8 channels at h / 4 x w / 4, a pooling and a head."""

    def __init__(self, pool: nn.Module | None = None, head: nn.Module | None = None, channels: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU())
        self.block = nn.Sequential(nn.Conv2d(6, CHANNELS, 3, 2, 1), nn.ReLU())
        self.pool = pool or nn.AdaptiveAvgPool2d(1)
        self.fc = head or nn.Linear(CHANNELS, CLASSES)

    def maps(self, x: Tensor) -> Tensor:
        return self.block(self.stem(x))

    def pooled(self, x: Tensor) -> Tensor:
        return self.pool(self.maps(x)).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.pooled(x))


class GeM(nn.Module):
    """GeM as it is usually written: its power is a parameter, and it clamps at a small number."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(p))

    def forward(self, maps: Tensor) -> Tensor:
        return maps.clamp(min=1e-6).pow(self.p).mean((2, 3), keepdim=True).pow(1 / self.p)


class LearnedMix(nn.Module):
    """Average and maximum in a share that is trained."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.tensor(share))

    def forward(self, maps: Tensor) -> Tensor:
        return self.share * maps.amax((2, 3)) + (1 - self.share) * maps.mean((2, 3))


class Does(nn.Module):
    """A module of one function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class ReluAndPoolingAsFunctions(Small):
    def forward(self, x: Tensor) -> Tensor:
        maps = functional.relu(self.block[0](self.stem(x)))
        return self.fc(functional.adaptive_avg_pool2d(maps, 1).view(x.size(0), -1))


class BranchOnATensor(Small):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            x = 2 * x
        return super().forward(x)


class ReturnsEarly(Small):
    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return x
        if x.abs().max() == 0:
            return self.fc.bias.expand(len(x), -1)
        return super().forward(x)


class CountsItsCalls(Small):
    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x)


def two_layers() -> nn.Module:
    return nn.Sequential(nn.Dropout(0.5), nn.Linear(CHANNELS, 9), nn.ReLU(inplace=True), nn.Dropout(0.2),
                         nn.Linear(9, CLASSES))


def learned_attention() -> nn.Module:
    class Attended(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.look = nn.Conv2d(CHANNELS, 1, 1)

        def forward(self, maps: Tensor) -> Tensor:
            weights = self.look(maps).flatten(2).softmax(-1)
            return (maps.flatten(2) * weights).sum(-1)

    return Attended()


def seeded(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """A model with weights, and statistics of its normalisations, that are the same each time; in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = make()
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
                module.running_mean.normal_(std=0.2)
                module.running_var.uniform_(0.5, 1.5)
    return model.eval()


def inputs(rows: int = 32, columns: int = 32, batch: int = 1, channels: int = 3, seed: int = 7) -> Tensor:
    """(batch, channels, rows, columns) of random numbers, each image brighter than the one before."""
    generator = torch.Generator().manual_seed(seed)
    brightness = torch.arange(batch).view(-1, 1, 1, 1) - (batch - 1) / 2
    return torch.randn(batch, channels, rows, columns, generator=generator) + brightness


def network_of(model: nn.Module, **named: object) -> Network:
    """The network of a model that takes 32 px."""
    return Network.from_module(model, OWN, **named)


@torch.no_grad()
def apart(network: Network, x: Tensor) -> Tensor:
    """(B, classes) by the three parts."""
    return network.head(network.pooling.value(network.backbone(x), **network.pooling_parameters))


def worst(got: Tensor, expected: Tensor) -> float:
    """The largest difference, as a share of the largest that is wanted."""
    assert got.shape == expected.shape
    return float((got - expected).abs().max() / expected.abs().max())
