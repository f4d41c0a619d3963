"""Evidence finer than the grid: stitched again pixel by pixel, and asked where a dot of light is."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from explorer import POOLINGS, analyse
from explorer.errors import MethodError, ParameterError, StoppedError
from explorer.framing import Preprocessing
from explorer.networks import Network
from explorer.questions.stitching import moved, stitched
from tests.explorer import layered
from tests.explorer import second_derivations as again
from tests.explorer.tiny import heads, linear, with_backbone

PLAIN = Preprocessing(size=96, crop_ratio=1.0, mean=(0.0,) * 3, std=(1.0,) * 3, interpolation="nearest", stride=24)


class Brightness(nn.Module):
    """(B, 3, h, w) to (B, 1, h / side, w / side): the mean of all pixels and colours of a square. It counts inputs."""

    def __init__(self, side: int = 24) -> None:
        super().__init__()
        self.side = side
        self.batches: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.batches.append(len(x))
        return nn.functional.avg_pool2d(x.mean(1, keepdim=True), self.side)


@pytest.fixture
def sees_light(make_network) -> Network:
    """Its two logits are 6 times the photo's mean brightness, and 2 times plus 1."""
    network = with_backbone(make_network(linear([[6.0], [2.0]], [0.0, 1.0]), classes=2, channels=1), Brightness())
    return dataclasses.replace(network, preprocessing=PLAIN)


def dot(x: int, y: int, size: tuple[int, int] = (96, 96), side: int = 1) -> Image.Image:
    photo = Image.new("RGB", size)
    photo.paste((255, 255, 255), (x, y, x + side, y + side))
    return photo


def noise(size: tuple[int, int], seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))


def moved_in_loops(x: Tensor, down: int, right: int) -> Tensor:
    pixels = x.clone()
    height, width = x.shape[-2:]
    for i in range(height):
        for j in range(width):
            pixels[..., i, j] = x[..., min(max(i - down, 0), height - 1), min(max(j - right, 0), width - 1)]
    return pixels


# Where a dot of light is.


@pytest.mark.parametrize("steps", [2, 3, 8])
def test_a_dot_of_light_is_on_the_strongest_fine_cell(sees_light, steps):
    fine = 24 // steps
    random = np.random.default_rng(steps)
    for x, y in [(12, 12), (83, 83), (12, 83), *random.integers(12, 84, (8, 2)).tolist()]:
        result = stitched(analyse(sees_light, dot(x, y)).under(), 0, steps=steps)
        assert np.unravel_index(np.argmax(result.cells), result.cells.shape) == (y // fine, x // fine)


def test_two_dots_that_the_grid_cannot_tell_apart_are_told_apart(sees_light):
    one, other = (analyse(sees_light, dot(*at)).under() for at in ((25, 26), (46, 40)))
    np.testing.assert_array_equal(one.evidence(0).cells, other.evidence(0).cells)
    peaks = [np.argmax(stitched(item, 0).cells) for item in (one, other)]
    assert peaks == [4 * 16 + 4, 6 * 16 + 7]


def test_a_dots_evidence_by_hand(sees_light):
    # Two steps of 12 px: each run puts 6 / 16 / 24^2 on the position that holds the dot, a quarter on each fine cell.
    # The dot lies on fine cell (3, 2). Unmoved, its position has fine cells 2 and 3 both ways; moved by half a
    # position, 3 and 4 down, 1 and 2 across.
    result = stitched(analyse(sees_light, dot(30, 40)).under(), 0, steps=2)
    down, across = np.array([0, 0, 1, 2, 1, 0, 0, 0]), np.array([0, 1, 2, 1, 0, 0, 0, 0])
    np.testing.assert_allclose(result.cells, np.outer(down, across) / 4 * 6 / 16 / 576 / 4, rtol=1e-5)
    assert result.outside == pytest.approx(0, abs=1e-9)
    assert result.shifts.tolist() == [[-12, -12], [-12, 0], [0, -12], [0, 0]]


def test_a_photo_that_moves_by_a_fine_cell_takes_its_evidence_along(sees_light):
    small = noise((30, 20))
    maps = []
    for n in range(4):
        photo = Image.new("RGB", (96, 96))
        photo.paste(small, (26 + 6 * n, 36))
        maps.append(stitched(analyse(sees_light, photo).under(), 0).cells)
    for n in (1, 2, 3):
        np.testing.assert_allclose(maps[n], np.roll(maps[0], n, 1), atol=1e-6)
        assert np.abs(maps[n] - maps[n - 1]).max() > 1e-3


@pytest.mark.parametrize("kind", ["crop", "whole"])
def test_on_a_photo_of_another_size_the_strongest_rectangle_holds_the_dot(sees_light, kind):
    for x, y in ((150, 103), (221, 60), (90, 151)):
        analysis = analyse(sees_light, dot(x, y, (300, 200), 4), kind)
        cells = stitched(analysis.under(), 0).cells
        rectangles = analysis.framing.on_grid(*cells.shape).rectangles
        left, top, right, bottom = rectangles[np.unravel_index(np.argmax(cells), cells.shape)]
        # The dot's middle; a pixel of the input is up to 3.2 of the photo.
        assert left - 3.2 <= x + 2 <= right + 3.2
        assert top - 3.2 <= y + 2 <= bottom + 3.2


# The sums.


@pytest.fixture(scope="module")
def photo_moved(network, examples):
    """An analysis at 128 px, and its feature maps (4, 1280, 4, 4) with the photo moved up by half a position or not,
    and to the left or not."""
    analysis = analyse(network, examples["cat_and_coffee"], short_side=128)
    padded = np.pad(analysis.input.numpy(), ((0, 0), (0, 0), (0, 16), (0, 16)), mode="edge")
    pixels = [padded[..., up : up + 128, left : left + 128] for up in (16, 0) for left in (16, 0)]
    with torch.no_grad():
        return analysis, torch.cat([network.backbone(torch.from_numpy(item.copy())) for item in pixels])


@pytest.mark.parametrize("key", ["gap", "lse", "attention"])
def test_the_parts_add_up_to_the_mean_logit_of_the_moved_photos(network, photo_moved, key):
    analysis, maps = photo_moved
    outcome = analysis.under(key)
    result = stitched(outcome, 967, steps=2)
    with torch.no_grad():
        logits = network.head(POOLINGS[key].value(maps))[:, 967].double().numpy()
    np.testing.assert_allclose(result.logits, logits, atol=2e-4)
    assert result.logits[3] == pytest.approx(float(outcome.logits[967]), abs=2e-4)  # not moved
    assert result.logit == pytest.approx(logits.mean(), abs=1e-4)
    total = result.baseline + result.cells.sum() + result.outside
    assert total == pytest.approx(result.logit, abs=1e-3 if key == "lse" else 1e-4)
    assert result.residual == pytest.approx(result.logit - total, abs=1e-9)
    assert result.exact is (key != "lse")
    assert result.cells.shape == (8, 8)


@pytest.mark.parametrize("head", heads())
def test_the_parts_add_up_for_every_head(make_network, head):
    for key, rival in (("gmp", None), ("lse", 3)):
        outcome = analyse(make_network(heads()[head]), noise((96, 96))).under(key)
        result = stitched(outcome, 1, rival, steps=3)
        integrated = head in {"Linear, Hardswish, Linear", "polynomial"}
        assert abs(result.residual) < (1e-2 if integrated else 1e-3 if key == "lse" else 1e-4)
        assert result.exact is (not integrated and key != "lse")
        assert result.logit == pytest.approx(result.logits.mean())


@pytest.mark.parametrize("key", ["gap", "topk"])
def test_it_agrees_with_loops_over_runs_and_pixels(make_network, key):
    network = make_network()
    analysis = analyse(network, noise((96, 96)))
    parameter = (POOLINGS[key].parameter.default,) if POOLINGS[key].parameter else ()
    rows, biases = network.head.weight.tolist(), network.head.bias.tolist()
    expected, outside, seen, logits = np.zeros((16, 16)), 0.0, np.zeros((16, 16)), []
    for down in (-12, -6, 0, 6):
        for right in (-12, -6, 0, 6):
            with torch.no_grad():
                maps = network.backbone(moved_in_loops(analysis.input, down, right))[0].double().tolist()
            weights, pooled = again.pooling_weights(key, maps, *parameter), again.pooled(key, maps, *parameter)
            cells = again.evidence(maps, weights, pooled, rows[2])
            logits.append(again.linear(rows, biases, pooled)[2])
            for y in range(96):
                for x in range(96):
                    part = cells[y // 24][x // 24] / 24 ** 2 / 16
                    if 0 <= y - down < 96 and 0 <= x - right < 96:
                        expected[(y - down) // 6, (x - right) // 6] += part
                        seen[(y - down) // 6, (x - right) // 6] += 1 / 36 / 16
                    else:
                        outside += part
    result = stitched(analysis.under(key), 2)
    np.testing.assert_allclose(result.cells, expected, atol=1e-5)
    np.testing.assert_allclose(result.coverage, seen, atol=1e-9)
    assert result.outside == pytest.approx(outside, abs=1e-5)
    np.testing.assert_allclose(result.logits, logits, atol=1e-5)
    assert result.baseline == pytest.approx(biases[2])


def test_where_a_position_is_no_whole_number_of_pixels_each_overlap_is_measured(make_network):
    network = make_network()
    analysis = analyse(network, noise((130, 101)), "whole", 101)
    height, width = analysis.input.shape[-2:]
    rows, columns = analysis.feature_maps.shape[1:]
    assert height % rows
    assert rows != columns
    side_y, side_x = height / rows, width / columns
    shifts = [(round(a * side_y / 3), round(b * side_x / 3)) for a in (-1, 0, 1) for b in (-1, 0, 1)]
    expected, everything = np.zeros((rows * 3, columns * 3)), 0.0
    for down, right in shifts:
        with torch.no_grad():
            maps = network.backbone(moved_in_loops(analysis.input, down, right))[0].double().numpy()
        cells = np.einsum("k,kij->ij", network.head.weight[0].double().numpy(), maps) / rows / columns
        everything += cells.sum() / 9
        for i in range(rows):
            for j in range(columns):
                top, left = i * side_y - down, j * side_x - right
                for m in range(rows * 3):
                    for n in range(columns * 3):
                        tall = min(top + side_y, (m + 1) * side_y / 3) - max(top, m * side_y / 3)
                        wide = min(left + side_x, (n + 1) * side_x / 3) - max(left, n * side_x / 3)
                        if tall > 0 and wide > 0:
                            expected[m, n] += cells[i, j] * tall * wide / side_y / side_x / 9
    result = stitched(analysis.under(), 0, steps=3)
    assert result.shifts.tolist() == [list(pair) for pair in shifts]
    np.testing.assert_allclose(result.cells, expected, atol=1e-5)
    assert result.outside == pytest.approx(everything - expected.sum(), abs=1e-5)
    assert abs(result.residual) < 1e-4


def test_an_even_photo_gives_as_much_as_each_place_was_seen(sees_light):
    result = stitched(analyse(sees_light, Image.new("RGB", (96, 96), (255, 255, 255))).under(), 0)
    np.testing.assert_allclose(result.cells, result.coverage * 6 / 256, rtol=1e-5)
    # Along a side, four runs: -12 leaves the first two fine cells out, -6 the first; 6 leaves out the last.
    along = np.array([0.5, 0.75, *[1.0] * 13, 0.75])
    np.testing.assert_allclose(result.coverage, np.outer(along, along), rtol=1e-9)
    assert result.cells.sum() + result.outside == pytest.approx(6, abs=1e-5)


def test_one_step_is_the_plain_evidence(network, examples):
    for key, parameters in (("gap", {}), ("gmp", {}), ("gem", {"p": 7})):
        outcome = analyse(network, examples["rocket"]).under(key, **parameters)
        evidence, result = outcome.evidence(657), stitched(outcome, 657, steps=1)
        np.testing.assert_allclose(result.cells, evidence.cells.numpy(), atol=1e-5)
        assert (result.outside, result.coverage.min(), result.shifts.tolist()) == (0, 1, [[0, 0]])
        assert result.logit == pytest.approx(evidence.logit, abs=1e-5)
        assert result.baseline == evidence.baseline


def test_against_a_rival_it_is_the_difference_of_both(make_network):
    outcome = analyse(make_network(), noise((96, 96))).under("gem")
    one, other, against = stitched(outcome, 0), stitched(outcome, 3), stitched(outcome, 0, 3)
    np.testing.assert_allclose(against.cells, one.cells - other.cells, atol=1e-6)
    np.testing.assert_allclose(against.logits, one.logits - other.logits, atol=1e-6)
    for name in ("outside", "baseline", "logit"):
        assert getattr(against, name) == pytest.approx(getattr(one, name) - getattr(other, name), abs=1e-6)
    assert (against.class_index, against.rival, one.rival) == (0, 3, None)


# How it is run.


def test_sixteen_shifts_of_a_small_input_are_two_passes_and_are_remembered(sees_light):
    outcome = analyse(sees_light, noise((96, 96))).under()
    sees_light.backbone.batches.clear()
    reports = []
    result = stitched(outcome, 0, progress=lambda *counts: reports.append(counts))
    assert sees_light.backbone.batches == [10, 6]
    assert reports == [(10, 16), (16, 16)]
    assert stitched(outcome, 0) is result
    assert sees_light.backbone.batches == [10, 6]


def test_it_tells_how_far_it_is_and_stops_when_told_to(sees_light):
    outcome = analyse(sees_light, noise((96, 96))).under()
    reports = []
    with pytest.raises(StoppedError, match="Stopped after 20 of 36"):
        stitched(outcome, 0, steps=6, progress=lambda *counts: reports.append(counts), stop=lambda: len(reports) == 2)
    assert reports == [(10, 36), (20, 36)]
    reports.clear()
    stitched(outcome, 0, steps=6, progress=lambda *counts: reports.append(counts), stop=lambda: False)  # from the start
    assert reports == [(10, 36), (20, 36), (30, 36), (36, 36)]
    with pytest.raises(StoppedError, match="after 0 of 16"):
        stitched(outcome, 0, stop=lambda: True)


def test_the_analysis_itself_is_left_as_it_was(make_network):
    analysis = analyse(make_network(), noise((96, 96)))
    x, maps, grid = analysis.input.clone(), analysis.feature_maps.clone(), analysis.framing.grid
    stitched(analysis.under("gmp"), 0)
    assert torch.equal(analysis.input, x)
    assert torch.equal(analysis.feature_maps, maps)
    assert analysis.framing.grid == grid


@pytest.mark.parametrize("shift", [(0, 0), (-2, 1), (5, -7)])
def test_moving_repeats_the_edge(shift):
    x = torch.arange(24.0).reshape(1, 2, 3, 4)
    assert torch.equal(moved(x, *shift), moved_in_loops(x, *shift))
    assert moved(x, 1, 0)[0, 0].tolist() == [[0, 1, 2, 3], [0, 1, 2, 3], [4, 5, 6, 7]]


def test_a_network_of_one_size_alone_and_one_of_few_pixels_a_position_are_asked_too(make_network):
    fixed = dataclasses.replace(PLAIN, fixed=True)
    network = dataclasses.replace(make_network(), preprocessing=fixed)
    assert abs(stitched(analyse(network, noise((200, 150))).under(), 0).residual) < 1e-5
    light = with_backbone(make_network(linear([[1.0]], [0.0]), classes=1, channels=1), Brightness(3))
    result = stitched(analyse(dataclasses.replace(light, preprocessing=PLAIN), dot(50, 40)).under(), 0, steps=5)
    assert result.cells.shape == (160, 160)
    assert abs(result.residual) < 1e-5
    assert np.argmax(result.cells) // 160 in (66, 67, 68)  # the fine cells on row 40: 40 / 0.6 to 41 / 0.6


def test_what_does_not_exist_is_refused(make_network):
    outcome = analyse(make_network(), noise((96, 96))).under()
    for steps in (0, 9, 2.0, True, "4"):
        with pytest.raises(ParameterError, match="The number of steps"):
            stitched(outcome, 0, steps=steps)
    for classes in ((4,), (-1,), (0, 4)):
        with pytest.raises(ParameterError, match="There is no class"):
            stitched(outcome, *classes)
    with pytest.raises(ParameterError, match="both 2"):
        stitched(outcome, 2, 2)
    one = analyse(make_network(linear([[1.0] * 5], [0.0]), classes=1), noise((96, 96))).under()
    assert abs(stitched(one, 0).residual) < 1e-5
    with pytest.raises(MethodError, match="one logit alone"):
        stitched(one, 0, 0)
    with pytest.raises(MethodError, match="flattens"):
        stitched(analyse(layered.network(pooled=False), layered.photo()).under(), 0)
