"""The pictures themselves, pixel by pixel: right colour, right place, nothing else touched."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import explorer
from explorer.errors import ParameterError
from explorer.render import CONTOURS, Scale, contours, grey_tile, ground, jpeg, overlay, png, shrink, tiles

RED_END, BLUE_END = (178, 24, 43), (33, 102, 172)  # ColorBrewer's RdBu, where the app's signed scale ends
DARK_BLUE_END, WHITE = (8, 81, 156), (247, 247, 247)
ONE = Scale("signed", 1.0)


def grey(width, height, level=128):
    return Image.new("RGB", (width, height), (level,) * 3)


def speckled(width, height):
    return Image.fromarray(np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8))


def pixels(picture):
    assert picture.mode == "RGB"
    return np.asarray(picture).astype(int)


def redness(picture):
    """The share of red in each pixel's light, and the share of blue. (Red minus blue would prefer a paler red.)"""
    light = pixels(picture) + 1e-9
    return light[..., 0] / light.sum(-1), light[..., 2] / light.sum(-1)


def greys(photo: Image.Image) -> np.ndarray:
    """(H, W, 3): the photo's luminance in each channel, as Pillow rounds it."""
    return np.repeat(np.asarray(photo.convert("L"))[..., None], 3, -1)


def luminance(colours):
    return np.asarray(colours, float) @ (0.2126, 0.7152, 0.0722)


def distance(colours, colour):
    return np.abs(colours - np.array(colour)).max(-1)


@pytest.mark.parametrize("smooth", [False, True])
def test_the_hottest_position_is_the_reddest_place_and_the_most_negative_the_bluest(smooth):
    for opacity in (0.3, 0.85, 1.0):
        rng = np.random.default_rng(0)
        for _ in range(20):
            cells = rng.normal(size=(5, 8))
            hot, cold = (tuple(rng.integers((0, 0), (5, 4))), tuple(rng.integers((0, 4), (5, 8))))
            cells[hot], cells[cold] = 6, -6
            red, blue = redness(overlay(grey(200, 130), cells, (20, 10, 180, 110), Scale.signed(cells), smooth=smooth,
                                        opacity=opacity))
            for map_of, (i, j) in ((red, hot), (blue, cold)):
                y, x = np.argwhere(map_of == map_of.max()).mean(0) + 0.5  # the middle of the best pixels
                assert abs(x - (20 + 20 * (j + 0.5))) <= (6 if smooth else 0.01)  # smoothing leans on its neighbours
                assert abs(y - (10 + 20 * (i + 0.5))) <= (6 if smooth else 0.01)


def test_a_position_at_the_limit_has_the_ends_colour_mixed_with_the_photo_by_opacity():
    cells = np.array([[1.0, -1.0, 0.0, 2.0, np.inf, -np.inf]])
    painted = pixels(overlay(grey(6, 1, 100), cells, (0, 0, 6, 1), ONE, opacity=1.0))
    assert painted[0].tolist() == [list(end) for end in
                                   (RED_END, BLUE_END, (100,) * 3, RED_END, RED_END, BLUE_END)]
    painted = pixels(overlay(grey(6, 1, 100), cells, (0, 0, 6, 1), ONE, opacity=0.5))
    assert distance(painted[0, :2], [(139, 62, 71.5), (66.5, 101, 136)]).max() <= 1
    painted = pixels(overlay(grey(2, 1, 100), np.array([[3.0, -3.0]]), (0, 0, 2, 1), Scale("positive", 3.0), opacity=1))
    assert painted[0].tolist() == [list(DARK_BLUE_END), [100] * 3]


@pytest.mark.parametrize("scale", [ONE, Scale("positive", 1.0)], ids=["signed", "positive"])
def test_more_evidence_is_more_colour(scale):
    """In ten steps: eight bits round two hundred shades so that shares of red and blue tremble."""
    painted = overlay(grey(21, 1), np.linspace(-1, 1, 21)[None], (0, 0, 21, 1), scale)
    red, blue = (share[0] for share in redness(painted))
    if scale.kind == "signed":
        assert (np.diff(red[10:]) > 0).all()
        assert (np.diff(blue[:11]) < 0).all()
    else:
        assert (pixels(painted)[0, :11] == 128).all()
        assert (np.diff(blue[10:]) > 0).all()


@pytest.mark.parametrize("cells", [np.zeros((7, 7)), np.full((7, 7), np.nan)], ids=["zeros", "NaN"])
def test_a_map_of_nothing_leaves_the_photo_in_its_greys(cells):
    for smooth in (False, True):
        photo = speckled(50, 40)
        for scale in (Scale.signed(cells), Scale.positive(cells), ONE):
            assert scale.limit == 1
            assert np.array_equal(pixels(overlay(photo, cells, (0, 0, 50, 40), scale, smooth=smooth)), greys(photo))


def test_a_position_of_nan_leaves_its_own_part_of_the_photo_as_it_is():
    photo, cells = speckled(40, 40), np.ones((4, 4))
    cells[1, 2] = np.nan
    same = (pixels(overlay(photo, cells, (0, 0, 40, 40), Scale.signed(cells), opacity=1)) == greys(photo)).all(-1)
    expected = np.zeros((40, 40), bool)
    expected[10:20, 20:30] = True
    assert np.array_equal(same, expected)
    smoothed = pixels(overlay(grey(40, 40), cells, (0, 0, 40, 40), Scale.signed(cells), opacity=1, smooth=True))
    assert distance(smoothed[14:16, 14:16], RED_END).max() < 25  # the middle of its neighbour: as hot as ever
    assert distance(smoothed[14:16, 24:26], (128,) * 3).max() < 25


def test_opacity_0_is_the_photo_in_greys_or_in_its_own_colours():
    for smooth in (False, True):
        photo, cells = speckled(60, 40), np.random.default_rng(0).normal(size=(7, 7))
        painted = overlay(photo, cells, (0, 0, 60, 40), Scale.signed(cells), opacity=0, smooth=smooth)
        assert np.array_equal(pixels(painted), greys(photo))
        painted = overlay(photo, cells, (0, 0, 60, 40), Scale.signed(cells), opacity=0, smooth=smooth, in_colour=True)
        assert np.array_equal(pixels(painted), pixels(photo))


def test_what_was_not_seen_has_no_colour_and_what_was_seen_is_untouched_or_grey():
    photo, (left, top, right, bottom) = speckled(100, 60), (21.4, 10.6, 79.6, 50.2)
    inside = np.zeros((60, 100), bool)
    inside[11:50, 21:80] = True
    seen = (left, top, right, bottom)
    for painted, expected in ((ground(photo, seen, in_colour=True), pixels(photo)), (ground(photo, seen), greys(photo)),
                              (overlay(photo, np.zeros((7, 7)), seen, ONE), greys(photo))):
        result = pixels(painted)
        chroma = result.max(-1) - result.min(-1)
        assert (chroma[~inside] == 0).all()
        assert np.array_equal(result[inside], expected[inside])
        outside = result[~inside][:, 0]
        assert 90 < outside.min() < outside.max() < 235  # paled: neither black nor white is left
        between = ~inside & (np.add.outer(np.arange(60), np.arange(100)) % 6 > 0)  # the lines of the hatch
        lightness = luminance(pixels(photo)[between])
        assert np.corrcoef(result[between][:, 0], lightness)[0, 1] > 0.9  # but what it shows can still be recognised
    assert np.array_equal(pixels(overlay(photo, np.ones((2, 2)), (left, top, right, bottom), ONE))[~inside],
                          pixels(ground(photo, (left, top, right, bottom)))[~inside])


def test_what_was_not_seen_is_hatched_by_lines_of_one_direction():
    result = pixels(ground(grey(180, 90, 100), (0, 0, 60, 90)))[..., 0].astype(int)
    assert (result[:, :60] == 100).all()
    outside = result[:, 60:]
    assert len(np.unique(outside)) == 2
    assert 0.1 < (outside == outside.max()).mean() < 0.4
    assert np.array_equal(outside[1:, :-1], outside[:-1, 1:])  # along the lines nothing changes
    assert not np.array_equal(outside[1:, 1:], outside[:-1, :-1])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(10, 90), st.integers(10, 70), st.integers(0, 9))
def test_squares_have_hard_edges_at_the_rectangles_borders(rows, columns, width, height, offset):
    board = np.where(np.add.outer(np.arange(rows), np.arange(columns)) % 2, 1.0, -1.0)
    photo, seen = grey(width + 20, height + 20), (offset, 2 * offset, offset + width, 2 * offset + height)
    painted = pixels(overlay(photo, board, seen, ONE, opacity=1.0))
    for y in range(height):
        for x in range(width):  # the position whose rectangle holds the pixel's centre
            i, j = (2 * y + 1) * rows // (2 * height), (2 * x + 1) * columns // (2 * width)
            assert tuple(painted[2 * offset + y, offset + x]) == (RED_END if board[i, j] > 0 else BLUE_END)
    assert (painted[:, : offset] == painted[:, : offset, :1]).all()


@pytest.mark.parametrize("size", [(90, 60), (2400, 30)])
def test_smooth_is_linear_between_the_middles_of_positions(size):
    cells = np.random.default_rng(1).uniform(0.2, 1, (3, 5))
    width, height = size
    painted = pixels(overlay(grey(*size), cells, (0, 0, *size), ONE, opacity=1.0, smooth=True))
    y = np.clip((np.arange(height) + 0.5) * 3 / height - 0.5, 0, 2)
    x = np.clip((np.arange(width) + 0.5) * 5 / width - 0.5, 0, 4)
    along = np.array([np.interp(x, np.arange(5), row) for row in cells])
    values = np.array([np.interp(y, np.arange(3), column) for column in along.T]).T
    shown = pixels(overlay(grey(*size), values, (0, 0, *size), ONE, opacity=1.0))  # a position a pixel
    assert np.abs(painted - shown).max() <= 4
    assert np.abs(painted - shown).mean() < 0.6
    jumps = pixels(overlay(grey(*size), cells, (0, 0, *size), ONE, opacity=1.0))
    assert np.abs(np.diff(painted, axis=1)).max() < 25 < np.abs(np.diff(jumps, axis=1)).max()


def test_the_signed_colours_grow_darker_evenly_to_both_sides_of_a_white_middle():
    values = np.linspace(-3, 3, 201)
    colours = Scale("signed", 3.0).colours(values)
    assert tuple(colours[100]) == WHITE
    assert (tuple(colours[0]), tuple(colours[-1])) == (BLUE_END, RED_END)
    light = luminance(colours)
    assert (np.diff(light[:101]) > 0).all()
    assert (np.diff(light[100:]) < 0).all()
    assert np.abs(light - light[::-1]).max() < 45  # RdBu's two arms are about equally dark
    red_less_blue = colours[:, 0].astype(int) - colours[:, 2]
    assert (red_less_blue[101:] > 0).all()
    assert (red_less_blue[:100] < 0).all()
    strength = Scale("signed", 3.0).strength(values)
    np.testing.assert_allclose(strength, np.abs(values) / 3)
    assert Scale("signed", 3.0).strength(np.array([np.nan, np.inf, -np.inf, 9, -9])).tolist() == [0, 1, 1, 1, 1]


def test_the_positive_colours_grow_darker_evenly_from_0():
    scale = Scale("positive", 4.0)
    colours = scale.colours(np.linspace(0, 4, 65))
    assert (np.diff(luminance(colours)) < 0).all()
    assert luminance(colours[0]) > 240
    assert tuple(colours[-1]) == DARK_BLUE_END
    for value in (-1, np.nan, -np.inf):
        assert np.array_equal(scale.colours(np.array(value)), colours[0])
        assert scale.strength(np.array(value)) == 0
    assert scale.strength(np.array([1.0, 4.0, 8.0])).tolist() == [0.25, 1, 1]


@pytest.mark.parametrize("kind", ["signed", "positive"])
def test_the_legend_shows_the_colours_of_the_map(kind):
    scale = Scale(kind, 2.5)
    css = scale.css_gradient()
    assert css.startswith("linear-gradient(90deg, #")  # low on the left
    stops = np.array([[int(part, 16) for part in re.findall("..", stop)] for stop in re.findall("#([0-9a-f]{6})", css)])
    assert css.count(",") == len(stops)  # each a plain colour: the browser places them evenly
    for share in np.linspace(0, 1, 101):
        at = [np.interp(share, np.linspace(0, 1, len(stops)), channel) for channel in stops.T]
        value = scale.low + share * (scale.limit - scale.low)
        assert distance(scale.colours(np.array(value)).astype(int), at) <= 2


def test_one_scale_serves_several_maps_and_survives_anything():
    assert Scale.signed(np.array([1.0, -5]), np.array([[3.0]])) == Scale("signed", 5.0)
    assert Scale.positive(np.array([1.0, -5]), np.array([[3.0]])) == Scale("positive", 3.0)
    assert Scale.signed(np.array([np.nan, -2, np.inf])).limit == 2
    assert Scale.positive(np.array([-1.0, -2])).limit == 1
    for nothing in ([], [np.array([])], [np.zeros(3)], [np.array([np.nan, np.inf])]):
        assert Scale.signed(*nothing).limit == Scale.positive(*nothing).limit == 1
    assert (Scale.signed(np.ones(2)).low, Scale.positive(np.ones(2)).low) == (-1, 0)
    tiny = Scale.signed(np.array([1e-30]))
    assert tuple(tiny.colours(np.array(1e-30))) == RED_END


def test_a_mark_outlines_the_pixels_of_its_rectangle_and_nothing_else():
    photo, seen, cells = grey(1000, 700), (100, 50, 900, 650), np.random.default_rng(2).normal(size=(6, 8))
    plain = pixels(overlay(photo, cells, seen, Scale.signed(cells)))
    for i, j in [(0, 0), (5, 7), (2, 3)]:
        marked = pixels(overlay(photo, cells, seen, Scale.signed(cells), mark=(i, j)))
        y, x = np.nonzero((marked != plain).any(-1))
        left, top = 100 + 100 * j, 50 + 100 * i
        assert (x.min(), x.max(), y.min(), y.max()) == (left, left + 99, top, top + 99)
        assert luminance(marked[y, x]).max() < 40
        assert np.array_equal(marked[top + 5:top + 95, left + 5:left + 95], plain[top + 5:top + 95, left + 5:left + 95])
        ring = marked[top:top + 100, left:left + 100]
        assert (luminance(np.concatenate([ring[0], ring[-1], ring[:, 0], ring[:, -1]])) < 40).all()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(9, 60), st.integers(9, 60), st.integers(0, 1500), st.data())
def test_a_mark_never_leaves_its_rectangle(rows, columns, width, height, beside, data):
    i, j = data.draw(st.tuples(st.integers(0, rows - 1), st.integers(0, columns - 1)))
    photo, seen = grey(width + 2 * beside, height), (beside, 0, beside + width, height)
    dark = (pixels(overlay(photo, np.zeros((rows, columns)), seen, ONE, mark=(i, j))) < 40).all(-1)
    expected = np.zeros((rows, columns))
    expected[i, j] = 1
    hot = (pixels(overlay(photo, expected, seen, ONE, opacity=1.0)) == RED_END).all(-1)
    assert dark.any()
    assert not (dark & ~hot).any()


def test_contours_enclose_the_fewest_positions_that_hold_each_share_of_what_is_positive():
    # 9 in all: a quarter, 2.25, is in the 4 alone; a half, 4.5, and three quarters, 6.75, are in the 4 and the 3.
    one = {(0, 0, 0, 1), (1, 0, 1, 1), (0, 0, 1, 0), (0, 1, 1, 1)}
    two = {(0, 0, 0, 1), (0, 1, 0, 2), (1, 0, 1, 1), (1, 1, 1, 2), (0, 0, 1, 0), (0, 2, 1, 2)}
    for cells in ([[4.0, 3], [2, -5]], [[4.0, 3], [2, np.nan]]):
        lines = contours(np.array(cells))
        assert [(width, set(map(tuple, edges.tolist()))) for width, edges in lines] == [(1, two), (2, two), (3, one)]
    for nothing in (-np.ones((2, 3)), np.full((2, 3), np.nan)):
        assert [len(edges) for _, edges in contours(nothing)] == [0, 0, 0]
    assert [len(edges) for _, edges in contours(np.ones((1, 1)))] == [4, 4, 4]


def test_contours_are_those_of_the_viewer():
    script = (Path(explorer.__file__).parent / "live" / "viewer" / "paint.js").read_text(encoding="utf-8")
    pairs = re.findall(r"share: ([\d.]+), width: (\d)", script)
    assert tuple((float(share), int(width)) for share, width in pairs) == CONTOURS


@pytest.mark.parametrize(("size", "seen"), [((700, 500), (50, 0, 650, 500)), ((2600, 2000), (300, 400, 2300, 1900))])
def test_contours_are_drawn_where_two_positions_part_and_nowhere_else(size, seen):
    cells = np.random.default_rng(5).normal(size=(5, 6))
    bare, lined = (pixels(overlay(grey(*size), cells, seen, Scale.signed(cells), lined=on)) for on in (False, True))
    falling = np.sort(cells[cells > 0])[::-1]
    reach = np.cumsum(falling) / falling.sum()
    inside = np.pad(np.stack([cells >= falling[(reach < share).sum()] for share in (0.25, 0.5, 0.75)]),
                    ((0, 0), (1, 1), (1, 1)))
    across, high = (seen[2] - seen[0]) / 6, (seen[3] - seen[1]) / 5
    unit = max(1, round(max(size) / 640))

    def thickness(row: float, column: float, step: tuple[int, int]) -> int:
        """Pixels of ink across the border at that place, counted in positions."""
        x, y = round(seen[0] + column * across), round(seen[1] + row * high)
        places = [(y + n * step[1], x + n * step[0]) for n in range(-20, 20)]
        return sum((lined[place] == 20).all() for place in places if 0 <= place[0] < size[1])

    for i, j in np.ndindex(6, 6):
        for apart, at, step in ((inside[:, i, j + 1] != inside[:, i + 1, j + 1], (i, j + 0.5), (0, 1)),
                                (inside[:, i + 1, j] != inside[:, i + 1, j + 1], (i + 0.5, j), (1, 0))):
            if at[0] < 5 and at[1] < 6:
                widest = max((width for width, one in zip((3, 2, 1), apart, strict=True) if one), default=0)
                if at[0] > 0:  # at the photo's upper edge half of a line is cut off
                    assert thickness(*at, step) == widest * unit, (at, apart)
    middles = np.array([[lined[round(seen[1] + (i + 0.5) * high), round(seen[0] + (j + 0.5) * across)]
                         for j in range(6)] for i in range(5)])
    assert np.array_equal(middles, np.array([[bare[round(seen[1] + (i + 0.5) * high),
                                                   round(seen[0] + (j + 0.5) * across)] for j in range(6)]
                                             for i in range(5)]))
    changed = lined[(lined != bare).any(-1)]
    assert {tuple(colour) for colour in changed} == {(20, 20, 20), (255, 255, 255)}


def test_what_makes_no_sense_is_refused():
    photo, cells, seen = grey(70, 70), np.zeros((7, 7)), (0, 0, 70, 70)
    for opacity in (-0.1, 1.1, float("nan")):
        with pytest.raises(ParameterError, match="expected a number from 0 to 1"):
            overlay(photo, cells, seen, ONE, opacity=opacity)
    for shape in ((7,), (1, 7, 7), ()):
        with pytest.raises(ParameterError, match=re.escape(f"shape {shape}; expected (H, W)")):
            overlay(photo, np.zeros(shape), seen, ONE)
    for mark in ((7, 0), (0, 7), (-1, 0), (0, -1)):
        with pytest.raises(ParameterError, match=re.escape(f"{mark}; expected one inside (7, 7)")):
            overlay(photo, cells, seen, ONE, mark=mark)


@pytest.mark.parametrize("smooth", [False, True])
def test_the_smallest_and_thinnest_photos_are_painted(smooth):
    hot = np.ones((7, 7))
    for size in ((1, 1), (3, 2), (20000, 1), (1, 20000)):
        painted = pixels(overlay(grey(*size), hot, (0, 0, *size), ONE, opacity=1.0, smooth=smooth, mark=(3, 3)))
        assert painted.shape == (size[1], size[0], 3)
        expected = {(20, 20, 20)} if size == (1, 1) else {RED_END, (20, 20, 20)}
        assert set(map(tuple, painted.reshape(-1, 3))) == expected
    # A photo of 3 x 2 px under 7 x 7 positions: pixel centres lie in columns 1, 3, 5 and rows 1, 5.
    cells = np.zeros((7, 7))
    cells[1, 5] = 1
    painted = pixels(overlay(grey(3, 2), cells, (0, 0, 3, 2), ONE, opacity=1.0))
    assert ((painted == RED_END).all(-1) == [[0, 0, 1], [0, 0, 0]]).all()
    # Under crop a strip of 20,000 x 1 px is seen at 9999.56 to 10000.44 only.
    painted = pixels(overlay(grey(20000, 1), hot, (9999.5625, 0.0625, 10000.4375, 0.9375), ONE, opacity=1.0))
    assert np.flatnonzero((painted[0] == RED_END).all(-1)).tolist() in ([9999], [10000], [9999, 10000])


@pytest.mark.parametrize("size", [(1920, 1080), (1080, 1920), (333, 1000), (20000, 30)])
def test_a_shrunken_photo_keeps_its_aspect_and_its_box_in_place(size):
    for long_side in (100, 641, 1280):
        photo, box = grey(*size), (size[0] // 4, size[1] // 3, size[0] // 2, size[1] * 5 // 6)
        photo.paste((255, 0, 0), box)
        small, moved = shrink(photo, box, long_side)
        assert max(small.size) == min(long_side, max(size))
        assert abs(min(small.size) - min(size) * max(small.size) / max(size)) <= 1
        left, top, right, bottom = moved
        red = redness(small)[0] > 0.6
        if min(small.size) > 1:
            y, x = np.nonzero(red)
            edges = np.array([x.min() - left, y.min() - top, x.max() + 1 - right, y.max() + 1 - bottom])
            assert np.abs(edges).max() <= 1
        assert left / small.width == pytest.approx(box[0] / size[0])
        assert bottom / small.height == pytest.approx(box[3] / size[1])


def test_a_photo_that_is_small_enough_is_not_shrunk():
    photo = speckled(60, 40)
    assert shrink(photo, (1, 2, 30, 40), 60) == (photo, (1, 2, 30, 40))
    assert shrink(photo, (1, 2, 30, 40), 6000) == (photo, (1, 2, 30, 40))


def test_a_tile_shows_only_what_was_seen_in_grey_with_the_map_in_place():
    photo = speckled(200, 100)
    cells = np.zeros((4, 4))
    cells[3, 0] = 5
    (small,) = tiles(grey_tile(photo, (50, 0, 150, 100), 48), [cells], Scale.positive(cells))
    assert small.size == (48, 48)
    chroma = pixels(small).max(-1) - pixels(small).min(-1)
    assert (chroma[36:, :12] > 60).all()
    chroma[36:, :12] = 0
    assert (chroma == 0).all()


def test_pictures_survive_as_png_exactly_and_as_jpeg_nearly():
    picture = overlay(speckled(64, 48).resize((640, 480)), np.eye(7), (80, 0, 560, 480), ONE)
    as_png, as_jpeg = Image.open(io.BytesIO(png(picture))), Image.open(io.BytesIO(jpeg(picture)))
    assert (as_png.format, as_jpeg.format) == ("PNG", "JPEG")
    assert np.array_equal(pixels(as_png), pixels(picture))
    assert np.abs(pixels(as_jpeg) - pixels(picture)).mean() < 4
    assert len(jpeg(picture, 40)) < len(jpeg(picture)) < len(png(picture))
