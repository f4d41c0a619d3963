"""Files that the tests make themselves, and how to read pictures as letters. Used by the tests of images and pixels."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

COLOURS = {"R": (255, 0, 0), "G": (0, 255, 0), "B": (0, 0, 255),
           "Y": (255, 255, 0), "C": (0, 255, 255), "M": (255, 0, 255)}

# What a viewer shows of "RGB YCM" stored, from the EXIF standard's words for row 0 and column 0 (6: row 0 is the
# right side, column 0 the top).
UPRIGHT = {1: "RGB YCM", 2: "BGR MCY", 3: "MCY BGR", 4: "YCM RGB",
           5: "RY GC BM", 6: "YR CG MB", 7: "MB CG YR", 8: "BM GC RY"}


def saved(image, kind, **options):
    """The bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def blocks(rows):
    """A picture of 16 x 16 px blocks from rows of colour letters: "RGB YCM"."""
    letters = [[COLOURS[letter] for letter in row] for row in rows.split()]
    return Image.fromarray(np.kron(np.array(letters, np.uint8), np.ones((16, 16, 1), np.uint8)))


def letters_of(picture):
    """The colour letters of a picture's blocks, read at their centres."""
    centres = np.asarray(picture).astype(int)[8::16, 8::16]
    names, table = list(COLOURS), np.array(list(COLOURS.values()))
    return " ".join("".join(names[abs(table - pixel).sum(1).argmin()] for pixel in row) for row in centres)


def turned(orientation):
    """EXIF data of one tag: the orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def chunk(kind, body):
    """One chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(size, depth, colour, rows, *extra):
    """A PNG by hand, for what Pillow cannot write.

    depth: bits a sample; colour: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA; extra: chunks before the pixels.
    Fewer rows than the size says make a file that is cut short.
    """
    form = "B" if depth <= 8 else "H"
    raw = b"".join(b"\0" + struct.pack(f">{len(row)}{form}", *row) for row in rows)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def one_tile_tiff(side):
    """A TIFF that shows 1 x 1 px of a single compressed tile of `side` x `side` px, all black."""
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(bytes(side * 3)) for _ in range(side)) + packer.flush()
    tags = [(256, 1), (257, 1), (258, 8), (259, 8), (262, 2), (277, 3), (284, 1), (322, side), (323, side),
            (324, 8 + 2 + 11 * 12 + 4), (325, len(data))]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + bytes(4) + data


SPECKLED = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8))
EIGHT_COLOURS = Image.fromarray(np.random.default_rng(0).integers(0, 2, (24, 32, 3), dtype=np.uint8) * 255)
LOSSLESS = {
    "PNG": saved(SPECKLED, "PNG"), "BMP": saved(SPECKLED, "BMP"), "WebP": saved(SPECKLED, "WEBP", lossless=True),
    "TIFF": saved(SPECKLED, "TIFF"), "TIFF lzw": saved(SPECKLED, "TIFF", compression="tiff_lzw"),
    "TIFF deflate": saved(SPECKLED, "TIFF", compression="tiff_deflate"), "GIF": saved(EIGHT_COLOURS, "GIF"),
}
LOSSY = {
    "JPEG": saved(blocks("RGB YCM"), "JPEG"), "JPEG progressive": saved(blocks("RGB YCM"), "JPEG", progressive=True),
    "WebP lossy": saved(blocks("RGB YCM"), "WEBP"),
    "TIFF jpeg": saved(blocks("RGB YCM"), "TIFF", compression="jpeg"),
}
MOVING = {
    f"{kind} moving": saved(blocks("RGB YCM"), kind, save_all=True,
                            append_images=[blocks("YCM RGB"), blocks("BBB BBB")])
    for kind in ("GIF", "WEBP", "PNG", "MPO", "TIFF")
}
FILES = {**LOSSLESS, **LOSSY, **MOVING}
