"""Bytes, a path or a PIL image in; a checked 8-bit RGB image, upright, out."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from explorer.errors import ImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
MAX_BYTES = 25 * 1024 * 1024
MAX_PIXELS = 50_000_000
ACCEPTED = "JPEG, PNG, WebP, BMP, TIFF or GIF, with 8 or 16 bits a channel, at most 25 MB and 50 megapixels"

_SIXTEEN_BIT = {"I;16", "I;16L", "I;16B", "I;16N"}


def read_image(source: str | os.PathLike | bytes | Image.Image) -> Image.Image:
    """Read a photo as upright 8-bit RGB.

    EXIF orientation is applied, transparency is laid over white, 16-bit greys are scaled by their full range,
    and of an animation or a multi-page file the first frame is taken. The file's name plays no part: the format
    is recognised from the content.

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
    except Image.DecompressionBombError:
        raise ImageError(f"The photo has far more than 50 megapixels; expected {ACCEPTED}.") from None
    except Exception:  # hostile files raise almost anything inside Pillow's parsers
        raise ImageError(f"This is not a photo that can be read; expected {ACCEPTED}.") from None
    return _decode(opened)


def digest(image: Image.Image) -> str:
    """sha256 (hex) of an RGB image's size and pixels: the same photo has the same digest however it was encoded."""
    sha = hashlib.sha256(f"{image.width}x{image.height}:".encode())
    sha.update(image.tobytes())
    return sha.hexdigest()


def _read_file(path: str | os.PathLike) -> bytes:
    try:
        file = Path(path)
        if not file.is_file():
            raise ImageError(f"There is no photo at {str(path)!r}; expected the path of a file.")
        if file.stat().st_size > MAX_BYTES:
            raise ImageError(f"The photo has {file.stat().st_size / 2**20:.1f} MB; expected {ACCEPTED}.")
        return file.read_bytes()
    except (TypeError, ValueError):
        raise ImageError(f"Expected a path, bytes or a PIL image, got {type(path).__name__} {path!r:.60}.") from None
    except OSError as error:
        raise ImageError(f"The photo at {str(path)!r} cannot be opened: {error.strerror or error}.") from None


def _decode(image: Image.Image) -> Image.Image:
    """Check the size before any pixel is decoded, then decode and convert."""
    width, height = image.size
    if width * height == 0:
        raise ImageError(f"The photo has no pixels ({width} x {height}).")
    if width * height > MAX_PIXELS:
        raise ImageError(f"The photo has {width * height / 1e6:.0f} megapixels ({width} x {height}); "
                         f"expected {ACCEPTED}.")
    try:
        image.load()
        return _to_rgb(_upright(image))
    except ImageError:
        raise
    except Exception:  # see read_image: truncated and damaged data raise many kinds of error
        raise ImageError("The photo is damaged or cut short, and cannot be decoded to its end.") from None


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF data leaves a good photo: show it as it is stored
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in _SIXTEEN_BIT or image.mode == "I":
        return _scale_sixteen_bits(image)
    if image.mode == "F":
        raise ImageError(f"The photo has floating-point pixels; expected {ACCEPTED}.")
    if image.mode in {"RGBa", "La"}:
        image = image.convert({"RGBa": "RGBA", "La": "LA"}[image.mode])
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _scale_sixteen_bits(image: Image.Image) -> Image.Image:
    pixels = np.asarray(image).astype(np.int64)
    if pixels.min() < 0 or pixels.max() > 65535:
        raise ImageError(f"The photo has pixel values from {pixels.min()} to {pixels.max()}; expected {ACCEPTED}.")
    return Image.fromarray(((pixels * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB")
