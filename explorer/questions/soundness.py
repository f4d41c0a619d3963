"""Numbers that are NaN or infinite: whether an answer holds any, and where they came from."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from explorer.analysis import Analysis, Outcome


def trouble(outcome: Outcome) -> str | None:
    """None when feature maps, pooled vector and logits are finite; else a sentence saying what is not, and since where.

    Where nothing is pooled there is no pooled vector; the maps of an early layer stand in for the feature maps.

    For example "The feature maps hold 49 numbers that are NaN or infinite (of 62,720); they first arise in the layer
    blocks.3.1.conv_pw (Conv2d) of the backbone." Remembered. Where all is well this costs next to nothing; else the
    backbone (or the head) is run once more under watch, and where that does not find the layer its part is named.
    """
    return outcome.remember("trouble", lambda: _trouble(outcome))


def _trouble(outcome: Outcome) -> str | None:
    analysis = outcome.analysis
    if found := analysis.remember("trouble", lambda: _trouble_with_feature_maps(analysis)):
        return found
    if not analysis.has_evidence:
        bad = _unsound(outcome.logits)
        return f"The logits hold {_so_many(bad, outcome.logits)} in what follows {_these(analysis)}." if bad else None
    if bad := _unsound(outcome.pooled):
        return f"The pooled vector holds {_so_many(bad, outcome.pooled)} in the pooling {outcome.name}."
    if bad := _unsound(outcome.logits):
        place = _place(outcome.head, outcome.pooled[None], "head")
        return f"The logits hold {_so_many(bad, outcome.logits)} in {place}."
    return None


def _trouble_with_feature_maps(analysis: Analysis) -> str | None:
    bad = _unsound(analysis.feature_maps)
    if not bad:
        return None
    if _unsound(analysis.input):
        where = "the network's input"
    elif analysis.layer is None:
        where = _place(analysis.network.backbone, analysis.input, "backbone")
    else:
        where = _first_layer(analysis)
    return f"T{_these(analysis)[1:]} hold {_so_many(bad, analysis.feature_maps)} in {where}."


def _these(analysis: Analysis) -> str:
    """What is looked at: "the feature maps", "the maps of layer2"."""
    return "the feature maps" if analysis.layer is None else f"the {analysis.layer_name}"


def _first_layer(analysis: Analysis) -> str:
    """The first of the network's layers, up to the one looked at, whose maps are not finite."""
    layers = analysis.network.layers
    for layer in layers.all:
        if layer.key == analysis.layer.key or _unsound(layers.maps(analysis.input, layer.key)):
            return f"the layer {layer.key}"
    return f"the layer {analysis.layer.key}"


def _so_many(bad: int, tensor: Tensor) -> str:
    numbers, arise = ("number that is", "it first arises") if bad == 1 else ("numbers that are", "they first arise")
    return f"{bad:,} {numbers} NaN or infinite (of {tensor.numel():,}); {arise}"


def _unsound(tensor: Tensor) -> int:
    """How many numbers are NaN or infinite."""
    return tensor.numel() - int(torch.isfinite(tensor).sum())


def _place(part: nn.Module, x: Tensor, name: str) -> str:
    """Where in a part of the network numbers first cease to be finite; the part itself where that is not found."""
    origin = _origin(part, x)
    if origin is None:
        return f"the {name}"
    kind = type(origin.module).__name__
    where = f"the layer {origin.name} ({kind}) of the {name}" if origin.name else f"the {name} ({kind})"
    own = chain(origin.module.named_parameters(recurse=False), origin.module.named_buffers(recurse=False))
    damaged = [key for key, tensor in own if _unsound(tensor)]
    verb = "holds" if len(damaged) == 1 else "hold"
    return f"{where}, whose own {' and '.join(damaged)} {verb} such numbers" if damaged else where


class _Origin(NamedTuple):
    """A layer, and its name in the part that it belongs to ("" for the part itself)."""

    name: str
    module: nn.Module


def _origin(part: nn.Module, x: Tensor) -> _Origin | None:
    watch = _Watch(part)
    try:
        with torch.no_grad(), watch:
            answer = part(x)
    except Exception:  # a network may do anything, and a diagnosis must not fail where the answer did not
        return None
    return watch.origin_of(answer)


class _Watch(TorchFunctionMode):
    """Follows what is not finite through a network back to the layer whose operation made it.

    A torch function mode sees every operation of its own thread and changes nothing of the network, so other threads
    may use the same one meanwhile. torch.fx would not do: tracing replaces nn.Module.__call__ for all threads, and
    it fails where Python branches on sizes, as the padding of the bundled network does.
    """

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self._layers = {id(module): _Origin(name, module) for name, module in _named(part)}
        self._own = {id(tensor) for tensor in chain(part.parameters(), part.buffers())}
        # By id, with the tensor itself, because an id is given anew once its object is gone. Only the unsound ones.
        self._known: dict[int, tuple[Tensor, _Origin | None]] = {}

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        inputs = list(_tensors((args, kwargs)))
        inherited = [self._known[id(tensor)][1] for tensor in inputs if id(tensor) in self._known]
        result = function(*args, **(kwargs or {}))
        # An operation that gives nothing, such as x[0] = y, changes its first input.
        outputs = list(_tensors(args[:1] if result is None else result))
        for tensor in outputs:
            if not _unsound(tensor):
                self._known.pop(id(tensor), None)
                continue
            origin = inherited[0] if inherited else self._new(inputs, outputs)
            self._known[id(tensor)] = (tensor, origin)
        return result

    def origin_of(self, tensor: Tensor) -> _Origin | None:
        """The layer that made an unsound tensor so; None when that was not seen."""
        return self._known.get(id(tensor), (tensor, None))[1]

    def _new(self, inputs: list[Tensor], outputs: list[Tensor]) -> _Origin | None:
        """The layer at work, unless an unsound input came from where the watch does not see, such as a script."""
        changed = {id(tensor) for tensor in outputs} | self._own
        if any(id(tensor) not in changed and _unsound(tensor) for tensor in inputs):
            return None
        frame = sys._getframe(2)
        while frame is not None:
            if layer := self._layers.get(id(frame.f_locals.get("self"))):
                return layer
            frame = frame.f_back
        return None


def _named(part: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The part and the modules inside by name. A thin wrapper around one model is left out of its layers' names."""
    children = [name for name, _ in part.named_children()]
    wraps = len(children) == 1 and not isinstance(part, nn.Sequential)
    for name, module in part.named_modules():
        yield name.removeprefix(f"{children[0]}.") if wraps else name, module


def _tensors(value: Any) -> Iterator[Tensor]:
    """Tensors of real or complex numbers, in nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        if value.is_floating_point() or value.is_complex():
            yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
