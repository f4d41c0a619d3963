"""Heads that were trained with another pooling of a network, read from their files.

A trained head is a safetensors file: `linear.weight` (classes, C), `linear.bias` (classes,), and what its pooling has
learned, see `explorer.poolings.learned.pooling_with`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from explorer.errors import NetworkError
from explorer.networks.loading.files import checked_bytes
from explorer.poolings import Pooling
from explorer.poolings.learned import KEYS, pooling_with


class TrainedPooling(NamedTuple):
    """A pooling and the head that was trained with it.

    Attributes:
        pooling: of the registry, or one with something learned in it.
        parameters: the pooling's, as they were learned: {"p": 2.4}; empty where it has none.
        head: (B, C) to logits (B, classes), in evaluation mode, without gradients.
    """

    pooling: Pooling
    parameters: dict[str, float]
    head: nn.Module


def read_trained(folder: Path, name: str = "flowers") -> dict[str, TrainedPooling]:
    """The trained heads of a folder by the key of their pooling, in the order of KEYS.

    `<name>.json` lists the files under "heads" with the sha256 of each, which is checked; the poolings are `gap`,
    `gmp`, `gem`, `learned_attention` and `gated`.

    Raises NetworkError for a file that is missing, damaged or was exchanged.
    """
    card = Path(folder) / f"{name}.json"
    try:
        heads = json.loads(checked_bytes(card))["heads"]
        files = {kind: (Path(folder) / heads[kind]["file"], heads[kind]["sha256"]) for kind in KEYS}
    except (ValueError, LookupError, TypeError):
        raise NetworkError(f"The heads' file {card.name} is damaged: its content is not what was expected.") from None
    return {KEYS[kind]: _read(path, kind, checked_bytes(path, sha256)) for kind, (path, sha256) in files.items()}


def _read(path: Path, kind: str, data: bytes) -> TrainedPooling:
    try:
        tensors = {name: tensor.float() for name, tensor in load(data).items()}
        pooling, parameters = pooling_with(kind, tensors)
        return TrainedPooling(pooling, parameters, _linear(tensors["linear.weight"], tensors["linear.bias"]))
    except SafetensorError as error:
        raise NetworkError(f"The heads' file {path.name} is not safetensors: {error}.") from None
    except (ValueError, LookupError, RuntimeError):
        raise NetworkError(f"The heads' file {path.name} does not hold a head of the kind {kind!r}.") from None


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    classes, channels = weight.shape
    head = nn.Linear(channels, classes)
    head.load_state_dict({"weight": weight, "bias": bias})
    return head.eval().requires_grad_(False)
