"""Find the global pooling of an image classifier, and cut there into backbone, pooling and head.

In this order: the model is traced with torch.fx; or taken apart by timm's `forward_features` and `forward_head`; or
run once and watched; or cut after a layer that somebody names. Whichever way, the parts are put together again and
must give the model's own logits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from explorer.errors import NetworkError
from explorer.networks.cutting.cuts import Cut, by_timm, by_tracing, by_watching, seen_at_the_end, silent_at_the_end
from explorer.networks.cutting.taps import first_line, logits_of, own_copy
from explorer.networks.head import head_kind
from explorer.poolings import Pooling

CLOSE = 1e-5  # of the largest logit: how far the parts may be from the model


class NoGlobalPooling(NetworkError):  # noqa: N818 - a name that others may rely on
    """The network has no global pooling, or none that is known; the message says what was found instead."""


@dataclass(frozen=True, eq=False)
class Split:
    """An image classifier in its three parts: logits = head(pooling(backbone(x))).

    Attributes:
        backbone: (B, channels, h, w) to feature maps (B, C, H, W), channels first whatever the network does inside.
        pooling: its own, whose default parameter is the network's.
        head: (B, C) to logits (B, classes); a chain of plain modules wherever it can be written as one.
        found: how: "traced", "timm", "watched" or "named".
        shape: (C, H, W) of the feature maps of the example.
        difference: the largest between the parts' logits and the model's, as a share of the largest logit.
    """

    backbone: nn.Module
    pooling: Pooling
    head: nn.Module
    found: str
    shape: tuple[int, int, int]
    difference: float

    @property
    def parameters(self) -> dict[str, float]:
        """The network's own parameter of its pooling."""
        return self.pooling.resolve({})

    def __call__(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of the parts put together."""
        return self.head(self.pooling(self.backbone(x)))

    @property
    def head_kind(self) -> str:
        """"affine" or "nonlinear", see `explorer.networks.head`."""
        return head_kind(self.head)


def split_at_global_pool(model: nn.Module, example: Tensor, layer: str | None = None) -> Split:
    """Cut a classifier at its global pooling. The model itself is not changed; the parts share its weights.

    Args:
        model: (B, channels, h, w) to logits (B, classes).
        example: (B, channels, h, w), an input of the size that the network takes; one of random numbers will do.
        layer: the path of the module after which to cut, such as "features.7"; None finds it.

    Raises:
        NoGlobalPooling: there is none, or none that is known, or the parts do not give the model's logits.
        NetworkError: the model cannot be copied or run, or is not a classifier.
    """
    own = own_copy(model)
    _check(own, example)
    for given in (example, 3 * example + 1):
        differing: list[float] = []
        ways: dict[str, Callable[[], Iterator[Cut]]] = {
            "traced": lambda given=given: by_tracing(own, given),
            "timm": lambda given=given: by_timm(own, given),
            "watched": lambda given=given: by_watching(own_copy(model), given),
        } if layer is None else {"named": lambda given=given: by_watching(own_copy(model), given, layer)}
        for found, cuts in ways.items():
            if split := _best(found, cuts, given, own, differing):
                return split
        if layer is not None or differing or not silent_at_the_end(own_copy(model), given):
            break  # another input would tell nothing more
    raise NoGlobalPooling(_after_layer(own, layer) if layer else
                          seen_at_the_end(own_copy(model), example, min(differing, default=None)))


def _after_layer(model: nn.Module, layer: str) -> str:
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
    found: str, cuts: Callable[[], Iterator[Cut]], example: Tensor, model: nn.Module, differing: list[float]
) -> Split | None:
    """Of the cuts that give the model's logits, the first whose head is affine; else one whose pooling says most."""
    best: Split | None = None
    for cut in cuts():
        split = _checked(found, cut, example, model, differing)
        if split is not None and (best is None or _worth(split) > _worth(best)):
            best = split
        if best is not None and best.head_kind == "affine":
            break
    return best


def _worth(split: Split) -> tuple[bool, bool]:
    """An average of powers before a root is GeM, not an average: what says more comes before what says less."""
    return split.head_kind == "affine", split.pooling.key not in ("gap", "gmp")


@torch.no_grad()
def _checked(found: str, cut: Cut, example: Tensor, model: nn.Module, differing: list[float]) -> Split | None:
    try:
        feature_maps = cut.backbone(example)
        difference = _apart(cut, example, model)
    except Exception:  # a model's Python may do anything when it is run in parts: then this is no cut
        return None
    if difference <= CLOSE:
        # A head that has taken the batch for a constant fails at two. And a model whose Python asks what it sees may
        # take another branch elsewhere: only a traced one cannot.
        others = [] if found == "traced" else [4 * example + 2, 0.2 * example - 1]
        try:
            difference = max(_apart(cut, each, model) for each in (_mirrored(example), *others))
        except Exception:  # as above
            return None
    if difference <= CLOSE:
        return Split(cut.backbone, cut.pooling, cut.head, found, tuple(feature_maps.shape[1:]), difference)
    differing.append(difference)
    return None


def _mirrored(example: Tensor) -> Tensor:
    """Two inputs: the first of the example, and its mirror image."""
    return torch.cat([example[:1], example[:1].flip(-1)])


def _apart(cut: Cut, x: Tensor, model: nn.Module) -> float:
    """The parts' difference from the model; each input is run by itself, the head on all together."""
    pooled = torch.cat([cut.pooling(cut.backbone(each[None])) for each in x])
    return _difference(cut.head(pooled), torch.cat([logits_of(model(each[None]), 1) for each in x]))


def _difference(got: Tensor, expected: Tensor) -> float:
    if got.shape != expected.shape:
        return float("inf")
    worst = (got - expected).abs().max() / expected.abs().max().clamp_min(1e-12)
    return float("inf") if worst.isnan() else float(worst)
