"""Lesson 4: any input size. The photo at several sizes, square or not, through the same network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from explorer.analysis import Analysis, Answer, Outcome, analyse
from explorer.analysis.memory import MemoryByOwner
from explorer.checks import checked_key

# The centre, as the network was trained; all of it at its own aspect; strips through the middle, with sides as 2 to 1.
SHAPES = MappingProxyType({
    "square": "square", "own": "the whole photo", "wide": "a wide strip", "tall": "a tall strip",
})
SHOWN = 5  # classes
_memory = MemoryByOwner(12)  # sizes of one photo; each holds an input and its feature maps


@dataclass(frozen=True, eq=False)
class SizeResult:
    """The photo at one size, beside the same photo as the network was trained.

    Attributes:
        analysis: of the photo at that size; its `framing` has the input's size, `feature_maps` the maps.
        top: the five likeliest classes.
        cosine: between the pooled vectors here and at the training size, -1 to 1; None where one of them is zero.
        usual: the answer here for the class that is likeliest at the training size.
        before: the answer for it there.
        flatten_error: torch's own words where the flatten head cannot be run; "" where it can.
        flatten_difference: the largest difference of its logits from the network's own here; None where it cannot.
    """

    analysis: Analysis
    top: tuple[Answer, ...]
    cosine: float | None
    usual: Answer
    before: Answer
    flatten_error: str
    flatten_difference: float | None


def any_input_size(analysis: Analysis, size: int, shape: str = "square") -> SizeResult:
    """The photo at another size, and the answer to it; the last dozen are remembered.

    The flatten head beside it is the network's own, for the five classes that are likeliest at the training size
    (`flatten_head`): there it gives the very same logits.

    Args:
        analysis: of the photo, at any size; only its photo and its network count.
        size: short side of the input, 96 to 640 px, or the network's own.
        shape: key of SHAPES.

    Raises:
        ParameterError: a size or shape outside its range.
        FramingError: the network takes its own square alone, or refuses this size.
        MethodError: the network has no global pooling.
    """
    checked_key(shape, SHAPES, "shape")
    return _memory(analysis, (size, shape), lambda: _at_size(analysis, size, shape))


def at_training_size(analysis: Analysis) -> Analysis:
    """The photo as the network was trained; the analysis itself where it is that."""
    network = analysis.network
    usual = (network.preprocessing.size,) * 2
    if analysis.layer is None and analysis.framing.kind == "crop" and analysis.framing.input_size == usual:
        return analysis
    return _memory(analysis, "at training size", lambda: analyse(network, analysis.image))


def flatten_head(outcome: Outcome, classes: Sequence[int]) -> nn.Sequential:
    """The head of an outcome as one that flattens: Flatten and a Linear, (B, C, H, W) to the logits of n classes.

    A class's weight of a channel is multiplied by that channel's pooling weights. Under GAP and a Linear it is
    repeated at each position and divided by H * W: the same logits for every photo. Under other poolings, and heads
    that are not one Linear, pooling weights and slopes are held as they are at this photo, so it is this photo's logits
    that are the same (up to the residual of a head that is integrated).

    Raises ParameterError when there is no such class, MethodError where the answer cannot be decomposed.
    """
    outcome.analysis.require_evidence()
    parts = outcome.evidences(classes)
    weights = outcome.weights.flatten(1)
    linear = nn.utils.skip_init(nn.Linear, weights.numel(), len(parts))
    with torch.no_grad():
        for row, part in zip(linear.weight, parts, strict=True):
            row.copy_((part.slopes[:, None] * weights).flatten())
        linear.bias.copy_(torch.tensor([part.baseline for part in parts]))
    return nn.Sequential(nn.Flatten(), linear).eval().requires_grad_(False)


def _at_size(analysis: Analysis, size: int, shape: str) -> SizeResult:
    usual = at_training_size(analysis)
    usual.require_evidence()
    photo, framing = _shaped(analysis.image, shape)
    here = analyse(analysis.network, photo, framing, size)
    outcome, before = here.under(), usual.under()
    classes = [answer.class_index for answer in before.top(SHOWN)]
    head = _memory(analysis, "flatten head", lambda: flatten_head(before, classes))
    difference, error = None, ""
    try:
        difference = float((head(here.feature_maps[None])[0] - outcome.logits[classes]).double().abs().max())
    except RuntimeError as refusal:
        error = str(refusal)
    return SizeResult(
        analysis=here, top=tuple(outcome.top(SHOWN)), cosine=_cosine(outcome.pooled, before.pooled),
        usual=outcome.answer(classes[0]), before=before.answer(classes[0]), flatten_error=error,
        flatten_difference=difference,
    )


def _cosine(one: Tensor, other: Tensor) -> float | None:
    one, other = one.double(), other.double()
    return float(functional.cosine_similarity(one, other, 0)) if bool(one.any()) and bool(other.any()) else None


def _shaped(photo: Image.Image, shape: str) -> tuple[Image.Image, str]:
    """The photo, or a strip through its middle, and the framing."""
    if shape in ("square", "own"):
        return photo, "crop" if shape == "square" else "whole"
    across, down = (2, 1) if shape == "wide" else (1, 2)
    unit = min(photo.width / across, photo.height / down)
    width, height = max(1, round(across * unit)), max(1, round(down * unit))
    left, top = (photo.width - width) // 2, (photo.height - height) // 2
    return photo.crop((left, top, left + width, top + height)), "whole"
