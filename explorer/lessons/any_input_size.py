"""Lesson 4: any input size. The photo at several sizes, square or not, through the same network."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from PIL import Image
from torch import Tensor
from torch.nn import functional

from explorer.analysis import Analysis, Answer, analyse
from explorer.analysis.memory import MemoryByOwner
from explorer.checks import checked_key
from explorer.lessons.flattened import FlattenHead, flatten_head

SHAPES = MappingProxyType({
    "square": "the centre, as the network was trained",
    "own": "the entire photo at its own aspect",
    "wide": "a strip through the middle, twice as wide as high",
    "tall": "a strip through the middle, twice as high as wide",
})
SHOWN = 5  # classes
_memory = MemoryByOwner(12)  # sizes of one photo; each holds an input and its feature maps


@dataclass(frozen=True, eq=False)
class SizeResult:
    """The photo at one size, beside the same photo as the network was trained.

    Attributes:
        analysis: of the photo at that size; its `framing` has the input's size, `feature_maps` the maps.
        grid: (H, W) of its feature maps.
        numbers: C * H * W, the inputs of a flatten head.
        pooled: C, the inputs of the network's own head, at any size.
        top: the five likeliest classes.
        cosine: between the pooled vectors here and at the training size, -1 to 1; None where one of them is zero.
        usual: the answer here for the class that is likeliest at the training size.
        before: the answer for it there.
        flatten_error: torch's own words where the flatten head cannot be run; "" where it can.
        flatten_difference: the largest difference of its logits from the network's own here; None where it cannot.
    """

    analysis: Analysis
    grid: tuple[int, int]
    numbers: int
    pooled: int
    top: tuple[Answer, ...]
    cosine: float | None
    usual: Answer
    before: Answer
    flatten_error: str
    flatten_difference: float | None


def any_input_size(analysis: Analysis, size: int, shape: str = "square") -> SizeResult:
    """The photo at another size, and the answer to it; the last dozen are remembered.

    The flatten head beside it is the network's own, for the five classes that are likeliest at the training size
    (`explorer.lessons.flattened`): there it gives the very same logits.

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


def trained_flatten_head(analysis: Analysis) -> FlattenHead:
    """The network's own head as a flatten head, for the classes that are likeliest at the training size; remembered."""
    def make() -> FlattenHead:
        outcome = at_training_size(analysis).under()
        return flatten_head(outcome, [answer.class_index for answer in outcome.top(SHOWN)])
    return _memory(analysis, "flatten head", make)


def _at_size(analysis: Analysis, size: int, shape: str) -> SizeResult:
    usual = at_training_size(analysis)
    usual.require_evidence()
    photo, framing = _shaped(analysis.image, shape)
    here = analyse(analysis.network, photo, framing, size)
    outcome, before = here.under(), usual.under()
    best = before.top(1)[0]
    head = trained_flatten_head(analysis)
    difference, error = None, ""
    rows, columns = here.feature_maps.shape[1:]
    try:
        flat, own = head.logits(here.feature_maps), outcome.logits[list(head.classes)]
        difference = float((flat.double() - own.double()).abs().max())
    except RuntimeError as refusal:
        error = str(refusal)
    return SizeResult(
        analysis=here, grid=(rows, columns), numbers=here.feature_maps.numel(),
        pooled=len(outcome.pooled), top=tuple(outcome.top(SHOWN)), cosine=_cosine(outcome.pooled, before.pooled),
        usual=outcome.answer(best.class_index), before=best, flatten_error=error, flatten_difference=difference,
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
