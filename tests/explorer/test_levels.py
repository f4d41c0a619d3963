"""Greys of more than 8 bits by their own range or a window; files of phones and of clinics."""

import io

import numpy as np
import pytest
from PIL import Image

from explorer.errors import ImageError
from explorer.images import read_image, read_with_range
from explorer.levels import own_range
from tests.explorer.photos import LOSSY, png, saved


def greys(source, **named) -> list[int]:
    return np.asarray(read_image(source, **named))[0, :, 0].tolist()


@pytest.mark.parametrize(("largest", "white"), [(200, 255), (1000, 1023), (4000, 4095), (9000, 16383), (60000, 65535)])
def test_a_grey_of_some_bits_in_sixteen_goes_from_black_to_white_by_its_own_depth(largest, white):
    data = png((3, 1), 16, 0, [[0, largest // 2, largest]])
    assert read_with_range(data)[1] == (0, white)
    assert greys(data) == [round(value * 255 / white) for value in (0, largest // 2, largest)]


def test_twelve_bits_keep_their_levels():
    ramp = Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64))
    assert np.unique(np.asarray(read_image(saved(ramp, "PNG")))).size == 256


def test_floats_and_negative_numbers_go_by_their_own_range():
    assert own_range(np.array([[0.2, 0.9]], np.float32)) == (0, 1)
    assert greys(saved(Image.fromarray(np.array([[-1000, 0, 1000]], np.int32)), "TIFF")) == [0, 128, 255]
    assert greys(Image.fromarray(np.array([[-2.0, 0, 6]], np.float32))) == [0, 64, 255]
    assert greys(Image.fromarray(np.array([[0, 100000]], np.int32))) == [0, 255]
    assert greys(Image.fromarray(np.full((1, 2), -7, np.int32))) == [0, 0]


def test_a_window_makes_all_below_black_and_all_above_white():
    ct = saved(Image.fromarray(np.array([[-1000, -160, 40, 240, 3000]], np.int32)), "TIFF")
    assert greys(ct, window=(-160, 240)) == [0, 0, 128, 255, 255]


@pytest.mark.parametrize("window", [(3, 3), (5, 1), (1,), "12", (0, float("nan"))])
def test_a_window_that_is_none_is_refused_in_a_sentence(window):
    with pytest.raises(ImageError, match="expected two numbers, black first"):
        read_image(png((2, 1), 16, 0, [[0, 9]]), window=window)


def test_a_photo_of_eight_bits_has_no_window():
    assert read_with_range(LOSSY["JPEG"])[1] is None
    with pytest.raises(ImageError, match="8 bits"):
        read_image(LOSSY["JPEG"], window=(0, 9))


def test_a_large_jpeg_is_shrunk_while_it_is_read():
    data = saved(Image.new("L", (9000, 6000), 77), "JPEG", quality=30)
    image = read_image(data)
    assert image.size == (4500, 3000)
    assert image.getpixel((4000, 2000)) == (77, 77, 77)
    with pytest.raises(ImageError, match=r"54\.0 megapixels"):
        read_image(saved(Image.new("L", (9000, 6000)), "JPEG", progressive=True))


def test_avif_is_read():
    image = Image.new("RGB", (40, 30), (200, 30, 40))
    assert np.abs(np.asarray(read_image(saved(image, "AVIF"))).astype(int) - (200, 30, 40)).max() < 8


def test_heic_is_read_where_its_package_is_there():
    heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    heif.from_pillow(Image.new("RGB", (64, 48), (200, 30, 40))).save(file)
    image = read_image(file.getvalue())
    assert image.size == (64, 48)
    assert np.abs(np.asarray(image).astype(int) - (200, 30, 40)).max() < 8


def test_a_dicom_file_gets_its_sentence():
    with pytest.raises(ImageError, match=r"This is a DICOM file; .* export it as PNG or TIFF with 16 bits"):
        read_image(bytes(128) + b"DICM" + bytes(400))
