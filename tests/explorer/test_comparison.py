"""Two poolings side by side, against sums written out by hand."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from explorer import POOLINGS, analyse
from explorer.errors import ParameterError
from explorer.networks import Network
from explorer.networks.calibration import Calibration
from explorer.questions.comparison import entropy, fewest_positions, largest_differences, mean_weights, path
from tests.explorer import second_derivations as again
from tests.explorer.tiny import analysis_of, heads, linear, random_maps

NAN, INF = float("nan"), float("inf")
WITH_PARAMETER = [key for key, pooling in POOLINGS.items() if pooling.parameter]

# Where a pooling looks.


@pytest.mark.parametrize("key", ["gap", "gmp", "gem", "attention"])
def test_mean_weights_agree_with_plain_loops_over_channels_and_positions(make_network, key):
    maps = random_maps(5, 3, 4)
    row = [1.5, -2.0, 0.25, 0.0, 0.75]
    outcome = analysis_of(make_network(linear([row], [0.3]), classes=1), maps).under(key)
    parameter = (POOLINGS[key].parameter.default,) if POOLINGS[key].parameter else ()
    plain = maps.double().tolist()
    weights, pooled = again.pooling_weights(key, plain, *parameter), again.pooled(key, plain, *parameter)
    sizes = [abs(a * y) for a, y in zip(row, pooled, strict=True)]
    expected = np.zeros((3, 4))
    for k in range(5):
        total = sum(sum(line) for line in weights[k])
        for i in range(3):
            for j in range(4):
                expected[i, j] += sizes[k] / sum(sizes) * weights[k][i][j] / total
    result = mean_weights(outcome, 0)
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, expected, atol=1e-5)


@st.composite
def maps_and_weights(draw):
    channels, rows, columns = (draw(st.integers(1, most)) for most in (4, 3, 3))
    number = st.sampled_from([0.0, 0.0, 1e-20, 0.3, 1.0, 7.0, -2.0])
    maps = draw(st.lists(number, min_size=channels * rows * columns, max_size=channels * rows * columns))
    weights = draw(st.lists(number, min_size=channels, max_size=channels))
    return torch.tensor(maps).reshape(channels, rows, columns), weights


@given(maps_and_weights(), st.sampled_from(list(POOLINGS)))
def test_mean_weights_sum_to_one_and_are_never_negative(make_network, case, key):
    maps, weights = case
    outcome = analysis_of(make_network(linear([weights], [0.0]), classes=1, channels=len(maps)), maps).under(key)
    result = mean_weights(outcome, 0)
    assert result.shape == maps.shape[1:]
    assert (result >= 0).all()
    assert result.sum() == pytest.approx(1, abs=1e-9)
    assert -1e-9 <= entropy(result) <= math.log2(result.size) + 1e-9
    assert 1 <= fewest_positions(result) <= result.size


def test_gap_looks_everywhere_alike_and_gmp_at_the_maxima(make_network):
    maps = torch.tensor([[[5.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [2.0, 2.0]]])
    analysis = analysis_of(make_network(linear([[3.0, -2.5]], [0.0]), classes=1, channels=2), maps)
    assert mean_weights(analysis.under("gap"), 0) == pytest.approx(np.full((2, 2), 0.25))
    # Under GMP the channels contribute 15 and -5: three quarters and one, the latter in two tied halves.
    assert mean_weights(analysis.under("gmp"), 0) == pytest.approx(np.array([[0.75, 0.0], [0.125, 0.125]]))


def test_all_channels_count_alike_when_nothing_contributes(make_network):
    maps = torch.tensor([[[5.0, 1.0]], [[0.0, 2.0]]])
    network = make_network(linear([[0.0, 0.0]], [1.0]), classes=1, channels=2)
    assert mean_weights(analysis_of(network, maps).under("gmp"), 0).tolist() == [[0.5, 0.5]]
    # GeM gives a map below 0 no weights at all: what is left is an even map.
    assert mean_weights(analysis_of(network, -maps - 1).under("gem"), 0).tolist() == [[0.5, 0.5]]


def test_a_channel_that_is_not_finite_is_not_looked_at(make_network):
    maps = torch.tensor([[[5.0, 1.0]], [[NAN, 2.0]], [[INF, 0.0]]])
    network = make_network(linear([[1.0, 1.0, 1.0]], [1.0]), classes=1, channels=3)
    assert mean_weights(analysis_of(network, maps).under("gmp"), 0).tolist() == [[1.0, 0.0]]
    assert mean_weights(analysis_of(network, torch.full((3, 1, 2), NAN)).under("attention"), 0).tolist() == [[0.5, 0.5]]


def test_mean_weights_are_of_a_class_that_exists(make_network):
    with pytest.raises(ParameterError, match="no class 9"):
        mean_weights(analysis_of(make_network(), random_maps()).under("gap"), 9)


def test_on_a_photo_gap_looks_at_all_positions_and_gmp_at_fewer(network, examples):
    analysis = analyse(network, examples["cat"])
    assert entropy(mean_weights(analysis.under("gap"), 281)) == pytest.approx(math.log2(49))
    assert entropy(mean_weights(analysis.under("gmp"), 281)) < math.log2(45)
    assert mean_weights(analysis.under("gem", p=1), 281) == pytest.approx(np.full((7, 7), 1 / 49), abs=1e-6)


# How many positions that is.


@pytest.mark.parametrize(("weights", "bits"), [
    ([[0.0, 1.0]], 0), ([[0.5, 0.25], [0.25, 0.0]], 1.5), ([[0.125] * 8], 3),
])
def test_entropy_by_hand(weights, bits):
    result = entropy(np.array(weights))
    assert result == bits
    assert math.copysign(1, result) == 1


def test_the_entropy_of_what_is_not_a_number_is_none_either():
    assert math.isnan(entropy(np.array([[NAN, 1.0]])))


@given(st.lists(st.floats(0, 10), min_size=1, max_size=12).filter(lambda values: sum(values) > 1e-3))
def test_entropy_agrees_with_its_definition_and_the_order_of_positions_does_not_matter(values):
    shares = [value / sum(values) for value in values]
    expected = sum(-share * math.log2(share) for share in shares if share > 0)
    assert entropy(np.array([shares])) == pytest.approx(expected, abs=1e-9)
    assert entropy(np.array([shares[::-1]]).T) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("weights", "share", "count"), [
    ([[0.5, 0.3, 0.2]], 0.8, 2), ([[0.5, 0.3, 0.2]], 0.51, 2), ([[1.0, 0.0]], 1, 1), ([[0.3] * 5], 0.8, 4),
    ([[1 / 49] * 49], 0.8, 40), ([[0.0, 0.0]], 0.8, 0),
])
def test_the_fewest_positions_that_hold_a_share_by_hand(weights, share, count):
    assert fewest_positions(np.array(weights), share) == count


@pytest.mark.parametrize("share", [0, 1.1])
def test_a_share_of_positions_outside_its_range_is_refused(share):
    with pytest.raises(ParameterError, match="share is"):
        fewest_positions(np.ones((2, 2)) / 4, share)


# Where two poolings differ.


def test_the_largest_differences_by_hand(make_network):
    # GAP keeps 1, 2, 0.5 and 0; GMP 4, 2, 1 and 0. Weights 1, 5, -8, 9.
    maps = torch.tensor([[[4.0, 0.0, 0.0, 0.0]], [[2.0, 2.0, 2.0, 2.0]], [[1.0, 1.0, 0.0, 0.0]], [[0.0] * 4]])
    network = make_network(linear([[1.0, 5.0, -8.0, 9.0]], [0.0]), classes=1, channels=4)
    analysis = analysis_of(network, maps)
    result = largest_differences(analysis.under("gap"), analysis.under("gmp"), 0)
    assert result == [(2, 0.5, 1.0, -4.0, -8.0, 4.0), (0, 1.0, 4.0, 1.0, 4.0, -3.0)]
    assert result[0].difference == 4
    assert largest_differences(analysis.under("gap"), analysis.under("gmp"), 0, count=1) == result[:1]
    assert largest_differences(analysis.under("gap"), analysis.under("gap"), 0) == []


@pytest.mark.parametrize("key", ["gmp", "mixed"])
def test_the_largest_differences_agree_with_a_plain_sort(network, examples, key):
    analysis = analyse(network, examples["rocket"])
    a, b = analysis.under("gap"), analysis.under(key, **({"a": 0.7} if key == "mixed" else {}))
    of_a, of_b = (outcome.evidence(657).channels.double().tolist() for outcome in (a, b))
    parts = [x - y for x, y in zip(of_a, of_b, strict=True)]
    expected = sorted((k for k in range(1280) if parts[k] != 0), key=lambda k: (-abs(parts[k]), k))[:6]
    result = largest_differences(a, b, 657)
    assert [item.channel for item in result] == expected
    for item in result:
        assert item.pooled_b == pytest.approx(float(b.pooled[item.channel]))
        assert item.difference == pytest.approx(item.contribution_a - item.contribution_b)


def test_differences_that_are_not_finite_are_left_out(make_network):
    maps = torch.tensor([[[NAN, 0.0]], [[INF, 0.0]], [[1.0, 0.0]], [[-INF, INF]]])
    analysis = analysis_of(make_network(linear([[1.0] * 4], [0.0]), classes=1, channels=4), maps)
    assert [item.channel for item in largest_differences(analysis.under("gap"), analysis.under("gmp"), 0)] == [2]


def test_outcomes_of_networks_with_different_channels_are_not_compared(make_network):
    a, b = (analysis_of(make_network(channels=n), random_maps(n)).under("gap") for n in (3, 4))
    with pytest.raises(ParameterError, match="3 and 4 channels"):
        largest_differences(a, b, 0)


# Along a parameter.


@pytest.mark.parametrize("key", WITH_PARAMETER)
def test_each_step_of_a_path_is_what_the_network_says_there(network, examples, key):
    analysis = analyse(network, examples["cat_and_coffee"])
    parameter = POOLINGS[key].parameter
    for calibrated in (False, True):
        result = path(analysis, key, [285, 967, 0], calibrated)
        assert result.parameter is parameter
        assert (result.values[0], result.values[-1]) == parameter.usual
        steps = result.values[1:] / result.values[:-1] if parameter.logarithmic else np.diff(result.values)
        assert steps == pytest.approx(steps[0])
        assert result.calibrated is calibrated
        for n, value in enumerate(result.values):
            outcome = analysis.under(key, **{parameter.name: float(value)})
            expected = outcome.probabilities(calibrated)[[285, 967, 0]].numpy()
            np.testing.assert_allclose(result.probabilities[n], expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("key", WITH_PARAMETER)
def test_an_end_that_is_called_gap_or_gmp_is_it(make_network, key):
    for maps in (random_maps(), random_maps() - 0.4, random_maps(5, 20, 20)):
        for name in ("Linear", "LayerNorm, Linear", "polynomial"):
            analysis = analysis_of(make_network(heads()[name]), maps)
            result = path(analysis, key, [0, 1, 2, 3])
            for n, end in zip((0, -1), result.ends, strict=True):
                if end in {"GAP", "GMP"}:
                    expected = analysis.under(end.lower()).probabilities().numpy()
                    np.testing.assert_allclose(result.probabilities[n], expected, rtol=1e-4, atol=1e-5)
                assert end


def test_the_ends_are_said_as_they_are_for_these_maps(make_network):
    def ends(key, maps):
        return path(analysis_of(make_network(), maps), key, [0]).ends

    assert ends("gem", random_maps()) == ("GAP", "towards GMP")
    assert ends("gem", random_maps() - 1) == ("GAP, negatives as 0", "towards GMP, negatives as 0")
    assert ends("topk", random_maps(5, 3, 4)) == ("GMP", "GAP")
    assert ends("topk", random_maps(5, 10, 20)) == ("the 4 strongest of 200 positions", "GAP")
    assert ends("mixed", random_maps()) == ("GAP", "GMP")


def calibrated_with(network, **multipliers):
    return dataclasses.replace(network, calibration=Calibration(multipliers))


def test_a_path_is_calibrated_as_a_whole_or_not_at_all(make_network):
    whole = calibrated_with(make_network(), gem=((1.0, 2.0), (10.0, 0.5)))
    part = calibrated_with(make_network(), gem=((1.0, 2.0), (9.9, 0.5)))
    raw = path(analysis_of(whole, random_maps()), "gem", [1, 2])
    assert raw.calibrated is False
    for network, expected in ((whole, True), (part, False), (make_network(), False)):
        result = path(analysis_of(network, random_maps()), "gem", [1, 2], calibrated=True)
        assert result.calibrated is expected
        assert np.array_equal(result.probabilities, raw.probabilities) is not expected
    assert path(analysis_of(whole, random_maps()), "lse", [1], calibrated=True).calibrated is False


def test_a_native_step_is_never_multiplied_and_does_not_stop_the_others(make_network):
    network = calibrated_with(make_network(pooling="mixed", a=0.5), mixed=((0.0, 3.0), (1.0, 3.0)))
    analysis = analysis_of(network, random_maps())
    result, raw = (path(analysis, "mixed", [0, 1, 2, 3], calibrated) for calibrated in (True, False))
    assert result.calibrated is True
    middle = len(result.values) // 2
    np.testing.assert_array_equal(result.probabilities[middle], raw.probabilities[middle])
    for n in (0, -1):
        powers = raw.probabilities[n] ** 3  # three times the logits
        np.testing.assert_allclose(result.probabilities[n], powers / powers.sum(), rtol=1e-9)


def test_the_probabilities_are_of_all_classes_and_not_of_the_chosen_alone(make_network):
    result = path(analysis_of(make_network(), random_maps()), "gem", [0, 1, 2, 3])
    assert result.probabilities.sum(1) == pytest.approx(np.ones(len(result.values)))
    one = path(analysis_of(make_network(), random_maps()), "gem", [2])
    np.testing.assert_allclose(one.probabilities[:, 0], result.probabilities[:, 2], atol=1e-6)


def test_a_path_needs_neither_the_backbone_nor_pooling_weights(make_network, monkeypatch):
    network = make_network()
    pooling = POOLINGS["gem"]
    changed = dataclasses.replace(pooling, compute_weights=None)
    monkeypatch.setattr(Network, "pooling_of", lambda self, key: changed)
    before = network.backbone.calls
    analysis = analysis_of(network, random_maps())
    first = path(analysis, "gem", [0])
    assert network.backbone.calls == before
    monkeypatch.setattr(Network, "pooling_of", lambda self, key: dataclasses.replace(changed, compute_value=None))
    np.testing.assert_array_equal(path(analysis, "gem", [0]).probabilities, first.probabilities)  # remembered


@pytest.mark.parametrize("key", ["gap"])
def test_a_pooling_without_a_parameter_has_no_path(make_network, key):
    with pytest.raises(ParameterError, match="has no parameter"):
        path(analysis_of(make_network(), random_maps()), key, [0])


def test_an_unknown_pooling_or_class_is_refused(make_network):
    analysis = analysis_of(make_network(), random_maps())
    with pytest.raises(ParameterError, match="no pooling 'max'"):
        path(analysis, "max", [0])
    with pytest.raises(ParameterError, match="no class 4"):
        path(analysis, "gem", [0, 4])


@pytest.mark.parametrize("key", ["gem", "topk"])
def test_a_path_of_maps_that_are_not_finite_is_nan_and_no_error(make_network, key):
    result = path(analysis_of(make_network(), torch.full((5, 2, 2), NAN)), key, [0], calibrated=True)
    assert np.isnan(result.probabilities).all()


def test_one_position_and_one_class_are_enough(make_network):
    network = make_network(linear([[2.0]], [1.0]), classes=1, channels=1)
    for key in WITH_PARAMETER:
        result = path(analysis_of(network, torch.full((1, 1, 1), 3.0)), key, [0])
        assert result.probabilities.tolist() == [[1.0]] * len(result.values)
