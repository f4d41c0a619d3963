"""Find the global pooling of an image classifier, and cut there into backbone, pooling and head.

The model is traced; where that fails it is run once and watched, or cut after a layer that somebody names. In every
case the parts, put together again, must give the model's own logits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from explorer.errors import NetworkError
from explorer.networks.cutting.cuts import (
    Cut,
    by_class_token,
    by_tracing,
    by_watching,
    has_constant_maps,
    reason_without_pooling,
)
from explorer.networks.cutting.taps import first_line, logits_of, own_copy
from explorer.networks.head import head_kind
from explorer.poolings import Pooling

CLOSE = 1e-5  # of the largest logit: how far the parts may be from the model


class NoGlobalPooling(NetworkError):  # noqa: N818 - a name that others may rely on
    """The network has no known global pooling; the message says what it does instead."""


@dataclass(frozen=True, eq=False)
class Split:
    """An image classifier in its three parts: logits = head(pooling(backbone(x))).

    Attributes:
        backbone: (B, channels, h, w) to feature maps (B, C, H, W), channels first whatever the network does inside.
        pooling: the network's own; its default parameter is the network's.
        head: (B, C) to logits (B, classes); a chain of plain modules where it can be written as one.
        way: how the place of the cut was found: "traced", "watched", "followed" or "named".
        shape: (C, H, W) of the feature maps of the example.
    """

    backbone: nn.Module
    pooling: Pooling
    head: nn.Module
    way: str
    shape: tuple[int, int, int]

    @property
    def parameters(self) -> dict[str, float]:
        """The network's own parameter of its pooling."""
        return self.pooling.resolve({})

    def __call__(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of the parts put together."""
        return self.head(self.pooling(self.backbone(x)))

    @property
    def is_affine(self) -> bool:
        """Whether the head is affine, see `explorer.networks.head`."""
        return head_kind(self.head) == "affine"


def split_at_global_pool(model: nn.Module, example: Tensor, layer: str | None = None) -> Split:
    """Cut a classifier at its global pooling. The model itself is not changed; the parts share its weights.

    Args:
        model: (B, channels, h, w) to logits (B, classes).
        example: (B, channels, h, w), an input of the size that the network takes; one of random numbers will do.
        layer: path of the module after which to cut, such as "features.7"; None searches for it.

    Raises:
        NoGlobalPooling: there is no known one, or the parts do not give the model's logits.
        NetworkError: the model cannot be copied or run, or is not a classifier.
    """
    own = own_copy(model)
    _check(own, example)
    differences: list[float] = []  # of cuts that did not give the model's logits
    for x in (example, 3 * example + 1):
        ways: dict[str, Callable[[Tensor], Iterator[Cut]]] = {
            "traced": lambda x: by_tracing(own, x),
            "watched": lambda x: by_watching(own_copy(model), x),
            "followed": lambda x: by_class_token(own_copy(model), x),
        } if layer is None else {"named": lambda x: by_watching(own_copy(model), x, layer)}
        for way, cuts in ways.items():
            if split := _best(way, cuts(x), x, own, differences):
                return split
        # All poolings agree on constant maps: then a brighter input may tell more.
        if layer is not None or differences or not has_constant_maps(own_copy(model), x):
            break
    raise NoGlobalPooling(_not_after_layer(own, layer) if layer else
                          reason_without_pooling(own_copy(model), example, min(differences, default=None)))


def _not_after_layer(model: nn.Module, layer: str) -> str:
    """One sentence: why the model cannot be cut after that layer."""
    if layer not in dict(model.named_modules()):
        return f"The model has no module {layer!r:.80}; expected a path such as those of model.named_modules()."
    return (f"What follows the module {layer} is not a global pooling that is known and a head, or the module gives no "
            "maps of channels at positions; expected the last module before the pooling.")


@torch.no_grad()
def _check(model: nn.Module, example: Tensor) -> None:
    """Raises NetworkError when the model cannot be run on the example, or does not give logits."""
    try:
        answer = model(example)
    except Exception as error:
        raise NetworkError(f"The model cannot be run on an input of shape {tuple(example.shape)}: "
                           f"{first_line(error)}.") from None
    logits_of(answer, len(example))


def _best(
    way: str, cuts: Iterator[Cut], example: Tensor, model: nn.Module, differences: list[float]
) -> Split | None:
    """Of the cuts that give the model's logits, the first whose head is affine; else the one to prefer."""
    best: Split | None = None
    for cut in cuts:
        split = _checked(way, cut, example, model, differences)
        best = max((one for one in (best, split) if one is not None), key=_preference, default=None)
        if best is not None and best.is_affine:
            break
    return best


def _preference(split: Split) -> tuple[bool, bool]:
    """Affine heads first. An average of powers before a root is GeM and no average: GAP and GMP come last."""
    return split.is_affine, split.pooling.key not in ("gap", "gmp")


@torch.no_grad()
def _checked(way: str, cut: Cut, example: Tensor, model: nn.Module, differences: list[float]) -> Split | None:
    """The cut as a Split where it gives the model's logits; else its difference goes to `differences`."""
    try:
        feature_maps = cut.backbone(example)
        difference = _difference_from(model, cut, example)
        if difference <= CLOSE:
            # A head that has taken the batch for a constant fails at two images. A model whose Python looks at its
            # numbers may branch elsewhere on another input; what torch.fx has read cannot.
            two = torch.cat([example[:1], example[:1].flip(-1)])
            branches = way != "traced" or isinstance(model, torch.jit.ScriptModule)
            others = [4 * example + 2, 0.2 * example - 1] if branches else []
            difference = max(_difference_from(model, cut, x) for x in (two, *others))
    except Exception:  # a model's Python may do anything when it is run in parts: then this is no cut
        return None
    if difference <= CLOSE:
        return Split(cut.backbone, cut.pooling, cut.head, way, tuple(feature_maps.shape[1:]))
    differences.append(difference)
    return None


def _difference_from(model: nn.Module, cut: Cut, x: Tensor) -> float:
    """The largest of the cut's logits from the model's, as a share of the largest logit.

    The backbone and the model run one input at a time, the head all of them together.
    """
    logits = cut.head(torch.cat([cut.pooling(cut.backbone(image[None])) for image in x]))
    expected = torch.cat([logits_of(model(image[None]), 1) for image in x])
    if logits.shape != expected.shape:
        return float("inf")
    largest = (logits - expected).abs().max() / expected.abs().max().clamp_min(1e-12)
    return float("inf") if largest.isnan() else float(largest)
