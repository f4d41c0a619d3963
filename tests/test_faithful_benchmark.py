"""The benchmark that says which map finds objects: its measures by pixels, its maps by the package's own, its luck."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmarks.faithful.curves import CurveResults
from benchmarks.faithful.maps import AGAINST, VOTES, Runs, evidence_name, maps_of, mixtures
from benchmarks.faithful.numbers import MapVariant, ObjectResults, choose, mean_over
from benchmarks.faithful.objects import Question, area_of, boxes_of, covered_by, grid_of, measured, tile_of
from benchmarks.faithful.paired_test import paired_test
from explorer import POOLINGS
from explorer.errors import ParameterError
from explorer.questions.object_map import unlike
from explorer.questions.stitching import stitched


def in_pixels(boxes, rows, columns, fine=60):
    """(rows, columns): the share of each place that boxes cover, counted on a grid of fine * fine points a place."""
    ys, xs = ((np.arange(count * fine) + 0.5) / (count * fine) for count in (rows, columns))
    inside = np.zeros((rows * fine, columns * fine), bool)
    for left, top, right, bottom in boxes:
        inside |= np.outer((ys >= top) & (ys < bottom), (xs >= left) & (xs < right))
    return inside.reshape(rows, fine, columns, fine).mean((1, 3))


@pytest.mark.parametrize("boxes", [
    [(0.1, 0.2, 0.55, 0.8)], [(0.1, 0.2, 0.55, 0.8), (0.4, 0.5, 0.9, 0.95)], [(-0.2, 0.3, 0.4, 1.3)],
    [(0.0, 0.0, 1.0, 1.0)], [(0.31, 0.31, 0.32, 0.33)],
])
def test_what_boxes_cover_together_is_counted_once_and_only_on_the_photo(boxes):
    np.testing.assert_allclose(covered_by(boxes, 5, 7), in_pixels(boxes, 5, 7), atol=0.02)
    assert area_of(boxes) == pytest.approx(in_pixels(boxes, 5, 7).mean(), abs=0.01)


def test_the_measures_of_a_small_map_by_hand():
    covered = np.array([[1.0, 0.5], [0.0, 0.0]])
    inside = np.array([[True, False], [False, False]])
    # The strongest place lies on the object; of 5 positive, 3 + 0.5 * 1 lie on it; an object of 1.5 places takes the
    # place of 3 wholly and half of the next strongest, which is 0.5 on it.
    result = measured(np.array([[3.0, 1.0], [1.0 - 1e-9, -4.0]]), covered, inside)
    assert result == pytest.approx((1, 3.5 / 5, (1 + 0.5 * 0.5) / 1.5))
    # Two strongest places share the pointing; nothing positive has its energy everywhere alike.
    assert measured(np.array([[2.0, 2.0], [0.0, 0.0]]), covered, inside).pointing == 0.5
    flat = measured(-np.ones((2, 2)), covered, inside)
    assert flat == pytest.approx((0.25, covered.mean(), covered.mean()))


def test_labels_are_read_as_edges_by_class():
    assert boxes_of("1 0.5 0.5 0.2 0.4\n0 0.1 0.1 0.2 0.2\n1 0.9 0.9 0.2 0.2\n", ["cup", "dog"]) == {
        "dog": (pytest.approx((0.4, 0.3, 0.6, 0.7)), pytest.approx((0.8, 0.8, 1.0, 1.0))),
        "cup": (pytest.approx((0.0, 0.0, 0.2, 0.2)),)}


def test_each_photo_of_a_grid_stands_on_its_own_tile():
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)]
    grid = grid_of([Image.new("RGB", (300, 200 + 50 * n), colour) for n, colour in enumerate(colours)])
    for place, colour in enumerate(colours):
        left, top, right, bottom = (round(edge * 448) for edge in tile_of(place))
        tile = np.asarray(grid)[top:bottom, left:right].reshape(-1, 3)
        assert (tile == colour).all()


def test_its_maps_are_those_of_the_package(network, examples):
    question = Question(0, 967, ((0.5, 0.0, 1.0, 1.0),), (1, 2, 3), 1)
    runs = Runs(network, examples["cat_and_coffee"], 96)
    analysis = runs.analysis
    drawn = {item.name: item for item in maps_of(runs, [question])}
    for key in POOLINGS:
        one = drawn[evidence_name(key)]
        cells = analysis.under(key).evidence(967).cells.numpy()
        np.testing.assert_allclose(one.plain, cells, atol=1e-4)
        if key in ("gap", "gmp"):
            np.testing.assert_allclose(one.stitched, stitched(analysis.under(key), 967).cells, atol=1e-4)
    three = drawn[evidence_name("gap", AGAINST[2])].plain
    others = [analysis.under("gap").evidence(index).cells.numpy() for index in (967, 1, 2, 3)]
    np.testing.assert_allclose(three, others[0] - np.mean(others[1:], 0), atol=1e-4)
    np.testing.assert_allclose(drawn[VOTES].plain, analysis.votes(967).numpy(), atol=1e-5)
    rows = mixtures(analysis.under(), question)
    assert rows.sum(1).tolist() == pytest.approx([0, 1, 1, 1, 1, 1])
    assert rows[5].nonzero().flatten().tolist() == sorted(unlike(analysis.under(), 967))
    assert not rows[:, 967].any()


# How sure it is.


def test_questions_about_one_photo_count_once():
    values = np.array([[1.0], [3.0], [10.0]])
    mean, error = mean_over(values, np.array([0, 0, 1]))
    assert mean == pytest.approx([6.0])  # of 2 and 10
    assert error == pytest.approx([4.0])


def test_what_is_chosen_by_luck_gains_nothing_on_the_other_half():
    drawn = np.random.default_rng(0)
    ways = [MapVariant(f"way {n}", 224, False) for n in range(60)]
    result = ObjectResults({way: drawn.normal(size=(40, 4)) for way in ways}, np.arange(40), np.ones(40, int))
    best = max(result.mean(way).mean[-1] for way in ways)
    choice = choose(result, ways, ways[0], splits=200)
    seeming = best - result.mean(ways[0]).mean[-1]
    assert choice.gains[:, -1].mean() < seeming / 2
    sure = MapVariant("sure", 224, False)
    result.numbers[sure] = result.numbers[ways[0]] + 3
    choice = choose(result, [*ways, sure], ways[0], splits=50)
    assert choice.often == [(sure, 50)]
    assert choice.gains == pytest.approx(3)


def test_the_gain_on_a_control_is_of_the_areas_of_the_same_photos():
    areas = {"map": np.array([[0.1, 0.6], [0.2, 0.8]]), "random": np.array([[0.3, 0.3], [0.3, 0.5]])}
    judged = CurveResults(areas=areas)
    gain = judged.gain("map", "random")
    assert (gain["deletion"].mean, gain["insertion"].mean, gain["between"].mean) == pytest.approx((0.15, 0.3, 0.45))


# The paired test.


def p_by_enumeration(values: list[float]) -> Fraction:
    """How many of all choices of signs lie as far from 0, in exact arithmetic."""
    exact = [Fraction(value) for value in values]
    sums = [abs(sum(sign * value for sign, value in zip(signs, exact, strict=True)))
            for signs in itertools.product((1, -1), repeat=len(exact))]
    return Fraction(sum(item >= abs(sum(exact)) for item in sums), len(sums))


@given(st.lists(st.integers(-6, 6).map(float), min_size=1, max_size=8))
def test_the_paired_test_is_the_enumeration_of_all_signs(values):
    result = paired_test(values)
    assert result.p == pytest.approx(float(p_by_enumeration(values)), abs=1e-9)
    assert result.mean == pytest.approx(sum(values) / len(values))
    if len(values) > 1:
        mean = sum(values) / len(values)
        variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
        assert result.standard_error == pytest.approx(math.sqrt(variance / len(values)), abs=1e-9)


def test_sums_that_are_equal_by_arithmetic_count_as_equal():
    # 0.1 + 0.2 - 0.3 is not 0 in binary, nor is 0.3 - 0.1 - 0.2 the same: by tenths, all eight sums are at least 0.
    assert paired_test([0.1, 0.2, -0.3]).p == 1.0
    assert paired_test([0.1, 0.2, 0.3]).p == 0.25


def test_one_difference_says_nothing_and_differences_of_one_side_say_what_signs_can():
    assert paired_test([3.0]).p == 1.0
    assert math.isnan(paired_test([3.0]).standard_error)
    assert paired_test([1.0, 2.0, 0.5, 4.0, 1.5]).p == 2 / 32


def test_drawn_signs_come_near_to_all_signs_and_are_drawn_alike_each_time():
    values = np.random.default_rng(2).normal(0.35, 1, 15).round(2)
    signs = np.array(list(itertools.product((1, -1), repeat=15)))
    expected = (np.abs(signs @ values) >= abs(values.sum()) - 1e-9).mean()
    result = paired_test(values)
    assert result.p == pytest.approx(expected, abs=0.02)  # four standard errors of 9,999 draws
    assert paired_test(values).p == result.p
    assert paired_test(np.ones(40)).p == 1 / 10_000  # never 0: the differences as they are count too


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [[1.0]]])
def test_the_paired_test_refuses_what_is_no_row_of_numbers(values):
    with pytest.raises(ParameterError, match="finite"):
        paired_test(values)
