"""Why this class and not that one: differences of logits, decomposed once more by hand and in plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from explorer import POOLINGS, analyse
from explorer.errors import MethodError, ParameterError
from explorer.questions.contrast import DecidingChannel, check_pair, contrast, deciding_channels, pooling_contrast
from tests.explorer import layered
from tests.explorer import second_derivations as again
from tests.explorer.tiny import analysis_of, heads, linear, random_maps

NAN, INF = float("nan"), float("inf")
TOLERANCE = {key: 1e-3 if key == "lse" else 1e-4 for key in POOLINGS}

# Class 0 minus class 1 weighs channel 0 with 3, channel 1 with -1 and channel 2 with 0: of the last both want as much.
ROWS = [[2.0, 1.0, 5.0], [-1.0, 2.0, 5.0], [0.0, 0.0, -9.0]]
MAPS = torch.tensor([[[4.0, 0.0], [0.0, 4.0]], [[0.0, 8.0], [0.0, 0.0]], [[2.0, 2.0], [2.0, 2.0]]])


@pytest.fixture
def by_hand(make_network):
    return analysis_of(make_network(linear(ROWS, [0.5, 0.25, 0.0]), classes=3, channels=3), MAPS)


# One pooling, two classes.


def test_a_contrast_by_hand(by_hand):
    # Under GAP channel 0 adds 3 * 4 / 4 at two positions, channel 1 -1 * 8 / 4 at one.
    result = contrast(by_hand.under("gap"), 0, 1)
    assert result.cells.tolist() == [[3.0, -2.0], [0.0, 3.0]]
    assert result.channels.tolist() == [6.0, -2.0, 0.0]
    assert (result.baseline, result.difference, result.residual, result.exact) == (0.25, 4.25, 0.0, True)
    # Under GMP 3 * 4, shared by two tied maxima, and -8.
    result = contrast(by_hand.under("gmp"), 0, 1)
    assert result.cells.tolist() == [[6.0, -8.0], [0.0, 6.0]]
    assert (result.difference, result.residual) == (4.25, 0.0)


@pytest.mark.parametrize("key", POOLINGS)
def test_a_contrast_agrees_with_plain_loops_over_both_classes(make_network, key):
    maps, head = random_maps(), nn.Linear(5, 4)
    outcome = analysis_of(make_network(head), maps).under(key)
    plain = maps.double().tolist()
    parameter = (POOLINGS[key].parameter.default,) if POOLINGS[key].parameter else ()
    weights, pooled = again.pooling_weights(key, plain, *parameter), again.pooled(key, plain, *parameter)
    of_2, of_0 = (np.array(again.evidence(plain, weights, pooled, head.weight[c].tolist())) for c in (2, 0))
    logits = again.linear(head.weight.tolist(), head.bias.tolist(), pooled)
    result = contrast(outcome, 2, 0)
    np.testing.assert_allclose(result.cells, of_2 - of_0, atol=1e-5)
    assert result.difference == pytest.approx(logits[2] - logits[0], abs=1e-5)
    for k in range(5):
        assert result.channels[k] == pytest.approx(float(head.weight[2, k] - head.weight[0, k]) * pooled[k], abs=1e-5)


def test_under_gap_and_a_linear_a_position_adds_its_vector_along_the_difference_of_two_rows(network, examples):
    analysis = analyse(network, examples["astronaut"])
    last = [module for module in network.head.modules() if isinstance(module, nn.Linear)][-1]
    rows, biases = last.weight.double().numpy(), last.bias.double().numpy()
    maps = analysis.feature_maps.double().numpy()
    result = contrast(analysis.under("gap"), 285, 657)
    expected = np.einsum("k,kij->ij", rows[285] - rows[657], maps) / 49
    np.testing.assert_allclose(result.cells, expected, atol=1e-5)
    np.testing.assert_allclose(result.channels, (rows[285] - rows[657]) * maps.mean((1, 2)), atol=1e-5)
    assert result.baseline == pytest.approx(biases[285] - biases[657], abs=1e-6)


@pytest.mark.parametrize("key", ["gap", "lse", "attention"])
def test_the_parts_of_a_photos_difference_add_up_to_it(network, examples, key):
    outcome = analyse(network, examples["cat_and_coffee"]).under(key)
    result = contrast(outcome, 285, 967)
    assert result.difference == pytest.approx(float(outcome.logits[285]) - float(outcome.logits[967]), abs=1e-6)
    assert result.baseline + result.cells.sum() == pytest.approx(result.difference, abs=TOLERANCE[key])
    assert result.baseline + result.channels.sum() == pytest.approx(result.difference, abs=TOLERANCE[key])
    assert result.residual == pytest.approx(result.difference - result.baseline - result.cells.sum(), abs=1e-9)
    assert result.exact is (key != "lse")


@pytest.mark.parametrize("head", heads())
def test_the_parts_add_up_for_every_head(make_network, head):
    integrated = head in {"Linear, Hardswish, Linear", "polynomial"}
    for key in ("gmp", "lse"):
        result = contrast(analysis_of(make_network(heads()[head]), random_maps() - 0.4).under(key), 3, 1)
        assert abs(result.residual) < (1e-2 if integrated else TOLERANCE[key])
        assert result.exact is (not integrated and key != "lse")


def test_the_other_way_round_all_signs_turn(network, examples):
    outcome = analyse(network, examples["cat"]).under("gem")
    there, back = contrast(outcome, 281, 285), contrast(outcome, 285, 281)
    for name in ("cells", "channels", "baseline", "difference", "residual"):
        np.testing.assert_allclose(getattr(there, name), -1 * getattr(back, name), atol=1e-6)


def test_what_speaks_for_both_as_much_speaks_for_neither(make_network):
    rows = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    both = rows.clone()
    both[[0, 1]] += torch.tensor([3.0, -2.0, 0.0, 7.0, 1.0])
    first, second = (contrast(analysis_of(make_network(linear(item.tolist(), [0.0] * 4)), random_maps()).under("topk"),
                              0, 1) for item in (rows, both))
    np.testing.assert_allclose(first.cells, second.cells, atol=1e-5)
    np.testing.assert_allclose(first.channels, second.channels, atol=1e-5)


def test_classes_that_do_not_exist_or_are_the_same_are_refused(by_hand):
    outcome = by_hand.under()
    for pair in ((3, 1), (-1, 0), (0, 3), (0, True)):
        with pytest.raises(ParameterError, match="There is no class"):
            contrast(outcome, *pair)
    with pytest.raises(ParameterError, match="both 1; expected two different"):
        contrast(outcome, 1, 1)


def test_one_logit_alone_has_no_rival_and_a_plain_answer_no_contrast(make_network):
    one = analysis_of(make_network(linear([[1.0] * 5], [0.0]), classes=1), random_maps()).under()
    with pytest.raises(ParameterError, match="There is no class"):
        contrast(one, 0, 1)
    with pytest.raises(MethodError, match="one logit alone"):
        check_pair(one, 0, None)
    plain = analyse(layered.network(pooled=False), layered.photo()).under()
    for ask in (lambda: contrast(plain, 0, 1), lambda: pooling_contrast(plain, plain, 0, 1)):
        with pytest.raises(MethodError, match="flattens its feature maps"):
            ask()
    with pytest.raises(MethodError, match="looked at by gradients"):
        contrast(analyse(layered.network(), layered.photo(), layer="one").under(), 0, 1)


def test_numbers_that_are_not_finite_stay_and_are_no_error(make_network):
    maps = torch.tensor([[[INF, 1.0]], [[NAN, 2.0]], [[1.0, 5.0]]])
    result = contrast(analysis_of(make_network(linear(ROWS, [0.0] * 3), classes=3, channels=3), maps).under(), 0, 1)
    assert np.isnan(result.cells[0, 0])
    assert result.cells[0, 1] == pytest.approx((3 * 1 - 2) / 2)
    assert np.isnan(result.residual)


# The channels that decide.


def test_deciding_channels_by_hand(by_hand):
    outcome = by_hand.under("gap")
    # Means 2, 2 and 2: channel 2 contributes 10 to both, which decides nothing.
    assert deciding_channels(outcome, 0, 1) == [
        DecidingChannel(0, 6.0, 4.0, -2.0, 2.0), DecidingChannel(1, -2.0, 2.0, 4.0, 2.0)]
    assert [channel.channel for channel in deciding_channels(outcome, 0, 1, 1)] == [0]
    assert deciding_channels(outcome, 0, 1, 0) == []


def test_channels_that_decide_as_much_go_by_number(make_network):
    maps = torch.tensor([[[1.0]], [[1.0]], [[1.0]], [[2.0]]])
    rows = [[1.0, -2.0, 2.0, -1.0], [0.0, 0.0, 0.0, 0.0]]
    outcome = analysis_of(make_network(linear(rows, [0.0, 0.0]), classes=2, channels=4), maps).under()
    result = deciding_channels(outcome, 0, 1)
    assert [(item.channel, item.contribution) for item in result] == [(1, -2.0), (2, 2.0), (3, -2.0), (0, 1.0)]


def test_the_deciding_channels_of_a_photo_are_found_by_sorting_all_1280(network, examples):
    outcome = analyse(network, examples["astronaut"]).under("gmp")
    of_560, of_450 = (outcome.evidence(c).channels.double().tolist() for c in (560, 450))
    expected = sorted(range(1280), key=lambda k: (-abs(of_560[k] - of_450[k]), k))[:9]
    result = deciding_channels(outcome, 560, 450, 9)
    assert [item.channel for item in result] == expected
    for item in result:
        assert item.to_class - item.to_rival == pytest.approx(item.contribution, abs=1e-9)
        assert item.to_class == pytest.approx(of_560[item.channel])
        assert item.pooled == pytest.approx(float(outcome.pooled[item.channel]))


# Two poolings.


def test_a_pooling_contrast_by_hand(by_hand):
    result = pooling_contrast(by_hand.under("gap"), by_hand.under("gmp"), 0, 1)
    assert result.cells.tolist() == [[-3.0, 6.0], [0.0, -3.0]]
    # The means are 2, 2, 2 and the maxima 4, 8, 2: 3 * (2 - 4) and -1 * (2 - 8).
    assert result.channels.tolist() == [-6.0, 6.0, 0.0]
    assert (result.baseline, result.difference, result.residual, result.exact) == (0.0, 0.0, 0.0, True)


@pytest.mark.parametrize("key", ["gmp", "lse"])
def test_a_pooling_contrast_adds_up_on_a_photo(network, examples, key):
    analysis = analyse(network, examples["cat"])
    gap, other = analysis.under("gap"), analysis.under(key)
    result = pooling_contrast(gap, other, 281, 285)
    one, two = (float(outcome.logits[281]) - float(outcome.logits[285]) for outcome in (gap, other))
    assert result.difference == pytest.approx(one - two, abs=1e-6)
    assert result.baseline + result.cells.sum() == pytest.approx(result.difference, abs=TOLERANCE[key])
    assert result.baseline + result.channels.sum() == pytest.approx(result.difference, abs=TOLERANCE[key])
    assert result.exact is (key != "lse")


def test_outcomes_of_two_photos_or_bad_classes_have_no_pooling_contrast(by_hand):
    other = analysis_of(by_hand.network, MAPS + 1)
    with pytest.raises(ParameterError, match="of different analyses"):
        pooling_contrast(by_hand.under("gap"), other.under("gmp"), 0, 1)
    with pytest.raises(ParameterError, match="There is no class"):
        pooling_contrast(by_hand.under("gap"), by_hand.under("gmp"), 0, 3)
