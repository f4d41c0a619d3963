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
from explorer.levels import Window, checked_window, own_range, to_grey

try:  # its wheels serve Linux, macOS and Windows; elsewhere a HEIC file gets a sentence
    import pillow_heif
except ImportError:
    _HEIF: tuple[str, ...] = ()
else:
    pillow_heif.register_heif_opener()
    _HEIF = ("HEIF",)

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "TIFF", "GIF", *_HEIF)
MAX_BYTES = 25 * 1024 * 1024
MAX_PIXELS = 50_000_000
ACCEPTED = (f"JPEG, PNG, WebP, AVIF, {'HEIC, ' if _HEIF else ''}BMP, TIFF or GIF, at most 25 MB and 50 megapixels "
            "(JPEG: 170)")
_LARGEST_SHRUNK = 170_000_000  # pixels of a JPEG that is read at a half, a quarter or an eighth of its size

_DEEP = {"I;16", "I;16L", "I;16B", "I;16N", "I", "F"}
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
    (rb"\x00\x00\x01\x00", "ICO"), (rb"8BPS", "Photoshop"), (rb"PK\x03\x04", "ZIP"), (rb".{128}DICM", "DICOM"),
    (rb"\s*<(\?xml|svg)", "SVG"),
)


def read_image(source: str | os.PathLike | bytes | Image.Image, window: Window | None = None) -> Image.Image:
    """Read a photo as upright 8-bit RGB.

    EXIF orientation is applied, transparency is laid over white, greys of more than 8 bits go from black to white by
    their own range (see `explorer.levels`), a JPEG of more than 50 megapixels is shrunk while it is read, and of an
    animation or a multi-page file the first frame is taken. The format is recognised from the content and not from the
    file's name. Only the pixels are kept: EXIF may say where the photo was taken.

    Args:
        source: a path, the bytes of a file (at most 25 MB), or a PIL image (at most 50 megapixels).
        window: of greys of more than 8 bits, the number that is black and the one that is white.

    Returns:
        A PIL image of mode RGB, of the photo's own size as it is seen (orientation applied), unless it was shrunk.

    Raises:
        ImageError: the source is missing, empty, too large, damaged, or of another kind than those accepted; the window
            is none, or the photo has 8 bits and needs none.
    """
    return read_with_range(source, window)[0]


def read_with_range(
    source: str | os.PathLike | bytes | Image.Image, window: Window | None = None
) -> tuple[Image.Image, Window | None]:
    """As `read_image`, and the own range of its greys where they have more than 8 bits, None of any other photo."""
    image = _opened(source)
    picture = _decode(image, None if window is None else checked_window(window))
    return picture, own_range(np.asarray(image)) if image.mode in _DEEP else None


def read_small(path: str | os.PathLike, side: int) -> Image.Image:
    """A photo for a small picture of it, RGB and upright, at least `side` px long where the file is.

    A JPEG is decoded at an eighth, a quarter or half its size where that suffices, which is several times faster.

    Raises ImageError as `read_image` does.
    """
    image = _opened(path)
    image.draft("RGB", (side, side))
    return _decode(image)


def _opened(source: str | os.PathLike | bytes | Image.Image) -> Image.Image:
    if isinstance(source, Image.Image):
        return source
    data = bytes(source) if isinstance(source, (bytes, bytearray, memoryview)) else _read_file(source)
    if not data:
        raise ImageError(f"The photo is empty (0 bytes); expected {ACCEPTED}.")
    if len(data) > MAX_BYTES:
        raise ImageError(f"The photo has {len(data) / 2**20:.1f} MB; expected {ACCEPTED}.")
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except _BOMBS:
        raise ImageError(f"The photo has far more than 50 megapixels; expected {ACCEPTED}.") from None
    except Exception:  # hostile files raise almost anything inside Pillow's parsers
        raise ImageError(_refusal(data)) from None


def digest(image: Image.Image) -> str:
    """sha256 (hex) of an RGB image's size and pixels: the same photo has the same digest however it was encoded."""
    sha = hashlib.sha256(f"{image.width}x{image.height}:".encode())
    sha.update(image.tobytes())
    return sha.hexdigest()


def _refusal(data: bytes) -> str:
    """Why bytes that Pillow does not open are refused: a damaged photo, or no photo at all."""
    kind = next((kind for pattern, kind in _BEGINNINGS if re.match(pattern, data, re.DOTALL)), None)
    if kind == "DICOM":
        return ("This is a DICOM file; expected an image made from it: export it as PNG or TIFF with 16 bits, and set "
                "its window here.")
    if kind == "HEIC" and not _HEIF:
        return f"This is a HEIC file, which takes the package pillow-heif to read; expected {ACCEPTED}."
    if kind and kind.upper().replace("HEIC", "HEIF") in FORMATS:
        return f"This {kind} file is damaged, cut short or of an unusual sort; expected {ACCEPTED}."
    return f"This is {f'a file of the kind {kind}' if kind else 'not a photo'}; expected {ACCEPTED}."


def _read_file(path: str | os.PathLike) -> bytes:
    try:
        file = Path(path)
        if file.is_dir():
            raise ImageError(f"There is a folder at {quoted(path)}; expected one photo, or python -m explorer folder.")
        if not file.is_file():
            raise ImageError(f"There is no photo at {quoted(path)}; expected the path of a file.")
        if file.stat().st_size > MAX_BYTES:
            raise ImageError(f"The photo has {file.stat().st_size / 2**20:.1f} MB; expected {ACCEPTED}.")
        return file.read_bytes()
    except (TypeError, ValueError):
        raise ImageError(f"Expected a path, bytes or a PIL image, got {type(path).__name__}.") from None
    except OSError as error:
        raise ImageError(f"The photo at {quoted(path)} cannot be opened ({error.strerror or 'no reason given'}); "
                         "expected the path of a file.") from None


def quoted(path: object) -> str:
    """A path for a message: on one line, and only its end when it is long."""
    text = str(path)
    return repr(text if len(text) <= 120 else "..." + text[-117:])


def _decode(image: Image.Image, window: Window | None = None) -> Image.Image:
    """Check the size before any pixel is decoded, then decode and convert."""
    width, height = _shrunk(image)
    if width * height == 0:
        raise ImageError(f"The photo has no pixels ({width} x {height}); expected {ACCEPTED}.")
    _check_pixels(width, height)
    try:
        tags = getattr(image, "tag_v2", {})  # a TIFF's tile is decoded as a whole, however little of it is shown
        _check_pixels(tags.get(322, 0), tags.get(323, 0))
        image.load()
        picture = _to_rgb(_upright(image), window)
    except ImageError:
        raise
    except Exception:  # see read_image: truncated and damaged data raise many kinds of error
        raise ImageError(f"The photo is damaged or cut short, and cannot be decoded to its end; expected {ACCEPTED}."
                         ) from None
    picture.info = {}
    return picture


def _shrunk(image: Image.Image) -> tuple[int, int]:
    """The size at which an image will be decoded: of a JPEG of too many pixels a half, a quarter or an eighth.

    A progressive one is decoded whole before it is shrunk, so it is not.
    """
    if image.format == "JPEG" and "progressive" not in image.info and image.width * image.height <= _LARGEST_SHRUNK:
        for part in (2, 4, 8):
            if image.width * image.height <= MAX_PIXELS:
                break
            image.draft(None, (image.width // part, image.height // part))
    return image.size


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


def _to_rgb(image: Image.Image, window: Window | None = None) -> Image.Image:
    if image.mode in _DEEP:
        return _windowed(image, window)
    if window is not None:
        raise ImageError("The photo has 8 bits a channel; a window is for greys of more.")
    if image.mode in {"RGBa", "La"}:
        image = image.convert({"RGBa": "RGBA", "La": "LA"}[image.mode])
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image)
        return white
    return image.convert("RGB")


def _windowed(image: Image.Image, window: Window | None) -> Image.Image:
    pixels = np.asarray(image)
    grey = to_grey(pixels, window)
    if "transparency" in image.info:
        grey[pixels == image.info["transparency"]] = 255  # a PNG may name one grey that is transparent
    return Image.fromarray(grey).convert("RGB")
