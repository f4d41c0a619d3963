"""Sentences made from made-up maps; every number here was worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from explorer.wording import (
    answer_parts,
    class_answer,
    evenness,
    evidence_sentence,
    exactness,
    number_word,
    percent,
    plain,
    second_part,
    signed,
    strongest_half,
    sum_sentence,
)


def one_position(row: int, column: int, side: int = 9) -> np.ndarray:
    cells = np.zeros((side, side))
    cells[row, column] = 2.0
    return cells


# Who holds half.


def test_the_fewest_positions_that_hold_half_are_counted():
    # 10 in all: 4 alone is under half, 4 + 3 is 70%.
    cells = np.array([[4.0, 3.0], [2.0, 1.0]])
    half = strongest_half(cells)
    assert (half.count, half.total) == (2, 4)
    assert half.share == pytest.approx(0.7)


def test_exactly_half_is_enough():
    half = strongest_half(np.array([[5.0, 3.0, 2.0]]))
    assert half.count == 1
    assert half.share == pytest.approx(0.5)


def test_half_is_enough_whatever_rounding_does_to_it():
    # In binary, three of six 0.3 are a hair less than half of their sum; so are six of twelve 0.1.
    assert strongest_half(np.full((2, 3), 0.3)).count == 3
    assert strongest_half(np.full((3, 4), 0.1)).count == 6


def test_evidence_against_the_class_counts_for_nothing():
    # Of the positive evidence, 3 of 4 lies in one place; the -100 is not part of it.
    cells = np.array([[3.0, -100.0], [1.0, 0.0]])
    half = strongest_half(cells)
    assert (half.count, half.total, half.share) == (1, 4, 0.75)


def test_a_tie_counts_as_many_as_it_takes():
    # Four equal ones: two of them are half.
    half = strongest_half(np.array([[1.0, 1.0], [1.0, 1.0]]))
    assert (half.count, half.share) == (2, 0.5)


def test_a_tie_is_broken_the_same_way_each_time():
    cells = np.zeros((4, 4))
    cells[0, 0] = cells[3, 3] = 1.0
    # One of the two is half; the first in reading order is taken.
    assert strongest_half(cells) == strongest_half(cells.copy())
    assert strongest_half(cells).place == "at the upper left"


@pytest.mark.parametrize("cells", [
    np.zeros((7, 7)), np.full((7, 7), -1.0), np.full((2, 2), np.nan), np.full((1, 1), -np.inf), np.zeros((0, 0)),
])
def test_a_map_with_nothing_positive_has_no_strongest_half(cells):
    assert strongest_half(cells) is None
    assert evidence_sentence(cells, "tench") == (
        "There is no positive evidence for tench: all of it is negative or zero.")


def test_what_is_not_a_finite_number_counts_for_nothing():
    cells = np.array([[np.nan, 6.0], [np.inf, 2.0]])
    half = strongest_half(cells)
    assert (half.count, half.total, half.share) == (1, 4, 0.75)
    assert evidence_sentence(cells) == "One of 4 positions, at the upper right, holds 75% of the positive evidence."


def test_a_map_of_one_position_is_called_one():
    assert evidence_sentence(np.array([[0.3]]), "espresso") == (
        "There is only one position, and it holds all of the positive evidence for espresso.")


def test_the_map_itself_is_left_as_it_was():
    cells = np.array([[np.nan, -1.0], [2.0, 1.0]])
    before = cells.copy()
    evidence_sentence(cells)
    np.testing.assert_array_equal(cells, before)


# Where they lie.

NINTHS = {
    (0, 0): "at the upper left", (0, 1): "at the top", (0, 2): "at the upper right",
    (1, 0): "on the left", (1, 1): "in the middle", (1, 2): "on the right",
    (2, 0): "at the lower left", (2, 1): "at the bottom", (2, 2): "at the lower right",
}


def test_each_ninth_of_the_map_has_its_words():
    for (down, across), place in NINTHS.items():
        for row in range(3 * down, 3 * down + 3):
            for column in range(3 * across, 3 * across + 3):
                assert strongest_half(one_position(row, column)).place == place
        cells = np.zeros((9, 9))
        cells[3 * down : 3 * down + 3, 3 * across : 3 * across + 3] = 1.0
        # Five of the nine equal positions are the fewest that hold half: 5/9 = 56%.
        assert evidence_sentence(cells).startswith("Five of 81 positions, ")
        assert evidence_sentence(cells).endswith(" hold 56% of the positive evidence.")


@pytest.mark.parametrize(("shape", "at", "place"), [
    ((1, 2), (0, 1), "on the right"), ((2, 1), (0, 0), "at the top"), ((7, 11), (6, 10), "at the lower right"),
    ((7, 7), (2, 2), "in the middle"), ((7, 7), (2, 1), "on the left"), ((7, 7), (1, 2), "at the top"),
])
def test_the_place_is_that_of_the_positions_middle_by_thirds(shape, at, place):
    cells = np.zeros(shape)
    cells[at] = 1.0
    assert strongest_half(cells).place == place


def test_heavier_positions_pull_the_place_towards_them():
    # Two together: 4 and 3.9 of 15.6 are the half, in columns 0 and 2: the middle of them at about 1.5 of 7.
    cells = np.zeros((7, 7))
    cells[3, 0], cells[3, 2], cells[3, 6], cells[0, 3] = 4.0, 3.9, 3.85, 3.85
    assert strongest_half(cells).count == 2
    assert strongest_half(cells).place == "on the left"


def test_two_far_corners_are_spread_over_the_photo():
    cells = np.zeros((7, 7))
    cells[0, 0], cells[6, 6], cells[3, 3] = 1.0, 0.9, 1.8
    # Half of 3.7 takes the middle and one corner; without the middle, both corners.
    assert strongest_half(cells).count == 2
    cells[3, 3] = 0.8
    # 1 + 0.9 of 2.7: their middle is the map's, and each lies 0.61 from it.
    assert strongest_half(cells).place == "spread over the photo"
    assert evidence_sentence(cells) == "Two of 49 positions, spread over the photo, hold 70% of the positive evidence."


def test_a_rim_is_spread_over_the_photo():
    cells = np.zeros((8, 8))
    cells[0], cells[7], cells[:, 0], cells[:, 7] = 1.0, 1.0, 1.0, 1.0  # the rim: 28 equal positions
    cells[1:7, 1:7] = 0.01  # 0.36 in all: the half, 14.18, takes 15 of the rim
    assert strongest_half(cells).count == 15
    assert strongest_half(cells).place == "spread over the photo"


def test_one_position_is_never_spread():
    for shape in ((1, 2), (2, 2), (3, 1), (7, 7)):
        for at in np.ndindex(shape):
            cells = np.zeros(shape)
            cells[at] = 1.0
            assert "spread" not in evidence_sentence(cells)


def test_the_sentence_is_whole():
    cells = np.zeros((7, 7))
    cells[5:, 5:] = [[2.0, 2.0], [2.0, 2.0]]
    cells[0, 0] = 4.0  # 12 in all: the 4, and one of the 2s, are half
    assert strongest_half(cells).count == 2
    cells[0, 0] = 0.5  # 8.5 in all: three of the 2s are 71%
    assert evidence_sentence(cells, "football helmet under GMP") == (
        "Three of 49 positions, at the lower right, hold 71% of the positive evidence for football helmet under GMP.")


# Numbers.


PERCENT = [
    (0.0, "0%"), (1.0, "100%"), (0.5, "50%"), (0.164, "16%"), (0.166, "17%"), (0.0095, "1%"), (0.0094, "0.9%"),
    (0.004, "0.4%"), (0.0005, "0.1%"), (0.0004, "<0.1%"), (1e-12, "<0.1%"), (0.994, "99%"), (0.9949, "99%"),
    (0.995, ">99%"), (0.9999999, ">99%"), (math.nextafter(1, 0), ">99%"), (math.nextafter(0, 1), "<0.1%"),
    (float("nan"), "not a number"), (float("inf"), "not a number"), (float("-inf"), "not a number"),
]


def test_a_share_in_percent():
    for share, text in PERCENT:
        assert percent(share) == text


def test_percent_is_never_100_of_what_is_not_certain_nor_0_of_what_is_possible():
    for share in np.concatenate([np.linspace(0, 1, 20_001)[1:-1], np.logspace(-300, -1, 500),
                                 1 - np.logspace(-16, -1, 500)[1:]]):
        if 0 < share < 1:
            assert percent(share) not in {"100%", "0%", "0.0%"}, share


def test_percent_never_falls_where_the_share_rises():
    def read(text: str) -> float:
        return {"<0.1%": 0.05, ">99%": 99.5}.get(text) or float(text.rstrip("%"))

    read_back = [read(percent(share)) for share in np.linspace(0, 1, 5001)]
    assert read_back == sorted(read_back)


@pytest.mark.parametrize(("value", "with_sign", "without"), [
    (0.414, "+0.41", "0.41"), (-0.026, "−0.03", "−0.03"), (12.0, "+12.00", "12.00"), (-7.125, "−7.12", "−7.12"),
    (0.0, "+0.00", "0.00"),
])
def test_numbers_have_two_decimals_and_a_true_minus(value, with_sign, without):
    assert signed(value) == with_sign
    assert plain(value) == without


@pytest.mark.parametrize("value", [-0.0, -0.001, -0.0049])
def test_what_rounds_to_nothing_has_no_minus(value):
    assert signed(value) == "+0.00"
    assert plain(value) == "0.00"


@pytest.mark.parametrize(("number", "word"), [(0, "no"), (1, "one"), (12, "twelve"), (13, "13"), (-1, "-1")])
def test_small_numbers_are_words(number, word):
    assert number_word(number) == word


@pytest.mark.parametrize(("exact", "residual", "text"), [
    (True, 2.1e-6, "exact, residual 2e-6"), (True, -2.1e-6, "exact, residual 2e-6"), (True, 0.0, "exact, residual 0"),
    (False, 0.0031, "integrated, residual 0.003"), (False, 0.001, "integrated, residual 0.001"),
    (True, 9.6e-4, "exact, residual 1e-3"), (False, 1.4, "integrated, residual 1"),
    (True, 1e-12, "exact, residual 1e-12"), (True, -0.02, "not exact, residual 0.02"),
])
def test_the_residual_has_one_digit(exact, residual, text):
    assert exactness(exact, residual) == text


@pytest.mark.parametrize(("residual", "logits", "kind"), [
    (0.005, [40_000.0, -3.0], "exact"), (-0.03, [12.0, -40_000.0], "exact"), (0.05, [40_000.0], "not exact"),
    (0.005, [4_000.0], "not exact"), (0.0049, [6.0], "exact"), (0.02, [np.nan, np.inf, 6.0], "not exact"),
])
def test_what_single_precision_rounds_a_large_logit_by_is_no_error(residual, logits, kind):
    assert exactness(True, residual, logits).partition(",")[0] == kind
    assert exactness(False, residual, logits).startswith("integrated, ")


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_not_a_number(number):
    assert signed(number) == plain(number) == "not a number"
    assert exactness(True, number) == "not exact, residual not a number"
    assert sum_sentence(number, 0.5, number) == (
        f"logit not a number = baseline 0.50 {'−' if number < 0 else '+'} evidence not a number")


def test_a_sum_has_the_sign_of_the_evidence():
    assert sum_sentence(4.04, 0.01, 4.03) == "logit 4.04 = baseline 0.01 + evidence 4.03"
    assert sum_sentence(-2.5, -0.5, -2.0) == "logit −2.50 = baseline −0.50 − evidence 2.00"


def test_a_sum_adds_up_in_the_digits_that_are_printed():
    assert sum_sentence(4.044, 0.014, 4.03) == "logit 4.04 = baseline 0.01 + evidence 4.03"
    assert sum_sentence(4.046, 0.014, 4.032) == "logit 4.05 = baseline 0.01 + evidence 4.04"
    for total, first in np.random.default_rng(0).normal(0, 9, (500, 2)):
        assert f"{round(first, 2) + second_part(total, first, total - first):.2f}" == f"{round(total, 2):.2f}"
    assert second_part(4.0, 1.0, 2.5) == 2.5, "half a logit is missing, and no rounding"


# Answers.


@pytest.mark.parametrize(("likeliest", "activation", "classes", "above", "sentence"), [
    ([("cat", 0.93), ("dog", 0.02)], "softmax", 5, 0, "Prediction: cat, 93%."),
    ([("cat", 0.93), ("dog", 0.02)], "none", 5, 0, "Prediction: cat, 93%."),
    ([("cat", 0.7)], "sigmoid", 1, 1, "Prediction: cat, 70%."),
    ([("cat", 0.2)], "sigmoid", 1, 0, "Prediction: not cat, which has 20%."),
    ([("cat", 0.2), ("dog", 0.1)], "sigmoid", 1200, 0, "None of 1,200 classes is above 50%; the closest is cat, 20%."),
    ([("cat", 0.9), ("dog", 0.6), ("hen", 0.1)], "sigmoid", 9, 2, "Above 50%: cat (90%) and dog (60%)."),
    ([(name, 0.8) for name in "abcde"], "sigmoid", 9, 7, "Above 50%: a (80%), b (80%), c (80%), d (80%) and 3 more."),
])
def test_the_answer_is_one_sentence(likeliest, activation, classes, above, sentence):
    assert "".join(answer_parts(likeliest, activation, classes, above)) == sentence


def test_the_answer_for_one_class_says_its_rank_or_on_which_side_of_a_half_it_is():
    assert class_answer("cat", 0.93, 1, "softmax") == "Prediction: cat, 93%"
    assert class_answer("dog", 0.02, 3, "softmax") == "Rank 3: dog, 2%"
    assert class_answer("dog", 0.5, 1, "sigmoid") == "Not above 50%: dog, 50%"
    assert class_answer("dog", 0.8, 2, "sigmoid") == "Above 50%: dog, 80%"


def test_shares_that_are_level_or_nearly_are_called_so_and_others_are_not():
    assert evenness(np.full((7, 7), 1 / 49)) == ["uniform: all positions alike"]
    assert evenness(np.array([0.33, 0.33, 0.34])) == ["nearly uniform: 33.00% to 34.00% at each position"]
    assert evenness(np.array([0.30, 0.34, 0.36])) == []
    assert evenness(np.array([0.0, 1.0])) == evenness(np.array([1.0])) == evenness(np.array([np.nan, 1.0])) == []
