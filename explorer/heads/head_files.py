"""Trained heads and a sample of feature maps as files: what the project ships under assets/heads."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from explorer.errors import NetworkError
from explorer.heads.kinds import KINDS, Head
from explorer.heads.quantised import Quantised
from explorer.networks.loading.bundled import ASSETS
from explorer.networks.loading.files import checked_bytes

HEADS = ASSETS / "heads"


@dataclass(frozen=True, eq=False)
class Sample:
    """Feature maps of some labelled photos, as many of each class, without the photos.

    Attributes:
        features: (N, C, H, W), quantised.
        labels: (N,) class indices.
        validation: (N,) bool: the photos that only validate.
        class_names: one a class.
        photos: (N,) names of the photos' files, which lead back to the photographers.
    """

    features: Quantised
    labels: Tensor
    validation: Tensor
    class_names: tuple[str, ...]
    photos: tuple[str, ...]


def read_card(folder: Path = HEADS, name: str = "flowers") -> dict[str, Any]:
    """What is known of the heads of a folder: `<name>.json`, with numbers, hashes and the command that made them.

    Raises NetworkError for a file that is missing or damaged.
    """
    path = Path(folder) / f"{name}.json"
    try:
        card = json.loads(checked_bytes(path))
    except ValueError:
        raise NetworkError(f"The heads' file {path.name} is damaged: it is not JSON.") from None
    if not isinstance(card, dict) or not {"heads", "sample", "classes", "feature_maps"} <= set(card):
        raise NetworkError(f"The heads' file {path.name} is damaged: its content is not what was expected.")
    return card


def read_heads(folder: Path = HEADS, name: str = "flowers") -> dict[str, Head]:
    """The trained heads of a folder by kind, in evaluation mode and without gradients.

    Raises NetworkError for a file that is missing, damaged or was exchanged.
    """
    card = read_card(folder, name)
    return {kind: _head(kind, Path(folder), about, card) for kind, about in card["heads"].items()}


def _head(kind: str, folder: Path, about: Mapping[str, Any], card: Mapping[str, Any]) -> Head:
    path = folder / about["file"]
    data = checked_bytes(path, about["sha256"])
    try:
        head = KINDS[kind](card["feature_maps"], len(card["classes"]))
        head.load_state_dict({key: tensor.float() for key, tensor in load(data).items()})
    except (SafetensorError, LookupError, RuntimeError, TypeError):
        raise NetworkError(f"The heads' file {path.name} does not hold a head of the kind {kind!r}.") from None
    return head.eval().requires_grad_(False)


def sample(folder: Path = HEADS, name: str = "flowers") -> Sample:
    """The sample that a folder holds. Raises NetworkError for a file that is missing, damaged or was exchanged."""
    card = read_card(folder, name)
    path = Path(folder) / card["sample"]["file"]
    data = checked_bytes(path, card["sample"]["sha256"])
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            codes, labels, validation = (torch.from_numpy(arrays[key]) for key in ("codes", "labels", "validation"))
            return Sample(Quantised(codes, float(arrays["scale"])), labels.long(), validation, tuple(card["classes"]),
                          tuple(arrays["photos"].tolist()))
    except (BadZipFile, ValueError, LookupError, TypeError):
        raise NetworkError(f"The heads' file {path.name} does not hold a sample of feature maps.") from None
