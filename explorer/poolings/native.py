"""Native poolings of some networks that are not among those which can stand before any head.

They work on feature maps that were prepared for them, so that weights times feature maps still give the value: the
maps twice, the values that an attention averages together with its weights, or what a class token was made of.
"""

from __future__ import annotations

import torch
from torch import Tensor

from explorer.poolings.registry import POOLINGS, Pooling
from explorer.poolings.values import PLACES

_GAP, _GMP = POOLINGS["gap"], POOLINGS["gmp"]


def _side_by_side(first: Pooling, second: Pooling, name: str, explanation: str) -> Pooling:
    def value(feature_maps: Tensor) -> Tensor:
        one, two = feature_maps.chunk(2, -3)
        return torch.cat([first.value(one), second.value(two)], -1)

    def weights(feature_maps: Tensor) -> Tensor:
        one, two = feature_maps.chunk(2, -3)
        return torch.cat([first.weights(one), second.weights(two)], -3)

    return Pooling(
        "catavgmax", name, explanation,
        r"\left[\tfrac{1}{HW}\sum_{ij} F_{ij},\ \max_{ij} F_{ij}\right]",
        "timm's SelectAdaptivePool2d, “catavgmax” (Wightman, PyTorch Image Models, 2019)",
        value, weights, learned={"order": [first.key, second.key]},
    )


CATAVGMAX = _side_by_side(
    _GAP, _GMP, "GAP beside GMP",
    "Each channel is pooled twice: the first half of the vector is the average, the second half the maximum.")
CATMAXAVG = _side_by_side(
    _GMP, _GAP, "GMP beside GAP",
    "Each channel is pooled twice: the first half of the vector is the maximum, the second half the average.")


CLASS_TOKEN = Pooling(
    "class_token", "Class token",
    "The sum of what the patches wrote directly into the class token, in every block; what the token made of itself "
    "stands beside it.",
    r"\sum_{b} \sum_{ij} a^{b}_{ij}\, O^{b} V^{b}_{ij}",
    "Gandelsman, Efros and Steinhardt, Interpreting CLIP's Image Representation via Text-Based Decomposition, ICLR "
    "2024, arXiv:2310.05916",
    _GAP.compute_value, _GAP.compute_weights,  # its maps are the writes times the number of positions
)


def attention_pool(heads: int, width: int) -> Pooling:
    """A trained attention of some heads over `width` values, as in CLIP's ResNets.

    Its feature maps are the values, (..., width, H, W), followed by a map of weights for each head, which sum to 1
    over the positions. The maps of weights pool to zero: they look and are not looked at. No gradient runs through
    them: the weights are held.
    """
    def per_value(feature_maps: Tensor) -> Tensor:
        looks = feature_maps[..., width:, :, :].detach()
        return looks.repeat_interleave(width // heads, dim=-3)

    def value(feature_maps: Tensor) -> Tensor:
        pooled = (per_value(feature_maps) * feature_maps[..., :width, :, :]).sum(PLACES)
        return torch.cat([pooled, pooled.new_zeros(*pooled.shape[:-1], heads)], -1)

    def weights(feature_maps: Tensor) -> Tensor:
        return torch.cat([per_value(feature_maps), torch.zeros_like(feature_maps[..., width:, :, :])], -3)

    return Pooling(
        "attention_pool", "Trained attention",
        f"{heads} learned heads look at the positions; each averages its own {width // heads} values of them.",
        r"\sum_{ij} a^{h}_{ij}\, V_{ij},\quad a^{h} = \mathrm{softmax}_{ij}\!\left(q^{h} \cdot k^{h}_{ij}\right)",
        "Radford et al., Learning Transferable Visual Models From Natural Language Supervision, 2021, "
        "arXiv:2103.00020",
        value, weights, learned={"heads": heads, "width": width},
    )
