"""A photo changed a little: the framing moved, mirrored, zoomed, lighter or darker, compressed, cropped elsewhere.

Each change costs one forward pass, as if the changed photo had been dropped in; and each knows which part of the
original photo it shows, so that places can be brought back.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType

import numpy as np
from PIL import Image

from explorer.analysis import Analysis, analyse
from explorer.networks import Network
from explorer.questions.edited_photo import analysed_again
from explorer.render import Box

Value = tuple[float, ...]  # one number, or how far to the right and how far down; negative is left and up


@dataclass(frozen=True)
class Variation:
    """A way to change a photo a little.

    Attributes:
        key, name: "jpeg", "JPEG".
        explanation: one sentence.
        usual: the values that are tried.
        nothing: the value that would change nothing.
    """

    key: str
    name: str
    explanation: str
    usual: tuple[Value, ...]
    nothing: float


VARIATIONS = MappingProxyType({variation.key: variation for variation in (
    Variation(
        "shift", "Shift", "The framing is moved over the photo, usually by less than a position; beyond the photo's "
        "edges they are repeated.",
        ((-12, 0), (-4, 0), (4, 0), (12, 0), (0, -12), (0, -4), (0, 4), (0, 12)), 0,
    ),
    Variation("flip", "Mirrored", "Left and right of the photo change places.", ((1,),), 0),
    Variation(
        "scale", "Zoom", "The framing is made smaller (above 1) or larger (below 1) about its middle; beyond the "
        "photo's edges they are repeated.", ((0.8,), (0.9,), (1.1,), (1.25,)), 1,
    ),
    Variation(
        "brightness", "Brightness", "All values of the photo are multiplied, and cut off at white.",
        ((0.6,), (0.8,), (1.2,), (1.4,)), 1,
    ),
    Variation(
        "jpeg", "JPEG", "The photo is compressed at its own size, with colours at half the resolution, and read again.",
        ((90,), (70,), (50,), (30,), (10,)), 100,
    ),
    Variation(
        "crop", "Crop", "The framing is moved as far as there is photo; where it saw all of it, nine tenths are taken "
        "instead.", tuple(product((-0.1, 0, 0.1), repeat=2)), 0,
    ),
)})
_STRIDE = 32  # px: for smaller ones the usual shifts shrink, so that they stay below a position
_PART = 0.9  # of a crop where there is nothing around
_ROOM = 0.05  # of what is seen: with less around it on all sides, a crop could not be moved to speak of
_NOTHING = 1e-6  # of what is seen, or px: rounding
_LONGEST_JPEG = 65500  # px, libjpeg's own limit


@dataclass(frozen=True)
class Variant:
    """One variation at one value.

    Attributes:
        variation: its key.
        value: of a crop, as far as there was photo.
        label: in words, to go before "makes it": "a shift of 12 px to the right".
    """

    variation: str
    value: Value
    label: str

    @property
    def size(self) -> float:
        """How far the value lies from the one that would change nothing, in the variation's own unit."""
        return math.hypot(*(number - VARIATIONS[self.variation].nothing for number in self.value))


AS_IT_IS = Variant("", (), "")


def usual_values(variation: str, network: Network) -> tuple[Value, ...]:
    """What is tried of a variation for a network: shifts shrink with a stride below 32 px, to whole px."""
    usual, stride = VARIATIONS[variation].usual, network.preprocessing.stride
    if variation != "shift" or stride >= _STRIDE:
        return usual
    return tuple(dict.fromkeys(
        tuple(int(math.copysign(max(1, round(abs(by) * stride / _STRIDE)), by)) if by else 0 for by in pair)
        for pair in usual))


def variants_of(analysis: Analysis, values: Mapping[str, Sequence[Value]] | None = None) -> tuple[Variant, ...]:
    """The variants of a photo, in the order of the variations.

    A crop that could not be moved, or not differently from another, is left out; so is JPEG of a photo with a side
    above 65,500 px, of which there is none.

    Args:
        values: by keys of VARIATIONS; None is each at its usual ones.
    """
    variants = []
    for key, tried in (values or {key: usual_values(key, analysis.network) for key in VARIATIONS}).items():
        if key == "crop":
            tried = _within_photo(analysis, tried)
        elif key == "jpeg" and max(analysis.image.size) > _LONGEST_JPEG:
            tried = ()
        variants += [Variant(key, value, _label(analysis, key, value)) for value in tried]
    return tuple(variants)


def varied(analysis: Analysis, variant: Variant) -> tuple[Analysis, Box]:
    """The photo changed and analysed as the first was, by one forward pass; and what its input shows.

    Of shifts, zooms and crops the analysis has the input's picture alone for its photo. What is shown is left, top,
    right and bottom, in px of the photo as it was: beyond it where edges were repeated, and with left and right
    exchanged where it is mirrored.
    """
    image, seen, key, number = analysis.image, analysis.framing.seen, variant.variation, variant.value[0]
    if key == "flip":
        left, top, right, bottom = seen
        mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return analysed_again(analysis, mirrored), (image.width - left, top, image.width - right, bottom)
    if key == "brightness":
        return analysed_again(analysis, _brighter(image, number)), seen
    if key == "jpeg":
        return analysed_again(analysis, _compressed(image, int(number))), seen
    shows = _window(analysis, variant)
    return _framed(analysis, shows), shows


# Values.


def _within_photo(analysis: Analysis, values: Sequence[Value]) -> list[Value]:
    """Each pair cut to what there is of the photo, without those that move nothing and without repetitions."""
    part = _part_of_crop(analysis)
    limits = [[room + (1 - part) / 2 for room in along] for along in _rooms(analysis)]
    cut = [tuple(min(max(by, -before), after) + 0.0  # never -0.0
                 for by, (before, after) in zip(pair, limits, strict=True)) for pair in values]
    return [pair for pair in dict.fromkeys(cut) if part < 1 or max(map(abs, pair)) > _NOTHING]


def _rooms(analysis: Analysis) -> tuple[tuple[float, float], tuple[float, float]]:
    """How much photo there is left and right, above and below what is seen, as shares of it."""
    (left, top, right, bottom), (width, height) = analysis.framing.seen, analysis.image.size
    return ((left / (right - left), (width - right) / (right - left)),
            (top / (bottom - top), (height - bottom) / (bottom - top)))


def _part_of_crop(analysis: Analysis) -> float:
    return 1 if max(max(along) for along in _rooms(analysis)) >= _ROOM else _PART


def _label(analysis: Analysis, key: str, value: Value) -> str:
    if key == "shift":
        return "a shift of " + (_directions(value, "{:g} px") or "0 px")
    if key == "crop":
        moved = _directions([100 * by for by in value], "{:.0f}%")
        smaller = f" of {_PART:.0%}" if _part_of_crop(analysis) < 1 else ""
        return f"a crop{smaller}" + (f" moved {moved}" if moved else "")
    return {"flip": "mirroring", "scale": "a zoom of {:g}", "brightness": "a brightness of {:g}",
            "jpeg": "JPEG at quality {:g}"}[key].format(*value)


def _directions(pair: Sequence[float], form: str) -> str:
    """"12 px to the right and 4 px up"; "" for a pair of zeros."""
    words = (("to the left", "to the right"), ("up", "down"))
    return " and ".join(f"{form.format(abs(by))} {names[by > 0]}"
                        for by, names in zip(pair, words, strict=True) if by)


# Photos.


def _brighter(image: Image.Image, factor: float) -> Image.Image:
    return image.point([min(255, round(level * factor)) for level in range(256)] * 3)


def _compressed(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    return Image.open(buffer, formats=["JPEG"]).convert("RGB")


def _window(analysis: Analysis, variant: Variant) -> Box:
    """What a shift, a zoom or a crop shows."""
    left, top, right, bottom = analysis.framing.seen
    width, height = right - left, bottom - top
    part, across, down = 1.0, 0.0, 0.0  # of the framing's sides; how far its middle moves, in the same
    if variant.variation == "scale":
        part = 1 / variant.value[0]
    elif variant.variation == "crop":
        part, (across, down) = _part_of_crop(analysis), variant.value
    else:
        across, down = (by / side for by, side in zip(variant.value, analysis.framing.input_size, strict=True))
    x, y = (left + right) / 2 + across * width, (top + bottom) / 2 + down * height
    return (x - part * width / 2, y - part * height / 2, x + part * width / 2, y + part * height / 2)


def _framed(analysis: Analysis, box: Box) -> Analysis:
    """What lies in a box of the photo as the input, resized once, by the network's own filter."""
    framing = analysis.framing
    left, top, right, bottom = box
    near, (x, y) = _around(analysis.image, box, framing.input_size)
    resampling = Image.Resampling[analysis.network.preprocessing.interpolation.upper()]
    within = (max(0, left - x), max(0, top - y), min(near.width, right - x), min(near.height, bottom - y))
    picture = near.resize(framing.input_size, resampling, within)
    layer = None if analysis.layer is None else analysis.layer.key
    # A picture of the input's own size is framed as it is.
    return analyse(analysis.network, picture, "whole" if framing.kind == "whole" else "squash",
                   min(framing.input_size), layer)


def _around(image: Image.Image, box: Box, size: tuple[int, int]) -> tuple[Image.Image, tuple[int, int]]:
    """The pixels in a box and as many around it as a filter reads, with the photo's edges repeated where the box goes
    beyond them; and where in the photo their left top is."""
    spans = []
    for low, high, length, side in zip(box[:2], box[2:], image.size, size, strict=True):
        first, last = math.floor(low + _NOTHING), math.ceil(high - _NOTHING)
        margin = 3 * math.ceil(max(1, (high - low) / side))
        spans.append((min(first, max(0, first - margin)), max(last, min(length, last + margin))))
    (left, right), (top, bottom) = spans
    if min(left, top) >= 0 and right <= image.width and bottom <= image.height:
        return image.crop((left, top, right, bottom)), (left, top)
    columns = np.arange(left, right).clip(0, image.width - 1)
    rows = np.arange(top, bottom).clip(0, image.height - 1)
    inside = image.crop((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    return Image.fromarray(np.asarray(inside)[np.ix_(rows - rows[0], columns - columns[0])]), (left, top)
