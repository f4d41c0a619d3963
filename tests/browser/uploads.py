"""Files to upload: good ones drawn here, and broken ones of every sort."""

from __future__ import annotations

import io
import struct
import zlib

from PIL import Image, ImageDraw


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """The bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def grey_with_object(example: Image.Image, size: tuple[int, int], box: tuple[int, int, int, int]) -> Image.Image:
    """A photo without any colour of its own: an example, in greys, on an even ground at `box`.

    What is red on an overlay of it is evidence, and nothing else.
    """
    photo = Image.new("RGB", size, (118, 118, 118))
    width, height = box[2] - box[0], box[3] - box[1]
    photo.paste(example.convert("L").convert("RGB").resize((width, height)), box[:2])
    return photo


def arrow(width: int = 400, height: int = 300) -> Image.Image:
    """A photo that shows which way is up and which way is left: red above, blue below, a white corner at the left."""
    photo = Image.new("RGB", (width, height), (200, 30, 30))
    pen = ImageDraw.Draw(photo)
    pen.rectangle((0, height // 2, width, height), fill=(30, 30, 200))
    pen.rectangle((0, 0, width // 4, height // 4), fill="white")
    return photo


def bomb() -> bytes:
    """A PNG of 60 bytes whose header, with the right checksum, promises 60,000 x 60,000 px."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def broken() -> dict[str, bytes]:
    """Files that end in .png and are not photos that can be read, by what is wrong with them."""
    good = encode(arrow())
    return {
        "empty": b"", "text": b"not a photo at all", "cut short": good[: len(good) // 2], "bomb": bomb(),
        "markup": b"<html><script>alert(1)</script></html>", "zeros": bytes(1000), "beginning alone": good[:8],
    }
