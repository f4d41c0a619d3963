"""Heads that were trained with another pooling of a network, read from their files.

A trained head is a safetensors file: `linear.weight` (classes, C), `linear.bias` (classes,), and what its pooling has
learned, see `explorer.poolings.learned.pooling_with`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from explorer.networks.loading.files import shipped, tensors_in
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


def read_trained(card: Path) -> dict[str, TrainedPooling]:
    """The trained heads that a card names, by the key of their pooling, in the order of KEYS.

    The card is JSON that lists files beside it under "heads", with the sha256 of each, which is checked; the poolings
    are `gap`, `gmp`, `gem`, `learned_attention`, `multi_query_attention` and `gated`, or some of them.

    Raises NetworkError for a file that is missing, damaged or was exchanged.
    """
    with shipped(card) as data:
        heads = json.loads(data)["heads"]
        files = {kind: (card.parent / heads[kind]["file"], heads[kind]["sha256"]) for kind in KEYS if kind in heads}
    trained = {}
    for kind, (path, sha256) in files.items():
        with shipped(path, sha256) as data:
            tensors = tensors_in(data)
            trained[KEYS[kind]] = TrainedPooling(*pooling_with(kind, tensors), linear_of(tensors))
    return trained


def linear_of(tensors: Mapping[str, Tensor]) -> nn.Linear:
    """The Linear of a head's tensors, in evaluation mode, without gradients."""
    classes, channels = tensors["linear.weight"].shape
    head = nn.Linear(channels, classes)
    head.load_state_dict({"weight": tensors["linear.weight"], "bias": tensors["linear.bias"]})
    return head.eval().requires_grad_(False)
