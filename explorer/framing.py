"""A photo to a network's input, and back: where on the photo each position of the feature maps lies."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from explorer.checks import checked_key, checked_number, checked_whole, is_number, is_whole
from explorer.errors import FramingError, ParameterError

FRAMINGS = MappingProxyType({
    "crop": "the centre, as the network was trained",
    "whole": "the entire photo at its own aspect",
    "squash": "the entire photo pressed into a square",
})
SMALLEST_SIDE, LARGEST_SIDE = 96, 640
LARGEST_INPUT = 2_500_000  # pixels: a panorama of 6:1 at 640 px; more would take seconds and gigabytes
_LARGEST_RESIZED = 10_000_000  # pixels of the resized photo that a crop is cut from: 40 MB

LARGEST_OWN = 2048  # px: of a network's own square
_SMALLEST_CROP = 0.01  # less would resize the photo to more pixels than can be counted
_LARGEST_MEAN = 1e6  # far beyond any pixel, and far below what single precision holds
_SMALLEST_STD = 1e-6  # in single precision a much smaller one is 0

ORDERS = ("rgb", "bgr")
_FILTERS = {resampling.name.lower(): resampling for resampling in Image.Resampling}


@dataclass(frozen=True)
class Preprocessing:
    """How a network's input is made of a photo.

    Attributes:
        size: side of the square it was trained on, 1 to 2048 px.
        crop_ratio: that side as a share of the resized photo's short side (224 of 256: 0.875), 0.01 to 1.
        mean, std: of each of the three channels, for pixel values from 0 to 1; one number each for a network of grey
            images, which is given the photo in grey.
        order: of the colours: "rgb", or "bgr" where blue comes first (OpenCV, Caffe); mean and std are in that order.
        interpolation: a filter of Pillow's by its name: "nearest", "box", "bilinear", "hamming", "bicubic", "lanczos".
        stride: input px from one position of the feature maps to the next, 1 to 2048.
        fixed: whether the network takes no input but its own square.

    Raises ParameterError for a value outside these.
    """

    size: int = 224
    crop_ratio: float = 0.875
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    interpolation: str = "bicubic"
    stride: int = 32
    fixed: bool = False
    order: str = "rgb"

    def __post_init__(self) -> None:
        for name in ("size", "stride"):
            checked_whole(getattr(self, name), 1, LARGEST_OWN, f"preprocessing's {name}")
        checked_number(self.crop_ratio, _SMALLEST_CROP, 1, "preprocessing's crop ratio")
        for name in ("mean", "std"):
            object.__setattr__(self, name, _one_or_three(getattr(self, name), name))
        if len(self.mean) != len(self.std):
            raise ParameterError(f"The preprocessing has {len(self.mean)} means and {len(self.std)} stds; expected as "
                                 "many: three each, or one each for grey images.")
        if not all(value >= _SMALLEST_STD for value in self.std):
            raise ParameterError(f"The preprocessing's std is {self.std!r:.80}; expected numbers above 0, of at least "
                                 f"{_SMALLEST_STD:f}.")
        if not isinstance(self.interpolation, str) or self.interpolation not in _FILTERS:
            raise ParameterError(f"The preprocessing's interpolation is {self.interpolation!r:.40}; expected one of "
                                 f"{', '.join(_FILTERS)}.")
        if self.order not in ORDERS:
            raise ParameterError(f"The preprocessing's order of colours is {self.order!r:.40}; expected one of "
                                 f"{', '.join(ORDERS)}.")
        if not isinstance(self.fixed, bool):
            raise ParameterError(f"The preprocessing's fixed is {self.fixed!r:.40}; expected True or False.")

    @property
    def channels(self) -> int:
        """Of the input: 3, or 1 for grey images."""
        return len(self.mean)

    @property
    def sides(self) -> tuple[int, int]:
        """The smallest and the largest short side of an input, in px; the network's own is allowed too."""
        if self.fixed:
            return self.size, self.size
        return min(SMALLEST_SIDE, self.size), LARGEST_SIDE


def _one_or_three(values: object, name: str) -> tuple[float, ...]:
    numbers = tuple(values) if isinstance(values, (tuple, list)) else ()
    if len(numbers) not in (1, 3) or not all(is_number(number) and abs(number) < _LARGEST_MEAN for number in numbers):
        raise ParameterError(f"The preprocessing's {name} is {values!r:.80}; expected three numbers, or one for grey "
                             "images.")
    return tuple(float(number) for number in numbers)


@dataclass(frozen=True)
class Framing:
    """How a photo became an input, all in pixels.

    Attributes:
        kind: "crop", "whole" or "squash".
        photo_size: (width, height) of the photo.
        input_size: (width, height) of the network's input.
        seen: (left, top, right, bottom) of the part of the photo that the network saw.
        grid: (H, W) positions of the feature maps; (0, 0) until they are known.
    """

    kind: str
    photo_size: tuple[int, int]
    input_size: tuple[int, int]
    seen: tuple[float, float, float, float]
    grid: tuple[int, int] = (0, 0)

    def on_grid(self, rows: int, columns: int) -> Framing:
        """The same framing for feature maps of `rows` x `columns` positions."""
        return replace(self, grid=(rows, columns))

    @property
    def rectangles(self) -> np.ndarray:
        """(H, W, 4) float64: left, top, right, bottom of each position, in photo pixels.

        The positions divide what the network saw evenly. docs/decisions/0001 gives the measurement behind this.
        """
        if not all(self.grid):
            raise FramingError("The rectangles are known once the feature maps' grid is: call on_grid first.")
        rows, columns = self.grid
        left, top, right, bottom = self.seen
        x = np.linspace(left, right, columns + 1)
        y = np.linspace(top, bottom, rows + 1)
        return np.stack(np.broadcast_arrays(x[:-1], y[:-1, None], x[1:], y[1:, None]), -1)


def frame(
    image: Image.Image, preprocessing: Preprocessing, kind: str = "crop", short_side: int | None = None
) -> tuple[Tensor, Framing]:
    """Turn an RGB photo of any size into a network's input.

    Args:
        image: RGB PIL image.
        preprocessing: of the network.
        kind: "crop" (resize, then the central square, as in training), "whole" (the entire photo at its own
            aspect, its long side rounded to a multiple of the stride) or "squash" (the entire photo as a square).
        short_side: of the input, 96 to 640 px (a network of smaller images: from its own size); None is the size that
            the network was trained on, whatever it is. Take a multiple of the stride: at other sizes positions may
            lie up to one position off (docs/decisions/0001).

    Returns:
        Tensor (1, 3, h, w) float32, normalised, and its Framing; (1, 1, h, w) for a network of grey images, where the
        photo is made grey first.

    Raises:
        ParameterError: unknown kind, or short_side outside its range.
        FramingError: the network takes its own square alone and another input was requested, or under "whole" the
            photo is so long that its input would exceed 2.5 megapixels.
    """
    checked_key(kind, FRAMINGS, "framing")
    side = _checked_side(preprocessing, kind, short_side)
    image = image.convert("L") if preprocessing.channels == 1 else image
    interpolation = _FILTERS[preprocessing.interpolation]
    if kind == "crop":
        resized, seen = _central_square(image, side, preprocessing.crop_ratio, interpolation)
    else:
        size = (side, side) if kind == "squash" else _own_aspect(image.size, side, preprocessing.stride)
        resized = image.resize(size, interpolation)
        seen = (0.0, 0.0, float(image.width), float(image.height))
    return _normalise(resized, preprocessing), Framing(kind, image.size, resized.size, seen)


def _checked_side(preprocessing: Preprocessing, kind: str, short_side: int | None) -> int:
    own, (low, high) = preprocessing.size, preprocessing.sides
    side = own if short_side is None else short_side
    if preprocessing.fixed and kind == "whole":
        raise FramingError(f"This network takes inputs of {own} x {own} px alone, so the whole photo at its own aspect "
                           "cannot be its input; choose crop or squash.")
    if preprocessing.fixed and side != own:
        raise FramingError(f"This network takes inputs of {own} x {own} px alone; got a short side of {side!r:.40} px.")
    if not is_whole(side) or not (low <= side <= high or side == own):
        beside = "" if low <= own <= high else f", or {own}"
        raise ParameterError(f"The short side is {side!r:.40} px; expected a whole number from {low} to "
                             f"{high}{beside}.")
    return side


def _central_square(
    image: Image.Image, side: int, crop_ratio: float, interpolation: Image.Resampling
) -> tuple[Image.Image, tuple[float, float, float, float]]:
    """What torchvision's Resize and CenterCrop make of the photo, to the pixel, and the part of it that they keep."""
    width, height = image.size
    short = int(side / crop_ratio)
    scaled = (
        (short, int(short * height / width)) if width <= height else (int(short * width / height), short)
    )
    left, top = (round((length - side) / 2) for length in scaled)
    x, y = width / scaled[0], height / scaled[1]
    seen = (left * x, top * y, min((left + side) * x, width), min((top + side) * y, height))
    if scaled[0] * scaled[1] <= _LARGEST_RESIZED:
        return image.resize(scaled, interpolation).crop((left, top, left + side, top + side)), seen
    # A photo as long as this is resized from the square and the margin that the filter reads around it: a few pixels
    # differ by a few grey levels. The box has numbers near 0, because Pillow keeps it in single precision.
    margin = 3 * math.ceil(max(1, x, y))
    near = (max(0, int(seen[0]) - margin), max(0, int(seen[1]) - margin),
            min(width, int(seen[2]) + margin), min(height, int(seen[3]) + margin))
    box = seen[0] - near[0], seen[1] - near[1], seen[2] - near[0], seen[3] - near[1]
    return image.crop(near).resize((side, side), interpolation, box=box), seen


def _own_aspect(photo: tuple[int, int], side: int, stride: int) -> tuple[int, int]:
    """(width, height): the long side is a multiple of the stride, because only then all positions are whole and the
    backbone pads as it did in training; else its maps shift by up to a position."""
    short = min(photo)
    width, height = (side if length == short else max(side, stride * round(length * (side / short) / stride))
                     for length in photo)
    if width * height > LARGEST_INPUT:
        raise FramingError(f"The whole photo of {photo[0]} x {photo[1]} px at a short side of {side} px would be "
                           f"{width} x {height} px; expected at most 2.5 megapixels: choose crop or squash.")
    return width, height


def _normalise(image: Image.Image, preprocessing: Preprocessing) -> Tensor:
    pixels = torch.from_numpy(np.atleast_3d(np.array(image))).permute(2, 0, 1)
    pixels = pixels.flip(0) if preprocessing.order == "bgr" else pixels
    pixels = pixels.to(torch.float32, memory_format=torch.contiguous_format)
    mean = torch.tensor(preprocessing.mean).view(-1, 1, 1) * 255
    std = torch.tensor(preprocessing.std).view(-1, 1, 1) * 255
    return pixels.sub_(mean).div_(std).unsqueeze(0)
