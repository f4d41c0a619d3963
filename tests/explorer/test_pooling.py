"""The eight poolings: against a second derivation, by hand, and by the properties that define them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy

from explorer import POOLINGS
from explorer.errors import ExplorerError, ParameterError
from explorer.poolings import pooling_of
from tests.explorer import second_derivations as again

# Each parameter at both ends of its range and in between.
SETTINGS = {
    "gap": [()],
    "gmp": [()],
    "gem": [(1.0,), (2.7,), (100.0,)],
    "lse": [(0.05,), (3.0,), (100.0,)],
    "topk": [(0.001,), (0.2,), (1.0,)],
    "mixed": [(0.0,), (0.3,), (1.0,)],
    "softpool": [()],
    "attention": [(0.01,), (0.1,), (10.0,)],
}
CASES = [(key, setting) for key, settings_ in SETTINGS.items() for setting in settings_]
NAMES = [f"{key}{setting[0] if setting else ''}" for key, setting in CASES]
every_setting = pytest.mark.parametrize(("key", "setting"), CASES, ids=NAMES)
every_pooling = pytest.mark.parametrize(("key", "setting"), [
    (key, several[len(several) // 2]) for key, several in SETTINGS.items()], ids=list(SETTINGS))


def named(key, setting):
    """The setting as keyword arguments: ("gem", (3.0,)) to {"p": 3.0}."""
    return {POOLINGS[key].parameter.name: setting[0]} if setting else {}


def value(key, setting, maps):
    return POOLINGS[key].value(maps, **named(key, setting))


def weights(key, setting, maps):
    return POOLINGS[key].weights(maps, **named(key, setting))


def drawn(seed=0, shape=(4, 3, 5)):
    """Signed maps with silent, constant, tied, all negative and nearly silent channels."""
    maps = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 2
    maps[0].clamp_min_(0)
    maps[1] = maps[1].round()
    return maps


def awkward():
    maps = torch.zeros(6, 3, 4)
    maps[1] = 0.75
    maps[2] = -torch.arange(1.0, 13.0).view(3, 4) / 6
    maps[3, 1, 2], maps[3, 2, 0], maps[3, 0, 0] = 2.0, 2.0, 1.0
    maps[4] = torch.tensor([3.0, 1, 1, 1, 0, 1, 2, 2, 1, 0, 0, 0]).view(3, 4)
    maps[5] = torch.linspace(0, 1e-6, 12).view(3, 4)
    return maps


finite = st.floats(-20, 20, width=32).map(lambda number: 0.0 if abs(number) < 1e-6 else number)
shapes = st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5))
signed_maps = shapes.flatmap(lambda shape: hypothesis_numpy.arrays(np.float32, shape, elements=finite))
settled = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


# Against the second derivation.


@every_setting
def test_value_and_weights_agree_with_the_second_derivation(key, setting):
    for maps in (drawn(), drawn(1, (2, 1, 1)), drawn(2, (3, 1, 6)), awkward()):
        plain = maps.double().tolist()
        expected = torch.tensor(again.pooled(key, plain, *setting), dtype=torch.float64)
        torch.testing.assert_close(value(key, setting, maps).double(), expected, rtol=2e-5, atol=2e-6)
        expected = torch.tensor(again.pooling_weights(key, plain, *setting), dtype=torch.float64)
        # At the sharpest settings the trapezoid itself is only this good.
        torch.testing.assert_close(weights(key, setting, maps).double(), expected, rtol=1e-4, atol=2e-5)


@every_setting
def test_float64_agrees_with_the_second_derivation_to_far_more_digits(key, setting):
    maps = drawn(3).double()
    expected = torch.tensor(again.pooled(key, maps.tolist(), *setting), dtype=torch.float64)
    torch.testing.assert_close(value(key, setting, maps), expected, rtol=1e-9, atol=1e-10)


def test_every_pooling_of_the_registry_is_tested_here():
    assert list(SETTINGS) == list(POOLINGS) == ["gap", "gmp", "gem", "lse", "topk", "mixed", "softpool", "attention"]
    for key, pooling in POOLINGS.items():
        if pooling.parameter:
            assert {(pooling.parameter.low,), (pooling.parameter.high,)} <= set(SETTINGS[key])


# By hand.

TINY = torch.tensor([[[1.0, 2.0], [3.0, 6.0]]])
LN3 = math.log(3)
THIRDS = torch.tensor([[[0.0, LN3], [0.0, LN3]]])


@pytest.mark.parametrize(("key", "setting", "maps", "pooled", "kept"), [
    ("gap", (), TINY, 3.0, [[0.25, 0.25], [0.25, 0.25]]),
    ("gmp", (), TINY, 6.0, [[0, 0], [0, 1]]),
    # (1 + 4 + 9 + 36) / 4 = 12.5; weights F / (4 y)
    ("gem", (2.0,), TINY, math.sqrt(12.5), [[n / (4 * math.sqrt(12.5)) for n in row] for row in ([1, 2], [3, 6])]),
    # (1 + 8 + 27 + 216) / 4 = 63
    ("gem", (3.0,), TINY, 63 ** (1 / 3), [[n * n / (4 * 63 ** (2 / 3)) for n in row] for row in ([1, 2], [3, 6])]),
    ("topk", (0.5,), TINY, 4.5, [[0, 0], [0.5, 0.5]]),
    ("mixed", (0.25,), TINY, 0.25 * 6 + 0.75 * 3, [[0.1875, 0.1875], [0.1875, 0.4375]]),
    # (1 + 3 + 1 + 3) / 4 = 2; half the integral of 3^t / (1 + 3^t) is log(2) / log(3) / 2
    ("lse", (1.0,), THIRDS, math.log(2), [[0.5 - math.log(2) / LN3 / 2, math.log(2) / LN3 / 2]] * 2),
    ("softpool", (), THIRDS, 0.75 * LN3, [[1 / 8, 3 / 8]] * 2),
])
def test_a_tiny_map_pooled_by_hand(key, setting, maps, pooled, kept):
    torch.testing.assert_close(value(key, setting, maps), torch.tensor([pooled]))
    torch.testing.assert_close(weights(key, setting, maps), torch.tensor([kept], dtype=torch.float32))


def test_attention_over_three_positions_by_hand():
    # Vectors (3, 0), (3, 0), (0, 4): q is parallel to (3, 2), the cosines are 3 / sqrt(13) and 2 / sqrt(13), and at
    # this temperature they differ by log 2, so the positions weigh 2 : 2 : 1.
    maps = torch.tensor([[[3.0, 3.0, 0.0]], [[0.0, 0.0, 4.0]]])
    setting = (1 / (math.sqrt(13) * math.log(2)),)
    torch.testing.assert_close(weights("attention", setting, maps), torch.tensor([[[0.4, 0.4, 0.2]]] * 2))
    torch.testing.assert_close(value("attention", setting, maps), torch.tensor([2.4, 0.8]))


# Properties.


@every_pooling
@settled
@given(maps=signed_maps, seed=st.integers(0, 2**32 - 1))
def test_permuting_the_positions_changes_no_pooled_value(key, setting, maps, seed):
    maps = torch.from_numpy(maps)
    order = torch.randperm(maps[0].numel(), generator=torch.Generator().manual_seed(seed))
    permuted = maps.flatten(1)[:, order].view_as(maps)
    torch.testing.assert_close(value(key, setting, permuted), value(key, setting, maps), rtol=1e-5, atol=1e-4)


@every_pooling
@settled
@given(constant=finite, shape=shapes)
def test_a_constant_map_gives_that_constant(key, setting, constant, shape):
    constant = abs(constant) if key == "gem" else constant
    maps = torch.full(shape, constant)
    torch.testing.assert_close(value(key, setting, maps), maps[:, 0, 0], rtol=1e-6, atol=1e-6)


@every_setting
@settled
@given(maps=signed_maps)
def test_the_pooled_value_lies_between_minimum_and_maximum(key, setting, maps):
    maps = torch.from_numpy(maps)
    maps = maps.clamp_min(0) if key == "gem" else maps
    pooled, slack = value(key, setting, maps), 1e-6 * (1 + maps.abs().amax())
    assert (pooled >= maps.amin((1, 2)) - slack).all()
    assert (pooled <= maps.amax((1, 2)) + slack).all()


@every_setting
@settled
@given(maps=signed_maps)
def test_weights_times_feature_maps_give_the_value(key, setting, maps):
    maps = torch.from_numpy(maps)
    kept = (weights(key, setting, maps) * maps).sum((-2, -1))
    slack = 1e-3 if not POOLINGS[key].exact else 2e-5
    torch.testing.assert_close(kept, value(key, setting, maps), rtol=1e-5, atol=slack)


@every_pooling
@settled
@given(maps=signed_maps)
def test_weights_are_not_negative_and_all_but_gem_sum_to_one(key, setting, maps):
    kept = weights(key, setting, torch.from_numpy(maps))
    assert (kept >= 0).all()
    if key != "gem":
        torch.testing.assert_close(kept.sum((-2, -1)), torch.ones(len(maps)), rtol=1e-5, atol=1e-5)


@settled
@given(maps=signed_maps)
def test_the_ends_of_the_parameters_are_average_and_maximum(maps):
    signed = torch.from_numpy(maps)
    positive = signed.clamp_min(0)
    gap, gmp = signed.mean((1, 2)), signed.amax((1, 2))
    close = {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(value("gem", (1.0,), positive), positive.mean((1, 2)), **close)
    torch.testing.assert_close(value("topk", (1.0,), signed), gap, **close)
    torch.testing.assert_close(value("topk", (0.001,), signed), gmp)
    torch.testing.assert_close(value("mixed", (0.0,), signed), gap, **close)
    torch.testing.assert_close(value("mixed", (1.0,), signed), gmp)
    torch.testing.assert_close(weights("topk", (0.001,), signed), weights("gmp", (), signed))
    torch.testing.assert_close(weights("mixed", (1.0,), signed), weights("gmp", (), signed))


@settled
@given(maps=signed_maps)
def test_gem_and_lse_approach_the_maximum_as_fast_as_theory_says(maps):
    signed = torch.from_numpy(maps)
    positive, positions = signed.clamp_min(0), signed[0].numel()
    highest = positive.amax((1, 2))
    slack = 1e-5 * (1 + signed.abs().amax())
    for p in (3.0, 20.0, 100.0):
        pooled = value("gem", (p,), positive)
        assert (pooled >= highest * positions ** (-1 / p) - slack).all()
        assert (pooled <= highest + slack).all()
    for r in (3.0, 20.0, 100.0):
        pooled = value("lse", (r,), signed)
        assert (pooled >= signed.amax((1, 2)) - math.log(positions) / r - slack).all()
        assert (pooled <= signed.amax((1, 2)) + slack).all()


@settled
@given(maps=signed_maps)
def test_lse_approaches_the_average_as_fast_as_hoeffdings_lemma_says(maps):
    maps = torch.from_numpy(maps)
    spread = maps.amax((1, 2)) - maps.amin((1, 2))
    above = value("lse", (0.05,), maps) - maps.mean((1, 2))
    slack = 1e-5 * (1 + maps.abs().amax())
    assert (above >= -slack).all()
    assert (above <= 0.05 * spread.square() / 8 + slack).all()


@every_pooling
def test_a_batch_equals_its_photos_one_by_one(key, setting):
    batch = torch.stack([drawn(seed, (3, 4, 2)) for seed in range(6)]).view(2, 3, 3, 4, 2)
    pooled, kept = value(key, setting, batch), weights(key, setting, batch)
    assert pooled.shape == (2, 3, 3)
    assert kept.shape == batch.shape
    for a in range(2):
        for b in range(3):
            torch.testing.assert_close(pooled[a, b], value(key, setting, batch[a, b]))
            torch.testing.assert_close(kept[a, b], weights(key, setting, batch[a, b]), rtol=1e-4, atol=1e-5)


# Ties, silence, extremes.


def test_tied_maxima_share_equally_in_gmp():
    kept = weights("gmp", (), torch.tensor([[[5.0, 1.0, 5.0], [5.0, 2.0, 5.0]]]))
    assert kept.tolist() == [[[0.25, 0, 0.25], [0.25, 0, 0.25]]]


def test_ties_across_the_kth_place_share_what_is_left_in_topk():
    # Six positions, half of them: 9 is in for certain; the four 4s share the two places left.
    kept = weights("topk", (0.5,), torch.tensor([[[4.0, 9.0, 4.0], [4.0, 1.0, 4.0]]]))
    torch.testing.assert_close(kept, torch.tensor([[[1 / 6, 1 / 3, 1 / 6], [1 / 6, 0, 1 / 6]]]))


def test_gems_gradient_is_its_weights_and_sums_the_value_back():
    maps = drawn(4).double().abs().requires_grad_()
    gradient = torch.autograd.grad(value("gem", (3.0,), maps).sum(), maps)[0]
    torch.testing.assert_close(gradient, weights("gem", (3.0,), maps.detach()))


def test_gem_of_one_has_the_averages_gradient_at_inactive_positions_too():
    maps = torch.tensor([[[0.0, 3.0], [0.0, 1.0]]], requires_grad=True)
    gradient = torch.autograd.grad(value("gem", (1.0,), maps).sum(), maps)[0]
    torch.testing.assert_close(gradient, torch.full((1, 2, 2), 0.25))


@every_setting
def test_silent_channels_pool_to_zero_with_finite_weights(key, setting):
    silent = torch.zeros(3, 4, 4)
    torch.testing.assert_close(value(key, setting, silent), torch.zeros(3), rtol=0, atol=1e-6)
    torch.testing.assert_close(weights(key, setting, silent), torch.full((3, 4, 4), 1 / 16))


@every_setting
def test_very_small_and_very_large_maps_stay_finite_and_in_range(key, setting):
    for scale in (1e-30, 1e-6, 1.0, 1e4):
        maps = drawn(5).abs() * scale
        pooled = value(key, setting, maps)
        assert (pooled <= maps.amax((1, 2)) * (1 + 1e-5) + 1e-6).all()
        assert (pooled >= -1e-6).all()
        kept = weights(key, setting, maps)
        assert kept.isfinite().all()
        if POOLINGS[key].exact:
            torch.testing.assert_close((kept * maps).sum((1, 2)), pooled, rtol=1e-4, atol=0)


@every_setting
def test_the_gradient_is_finite_everywhere(key, setting):
    for maps in (awkward(), drawn(6), torch.zeros(2, 3, 3), torch.zeros(1, 1, 1), -drawn(7).abs()):
        maps = maps.clone().requires_grad_()
        assert torch.autograd.grad(value(key, setting, maps).sum(), maps)[0].isfinite().all()


@every_setting
def test_the_gradient_equals_finite_differences(key, setting):
    maps = torch.randperm(24, generator=torch.Generator().manual_seed(8)).double().view(2, 3, 4) / 8 + 0.1
    maps[1] -= 1.5  # signed; no two values of a channel are closer than an eighth
    direction = torch.randn(2, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    leaf = maps.clone().requires_grad_()
    gradient = torch.autograd.grad(value(key, setting, leaf) @ direction, leaf)[0]
    step, differences = 1e-6, torch.zeros_like(maps)
    for place in np.ndindex(*maps.shape):
        for sign in (1, -1):
            moved = maps.clone()
            moved[place] += sign * step
            differences[place] += sign * (value(key, setting, moved) @ direction) / (2 * step)
    torch.testing.assert_close(gradient, differences, rtol=1e-5, atol=1e-6)


@every_pooling
def test_what_it_is_given_is_left_as_it_was(key, setting):
    maps = drawn(10)
    before = maps.clone()
    value(key, setting, maps)
    weights(key, setting, maps)
    assert torch.equal(maps, before)


# Errors that teach, and the registry.


def test_an_unknown_pooling_is_answered_with_those_that_exist():
    with pytest.raises(ParameterError, match=r"'max'.*gap, gmp, gem, lse, topk, mixed, softpool, attention"):
        pooling_of("max")


def test_an_unknown_parameter_is_answered_with_the_one_that_exists():
    with pytest.raises(ParameterError, match=r"GeM has no parameter q; expected p\."):
        POOLINGS["gem"].value(TINY, q=3)
    with pytest.raises(ParameterError, match="GAP has no parameter; got p"):
        POOLINGS["gap"].weights(TINY, p=3)


@pytest.mark.parametrize("key", [key for key in POOLINGS if POOLINGS[key].parameter])
def test_a_bad_number_is_answered_with_the_range(key):
    pooling, known = POOLINGS[key], POOLINGS[key].parameter
    bad = (known.low - 0.001, known.high * 1.001, math.nan, math.inf, -math.inf, True, "3", None, [1], 10**400)
    for number in bad:
        for ask in (pooling.value, pooling.weights):
            with pytest.raises(ParameterError) as caught:
                ask(TINY, **{known.name: number})
            message = str(caught.value)
            assert f"from {known.low:g} to {known.high:g}" in message
            assert known.name in message
            assert pooling.name in message
            assert isinstance(caught.value, ExplorerError)
            assert isinstance(caught.value, ValueError)


def test_every_registry_entry_says_what_it_is():
    for key in POOLINGS:
        pooling = POOLINGS[key]
        assert pooling.key == key
        assert pooling.name
        assert pooling.explanation.endswith(".")
        assert "F_{" in pooling.formula
        assert any(character.isdigit() for character in pooling.source)
        if pooling.parameter:
            assert pooling.parameter.low <= pooling.parameter.default <= pooling.parameter.high
            assert pooling.parameter.explanation
            assert pooling.label() == f"{pooling.name}, {pooling.parameter.name} = {pooling.parameter.default:g}"
        else:
            assert pooling.label() == pooling.name


def test_the_default_parameter_is_what_is_used_without_one():
    for key, pooling in POOLINGS.items():
        default = (pooling.parameter.default,) if pooling.parameter else ()
        assert torch.equal(pooling.value(TINY), value(key, default, TINY))
        assert torch.equal(pooling(TINY), value(key, default, TINY))
        assert torch.equal(pooling.weights(TINY), weights(key, default, TINY))


def test_the_registry_cannot_be_changed():
    with pytest.raises(TypeError):
        POOLINGS["new"] = POOLINGS["gap"]


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_number_that_is_not_finite_spoils_its_own_channel_and_raises_nothing(pooling):
    for bad in (float("nan"), float("inf"), float("-inf")):
        feature_maps = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(1))
        feature_maps[1, 2, 3] = bad
        value, weights = POOLINGS[pooling].value(feature_maps), POOLINGS[pooling].weights(feature_maps)
        assert weights.shape == feature_maps.shape
        if pooling != "attention":  # whose weights are the same for all channels, so that one spoils them all
            alone = feature_maps[[0, 2]]
            torch.testing.assert_close(value[[0, 2]], POOLINGS[pooling].value(alone))
            torch.testing.assert_close(weights[[0, 2]], POOLINGS[pooling].weights(alone), atol=1e-6, rtol=1e-5)
