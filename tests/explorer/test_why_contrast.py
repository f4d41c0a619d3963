"""Why this class and not that one: differences of logits, taken apart once more by hand and in plain loops."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from explorer import POOLINGS, analyse
from explorer.errors import MethodError, ParameterError
from explorer.networks.calibration import Calibration
from explorer.questions.contrast import Deciding, contrast, deciding_channels, parting, share_of
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
    found = contrast(by_hand.under("gap"), 0, 1)
    assert found.cells.tolist() == [[3.0, -2.0], [0.0, 3.0]]
    assert found.channels.tolist() == [6.0, -2.0, 0.0]
    assert (found.baseline, found.difference, found.residual, found.exact) == (0.25, 4.25, 0.0, True)
    # Under GMP 3 * 4, shared by two tied maxima, and -8.
    found = contrast(by_hand.under("gmp"), 0, 1)
    assert found.cells.tolist() == [[6.0, -8.0], [0.0, 6.0]]
    assert (found.difference, found.residual) == (4.25, 0.0)


@pytest.mark.parametrize("key", POOLINGS)
def test_a_contrast_agrees_with_plain_loops_over_both_classes(make_network, key):
    maps, head = random_maps(), nn.Linear(5, 4)
    outcome = analysis_of(make_network(head), maps).under(key)
    plain = maps.double().tolist()
    parameter = (POOLINGS[key].parameter.default,) if POOLINGS[key].parameter else ()
    weights, pooled = again.pooling_weights(key, plain, *parameter), again.pooled(key, plain, *parameter)
    of_2, of_0 = (np.array(again.evidence(plain, weights, pooled, head.weight[c].tolist())) for c in (2, 0))
    logits = again.linear(head.weight.tolist(), head.bias.tolist(), pooled)
    found = contrast(outcome, 2, 0)
    np.testing.assert_allclose(found.cells, of_2 - of_0, atol=1e-5)
    assert found.difference == pytest.approx(logits[2] - logits[0], abs=1e-5)
    for k in range(5):
        assert found.channels[k] == pytest.approx(float(head.weight[2, k] - head.weight[0, k]) * pooled[k], abs=1e-5)


@pytest.mark.parametrize("photo", ["cat", "astronaut", "rocket"])
def test_under_gap_and_a_linear_a_position_adds_its_vector_along_the_difference_of_two_rows(network, examples, photo):
    analysis = analyse(network, examples[photo])
    last = [module for module in network.head.modules() if isinstance(module, nn.Linear)][-1]
    rows, biases = last.weight.double().numpy(), last.bias.double().numpy()
    maps = analysis.feature_maps.double().numpy()
    found = contrast(analysis.under("gap"), 285, 657)
    expected = np.einsum("k,kij->ij", rows[285] - rows[657], maps) / 49
    np.testing.assert_allclose(found.cells, expected, atol=1e-5)
    np.testing.assert_allclose(found.channels, (rows[285] - rows[657]) * maps.mean((1, 2)), atol=1e-5)
    assert found.baseline == pytest.approx(biases[285] - biases[657], abs=1e-6)


@pytest.mark.parametrize("key", POOLINGS)
@pytest.mark.parametrize("photo", ["cat_and_coffee", "astronaut"])
def test_the_parts_of_a_photos_difference_add_up_to_it(network, examples, photo, key):
    outcome = analyse(network, examples[photo]).under(key)
    found = contrast(outcome, 285, 967)
    assert found.difference == float(outcome.logits[285]) - float(outcome.logits[967])
    assert found.baseline + found.cells.sum() == pytest.approx(found.difference, abs=TOLERANCE[key])
    assert found.baseline + found.channels.sum() == pytest.approx(found.difference, abs=TOLERANCE[key])
    assert found.residual == pytest.approx(found.difference - found.baseline - found.cells.sum(), abs=1e-12)
    assert found.exact is (key != "lse")


@pytest.mark.parametrize("key", POOLINGS)
@pytest.mark.parametrize("head", heads())
def test_the_parts_add_up_for_every_head(make_network, head, key):
    for maps in (random_maps(), random_maps() - 0.4):
        found = contrast(analysis_of(make_network(heads()[head]), maps).under(key), 3, 1)
        integrated = head in {"Linear, Hardswish, Linear", "polynomial"}
        assert abs(found.residual) < (1e-2 if integrated else TOLERANCE[key])
        assert found.exact is (not integrated and key != "lse")


def test_the_other_way_round_all_signs_turn(network, examples):
    outcome = analyse(network, examples["cat"]).under("gem")
    there, back = contrast(outcome, 281, 285), contrast(outcome, 285, 281)
    for name in ("cells", "channels", "baseline", "difference", "residual"):
        np.testing.assert_array_equal(getattr(there, name), -1 * getattr(back, name))


def test_what_speaks_for_both_as_much_speaks_for_neither(make_network):
    rows = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    both = rows.clone()
    both[[0, 1]] += torch.tensor([3.0, -2.0, 0.0, 7.0, 1.0])
    first, second = (contrast(analysis_of(make_network(linear(each.tolist(), [0.0] * 4)), random_maps()).under("topk"),
                              0, 1) for each in (rows, both))
    np.testing.assert_allclose(first.cells, second.cells, atol=1e-5)
    np.testing.assert_allclose(first.channels, second.channels, atol=1e-5)


def test_without_a_rival_it_is_the_likeliest_other_class(network, examples):
    for key in ("gap", "gmp"):
        outcome = analyse(network, examples["rocket"]).under(key)
        first, second = (answer.class_index for answer in outcome.top(2))
        assert contrast(outcome, first).rival == second
        assert contrast(outcome, second).rival == first
        assert contrast(outcome, 0).rival == first


def test_classes_that_do_not_exist_or_are_the_same_are_refused(by_hand):
    outcome = by_hand.under()
    for pair in ((3, None), (-1, 0), (0, 3), (0, True)):
        with pytest.raises(ParameterError, match="There is no class"):
            contrast(outcome, *pair)
    with pytest.raises(ParameterError, match="both 1; expected two different"):
        contrast(outcome, 1, 1)


def test_one_logit_alone_has_no_rival_and_a_plain_answer_no_contrast(make_network):
    one = analysis_of(make_network(linear([[1.0] * 5], [0.0]), classes=1), random_maps()).under()
    for ask in (lambda: contrast(one, 0), lambda: parting(one, one)):
        with pytest.raises(MethodError, match="one logit alone"):
            ask()
    plain = analyse(layered.network(pooled=False), layered.photo()).under()
    for ask in (lambda: contrast(plain, 0, 1), lambda: parting(plain, plain, 0, 1)):
        with pytest.raises(MethodError, match="flattens its feature maps"):
            ask()
    with pytest.raises(MethodError, match="looked at by gradients"):
        contrast(analyse(layered.network(), layered.photo(), layer="one").under(), 0, 1)


def test_numbers_that_are_not_finite_stay_and_are_no_error(make_network):
    maps = torch.tensor([[[INF, 1.0]], [[NAN, 2.0]], [[1.0, 5.0]]])
    found = contrast(analysis_of(make_network(linear(ROWS, [0.0] * 3), classes=3, channels=3), maps).under(), 0, 1)
    assert np.isnan(found.cells[0, 0])
    assert found.cells[0, 1] == pytest.approx((3 * 1 - 2) / 2)
    assert np.isnan(found.residual)


# The channels that decide.


def test_deciding_channels_by_hand(by_hand):
    outcome = by_hand.under("gap")
    # Means 2, 2 and 2: channel 2 pays 10 to both, which decides nothing.
    assert deciding_channels(contrast(outcome, 0, 1), outcome) == [
        Deciding(0, 6.0, 4.0, -2.0, 2.0), Deciding(1, -2.0, 2.0, 4.0, 2.0)]
    assert [each.channel for each in deciding_channels(contrast(outcome, 0, 1), outcome, 1)] == [0]
    assert deciding_channels(contrast(outcome, 0, 1), outcome, 0) == []


def test_channels_that_decide_as_much_go_by_number(make_network):
    maps = torch.tensor([[[1.0]], [[1.0]], [[1.0]], [[2.0]]])
    rows = [[1.0, -2.0, 2.0, -1.0], [0.0, 0.0, 0.0, 0.0]]
    outcome = analysis_of(make_network(linear(rows, [0.0, 0.0]), classes=2, channels=4), maps).under()
    found = deciding_channels(contrast(outcome, 0, 1), outcome)
    assert [(each.channel, each.contribution) for each in found] == [(1, -2.0), (2, 2.0), (3, -2.0), (0, 1.0)]


@pytest.mark.parametrize("key", ["gap", "gmp", "softpool"])
def test_the_deciding_channels_of_a_photo_are_found_by_sorting_all_1280(network, examples, key):
    outcome = analyse(network, examples["astronaut"]).under(key)
    of_560, of_450 = (outcome.evidence(c).channels.double().tolist() for c in (560, 450))
    expected = sorted(range(1280), key=lambda k: (-abs(of_560[k] - of_450[k]), k))[:9]
    found = deciding_channels(contrast(outcome, 560, 450), outcome, 9)
    assert [each.channel for each in found] == expected
    for each in found:
        assert each.to_class - each.to_rival == pytest.approx(each.contribution, abs=1e-9)
        assert each.to_class == pytest.approx(of_560[each.channel])
        assert each.pooled == pytest.approx(float(outcome.pooled[each.channel]))


def test_deciding_channels_want_the_outcome_that_the_contrast_was_made_of(by_hand, make_network):
    found = contrast(by_hand.under("gap"), 0, 1)
    with pytest.raises(ParameterError, match="not that of LSE"):
        deciding_channels(found, by_hand.under("lse"))
    with pytest.raises(ParameterError, match="not that of GAP"):
        deciding_channels(found, analysis_of(make_network(), random_maps()).under("gap"))


# What some positions add.


def test_a_share_by_hand(by_hand):
    found = contrast(by_hand.under("gap"), 0, 1)  # 3, -2; 0, 3
    assert share_of(found, np.array([[True, True], [True, False]])) == (1.0, 0.5, 1.0)
    assert share_of(found, np.array([[True, False], [False, True]])) == (6.0, 1.0, 0.0)
    assert share_of(found, np.zeros((2, 2), bool)) == (0.0, 0.0, 0.0)
    only = dataclasses.replace(found, cells=np.array([[0.0, -2.0]]))
    assert share_of(only, np.array([[True, True]])) == (-2.0, 0.0, 1.0)


def test_under_gap_what_positions_add_goes_when_their_vectors_are_emptied(make_network):
    network, maps = make_network(), random_maps()
    chosen = np.array([[True, False, False, True], [False] * 4, [True, True, False, False]])
    found = contrast(analysis_of(network, maps).under(), 2, 1)
    emptied = contrast(analysis_of(network, maps * torch.from_numpy(~chosen)).under(), 2, 1)
    assert share_of(found, chosen).logits == pytest.approx(found.difference - emptied.difference, abs=1e-5)
    assert share_of(emptied, chosen).logits == 0


def test_the_shares_of_some_positions_and_of_all_others_make_one(network, examples):
    found = contrast(analyse(network, examples["coffee"]).under("gmp"), 967)
    chosen = np.random.default_rng(0).random((7, 7)) < 0.4
    some, others = share_of(found, chosen), share_of(found, ~chosen)
    assert some.for_class + others.for_class == pytest.approx(1)
    assert some.for_rival + others.for_rival == pytest.approx(1)
    assert some.logits + others.logits == pytest.approx(found.cells.sum())


@pytest.mark.parametrize("chosen", [np.ones((2, 2)), np.ones((2, 3), bool), np.ones(4, bool), [[1, 0], [0, 1]]])
def test_a_share_is_of_bools_on_the_same_grid(by_hand, chosen):
    with pytest.raises(ParameterError, match="The positions have shape"):
        share_of(contrast(by_hand.under(), 0, 1), chosen)


# Two poolings.


def test_a_parting_by_hand(by_hand):
    found = parting(by_hand.under("gap"), by_hand.under("gmp"), 0, 1)
    assert found.cells.tolist() == [[-3.0, 6.0], [0.0, -3.0]]
    # The means are 2, 2, 2 and the maxima 4, 8, 2: 3 * (2 - 4) and -1 * (2 - 8).
    assert found.channels.tolist() == [-6.0, 6.0, 0.0]
    assert (found.baseline, found.difference, found.residual, found.exact) == (0.0, 0.0, 0.0, True)


def test_where_poolings_part_the_classes_are_their_answers(make_network):
    # Class 0 wants channel 0, which is everywhere a little; class 1 channel 1, which is much at one position.
    maps = torch.tensor([[[2.0, 2.0], [2.0, 2.0]], [[0.0, 0.0], [0.0, 4.0]]])
    analysis = analysis_of(make_network(linear([[1.0, 0.0], [0.0, 1.0], [0.0, 0.9]], [0.0] * 3), classes=3, channels=2),
                           maps)
    gap, gmp = analysis.under("gap"), analysis.under("gmp")
    found = parting(gap, gmp)
    assert (found.one.class_index, found.one.rival) == (found.other.class_index, found.other.rival) == (0, 1)
    assert (found.one.difference, found.other.difference) == (1.0, -2.0)
    # GAP: 2 / 4 each, less 4 / 4 at the last. GMP: 2, shared by four, less 4 at the last.
    assert found.cells.tolist() == [[0.0, 0.0], [0.0, 3.0]]
    back = parting(gmp, gap)
    assert (back.one.class_index, back.one.rival) == (1, 0)
    agreed = parting(gmp, analysis.under("mixed", a=1))  # both say class 1: the runner-up under the second
    assert (agreed.one.class_index, agreed.one.rival) == (1, 2)
    assert parting(gap, gmp, 2).one.rival == 1  # the second's answer
    assert parting(gap, gmp, 1).one.rival == 2  # which is the class itself, so its runner-up
    named = parting(gap, gmp, rival=0)  # the first's answer, so the class is its runner-up
    assert (named.one.class_index, named.one.rival) == (1, 0)


@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize("key", POOLINGS)
def test_a_parting_adds_up_on_a_photo(network, examples, key, calibrated):
    analysis = analyse(network, examples["cat"])
    gap, other = analysis.under("gap"), analysis.under(key)
    found = parting(gap, other, 281, 285, calibrated)
    factor = (other.multiplier or 1) if calibrated else 1
    gap_difference, difference = (float(each.logits[281]) - float(each.logits[285]) for each in (gap, other))
    assert found.difference == pytest.approx(gap_difference - factor * difference, abs=1e-9)
    assert found.baseline + found.cells.sum() == pytest.approx(found.difference, abs=TOLERANCE[key])
    assert found.baseline + found.channels.sum() == pytest.approx(found.difference, abs=TOLERANCE[key])
    assert found.exact is (key != "lse")
    np.testing.assert_allclose(
        found.cells, contrast(gap, 281, 285).cells - factor * contrast(other, 281, 285).cells, atol=1e-9)


def test_calibration_multiplies_each_contrast_with_its_own_number(make_network):
    fitted = Calibration({"gmp": ((0.0, 0.25),), "gap": ((0.0, 7.0),)})
    network = dataclasses.replace(make_network(), calibration=fitted)
    analysis = analysis_of(network, random_maps())
    gap, gmp, lse = (analysis.under(key) for key in ("gap", "gmp", "lse"))
    found = parting(gmp, gap, 1, 3, calibrated=True)  # GAP is native here: it is never multiplied
    raw = contrast(gmp, 1, 3)
    for name in ("cells", "channels", "baseline", "difference"):
        np.testing.assert_allclose(getattr(found.one, name), 0.25 * getattr(raw, name), rtol=1e-12)
    assert found.one.residual == pytest.approx(0.25 * raw.residual, abs=1e-12)
    np.testing.assert_array_equal(found.other.cells, contrast(gap, 1, 3).cells)
    np.testing.assert_array_equal(parting(gmp, lse, 1, 3, calibrated=True).other.cells, contrast(lse, 1, 3).cells)
    for scaled, own in zip(deciding_channels(found.one, gmp), deciding_channels(raw, gmp), strict=True):
        assert (scaled.channel, scaled.pooled) == (own.channel, own.pooled)
        assert scaled[1:4] == pytest.approx([0.25 * number for number in own[1:4]])


def test_a_pooling_does_not_part_from_itself(network, examples):
    outcome = analyse(network, examples["cat"]).under("gem")
    found = parting(outcome, outcome)
    assert (found.one.class_index, found.one.rival) == tuple(each.class_index for each in outcome.top(2))
    assert not found.cells.any()
    assert (found.difference, found.residual) == (0, 0)


def test_outcomes_of_two_photos_or_bad_classes_do_not_part(by_hand):
    other = analysis_of(by_hand.network, MAPS + 1)
    with pytest.raises(ParameterError, match="of different analyses"):
        parting(by_hand.under("gap"), other.under("gmp"))
    for pair in ((3, None), (None, 3), (0, -1)):
        with pytest.raises(ParameterError, match="There is no class"):
            parting(by_hand.under("gap"), by_hand.under("gmp"), *pair)
    with pytest.raises(ParameterError, match="both 2"):
        parting(by_hand.under("gap"), by_hand.under("gmp"), 2, 2)
