"""A photo with some of its positions taken out, and what the network answers to it.

Two ways to the same: the photo itself is changed, at its own size, and framed anew (to show, to keep, to verify); or
the network's input is, many at once (to search and to measure). In both a position is its rectangle, cut sharply.
"""

from __future__ import annotations

from types import MappingProxyType

import cv2
import numpy as np
import torch
from PIL import Image, ImageFilter, ImageStat
from torch import Tensor
from torch.nn import functional

from explorer.analysis import Analysis, Outcome, analyse
from explorer.analysis.memory import remembered
from explorer.checks import checked_key
from explorer.errors import FramingError, ParameterError
from explorer.framing import frame
from explorer.progress import Progress, Stop
from explorer.render import Box

FILLS = MappingProxyType({
    "blur": "blurred until a position holds hardly more than its colour",
    "mean": "filled with the mean colour of what the network sees",
    "inpaint": "painted over from around it (Telea, 2004)",
})
BATCHED = ("blur", "mean")  # the fills that do not depend on what is taken out
_SIGMA = 0.5  # of the blur, in positions
_PAINTED_SIDE = 640  # px: the long side of the photo that is painted over; its radius is in pixels
_RADIUS = 5


def changed_photo(
    analysis: Analysis, chosen: np.ndarray, fill: str = "blur", long_side: int | None = None
) -> Image.Image:
    """The photo without the chosen positions.

    Args:
        chosen: (H, W) bool, the positions to take out.
        long_side: make it of the photo shrunk to so many px, to look at; None is the photo's own size.
        fill: key of FILLS. "inpaint" is A. Telea, An Image Inpainting Technique Based on the Fast Marching Method,
            Journal of Graphics Tools 9 (1), 2004, as OpenCV has it, on the photo shrunk to 640 px.

    Raises ParameterError for an unknown fill or positions of another grid, and where the whole photo is to be painted
    over: nothing is left to paint from.
    """
    chosen = checked(analysis, chosen)
    checked_key(fill, FILLS, "fill")
    photo, seen = analysis.preview(long_side)
    if not chosen.any():
        return photo.copy()
    mask = pixels_of(chosen, photo.size, seen)
    other = _painted(photo, mask) if fill == "inpaint" else _without_anything(photo, seen, analysis.framing.grid, fill)
    return Image.composite(other, photo, mask)


def analysed_again(analysis: Analysis, photo: Image.Image) -> Analysis:
    """Analyse another photo of the same size, framed as the first was, by the same network: one forward pass.

    Raises FramingError where the network gives another number of positions than before.
    """
    framing = analysis.framing
    layer = None if analysis.layer is None else analysis.layer.key
    again = analyse(analysis.network, photo, framing.kind, min(framing.input_size), layer)
    if again.framing.grid != framing.grid:
        raise FramingError(f"The changed photo has {again.framing.grid} positions; expected {framing.grid} as before.")
    return again


def changed_inputs(analysis: Analysis, shares: Tensor, fill: str = "blur") -> Tensor:
    """(n, channels, h, w): the network's input with each position replaced by that share of itself.

    Args:
        shares: (n, H, W) from 0 (as it is) to 1 (taken out); between them, that much faded.
        fill: "blur" or "mean", see FILLS.

    Raises ParameterError for another fill or shares of another shape.
    """
    checked_key(fill, BATCHED, "fill")
    if shares.ndim != 3 or tuple(shares.shape[1:]) != analysis.framing.grid:
        raise ParameterError(f"The shares have shape {tuple(shares.shape)}; expected (n, "
                             f"{', '.join(map(str, analysis.framing.grid))}).")
    nothing = _input_without_anything(analysis, fill)
    over = functional.interpolate(shares[:, None].to(analysis.input.dtype), analysis.input.shape[-2:],
                                  mode="nearest-exact")
    return torch.lerp(analysis.input, nothing, over)


def answers_to(
    outcome: Outcome, shares: Tensor, fill: str = "blur", progress: Progress | None = None, stop: Stop | None = None
) -> Tensor:
    """(n, classes): the logits under the outcome's pooling for inputs with positions taken out, in batches.

    Args:
        shares, fill: see `changed_inputs`.
        progress, stop: after and before each batch of inputs, see `explorer.progress`.

    Raises ParameterError likewise, StoppedError when `stop` returns True.
    """
    logits, analysis = [], outcome.analysis
    for batch in analysis.network.engine.batches(shares, analysis.input, "inputs", progress, stop):
        inputs = changed_inputs(analysis, batch, fill)
        with torch.no_grad():
            logits.append(outcome.cam_context.answers(inputs))
    return torch.cat(logits) if logits else outcome.logits.new_empty(0, len(outcome.logits))


def checked(analysis: Analysis, chosen: np.ndarray) -> np.ndarray:
    """The same positions, (H, W) bool. Raises ParameterError for another grid's or another type."""
    chosen = np.asarray(chosen)
    if chosen.shape != analysis.framing.grid or chosen.dtype != bool:
        raise ParameterError(f"The positions have shape {chosen.shape} of {chosen.dtype}; expected "
                             f"{analysis.framing.grid} of bool.")
    return chosen


def pixels_of(chosen: np.ndarray, size: tuple[int, int], seen: Box) -> Image.Image:
    """"L", 255 where a pixel's centre lies in a chosen position.

    Args:
        chosen: (H, W) bool.
        size: (width, height) of the photo.
        seen: left, top, right, bottom of the part of it that the positions divide, in its pixels.
    """
    (rows, columns), (left, top, right, bottom), (width, height) = chosen.shape, seen, size
    across = np.floor((np.arange(width) + 0.5 - left) / (right - left) * columns).astype(int)
    down = np.floor((np.arange(height) + 0.5 - top) / (bottom - top) * rows).astype(int)
    inside = np.outer((down >= 0) & (down < rows), (across >= 0) & (across < columns))
    taken = chosen[np.ix_(down.clip(0, rows - 1), across.clip(0, columns - 1))] & inside
    return Image.fromarray(taken.astype(np.uint8) * 255)


def _without_anything(photo: Image.Image, seen: Box, grid: tuple[int, int], fill: str) -> Image.Image:
    """The whole photo, blurred or of one colour."""
    left, top, right, bottom = seen
    if fill == "mean":
        box = (int(left), int(top), max(round(right), int(left) + 1), max(round(bottom), int(top) + 1))
        colour = tuple(round(value) for value in ImageStat.Stat(photo.crop(box)).mean)
        return Image.new("RGB", photo.size, colour)
    rows, columns = grid
    sigma = _SIGMA * (right - left) / columns, _SIGMA * (bottom - top) / rows
    return photo.filter(ImageFilter.GaussianBlur(sigma))


@remembered
def _input_without_anything(analysis: Analysis, fill: str) -> Tensor:
    framing = analysis.framing
    photo = _without_anything(analysis.image, framing.seen, framing.grid, fill)
    return frame(photo, analysis.network.preprocessing, framing.kind, min(framing.input_size))[0]


def _painted(image: Image.Image, mask: Image.Image) -> Image.Image:
    """The photo with what the mask covers painted over from around it."""
    factor = min(1.0, _PAINTED_SIDE / max(image.size))
    size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    small = np.asarray(image.resize(size, Image.Resampling.BOX))
    # A small pixel that holds anything of what is to go is painted too: its colour must not be painted from.
    hole = (np.asarray(mask.resize(size, Image.Resampling.BOX)) > 0).astype(np.uint8)
    if hole.all():
        raise ParameterError("The whole photo is to be painted over, and nothing is left to paint from; expected at "
                             "least one position that stays.")
    painted = cv2.inpaint(np.ascontiguousarray(small[..., ::-1]), np.ascontiguousarray(hole), _RADIUS,
                          cv2.INPAINT_TELEA)
    return Image.fromarray(np.ascontiguousarray(painted[..., ::-1])).resize(image.size, Image.Resampling.BICUBIC)
