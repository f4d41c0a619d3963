"""A photo without some of its positions: which pixels change and into what, and how the network answers then."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from explorer import analyse
from explorer.errors import ParameterError, StoppedError
from explorer.framing import Preprocessing, frame
from explorer.networks import Network
from explorer.networks.engine import inputs_at_once
from explorer.questions.edited_photo import (
    BATCHED,
    FILLS,
    analysed_again,
    answers_to,
    changed_inputs,
    changed_photo,
    checked,
    pixels_of,
)
from explorer.render import shrink
from tests.explorer import layered
from tests.explorer.own_models import Small, seeded

SIZES = {"landscape": (190, 130), "portrait": (101, 170), "square": (97, 97), "smaller than the input": (60, 45)}
FRAMINGS = ("crop", "whole", "squash")


def noise(size: tuple[int, int], seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def some_of(analysis, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random(analysis.framing.grid) < 0.4


def inside(analysis, chosen: np.ndarray) -> np.ndarray:
    """(height, width) bool, pixel by pixel: its centre lies in the rectangle of a chosen position."""
    width, height = analysis.image.size
    result = np.zeros((height, width), bool)
    for box in analysis.framing.rectangles[chosen]:
        for y in range(height):
            for x in range(width):
                result[y, x] |= bool(box[0] <= x + 0.5 < box[2] and box[1] <= y + 0.5 < box[3])
    return result


def array(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(np.int64)


# The photo.


@pytest.mark.parametrize(("size", "framing"), [
    ("landscape", "crop"), ("portrait", "whole"), ("square", "squash"), ("smaller than the input", "crop")])
def test_outside_the_chosen_rectangles_not_a_pixel_changes_and_inside_nearly_all_do(make_network, size, framing):
    size = SIZES[size]
    analysis = analyse(make_network(), noise(size), framing)
    chosen = some_of(analysis)
    within, before = inside(analysis, chosen), array(analysis.image)
    assert 0.1 < within.mean() < 0.7
    for fill in FILLS:
        photo = changed_photo(analysis, chosen, fill)
        assert (photo.mode, photo.size) == ("RGB", size)
        changed = (array(photo) != before).any(2)
        assert not (changed & ~within).any()
        assert changed[within].mean() > 0.95


def test_under_crop_what_the_network_never_saw_stays(make_network):
    analysis = analyse(make_network(), noise((200, 100)))
    left, _, right, _ = analysis.framing.seen
    photo = changed_photo(analysis, np.ones((4, 4), bool), "mean")
    changed = (array(photo) != array(analysis.image)).any(2).any(0)
    assert np.flatnonzero(changed)[[0, -1]].tolist() == [round(left), round(right) - 1]
    assert 40 < left < 60 < 140 < right < 160


def test_the_mean_colour_is_that_of_what_is_seen_alone(make_network):
    pixels = np.zeros((100, 300, 3), np.uint8)
    pixels[:] = (255, 0, 0)  # beside what is seen
    seen = analyse(make_network(), Image.fromarray(pixels)).framing.seen
    left, right = round(seen[0]), round(seen[2])
    pixels[:, left:right] = (0, 200, 0)
    pixels[:, left : (left + right) // 2] = (0, 0, 100)
    analysis = analyse(make_network(), Image.fromarray(pixels))
    chosen = np.zeros((4, 4), bool)
    chosen[0, 0] = True
    photo = array(changed_photo(analysis, chosen, "mean"))
    colours = np.unique(photo[inside(analysis, chosen)], axis=0)
    assert len(colours) == 1
    assert colours[0].tolist() == pytest.approx([0, 100, 50], abs=3)  # a pixel's width at the edges


@pytest.mark.parametrize(("size", "framing"), [((800, 400), "whole"), ((400, 800), "squash")])
def test_the_blur_is_a_gaussian_of_half_a_position_both_ways(make_network, size, framing):
    analysis_of_white = analyse(make_network(), Image.new("RGB", size, "white"), framing)
    rows, columns = analysis_of_white.framing.grid
    for axis, (length, positions) in enumerate(((size[1], rows), (size[0], columns))):
        pixels = np.zeros((size[1], size[0], 3), np.uint8)
        middle = slice(length // 2 - 10, length // 2 + 10)
        pixels[(middle, slice(None)) if axis == 0 else (slice(None), middle)] = 255
        analysis = analyse(make_network(), Image.fromarray(pixels), framing)
        blurred = array(changed_photo(analysis, np.ones((rows, columns), bool), "blur"))[..., 0]
        line = blurred[:, size[0] // 2] if axis == 0 else blurred[size[1] // 2]
        places = np.arange(length) + 0.5
        centre = (places * line).sum() / line.sum()
        spread = ((places - centre) ** 2 * line).sum() / line.sum() - 20 ** 2 / 12
        assert centre == pytest.approx(length / 2, abs=0.5)
        assert np.sqrt(spread) == pytest.approx(0.5 * length / positions, rel=0.04)


def test_blurred_noise_is_flat(make_network):
    analysis = analyse(make_network(), noise((384, 384)), "whole")
    blurred = array(changed_photo(analysis, np.ones((4, 4), bool), "blur"))
    assert array(analysis.image).std((0, 1)).min() > 70
    assert blurred.std((0, 1)).max() < 3


@pytest.mark.parametrize("size", [(300, 200), (1500, 1000)])
def test_nothing_of_what_is_painted_over_is_left_in_it(make_network, size):
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[:] = (20, 60, 160)
    analysis = analyse(make_network(), Image.fromarray(pixels), "whole")
    chosen = np.zeros(analysis.framing.grid, bool)
    chosen[1:3, 2] = True
    pixels[pixels_by_rectangles(analysis, chosen)] = (255, 255, 0)
    analysis = analyse(make_network(), Image.fromarray(pixels), "whole")
    painted = array(changed_photo(analysis, chosen, "inpaint"))
    assert np.abs(painted - (20, 60, 160)).max() <= 12  # of 235 to the other colour: painting drifts a little


def pixels_by_rectangles(analysis, chosen: np.ndarray) -> np.ndarray:
    """As `inside`, for rectangles whose edges are whole numbers."""
    result = np.zeros(analysis.image.size[::-1], bool)
    for left, top, right, bottom in analysis.framing.rectangles[chosen]:
        result[round(top) : round(bottom), round(left) : round(right)] = True
    return result


def test_two_sides_of_different_colours_are_painted_on_from_their_own_side(make_network):
    pixels = np.zeros((192, 192, 3), np.uint8)
    pixels[:, :96], pixels[:, 96:] = (200, 0, 0), (0, 0, 200)
    analysis = analyse(make_network(), Image.fromarray(pixels), "whole")
    chosen = np.zeros((4, 4), bool)
    chosen[1:3, 1:3] = True
    painted = array(changed_photo(analysis, chosen, "inpaint"))
    assert painted[96, 52, 0] > 150 > 50 > painted[96, 52, 2]
    assert painted[96, 140, 2] > 150 > 50 > painted[96, 140, 0]


def test_without_a_chosen_position_the_photo_is_a_copy_of_itself(make_network):
    analysis = analyse(make_network(), noise((120, 110)))
    for fill in FILLS:
        photo = changed_photo(analysis, np.zeros((4, 4), bool), fill)
        assert photo is not analysis.image
        assert (array(photo) == array(analysis.image)).all()


def test_what_makes_no_sense_is_refused(make_network):
    analysis = analyse(make_network(), noise((120, 110)), "whole")
    rows, columns = analysis.framing.grid
    everything = np.ones((rows, columns), bool)
    with pytest.raises(ParameterError, match="no fill 'black'; expected one of blur, mean, inpaint"):
        changed_photo(analysis, everything, "black")
    with pytest.raises(ParameterError, match=r"shape \(3, 4\) of bool; expected \(4, "):
        changed_photo(analysis, np.ones((3, 4), bool))
    with pytest.raises(ParameterError, match="of int64; expected"):
        checked(analysis, np.ones((rows, columns), np.int64))
    with pytest.raises(ParameterError, match="nothing is left to paint from"):
        changed_photo(analysis, everything, "inpaint")
    with pytest.raises(ParameterError, match="no fill 'inpaint'; expected one of blur, mean"):
        changed_inputs(analysis, torch.zeros(1, rows, columns), "inpaint")
    for shape in ((rows, columns), (1, rows + 1, columns), (1, 1, rows, columns)):
        with pytest.raises(ParameterError, match="The shares have shape"):
            changed_inputs(analysis, torch.zeros(shape))


# The network's input.


@pytest.mark.parametrize("fill", BATCHED)
def test_an_input_is_as_it_was_where_the_share_is_none_and_without_anything_where_it_is_all(make_network, fill):
    network = make_network()
    network = dataclasses.replace(network, preprocessing=dataclasses.replace(network.preprocessing, stride=24))
    analysis = analyse(network, noise((190, 130)), "whole")
    rows, columns = analysis.framing.grid
    shares = torch.zeros(3, rows, columns)
    shares[1, 2, 1], shares[2] = 1, 0.5
    nothing = frame(changed_photo(analysis, np.ones((rows, columns), bool), fill), network.preprocessing, "whole")[0][0]
    as_it_was = analysis.input[0]
    plain, one, half = changed_inputs(analysis, shares, fill)
    assert torch.equal(plain, as_it_was)
    torch.testing.assert_close(half, (as_it_was + nothing) / 2)
    assert (rows, columns) == (4, 6)
    expected = as_it_was.clone()
    expected[:, 48:72, 24:48] = nothing[:, 48:72, 24:48]
    assert torch.equal(one, expected)


@pytest.mark.parametrize(("size", "framing", "fill"), [
    ((520, 300), "crop", "blur"), ((310, 560), "whole", "mean"), ((310, 560), "squash", "blur")])
def test_the_changed_photo_framed_is_the_changed_input_away_from_where_it_is_cut(make_network, size, framing, fill):
    network = make_network()
    analysis = analyse(network, noise(size), framing)
    chosen = some_of(analysis)
    photo = changed_photo(analysis, chosen, fill)
    framed = frame(photo, network.preprocessing, framing)[0][0]
    changed = changed_inputs(analysis, torch.from_numpy(chosen[None].astype(np.float32)), fill)[0]
    apart = (framed - changed).abs().amax(0)
    for axis, positions in enumerate(analysis.framing.grid):  # 3 px on both sides of each position's edges
        edges = np.linspace(0, apart.shape[axis], positions + 1)
        centres = np.arange(apart.shape[axis]) + 0.5
        away = torch.from_numpy(np.abs(centres[:, None] - edges).min(1) > 3)
        assert away.float().mean() > 0.6
        apart = apart[away] if axis == 0 else apart[:, away]
    assert float(apart.max()) == 0
    assert float((framed - changed).abs().max()) > 0  # at the cuts they differ: there the resizing mixes


def test_a_network_of_grey_images_is_given_grey_ones():
    grey = Preprocessing(size=32, mean=(0.5,), std=(0.25,))
    network = Network.from_module(seeded(lambda: Small(channels=1)), grey)
    analysis = analyse(network, noise((70, 50)), "squash")
    shares = torch.ones(1, *analysis.framing.grid)
    expected = frame(changed_photo(analysis, np.ones(analysis.framing.grid, bool), "mean"), network.preprocessing,
                     "squash")[0]
    assert changed_inputs(analysis, shares, "mean").shape == (1, 1, 32, 32)
    assert torch.equal(changed_inputs(analysis, shares, "mean"), expected)


# What the network says.


@pytest.mark.parametrize(("pooling", "parameters"), [("gap", {}), ("gem", {"p": 5.0})])
def test_answers_are_those_of_each_changed_input_by_itself(make_network, pooling, parameters):
    network = make_network()
    analysis = analyse(network, noise((190, 130)))
    outcome = analysis.under(pooling, **parameters)
    at_once = inputs_at_once(analysis.input)
    shares = torch.rand(2 * at_once + 5, 4, 4, generator=torch.Generator().manual_seed(0))
    reports = []
    result = answers_to(outcome, shares, "mean", lambda *numbers: reports.append(numbers))
    done = [at_once, 2 * at_once, 2 * at_once + 5]
    assert reports == [(count, 2 * at_once + 5) for count in done]
    inputs = changed_inputs(analysis, shares, "mean")
    with torch.no_grad():
        expected = [network.head(outcome._pool(network.backbone(x[None])))[0] for x in inputs]
    torch.testing.assert_close(result, torch.stack(expected))
    assert not result.requires_grad


def test_without_a_pooling_answers_are_the_models_own():
    network = layered.network(pooled=False)
    analysis = analyse(network, layered.photo())
    shares = torch.eye(16).reshape(16, 4, 4)
    result = answers_to(analysis.under(), shares)
    torch.testing.assert_close(result, network.layers.logits(changed_inputs(analysis, shares)))


def test_nothing_asked_is_nothing_answered(make_network):
    outcome = analyse(make_network(), noise((190, 130))).under()
    assert answers_to(outcome, torch.zeros(0, 4, 4)).shape == (0, 4)


def test_told_to_stop_it_runs_no_further_batch(make_network):
    network = make_network()
    outcome = analyse(network, noise((190, 130))).under()
    before, reports = network.backbone.calls, []
    with pytest.raises(StoppedError, match=f"after {2 * inputs_at_once(outcome.analysis.input)} of 100 inputs"):
        answers_to(outcome, torch.zeros(100, 4, 4), "mean", lambda *numbers: reports.append(numbers),
                   lambda: len(reports) == 2)
    assert network.backbone.calls - before == 2


@pytest.mark.parametrize(("framing", "short_side"), [("crop", None), ("whole", 120), ("squash", None)])
def test_another_photo_is_framed_as_the_first_was(make_network, framing, short_side):
    network = make_network()
    first, other = noise((190, 130)), noise((190, 130), 5)
    again = analysed_again(analyse(network, first, framing, short_side), other)
    expected = analyse(network, other, framing, short_side)
    assert again.framing == expected.framing
    assert torch.equal(again.input, expected.input)


def test_another_photo_is_looked_at_in_the_same_layer():
    analysis = analyse(layered.network(), layered.photo(), layer="one")
    assert analysed_again(analysis, layered.photo(1)).layer.key == "one"


def test_an_outcome_on_another_analysis_has_the_same_pooling_and_parameters(make_network):
    network = make_network()
    first, other = (analyse(network, noise((190, 130), seed)) for seed in (0, 5))
    assert first.under("gem", p=7).on(other) is other.under("gem", p=7)
    apart = [analyse(layered.network(pooled=False), layered.photo(seed)) for seed in (0, 1)]
    assert apart[0].under().on(apart[1]) is apart[1].under()


@pytest.mark.parametrize("fill", FILLS)
def test_shrunk_it_is_nearly_the_changed_photo_shrunk(make_network, fill):
    analysis = analyse(make_network(), noise((12, 9)).resize((800, 600), Image.Resampling.BICUBIC))
    chosen = some_of(analysis)
    small = changed_photo(analysis, chosen, fill, 200)
    full = shrink(changed_photo(analysis, chosen, fill), (0, 0, 800, 600), 200)[0]
    assert small.size == (200, 150)
    assert np.abs(array(small) - array(full)).mean() < 4  # the edges of positions fall between pixels


# Pixels of positions at any size.


def test_pixels_of_a_photo_shrunk_are_those_whose_centres_lie_in_the_positions():
    chosen = np.array([[True, False], [False, True]])
    result = np.asarray(pixels_of(chosen, (7, 5), (1.4, 0.0, 6.0, 5.0)))
    # Across: 1.4 to 3.7 to 6.0; centres 2.5 (at 1.5, 2.5, 3.5) and 4.5, 5.5. Down: 0 to 2.5 to 5, where 2.5 is below.
    assert (result // 255).tolist() == [
        [0, 1, 1, 1, 0, 0, 0], [0, 1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 1, 1, 0],
        [0, 0, 0, 0, 1, 1, 0]]
