"""A photo changed a little: against pixels, sums written out by hand and files that the test makes itself."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from explorer import analyse, read_image
from explorer.errors import ParameterError, StoppedError
from explorer.framing import Preprocessing
from explorer.images import digest
from explorer.networks import Network
from explorer.poolings import POOLINGS, parse_pooling
from explorer.questions.evidence_place import Place, border_evidence, border_sentence, distance, place_of
from explorer.questions.stability import (
    PoolingStability,
    Stability,
    VariantAnswer,
    movement_sentence,
    stability,
    stability_sentence,
)
from explorer.questions.variations import AS_IT_IS, VARIATIONS, Variant, usual_values, variants_of, varied
from tests.explorer import layered
from tests.explorer.own_models import Small, seeded
from tests.explorer.photos import saved
from tests.explorer.tiny import linear

NAN, INF = float("nan"), float("inf")
MOVES = ("shift", "flip", "scale", "crop")
FRAMINGS = ("crop", "whole", "squash")


class Bright(nn.Module):
    """(B, 3, h, w) with values from 0 to 1 to (B, 1, h / side, w / side): how bright each square is."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(x.double().mean(1, keepdim=True), self.side).float()


class RedLeftAndRight(nn.Module):
    """(B, 3, h, w) to (B, 2, 2, 2): how red each quarter is, of the left ones and of the right ones."""

    def forward(self, x: Tensor) -> Tensor:
        red = nn.functional.adaptive_avg_pool2d(x[:, :1].double(), 2).float()
        return torch.cat([red * torch.tensor([1.0, 0.0]), red * torch.tensor([0.0, 1.0])], 1)


def network_of(backbone: nn.Module, head: nn.Module, activation: str = "softmax", **wants: object) -> Network:
    """A network of these parts that is given values from 0 to 1."""
    own = {"size": 96, "crop_ratio": 0.75, "mean": (0, 0, 0), "std": (1, 1, 1)}
    classes = head.out_features
    return Network(
        name="hand", title="Hand", backbone=backbone, pooling=POOLINGS["gap"], head=head,
        class_names=("left", "right", "none")[:classes] if classes > 1 else ("bright",),
        preprocessing=Preprocessing(**(own | wants)), digest="0" * 64, origin="made by hand", activation=activation,
    )


def sees_brightness(side: int = 1, **wants: object) -> Network:
    """One logit: twice the mean brightness, minus a half."""
    return network_of(Bright(side), linear([[2.0]], [-0.5]), "sigmoid", **wants)


def sees_sides(activation: str = "softmax") -> Network:
    """Logits of "left", "right" and "none": four times the mean red of each side, and 0.3."""
    return network_of(RedLeftAndRight(), linear([[4.0, 0.0], [0.0, 4.0], [0.0, 0.0]], [0.0, 0.0, 0.3]), activation,
                      crop_ratio=1.0)


def with_dot(size: tuple[int, int], centre: tuple[float, float], side: int) -> Image.Image:
    """A black photo with a white square."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    left, top = (round(middle - side / 2) for middle in centre)
    pixels[top : top + side, left : left + side] = 255
    return Image.fromarray(pixels)


def two_halves(left: int = 200, right: int = 100) -> Image.Image:
    """96 x 96 px, red alone: the left half and the right one."""
    pixels = np.zeros((96, 96, 3), np.uint8)
    pixels[:, :48, 0], pixels[:, 48:, 0] = left, right
    return Image.fromarray(pixels)


def values_of(analysis, variations: object) -> dict | None:
    """Values by variation, from keys (at their usual values) or from numbers and pairs by key."""
    if isinstance(variations, dict):
        return {key: [value if isinstance(value, tuple) else (value,) for value in values]
                for key, values in variations.items()}
    return None if variations is None else {key: usual_values(key, analysis.network) for key in variations}


def variants(analysis, variations: object = None) -> tuple[Variant, ...]:
    return variants_of(analysis, values_of(analysis, variations))


def stable(analysis, class_index: int, poolings=(), variations=None, **named: object) -> Stability:
    """Under the network's own pooling, or under some."""
    outcomes = [analysis.under(key, **parameters) for key, parameters in map(parse_pooling, poolings)]
    return stability(outcomes or [analysis.under()], class_index, values_of(analysis, variations), **named)


def found_for(
    network: Network, photo: Image.Image, variations: object, *, requests: int = 0, **named: object
) -> PoolingStability:
    """The answers under the network's own pooling."""
    return stable(analyse(network, photo), requests, variations=variations, **named).under[0]


# Places.


@pytest.mark.parametrize(("framing", "size"), [
    ("crop", (300, 200)), ("whole", (160, 240)), ("squash", (160, 240)), ("crop", (64, 80))])
def test_a_bright_dot_is_found_where_it_is_on_the_photo_however_the_photo_was_moved(framing, size):
    side = size[0] // 32 * 2
    centre = (round(0.55 * size[0]), round(0.46 * size[1]))
    photo = with_dot(size, centre, side)
    analysis = analyse(sees_brightness(), photo, framing)
    left, top, right, bottom = analysis.framing.seen
    expected = ((centre[0] - left) / (right - left), (centre[1] - top) / (bottom - top))
    under = stable(analysis, 0, variations=MOVES).under[0]
    pixel = 1 / 96
    assert len(under.rows) >= 20
    for row in (under.original, *under.rows):
        assert (row.place.across, row.place.down) == pytest.approx(expected, abs=0.3 * pixel), row.variant
        columns, rows = analysis.framing.grid[::-1]
        assert (row.place.column, row.place.row) == pytest.approx((expected[0] * columns, expected[1] * rows), abs=0.5)


@pytest.mark.parametrize("framing", ["crop", "whole"])
def test_a_dot_in_coarse_positions_is_brought_back_to_within_half_a_position_and_as_counted_by_hand(framing):
    photo = with_dot((300, 200), (161, 92), 3)
    analysis = analyse(sees_brightness(12, stride=12), photo, framing)
    rows, columns = analysis.framing.grid
    left, top, right, bottom = analysis.framing.seen
    across, down = (161 - left) / (right - left), (92 - top) / (bottom - top)
    width, height = analysis.framing.input_size
    moved = []
    for row in stable(analysis, 0, variations=("shift", "flip")).under[0].rows:
        x, y = across * width, down * height  # of the dot, on the changed input
        x = width - x if row.variant.variation == "flip" else x - row.variant.value[0]
        y = y if row.variant.variation == "flip" else y - row.variant.value[1]
        if min(x % 12, 12 - x % 12, y % 12, 12 - y % 12) < 3:
            continue  # it lies in two positions
        x, y = 12 * (x // 12) + 6, 12 * (y // 12) + 6  # the centre of the position it lies in, brought back
        x = width - x if row.variant.variation == "flip" else x + row.variant.value[0]
        y = y if row.variant.variation == "flip" else y + row.variant.value[1]
        moved.append((row.place.column, row.place.row))
        assert moved[-1] == pytest.approx((x / 12, y / 12), abs=0.05), row.variant
        assert moved[-1] == pytest.approx((across * columns, down * rows), abs=0.5), row.variant
    assert len(moved) >= 3


def test_a_photo_that_is_even_is_moved_without_any_change_and_brightness_multiplies_its_logit():
    photo = Image.new("RGB", (150, 120), (100, 100, 100))
    analysis = analyse(sees_brightness(), photo)
    under = stable(analysis, 0).under[0]
    seen = {}
    for row in under.rows:  # at quality 10 JPEG keeps an even grey to within 5 levels: steps of 80 / 8
        factor = row.variant.value[0] if row.variant.variation == "brightness" else 1
        seen[row.variant.variation] = seen.get(row.variant.variation, 0) + 1
        near = 2 * 5 / 255 if row.variant.variation == "jpeg" else 1e-5
        assert row.logit == pytest.approx(2 * round(100 * factor) / 255 - 0.5, abs=near), row.variant
        assert row.probability == pytest.approx(1 / (1 + math.exp(-row.logit)), abs=1e-5)
    assert seen == {"shift": 8, "flip": 1, "scale": 4, "brightness": 4, "jpeg": 5, "crop": 8}
    of = {key: [row for row in under.rows if row.variant.variation == key] for key in ("flip", "brightness")}
    assert {row.variant.value[0]: row.logit for row in of["brightness"]} == pytest.approx(
        {0.6: 120 / 255 - 0.5, 0.8: 160 / 255 - 0.5, 1.2: 240 / 255 - 0.5, 1.4: 280 / 255 - 0.5}, abs=1e-5)
    for row in of["flip"] + of["brightness"]:
        assert row.place == pytest.approx((0.5, 0.5, 48, 48), abs=1e-4)
        assert row.moved == pytest.approx(0, abs=1e-3)


def test_the_place_is_the_mean_of_the_positions_that_speak_for_the_class_written_out_by_hand():
    analysis = analyse(sees_brightness(24), Image.new("RGB", (128, 128)))  # seen: 16 to 112 px, four positions
    cells = np.zeros((4, 4))
    cells[1, 0], cells[1, 2], cells[3, 3], cells[0, 1] = 3.0, 1.0, -5.0, INF
    # The middle lies at (3 * 0.5 + 1 * 2.5) / 4 = 1 position across and 1.5 down.
    assert place_of(cells, (16.0, 16.0, 112.0, 112.0), analysis) == pytest.approx((0.25, 0.375, 1.0, 1.5))
    # An input that shows 40 to 88 px: positions of 12 px; its middle is at 40 + 12 = 52 and 40 + 18 = 58 px.
    assert place_of(cells, (40.0, 40.0, 88.0, 88.0), analysis) == pytest.approx(((52 - 16) / 96, (58 - 16) / 96,
                                                                                 36 / 24, 42 / 24))
    # Mirrored: 112 - 24 = 88 px.
    assert place_of(cells, (112.0, 16.0, 16.0, 112.0), analysis) == pytest.approx((0.75, 0.375, 3.0, 1.5))
    assert place_of(-np.abs(np.nan_to_num(cells, posinf=0)), (16.0, 16.0, 112.0, 112.0), analysis) is None
    assert place_of(np.full((4, 4), NAN), (16.0, 16.0, 112.0, 112.0), analysis) is None


def test_the_way_between_two_places_is_counted_in_positions():
    assert distance(Place(0.1, 0.2, 1.0, 2.0), Place(0.4, 0.6, 4.0, 6.0)) == 5.0
    assert math.isnan(distance(None, Place(0.1, 0.2, 1.0, 2.0)))


# Answers, by hand.


def test_mirrored_moved_and_darker_halves_get_the_logits_written_out_by_hand():
    under = found_for(sees_sides(), two_halves(), {
        "flip": [1], "shift": [(12, 0), (-12, 0), (0, 12)], "brightness": [0.6, 0.1], "scale": [1.0]})
    expected = [
        # Half of the positions are on each side, so a side's mean counts half: four times a half of red / 255.
        ("mirroring", 200 / 255, 400 / 255),
        # 36 px of 200 and 12 px of 100 are left of the middle, 100 alone is right of it: its edge is repeated.
        ("a shift of 12 px to the right", 2 * 175 / 255, 200 / 255),
        ("a shift of 12 px to the left", 400 / 255, 2 * 125 / 255),
        ("a shift of 12 px down", 400 / 255, 200 / 255),
        ("a brightness of 0.6", 240 / 255, 120 / 255),
        ("a brightness of 0.1", 40 / 255, 20 / 255),
        ("a zoom of 1", 400 / 255, 200 / 255),
    ]
    assert under.original.logit == pytest.approx(400 / 255)
    for row, (label, left, right) in zip(under.rows, expected, strict=True):
        assert row.variant.label == label
        assert row.logit == pytest.approx(left, abs=1e-5), label
        total = math.exp(left) + math.exp(right) + math.exp(0.3)
        assert row.probability == pytest.approx(math.exp(left) / total, abs=1e-5)
        assert row.rank == 1 + sorted((left, right, 0.3), reverse=True).index(left)
    assert [row.answer for row in under.rows] == [1, 0, 0, 0, 0, 2, 0]
    assert [row.stays for row in under.rows] == [False, True, True, True, True, False, True]


def test_the_place_follows_the_class_to_the_other_half_where_the_photo_itself_has_moved_on():
    # What speaks for "left" is always on the input's left half: brought back, mirroring puts it on the right one.
    under = found_for(sees_sides(), two_halves(), {"flip": [1], "shift": [(24, 0)]})
    assert under.original.place == pytest.approx((0.25, 0.5, 0.5, 1.0))
    assert under.rows[0].place == pytest.approx((0.75, 0.5, 1.5, 1.0))
    assert under.rows[1].place == pytest.approx((0.5, 0.5, 1.0, 1.0), abs=1e-5)
    assert [row.moved for row in under.rows] == pytest.approx([1.0, 0.5], abs=1e-5)
    assert movement_sentence(stability_of([]), under).endswith("moves by at most 1.0 positions.")


def test_the_answers_are_counted_and_the_range_of_the_probability_is_that_of_all():
    result = stable(analyse(sees_sides(), two_halves()), 0, variations={"flip": [1], "brightness": [0.6, 0.1]})
    assert "stays in 1 of 3 variants" in stability_sentence(result, result.under[0])
    of_left = {name: math.exp(left) / (math.exp(left) + math.exp(right) + math.exp(0.3)) for name, left, right in (
        ("original", 400 / 255, 200 / 255), ("flip", 200 / 255, 400 / 255), ("dark", 40 / 255, 20 / 255))}
    assert f"between {of_left['flip']:.0%} and {of_left['original']:.0%}," in movement_sentence(result, result.under[0])


def test_a_class_that_becomes_the_answer_has_its_name():
    rows = [[float(-n), 0.0] for n in range(8)]
    rows[7] = [0.0, 9.0]
    network = dataclasses.replace(sees_sides(), head=linear(rows, [0.0] * 8),
                                  class_names=tuple(f"class {n}" for n in range(8)))
    # Left red alone: logits 0, -1, .. and 0 times a half of red; mirrored, class 7 gets 9 times it.
    alone = stable(analyse(network, two_halves(200, 0)), 0, variations={"flip": [1]})
    assert alone.under[0].rows[0].answer == 7
    assert "makes it class 7" in stability_sentence(alone, alone.under[0])


def test_where_each_class_is_asked_by_itself_the_answer_stays_while_the_class_keeps_its_side_of_one_half():
    # Logits of "none" are 0.3 always: found. "left" is found always; its logit is never below 0.
    network = dataclasses.replace(sees_sides("sigmoid"), head=linear([[4.0, 0.0], [0.0, 4.0], [0.0, 0.0]],
                                                                      [-1.0, -1.0, 9.0]))
    analysis = analyse(network, two_halves())
    tried = {"flip": [1], "brightness": [0.7, 0.6], "scale": [1.0]}
    # "left" has 400 / 255 - 1 = 0.57, mirrored 200 / 255 - 1 < 0, darker 280 / 255 - 1 > 0 and 240 / 255 - 1 < 0.
    left = stable(analysis, 0, variations=tried)
    assert left.independent
    assert [row.stays for row in left.under[0].rows] == [False, True, False, True]
    assert {row.answer for row in left.under[0].rows} == {2}  # "none" has the largest logit throughout
    # "right" is not found, but mirrored.
    assert [row.stays for row in stable(analysis, 1, variations=tried).under[0].rows] == [False, True, True, True]
    assert all(row.stays for row in stable(analysis, 2, variations=tried).under[0].rows)


def test_a_single_logit_keeps_its_side_of_one_half():
    photo = Image.new("RGB", (96, 96), (80, 80, 80))  # 2 * 80 / 255 - 0.5 > 0; 2 * 0.6 * 80 / 255 - 0.5 < 0
    result = stable(analyse(sees_brightness(), photo), 0, variations={"brightness": [0.6, 0.9, 1.4]})
    assert result.independent
    assert [row.stays for row in result.under[0].rows] == [False, True, True]
    assert [row.answer for row in result.under[0].rows] == [0, 0, 0]


# Photos.


@pytest.mark.parametrize("framing", ["crop", "whole"])
def test_a_shift_of_nothing_and_a_zoom_of_one_show_what_the_network_saw(network, examples, framing):
    for name in ("cat",):
        analysis = analyse(network, examples[name], framing)
        for variant in variants(analysis, {"shift": [(0, 0)], "scale": [1.0]}):
            changed, shows = varied(analysis, variant)
            assert shows == pytest.approx(analysis.framing.seen)
            levels = (changed.input - analysis.input).abs() * 128
            assert levels.max() <= 1.01  # grey levels
            assert levels.mean() < 0.01


def test_a_shift_moves_the_input_by_as_many_pixels_with_what_lies_beyond_the_framing(network, examples):
    analysis = analyse(network, examples["rocket"])  # 640 x 427: there is photo left and right of the framing
    right, up = (varied(analysis, entry)[0].input for entry in variants(analysis, {"shift": [(12, 0), (0, -4)]}))
    assert (right[..., :-12] - analysis.input[..., 12:]).abs().max() * 128 <= 1.01
    assert (up[..., 4:, :] - analysis.input[..., :-4, :]).abs().max() * 128 <= 1.01
    whole = analyse(network, examples["rocket"], "whole", 256)  # the same scale but for half a percent
    assert right[..., -12:].std() > 0.1
    assert whole.input.shape[-1] > analysis.input.shape[-1]
    # An edge that is repeated is the same in each column.
    squashed = analyse(network, examples["rocket"], "squash")
    beyond = varied(squashed, variants(squashed, {"shift": [(12, 0)]})[0])[0].input
    assert (beyond[..., :-14] - squashed.input[..., 12:-2]).abs().max() * 128 <= 1.01
    assert beyond[..., -10:].std(-1).max() < 1e-6


def test_compressed_mirrored_and_brighter_photos_get_the_answers_of_files_made_by_hand(network, examples):
    photo = examples["coffee"]
    pixels = np.asarray(photo)
    brighter = np.array([[[min(255, math.floor(value * 1.4 + 0.5)) for value in pixel] for pixel in line]
                         for line in pixels[:8].tolist()], np.uint8)
    lookup = np.array([min(255, math.floor(value * 1.4 + 0.5)) for value in range(256)], np.uint8)
    assert (lookup[pixels[:8]] == brighter).all()
    files = [saved(photo, "JPEG", quality=10, subsampling=2), saved(Image.fromarray(pixels[:, ::-1].copy()), "PNG"),
             saved(Image.fromarray(lookup[pixels]), "PNG")]
    result = stable(analyse(network, photo), 967, ("gmp", "gem:p=4"),
                      {"jpeg": [10], "flip": [1], "brightness": [1.4]}, calibrated=True)
    assert [under.name for under in result.under] == ["GMP", "GeM, p = 4"]
    for under, (pooling, parameters) in zip(result.under, (("gmp", {}), ("gem", {"p": 4})), strict=True):
        for row, file in zip(under.rows, files, strict=True):
            outcome = analyse(network, read_image(file)).under(pooling, **parameters)
            answer = outcome.answer(967, calibrated=True)
            assert (row.logit, row.probability, row.rank) == pytest.approx(
                (answer.logit, answer.probability, answer.rank), abs=2e-4), row.variant
            assert row.answer == outcome.top(1)[0].class_index
        assert under.multiplier == (analyse(network, photo).under(pooling, **parameters).multiplier or 1.0)


def test_the_photo_and_its_analysis_stay_as_they_are(network, examples):
    photo = examples["cat"]
    before, analysis = digest(photo), analyse(network, photo)
    x, maps, logits = analysis.input.clone(), analysis.feature_maps.clone(), analysis.under("gmp").logits.clone()
    result = stable(analysis, 281, ("gmp",))
    assert digest(photo) == before
    assert torch.equal(analysis.input, x)
    assert torch.equal(analysis.feature_maps, maps)
    assert torch.equal(analysis.under("gmp").logits, logits)
    assert result.under[0].original.logit == pytest.approx(float(logits[281]))


# Variants.


def crops_of(analysis) -> list[tuple[float, ...]]:
    return [varied(analysis, entry)[1] for entry in variants(analysis, ["crop"])]


def test_a_crop_moves_only_where_there_is_photo():
    network = sees_brightness(12, crop_ratio=1.0)
    wide = analyse(network, Image.new("RGB", (200, 100)))  # it sees 50 to 150 px, from top to bottom
    assert np.array(crops_of(wide)) == pytest.approx(np.array([(40, 0, 140, 100), (60, 0, 160, 100)]))
    assert [entry.label for entry in variants(wide, ["crop"])] == ["a crop moved 10% to the left",
                                                                   "a crop moved 10% to the right"]
    near = analyse(network, Image.new("RGB", (108, 96)))  # 6 px are left on each side
    assert np.array(crops_of(near)) == pytest.approx(np.array([(0, 0, 96, 96), (12, 0, 108, 96)]))
    values = [entry.value for entry in variants(near, {"crop": [(-0.02, 0), (0.5, 0)]})]
    assert np.array(values) == pytest.approx(np.array([(-0.02, 0), (0.0625, 0)]))


@pytest.mark.parametrize(("framing", "size", "ratio"), [
    ("whole", (200, 100), 0.75), ("crop", (102, 100), 1.0)])
def test_where_there_is_no_more_photo_nine_tenths_are_seen_at_nine_places(framing, size, ratio):
    analysis = analyse(sees_brightness(12, crop_ratio=ratio), Image.new("RGB", size), framing)
    left, top, right, bottom = analysis.framing.seen
    width, height = right - left, bottom - top
    boxes = crops_of(analysis)
    assert len({tuple(round(edge, 3) for edge in box) for box in boxes}) == len(boxes) == 9
    for box in boxes:
        assert (box[2] - box[0], box[3] - box[1]) == pytest.approx((0.9 * width, 0.9 * height))
        assert min(box[:2]) >= -1e-6
        assert box[2] <= size[0] + 1e-6
        assert box[3] <= size[1] + 1e-6
    first = boxes[0]
    assert first[:2] == pytest.approx((0, 0))
    assert variants(analysis, {"crop": [(0, 0)]})[0].label == "a crop of 90%"


def test_usual_shifts_shrink_with_the_stride_and_stay_below_it():
    network = sees_brightness(12)
    for stride in (32, 64, 16, 8, 4, 2):
        wants = dataclasses.replace(network.preprocessing, stride=stride)
        values = usual_values("shift", dataclasses.replace(network, preprocessing=wants))
        assert all(0 < max(map(abs, pair)) < stride for pair in values)
        assert {(-x, -y) for x, y in values} == {(y, x) for x, y in values} == set(values)
    assert usual_values("shift", network) == VARIATIONS["shift"].usual
    half = dataclasses.replace(network, preprocessing=dataclasses.replace(network.preprocessing, stride=8))
    assert sorted({max(map(abs, pair)) for pair in usual_values("shift", half)}) == [1, 3]


def test_every_variation_at_its_usual_values_is_allowed_and_differs_from_nothing():
    analysis = analyse(sees_brightness(12), Image.new("RGB", (160, 130)))
    for key, variation in VARIATIONS.items():
        tried = variants_of(analysis, {key: variation.usual})
        assert len({variant.label for variant in tried}) == len(tried) >= 1
        assert all(variant.size > 0 for variant in tried)
    assert [variant.variation for variant in variants(analysis, ["jpeg"])] == ["jpeg"] * 5
    assert {entry.variation for entry in variants(analysis)} == set(VARIATIONS)


def test_a_photo_too_long_for_jpeg_is_not_compressed():
    analysis = analyse(sees_brightness(12), Image.new("RGB", (65_600, 2)), "squash")
    assert variants(analysis, ["jpeg"]) == ()
    under = found_for(analysis.network, analysis.image, ["flip"], requests=0)
    assert under.rows[0].stays


# Asking.


def test_each_variant_costs_one_forward_pass_however_many_poolings_are_asked(make_network):
    network = make_network()
    analysis = analyse(network, layered.photo())
    before, reports = network.backbone.calls, []
    result = stable(analysis, 1, list(POOLINGS), progress=lambda done, total: reports.append((done, total)))
    count = len(result.variants)
    assert network.backbone.calls - before == count
    assert reports == [(n, count) for n in range(1, count + 1)]
    assert [under.pooling for under in result.under] == list(POOLINGS)
    assert all([row.variant for row in under.rows] == list(result.variants) for under in result.under)


def test_it_stops_when_told_to(make_network):
    network = make_network()
    analysis, reports = analyse(network, layered.photo()), []
    before = network.backbone.calls
    with pytest.raises(StoppedError, match="after 3 of 30 variants"):
        stable(analysis, 1, progress=lambda done, total: reports.append(done), stop=lambda: len(reports) == 3)
    assert reports == [1, 2, 3]
    assert network.backbone.calls - before == 3


def test_outcomes_with_parameters_are_asked_again_with_the_same(make_network):
    analysis = analyse(make_network(), layered.photo())
    outcomes = [analysis.under("gem", p=7), analysis.under("topk", share=0.5)]
    result = stability(outcomes, 2, {"flip": [(1,)]})
    mirrored = analyse(analysis.network, analysis.image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    for under, outcome, parameters in zip(result.under, outcomes, ({"p": 7}, {"share": 0.5}), strict=True):
        assert under.name == outcome.name
        expected = mirrored.under(outcome.pooling, **parameters).logits[2]
        assert under.rows[0].logit == pytest.approx(float(expected), abs=1e-5)
    alone = stability(outcomes[:1], 2, {"flip": [(1,)]})
    assert alone.under[0].rows[0].logit == pytest.approx(result.under[0].rows[0].logit, abs=1e-5)
    own = stable(analysis, 2, variations=["flip"]).under[0]
    assert (own.pooling, own.label) == ("gap", "native")


def test_a_class_pooling_or_outcome_that_does_not_fit_is_refused(make_network):
    network = make_network()
    one, other = (analyse(network, layered.photo(seed)) for seed in (0, 1))
    for outcomes, index, message in (
        ([one.under()], 9, "no class 9"), ([], 0, "at least one outcome"),
        ([one.under(), other.under()], 0, "all of one analysis"),
    ):
        with pytest.raises(ParameterError, match=message):
            stability(outcomes, index, {"flip": [(1,)]})


# Without evidence.


@pytest.mark.parametrize(("pooled", "layer"), [(False, None), (True, "one")])
def test_a_network_without_evidence_answers_and_is_placed_by_grad_cam(pooled, layer):
    network = layered.network(pooled)
    network = dataclasses.replace(network, preprocessing=dataclasses.replace(network.preprocessing, fixed=True))
    analysis = analyse(network, layered.photo(), layer=layer)
    result = stable(analysis, 1)
    assert result.place_by == "grad_cam"
    assert {variant.variation for variant in result.variants} == set(VARIATIONS)
    for row in (result.under[0].original, *result.under[0].rows):
        changed, shows = (analysis, analysis.framing.seen) if row.variant is AS_IT_IS else varied(analysis, row.variant)
        assert changed.input.shape == (1, 3, 96, 96)
        logits = network.layers.logits(changed.input)[0]
        assert row.logit == pytest.approx(float(logits[1]), abs=1e-5)
        assert row.probability == pytest.approx(float(logits.softmax(0)[1]), abs=1e-5)
        cam = changed.cam("grad_cam", 1).double().clamp_min(0).numpy()
        height, width = cam.shape
        if not cam.any():
            assert row.place is None
            continue
        x = sum(cam[i, j] * (j + 0.5) for i in range(height) for j in range(width)) / cam.sum() / width
        at = shows[0] + x * (shows[2] - shows[0])
        low, _, high, _ = analysis.framing.seen
        assert row.place.across == pytest.approx((at - low) / (high - low), abs=1e-5)


def test_a_classifier_that_flattens_its_maps_is_varied_as_it_is():
    flat = seeded(lambda: Small(pool=nn.Identity(), head=nn.Linear(8 * 8 * 8, 4)))
    network = Network.from_module(flat, Preprocessing(size=32, fixed=True))
    assert network.pooling is None
    photo = layered.photo(3, (70, 50))
    result = stable(analyse(network, photo), 2, variations=("flip", "scale", "crop"))
    mirrored = analyse(network, photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)).input
    assert result.under[0].rows[0].logit == pytest.approx(flat(mirrored)[0, 2].item(), abs=1e-5)
    assert result.under[0].pooling == "none"


def test_a_network_of_grey_images_is_varied_too():
    class Grey(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.avg_pool2d(x.double(), 12).float()

    network = network_of(Grey(), linear([[2.0]], [-0.5]), "sigmoid", mean=(0,), std=(1,))
    under = found_for(network, Image.new("RGB", (150, 120), (100, 100, 100)), None)
    assert len(under.rows) == 30
    zoomed = next(row for row in under.rows if row.variant.variation == "scale")
    assert zoomed.logit == pytest.approx(200 / 255 - 0.5, abs=1e-5)


# Sentences.


def row_of(variant: Variant = AS_IT_IS, answer: int = 0, stays: bool = True, probability: float = 0.5,
           moved: float = NAN) -> VariantAnswer:
    return VariantAnswer(variant, answer, stays, probability, 0.0, 1, None, moved)


def stability_of(rows: list[VariantAnswer], independent: bool = False) -> Stability:
    under = PoolingStability("gap", "GAP", "native", 1.0, row_of(), tuple(rows))
    return Stability(0, ("football helmet", "bobsled"), independent, "evidence", tuple(row.variant for row in rows),
                     (under,))


def test_the_sentence_counts_and_names_the_least_change():
    tried = variants(analyse(sees_brightness(12), Image.new("RGB", (160, 130))),
                     {"shift": [(-4, 0), (4, 0), (0, 12)], "flip": [1], "jpeg": [90, 30]})
    steady = [row_of(variant) for variant in tried]

    def says(*changed: int, independent: bool = False, variation: str | None = None) -> str:
        rows = [dataclasses.replace(row, answer=1, stays=False, probability=0.41) if n in changed else row
                for n, row in enumerate(steady)]
        result = stability_of([row for row in rows if variation in (None, row.variant.variation)], independent)
        return stability_sentence(result, result.under[0])

    assert says() == "The answer stays in all 6 variants."
    assert says(2) == "The answer stays in 5 of 6 variants; a shift of 12 px down makes it bobsled."
    assert says(2, 3, 1) == ("The answer stays in 3 of 6 variants; a shift of 4 px to the right makes it bobsled, and "
                             "two others change it too.")
    # Quality 90 is a seventh of the way to 30; four px are a third of the way to twelve.
    assert says(0, 4) == ("The answer stays in 4 of 6 variants; JPEG at quality 90 makes it bobsled, and one other "
                          "changes it too.")
    assert says(*range(6)).startswith("The answer stays in none of 6 variants; JPEG at quality 90 makes it bobsled")
    assert says(3, variation="flip") == "The answer does not stay; mirroring makes it bobsled."
    assert says(3, variation="jpeg") == "The answer stays in all 2 variants."
    assert says(variation="flip") == "The answer stays in the one variant."
    assert says(variation="scale") == "Nothing was varied."
    assert says(3, independent=True) == ("The answer for football helmet stays in 5 of 6 variants; mirroring brings it "
                                        "to 41%.")


def test_the_second_sentence_gives_the_range_and_the_largest_movement():
    darker, lighter = variants(analyse(sees_brightness(12), Image.new("RGB", (160, 130))), {"brightness": [0.6, 1.4]})
    result = stability_of([row_of(darker, probability=0.12, moved=0.4),
                          row_of(lighter, probability=0.3, moved=1.26)])
    assert movement_sentence(result, result.under[0]) == (
        "Its probability lies between 12% and 50%, and its evidence moves by at most 1.3 positions.")
    other = dataclasses.replace(result, class_index=1)
    assert movement_sentence(other, other.under[0]).startswith("The probability of bobsled lies between 12% and 50%,")
    nowhere = stability_of([row_of(darker)])
    assert movement_sentence(nowhere, nowhere.under[0]) == "Its probability stays at 50%."


def test_a_sentence_of_a_real_run_says_what_its_rows_say():
    result = stable(analyse(sees_sides(), two_halves()), 0, variations={"flip": [1], "brightness": [0.6]})
    assert stability_sentence(result, result.under[0]) == (
        "The answer stays in 1 of 2 variants; mirroring makes it right.")


# The border.


def test_the_border_of_a_map_by_hand():
    cells = np.array([[1.0, 0.0, -2.0, 0.0],
                      [0.0, 3.0, 4.0, 1.0],
                      [0.0, -1.0, 0.0, 0.0],
                      [2.0, 0.0, 0.0, NAN]])
    border = border_evidence(cells)
    assert border == (12 / 16, 4 / 11, False)
    assert border_sentence(border) == ""


def test_evidence_is_gathered_at_the_border_from_a_quarter_above_its_share():
    # A 7 x 7 map has 24 of 49 positions in its border: 24 / 49 * 1.25 = 61.2%.
    cells = np.zeros((7, 7))
    cells[3, 3], cells[0, 2], cells[6, 6] = 39.0, 30.0, 31.0
    assert not border_evidence(cells).gathered
    cells[3, 3], cells[6, 6] = 38.0, 32.0
    border = border_evidence(cells)
    assert border.gathered
    assert border[:2] == pytest.approx((24 / 49, 0.62))
    assert "49%" in border_sentence(border)
    assert "62%" in border_sentence(border)
    cells[3, 3] = -1000.0  # negative evidence is no reason
    assert border_evidence(cells).gathered


@pytest.mark.parametrize("shape", [(1, 9), (2, 7), (3, 3)])
def test_a_map_with_a_side_of_one_or_two_is_all_border_and_gives_no_warning(shape):
    cells = np.zeros(shape)
    cells[0, 0] = 5.0
    assert border_evidence(cells) == (8 / 9 if shape == (3, 3) else 1, 1, False)
    assert border_evidence(-cells)[1:] == (0.0, False)


def test_evidence_of_a_bright_frame_is_gathered_at_the_border():
    pixels = np.full((128, 128, 3), 20, np.uint8)
    pixels[28:-28, 28:-28] = 0  # 16 px are cropped away on each side, and a position has 12
    outcome = analyse(sees_brightness(12), Image.fromarray(pixels)).under()
    border = border_evidence(outcome.evidence(0).cells.numpy())
    assert border.share_of_positions == 28 / 64
    assert border.share_of_evidence == pytest.approx(1, abs=0.02)
    assert border.gathered
