"""Arrays to pictures: scales, colour maps, overlays. Knows photos and numbers, not networks."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch.nn import functional

from explorer.errors import ParameterError

Box = tuple[float, float, float, float]

# ColorBrewer's RdBu (reversed: blue is negative) and Blues, both colour-blind safe and even in lightness. Their darkest
# ends are left out: laid over a photo they would be black.
_STOPS = {
    "signed": ("2166ac", "4393c3", "92c5de", "d1e5f0", "f7f7f7", "fddbc7", "f4a582", "d6604d", "b2182b"),
    "positive": ("f7fbff", "deebf7", "c6dbef", "9ecae1", "6baed6", "4292c6", "2171b5", "08519c"),
}
_UNSEEN_GREY, _UNSEEN_COVER = 176, 0.62


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
        return _TABLES[self.kind][np.rint(place * 255).astype(np.intp)]

    def css_gradient(self) -> str:
        """The scale as a CSS background, for a legend."""
        return f"linear-gradient(90deg, {', '.join('#' + stop for stop in _STOPS[self.kind])})"


def _largest(arrays: list[np.ndarray] | tuple[np.ndarray, ...]) -> float:
    """The largest finite magnitude, or 1 where there is none: a scale of nothing must not divide by 0."""
    peaks = [np.abs(finite).max() for array in arrays if (finite := _finite(array)).size]
    return float(max(peaks, default=0.0)) or 1.0


def _finite(array: np.ndarray) -> np.ndarray:
    values = np.asarray(array, dtype=np.float64)
    return values[np.isfinite(values)]


def _table(stops: tuple[str, ...]) -> np.ndarray:
    colours = np.array([[int(stop[n : n + 2], 16) for n in (0, 2, 4)] for stop in stops], dtype=np.float64)
    places = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(np.linspace(0, 1, 256), places, channel) for channel in colours.T], -1).astype(np.uint8)


_TABLES = {kind: _table(stops) for kind, stops in _STOPS.items()}


def shrink(photo: Image.Image, box: Box, long_side: int) -> tuple[Image.Image, Box]:
    """The photo at most `long_side` px long, and a box of the photo at that size."""
    factor = min(1.0, long_side / max(photo.size))
    if factor == 1.0:
        return photo, box
    size = tuple(max(1, round(length * factor)) for length in photo.size)
    small = photo.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    ratio = (size[0] / photo.width, size[1] / photo.height)
    return small, tuple(edge * ratio[n % 2] for n, edge in enumerate(box))


def grey_out(photo: Image.Image, seen: Box) -> Image.Image:
    """The photo with all that lies outside `seen` drained of colour and paled."""
    pale = Image.blend(photo.convert("L"), Image.new("L", photo.size, _UNSEEN_GREY), _UNSEEN_COVER).convert("RGB")
    box = _pixels(seen, photo.size)
    pale.paste(photo.crop(box), box)
    return pale


def overlay(
    photo: Image.Image,
    cells: np.ndarray,
    seen: Box,
    scale: Scale,
    *,
    opacity: float = 0.85,
    smooth: bool = False,
    mark: tuple[int, int] | None = None,
) -> Image.Image:
    """Lay a map over the part of the photo that the network saw; the rest is greyed out.

    Colour says how much, and so does cover: where the map is near 0 the photo stays visible.

    Args:
        photo: RGB.
        cells: (H, W) numbers, one a position; they divide `seen` evenly.
        seen: left, top, right, bottom in pixels of the photo.
        scale: numbers to colours.
        opacity: cover of the strongest positions, 0 to 1.
        smooth: bilinear between positions instead of squares.
        mark: (i, j), a position to outline.

    Returns:
        RGB, of the photo's own size.

    Raises:
        ParameterError: opacity outside 0..1, or cells that are not two-dimensional.
    """
    values = np.asarray(cells, dtype=np.float32)
    if values.ndim != 2:
        raise ParameterError(f"The map to lay over the photo has shape {values.shape}; expected (H, W).")
    if not 0 <= opacity <= 1:
        raise ParameterError(f"The opacity is {opacity!r}; expected a number from 0 to 1.")
    left, top, right, bottom = box = _pixels(seen, photo.size)
    size = (right - left, bottom - top)
    spread = _smooth(values, size) if smooth else values
    colours = Image.fromarray(_stretch(scale.colours(spread), size))
    cover = np.rint(255 * opacity * scale.strength(spread) ** 0.7).astype(np.uint8)
    painted = grey_out(photo, seen)
    painted.paste(colours, box, Image.fromarray(_stretch(cover, size)))
    if mark is not None:
        _outline(painted, box, values.shape, mark)
    return painted


def _pixels(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The box in whole pixels inside the picture, at least one pixel wide and high."""
    left, top = (min(max(0, round(box[n])), size[n] - 1) for n in (0, 1))
    return left, top, min(max(left + 1, round(box[2])), size[0]), min(max(top + 1, round(box[3])), size[1])


def _stretch(cells: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Repeat (H, W, ...) to (height, width, ...): each pixel takes the position that its centre lies in."""
    if cells.shape[:2] == (size[1], size[0]):
        return cells
    columns = ((np.arange(size[0]) + 0.5) / size[0] * cells.shape[1]).astype(np.intp)
    rows = ((np.arange(size[1]) + 0.5) / size[1] * cells.shape[0]).astype(np.intp)
    return cells[rows][:, columns]


def _smooth(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    tensor = torch.from_numpy(np.nan_to_num(values))[None, None]
    return functional.interpolate(tensor, (size[1], size[0]), mode="bilinear", align_corners=False)[0, 0].numpy()


def _outline(picture: Image.Image, box: tuple[int, int, int, int], grid: tuple[int, int], at: tuple[int, int]) -> None:
    left, top, right, bottom = box
    height, width = (bottom - top) / grid[0], (right - left) / grid[1]
    corners = (
        round(left + at[1] * width), round(top + at[0] * height),
        max(round(left + (at[1] + 1) * width) - 1, round(left + at[1] * width)),
        max(round(top + (at[0] + 1) * height) - 1, round(top + at[0] * height)),
    )
    thickness = max(1, round(max(picture.size) / 400))
    ImageDraw.Draw(picture).rectangle(corners, outline=(20, 20, 20), width=thickness)


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


def tile(photo: Image.Image, cells: np.ndarray, seen: Box, scale: Scale, side: int) -> Image.Image:
    """A small grey picture of what the network saw, at most `side` px long, with a map laid over it."""
    grey = photo.crop(_pixels(seen, photo.size)).convert("L").convert("RGB")
    grey, box = shrink(grey, (0, 0, grey.width, grey.height), side)
    return overlay(grey, cells, box, scale, opacity=0.92)
