"""Lesson 7: scenes looked at pixel by pixel, and what is said of them asked again without the lesson."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from explorer import POOLINGS, analyse
from explorer.errors import FramingError, MethodError, ParameterError, StoppedError
from explorer.framing import Preprocessing
from explorer.lessons.average_or_maximum import (
    Scene,
    Setting,
    average_or_maximum,
    growing,
    lead,
    side_of_scenes,
)
from explorer.lessons.scenes import COUNTS, GROUNDS, cut_out, ground_of, largest_scale, object_box, scene_of
from explorer.networks import Network
from explorer.networks.calibration import Calibration
from explorer.networks.trained_heads import TrainedPooling
from explorer.questions.evidence_box import locate
from tests.explorer import second_derivations as again
from tests.explorer.tiny import linear, with_backbone

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
NAMES = ("gap", "gmp", "gem")


def plain(colour: tuple[int, int, int], size: tuple[int, int] = (60, 40)) -> Image.Image:
    return Image.new("RGB", size, colour)


def noise(size: tuple[int, int] = (120, 100), seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))


# Scenes.


@pytest.mark.parametrize(("count", "scale"), [(1, 0.05), (1, 1.0), (4, 0.5), (9, 0.2)])
def test_objects_are_where_they_belong_and_as_large_as_the_scale_says(count, scale):
    scene = np.asarray(scene_of(plain(BLUE, (240, 240)), plain(RED, (80, 40)), scale, count))
    expected = np.zeros((240, 240), dtype=bool)
    across = math.isqrt(count)
    wide, high = round(240 * scale), round(120 * scale)
    for row in range(across):
        for column in range(across):
            middle_x, middle_y = (240 * (2 * column + 1) / (2 * across), 240 * (2 * row + 1) / (2 * across))
            left, top = round(middle_x - wide / 2), round(middle_y - high / 2)
            assert not expected[top : top + high, left : left + wide].any()
            expected[top : top + high, left : left + wide] = True
    np.testing.assert_array_equal((scene == RED).all(-1), expected)
    np.testing.assert_array_equal((scene == BLUE).all(-1), ~expected)


def test_the_scene_does_not_change_its_ground():
    ground = plain(BLUE, (60, 60))
    scene_of(ground, plain(RED), 0.5)
    assert ground.getcolors() == [(3600, BLUE)]


def test_a_plain_ground_has_the_photos_mean_colour():
    photo = plain(RED, (30, 10))
    photo.paste((0, 40, 200), (0, 0, 10, 10))
    mean = [round(sum(pixel[n] for row in np.asarray(photo).tolist() for pixel in row) / 300) for n in range(3)]
    assert ground_of("plain", photo, 24).getcolors() == [(576, tuple(mean))]


def test_a_blurred_ground_is_the_photos_middle_without_its_details():
    photo = noise((300, 200))
    photo.paste(RED, (0, 0, 50, 200))  # outside the central square
    photo.paste(RED, (250, 0, 300, 200))
    blurred = np.asarray(ground_of("blur", photo, 96), dtype=np.float64)
    sharp = np.asarray(photo.crop((50, 0, 250, 200)), dtype=np.float64)
    assert blurred.shape == (96, 96, 3)
    assert blurred.std() < 0.05 * sharp.std()
    np.testing.assert_allclose(blurred.mean((0, 1)), sharp.mean((0, 1)), atol=2)


@pytest.mark.parametrize(("photos", "rows"), [
    (3, ["0120", "1201", "2012", "0120"]), (4, ["0123", "1230", "2301", "3012"]), (2, ["0101"] * 4), (1, ["0000"] * 4),
])
def test_clutter_is_sixteen_tiles_of_the_other_photos_in_turn(photos, rows):
    colours = [RED, GREEN, BLUE, (9, 9, 9)][:photos]
    others = [plain(colour, (10 + 30 * n, 90)) for n, colour in enumerate(colours)]
    scene = np.asarray(ground_of("clutter", noise(), 102, others))
    for row in range(4):
        for column in range(4):
            tile = scene[round(row * 25.5) : round((row + 1) * 25.5), round(column * 25.5) : round((column + 1) * 25.5)]
            assert (tile == colours[int(rows[row][column])]).all()


def test_a_tile_shows_the_middle_of_its_photo():
    photo = plain(RED, (300, 100))
    photo.paste(GREEN, (100, 0, 200, 100))
    assert ground_of("clutter", noise(), 64, [photo]).getcolors() == [(64 * 64, GREEN)]


def test_a_piece_is_cut_to_whole_pixels_and_never_empty():
    photo = noise()
    assert cut_out(photo, (10.4, 20.6, 30.2, 40.5)).tobytes() == photo.crop((10, 21, 30, 40)).tobytes()
    assert cut_out(photo, (30.7, 20.2, 40.6, 60.3)).tobytes() == photo.crop((31, 20, 41, 60)).tobytes()
    assert cut_out(photo, (0, 0, 0.2, 0.2)).size == (1, 1)
    assert cut_out(photo, (119.6, 99.7, 120, 100)).tobytes() == photo.crop((119, 99, 120, 100)).tobytes()


def test_what_cannot_be_cut_or_placed_is_refused():
    photo = noise()
    for box in ((-1, 0, 5, 5), (0, 0, 121, 5), (5, 0, 5, 5), (0, 9, 5, 2), (0, 0, float("nan"), 5)):
        with pytest.raises(ParameterError, match="inside the photo's 120 x 100 px"):
            cut_out(photo, box)
    for count in (0, 2, 16, True, "4"):
        with pytest.raises(ParameterError, match=r"number of objects is .*expected one of 1, 4, 9"):
            largest_scale(count)
    for scale, count in ((0.04, 1), (1.01, 1), (0.51, 4), (0.34, 9), (float("nan"), 1), (True, 1)):
        with pytest.raises(ParameterError, match="scale is"):
            scene_of(plain(BLUE, (60, 60)), plain(RED), scale, count)
    with pytest.raises(ParameterError, match="no ground 'sea'"):
        ground_of("sea", photo, 60)
    with pytest.raises(ParameterError, match="at least one other photo"):
        ground_of("clutter", photo, 60)


# A network that sees brightness: what an average and a maximum are, by hand.


class Brightness(nn.Module):
    """(B, 3, h, w) to (B, 1, h / 24, w / 24): how bright each square is, 0 to 1. It counts inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.batches.append(len(x))
        return nn.functional.avg_pool2d(x.mean(1, keepdim=True), 24)


@pytest.fixture
def sees_light(make_network) -> Network:
    """Logits 6 and 3 times the pooled brightness, the second with a baseline of 1."""
    plainly = Preprocessing(size=192, crop_ratio=1.0, mean=(0.0,) * 3, std=(1.0,) * 3, interpolation="nearest",
                            stride=24)
    network = with_backbone(make_network(linear([[6.0], [3.0]], [0.0, 1.0]), classes=2, channels=1), Brightness())
    return dataclasses.replace(network, preprocessing=plainly)


@pytest.fixture
def lamp(sees_light):
    """A white square on black, on a photo whose mean is nearly black."""
    photo = Image.new("RGB", (384, 384))
    photo.paste((255, 255, 255), (180, 180, 204, 204))
    return analyse(sees_light, photo)


LAMP = (180, 180, 204, 204)


def logits(scene: Scene) -> list[float]:
    """Of the first class under GAP, GMP and GeM."""
    return [float(outcome.logits[0]) for outcome in scene.outcomes]


def test_the_average_goes_with_the_area_and_the_maximum_stays(lamp):
    # 384 x 384 px, 16 x 16 positions of 24 px; the ground is of brightness 1 / 255.
    dark = 1 / 255
    for scale, positions in ((0.125, 4), (0.25, 16), (0.5, 64), (1.0, 256)):
        result = average_or_maximum(lamp, Setting(0, box=LAMP), scale, p=2)
        share = positions / 256
        assert result.share == share
        gap, gmp, gem = logits(result)
        assert gap == pytest.approx(6 * (share + (1 - share) * dark), abs=1e-4)
        assert gmp == pytest.approx(6, abs=1e-4)
        assert gem == pytest.approx(6 * math.sqrt(share + (1 - share) * dark**2), abs=1e-4)


def test_repeated_the_average_rises_fourfold_and_ninefold_and_the_maximum_not_at_all(sees_light):
    # Each lamp has 48 px of 576, two by two positions of the grid, whether there are one, four or nine.
    photo = Image.new("RGB", (576, 576))
    photo.paste((255, 255, 255), (0, 0, 48, 48))
    network = dataclasses.replace(sees_light, preprocessing=dataclasses.replace(sees_light.preprocessing, size=288))
    analysis = analyse(network, photo)
    scenes = [average_or_maximum(analysis, Setting(0, box=(0, 0, 48, 48), count=count), 1 / 12)
              for count in COUNTS]
    dark = round(255 * 48 * 48 / 576**2) / 255
    assert [scene.share for scene in scenes] == pytest.approx([n * 48 * 48 / 576**2 for n in (1, 4, 9)])
    for scene, count in zip(scenes, (1, 4, 9), strict=True):
        share = count * 48 * 48 / 576**2
        assert logits(scene)[0] == pytest.approx(6 * (share + (1 - share) * dark), abs=1e-4)
    assert [logits(scene)[1] for scene in scenes] == pytest.approx([6, 6, 6], abs=1e-4)


def test_growing_the_average_gets_half_way_at_half_the_area_and_the_maximum_at_once(lamp):
    result = growing(lamp, Setting(0, box=LAMP))
    np.testing.assert_allclose(result.scales, np.geomspace(0.05, 1, 10))
    gap, gmp, gem = result.half_way
    assert gap == pytest.approx(math.sqrt(0.5), abs=0.02)
    assert gmp < 0.1
    assert gmp < gem < gap
    assert (result.risen[0, 1:] >= result.risen[0, :-1] - 1e-6).all()
    np.testing.assert_allclose(result.risen[:, -1], 1)


# The answers, computed again.


def check_answers(network, scene, class_index, p):
    """The three poolings, by loops over the maps of the scene."""
    with torch.no_grad():
        maps = network.backbone(scene.analysis.input)[0].double().tolist()
    rows, biases = network.head.weight.double().tolist(), network.head.bias.double().tolist()
    for outcome, key, parameter in zip(scene.outcomes, NAMES, ((), (), (p,)), strict=True):
        answer = outcome.answer(class_index)
        logits = again.linear(rows, biases, again.pooled(key, maps, *parameter))
        others = [logit for n, logit in enumerate(logits) if n != class_index]
        assert (outcome.pooling, outcome.name) == (key, POOLINGS[key].label(**({"p": p} if parameter else {})))
        assert answer.logit == pytest.approx(logits[class_index], rel=1e-4, abs=1e-4)
        powers = [math.exp(logit - max(logits)) for logit in logits]
        assert answer.probability == pytest.approx(powers[class_index] / sum(powers), rel=1e-3, abs=1e-6)
        assert answer.rank == 1 + sum(logit > logits[class_index] for logit in logits)
        assert lead(outcome, class_index) == pytest.approx(logits[class_index] - max(others), rel=1e-3, abs=2e-4)


@pytest.mark.parametrize("ground", GROUNDS)
def test_the_answers_to_a_scene_again_in_loops(make_network, examples, ground):
    network = make_network(channels=7, classes=6)
    analysis = analyse(network, examples["cat"])
    setting = Setting(2, ground, 4, (50.0, 40.0, 200.0, 220.0), (examples["rocket"], examples["coffee"]))
    result = average_or_maximum(analysis, setting, 0.3, p=5.0)
    assert side_of_scenes(network) == 192
    assert result.analysis.image.size == (192, 192)
    by_hand = scene_of(ground_of(ground, examples["cat"], 192, setting.others),
                       examples["cat"].crop((50, 40, 200, 220)), 0.3, 4)
    assert result.analysis.image.tobytes() == by_hand.tobytes()
    pixels = torch.tensor(np.asarray(by_hand, dtype=np.float32) / 255).permute(2, 0, 1)
    mean, std = (torch.tensor(item).view(3, 1, 1) for item in (network.preprocessing.mean, network.preprocessing.std))
    torch.testing.assert_close(result.analysis.input[0], (pixels - mean) / std, atol=1e-5, rtol=1e-5)
    check_answers(network, result, 2, 5.0)


def test_the_answers_to_the_bundled_networks_scene_again(network, examples):
    espresso = network.class_names.index("espresso")
    analysis = analyse(network, examples["coffee"])
    result = average_or_maximum(analysis, Setting(espresso), 0.6)
    box = locate(analysis.under().evidence(espresso).cells.numpy(), analysis.framing.rectangles)
    assert result.box == object_box(analysis.under(), espresso) == (box.left, box.top, box.right, box.bottom)
    with torch.no_grad():
        maps = network.backbone(result.analysis.input)[0]
        vectors = maps.mean((1, 2)), maps.amax((1, 2)), maps.pow(3).mean((1, 2)).pow(1 / 3)
        for outcome, pooled in zip(result.outcomes, vectors, strict=True):
            answer, logits = outcome.answer(espresso), network.head(pooled[None])[0]
            assert answer.logit == pytest.approx(float(logits[espresso]), abs=1e-3)
            assert answer.rank == 1 + int((logits > logits[espresso]).sum())
            assert answer.probability == pytest.approx(float(logits.softmax(0)[espresso]), abs=1e-5)


def test_on_the_bundled_network_the_maximum_gets_half_way_at_a_smaller_object(network, examples):
    tripod = network.class_names.index("tripod")
    analysis = analyse(network, examples["photographer"])
    assert side_of_scenes(network) == 448
    result = growing(analysis, Setting(tripod))
    assert result.half_way[1] < result.half_way[0]
    once, four = (average_or_maximum(analysis, Setting(tripod, count=count), 0.3).outcomes for count in (1, 4))
    gap, gmp = (float(many.logits[tripod] / one.logits[tripod]) for one, many in zip(once[:2], four[:2], strict=True))
    assert gap > 1.5 * gmp


@pytest.mark.parametrize("count", COUNTS)
def test_how_far_each_pooling_has_risen_from_the_empty_ground_by_single_scenes(make_network, examples, count):
    network, rising = make_network(), 0
    analysis = analyse(network, examples["cat"])
    alone = analyse(network, ground_of("plain", examples["cat"], 192), "squash", 192)
    for index in range(4):
        setting = Setting(index, "plain", count, (50.0, 40.0, 200.0, 220.0))
        result = growing(analysis, setting, p=4.0)
        assert result.names == ("GAP", "GMP", "GeM, p = 4")
        assert (result.scales[0], result.scales[-1]) == (0.05, pytest.approx(1 / math.isqrt(count)))
        scenes = [average_or_maximum(analysis, setting, scale, p=4.0) for scale in result.scales.tolist()]
        for row, (key, own) in enumerate((("gap", {}), ("gmp", {}), ("gem", {"p": 4.0}))):
            empty = float(alone.under(key, **own).logits[index])
            logits = [float(scene.outcomes[row].logits[index]) for scene in scenes]
            assert result.empty[row] == pytest.approx(empty, abs=1e-5)
            way = max(logits) - empty
            if way < 1e-4:
                assert np.isnan([*result.risen[row], result.half_way[row]]).all() or way > -1e-4
                continue
            np.testing.assert_allclose(result.risen[row], [(logit - empty) / way for logit in logits], atol=2e-5 / way)
            first = next(n for n, logit in enumerate(logits) if logit - empty >= way / 2)
            assert result.half_way[row] <= result.scales[first] * (1 + 1e-9)
            assert first == 0 or result.half_way[row] >= result.scales[first - 1]
            at = np.interp(np.log(result.half_way[row]), np.log(result.scales), result.risen[row])
            assert first == 0 or at == pytest.approx(0.5, abs=1e-3)
            rising += 1
    assert rising > 3


def test_gem_with_p_of_one_is_the_average_and_a_large_one_nears_the_maximum(make_network, examples):
    analysis = analyse(make_network(), examples["cat"])
    gap, gmp, gem = logits(average_or_maximum(analysis, Setting(0, box=(0.0, 0.0, 90.0, 90.0)), p=1.0))
    assert gem == pytest.approx(gap, abs=1e-5)
    steep = logits(average_or_maximum(analysis, Setting(0, box=(0.0, 0.0, 90.0, 90.0)), p=100.0))[2]
    assert abs(steep - gmp) < abs(gap - gmp)


def test_another_p_runs_no_network_and_another_object_does(sees_light, lamp):
    batches = sees_light.backbone.batches
    before = len(batches)
    growing(lamp, Setting(0, box=LAMP), p=2.0)
    assert sum(batches[before:]) == 11  # ten scales and the empty ground
    ran = len(batches)
    growing(lamp, Setting(1, box=LAMP), p=9.0)
    assert len(batches) == ran
    growing(lamp, Setting(0, box=(0, 0, 50, 50)))
    growing(lamp, Setting(0, "blur", box=LAMP))
    growing(lamp, Setting(0, count=4, box=LAMP))
    assert sum(batches[ran:]) == 33


def test_probabilities_are_calibrated_where_a_number_was_fitted(make_network, examples):
    fitted = Calibration({"gmp": ((0.0, 0.25),), "gem": ((2.0, 0.5), (4.0, 0.3))})
    network = dataclasses.replace(make_network(), calibration=fitted)
    analysis = analyse(network, examples["cat"])
    setting = Setting(1, box=(50.0, 40.0, 200.0, 220.0))
    scene = average_or_maximum(analysis, setting, 0.5, 3.0)
    for row, (key, own, factor) in enumerate((("gap", {}, 1.0), ("gmp", {}, 0.25), ("gem", {"p": 3.0}, 0.4))):
        goal = (scene.analysis.under(key, **own).logits * factor).softmax(0)[1]
        assert scene.outcomes[row].answer(1, calibrated=True).probability == pytest.approx(float(goal), abs=1e-6)


def test_a_head_that_was_trained_for_a_pooling_answers_under_it(make_network, examples):
    head = nn.Linear(5, 4).eval().requires_grad_(False)
    network = dataclasses.replace(make_network(), trained={"gmp": TrainedPooling(POOLINGS["gmp"], {}, head)})
    analysis = analyse(network, examples["cat"])
    setting = Setting(1, box=(50.0, 40.0, 200.0, 220.0))
    scene = average_or_maximum(analysis, setting, 1.0)
    goal = float(head(scene.analysis.feature_maps.amax((1, 2)))[1])
    assert float(scene.outcomes[1].logits[1]) == pytest.approx(goal, abs=1e-5)
    ground = analyse(network, ground_of("plain", examples["cat"], 192), "squash", 192)
    empty = float(head(ground.feature_maps.amax((1, 2)))[1])
    assert growing(analysis, setting).empty[1] == pytest.approx(empty, abs=1e-5)


def test_a_network_of_one_logit_has_no_other_class_to_be_ahead_of(make_network, examples):
    analysis = analyse(make_network(classes=1), examples["cat"])
    outcomes = average_or_maximum(analysis, Setting(0, box=(0.0, 0.0, 90.0, 90.0))).outcomes
    assert [lead(outcome, 0) for outcome in outcomes] == [math.inf] * 3


def test_growing_reports_its_progress_and_can_be_stopped(lamp):
    reports = []
    growing(lamp, Setting(0, box=LAMP), progress=lambda *numbers: reports.append(numbers))
    assert reports == [(done, 10) for done in range(1, 11)]
    with pytest.raises(StoppedError, match="after 1 of 10 scenes"):
        growing(lamp, Setting(0, "blur", box=LAMP), stop=iter([False, True]).__next__)


def test_settings_outside_their_range_are_refused(make_network, examples):
    network = make_network(linear([[1.0] * 5, [-1.0] * 5], [0.0, 0.0]), classes=2)
    analysis = analyse(network, examples["cat"])
    box = (0.0, 0.0, 90.0, 90.0)
    for setting, words in (
        (Setting(2, box=box), "no class 2"), (Setting(0, count=3, box=box), "number of objects"),
        (Setting(0, "sea", box=box), "no ground"), (Setting(0, "clutter", box=box), "at least one other photo"),
        (Setting(0, box=(0, 0, 999, 9)), "inside the photo's"),
    ):
        for ask in (average_or_maximum, growing):
            with pytest.raises(ParameterError, match=words):
                ask(analysis, setting)
    for p in (0.5, 101.0):
        for ask in (average_or_maximum, growing):
            with pytest.raises(ParameterError, match="GeM's p"):
                ask(analysis, Setting(0, box=box), p=p)
    with pytest.raises(ParameterError, match="scale is"):
        average_or_maximum(analysis, Setting(0, count=4, box=box), 0.6)
    with pytest.raises(MethodError, match="no positive evidence for class 1"):
        average_or_maximum(analysis, Setting(1))


def test_a_network_that_takes_no_other_size_gets_scenes_of_its_own(make_network, examples):
    class OnlyItsOwn(nn.Module):
        def __init__(self, inside: nn.Module) -> None:
            super().__init__()
            self.inside = inside

        def forward(self, x: Tensor) -> Tensor:
            if x.shape[-1] != 96:
                raise RuntimeError("positional table has another size")
            return self.inside(x)

    network = make_network()
    network = with_backbone(network, OnlyItsOwn(network.backbone))
    box = (0.0, 0.0, 90.0, 90.0)
    for ask in (average_or_maximum, growing):
        with pytest.raises(FramingError, match="cannot take an input of 192 x 192 px"):
            ask(analyse(network, examples["cat"]), Setting(0, box=box))
    fixed = dataclasses.replace(network, preprocessing=Preprocessing(size=96, fixed=True))
    assert side_of_scenes(fixed) == 96
    assert growing(analyse(fixed, examples["cat"]), Setting(0, box=box)).risen.shape == (3, 10)
    assert side_of_scenes(dataclasses.replace(network, preprocessing=Preprocessing(size=700))) == 700
