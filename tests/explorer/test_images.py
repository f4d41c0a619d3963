"""read_image: every accepted kind of file comes out as the right pixels."""

import io
import struct

import cv2
import numpy as np
import pytest
from photos import (
    EIGHT_COLOURS,
    LOSSLESS,
    LOSSY,
    MOVING,
    SPECKLED,
    UPRIGHT,
    blocks,
    chunk,
    letters_of,
    png,
    saved,
)
from PIL import Image

from explorer.images import digest, read_image

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


def pixels(source):
    """[[(r, g, b), ...], ...] of what read_image makes of it."""
    image = read_image(source)
    assert (image.mode, type(image)) == ("RGB", Image.Image)
    return [[tuple(map(int, pixel)) for pixel in row] for row in np.asarray(image)]


@pytest.mark.parametrize("kind", LOSSLESS)
def test_a_lossless_file_gives_the_very_pixels(kind):
    expected = EIGHT_COLOURS if kind == "GIF" else SPECKLED
    assert np.array_equal(np.asarray(read_image(LOSSLESS[kind])), np.asarray(expected))


@pytest.mark.parametrize("data", LOSSY.values(), ids=LOSSY)
def test_a_lossy_file_gives_the_picture(data):
    assert letters_of(read_image(data)) == "RGB YCM"


@pytest.mark.parametrize("data", MOVING.values(), ids=MOVING)
def test_of_an_animation_or_several_pages_the_first_is_taken(data):
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert letters_of(read_image(data)) == "RGB YCM"


def test_path_bytes_and_pil_image_give_the_same_and_the_name_plays_no_part(tmp_path):
    data = LOSSLESS["PNG"]
    for name in ("a.png", "a.jpg", "a.txt", "no ending", "ünï <b>.gif"):
        (tmp_path / name).write_bytes(data)
        assert pixels(tmp_path / name) == pixels(str(tmp_path / name)) == pixels(data)
    assert pixels(bytearray(data)) == pixels(memoryview(data)) == pixels(SPECKLED) == pixels(data)


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_every_exif_orientation_is_applied_once_and_forgotten(orientation):
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "TIFF lzw"):
        exif = Image.Exif()
        exif[0x0112], exif[0x010F] = orientation, "a camera"
        format_, _, compression = kind.partition(" ")
        options = {"compression": f"tiff_{compression}"} if compression else {}
        image = read_image(saved(blocks("RGB YCM"), format_, exif=exif, **options))
        assert letters_of(image) == UPRIGHT[orientation]
        assert letters_of(read_image(image)) == UPRIGHT[orientation]
        assert image.info == {}
        assert b"a camera" not in saved(image, "PNG") + saved(image, "JPEG")


def test_orientation_is_applied_to_sixteen_bits_and_to_transparency():
    exif = chunk(b"eXIf", struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x0112, 3, 1, 6, 0, 0))
    assert pixels(png((2, 1), 16, 0, [[0, 65535]], exif)) == [[(0, 0, 0)], [(255,) * 3]]
    assert pixels(png((2, 1), 8, 4, [[0, 255, 0, 0]], exif)) == [[(0, 0, 0)], [(255,) * 3]]


@pytest.mark.parametrize("exif", [
    b"", b"Exif\0\0", b"Exif\0\0garbage that is no TIFF", b"Exif\0\0II*\0\xff\xff\xff\xff",
    b"Exif\0\0" + struct.pack("<2sHIH", b"II", 42, 8, 500),
    b"Exif\0\0" + struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x0112, 3, 1, 9, 0, 0),
    b"Exif\0\0" + struct.pack("<2sHIHHHI4sI", b"II", 42, 8, 1, 0x0112, 2, 4, b"six", 0),
    b"Exif\0\0" + struct.pack("<2sHIHHHIII", b"II", 42, 8, 1, 0x0112, 3, 1000, 999999, 0),
], ids=["empty", "no body", "garbage", "far offset", "cut", "nine", "text", "list out of the file"])
def test_a_photo_with_broken_exif_is_shown_as_it_is_stored(exif):
    for kind in ("JPEG", "PNG", "WEBP"):
        assert letters_of(read_image(saved(blocks("RGB YCM"), kind, exif=exif))) == "RGB YCM"


def test_another_broken_tag_does_not_cost_the_orientation():
    tags = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0) + struct.pack("<HHII", 0x8769, 4, 1, 999999)
    exif = b"Exif\0\0" + struct.pack("<2sHIH", b"II", 42, 8, 2) + tags + struct.pack("<I", 0)
    assert letters_of(read_image(saved(blocks("RGB YCM"), "JPEG", exif=exif))) == UPRIGHT[6]


def test_sixteen_bits_are_scaled_by_the_range_of_their_depth():
    assert pixels(png((5, 1), 16, 0, [[0, 257, 32768, 65278, 65535]])) == [[(v,) * 3 for v in (0, 1, 128, 254, 255)]]
    colours = np.array(pixels(png((2, 1), 16, 2, [[0, 32768, 65535, 257 * 200, 257 * 3, 257]])))
    assert np.abs(colours - [[[0, 127.5, 255], [200, 3, 1]]]).max() <= 1
    over_white = np.array(pixels(png((2, 1), 16, 6, [[0, 0, 65535, 65535, 65535, 0, 0, 32768]])))
    assert np.abs(over_white - [[[0, 0, 255], [255, 127, 127]]]).max() <= 1
    assert pixels(png((3, 1), 16, 4, [[0, 65535, 0, 0, 65535, 65535]])) == [[(0,) * 3, (255,) * 3, (255,) * 3]]
    key = chunk(b"tRNS", struct.pack(">H", 257))
    assert pixels(png((2, 1), 16, 0, [[257, 258]], key)) == [[(255,) * 3, (64,) * 3]]  # of ten bits
    assert pixels(saved(Image.fromarray(np.array([[0, 257, 65535]], np.uint16)), "TIFF")) == [
        [(0,) * 3, (1,) * 3, (255,) * 3]]


def test_few_bits_and_greys_and_palettes():
    black, white, red, blue = (0,) * 3, (255,) * 3, (255, 0, 0), (0, 0, 255)
    assert pixels(png((4, 1), 1, 0, [[0b01010000]])) == [[black, white, black, white]]
    assert pixels(png((4, 1), 2, 0, [[0b00011011]])) == [[(v,) * 3 for v in (0, 85, 170, 255)]]
    assert pixels(png((2, 1), 8, 0, [[7, 200]])) == [[(7,) * 3, (200,) * 3]]
    assert pixels(saved(Image.new("1", (1, 1), 1), "BMP")) == [[white]]
    palette = chunk(b"PLTE", bytes([255, 0, 0, 0, 0, 255]))
    assert pixels(png((2, 1), 8, 3, [[0, 1]], palette)) == [[red, blue]]
    assert pixels(png((2, 1), 8, 3, [[0, 1]], palette, chunk(b"tRNS", b"\0"))) == [[white, blue]]
    assert pixels(png((2, 1), 8, 3, [[0, 1]], palette, chunk(b"tRNS", bytes([102, 51])))) == [
        [(255, 153, 153), (204, 204, 255)]]
    key = chunk(b"tRNS", struct.pack(">HHH", 0, 0, 255))
    assert pixels(png((2, 1), 8, 2, [[0, 0, 255, 0, 0, 254]], key)) == [[white, (0, 0, 254)]]
    stencil = Image.new("P", (2, 1))
    stencil.putpalette([255, 0, 0, 0, 0, 255])
    stencil.putpixel((1, 0), 1)
    assert pixels(saved(stencil, "GIF", transparency=0)) == [[white, blue]]


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "PIL image"])
def test_transparency_is_laid_over_white(kind):
    source = Image.new("RGBA", (4, 1))
    for x, colour in enumerate([(255, 0, 0, 255), (255, 0, 0, 102), (0, 0, 0, 51), (0, 200, 0, 0)]):
        source.putpixel((x, 0), colour)
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    read = pixels(source if kind == "PIL image" else saved(source, kind, **options))
    assert read == [[(255, 0, 0), (255, 153, 153), (204, 204, 204), (255, 255, 255)]]


def test_ink_becomes_light():
    inks, lights = [(255, 0, 0, 0), (51, 102, 0, 51), (0, 0, 0, 255)], [(0, 255, 255), (163, 122, 204), (0, 0, 0)]
    for ink, light in zip(inks, lights, strict=True):
        assert pixels(saved(Image.new("CMYK", (1, 1), ink), "TIFF")) == [[light]]
        adobe = saved(Image.new("CMYK", (16, 16), ink), "JPEG", quality=100)  # its numbers are 255 - ink, as Adobe's
        at = adobe.index(b"Adobe")
        ycck = adobe[:at + 11] + b"\2" + adobe[at + 12:]  # the same numbers, said to be Y, Cb, Cr and K
        assert np.abs(np.array(pixels(adobe)) - light).max() <= 3
        for data in (adobe, ycck):
            second_opinion = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
            assert np.abs(np.array(pixels(data)) - second_opinion).max() <= 3


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "GIF"])
def test_the_thinnest_photos_are_read(kind):
    for size in ((1, 1), (20000, 1), (1, 20000)):
        image = read_image(saved(Image.new("RGB", size, (0, 0, 255)), kind))
        assert image.size == size
        assert np.abs(np.asarray(image).astype(int) - (0, 0, 255)).max() <= 3


def test_a_digest_knows_the_pixels_and_not_the_file():
    digests = {digest(read_image(LOSSLESS[kind])) for kind in ("PNG", "BMP", "WebP", "TIFF", "TIFF lzw")}
    assert len(digests) == 1
    white = [Image.new("RGB", size, "white") for size in ((2, 3), (3, 2), (6, 1), (7, 1))]
    assert len({digest(image) for image in white} | digests) == 5
