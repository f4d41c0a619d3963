"""Tiny networks whose feature maps a test chooses itself, and heads of every kind."""

from __future__ import annotations

import dataclasses

import torch
from PIL import Image
from torch import Tensor, nn

from explorer.analysis import Analysis
from explorer.framing import Framing
from explorer.networks import Network


def analysis_of(network: Network, maps: Tensor) -> Analysis:
    """An analysis whose backbone is said to have given these feature maps (C, H, W)."""
    framing = Framing("crop", (96, 96), (96, 96), (0.0, 0.0, 96.0, 96.0)).on_grid(*maps.shape[1:])
    return Analysis(network, Image.new("RGB", (96, 96)), framing, torch.zeros(1, 3, 96, 96), maps, 0.0)


def linear(rows: list[list[float]], biases: list[float]) -> nn.Linear:
    """A Linear with these numbers."""
    head = nn.Linear(len(rows[0]), len(rows))
    head.weight.data, head.bias.data = torch.tensor(rows), torch.tensor(biases)
    return head


def with_backbone(network: Network, backbone: nn.Module) -> Network:
    """The same network with another backbone."""
    return dataclasses.replace(network, backbone=backbone)


def random_maps(channels: int = 5, rows: int = 3, columns: int = 4, seed: int = 0) -> Tensor:
    """Non-negative maps, about half of them 0, as a ReLU leaves them."""
    return torch.randn(channels, rows, columns, generator=torch.Generator().manual_seed(seed)).relu()


class Squared(nn.Module):
    """(B, C) to (B, classes): a polynomial with known derivatives: c + 1 times the sum of k * y_k ** 2."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, y: Tensor) -> Tensor:
        total = (torch.arange(y.shape[1]) * y ** 2).sum(1, keepdim=True)
        return total * (1 + torch.arange(self.classes))


def heads(channels: int = 5, classes: int = 4) -> dict[str, nn.Module]:
    """One head of each kind, by what it is made of."""
    torch.manual_seed(3)
    batch_norm = nn.BatchNorm1d(channels)
    batch_norm.running_mean.normal_()
    batch_norm.running_var.uniform_(0.5, 2)
    return {
        "Linear": nn.Linear(channels, classes),
        "Linear without bias": nn.Linear(channels, classes, bias=False),
        "BatchNorm1d, Linear": nn.Sequential(batch_norm, nn.Linear(channels, classes)),
        "Flatten, two Linears": nn.Sequential(nn.Flatten(), nn.Linear(channels, 7), nn.Linear(7, classes)),
        "LayerNorm, Linear": nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, classes)),
        "Linear, Hardswish, Linear": nn.Sequential(nn.Linear(channels, 7), nn.Hardswish(), nn.Linear(7, classes)),
        "polynomial": Squared(classes),
    }
