"""Deletion and insertion curves, controls and drops, against numbers worked out by hand."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from explorer import POOLINGS, analyse
from explorer.errors import ParameterError, StoppedError
from explorer.framing import Preprocessing
from explorer.networks import Network
from explorer.networks.engine import inputs_at_once
from explorer.questions.trust import CONTROLS, maps_to_judge, probability_drops, removal_curves
from tests.explorer.own_models import Small, network_of, seeded
from tests.explorer.tiny import linear

NAN, INF = float("nan"), float("inf")
CELL = 24  # px of a position


class Brightness(nn.Module):
    """(B, 3, h, w) to (B, 1, H, W): how bright each position is, 0 to 1, times a number of its own. Counts inputs."""

    def __init__(self, numbers: list[list[float]]) -> None:
        super().__init__()
        self.numbers = torch.tensor(numbers)
        self.inputs = 0

    def forward(self, x: Tensor) -> Tensor:
        self.inputs += len(x)
        return nn.functional.avg_pool2d(x[:, :1].double(), CELL).float() * self.numbers


def additive(numbers: list[list[float]], greys: list[list[int]], activation: str = "softmax"):
    """An analysis whose logit of class 0 is the sum over positions of number x brightness; that of class 1 is 0."""
    positions = len(numbers) * len(numbers[0])
    side = CELL * len(numbers)
    network = Network(
        name="additive", title="Additive", backbone=Brightness(numbers), pooling=POOLINGS["gap"],
        head=linear([[float(positions)], [0.0]], [0.0, 0.0]), class_names=("bright", "other"),
        preprocessing=Preprocessing(size=side, mean=(0.0,) * 3, std=(1.0,) * 3, interpolation="nearest",
                                    stride=CELL), digest="0" * 64, origin="by hand", activation=activation,
    )
    pixels = np.kron(np.array(greys, dtype=np.uint8), np.ones((CELL, CELL), dtype=np.uint8))
    return analyse(network, Image.fromarray(pixels).convert("RGB"), "squash")


def sigmoid(number: float) -> float:
    return 1 / (1 + math.exp(-number))


def by_hand(numbers: list[list[float]], greys: list[list[int]], out: set[tuple[int, int]]) -> float:
    """The logit of `additive` when these positions have the photo's mean colour, a whole grey."""
    flat = [grey for row in greys for grey in row]
    mean = round(sum(flat) / len(flat))
    return sum(
        number * (mean if (i, j) in out else greys[i][j]) / 255
        for i, row in enumerate(numbers) for j, number in enumerate(row)
    )


def trapezoids(shares: list[float], values: list[float]) -> float:
    return sum((b - a) * (u + v) / 2 for (a, b), (u, v) in
               zip(itertools.pairwise(shares), itertools.pairwise(values), strict=True))


# A network that looks only at one position: white, among black ones; the mean grey is 64.
ONE, ALONE = [[0.0, 0.0], [4.0, 0.0]], [[0, 0], [255, 0]]
WITH, WITHOUT = sigmoid(4.0), sigmoid(4.0 * 64 / 255)


def test_the_curves_of_a_network_that_looks_at_one_position_are_known():
    outcome = additive(ONE, ALONE).under()
    first, last, second = [[1, 2], [7, 0]], [[3, 2], [-5, 1]], [[1, 9], [7, 0]]
    result = removal_curves(outcome, 0, {"first": first, "last": last, "second": second}, fill="mean", steps=4)
    expected = {
        "first": ([WITH] + [WITHOUT] * 4, [WITHOUT] + [WITH] * 4),
        "second": ([WITH] * 2 + [WITHOUT] * 3, [WITHOUT] * 2 + [WITH] * 3),
        "last": ([WITH] * 4 + [WITHOUT], [WITHOUT] * 4 + [WITH]),
    }
    for name, (deletion, insertion) in expected.items():
        curve = result.of(name)
        assert curve.shares.tolist() == [0, 0.25, 0.5, 0.75, 1]
        assert curve.deletion == pytest.approx(deletion, abs=1e-6)
        assert curve.insertion == pytest.approx(insertion, abs=1e-6)
        assert not curve.control
    middle = (WITH + WITHOUT) / 2
    assert result.of("first").deletion_area == pytest.approx(0.25 * middle + 0.75 * WITHOUT, abs=1e-6)
    assert result.of("first").insertion_area == pytest.approx(0.25 * middle + 0.75 * WITH, abs=1e-6)
    assert result.of("last").deletion_area == pytest.approx(0.75 * WITH + 0.25 * middle, abs=1e-6)
    assert (result.before, result.nothing) == pytest.approx((WITH, WITHOUT), abs=1e-6)
    better = (WITH - WITHOUT) * 0.75
    assert result.gain("first", "last") == pytest.approx((better, 2 * better), abs=1e-6)
    assert result.of("first").between == pytest.approx(better, abs=1e-6)


def test_each_control_is_what_it_is_said_to_be():
    # The mean of (p0, p1) is the area of an order and the same backwards, whatever was drawn: the one position goes
    # as early in the one as it goes late in the other.
    result = removal_curves(additive(ONE, ALONE).under(), 0, {}, fill="mean", steps=4, orders=2, seed=5)
    assert [curve.name for curve in result.curves] == list(CONTROLS)
    assert all(curve.control for curve in result.curves)
    assert result.of("random").deletion_area == pytest.approx((WITH + WITHOUT) / 2, abs=1e-6)
    assert result.of("random").insertion_area == pytest.approx((WITH + WITHOUT) / 2, abs=1e-6)
    faded = [sigmoid(4 * ((1 - share) + share * 64 / 255)) for share in (0, 0.25, 0.5, 0.75, 1)]
    assert result.of("uniform").deletion == pytest.approx(faded, abs=1e-6)
    assert result.of("uniform").insertion == pytest.approx(faded[::-1], abs=1e-6)
    assert (result.of("random").between, result.of("uniform").between) == pytest.approx((0, 0), abs=1e-6)


def test_the_middle_goes_first_and_the_corners_last_in_the_order_of_the_centre():
    def when(i: int, j: int) -> int:
        """How many positions have gone when the probability falls."""
        numbers, greys = np.zeros((3, 3)), np.zeros((3, 3), dtype=int)
        numbers[i, j], greys[i, j] = 3, 255
        outcome = additive(numbers.tolist(), greys.tolist()).under()
        deletion = removal_curves(outcome, 0, {}, "mean", steps=9).of("centre").deletion
        return int(np.flatnonzero(deletion < deletion[0] - 0.1)[0])

    assert when(1, 1) == 1
    assert sorted(when(i, j) for i, j in ((0, 1), (1, 0), (1, 2), (2, 1))) == [2, 3, 4, 5]
    assert sorted(when(i, j) for i, j in ((0, 0), (0, 2), (2, 0), (2, 2))) == [6, 7, 8, 9]


def test_random_is_the_mean_of_its_orders():
    outcome = additive([[1.0, 2.0], [-3.0, 0.5]], [[250, 30], [90, 170]]).under()
    alone = [removal_curves(outcome, 0, {}, "mean", 4, orders=n).of("random") for n in (1, 2, 3)]
    # The orders are drawn one after the other, so those of a shorter list begin a longer one.
    curves = [alone[0].deletion, 2 * alone[1].deletion - alone[0].deletion,
              3 * alone[2].deletion - 2 * alone[1].deletion]
    areas = [trapezoids([0, 0.25, 0.5, 0.75, 1], curve.tolist()) for curve in curves]
    assert alone[2].deletion_area == pytest.approx(sum(areas) / 3, abs=1e-6)
    other = removal_curves(outcome, 0, {}, "mean", 4, orders=3, seed=1).of("random")
    assert not np.allclose(other.deletion, alone[2].deletion)


def test_no_order_is_better_than_that_of_what_each_position_changes():
    numbers, greys = [[3.0, -2.0], [1.0, 2.5]], [[200, 40], [120, 255]]
    mean = round((200 + 40 + 120 + 255) / 4)
    oracle = [[number * (grey - mean) for number, grey in zip(*rows, strict=True)]
              for rows in zip(numbers, greys, strict=True)]
    orders = {str(order): np.reshape(order, (2, 2)) for order in itertools.permutations(range(4))}
    analysis = additive(numbers, greys)
    result = removal_curves(analysis.under(), 0, {"oracle": oracle} | orders, fill="mean", steps=4)
    best = result.of("oracle")
    for name, order in orders.items():
        curve = result.of(name)
        assert (best.deletion <= curve.deletion + 1e-6).all()
        assert (best.insertion >= curve.insertion - 1e-6).all()
        # By hand: the positions by falling strength.
        places = sorted(itertools.product(range(2), range(2)), key=lambda at, order=order: -order[at])
        goal = [sigmoid(by_hand(numbers, greys, set(places[:k]))) for k in range(5)]
        assert curve.deletion == pytest.approx(goal, abs=1e-5)
        assert curve.deletion_area == pytest.approx(trapezoids([0, 0.25, 0.5, 0.75, 1], goal), abs=1e-5)
    # 24 orders of 4 positions are 16 different sets, of which the photo itself is known; "uniform" fades it in 3 steps.
    assert result.passes == 15 + 3
    assert analysis.network.backbone.inputs == 1 + 18
    # The worst is the oracle upside down, and deletion of the one is insertion of the other read backwards.
    upside_down = removal_curves(analysis.under(), 0, {"worst": -np.array(oracle)}, fill="mean", steps=4).of("worst")
    assert upside_down.insertion == pytest.approx(best.deletion[::-1], abs=1e-6)
    assert upside_down.deletion_area == pytest.approx(max(curve.deletion_area for curve in result.curves), abs=1e-6)


@given(st.integers(1, 30), st.integers(0, 10**6))
def test_every_number_of_steps_takes_out_as_much_as_it_should(steps, seed):
    numbers = np.random.default_rng(seed).normal(size=(3, 3)).round(2).tolist()
    greys = np.random.default_rng(seed + 1).integers(0, 256, (3, 3)).tolist()
    cells = np.random.default_rng(seed + 2).permutation(9).reshape(3, 3)
    curve = removal_curves(additive(numbers, greys).under(), 0, {"map": cells}, "mean", steps, orders=1).of("map")
    counts = [math.floor(Fraction(9 * k, steps) + Fraction(1, 2)) for k in range(steps + 1)]
    assert curve.shares == pytest.approx([count / 9 for count in counts])
    places = sorted(itertools.product(range(3), range(3)), key=lambda at: -cells[at])
    deleted = [by_hand(numbers, greys, set(places[:count])) for count in counts]
    inserted = [by_hand(numbers, greys, set(places[count:])) for count in counts]
    assert curve.deletion == pytest.approx([sigmoid(z) for z in deleted], abs=1e-5)
    assert curve.insertion == pytest.approx([sigmoid(z) for z in inserted], abs=1e-5)
    assert curve.insertion_area == pytest.approx(
        trapezoids([count / 9 for count in counts], [sigmoid(z) for z in inserted]), abs=1e-5)


def test_more_steps_than_positions_change_no_area_and_cost_no_pass():
    outcome = additive([[1.0, 2.0], [-3.0, 0.5]], [[250, 30], [90, 170]]).under()
    maps = {"map": [[4, 3], [2, 1]]}
    few, many = (removal_curves(outcome, 0, maps, "mean", steps, orders=2) for steps in (4, 37))
    for name in ("map", "random", "centre", "uniform"):
        assert many.of(name).deletion_area == pytest.approx(few.of(name).deletion_area, abs=1e-6)
    assert many.passes == 0


@pytest.mark.parametrize("bad", [NAN, INF])
def test_what_is_not_finite_comes_last(bad):
    result = removal_curves(additive(ONE, ALONE).under(), 0, {"map": [[-3, -4], [bad, -5]]}, "mean", 4).of("map")
    assert result.deletion == pytest.approx([WITH] * 4 + [WITHOUT], abs=1e-6)


def test_level_positions_go_alike_in_all_maps_and_not_by_their_place_on_the_photo():
    outcome = additive([[1.0] * 4] * 4, np.arange(0, 256, 16).reshape(4, 4).tolist()).under()
    flat = {"zeros": np.zeros((4, 4)), "ones": np.ones((4, 4))}
    result = removal_curves(outcome, 0, flat | {"by place": -np.arange(16.0).reshape(4, 4)}, "mean", 16)
    assert result.of("zeros").deletion.tolist() == result.of("ones").deletion.tolist()
    assert not np.allclose(result.of("zeros").deletion, result.of("by place").deletion)
    other = removal_curves(outcome, 0, flat, "mean", 16, seed=1)
    assert not np.allclose(result.of("zeros").deletion, other.of("zeros").deletion)


def test_what_was_asked_once_is_not_asked_again():
    analysis = additive([[1.0, 2.0], [-3.0, 0.5]], [[250, 30], [90, 170]])
    outcome, backbone = analysis.under(), analysis.network.backbone
    first = removal_curves(outcome, 0, {"a": [[4, 3], [2, 1]]}, "mean", 4)
    ran = backbone.inputs
    assert ran == 1 + first.passes
    # The same order at another scale, and another class: nothing new. Another fill: all of it.
    again = removal_curves(outcome, 1, {"a": [[40, 30], [20, 10]]}, "mean", 4)
    assert (again.passes, backbone.inputs) == (0, ran)
    assert again.of("a").deletion == pytest.approx(1 - first.of("a").deletion, abs=1e-6)
    blurred = removal_curves(outcome, 0, {"a": [[4, 3], [2, 1]]}, "blur", 4)
    assert blurred.passes == first.passes == backbone.inputs - ran
    assert not np.allclose(blurred.of("a").deletion, first.of("a").deletion)


def test_the_outcome_that_is_asked_judges_whatever_the_map_is_of():
    numbers, greys = [[1.0, 2.0], [-3.0, 0.5]], [[250, 30], [90, 170]]
    analysis = additive(numbers, greys)
    cells = {"map": [[4, 3], [2, 1]]}
    under = removal_curves(analysis.under("gmp"), 0, cells, "mean", 4)
    mean = round((250 + 30 + 90 + 170) / 4)
    out, goal = [], []
    for at in (None, (0, 0), (0, 1), (1, 0), (1, 1)):
        out += [at] if at else []
        goal.append(4 * max(numbers[i][j] * (mean if (i, j) in out else greys[i][j]) / 255
                              for i in range(2) for j in range(2)))
    assert under.of("map").deletion == pytest.approx([sigmoid(logit) for logit in goal], abs=1e-5)
    assert (under.pooling, under.fill) == ("GMP", "mean")


def test_a_network_of_independent_classes_is_judged_by_its_own_probability():
    outcome = additive(ONE, ALONE, "sigmoid").under()
    result = removal_curves(outcome, 1, {"first": [[1, 2], [7, 0]]}, "mean", 4).of("first")
    assert result.deletion == pytest.approx([0.5] * 5)  # its logit is 0 whatever is taken out
    assert removal_curves(outcome, 0, {}, "mean", 4).before == pytest.approx(WITH)


def test_on_a_real_network_the_strongest_positions_are_taken_out_of_the_input(network, examples):
    analysis = analyse(network, examples["coffee"])
    outcome = analysis.under()
    index = outcome.top(1)[0].class_index
    cells = outcome.evidence(index).cells
    curve = removal_curves(outcome, index, {"evidence": cells}, "mean", steps=4, orders=1).of("evidence")
    # 49 positions in 4 steps: 12, 25 (half of 49, halves up), 37, 49. The mean colour, by the pixels of the crop.
    left, top, right, bottom = analysis.framing.seen
    crop = np.asarray(analysis.image)[int(top):round(bottom), int(left):round(right)]
    colour = (torch.tensor([round(float(crop[..., k].mean())) for k in range(3)]) - 127) / 128
    order = cells.flatten().argsort(descending=True).tolist()
    for step, count in enumerate((0, 12, 25, 37, 49)):
        x = analysis.input.clone()
        for n in order[:count]:
            i, j = divmod(n, 7)
            x[0, :, 32 * i : 32 * i + 32, 32 * j : 32 * j + 32] = colour[:, None, None]
        assert curve.deletion[step] == pytest.approx(float(network(x).softmax(1)[0, index]), abs=1e-4)


# Which maps.


def test_maps_to_judge_are_the_evidence_and_the_cams_of_the_class(make_network, examples):
    analysis = analyse(make_network(), examples["cat"])
    outcome = analysis.under("gem", p=5)
    maps, skipped = maps_to_judge(outcome, 2, ["gap", "gem"], ["grad_cam", "layer_cam"])
    assert list(maps) == ["evidence under GAP", "evidence under GeM, p = 5", "Grad-CAM", "Layer-CAM"]
    expected = [analysis.under("gap").evidence(2).cells, outcome.evidence(2).cells, outcome.cam("grad_cam", 2),
                outcome.cam("layer_cam", 2)]
    for got, goal in zip(maps.values(), expected, strict=True):
        assert got.dtype == np.float64
        assert got.tolist() == goal.double().tolist()
    assert skipped == {}
    assert len(maps_to_judge(outcome, 2, methods=())[0]) == len(POOLINGS)


def test_what_a_network_cannot_have_is_skipped_with_the_reason(make_network, examples):
    head = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 4))
    outcome = analyse(make_network(head), examples["cat"]).under()
    maps, skipped = maps_to_judge(outcome, 0, ["gmp"], ["cam", "grad_cam"])
    assert list(maps) == ["evidence under GMP", "Grad-CAM"]
    assert "affine" in skipped["CAM"]


def test_a_network_without_a_pooling_is_judged_by_its_cams(examples):
    network = network_of(seeded(lambda: Small(nn.Flatten(), nn.Linear(512, 4))))
    assert network.pooling is None
    outcome = analyse(network, examples["cat"]).under()
    maps, skipped = maps_to_judge(outcome, 1)
    result = removal_curves(outcome, 1, maps, fill="mean", steps=5)
    assert skipped == {"evidence": network.reason}
    assert [curve.name for curve in result.curves] == ["Grad-CAM", "Layer-CAM", *CONTROLS]
    assert result.before == pytest.approx(outcome.answer(1).probability, abs=1e-5)
    # Its photo without anything is of one colour.
    plain = analyse(network, _of_mean_colour(outcome.analysis)).under()
    assert result.nothing == pytest.approx(plain.answer(1).probability, abs=1e-5)
    assert maps_to_judge(outcome, 1, poolings=(), methods=()) == ({}, {})


def _of_mean_colour(analysis):
    left, top, right, bottom = analysis.framing.seen
    crop = np.asarray(analysis.image)[int(top):round(bottom), int(left):round(right)]
    return Image.new("RGB", analysis.image.size, tuple(round(float(crop[..., k].mean())) for k in range(3)))


# Being told, stopping, and what is refused.


def test_progress_is_told_and_a_stop_leaves_nothing_behind():
    analysis = additive(np.ones((4, 4)).tolist(), np.arange(0, 256, 16).reshape(4, 4).tolist())
    outcome, reports, at_once = analysis.under(), [], inputs_at_once(analysis.input)
    with pytest.raises(StoppedError):
        removal_curves(outcome, 0, {}, "mean", 16, progress=lambda *both: reports.append(both),
                       stop=lambda: len(reports) >= 2)
    assert [done for done, _ in reports] == [at_once, 2 * at_once]
    result = removal_curves(outcome, 0, {}, "mean", 16, progress=lambda *both: reports.append(both))
    assert reports[-1] == (result.passes, result.passes)
    assert analysis.network.backbone.inputs == 1 + 2 * at_once + result.passes
    assert np.isfinite(result.of("random").deletion_area)


@pytest.mark.parametrize(("given", "sentence"), [
    ({"class_index": 2}, "class"), ({"fill": "inpaint"}, "fill"), ({"steps": 0}, "steps"),
    ({"orders": 0}, "orders"), ({"maps": {"map": [[1, 2]]}}, r"\(1, 2\)"), ({"maps": {"random": ALONE}}, "control"),
])
def test_what_cannot_be_judged_is_refused_by_name(given, sentence):
    with pytest.raises(ParameterError, match=sentence):
        removal_curves(additive(ONE, ALONE).under(), **{"class_index": 0, "maps": {}} | given)


def test_a_curve_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(ParameterError, match=r"'grad'.*centre"):
        removal_curves(additive(ONE, ALONE).under(), 0, {}, "mean", 1).of("grad")


# The photo seen through a map.


def test_the_drop_of_a_network_that_looks_at_one_position_is_known():
    analysis = additive(ONE, ALONE)
    maps = {"there": [[0, 0], [3, -1]], "elsewhere": [[0, 2], [-1, NAN]], "half there": [[8, 0], [4, 0]],
            "nowhere": [[-1, -2], [-3, 0]], "everywhere": [[2, 2], [2, 2]]}
    result = {item.name: item for item in probability_drops(analysis.under(), 0, maps, "mean")}
    half = sigmoid(4 * (0.5 + 0.5 * 64 / 255))
    after = {"there": WITH, "elsewhere": WITHOUT, "half there": half, "nowhere": WITHOUT, "everywhere": WITH}
    kept = {"there": 0.25, "elsewhere": 0.25, "half there": 0.375, "nowhere": 0.0, "everywhere": 1.0}
    for name, item in result.items():
        assert item.after == pytest.approx(after[name], abs=1e-6)
        assert item.drop == pytest.approx((WITH - after[name]) / WITH, abs=2e-6)
        assert item.kept == pytest.approx(kept[name])
        assert not item.increase
    # To the other class it is a gain, and no drop.
    other = {item.name: item for item in probability_drops(analysis.under(), 1, maps, "mean")}
    assert (other["elsewhere"].drop, other["elsewhere"].increase) == (0.0, True)
    assert analysis.network.backbone.inputs == 1 + 4  # what lets everything through is the photo, which is known


def test_nothing_is_lost_of_a_probability_of_zero():
    result = probability_drops(additive([[-400.0]], [[255]]).under(), 0, {"map": [[-1]]}, "blur")
    assert result[0].after == result[0].drop == 0.0
    assert not result[0].increase
