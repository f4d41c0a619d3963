"""A photo under one pooling with a Linear head, in plain loops; for the tests of what is told about why."""

from __future__ import annotations

import math
from itertools import chain

import numpy as np
import torch
from PIL import Image
from torch import nn

from explorer import POOLINGS
from explorer.framing import frame
from explorer.networks import Network
from explorer.networks.calibration import Calibration
from explorer.wording import percent
from tests.explorer import layered
from tests.explorer import second_derivations as again
from tests.explorer.tiny import linear

PHOTO = layered.photo(3, (128, 96))
ASKED, AGAINST = 2, 0  # of four classes, neither is what the network with that head says of the photo
FITTED = {"gmp": 0.25, "topk": 0.5}  # what the logits of two what-ifs are multiplied with
CALIBRATION = Calibration({"gmp": ((0.0, FITTED["gmp"]),), "topk": ((0.2, FITTED["topk"]),)})


def deciding_head() -> nn.Linear:
    """(B, 5) to (B, 4): with `make_network`'s backbone a few positions of the photo flip its answer, and a few are
    enough for it."""
    generator = np.random.default_rng(187)
    return linear(generator.normal(0, 3, (4, 5)).tolist(), generator.normal(0, 0.3, 4).tolist())


def parameter_of(key: str) -> tuple[float, ...]:
    return () if POOLINGS[key].parameter is None else (POOLINGS[key].parameter.default,)


def maps_of(network: Network, picture: Image.Image = PHOTO, framing: str = "crop") -> again.Maps:
    with torch.no_grad():
        return network.backbone(frame(picture, network.preprocessing, framing)[0])[0].double().tolist()


class ByHand:
    """One photo under one pooling, with a Linear head, in plain loops."""

    def __init__(self, network: Network, key: str = "gap", *parameter: float, maps: again.Maps | None = None) -> None:
        self.maps = maps or maps_of(network)
        self.rows, self.biases = network.head.weight.double().tolist(), network.head.bias.double().tolist()
        self.parameter = parameter or parameter_of(key)
        self.pooled = again.pooled(key, self.maps, *self.parameter)
        self.logits = again.linear(self.rows, self.biases, self.pooled)
        self.weights = again.pooling_weights(key, self.maps, *self.parameter)

    def cells(self, index: int) -> list[float]:
        return list(chain(*again.evidence(self.maps, self.weights, self.pooled, self.rows[index])))

    def apart(self, index: int, rival: int) -> list[float]:
        return [one - other for one, other in zip(self.cells(index), self.cells(rival), strict=True)]

    def shares(self, factor: float = 1.0) -> list[float]:
        powers = [math.exp(factor * (logit - max(self.logits))) for logit in self.logits]
        return [power / sum(powers) for power in powers]

    @property
    def answer(self) -> int:
        return self.logits.index(max(self.logits))


def carrying(values: list[float]) -> list[int]:
    """The fewest places that hold half of what is positive, the largest first."""
    order, result = sorted(range(len(values)), key=lambda place: -values[place]), []
    half = sum(value for value in values if value > 0) / 2
    while sum(values[place] for place in result) < half - 1e-9:
        result.append(order[len(result)])
    return result


def chosen_of(places: list[int]) -> np.ndarray:
    return np.array([place in places for place in range(16)]).reshape(4, 4)


def share(part: float, values: list[float]) -> str:
    return percent(part / sum(value for value in values if value > 0))
