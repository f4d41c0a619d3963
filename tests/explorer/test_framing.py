"""frame: the very input that the network was trained on, and the right place on the photo for every position."""

import resource
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

from explorer.errors import FramingError, ParameterError
from explorer.framing import FRAMINGS, Framing, Preprocessing, frame

LITE0 = Preprocessing(size=224, crop_ratio=0.875, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
RESNET = Preprocessing(size=224, crop_ratio=224 / 232, interpolation="bilinear")


def speckled(width, height):
    """Noise of every frequency, so that a shift of a tenth of a pixel shows."""
    rng = np.random.default_rng([width, height])
    fine = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    coarse = Image.fromarray(rng.integers(0, 256, (height // 9 + 1, width // 9 + 1, 3), dtype=np.uint8))
    return Image.blend(Image.fromarray(fine), coarse.resize((width, height), Image.Resampling.BICUBIC), 0.7)


def pixels_of(x, preprocessing=LITE0):
    """An input back to pixel values 0..255, (h, w, 3)."""
    mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
    return ((x[0].permute(1, 2, 0) * std + mean) * 255).numpy()


def as_torchvision(image, preprocessing, side):
    mode = {"bicubic": InterpolationMode.BICUBIC, "bilinear": InterpolationMode.BILINEAR}[preprocessing.interpolation]
    steps = [Resize(int(side / preprocessing.crop_ratio), mode, antialias=True), CenterCrop(side)]
    return np.asarray(Compose(steps)(image)).astype(float)


def peak_of_memory():
    """Megabytes that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


SIZES = [(640, 480), (480, 640), (500, 500), (1921, 1083), (333, 1000), (257, 255), (256, 256), (224, 224),
         (31, 17), (2, 3), (1, 1), (9, 400)]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_crop_is_what_torchvision_makes_for_training(size):
    for side in (None, 96, 225, 384):
        image = speckled(*size)
        x, framing = frame(image, LITE0, "crop", side)
        expected = as_torchvision(image, LITE0, side or 224)
        assert x.shape == (1, 3, *expected.shape[:2])
        assert (framing.kind, framing.photo_size, framing.input_size) == ("crop", size, expected.shape[1::-1])
        np.testing.assert_allclose(pixels_of(x), expected, atol=0.01)


@pytest.mark.parametrize("size", [(640, 480), (333, 1000), (31, 17)])
def test_crop_follows_another_networks_ratio_interpolation_and_normalisation(size):
    image = speckled(*size)
    x, _ = frame(image, RESNET)
    np.testing.assert_allclose(pixels_of(x, RESNET), as_torchvision(image, RESNET, 224), atol=0.01)
    assert not np.allclose(pixels_of(x, RESNET), as_torchvision(image, LITE0, 224), atol=3)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 700), st.integers(1, 700), st.integers(96, 300))
def test_crop_agrees_with_torchvision_for_any_size(width, height, side):
    image = speckled(width, height)
    if max(width, height) / min(width, height) < 50:  # torchvision resizes all of it
        x, _ = frame(image, LITE0, "crop", side)
        np.testing.assert_allclose(pixels_of(x), as_torchvision(image, LITE0, side), atol=0.01)


@pytest.mark.parametrize("size", [(4000, 10), (10, 4000), (5, 400)])
def test_crop_of_a_very_long_photo_is_nearly_what_torchvision_makes_of_it(size):
    image = speckled(*size)
    difference = np.abs(pixels_of(frame(image, LITE0, "crop", 224)[0]) - as_torchvision(image, LITE0, 224))
    assert difference.mean() < 0.5
    assert np.quantile(difference, 0.999) < 2


def test_a_pixel_is_centred_on_127_and_divided_by_128_channel_by_channel():
    x, _ = frame(Image.new("RGB", (300, 300), (0, 127, 255)), LITE0)
    assert x.dtype == torch.float32
    assert x.is_contiguous()
    for channel, value in enumerate([-127 / 128, 0.0, 1.0]):
        torch.testing.assert_close(x[0, channel], torch.full((224, 224), value), atol=1e-6, rtol=0)
    other = Preprocessing(mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0))
    x, _ = frame(Image.new("RGB", (9, 9), (255, 255, 51)), other)
    torch.testing.assert_close(x[0, :, 0, 0], torch.tensor([1.0, 3.0, 0.2]), atol=1e-6, rtol=0)


def test_the_photo_itself_is_not_changed():
    image = speckled(300, 200)
    before = image.tobytes()
    for kind in FRAMINGS:
        x, _ = frame(image, LITE0, kind)
        x.zero_()
    assert image.tobytes() == before


@pytest.mark.parametrize("size", [*SIZES[:-1], (1920, 1080), (1080, 1920), (2000, 401)])
def test_whole_shows_everything_at_its_own_aspect_to_half_a_stride(size):
    for side in (None, 96, 225, 640):
        image = speckled(*size)
        x, framing = frame(image, LITE0, "whole", side)
        width, height = framing.input_size
        side = side or 224
        assert x.shape == (1, 3, height, width)
        assert min(width, height) == side
        assert max(width, height) % 32 == 0 or width == height == side
        # A photo that is hardly longer than high cannot be rounded below the short side, and so may be off by more.
        assert abs(width - side * size[0] / min(size)) <= 16 or width == height
        assert abs(height - side * size[1] / min(size)) <= 16 or width == height
        assert max(width, height) - side * max(size) / min(size) <= 16
        assert framing.seen == (0, 0, *size)
        expected = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC)).astype(float)
        np.testing.assert_allclose(pixels_of(x), expected, atol=0.01)


@pytest.mark.parametrize("size", [*SIZES, (1920, 1080)])
def test_squash_shows_everything_as_a_square(size):
    for side in (None, 96, 225):
        image = speckled(*size)
        x, framing = frame(image, LITE0, "squash", side)
        side = side or 224
        assert framing.input_size == (side, side)
        assert framing.seen == (0, 0, *size)
        expected = np.asarray(image.resize((side, side), Image.Resampling.BICUBIC)).astype(float)
        np.testing.assert_allclose(pixels_of(x), expected, atol=0.01)


def test_rectangles_of_a_1920_x_1080_photo_are_these():
    image = Image.new("RGB", (1920, 1080))
    # crop: 1080 -> 256 and 1920 -> int(256 * 1920 / 1080) = 455; the square of 224 begins at x = round(231 / 2) = 116
    # (half to even, as Python rounds) and y = 16; a resized pixel is 1920 / 455 wide and 1080 / 256 high.
    boxes = frame(image, LITE0, "crop")[1].on_grid(7, 7).rectangles
    assert boxes.shape == (7, 7, 4)
    np.testing.assert_allclose(boxes[0, 0], [489.4945, 67.5, 624.5275, 202.5], atol=1e-3)
    np.testing.assert_allclose(boxes[2, 1], [624.5275, 337.5, 759.5604, 472.5], atol=1e-3)
    np.testing.assert_allclose(boxes[6, 6], [1299.6923, 877.5, 1434.7253, 1012.5], atol=1e-3)
    # squash: a seventh of the width and of the height each.
    boxes = frame(image, LITE0, "squash")[1].on_grid(7, 7).rectangles
    np.testing.assert_allclose(boxes[0, 0], [0, 0, 274.2857, 154.2857], atol=1e-3)
    np.testing.assert_allclose(boxes[2, 5], [1371.4286, 308.5714, 1645.7143, 462.8571], atol=1e-3)
    # whole: 224 * 1920 / 1080 = 398.2, and the nearest multiple of 32 is 384, so 12 columns of 160 px.
    framing = frame(image, LITE0, "whole")[1]
    assert framing.input_size == (384, 224)
    boxes = framing.on_grid(7, 12).rectangles
    assert boxes.shape == (7, 12, 4)
    np.testing.assert_allclose(boxes[0, 0, :2], [0, 0], atol=1e-3)
    np.testing.assert_allclose(boxes[6, 11, 2:], [1920, 1080], atol=1e-3)
    np.testing.assert_allclose(boxes[3, 6], [960, 462.8571, 1120, 617.1429], atol=1e-3)


def test_a_portrait_photo_is_cut_above_and_below():
    framing = frame(Image.new("RGB", (1080, 1920)), LITE0, "crop")[1]
    np.testing.assert_allclose(framing.seen, [67.5, 489.4945, 1012.5, 1434.7253], atol=1e-3)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(1, 3000), st.integers(1, 3000), st.sampled_from(sorted(FRAMINGS)), st.integers(1, 20),
       st.integers(1, 20))
def test_rectangles_tile_exactly_what_was_seen(width, height, kind, rows, columns):
    try:
        framing = frame(Image.new("RGB", (width, height)), LITE0, kind, 96)[1]
    except FramingError:
        return
    left, top, right, bottom = framing.seen
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    boxes = framing.on_grid(rows, columns).rectangles
    assert boxes.shape == (rows, columns, 4)
    assert (boxes[..., 0] < boxes[..., 2]).all()
    assert (boxes[..., 1] < boxes[..., 3]).all()
    for edges, low, high in [(boxes[..., 0].T, left, right), (boxes[..., 1], top, bottom)]:
        assert np.allclose(edges, edges[:, :1])
        assert (edges[0] == low).all()
        assert (edges < high).all()
    np.testing.assert_array_equal(boxes[:, 1:, 0], boxes[:, :-1, 2])
    np.testing.assert_array_equal(boxes[1:, :, 1], boxes[:-1, :, 3])
    assert (boxes[:, -1, 2] == right).all()
    assert (boxes[-1, :, 3] == bottom).all()


def test_rectangles_need_the_grid():
    framing = frame(Image.new("RGB", (9, 9)), LITE0)[1]
    with pytest.raises(FramingError, match="on_grid"):
        _ = framing.rectangles
    assert isinstance(framing.on_grid(2, 3), Framing)
    assert framing.grid == (0, 0)


def test_an_unknown_framing_is_refused_with_the_known_ones():
    for kind in ("zoom", "Crop", "", None, 3):
        with pytest.raises(ParameterError, match="expected one of crop, whole, squash"):
            frame(Image.new("RGB", (9, 9)), LITE0, kind)


@pytest.mark.parametrize("kind", FRAMINGS)
def test_a_short_side_outside_96_to_640_is_refused(kind):
    for side in (95, 641, 0, -224, 96.5, 224.0, True, "224", float("nan"), 10**9, [224]):
        with pytest.raises(ParameterError, match="from 96 to 640"):
            frame(Image.new("RGB", (9, 9)), LITE0, kind, side)


@pytest.mark.parametrize("size", [(20000, 1), (1, 20000), (1, 1), (20001, 3), (10**6, 1)], ids=str)
def test_the_thinnest_photos_are_framed_or_refused_and_cost_little(size):
    for kind in FRAMINGS:
        image = Image.new("RGB", size, (200, 100, 50))
        before = peak_of_memory()
        if kind == "whole" and max(size) > 1:
            with pytest.raises(FramingError, match=rf"{size[0]} x {size[1]} px .* choose crop or squash\.$"):
                frame(image, LITE0, kind)
        else:
            x, framing = frame(image, LITE0, kind)
            assert x.shape == (1, 3, 224, 224)
            assert np.abs(pixels_of(x) - (200, 100, 50)).max() <= 0.01
            left, top, right, bottom = framing.seen
            assert 0 <= left < right <= size[0]
            assert 0 <= top < bottom <= size[1]
        assert peak_of_memory() - before < 100  # resized as a whole, 20,000 x 1 px would take 5000


@pytest.mark.parametrize("size", [(50_000_000, 1), (1, 50_000_000)], ids=str)
def test_the_middle_of_the_longest_photo_is_found(size):
    image = Image.new("RGB", size, (200, 100, 50))
    image.putpixel((size[0] // 2, size[1] // 2), (0, 255, 0))
    x, framing = frame(image, LITE0, "crop")
    place = 0 if size[0] > 1 else 1
    assert framing.seen[place] == pytest.approx(25_000_000 - 0.4375, abs=1e-6)
    assert framing.seen[place + 2] == pytest.approx(25_000_000 + 0.4375, abs=1e-6)
    across = pixels_of(x)[112] if size[0] > 1 else pixels_of(x)[:, 112]
    assert across[:20, 1].max() < 130
    assert across[-20:, 1].min() > 230


def test_a_panorama_under_whole_is_refused_only_beyond_two_and_a_half_megapixels():
    assert frame(Image.new("RGB", (4000, 1000)), LITE0, "whole", 640)[1].input_size == (2560, 640)
    with pytest.raises(FramingError, match=r"2\.5 megapixels"):
        frame(Image.new("RGB", (6200, 1000)), LITE0, "whole", 640)
    assert frame(Image.new("RGB", (6200, 1000)), LITE0, "whole", 224)[1].input_size == (1376, 224)


def test_the_middle_of_a_long_strip_is_what_crop_sees():
    strip = Image.new("RGB", (20000, 1), (0, 0, 255))
    strip.paste((255, 0, 0), (10000, 0, 20000, 1))
    x, framing = frame(strip, LITE0, "crop")
    # Resized to 5,120,000 x 256; 224 px of that are 0.875 px of the photo: its two middle pixels, half of each.
    np.testing.assert_allclose(framing.seen, [9999.5625, 0.0625, 10000.4375, 0.9375], atol=1e-3)
    red = pixels_of(x)[:, :, 0]
    assert red[:, :20].max() < 60
    assert red[:, -20:].min() > 195
    assert (np.diff(red[100]) >= -1e-3).all()


# What other networks want.


FILTERS = {"nearest": Image.Resampling.NEAREST, "box": Image.Resampling.BOX, "bilinear": Image.Resampling.BILINEAR,
           "hamming": Image.Resampling.HAMMING, "bicubic": Image.Resampling.BICUBIC,
           "lanczos": Image.Resampling.LANCZOS}


@pytest.mark.parametrize("name", FILTERS)
def test_each_interpolation_is_pillows_filter_of_that_name(name):
    for kind in FRAMINGS:
        image, goal = speckled(200, 200), Preprocessing(size=64, crop_ratio=1.0, interpolation=name)
        expected = np.asarray(image.resize((64, 64), FILTERS[name])).astype(float)
        np.testing.assert_allclose(pixels_of(frame(image, goal, kind)[0], goal), expected, atol=0.01)
        others = [np.asarray(image.resize((64, 64), other)) for key, other in FILTERS.items() if key != name]
        assert all(np.abs(expected - other).max() > 2 for other in others)


@pytest.mark.parametrize("kind", FRAMINGS)
def test_a_network_of_grey_images_is_given_the_photo_in_grey(kind):
    grey = Preprocessing(size=28, mean=(0.1307,), std=(0.3081,), interpolation="bilinear", stride=4, crop_ratio=1.0)
    x, framing = frame(speckled(90, 60), grey, kind)
    width, height = framing.input_size
    assert x.shape == (1, 1, height, width)
    assert x.is_contiguous()
    # ITU-R 601's weights of red, green and blue, which Pillow documents for "L".
    flat = Image.new("RGB", (60, 60), (200, 100, 50))
    level = (200 * 299 + 100 * 587 + 50 * 114) / 1000
    result = frame(flat, grey, kind)[0]
    assert result.unique().tolist() == pytest.approx([(level / 255 - 0.1307) / 0.3081], abs=0.5 / 255 / 0.3081)


@pytest.mark.parametrize("own", [28, 96, 225, 300, 640, 1024])
def test_a_networks_own_size_is_always_allowed(own):
    for kind in ("crop", "squash"):
        image, goal = speckled(120, 90), Preprocessing(size=own)
        for side in (None, own):
            assert frame(image, goal, kind, side)[1].input_size == (own, own)
        for side in (min(own, 96), 640, 200):
            assert frame(image, goal, kind, side)[1].input_size == (side, side)


@pytest.mark.parametrize(("own", "side", "words"), [
    (32, 31, "from 32 to 640"), (64, 63, "from 64 to 640"), (64, 641, "from 64 to 640"), (299, 95, "from 96 to 640"),
    (1024, 1023, "from 96 to 640, or 1024"), (700, 95, "from 96 to 640, or 700"), (1, True, "from 1 to 640"),
])
def test_a_side_that_is_neither_in_the_range_nor_the_networks_own_is_refused(own, side, words):
    with pytest.raises(ParameterError, match=rf"{words}\.$"):
        frame(Image.new("RGB", (9, 9)), Preprocessing(size=own), "crop", side)


@pytest.mark.parametrize(("stride", "expected"), [(8, (424, 300)), (14, (420, 300)), (16, (432, 300)), (32, (416, 300)),
                                                  (1, (425, 300))])
def test_whole_rounds_the_long_side_to_the_networks_own_stride(stride, expected):
    goal = Preprocessing(size=300, stride=stride)  # 850 x 600 at 300: 425 px
    assert frame(Image.new("RGB", (850, 600)), goal, "whole")[1].input_size == expected


def test_a_network_of_one_size_takes_no_other():
    image, fixed = speckled(300, 200), Preprocessing(size=224, fixed=True)
    free = Preprocessing(size=224)
    for kind in ("crop", "squash"):
        for side in (None, 224):
            torch.testing.assert_close(frame(image, fixed, kind, side)[0], frame(image, free, kind)[0])
        for side in (96, 223, 288, True, "224"):
            with pytest.raises(FramingError, match=r"inputs of 224 x 224 px alone; got a short side of .* px\.$"):
                frame(image, fixed, kind, side)
    for side in (None, 224, 288):
        with pytest.raises(FramingError, match=r"^This network takes inputs of 224 x 224 px alone.*choose crop or "
                                               r"squash\.$"):
            frame(Image.new("RGB", (50, 50)), fixed, "whole", side)
    with pytest.raises(ParameterError, match="There is no framing"):
        frame(image, fixed, "zoom")


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(("field", "values"), [
    ("size", (0, -1, 2049, 10**9, 224.0, True, "224", None, NAN)),
    ("stride", (0, -32, 2049, 32.0, False, None)),
    ("crop_ratio", (0, -0.5, 1.0001, 1e-300, NAN, INF, True, "0.9", None, 10**400)),
    ("mean", ((), (0.5,) * 2, (0.5,) * 4, (0.5, NAN, 0.5), (INF, 0.5, 0.5), 0.5, None, "abc", (0.5, "x", 0.5),
              (True, 0.5, 0.5), (10**400, 0, 0), (0.5,))),
    ("std", ((0.0, 0.2, 0.2), (0.2, -0.1, 0.2), (NAN,) * 3, (1e-50,) * 3, (), {}, (0.2,))),
    ("interpolation", ("cubic", "BICUBIC", "", None, 3, [], Image.Resampling.BICUBIC)),
    ("fixed", (1, None, "yes")),
])
def test_a_preprocessing_that_cannot_be_is_refused_in_one_sentence(field, values):
    for value in values:
        with pytest.raises(ParameterError) as error:
            Preprocessing(**{field: value})
        words = str(error.value)
        assert words.startswith("The preprocessing")
        assert "expected" in words
        assert words.endswith(".")
        assert "\n" not in words
        assert len(words) < 250


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 128), st.floats(0.01, 1), st.integers(1, 64),
       st.sampled_from(sorted(FRAMINGS)), st.sampled_from(sorted(FILTERS)), st.booleans())
def test_what_is_accepted_gives_finite_inputs_of_what_was_seen(width, height, size, ratio, stride, kind, name, grey):
    numbers = {"mean": (0.4,), "std": (1e-6,)} if grey else {}
    goal = Preprocessing(size=size, crop_ratio=ratio, stride=stride, interpolation=name, **numbers)
    try:
        x, framing = frame(speckled(width, height), goal, kind)
    except FramingError:
        assert kind == "whole"
        return
    assert x.shape[1] == len(goal.mean)
    assert torch.isfinite(x).all()
    assert min(framing.input_size) == size
    left, top, right, bottom = framing.seen
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


def test_lists_will_do_and_two_alike_are_equal():
    assert Preprocessing(mean=[0, 0, 0], std=[1, 1, 1]) == Preprocessing(mean=(0.0,) * 3, std=(1.0,) * 3)
