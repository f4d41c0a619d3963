"""Whether a head's logits can be decomposed at a photo: where its evidence leaves much of a logit over, they cannot."""

from __future__ import annotations

import torch
from torch import Tensor

from explorer.evidence import decompose
from explorer.networks.network import Network
from explorer.wording import plain

_TRIED = 3  # classes whose evidence must add up


@torch.no_grad()
def why_not_decomposed(network: Network, feature_maps: Tensor) -> str:
    """One sentence why there is no evidence, under the network's own pooling; "" where there is.

    Args:
        network: with a pooling.
        feature_maps: (C, H, W).
    """
    if network.pooling is None or network.head_kind == "affine":
        return ""
    parameters = dict(network.pooling_parameters)
    pooled = network.pooling.value(feature_maps, **parameters)
    logits = network.head(pooled[None])[0]
    kept = network.pooling.weights(feature_maps, **parameters) * feature_maps
    classes = logits.topk(min(_TRIED, len(logits))).indices.tolist()
    for evidence in decompose(kept, pooled, logits, network.head, classes, network.pooling.exact):
        if not evidence.adds_up:
            name = f"{network.class_names[evidence.class_index]:.80}"
            return (f"The head of this network cannot be decomposed: of the {plain(evidence.logit)} logits of {name} "
                    f"the evidence leaves a residual of {plain(evidence.residual)}.")
    return ""
