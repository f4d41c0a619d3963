"""The bundled networks, and the files that the project ships with them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any
from weakref import WeakValueDictionary

import timm
from torch import Tensor, nn

from explorer.errors import NetworkError
from explorer.framing import Preprocessing
from explorer.networks.calibration import Calibration
from explorer.networks.cutting.taps import own_copy
from explorer.networks.engine import Engine, Graph
from explorer.networks.graphs import with_weights
from explorer.networks.layers import Layers
from explorer.networks.loading.files import shipped, tensors_in
from explorer.networks.network import Network
from explorer.networks.probing import example_input
from explorer.networks.trained_heads import read_trained
from explorer.poolings import POOLINGS
from explorer.poolings.learned import KEYS

ASSETS = Path(__file__).resolve().parents[3] / "assets"
TITLES = MappingProxyType({
    "efficientnet_lite0": "EfficientNet-Lite0", "flowers": "EfficientNet-Lite0, five flowers",
})
_PREPROCESSING = Preprocessing(
    size=224, crop_ratio=0.875, mean=(127 / 255,) * 3, std=(128 / 255,) * 3, interpolation="bicubic"
)


class FeatureMaps(nn.Module):
    """A timm network up to its global pooling: (B, 3, h, w) to (B, C, H, W)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model  # timm's, with methods that torch's modules lack

    def forward(self, x: Tensor) -> Tensor:
        return self.model.forward_features(x)


def _efficientnet_lite0() -> Network:
    model, sha256 = lite0()
    return _network(
        "efficientnet_lite0", model, model.classifier, sha256,
        class_names=imagenet_class_names(),
        digest=sha256,
        origin="ImageNet, bundled",
        calibration=_calibration("efficientnet_lite0"),
    )


def _flowers() -> Network:
    """Five heads that were trained on the maps of the same backbone, each with another pooling."""
    model, sha256 = lite0()
    file = ASSETS / "heads" / "flowers.json"
    with shipped(file) as data:
        card = json.loads(data)
        class_names, trained_on, heads = tuple(map(str, card["classes"])), card["backbone"]["sha256"], card["heads"]
        weights = [trained_on, heads["gap"]["sha256"],
                   *(heads[kind]["sha256"] for kind in KEYS if kind in heads and kind != "gap")]
    if trained_on != sha256:
        raise NetworkError(f"The heads of {file.name} were trained on a backbone with sha256 {trained_on[:12]}..., and "
                           f"the bundled one has {sha256[:12]}....")
    trained = read_trained(file)
    return _network(
        "flowers", model, trained.pop("gap").head, sha256,
        class_names=class_names,
        digest=hashlib.sha256("".join(weights).encode()).hexdigest(),
        origin="trained on flower photos, bundled",
        trained=trained,
    )


BUNDLED: MappingProxyType[str, Callable[[], Network]] = MappingProxyType({
    "efficientnet_lite0": _efficientnet_lite0, "flowers": _flowers,
})
_IN_MEMORY: WeakValueDictionary[tuple[str, str], Tensor] = WeakValueDictionary()  # by sha256 of their file and name
_GRAPHS: WeakValueDictionary[str, Graph] = WeakValueDictionary()  # by sha256 of the weights' file


def architecture() -> str:
    """Of the bundled networks, as `load_network` takes it. Raises NetworkError where its card is damaged."""
    with shipped(ASSETS / "efficientnet_lite0.json") as data:
        return f"timm/{json.loads(data)['architecture']}"


def lite0() -> tuple[Any, str]:
    """timm's model with the bundled weights, and the sha256 of their file.

    Weights of the backbone that some network already has in memory are shared with it; the classifier is always its
    own.
    """
    with shipped(ASSETS / "efficientnet_lite0.json") as data:
        card = json.loads(data)
        model, sha256 = timm.create_model(card["architecture"]).requires_grad_(False), card["sha256"]
    with shipped(ASSETS / "efficientnet_lite0.safetensors", sha256) as data:
        state = {name: _IN_MEMORY.get((sha256, name), tensor) for name, tensor in tensors_in(data).items()}
        model.load_state_dict(state, assign=True)
    _IN_MEMORY.update({(sha256, name): tensor for name, tensor in (*model.named_parameters(), *model.named_buffers())
                       if not name.startswith("classifier.")})
    return model, sha256


def _graph(model: nn.Module, sha256: str) -> Graph:
    """The backbone's graph, shared by all networks of these weights; its own file has none."""
    graph = _GRAPHS.get(sha256)
    if graph is None:
        with shipped(ASSETS / "efficientnet_lite0.onnx") as data:
            graph = _GRAPHS[sha256] = Graph(with_weights(data, FeatureMaps(model).state_dict()))
    return graph


def _network(name: str, model: Any, head: nn.Module, weights: str, **more: Any) -> Network:
    """A network of that backbone, with GAP and a head; `weights` is the sha256 of the backbone's."""
    graph = _graph(model, weights)
    model.classifier = head
    layers = Layers(own_copy(model), example_input(_PREPROCESSING))
    model.reset_classifier(0)
    backbone = FeatureMaps(model)
    return Network(name=name, title=TITLES[name], backbone=backbone, pooling=POOLINGS["gap"], head=head,
                   preprocessing=_PREPROCESSING, layers=layers, engine=Engine(backbone, graph=graph), **more)


@cache
def imagenet_class_names() -> tuple[str, ...]:
    """The 1000 names, in the order of the sorted synsets. Raises NetworkError when their file is missing or damaged."""
    with shipped(ASSETS / "imagenet_classes.txt") as data:
        names = tuple(data.decode().splitlines())
    if len(names) != 1000:
        raise NetworkError(f"The network's file imagenet_classes.txt has {len(names)} names of classes; expected 1000.")
    return names


def _calibration(network: str) -> Calibration:
    with shipped(ASSETS / "calibration.json") as data:
        fitted = json.loads(data).get(network, {})
        return Calibration({
            key: tuple((point["parameter"], point["multiplier"]) for point in points)
            for key, points in fitted.get("poolings", {}).items()
        })
