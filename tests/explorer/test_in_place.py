"""Evidence lies on the photo where it belongs, from the file's bytes to the overlay's pixels.

Two networks ask. One knows nothing but brightness: it must be right everywhere. The bundled one has learned, and its
last block (a 3 x 3 convolution without a shortcut) spreads what one position holds over its eight neighbours almost
evenly (at 0.6 to 1.0 of the largest), so that which of the nine is the largest is chance. Its peak is therefore the
middle of that plateau: of all pixels that are at least 0.3 as red as the reddest, which takes in positions from about
half of the largest evidence.
"""

import math

import numpy as np
import pytest
import torch
from photos import saved, turned
from PIL import Image, ImageDraw
from torch import nn

from explorer import analyse, read_image
from explorer.framing import FRAMINGS, Preprocessing
from explorer.networks import Network
from explorer.poolings import POOLINGS

LANDSCAPE, PORTRAIT, SQUARE = (1920, 1080), (1080, 1920), (1080, 1080)
STORED = {  # what a camera stores so that it is upright after turning: the inverse of what EXIF's number says
    1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


class Brightness(nn.Module):
    """One channel: how far each position is lighter than a dark grey, over a grid of 32 px or a little less."""

    def forward(self, x):
        grid = [math.ceil(length / 32) for length in x.shape[2:]]
        return nn.functional.adaptive_avg_pool2d((x.mean(1, keepdim=True) + 0.6).clamp_min(0), grid)


@pytest.fixture(scope="module")
def brightness():
    head = nn.Linear(1, 2)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[1.0], [-1.0]]))
        head.bias.zero_()
    preprocessing = Preprocessing(mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
    return Network("brightness", "Brightness", Brightness(), POOLINGS["gap"], head, ("light", "dark"), preprocessing,
                   "", "made by a test")


def scene(size, centre=None, diameter=120, level=40, texture=0):
    """Dark grey, or softly textured; at `centre` a white ball."""
    photo = Image.new("RGB", size, (level,) * 3)
    if texture:
        rng = np.random.default_rng(0)
        shape = (size[1] // 16 + 2, size[0] // 16 + 2)
        grain = rng.integers(level - texture, level + texture + 1, shape, dtype=np.uint8)
        photo = Image.fromarray(grain).resize(size, Image.Resampling.BICUBIC).convert("RGB")
    if centre:
        left, top = (place - diameter // 2 for place in centre)
        ImageDraw.Draw(photo).ellipse((left, top, left + diameter, top + diameter), fill=(255, 255, 255))
    return photo


def red_of(picture):
    """How much redder than grey each pixel is, (height, width). The scenes have no colour: all of it is the map's."""
    light = np.asarray(picture).astype(float) + 1e-9
    return light[..., 0] / light.sum(-1) - 1 / 3


def peak_in_pixels(analysis, cells, share):
    """(x, y): the middle of all pixels of the overlay that are at least `share` as red as the reddest."""
    picture = analysis.overlay(cells, opacity=1.0)
    assert picture.size == analysis.image.size
    red = red_of(picture)
    assert red.max() > 0.2
    y, x = np.nonzero(red >= share * red.max() - 1e-9)
    return x.mean() + 0.5, y.mean() + 0.5


def peak_in_rectangles(analysis, cells, share):
    """(x, y): the middle of the rectangles of all positions with at least `share` of the largest evidence."""
    boxes = analysis.framing.rectangles[(cells >= share * cells.max()).numpy()]
    return (boxes[:, 0] + boxes[:, 2]).mean() / 2, (boxes[:, 1] + boxes[:, 3]).mean() / 2


def positions_off(analysis, peak, centre):
    """How many positions the peak is from the object, along the axis where it is more."""
    left, top, right, bottom = analysis.framing.rectangles[-1, -1]
    return max(abs(peak[0] - centre[0]) / (right - left), abs(peak[1] - centre[1]) / (bottom - top))


def raised(analysis, without):
    """Evidence for the class that the object raises most over the same scene without it."""
    gained = analysis.under().logits - without.under().logits
    return analysis.under().evidence(int(gained.argmax())).cells


@pytest.mark.parametrize("size", [LANDSCAPE, PORTRAIT, SQUARE, (1001, 333), (337, 1009)], ids=str)
def test_the_brightest_place_anywhere_is_where_the_overlay_is_reddest(brightness, size):
    for kind in FRAMINGS:
        left, top, right, bottom = (round(edge) for edge in analyse(brightness, scene(size), kind).framing.seen)
        rng = np.random.default_rng(size)
        for _ in range(5):
            centre = int(rng.integers(left + 20, right - 20)), int(rng.integers(top + 20, bottom - 20))
            analysis = analyse(brightness, scene(size, centre, diameter=30), kind)
            cells = analysis.under().evidence(0).cells
            assert positions_off(analysis, peak_in_pixels(analysis, cells, 1), centre) <= 0.51
            assert positions_off(analysis, peak_in_rectangles(analysis, cells, 1), centre) <= 0.51


def test_the_reddest_pixels_are_those_of_the_largest_positions_rectangle(brightness):
    for kind in FRAMINGS:
        analysis = analyse(brightness, scene(LANDSCAPE, (620, 460), 60), kind)
        cells = analysis.under().evidence(0).cells
        red = red_of(analysis.overlay(cells, opacity=1.0))
        y, x = np.nonzero(red == red.max())
        i, j = divmod(int(cells.argmax()), cells.shape[1])
        pixels = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1])
        assert np.abs(pixels - analysis.framing.rectangles[i, j]).max() <= 1


def test_a_shrunken_overlay_has_its_peak_at_the_same_place(brightness):
    for kind in FRAMINGS:
        analysis = analyse(brightness, scene(LANDSCAPE, (620, 460), 60), kind)
        cells = analysis.under().evidence(0).cells
        red = red_of(analysis.overlay(cells, opacity=1.0, long_side=480))
        assert red.shape == (270, 480)
        y, x = np.nonzero(red >= red.max() - 1e-9)
        assert positions_off(analysis, (4 * x.mean() + 2, 4 * y.mean() + 2), (620, 460)) <= 0.52


@pytest.mark.parametrize("orientation", STORED)
def test_a_turned_file_has_its_evidence_where_the_upright_photo_has_it(brightness, orientation):
    for kind in FRAMINGS:
        upright = scene(LANDSCAPE, (620, 460), 60)
        stored = upright if orientation == 1 else upright.transpose(STORED[orientation])
        photo = read_image(saved(stored, "JPEG", exif=turned(orientation), quality=95))
        assert photo.size == LANDSCAPE
        analysis = analyse(brightness, photo, kind)
        cells = analysis.under().evidence(0).cells
        assert positions_off(analysis, peak_in_pixels(analysis, cells, 1), (620, 460)) <= 0.5
        assert positions_off(analysis, peak_in_rectangles(analysis, cells, 1), (620, 460)) <= 0.5


def check_learned_peak(network, photo, empty, kind, centre):
    analysis = analyse(network, photo, kind)
    cells = raised(analysis, analyse(network, empty, kind))
    assert positions_off(analysis, peak_in_pixels(analysis, cells, 0.3), centre) <= 0.5
    assert positions_off(analysis, peak_in_rectangles(analysis, cells, 0.5), centre) <= 0.5
    assert positions_off(analysis, peak_in_pixels(analysis, cells, 1), centre) <= 1.6  # within the plateau


@pytest.mark.parametrize(("level", "texture"), [(40, 0), (128, 20)], ids=["grey", "textured"])
@pytest.mark.parametrize(("size", "centre"), [(LANDSCAPE, (620, 460)), (PORTRAIT, (460, 620)), (SQUARE, (620, 460))],
                         ids=["landscape", "portrait", "square"])
def test_the_bundled_networks_evidence_for_an_object_lies_on_the_object(network, size, centre, level, texture):
    for kind in FRAMINGS:
        empty, photo = (scene(size, place, 120, level, texture) for place in (None, centre))
        check_learned_peak(network, photo, empty, kind, centre)


@pytest.mark.parametrize("orientation", STORED)
def test_the_bundled_networks_evidence_on_a_turned_file_lies_on_the_object(network, orientation):
    files = [scene(LANDSCAPE, place) for place in (None, (620, 460))]
    empty, photo = (
        read_image(saved(image if orientation == 1 else image.transpose(STORED[orientation]), "JPEG",
                         exif=turned(orientation), quality=95))
        for image in files
    )
    for kind in FRAMINGS:
        check_learned_peak(network, photo, empty, kind, (620, 460))


@pytest.mark.parametrize(("size", "kind"), [((448, 448), "crop"), ((796, 448), "whole"), ((578, 448), "whole")],
                         ids=str)
def test_averaged_over_many_places_the_bundled_network_is_not_biased(network, size, kind):
    """Forty balls: what is left is the network's own uncertainty, and no shift of the map, left, right or overall."""
    rng = np.random.default_rng(0)
    empty = analyse(network, scene(size), kind)
    left, top, right, bottom = (round(edge) for edge in empty.framing.seen)
    box = empty.framing.rectangles[0, 0]
    off, at = [], []
    for _ in range(40):
        centre = int(rng.integers(left + 90, right - 90)), int(rng.integers(top + 90, bottom - 90))
        analysis = analyse(network, scene(size, centre, 50), kind)
        peak = peak_in_rectangles(analysis, raised(analysis, empty), 0.5)
        off.append([(peak[0] - centre[0]) / (box[2] - box[0]), (peak[1] - centre[1]) / (box[3] - box[1])])
        at.append((centre[0] - left) / (right - left))
    assert np.abs(np.mean(off, axis=0)).max() < 0.15
    assert np.quantile(np.abs(off).max(1), 0.9) < 0.6
    for side in (np.array(at) < 0.4, np.array(at) > 0.6):
        assert abs(np.array(off)[side, 0].mean()) < 0.35
