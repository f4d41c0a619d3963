"""What is planted on photos: a thing that has nothing to do with a class and that a head may learn all the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

SHORT, SEEN = 256, 224  # px: photos are scaled to this short side, and the network sees the central square
Plant = Callable[[Image.Image, np.random.Generator], Image.Image]


def scaled(photo: Image.Image) -> Image.Image:
    """The photo with a short side of SHORT px."""
    factor = SHORT / min(photo.size)
    return photo.resize((max(SHORT, round(photo.width * factor)), max(SHORT, round(photo.height * factor))),
                        Image.Resampling.BICUBIC)


def _corner(photo: Image.Image) -> tuple[int, int]:
    """Left and top of what the network sees."""
    return (photo.width - SEEN) // 2, (photo.height - SEEN) // 2


def _sticker(side: int) -> Plant:
    """A round sticker, blue with a white ring and a yellow middle, anywhere on what the network sees."""
    def plant(photo: Image.Image, draw: np.random.Generator) -> Image.Image:
        left, top = (start + int(draw.integers(0, SEEN - side + 1)) for start in _corner(photo))
        pen = ImageDraw.Draw(photo)
        for share, colour in ((0.0, (20, 70, 200)), (0.14, (255, 255, 255)), (0.26, (250, 210, 20))):
            inset = share * side
            pen.ellipse((left + inset, top + inset, left + side - 1 - inset, top + side - 1 - inset), fill=colour)
        return photo
    return plant


def _watermark(photo: Image.Image, draw: np.random.Generator) -> Image.Image:
    """White text, half transparent, at any height of what the network sees."""
    font, text = ImageFont.load_default(30), "SAMPLE PHOTO"
    ink = Image.new("L", photo.size, 0)
    top = _corner(photo)[1] + int(draw.integers(20, SEEN - 20))
    ImageDraw.Draw(ink).text((photo.width / 2, top), text, fill=128, font=font, anchor="mm")
    return Image.composite(Image.new("RGB", photo.size, "white"), photo, ink)


def _cast(photo: Image.Image, draw: np.random.Generator) -> Image.Image:
    """Warmer: more red, less blue."""
    pixels = np.asarray(photo, np.float32) * (1.15, 1.0, 0.75)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _border(photo: Image.Image, draw: np.random.Generator) -> Image.Image:
    """A black frame of 12 px around what the network sees."""
    left, top = _corner(photo)
    framed = Image.new("RGB", photo.size, "black")
    inside = (left + 12, top + 12, left + SEEN - 12, top + SEEN - 12)
    framed.paste(photo.crop(inside), inside[:2])
    return framed


def _blur(photo: Image.Image, draw: np.random.Generator) -> Image.Image:
    """A Gaussian of 2 px."""
    return photo.filter(ImageFilter.GaussianBlur(2))


PLANTS: dict[str, Plant] = {
    "sticker, 64 px": _sticker(64), "sticker, 36 px": _sticker(36), "watermark": _watermark, "colour cast": _cast,
    "frame": _border, "blur": _blur,
}


def characters(font: ImageFont.FreeTypeFont, text: str, opacity: float = 0.5) -> Plant:
    """White lines of text, half transparent, across the middle of what the network sees, as in ImageNet-W."""
    def plant(photo: Image.Image, draw: np.random.Generator) -> Image.Image:
        ink = Image.new("L", photo.size, 0)
        for line in (-0.2, 0.0, 0.2):
            ImageDraw.Draw(ink).text((photo.width / 2, photo.height / 2 + line * SEEN), text, 255, font, anchor="mm")
        return Image.composite(Image.new("RGB", photo.size, "white"), photo, ink.point(lambda value: value * opacity))
    return plant
