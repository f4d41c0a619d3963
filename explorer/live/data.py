"""What live.js computes with: a network after its backbone, and the feature maps of a photo, as JSON.

A head's weights are sent in 16 bits each, feature maps in single precision to the last bit: whether two positions of a
channel are equal decides which of them a maximum takes. `rounding` says what the 16 bits add.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from explorer.analysis import Analysis, Outcome
from explorer.errors import MethodError
from explorer.live.packing import look, pack, pack_exactly, photo_uri, unpacked
from explorer.networks import Network
from explorer.networks.head import BesideMaps, Elementwise, UnitNorm, affine_steps, head_kind
from explorer.poolings import Pooling

CLASSES_AT_HAND = 10  # of a head that is not affine: the likeliest classes, whose slopes are sent


def network_data(network: Network) -> dict[str, Any]:
    """A network's names, poolings and heads, for `LiveNetwork.read`.

    A head that is not affine has no rows: `photo_data` brings slopes of some classes, photo by photo.
    Raises MethodError where the network has no global pooling.
    """
    own = network.pooling
    if own is None:
        raise MethodError(network.reason)
    heads = list(dict.fromkeys(network.heads)) if is_affine(network) else []
    native = [key for key, pooling in network.poolings.items() if pooling.compute_value is own.compute_value]
    return {
        "title": network.title, "digest": network.digest[:16], "activation": network.activation, "unit": network.unit,
        "number": network.number, "names": list(network.class_names), "classes": None, "estimated": False,
        "native": {"keys": [own.key, *(key for key in native if key != own.key)],
                   "value": next(iter(own.resolve(dict(network.pooling_parameters)).values()), None)},
        "poolings": [_pooling(network, pooling, heads.index(network.head_under(key)) if heads else n)
                     for n, (key, pooling) in enumerate(network.poolings.items())],
        "multipliers": {key: [list(pair) for pair in pairs] for key, pairs in network.calibration.multipliers.items()},
        "heads": [{"steps": [_step(module) for module in affine_steps(head)]} for head in heads],
        "look": look(),
    }


def photo_data(analysis: Analysis, photo: bool = True, classes: Sequence[int] = ()) -> dict[str, Any]:
    """A photo's feature maps and framing, and the photo itself unless it is to be left out.

    `classes` are at hand beside the likeliest ones where the head is not affine.
    Raises MethodError where there is no evidence.
    """
    analysis.require_evidence()
    framing = analysis.framing
    held = {} if is_affine(analysis.network) else _held(analysis, classes)
    return held | {
        "maps": pack_exactly(analysis.feature_maps.numpy()),
        "size": list(framing.photo_size), "seen": [float(edge) for edge in framing.seen], "kind": framing.kind,
        "input": list(framing.input_size), "photo": photo_uri(analysis) if photo else "",
        "rounding": rounding(analysis),
    }


def is_affine(network: Network) -> bool:
    """Whether all its heads are, so that any class under any pooling is computed and not estimated."""
    return all(head_kind(head) == "affine" for head in network.heads)


def rounding(analysis: Analysis) -> float:
    """Logits: the largest difference that 16 bits a weight make on this photo under the native pooling."""
    outcome = analysis.under()
    if not is_affine(analysis.network):
        return 0.0
    head = deepcopy(outcome.head)
    with torch.no_grad():
        for module in affine_steps(head):
            if isinstance(module, nn.Linear):
                module.weight.copy_(torch.from_numpy(unpacked(module.weight.numpy()[:, None])[:, 0]))
        return float((head(outcome.pooled[None])[0] - outcome.logits).abs().max())


def _pooling(network: Network, pooling: Pooling, head: int) -> dict[str, Any]:
    parameter = pooling.parameter
    return {
        "key": pooling.key, "name": pooling.name, "explanation": pooling.explanation, "head": head,
        "trained": pooling.key in network.trained,
        "parameter": None if parameter is None else {
            "name": parameter.name, "default": parameter.default, "low": parameter.low, "high": parameter.high,
            "usual": list(parameter.usual), "logarithmic": parameter.logarithmic,
            "explanation": parameter.explanation},
        "learned": {name: value.tolist() if isinstance(value, Tensor) else value
                    for name, value in pooling.learned.items()},
    }


def _step(module: nn.Module) -> dict[str, Any]:
    """A module of an affine head, as HELD of live.js has it."""
    if isinstance(module, nn.Linear):
        bias = _or(module.bias, torch.zeros(module.out_features))
        return {"kind": "linear", "rows": pack(module.weight.numpy()[:, None]), "shift": bias.tolist()}
    if isinstance(module, nn.LayerNorm):
        weight = _or(module.weight, torch.ones(module.normalized_shape))
        bias = _or(module.bias, torch.zeros(module.normalized_shape))
        return {"kind": "norm", "eps": module.eps, "weight": weight.tolist(), "bias": bias.tolist()}
    if isinstance(module, UnitNorm):
        return {"kind": "unit", "eps": module.eps}
    if isinstance(module, BesideMaps):
        return {"kind": "beside"}
    if isinstance(module, Elementwise):
        return {"kind": "scale", "factor": module.get_buffer("factor").tolist(),
                "shift": module.get_buffer("shift").tolist()}
    assert isinstance(module, nn.BatchNorm1d)
    mean, deviation = module.get_buffer("running_mean"), torch.sqrt(module.get_buffer("running_var") + module.eps)
    factor = _or(module.weight, torch.ones_like(mean)) / deviation
    shift = _or(module.bias, torch.zeros_like(mean)) - mean * factor
    return {"kind": "scale", "factor": factor.tolist(), "shift": shift.tolist()}


def _or(parameter: Tensor | None, usual: Tensor) -> Tensor:
    return usual if parameter is None else parameter


def _held(analysis: Analysis, also: Sequence[int]) -> dict[str, Any]:
    """Of heads that are not affine: slopes of the likeliest classes under each pooling, held at this photo."""
    outcomes = analysis.under().under_each_pooling()
    likeliest = (answer.class_index for outcome in outcomes for answer in outcome.top(3))
    first = (answer.class_index for answer in analysis.under().top(CLASSES_AT_HAND))
    classes = list(dict.fromkeys((*first, *likeliest, *also)))
    return {
        "classes": classes, "names": [analysis.network.class_names[index] for index in classes], "estimated": True,
        "heads": [_slopes(outcome, classes) for outcome in outcomes],
    }


def _slopes(outcome: Outcome, classes: list[int]) -> dict[str, Any]:
    evidences = outcome.evidences(classes)
    others = np.delete(outcome.logits.double().numpy(), classes)
    return {
        "steps": [{"kind": "linear", "rows": pack(np.stack([one.slopes.numpy() for one in evidences])[:, None]),
                   "shift": [one.baseline for one in evidences], "offset": [one.residual for one in evidences]}],
        "rest": float(np.logaddexp.reduce(others)) if others.size else None,
    }
