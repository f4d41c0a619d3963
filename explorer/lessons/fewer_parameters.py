"""Lesson 3: fewer parameters. One Linear on flattened maps against one on a pooled vector."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from explorer.analysis import analyse
from explorer.analysis.memory import MemoryByOwner
from explorer.checks import checked_whole
from explorer.heads.kinds import KINDS
from explorer.networks import Network

BYTES = 4  # of a weight in single precision
KEYS = ("gap", "pyramid", "flatten")
_memory = MemoryByOwner(50)  # shapes of a network's feature maps, by the size of the input


@dataclass(frozen=True)
class HeadCost:
    """What a head of one Linear costs for one photo.

    Attributes:
        name: of what stands before it, as in `explorer.heads.kinds.KINDS`.
        parameters: its weights, and a bias for each class.
        megabytes: of these in single precision, in millions of bytes.
        multiply_adds: of the Linear, one a weight.
    """

    name: str
    parameters: int
    megabytes: float
    multiply_adds: int


@dataclass(frozen=True)
class HeadCosts:
    """Heads for the same feature maps and classes.

    Attributes:
        shape: (C, H, W) of the feature maps, as the network gave them.
        heads: GAP, spatial pyramid 1 + 2 x 2, and flatten, in this order.
    """

    shape: tuple[int, int, int]
    heads: tuple[HeadCost, ...]


def fewer_parameters(network: Network, size: int) -> HeadCosts:
    """The costs of heads at an input of `size` x `size` px.

    The maps' shape is read from one forward pass, which is remembered for the network.

    Raises:
        ParameterError: a size outside the network's `preprocessing.sides`, its own size excepted.
        FramingError: the network does not take an input of that size.
    """
    if not (type(size) is int and size == network.preprocessing.size):
        checked_whole(size, *network.preprocessing.sides, "size of the input")
    shape = _memory(network, size, lambda: _shape_at(network, size))
    classes = len(network.class_names)
    return HeadCosts(shape, tuple(_cost(key, shape, classes) for key in KEYS))


def _cost(key: str, shape: tuple[int, int, int], classes: int) -> HeadCost:
    inputs = KINDS[key].width(shape)
    parameters = inputs * classes + classes
    return HeadCost(KINDS[key].name, parameters, parameters * BYTES / 1e6, inputs * classes)


def _shape_at(network: Network, size: int) -> tuple[int, int, int]:
    """(C, H, W) of the feature maps of a black photo."""
    channels, rows, columns = analyse(network, Image.new("RGB", (size, size)), "squash", size).feature_maps.shape
    return channels, rows, columns
