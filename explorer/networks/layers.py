"""Layers inside a network: their maps, and the logits as a function of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn

from explorer.errors import MethodError
from explorer.networks.cutting.arrangement import Arrangement, Backbone, arrangement_of, grid_of
from explorer.networks.cutting.class_token import class_token_attention
from explorer.networks.cutting.taps import Taps, UpTo, logits_of


@dataclass(frozen=True)
class Layer:
    """One layer to look at.

    Attributes:
        key: the module's path in the network, such as "layer3" or "features.7".
        shape: (C, H, W) of its maps at the network's own input size.
        arrangement: how its output holds the maps.
    """

    key: str
    shape: tuple[int, int, int]
    arrangement: Arrangement


class Layers:
    """The layers of a model, and the model run up to or from one of them.

    The model is an `own_copy` that shares the weights, watched through `Taps`: no shared model is changed, nothing is
    hooked, and threads do not disturb each other.

    Args:
        model: an `own_copy`, or None for a network of which only the parts are known.
        example: (1, channels, h, w), an input of the network's own size.

    Attributes:
        all: the layers from the input to the end; the last is the last on whose maps the logits depend.
    """

    def __init__(self, model: nn.Module | None = None, example: Tensor | None = None) -> None:
        self._known = None if model is None else Taps(model)
        self.all = _stages(self._taps, example) if model is not None and example is not None else ()

    @property
    def model(self) -> nn.Module | None:
        """The whole model; None where there is none."""
        return self._known.model if self._known else None

    @property
    def _taps(self) -> Taps:
        if self._known is None:
            raise MethodError("Of this network only the parts are known, so it cannot be run from or up to a layer.")
        return self._known

    def backbone(self) -> nn.Module:
        """The model up to its last layer: (B, channels, h, w) to (B, C, H, W)."""
        return Backbone(UpTo(self._taps, self.all[-1].key), self.all[-1].arrangement)

    def of(self, key: str) -> Layer:
        """The layer of that key. Raises MethodError naming those that exist."""
        for layer in self.all:
            if layer.key == key:
                return layer
        names = ", ".join(layer.key for layer in self.all)
        raise MethodError(f"There is no layer {key!r:.80}; expected one of {names}." if names else
                          "This network has no other layers to look at than its final feature maps.")

    @torch.no_grad()
    def logits(self, x: Tensor) -> Tensor:
        """(B, classes): the model's answer to (B, channels, h, w)."""
        return logits_of(self.output(x), len(x))

    @torch.no_grad()
    def output(self, x: Tensor) -> Any:
        """All that the network gives for a batch."""
        return self._taps.model(x)

    @torch.no_grad()
    def maps(self, x: Tensor, key: str) -> Tensor:
        """(B, C, H, W): the layer's maps, channels first whatever the network does inside; no gradient."""
        layer = self.of(key)
        return Backbone(UpTo(self._taps, key), layer.arrangement)(x)

    def answer(self, x: Tensor, key: str, maps: Tensor) -> Tensor:
        """(B, classes): the logits when the layer gives these maps (B, C, H, W) instead; differentiable."""
        layer = self.of(key)
        own = maps.clone()  # or an operation in place would change the caller's
        return logits_of(self._taps.run(
            x, key, lambda module, arguments, output: layer.arrangement.put_back(output, own)), len(x))

    @torch.no_grad()
    def attention(self, x: Tensor, key: str) -> Tensor | None:
        """(heads, H, W): the class token's attention to each position in the block after the layer; one input.

        None where there is no class token, or where its attention could not be followed.
        """
        prefix = self.of(key).arrangement.prefix
        calls, _ = self._taps.watch(x)
        weights = class_token_attention(calls, key)
        if weights is None or not prefix:
            return None
        return weights[:, prefix:].unflatten(1, grid_of(weights.shape[1] - prefix, x.shape[-2:]))


def _stages(taps: Taps, example: Tensor) -> tuple[Layer, ...]:
    """The modules of the upper levels that give maps; of leaves in a row that give one shape, the last."""
    with torch.no_grad():
        calls, _ = taps.watch(example)
    modules = dict(taps.model.named_modules())
    stages: dict[str, Layer] = {}
    leaf_before = ""
    for call in calls:
        is_stage = _is_stage(call.key.partition("@")[0], modules) and not isinstance(call.module, nn.AdaptiveAvgPool2d)
        arrangement = arrangement_of(call.output, example.shape[-2:]) if is_stage else None
        if arrangement is None:
            continue
        channels, rows, columns = shape = arrangement.maps(call.output, example.shape[-2:]).shape[1:]
        if rows * columns == 1:
            continue
        leaf = next(call.module.children(), None) is None
        if leaf and leaf_before and stages[leaf_before].shape == shape:
            del stages[leaf_before]  # convolution, normalisation, activation: one stage
        stages.pop(call.key, None)
        stages[call.key] = Layer(call.key, (channels, rows, columns), arrangement)
        leaf_before = call.key if leaf else ""
    return _that_matter(taps, example, _outermost(tuple(stages.values())))


def _is_stage(key: str, modules: dict[str, nn.Module]) -> bool:
    """Whether a module is of the upper two levels, where a mere row of modules inside another is no level."""
    above = key.split(".")[:-1]
    rows = (nn.Sequential, nn.ModuleList)
    return len(above) < 2 or (len(above) == 2 and isinstance(modules[".".join(above)], rows)
                              and not isinstance(modules[above[0]], rows))


def _outermost(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """Without the last child of a listed parent, which gives the same maps."""
    return tuple(layer for layer, after in zip_longest(layers, layers[1:])
                 if not (after and layer.key.startswith(f"{after.key}.") and layer.shape == after.shape))


def _that_matter(taps: Taps, example: Tensor, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """Up to the last layer on whose maps the logits depend: nothing reads the patch tokens after a ViT's last block."""
    while layers and not _matters(taps, example, layers[-1]):
        layers = layers[:-1]
    return layers


def _matters(taps: Taps, example: Tensor, layer: Layer) -> bool:
    """Whether other maps give other logits, and gradients of them reach the maps.

    Maps of NaN show this even where the weights above are zero. A model may refuse them: random maps come second.
    """
    size, generator = example.shape[-2:], torch.Generator().manual_seed(1)
    leaves: list[Tensor] = []

    def answer(make: Callable[[Tensor], Tensor]) -> Tensor:
        def exchanged(module: nn.Module, arguments: tuple, output: Any) -> Any:
            leaves.append(make(layer.arrangement.maps(output, size).detach()).requires_grad_())
            return layer.arrangement.put_back(output, leaves[-1].clone())

        with torch.enable_grad():
            return logits_of(taps.run(example, layer.key, exchanged), len(example))

    usual = answer(torch.clone)
    with torch.enable_grad():
        if not usual.requires_grad or torch.autograd.grad(usual.sum(), leaves[-1], allow_unused=True)[0] is None:
            return False
    for make in (
        lambda maps: torch.full_like(maps, torch.nan),
        lambda maps: maps + (1 + maps.abs().max()) * torch.randn(maps.shape, generator=generator),
    ):
        try:
            changed = answer(make).detach()
        except Exception:  # a model may refuse what is not finite, in any way
            continue
        if not torch.equal(changed, usual.detach()):
            return True
    return False
