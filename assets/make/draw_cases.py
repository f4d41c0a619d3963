"""Draw the photos that the cases of the Why page need beside the examples, from the examples and a font.

    apt-get download fonts-noto-cjk-extra
    dpkg-deb -x fonts-noto-cjk-extra_*.deb font
    python assets/make/draw_cases.py font/usr/share/fonts/opentype/noto/NotoSerifCJK-ExtraLight.ttc

Writes assets/cases/*.jpg. Their licences and the font's are in assets/LICENSES.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

ASSETS = Path(__file__).resolve().parents[1]

CHARACTERS = "捷径捷径捷径"  # "shortcut", three times: the text of ImageNet-W (arXiv:2212.04825)
LETTERS = "SHORTCUT"
CROP = 0.875  # of the photo's short side: what the network sees
EM = 36 / 224  # of what the network sees, as in ImageNet-W
LINES = (-0.2, 0.0, 0.2)  # from the photo's middle, as shares of what the network sees
OPACITY = 0.5

COFFEE = (287, 146), (86, 52), 2  # px: an ellipse that holds the coffee and little else: centre, half axes, degrees
COFFEE_SATURATION = 0.66  # the cup's own inner wall has less
PORCELAIN = (238, 218, 192)
SHADE = (0.3, 0.5, 0.75)  # exponents of the light on it: shadows are warm
BRIGHTEST = 1.12  # above it the light is the coffee's gloss


def draw(font: Path) -> None:
    photo = example("cat_and_coffee")
    save("characters", overlaid(photo, CHARACTERS, face(font, photo, CHARACTERS)))
    save("letters", overlaid(photo, LETTERS, face(font, photo, LETTERS)))
    save("empty_cup", emptied(example("coffee")))


def example(name: str) -> Image.Image:
    return Image.open(ASSETS / "examples" / f"{name}.jpg").convert("RGB")


def save(name: str, photo: Image.Image) -> None:
    photo.save(ASSETS / "cases" / f"{name}.jpg", quality=92, subsampling=0, optimize=True)


def face(font: Path, photo: Image.Image, text: str) -> ImageFont.FreeTypeFont:
    """The font for simplified Chinese, of such a size that any text becomes as wide as the characters."""
    index = 0
    if font.suffix == ".ttc":
        index = next(n for n in range(10) if ImageFont.truetype(font, 10, n).getname()[0].endswith(" SC"))
    size = seen(photo) * EM
    of_characters = ImageFont.truetype(font, round(size), index)
    left, _, right, _ = of_characters.getbbox(CHARACTERS)
    own_left, _, own_right, _ = of_characters.getbbox(text)
    return ImageFont.truetype(font, round(size * (right - left) / (own_right - own_left)), index)


def seen(photo: Image.Image) -> float:
    """Side of the square that the network sees, in px."""
    return CROP * min(photo.size)


def overlaid(photo: Image.Image, text: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """White, half-transparent lines of text across the middle of what the network sees."""
    ink = Image.new("L", photo.size, 0)
    pen = ImageDraw.Draw(ink)
    left, top, right, bottom = pen.textbbox((0, 0), text, font)
    for line in LINES:
        middle = photo.width / 2, photo.height / 2 + line * seen(photo)
        pen.text((middle[0] - (left + right) / 2, middle[1] - (top + bottom) / 2), text, 255, font)
    white = Image.new("RGB", photo.size, "white")
    return Image.composite(white, photo, ink.point(lambda value: round(value * OPACITY)))


def emptied(photo: Image.Image) -> Image.Image:
    """The cup without its coffee: porcelain under the light that lay on the coffee, without its bubbles and gloss."""
    pixels = np.asarray(photo).astype(np.float32)
    coffee = where_the_coffee_is(pixels)
    light = cv2.GaussianBlur(pixels @ np.float32([0.299, 0.587, 0.114]), (0, 0), 1.5)
    light = np.minimum(light / light[coffee > 0].mean(), BRIGHTEST)
    porcelain = np.clip(np.float32(PORCELAIN) * light[..., None] ** np.float32(SHADE), 0, 255)
    share = cv2.GaussianBlur(coffee.astype(np.float32), (0, 0), 1.6)[..., None]
    return Image.fromarray((pixels + (porcelain - pixels) * share).round().astype(np.uint8))


def where_the_coffee_is(pixels: np.ndarray) -> np.ndarray:
    """(height, width) uint8: 1 where the coffee is and at its edge, else 0."""
    around = np.zeros(pixels.shape[:2], np.uint8)
    cv2.ellipse(around, *COFFEE, 0, 360, 1, -1)
    saturation = 1 - pixels.min(-1) / np.maximum(pixels.max(-1), 1)
    coffee = ((saturation > COFFEE_SATURATION) & (around > 0)).astype(np.uint8)
    coffee = cv2.morphologyEx(coffee, cv2.MORPH_CLOSE, disc(21))
    coffee = cv2.morphologyEx(coffee, cv2.MORPH_OPEN, disc(9))
    return cv2.dilate(coffee, disc(5))


def disc(width: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
