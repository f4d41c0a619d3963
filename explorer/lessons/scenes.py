"""Scenes for lesson 7: an object cut out of a photo, at any size, once or several times, on a ground."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import MappingProxyType

from PIL import Image, ImageFilter, ImageStat

from explorer.analysis import Outcome
from explorer.checks import checked_key, checked_number
from explorer.errors import MethodError, ParameterError
from explorer.questions.evidence_box import locate
from explorer.render import Box

GROUNDS = MappingProxyType({"plain": "one colour", "blur": "blurred photo", "clutter": "other photos"})
COUNTS = (1, 4, 9)
SMALLEST_SCALE = 0.05  # of the scene's side: 22 px of 448
_TILES = 4  # along each side
_BLUR = 0.08  # sigma, as a share of the side


def largest_scale(count: int) -> float:
    """The scale at which so many objects fill the scene. Raises ParameterError for a count that is not of COUNTS."""
    if isinstance(count, bool) or count not in COUNTS:
        raise ParameterError(f"The number of objects is {count!r:.40}; expected one of {', '.join(map(str, COUNTS))}.")
    return 1 / math.isqrt(count)


def object_box(outcome: Outcome, class_index: int) -> Box:
    """Left, top, right, bottom, in photo px, of the region with the strongest evidence for a class.

    It is `explorer.questions.evidence_box.locate` at 20% of the maximum.

    Raises ParameterError when there is no such class; MethodError where the answer cannot be decomposed, or the class
    has no positive evidence.
    """
    region = locate(outcome.evidence(class_index).cells.numpy(), outcome.analysis.framing.rectangles)
    if region is None:
        name = outcome.analysis.network.class_names[class_index]
        raise MethodError(f"There is no positive evidence for {name:.80}, so there is no object to cut out; expected "
                          "another class, or a box.")
    return region.left, region.top, region.right, region.bottom


def cut_out(photo: Image.Image, box: Box) -> Image.Image:
    """The part of a photo inside a box, at its own size.

    Args:
        box: left, top, right, bottom in photo px; rounded to whole px, and at least one wide and high.

    Raises ParameterError for a box that is empty or not inside the photo.
    """
    left, top, right, bottom = box
    if not (0 <= left < right <= photo.width and 0 <= top < bottom <= photo.height):
        edges = ", ".join(f"{edge:.1f}" for edge in box)
        raise ParameterError(f"The box is {edges}; expected left, top, right and bottom inside the photo's "
                             f"{photo.width} x {photo.height} px.")
    left, top = min(round(left), photo.width - 1), min(round(top), photo.height - 1)
    return photo.crop((left, top, max(left + 1, round(right)), max(top + 1, round(bottom))))


def ground_of(kind: str, photo: Image.Image, side: int, others: Sequence[Image.Image] = ()) -> Image.Image:
    """An empty scene of `side` x `side` px.

    Args:
        kind: key of GROUNDS.
        photo: what "plain" (its mean colour) and "blur" (until no object is left) are made of.
        others: the photos of "clutter", in their order and again until the scene's sixteen tiles are full; where that
            would give each column one photo alone, every row begins one photo later.

    Raises ParameterError for an unknown kind, or clutter without other photos.
    """
    checked_key(kind, GROUNDS, "ground")
    if kind == "plain":
        return Image.new("RGB", (side, side), tuple(round(value) for value in ImageStat.Stat(photo).mean))
    if kind == "blur":
        return _square(photo, side).filter(ImageFilter.GaussianBlur(_BLUR * side))
    if not others:
        raise ParameterError("The ground is clutter of no photos; expected at least one other photo.")
    edges = [round(n * side / _TILES) for n in range(_TILES + 1)]
    tile = math.ceil(side / _TILES)
    tiles = [_square(other, tile) for other in others[:_TILES**2]]
    scene, later = Image.new("RGB", (side, side)), len(tiles) % _TILES == 0
    for n in range(_TILES**2):
        row, column = divmod(n, _TILES)
        scene.paste(tiles[(n + row * later) % len(tiles)], (edges[column], edges[row]))
    return scene


def scene_of(ground: Image.Image, piece: Image.Image, scale: float, count: int = 1) -> Image.Image:
    """A ground with an object on it, each in the middle of its share of the scene.

    Args:
        ground: a square photo.
        piece: the object, with the edges of its box.
        scale: long side of each object as a share of the scene's side, 0.05 to 1 / sqrt(count).
        count: how many objects, in a square: 1, 4 or 9.

    Raises ParameterError for what is outside its range.
    """
    checked_number(scale, SMALLEST_SCALE, largest_scale(count), "scale")
    factor = scale * ground.width / max(piece.size)
    width, height = (max(1, round(factor * length)) for length in piece.size)
    small = piece.resize((width, height), Image.Resampling.BICUBIC)
    scene, across = ground.copy(), math.isqrt(count)
    for n in range(count):
        x, y = ((place + 0.5) / across * ground.width for place in (n % across, n // across))
        scene.paste(small, (round(x - width / 2), round(y - height / 2)))
    return scene


def _square(photo: Image.Image, side: int) -> Image.Image:
    """The central square of a photo."""
    short = min(photo.size)
    left, top = (photo.width - short) // 2, (photo.height - short) // 2
    # Not resize's own box, beyond whose edges its filter would look.
    return photo.crop((left, top, left + short, top + short)).resize((side, side), Image.Resampling.BICUBIC)
