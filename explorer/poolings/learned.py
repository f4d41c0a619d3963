"""Poolings with something learned in them, and the heads that were trained with a pooling of their own.

A trained head is a file of tensors: `linear.weight` (classes, C) and `linear.bias` (classes,), and what its pooling has
learned: `p` (GeM), `query` (C,) (learned attention), `gate.weight` (1, C) and `gate.bias` (1,) (gated mix).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from explorer.errors import NetworkError, ParameterError
from explorer.poolings import POOLINGS, Pooling

# The kinds of heads that are a pooling and a Linear, and the key of that pooling.
KEYS = MappingProxyType({
    "gap": "gap", "gmp": "gmp", "gem": "gem", "attention": "learned_attention", "gated": "gated",
})


class Trained(NamedTuple):
    """A pooling and the head that was trained with it.

    Attributes:
        pooling: of the registry, or one with something learned in it.
        parameters: the pooling's, as they were learned: {"p": 2.4}; empty where it has none.
        head: (B, C) to logits (B, classes), in evaluation mode, without gradients.
    """

    pooling: Pooling
    parameters: dict[str, float]
    head: nn.Module


def learned_attention(query: Tensor, temperature: float = 1.0) -> Pooling:
    """Attention of one learned query (C,): every position counts by softmax(q . F_ij / t), the same for all channels.

    Raises ParameterError for a query that is no vector or a temperature that is not above 0.
    """
    query = query.detach().clone()
    if query.ndim != 1:
        raise ParameterError(f"The query has shape {tuple(query.shape)}; expected (C,).")
    if not temperature > 0:
        raise ParameterError(f"The temperature is {temperature!r}; expected a number above 0.")

    def look(feature_maps: Tensor) -> Tensor:
        """(..., H * W): the share of each position."""
        _check_channels(feature_maps, len(query))
        agreement = query.to(feature_maps.dtype) @ feature_maps.flatten(-2)
        return torch.softmax(agreement / temperature, -1)

    def value(feature_maps: Tensor) -> Tensor:
        return (feature_maps.flatten(-2) @ look(feature_maps).unsqueeze(-1)).squeeze(-1)

    def weights(feature_maps: Tensor) -> Tensor:
        shares = look(feature_maps).unflatten(-1, feature_maps.shape[-2:])
        return shares.unsqueeze(-3).expand_as(feature_maps)

    return Pooling(
        "learned_attention", "Learned attention",
        "Positions that agree with a learned query count more, the same for all channels.",
        r"\sum_{ij} \mathrm{softmax}_{ij}\!\left(q \cdot F_{ij}\right) F_{ij},\quad q\ \text{learned}",
        "After Ilse, Tomczak and Welling, Attention-based Deep Multiple Instance Learning, ICML 2018, "
        "arXiv:1802.04712, without its hidden layer",
        value, weights,
    )


def gated(weight: Tensor, bias: Tensor) -> Pooling:
    """A mix of GAP and GMP whose share each photo sets itself: g = sigmoid(v . GAP(F) + b) is the share of GAP.

    Args:
        weight: v, (C,) or (1, C).
        bias: b, one number.

    Raises ParameterError for other shapes.
    """
    if bias.numel() != 1 or weight.ndim not in (1, 2) or weight.numel() != weight.shape[-1]:
        raise ParameterError(f"The gate has shapes {tuple(weight.shape)} and {tuple(bias.shape)}; "
                             "expected (C,) and one number.")
    weight, bias = weight.detach().flatten().clone(), float(bias)
    gap, gmp = POOLINGS["gap"], POOLINGS["gmp"]

    def gate(feature_maps: Tensor, average: Tensor) -> Tensor:
        """(..., 1)"""
        _check_channels(feature_maps, len(weight))
        return torch.sigmoid((average @ weight.to(average.dtype) + bias).unsqueeze(-1))

    def value(feature_maps: Tensor) -> Tensor:
        average = gap.value(feature_maps)
        share = gate(feature_maps, average)
        return share * average + (1 - share) * gmp.value(feature_maps)

    def weights(feature_maps: Tensor) -> Tensor:
        share = gate(feature_maps, gap.value(feature_maps))[..., None, None]
        return share * gap.weights(feature_maps) + (1 - share) * gmp.weights(feature_maps)

    return Pooling(
        "gated", "Gated mix", "A mix of the average and the maximum whose share each photo sets itself.",
        r"g\,\frac{1}{HW}\sum_{ij} F_{ij} + (1-g) \max_{ij} F_{ij},\quad "
        r"g = \sigma\!\left(v \cdot \mathrm{GAP}(F) + b\right)",
        "After Lee, Gallagher and Tu, Generalizing Pooling Functions in Convolutional Neural Networks, 2016, "
        "arXiv:1509.08985 (there over local windows)",
        value, weights,
    )


def _check_channels(feature_maps: Tensor, expected: int) -> None:
    if feature_maps.ndim < 3 or feature_maps.shape[-3] != expected:
        raise ParameterError(f"The feature maps have shape {tuple(feature_maps.shape)}; expected {expected} channels, "
                             f"(..., {expected}, H, W).")


def pooling_with(kind: str, tensors: Mapping[str, Tensor]) -> tuple[Pooling, dict[str, float]]:
    """The pooling of a kind of head and its parameters, from what it has learned.

    Raises ParameterError for a kind that is no pooling and a Linear, KeyError where a tensor is missing.
    """
    if kind not in KEYS:
        raise ParameterError(f"There is no pooling of the kind {kind!r}; expected one of {', '.join(KEYS)}.")
    if kind == "attention":
        return learned_attention(tensors["query"]), {}
    if kind == "gated":
        return gated(tensors["gate.weight"], tensors["gate.bias"]), {}
    pooling = POOLINGS[KEYS[kind]]
    return pooling, pooling.resolve({"p": float(tensors["p"])} if kind == "gem" else {})


def trained_poolings(files: Iterable[Path]) -> dict[str, Trained]:
    """Trained heads by the key of their pooling, from safetensors files that are named `<name>_<kind>.safetensors`.

    Files of kinds that are not a pooling and a Linear (side by side, pyramid, flatten) are passed over.

    Raises NetworkError for a file that is missing, damaged or does not hold such a head.
    """
    kinds = ((path, path.stem.rpartition("_")[2]) for path in map(Path, files))
    return {KEYS[kind]: _trained(path, kind, checked_bytes(path)) for path, kind in kinds if kind in KEYS}


def read_trained(folder: Path, name: str = "flowers") -> dict[str, Trained]:
    """The trained heads of a folder by the key of their pooling, in the order of KEYS.

    `<name>.json` lists the files under "heads" with the sha256 of each, which is checked; the poolings are `gap`,
    `gmp`, `gem`, `learned_attention` and `gated`.

    Raises NetworkError for a file that is missing, damaged or was exchanged.
    """
    card = Path(folder) / f"{name}.json"
    try:
        listed = json.loads(checked_bytes(card))["heads"]
        wanted = {kind: (Path(folder) / listed[kind]["file"], listed[kind]["sha256"]) for kind in KEYS}
    except (ValueError, LookupError, TypeError):
        raise NetworkError(f"The heads' file {card.name} is damaged: its content is not what was expected.") from None
    return {KEYS[kind]: _trained(path, kind, checked_bytes(path, sha256)) for kind, (path, sha256) in wanted.items()}


def checked_bytes(path: Path, sha256: str | None = None) -> bytes:
    """Of a file, with that sha256 if one is given. Raises NetworkError where it cannot be read or has another."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NetworkError(f"The heads' file {path.name} cannot be read: {error.strerror or error}.") from None
    got = hashlib.sha256(data).hexdigest()
    if sha256 is not None and got != sha256:
        raise NetworkError(f"The heads' file {path.name} has sha256 {got[:12]}..., expected {sha256[:12]}...: it is "
                           "damaged or was exchanged.")
    return data


def _trained(path: Path, kind: str, data: bytes) -> Trained:
    try:
        tensors = {name: tensor.float() for name, tensor in load(data).items()}
        return Trained(*pooling_with(kind, tensors), _linear(tensors["linear.weight"], tensors["linear.bias"]))
    except SafetensorError as error:
        raise NetworkError(f"The heads' file {path.name} is not safetensors: {error}.") from None
    except (ValueError, LookupError, RuntimeError):
        raise NetworkError(f"The heads' file {path.name} does not hold a head of the kind {kind!r}.") from None


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    classes, channels = weight.shape
    head = nn.Linear(channels, classes)
    head.load_state_dict({"weight": weight, "bias": bias})
    return head.eval().requires_grad_(False)
