"""Trained heads and a sample of feature maps as files: what the project ships under assets/heads."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from explorer.heads.kinds import KINDS, Head
from explorer.networks.loading.bundled import ASSETS
from explorer.networks.loading.files import shipped, tensors_in

HEADS = ASSETS / "heads"


class Quantised(NamedTuple):
    """Feature maps codes * scale: as bytes they take a quarter of the room, and much less compressed.

    Attributes:
        codes: (N, C, H, W) uint8.
        scale: what one step is worth.
    """

    codes: Tensor
    scale: float

    def floats(self, which: Tensor | None = None) -> Tensor:
        """(n, C, H, W) float32: the feature maps of some photos (indices or (N,) bool), or of all."""
        return (self.codes if which is None else self.codes[which]).float() * self.scale


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


def read_card(folder: Path = HEADS) -> dict[str, Any]:
    """What is known of the heads of a folder: `flowers.json`, with numbers, hashes and the command that made them.

    Raises NetworkError for a file that is missing or damaged.
    """
    with shipped(folder / "flowers.json") as data:
        card: dict[str, Any] = json.loads(data)
        if not {"heads", "sample", "classes", "feature_maps"} <= set(card):
            raise ValueError
    return card


def read_heads(folder: Path = HEADS) -> dict[str, Head]:
    """The trained heads of a folder by kind, in evaluation mode and without gradients.

    Raises NetworkError for a file that is missing, damaged or was exchanged.
    """
    card, heads = read_card(folder), {}
    for kind, about in card["heads"].items():
        with shipped(folder / about["file"], about["sha256"]) as data:
            head = KINDS[kind](card["feature_maps"], len(card["classes"]))
            head.load_state_dict(tensors_in(data))
            heads[kind] = head.eval().requires_grad_(False)
    return heads


def sample(folder: Path = HEADS) -> Sample:
    """The sample that a folder holds. Raises NetworkError for a file that is missing, damaged or was exchanged."""
    card = read_card(folder)
    about = card["sample"]
    with shipped(folder / about["file"], about["sha256"]) as data, np.load(io.BytesIO(data)) as arrays:
        codes, labels, validation = (torch.from_numpy(arrays[key]) for key in ("codes", "labels", "validation"))
        return Sample(Quantised(codes, float(arrays["scale"])), labels.long(), validation, tuple(card["classes"]),
                      tuple(arrays["photos"].tolist()))
