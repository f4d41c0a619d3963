"""Arrays to pictures: scales, colour maps, overlays. Knows photos and numbers, not networks."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from explorer.arrays import fewest_holding, positive_part
from explorer.errors import ParameterError

Box = tuple[float, float, float, float]

# ColorBrewer's RdBu (reversed: blue is negative) and Blues, both colour-blind safe and even in lightness. Their darkest
# ends are left out: laid over a photo they would be black.
_STOPS: dict[str, tuple[str, ...]] = {
    "signed": ("2166ac", "4393c3", "92c5de", "d1e5f0", "f7f7f7", "fddbc7", "f4a582", "d6604d", "b2182b"),
    "positive": ("f7fbff", "deebf7", "c6dbef", "9ecae1", "6baed6", "4292c6", "2171b5", "08519c"),
}
# The viewer's other choices, by a name for people: PuOr is ColorBrewer's, viridis matplotlib's.
_OTHER_STOPS: dict[str, dict[str, tuple[str, ...]]] = {
    "Orange and purple": {
        "signed": ("542788", "8073ac", "b2abd2", "d8daeb", "f7f7f7", "fee0b6", "fdb863", "e08214", "b35806"),
        "positive": ("440154", "472d7b", "3b528b", "2c728e", "21918c", "28ae80", "5ec962", "addc30", "fde725"),
    },
    "Greys": {
        "signed": ("1a1a1a", "4d4d4d", "878787", "bababa", "f7f7f7", "fddbc7", "f4a582", "d6604d", "b2182b"),
        "positive": ("f7f7f7", "d9d9d9", "bdbdbd", "969696", "737373", "525252", "252525"),
    },
}
SCHEMES = ("Red and blue", *_OTHER_STOPS)
# Okabe and Ito's colours for what has no order; the last, nearly black, is for "others": the photo beneath is grey.
PALETTE = ("e69f00", "56b4e9", "009e73", "f0e442", "0072b2", "d55e00", "cc79a7", "2b2b2b")
_UNSEEN_GREY, _UNSEEN_COVER = 176, 0.62
_HATCH, _HATCH_COVER, _HATCHES = 246, 0.4, 60  # its grey and cover; so many lines along the photo's long side
CONTOURS = ((0.25, 3), (0.5, 2), (0.75, 1))  # shares of all that is positive, each with its line's width; see paint.js
INK, RIM = np.full(3, 20, np.uint8), np.full(3, 255, np.uint8)  # colours of a contour
_FINEST = 1024  # px: a smoothed map is computed at most so large and stretched from there


@dataclass(frozen=True)
class Scale:
    """How numbers become colours: "signed" from -limit (blue) to +limit (red), or "positive" from 0 to limit."""

    kind: str
    limit: float

    @classmethod
    def signed(cls, *arrays: np.ndarray) -> Scale:
        """One scale for all the arrays, symmetric about 0."""
        return cls("signed", _largest(arrays))

    @classmethod
    def positive(cls, *arrays: np.ndarray) -> Scale:
        """One scale for all the arrays, from 0; what is negative is shown as 0."""
        return cls("positive", _largest([np.maximum(np.asarray(array), 0) for array in arrays]))

    @property
    def low(self) -> float:
        """The number at the scale's lower end."""
        return -self.limit if self.kind == "signed" else 0.0

    def strength(self, values: np.ndarray) -> np.ndarray:
        """How far each value is from 0, as a share of the limit: 0..1, NaN as 0."""
        within = np.nan_to_num(np.asarray(values, dtype=np.float64) / self.limit)
        return np.clip(np.abs(within) if self.kind == "signed" else within, 0, 1)

    def colours(self, values: np.ndarray) -> np.ndarray:
        """(..., 3) uint8 of values of any shape; NaN becomes the colour of 0."""
        within = np.nan_to_num(np.asarray(values, dtype=np.float64) / self.limit)
        place = (np.clip(within, -1, 1) + 1) / 2 if self.kind == "signed" else np.clip(within, 0, 1)
        return _TABLES[self.kind][np.rint(place * 256).astype(np.intp)]

    def css_gradient(self) -> str:
        """The scale as a CSS background, for a legend."""
        return f"linear-gradient(90deg, {', '.join('#' + stop for stop in _STOPS[self.kind])})"


def schemes() -> dict[str, list[list[str]]]:
    """Stops of the colour maps, hexadecimal from low to high, in the order of SCHEMES.

    By "signed", "positive", and "for": the upper half of the signed one, for positive evidence alone.
    """
    maps = [_STOPS, *_OTHER_STOPS.values()]
    return {
        "signed": [list(stops["signed"]) for stops in maps],
        "positive": [list(stops["positive"]) for stops in maps],
        "for": [list(stops["signed"][len(stops["signed"]) // 2 :]) for stops in maps],
    }


def _largest(arrays: list[np.ndarray] | tuple[np.ndarray, ...]) -> float:
    """The largest finite magnitude, or 1 where there is none: a scale of nothing must not divide by 0."""
    values = np.concatenate([np.ravel(array).astype(np.float64) for array in arrays] or [np.zeros(0)])
    return float(np.abs(values[np.isfinite(values)]).max(initial=0.0)) or 1.0


def _table(stops: tuple[str, ...]) -> np.ndarray:
    """(257, 3) uint8: an odd number, so that 0 has the very middle of a signed scale."""
    colours = np.array([[int(stop[n : n + 2], 16) for n in (0, 2, 4)] for stop in stops], dtype=np.float64)
    at, places = np.linspace(0, 1, 257), np.linspace(0, 1, len(stops))
    return np.rint([np.interp(at, places, channel) for channel in colours.T]).T.astype(np.uint8)


_TABLES = {kind: _table(stops) for kind, stops in _STOPS.items()}


def shrink(photo: Image.Image, box: Box, long_side: int) -> tuple[Image.Image, Box]:
    """The photo at most `long_side` px long, and a box of the photo at that size."""
    factor = min(1.0, long_side / max(photo.size))
    if factor == 1.0:
        return photo, box
    width, height = (max(1, round(length * factor)) for length in photo.size)
    small = photo.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
    x, y = width / photo.width, height / photo.height
    return small, (box[0] * x, box[1] * y, box[2] * x, box[3] * y)


def ground(photo: Image.Image, seen: Box, *, in_colour: bool = False) -> Image.Image:
    """The photo as the ground of a map: in greys, for colour belongs to the map; paled and hatched outside `seen`.

    Args:
        photo: RGB.
        seen: left, top, right, bottom in pixels of the photo: what the network saw.
        in_colour: leave what the network saw in its own colours.

    Returns: RGB, of the photo's size.
    """
    greys, box = photo.convert("L"), _pixels(seen, photo.size)
    if box == (0, 0, *photo.size):
        return photo.copy() if in_colour else greys.convert("RGB")
    pale = Image.blend(greys, Image.new("L", photo.size, _UNSEEN_GREY), _UNSEEN_COVER)
    pale.paste(_HATCH, mask=_hatch(photo.size))
    painted = pale.convert("RGB")
    painted.paste((photo if in_colour else greys.convert("RGB")).crop(box), box)
    return painted


def _hatch(size: tuple[int, int]) -> Image.Image:
    """"L", the cover of diagonal lines over a picture of a size."""
    step = max(6, round(max(size) / _HATCHES))
    down, across = np.ogrid[: size[1], : size[0]]
    return Image.fromarray(((down + across) % step < max(1, step // 4)).astype(np.uint8) * round(255 * _HATCH_COVER))


def overlay(
    photo: Image.Image,
    cells: np.ndarray,
    seen: Box,
    scale: Scale,
    *,
    opacity: float = 0.85,
    smooth: bool = False,
    mark: tuple[int, int] | None = None,
    in_colour: bool = False,
    lined: bool = False,
) -> Image.Image:
    """Lay a map over the part of the photo that the network saw; the rest is paled and hatched.

    Colour says how much, and so does cover: where the map is near 0 the photo stays visible, in greys.

    Args:
        photo: RGB.
        cells: (H, W) numbers, one a position; they divide `seen` evenly.
        seen: left, top, right, bottom in pixels of the photo.
        scale: numbers to colours.
        opacity: cover of the strongest positions, 0 to 1.
        smooth: bilinear between positions instead of squares.
        mark: (i, j), a position to outline.
        in_colour: whether the photo beneath keeps its own colours, in which a map is hard to read.
        lined: whether to draw `contours`.

    Returns:
        RGB, of the photo's own size.

    Raises:
        ParameterError: opacity outside 0..1, cells that are not two-dimensional, or a mark outside them.
    """
    values = np.asarray(cells, dtype=np.float32)
    if values.ndim != 2:
        raise ParameterError(f"The map to lay over the photo has shape {values.shape}; expected (H, W).")
    if not 0 <= opacity <= 1:
        raise ParameterError(f"The opacity is {opacity!r}; expected a number from 0 to 1.")
    if mark is not None and not all(0 <= place < length for place, length in zip(mark, values.shape, strict=True)):
        raise ParameterError(f"The position to mark is {mark!r}; expected one inside {values.shape}.")
    left, top, right, bottom = box = _pixels(seen, photo.size)
    size = (right - left, bottom - top)
    spread = _smooth(values, size) if smooth else values
    cover = np.rint(255 * opacity * scale.strength(spread) ** 0.7).astype(np.uint8)
    painted = ground(photo, seen, in_colour=in_colour)
    painted.paste(_stretch(scale.colours(spread), size, smooth), box, _stretch(cover, size, smooth))
    if lined:
        _draw_contours(painted, box, values)
    if mark is not None:
        _outline(painted, box, values.shape, mark)
    return painted


def _pixels(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The box in whole pixels inside the picture, at least one pixel wide and high."""
    left, top = (min(max(0, round(box[n])), size[n] - 1) for n in (0, 1))
    return left, top, min(max(left + 1, round(box[2])), size[0]), min(max(top + 1, round(box[3])), size[1])


def _position_of(length: int, count: int) -> np.ndarray:
    """(length,): which of `count` positions in a row each pixel's centre lies in."""
    return (2 * np.arange(length) + 1) * count // (2 * length)


def _stretch(cells: np.ndarray, size: tuple[int, int], smooth: bool) -> Image.Image:
    """(H, W) or (H, W, 3) uint8 as a picture of width x height."""
    if smooth:
        return Image.fromarray(cells).resize(size, Image.Resampling.BILINEAR)
    rows, columns = _position_of(size[1], cells.shape[0]), _position_of(size[0], cells.shape[1])
    return Image.fromarray(cells.take(columns, 1).take(rows, 0))


def _smooth(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear between positions, at (height, width) of the picture but no finer than anyone sees."""
    size = (min(size[1], _FINEST), min(size[0], _FINEST))
    tensor = torch.from_numpy(np.nan_to_num(values))[None, None]
    return functional.interpolate(tensor, size, mode="bilinear", align_corners=False)[0, 0].numpy()


def contours(cells: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Lines around the fewest positions that hold 25, 50 and 75% of all that is positive, as the viewer has them.

    Args:
        cells: (H, W) numbers.

    Returns:
        The width of each line, in its own unit, and its edges (n, 4): row and column of the corner of positions where
        an edge begins and of the one where it ends, from 0 to H and to W. The thinnest is first: the others lie on it.
    """
    positive, lines = positive_part(cells), []
    for share, width in reversed(CONTOURS):
        inside = np.zeros(positive.size, bool)
        inside[fewest_holding(positive, share)[0]] = True
        grid = np.pad(inside.reshape(positive.shape), 1)
        edges = [np.hstack([start, start + step]) for start, step in (
            (np.argwhere(grid[1:, 1:-1] != grid[:-1, 1:-1]), np.array([0, 1])),
            (np.argwhere(grid[1:-1, 1:] != grid[1:-1, :-1]), np.array([1, 0])))]
        lines.append((width, np.vstack(edges)))
    return lines


def contour_unit(size: tuple[int, int]) -> float:
    """How many pixels of a photo of that size a contour of width 1 is wide."""
    return max(1.0, max(size) / 640)


def _draw_contours(picture: Image.Image, box: tuple[int, int, int, int], cells: np.ndarray) -> None:
    """Draw contours in black with a white rim along the pixels where one position's end and another's begin."""
    y, x = (low + np.searchsorted(_position_of(high - low, count), np.arange(count + 1))
            for count, low, high in zip(cells.shape, box[:2][::-1], box[2:][::-1], strict=True))
    unit = round(contour_unit(picture.size))
    for width, edges in contours(cells):
        for colour, wide in ((RIM, (width + 2) * unit), (INK, width * unit)):
            for i, j, below, beside in edges:
                corner, end = (int(x[j]) - wide // 2, int(y[i]) - wide // 2), (int(x[beside]), int(y[below]))
                picture.paste(tuple(colour.tolist()), (*corner, end[0] - wide // 2 + wide, end[1] - wide // 2 + wide))


def _outline(picture: Image.Image, box: tuple[int, int, int, int], grid: tuple[int, int], at: tuple[int, int]) -> None:
    """Draw inside the pixels of one position, or at its place when no pixel's centre lies in it."""
    edges = []
    for place, count, low, high in zip(at, grid, (box[1], box[0]), (box[3], box[2]), strict=True):
        inside = np.flatnonzero(_position_of(high - low, count) == place)
        first, last = (inside[0], inside[-1]) if inside.size else (place * (high - low) // count,) * 2
        edges.append((low + int(first), low + int(last) + 1))
    (top, bottom), (left, right) = edges
    width = max(1, min(round(max(picture.size) / 400), (right - left) // 2, (bottom - top) // 2))
    for side in ((left, top, right, top + width), (left, bottom - width, right, bottom),
                 (left, top, left + width, bottom), (right - width, top, right, bottom)):
        picture.paste((20, 20, 20), side)


def jpeg(picture: Image.Image, quality: int = 88) -> bytes:
    """JPEG bytes, for the screen."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def png(picture: Image.Image) -> bytes:
    """PNG bytes, for a file to keep."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def grey_tile(photo: Image.Image, seen: Box, side: int) -> Image.Image:
    """What the network saw of a photo, in grey and at most `side` px long: the ground of `tiles`."""
    grey = photo.crop(_pixels(seen, photo.size)).convert("L").convert("RGB")
    return shrink(grey, (0, 0, grey.width, grey.height), side)[0]


def tiles(ground: Image.Image, maps: Sequence[np.ndarray], scale: Scale) -> list[Image.Image]:
    """Small pictures from `grey_tile`, each with a map (H, W) laid over it."""
    return [overlay(ground, cells, (0, 0, *ground.size), scale, opacity=0.92) for cells in maps]
