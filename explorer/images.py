"""Bytes, a path or a PIL image in; a checked 8-bit RGB image, upright, out."""

from __future__ import annotations

import hashlib
import io
import os
import re
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from explorer.errors import ImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
MAX_BYTES = 25 * 1024 * 1024
MAX_PIXELS = 50_000_000
ACCEPTED = "JPEG, PNG, WebP, BMP, TIFF or GIF, with 8 or 16 bits a channel, at most 25 MB and 50 megapixels"

_SIXTEEN_BIT = {"I;16", "I;16L", "I;16B", "I;16N"}
_EIGHT_OF_SIXTEEN = ((np.arange(65536) * 255 + 32767) // 65535).astype(np.uint8)
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# How files begin, to name their kind in a message.
_BEGINNINGS = (
    (rb"\xff\xd8\xff", "JPEG"), (rb"\x89PNG", "PNG"), (rb"RIFF....WEBP", "WebP"), (rb"BM", "BMP"),
    (rb"II[*+]\x00|MM\x00[*+]", "TIFF"), (rb"GIF8", "GIF"), (rb"....ftyp(hei|hev|mif|msf)", "HEIC"),
    (rb"....ftypavi", "AVIF"), (rb"....ftyp", "video"), (rb"%PDF", "PDF"), (rb"%!PS|\xc5\xd0\xd3\xc6", "EPS"),
    (rb"\x00\x00\x01\x00", "ICO"), (rb"8BPS", "Photoshop"), (rb"PK\x03\x04", "ZIP"), (rb"\s*<(\?xml|svg)", "SVG"),
)


def read_image(source: str | os.PathLike | bytes | Image.Image) -> Image.Image:
    """Read a photo as upright 8-bit RGB.

    EXIF orientation is applied, transparency is laid over white, 16-bit greys are scaled by their full range, and of an
    animation or a multi-page file the first frame is taken. The format is recognised from the content and not from the
    file's name. Only the pixels are kept: EXIF may say where the photo was taken.

    Args:
        source: a path, the bytes of a file (at most 25 MB), or a PIL image (at most 50 megapixels).

    Returns:
        A PIL image of mode RGB, of the photo's own size as it is seen (orientation applied).

    Raises:
        ImageError: the source is missing, empty, too large, damaged, or of another kind than those accepted.
    """
    if isinstance(source, Image.Image):
        return _decode(source)
    data = bytes(source) if isinstance(source, (bytes, bytearray, memoryview)) else _read_file(source)
    if not data:
        raise ImageError(f"The photo is empty (0 bytes); expected {ACCEPTED}.")
    if len(data) > MAX_BYTES:
        raise ImageError(f"The photo has {len(data) / 2**20:.1f} MB; expected {ACCEPTED}.")
    try:
        opened = Image.open(io.BytesIO(data), formats=FORMATS)
    except _BOMBS:
        raise ImageError(f"The photo has far more than 50 megapixels; expected {ACCEPTED}.") from None
    except Exception:  # hostile files raise almost anything inside Pillow's parsers
        raise ImageError(_refusal(data)) from None
    return _decode(opened)


def digest(image: Image.Image) -> str:
    """sha256 (hex) of an RGB image's size and pixels: the same photo has the same digest however it was encoded."""
    sha = hashlib.sha256(f"{image.width}x{image.height}:".encode())
    sha.update(image.tobytes())
    return sha.hexdigest()


def _refusal(data: bytes) -> str:
    """Why bytes that Pillow does not open are refused: a damaged photo, or no photo at all."""
    kind = next((kind for pattern, kind in _BEGINNINGS if re.match(pattern, data, re.DOTALL)), None)
    if kind and kind.upper() in FORMATS:
        return f"This {kind} file is damaged, cut short or of an unusual sort; expected {ACCEPTED}."
    return f"This is {f'a file of the kind {kind}' if kind else 'not a photo'}; expected {ACCEPTED}."


def _read_file(path: str | os.PathLike) -> bytes:
    try:
        file = Path(path)
        if not file.is_file():
            raise ImageError(f"There is no photo at {_quoted(path)}; expected the path of a file.")
        if file.stat().st_size > MAX_BYTES:
            raise ImageError(f"The photo has {file.stat().st_size / 2**20:.1f} MB; expected {ACCEPTED}.")
        return file.read_bytes()
    except (TypeError, ValueError):
        raise ImageError(f"Expected a path, bytes or a PIL image, got {type(path).__name__}.") from None
    except OSError as error:
        raise ImageError(f"The photo at {_quoted(path)} cannot be opened ({error.strerror or 'no reason given'}); "
                         "expected the path of a file.") from None


def _quoted(path: str | os.PathLike) -> str:
    """A path for a message: on one line, and only its end when it is long."""
    text = str(path)
    return repr(text if len(text) <= 120 else "..." + text[-117:])


def _decode(image: Image.Image) -> Image.Image:
    """Check the size before any pixel is decoded, then decode and convert."""
    width, height = image.size
    if width * height == 0:
        raise ImageError(f"The photo has no pixels ({width} x {height}); expected {ACCEPTED}.")
    _check_pixels(width, height)
    try:
        tags = getattr(image, "tag_v2", {})  # a TIFF's tile is decoded as a whole, however little of it is shown
        _check_pixels(tags.get(322, 0), tags.get(323, 0))
        image.load()
        picture = _to_rgb(_upright(image))
    except ImageError:
        raise
    except Exception:  # see read_image: truncated and damaged data raise many kinds of error
        raise ImageError(f"The photo is damaged or cut short, and cannot be decoded to its end; expected {ACCEPTED}."
                         ) from None
    picture.info = {}
    return picture


def _check_pixels(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ImageError(f"The photo has {width * height / 1e6:.1f} megapixels ({width} x {height}); "
                         f"expected {ACCEPTED}.")


def _upright(image: Image.Image) -> Image.Image:
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF data leaves a good photo: show it as it is stored
        turn = None
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in _SIXTEEN_BIT or image.mode == "I":
        return _scale_sixteen_bits(image)
    if image.mode == "F":
        raise ImageError(f"The photo has floating-point pixels; expected {ACCEPTED}.")
    if image.mode in {"RGBa", "La"}:
        image = image.convert({"RGBa": "RGBA", "La": "LA"}[image.mode])
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image)
        return white
    return image.convert("RGB")


def _scale_sixteen_bits(image: Image.Image) -> Image.Image:
    pixels = np.asarray(image)
    if pixels.min() < 0 or pixels.max() > 65535:
        raise ImageError(f"The photo has pixel values from {pixels.min()} to {pixels.max()}; expected {ACCEPTED}.")
    grey = _EIGHT_OF_SIXTEEN[pixels]
    grey[pixels == image.info.get("transparency", -1)] = 255  # a PNG may name one grey that is transparent
    return Image.fromarray(grey).convert("RGB")
