"""Numbers that are NaN or infinite: whether an answer holds any, and where they came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from explorer.analysis import Analysis, Outcome
from explorer.analysis.memory import remembered
from explorer.networks.cutting.taps import own_copy


@remembered
def trouble(outcome: Outcome) -> str | None:
    """None when feature maps, pooled vector and logits are finite; else a sentence saying what is not, and since where.

    Where nothing is pooled there is no pooled vector; the maps of an early layer stand in for the feature maps.

    For example "The feature maps hold 49 numbers that are NaN or infinite (of 62,720); they first arise in the layer
    blocks.3.1.conv_pw (Conv2d) of the backbone." Where all is well this costs next to nothing; else a copy of the
    backbone (or the head) is run once more, and where that does not show the layer its part is named.
    """
    analysis = outcome.analysis
    if sentence := _trouble_with_feature_maps(analysis):
        return sentence
    if not analysis.has_evidence:
        bad = _unsound(outcome.logits)
        return f"The logits hold {_so_many(bad, outcome.logits)} in what follows {_maps(analysis)}." if bad else None
    if bad := _unsound(outcome.pooled):
        return f"The pooled vector holds {_so_many(bad, outcome.pooled)} in the pooling {outcome.name}."
    if bad := _unsound(outcome.logits):
        place = _place(outcome.head, outcome.pooled[None], "head")
        return f"The logits hold {_so_many(bad, outcome.logits)} in {place}."
    return None


@remembered
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
    return f"T{_maps(analysis)[1:]} hold {_so_many(bad, analysis.feature_maps)} in {where}."


def _maps(analysis: Analysis) -> str:
    """What is looked at: "the feature maps", "the maps of layer2"."""
    return "the feature maps" if analysis.layer is None else f"the {analysis.layer_name}"


def _first_layer(analysis: Analysis) -> str:
    """The first of the network's layers, up to the one looked at, whose maps are not finite."""
    layers, key = analysis.network.layers, analysis.layer_key
    first = next((layer.key for layer in layers.all
                  if layer.key == key or _unsound(layers.maps(analysis.input, layer.key))), key)
    return f"the layer {first}"


def _so_many(bad: int, tensor: Tensor) -> str:
    numbers, arise = ("number that is", "it first arises") if bad == 1 else ("numbers that are", "they first arise")
    return f"{bad:,} {numbers} NaN or infinite (of {tensor.numel():,}); {arise}"


def _unsound(tensor: Tensor) -> int:
    """How many numbers are NaN or infinite."""
    return tensor.numel() - int(torch.isfinite(tensor).sum())


def _place(part: nn.Module, x: Tensor, name: str) -> str:
    """Where in a part of the network numbers first cease to be finite; the part itself where that is not seen."""
    origin = _origin(part, x)
    if origin is None:
        return f"the {name}"
    layer, module = origin
    kind = type(module).__name__
    where = f"the layer {layer} ({kind}) of the {name}" if layer else f"the {name} ({kind})"
    own = chain(module.named_parameters(recurse=False), module.named_buffers(recurse=False))
    damaged = [key for key, tensor in own if _unsound(tensor)]
    verb = "holds" if len(damaged) == 1 else "hold"
    return f"{where}, whose own {' and '.join(damaged)} {verb} such numbers" if damaged else where


def _origin(part: nn.Module, x: Tensor) -> tuple[str, nn.Module] | None:
    """The innermost module that was given finite numbers and gave others, in a run of a copy of the part.

    Its name in the part ("" for the part itself), and the module.
    """
    origins: list[tuple[str, nn.Module]] = []
    try:
        copied = own_copy(part)  # others may use the network meanwhile
        for name, module in list(_named(copied)):
            module.forward = _watched(name, module, origins)
        with torch.no_grad():
            copied(x)
    except Exception:  # a network may do anything, and a diagnosis must not fail where the answer did not
        return None
    return origins[-1] if origins else None


def _watched(name: str, module: nn.Module, origins: list[tuple[str, nn.Module]]) -> Callable[..., Any]:
    """A module's forward that adds the module to the origins where it is one."""
    forward = module.forward

    def run(*arguments: Any, **named: Any) -> Any:
        before, was_sound = len(origins), _is_sound((arguments, named))  # now: an operation in place may change them
        output = forward(*arguments, **named)
        if was_sound and _is_sound(output):
            del origins[before:]  # what arose inside went away again
        elif was_sound and len(origins) == before:
            origins.append((name, module))
        return output

    return run


def _named(part: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The part and the modules inside by name. A thin wrapper around one model is left out of its layers' names."""
    children = [name for name, _ in part.named_children()]
    wraps = len(children) == 1 and not isinstance(part, nn.Sequential)
    for name, module in part.named_modules():
        yield name.removeprefix(f"{children[0]}.") if wraps else name, module


def _is_sound(value: Any) -> bool:
    """Whether all tensors of real or complex numbers in nested tuples, lists and dicts are finite."""
    if isinstance(value, Tensor):
        return not (value.is_floating_point() or value.is_complex()) or not _unsound(value)
    if isinstance(value, dict):
        return all(map(_is_sound, value.values()))
    return all(map(_is_sound, value)) if isinstance(value, (tuple, list)) else True
