"""Poolings with something learned in them: attention by one or several learned queries, a gated mix of GAP and GMP."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from types import MappingProxyType

import torch
from torch import Tensor

from explorer.checks import checked_key
from explorer.errors import ParameterError
from explorer.poolings.registry import POOLINGS, Pooling

# The kinds of heads that are a pooling and a Linear, and the key of that pooling.
KEYS = MappingProxyType({
    "gap": "gap", "gmp": "gmp", "gem": "gem", "attention": "learned_attention", "multi_query": "multi_query_attention",
    "gated": "gated",
})


def learned_attention(query: Tensor) -> Pooling:
    """Attention of one learned query (C,): every position counts by softmax(q . F_ij), the same for all channels.

    Raises ParameterError for a query that is no vector.
    """
    query = query.detach().clone()
    if query.ndim != 1:
        raise ParameterError(f"The query has shape {tuple(query.shape)}; expected (C,).")

    def shares_of(feature_maps: Tensor) -> Tensor:
        """(..., H * W): the share of each position."""
        _check_channels(feature_maps, len(query))
        return torch.softmax(query.to(feature_maps.dtype) @ feature_maps.flatten(-2), -1)

    def value(feature_maps: Tensor) -> Tensor:
        return (feature_maps.flatten(-2) @ shares_of(feature_maps).unsqueeze(-1)).squeeze(-1)

    def weights(feature_maps: Tensor) -> Tensor:
        shares = shares_of(feature_maps).unflatten(-1, feature_maps.shape[-2:])
        return shares.unsqueeze(-3).expand_as(feature_maps)

    return Pooling(
        "learned_attention", "Learned attention",
        "Positions that agree with a learned query count more, the same for all channels.",
        r"\sum_{ij} \mathrm{softmax}_{ij}\!\left(q \cdot F_{ij}\right) F_{ij},\quad q\ \text{learned}",
        "After Ilse, Tomczak and Welling, Attention-based Deep Multiple Instance Learning, ICML 2018, "
        "arXiv:1802.04712, without its hidden layer",
        value, weights, learned={"queries": query[None]},
    )


def slices_of(queries: int, channels: int) -> list[slice]:
    """The channels of each query in order, as equal as can be: of 8 channels and 3 queries 3, 3 and 2."""
    sizes = [channels // queries + (n < channels % queries) for n in range(queries)]
    ends = list(accumulate(sizes))
    return [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]


def multi_query(queries: Tensor) -> Pooling:
    """Attention of M learned queries (M, C), each for its own slice of the channels.

    Query m looks at all channels of a position, softmax(q_m . F_ij), and pools its slice alone (`slices_of`); the M
    slices together are the pooled vector (C,).

    Raises ParameterError for queries that are no matrix, or more of them than channels.
    """
    queries = queries.detach().clone()
    if queries.ndim != 2 or not 1 <= len(queries) <= queries.shape[1]:
        raise ParameterError(f"The queries have shape {tuple(queries.shape)}; expected (M, C), with M from 1 to C.")
    sizes = torch.tensor([part.stop - part.start for part in slices_of(*queries.shape)])

    def weights(feature_maps: Tensor) -> Tensor:
        _check_channels(feature_maps, queries.shape[1])
        shares = torch.softmax(queries.to(feature_maps.dtype) @ feature_maps.flatten(-2), -1)  # (..., M, H * W)
        return shares.repeat_interleave(sizes, -2).unflatten(-1, feature_maps.shape[-2:])

    def value(feature_maps: Tensor) -> Tensor:
        return (weights(feature_maps) * feature_maps).sum((-2, -1))

    return Pooling(
        "multi_query_attention", "Multi-query attention",
        "Several learned queries, each of which weighs the positions for its own slice of the channels.",
        r"\sum_{ij} \mathrm{softmax}_{ij}\!\left(q_{m(k)} \cdot F_{ij}\right) F_{kij},\quad q_1 \dots q_M\ "
        r"\text{learned}",
        "After Psomas et al., Attention, Please! Revisiting Attentive Probing Through the Lens of Efficiency, "
        "ICLR 2026, arXiv:2506.10178, without its projection of the values",
        value, weights, learned={"queries": queries},
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
    weight, offset = weight.detach().flatten().clone(), float(bias)
    gap, gmp = POOLINGS["gap"], POOLINGS["gmp"]

    def gap_share(feature_maps: Tensor, average: Tensor) -> Tensor:
        """(..., 1): the share of GAP."""
        _check_channels(feature_maps, len(weight))
        return torch.sigmoid((average @ weight.to(average.dtype) + offset).unsqueeze(-1))

    def value(feature_maps: Tensor) -> Tensor:
        average = gap.value(feature_maps)
        share = gap_share(feature_maps, average)
        return share * average + (1 - share) * gmp.value(feature_maps)

    def weights(feature_maps: Tensor) -> Tensor:
        share = gap_share(feature_maps, gap.value(feature_maps))[..., None, None]
        return share * gap.weights(feature_maps) + (1 - share) * gmp.weights(feature_maps)

    return Pooling(
        "gated", "Gated mix", "A mix of the average and the maximum whose share each photo sets itself.",
        r"g\,\frac{1}{HW}\sum_{ij} F_{ij} + (1-g) \max_{ij} F_{ij},\quad "
        r"g = \sigma\!\left(v \cdot \mathrm{GAP}(F) + b\right)",
        "After Lee, Gallagher and Tu, Generalizing Pooling Functions in Convolutional Neural Networks, 2016, "
        "arXiv:1509.08985 (there over local windows)",
        value, weights, learned={"gate": weight, "offset": offset},
    )


def _check_channels(feature_maps: Tensor, expected: int) -> None:
    if feature_maps.ndim < 3 or feature_maps.shape[-3] != expected:
        raise ParameterError(f"The feature maps have shape {tuple(feature_maps.shape)}; expected {expected} channels, "
                             f"(..., {expected}, H, W).")


def pooling_with(kind: str, tensors: Mapping[str, Tensor]) -> tuple[Pooling, dict[str, float]]:
    """The pooling of a kind of head and its parameters, from what it has learned.

    Its tensors are `p` (GeM), `query` (C,) (learned attention), `queries` (M, C) (multi-query attention), `gate.weight`
    (1, C) and `gate.bias` (1,) (gated mix).

    Raises ParameterError for a kind that is no pooling and a Linear, KeyError where a tensor is missing.
    """
    checked_key(kind, KEYS, "pooling of the kind")
    if kind == "attention":
        return learned_attention(tensors["query"]), {}
    if kind == "multi_query":
        return multi_query(tensors["queries"]), {}
    if kind == "gated":
        return gated(tensors["gate.weight"], tensors["gate.bias"]), {}
    pooling = POOLINGS[KEYS[kind]]
    return pooling, pooling.resolve({"p": float(tensors["p"])} if kind == "gem" else {})
