"""A network of which a part has forgotten what it learned, without being changed or copied."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from explorer.analysis import Analysis, Outcome
from explorer.errors import MethodError

PARTS = MappingProxyType({
    "head": "what follows the maps: they stay, under a head that knows nothing",
    "backbone": "what leads to the maps: others, of a backbone that knows nothing, under the same head",
})
_BATCH_NORM = inspect.signature(functional.batch_norm)


def drawn_anew(weights: Tensor, seed: int, number: int) -> Tensor:
    """Of the same shape: from the normal distribution with the tensor's mean and standard deviation.

    Args:
        seed: of the drawing.
        number: of the tensor in its part, so that no two are drawn alike.
    """
    generator = torch.Generator().manual_seed(1_000_003 * seed + number)
    noise = torch.randn(weights.shape, generator=generator, dtype=weights.dtype)
    return weights.mean() + weights.std(correction=0) * noise


class _Reading(TorchFunctionMode):
    """Sees what the operations of its own thread are given, and changes nothing of any network.

    Such a mode is of one thread, so others may use the same network meanwhile; and it works where a network's modules
    cannot be copied.
    """

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return self.run(function, args, kwargs or {})

    def run(self, function: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> Any:
        return function(*self.given(args), **self.given(kwargs))

    def given(self, value: Any) -> Any:
        """The same, with each tensor in it as `tensor` gives it."""
        if isinstance(value, Tensor):
            return self.tensor(value)
        if type(value) in (tuple, list):
            return type(value)(self.given(item) for item in value)
        if type(value) is dict:
            return {key: self.given(item) for key, item in value.items()}
        return value

    def tensor(self, value: Tensor) -> Tensor:
        raise NotImplementedError


class _Noted(_Reading):
    """Notes the ids of tensors that are read."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[int] = set()

    def tensor(self, value: Tensor) -> Tensor:
        self.seen.add(id(value))
        return value


class Redrawn(_Reading):
    """While entered, the operations of this thread are given weights drawn anew in place of a part's own.

    Batch normalisation of maps, where it is of the part, goes by the statistics of what it is given, as in training.

    Args:
        part: parameters and buffers, see `part_of`; of these only parameters are drawn.
        seed: of the drawing; the same gives the same weights, in whatever order they are read.

    Attributes:
        count: how many weights have been read and drawn anew, so far; of tensors of equal numbers, which stay, none.
    """

    def __init__(self, part: Sequence[Tensor], seed: int) -> None:
        super().__init__()
        self._numbers = {id(each): number for number, each in enumerate(part)}
        self._part = part  # or ids would be given anew
        self._seed = seed
        self._drawn: dict[int, Tensor] = {}
        self.count = 0

    def tensor(self, value: Tensor) -> Tensor:
        if id(value) not in self._numbers or not isinstance(value, nn.Parameter) or value.numel() < 2:
            return value
        if id(value) not in self._drawn:
            self._drawn[id(value)] = drawn_anew(value.detach(), self._seed, self._numbers[id(value)])
            self.count += 0 if torch.equal(value.amin(), value.amax()) else value.numel()
        return self._drawn[id(value)]

    def run(self, function: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> Any:
        if function is functional.batch_norm:
            named = _BATCH_NORM.bind(*args, **kwargs).arguments
            maps = named["input"]
            if id(named["running_mean"]) in self._numbers and maps.ndim == 4 and maps.numel() > maps.shape[1]:
                args, kwargs = (), named | {"running_mean": None, "running_var": None, "training": True}
        return super().run(function, args, kwargs)


def part_of(outcome: Outcome, what: str) -> list[Tensor]:
    """The parameters and buffers of the head that answers under the outcome's pooling, or of the backbone.

    Where nothing is pooled, or a layer is looked at, the backbone is what is read on the way to its maps, and the head
    is all else; finding that takes one forward pass, which is remembered.

    Raises MethodError where nothing but the network's parts is known.
    """
    analysis, network = outcome.analysis, outcome.analysis.network
    if analysis.has_evidence:
        if what == "head":
            return _tensors(outcome.head)
        own = {id(each) for each in _tensors(network.head)}  # a backbone may be the whole model, run up to a module
        return [each for each in _tensors(network.backbone) if id(each) not in own]
    model = network.layers.model
    if model is None:
        raise MethodError(f"Of {network.title} nothing but its parts is known, so what leads to a layer cannot be told "
                          "from what follows it.")
    below = analysis.remember("read by the backbone", lambda: _read(analysis))
    return [each for each in _tensors(model) if (id(each) in below) == (what == "backbone")]


def maps_of(analysis: Analysis) -> Tensor:
    """(C, H, W): the maps that are looked at, computed again: one forward pass up to there."""
    layers, x = analysis.network.layers, analysis.input
    with torch.no_grad():
        return (analysis.network.backbone(x) if analysis.has_evidence else layers.maps(x, analysis.layer_key))[0]


def _tensors(module: nn.Module) -> list[Tensor]:
    return list(chain(module.parameters(), module.buffers()))


def _read(analysis: Analysis) -> set[int]:
    with _Noted() as noted:
        maps_of(analysis)
    return noted.seen & {id(each) for each in _tensors(analysis.network.layers.model)}
