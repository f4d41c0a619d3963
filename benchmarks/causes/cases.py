"""Heads that learned a plant, or none, and the photos that they are asked about."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from benchmarks.causes.maps import Flowers
from explorer.heads.kinds import Gap
from explorer.heads.training import Photos, fit

STOPPING = 0.1  # of the training photos decide when to stop


@dataclass(frozen=True, eq=False)
class Case:
    """A head and the test photos: half of each class with the plant.

    Attributes:
        plant, rate: what was planted, in which share of the class's training photos; "" and 0 for none.
        target: the class it was planted in, or that is looked at.
        weight, bias: of the head, (classes, C) and (classes,).
        pooled: (N, C) float32 of the test photos; labels: (N,); planted: (N,) bool.
        flowers: whose photos these are.
    """

    plant: str
    rate: float
    seed: int
    target: int
    weight: np.ndarray
    bias: np.ndarray
    pooled: np.ndarray
    labels: np.ndarray
    planted: np.ndarray
    flowers: Flowers

    def of(self, target: int) -> Case:
        """The same head and photos, with another class looked at."""
        return replace(self, target=target)

    @property
    def logits(self) -> np.ndarray:
        """(N, classes)"""
        return self.pooled @ self.weight.T + self.bias

    @property
    def called(self) -> np.ndarray:
        """(N,) bool: photos that the head calls the class."""
        return self.logits.argmax(1) == self.target

    @property
    def values(self) -> np.ndarray:
        """(n, C): contributions to the class of the photos called so."""
        return self.weight[self.target] * self.pooled[self.called]

    @property
    def wrong(self) -> np.ndarray:
        """(n,) bool: which of the photos called the class are of another."""
        return self.labels[self.called] != self.target

    @property
    def marked(self) -> np.ndarray:
        """(n,) bool: which of the photos called the class have the plant."""
        return self.planted[self.called]

    @property
    def use(self) -> tuple[float, float]:
        """Of other classes' photos with the plant and of those without, the share called the class."""
        called, others = self.called, self.labels != self.target
        return float(called[others & self.planted].mean()), float(called[others & ~self.planted].mean())

    @property
    def evidence(self) -> np.ndarray:
        """(n, H * W): the evidence maps of the photos called the class, in logits."""
        clean, planted = self.flowers.maps[""], self.flowers.maps[self.plant]
        return np.stack([np.tensordot(self.weight[self.target],
                                      (planted if self.planted[n] else clean)[n].astype(np.float32), 1).ravel() / 49
                         for n in np.flatnonzero(self.called)])


def case(flowers: Flowers, plant: str, rate: float, seed: int) -> Case:
    """Train a head on photos of which a share of one class has the plant."""
    draw = np.random.default_rng(seed)
    pooled, labels = flowers.pooled["", "train"].copy(), flowers.train
    if plant:
        of_class = np.flatnonzero(labels == flowers.target)
        chosen = draw.permutation(len(of_class))[: round(rate * len(of_class))]
        pooled[of_class[chosen]] = flowers.pooled[plant, "train"][chosen]
    weight, bias = _trained(pooled, labels, _of_each(labels, STOPPING, draw))
    planted = _of_each(flowers.val, 0.5, np.random.default_rng(1000 + seed)) & bool(plant)
    test = np.where(planted[:, None], flowers.pooled[plant, "val"], flowers.pooled["", "val"])
    return Case(plant, rate, seed, flowers.target, weight, bias, test, flowers.val,
                planted, flowers)


def _of_each(labels: np.ndarray, share: float, draw: np.random.Generator) -> np.ndarray:
    """(n,) bool: so many of each class, drawn."""
    chosen = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        chosen[draw.permutation(of_class)[: int(share * len(of_class))]] = True
    return chosen


def _trained(pooled: np.ndarray, labels: np.ndarray, stopping: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    learned, stops = (Photos((torch.from_numpy(pooled[part]),), torch.from_numpy(labels[part]))
                      for part in (~stopping, stopping))
    linear = fit(Gap((pooled.shape[1], 7, 7), int(labels.max()) + 1), learned, stops).module.linear
    return linear.weight.numpy(), linear.bias.numpy()
