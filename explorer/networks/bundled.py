"""The bundled network, and the files that the project ships with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import MappingProxyType

import timm
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from explorer.errors import NetworkError
from explorer.framing import Preprocessing
from explorer.networks.calibration import Calibration
from explorer.networks.cutting.taps import own_copy
from explorer.networks.layers import Layers
from explorer.networks.network import Network
from explorer.networks.probing import example_input
from explorer.pooling import POOLINGS

ASSETS = Path(__file__).resolve().parents[2] / "assets"


class FeatureMaps(nn.Module):
    """A timm network up to its global pooling: (B, 3, h, w) to (B, C, H, W)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model.forward_features(x)


def _efficientnet_lite0() -> Network:
    with _reading("efficientnet_lite0.json") as file:
        card = json.loads(file.read_text(encoding="utf-8"))
        model, sha256 = timm.create_model(card["architecture"]), card["sha256"]
    with _reading("efficientnet_lite0.safetensors") as file:
        model.load_state_dict(_checked_state(file, sha256))
    preprocessing = Preprocessing(
        size=224, crop_ratio=0.875, mean=(127 / 255,) * 3, std=(128 / 255,) * 3, interpolation="bicubic"
    )
    layers, head = Layers(own_copy(model), example_input(preprocessing)), model.classifier
    model.reset_classifier(0)
    return Network(
        name="efficientnet_lite0",
        title="EfficientNet-Lite0",
        backbone=FeatureMaps(model),
        pooling=POOLINGS["gap"],
        head=head,
        class_names=imagenet_class_names(),
        preprocessing=preprocessing,
        layers=layers,
        digest=sha256,
        origin="ImageNet, bundled",
        calibration=_calibration("efficientnet_lite0"),
    )


BUNDLED: MappingProxyType[str, Callable[[], Network]] = MappingProxyType({"efficientnet_lite0": _efficientnet_lite0})


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
    data = file.read_bytes()
    got = hashlib.sha256(data).hexdigest()
    if got != sha256:
        raise NetworkError(f"The network's file {file.name} has sha256 {got[:12]}..., expected {sha256[:12]}...: "
                           "it is damaged or was exchanged.")
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in load(data).items()}


def _calibration(network: str) -> Calibration:
    with _reading("calibration.json") as file:
        fitted = json.loads(file.read_text(encoding="utf-8")).get(network, {})
        return Calibration({
            key: tuple((point["parameter"], point["multiplier"]) for point in points)
            for key, points in fitted.get("poolings", {}).items()
        })
