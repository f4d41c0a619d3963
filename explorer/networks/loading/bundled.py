"""The bundled networks, and the files that the project ships with them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any
from weakref import WeakValueDictionary

import timm
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from explorer.errors import NetworkError
from explorer.framing import Preprocessing
from explorer.networks.calibration import Calibration
from explorer.networks.cutting.taps import own_copy
from explorer.networks.layers import Layers
from explorer.networks.loading.files import checked_bytes
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
    model, sha256 = _lite0()
    return _network(
        "efficientnet_lite0", model, model.classifier,
        class_names=imagenet_class_names(),
        digest=sha256,
        origin="ImageNet, bundled",
        calibration=_calibration("efficientnet_lite0"),
    )


def _flowers() -> Network:
    """Five heads that were trained on the maps of the same backbone, each with another pooling."""
    model, sha256 = _lite0()
    with _reading("heads/flowers.json") as file:
        card = json.loads(file.read_text(encoding="utf-8"))
        class_names, trained_on = tuple(map(str, card["classes"])), card["backbone"]["sha256"]
        weights = [trained_on, *(card["heads"][kind]["sha256"] for kind in KEYS)]
    if trained_on != sha256:
        raise NetworkError(f"The heads of {file.name} were trained on a backbone with sha256 {trained_on[:12]}..., and "
                           f"the bundled one has {sha256[:12]}....")
    trained = read_trained(file.parent)
    return _network(
        "flowers", model, trained.pop("gap").head,
        class_names=class_names,
        digest=hashlib.sha256("".join(weights).encode()).hexdigest(),
        origin="trained on flower photos, bundled",
        trained=trained,
    )


BUNDLED: MappingProxyType[str, Callable[[], Network]] = MappingProxyType({
    "efficientnet_lite0": _efficientnet_lite0, "flowers": _flowers,
})
_IN_MEMORY: WeakValueDictionary[str, nn.Module] = WeakValueDictionary()  # backbones by the sha256 of their file


def _lite0() -> tuple[Any, str]:
    """timm's model with the bundled weights, and the sha256 of their file.

    A backbone that some network already has in memory is shared with it; the classifier is always its own.
    """
    with _reading("efficientnet_lite0.json") as file:
        card = json.loads(file.read_text(encoding="utf-8"))
        model, sha256 = timm.create_model(card["architecture"]), card["sha256"]
    with _reading("efficientnet_lite0.safetensors") as file:
        state, loaded = _checked_state(file, sha256), _IN_MEMORY.get(sha256)
        shared = {} if loaded is None else {
            name: tensor for name, tensor in loaded.state_dict().items() if not name.startswith("classifier.")}
        model.load_state_dict(state | shared, assign=True)
    _IN_MEMORY[sha256] = model
    return model, sha256


def _network(name: str, model: Any, head: nn.Module, **more: Any) -> Network:
    """A network of that backbone, with GAP and a head."""
    model.classifier = head
    layers = Layers(own_copy(model), example_input(_PREPROCESSING))
    model.reset_classifier(0)
    return Network(name=name, title=TITLES[name], backbone=FeatureMaps(model), pooling=POOLINGS["gap"], head=head,
                   preprocessing=_PREPROCESSING, layers=layers, **more)


@cache
def imagenet_class_names() -> tuple[str, ...]:
    """The 1000 names, in the order of the sorted synsets. Raises NetworkError when their file is missing or damaged."""
    with _reading("imagenet_classes.txt") as file:
        names = tuple(file.read_text(encoding="utf-8").splitlines())
    if len(names) != 1000:
        raise NetworkError(f"The network's file {file.name} has {len(names)} names of classes; expected 1000.")
    return names


@contextmanager
def _reading(name: str) -> Iterator[Path]:
    """The path of a bundled file; whatever its absence or damage raises becomes one sentence that names it."""
    try:
        yield ASSETS / name
    except OSError as error:
        raise NetworkError(f"The network's file {name} cannot be read: {error.strerror or error}.") from None
    except SafetensorError as error:
        raise NetworkError(f"The network's file {name} is not safetensors: {error}.") from None
    except (ValueError, LookupError, TypeError, AttributeError, RuntimeError):
        raise NetworkError(f"The network's file {name} is damaged: its content is not what was expected.") from None


def _checked_state(file: Path, sha256: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file whose bytes have this hash, in fp32."""
    tensors = load(checked_bytes(file, sha256, "network's"))
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def _calibration(network: str) -> Calibration:
    with _reading("calibration.json") as file:
        fitted = json.loads(file.read_text(encoding="utf-8")).get(network, {})
        return Calibration({
            key: tuple((point["parameter"], point["multiplier"]) for point in points)
            for key, points in fitted.get("poolings", {}).items()
        })
