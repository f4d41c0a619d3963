"""Lessons 1, 2 and 3: each number again, by loops over the maps, or counted on heads that are really built."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from explorer import POOLINGS, analyse
from explorer.errors import MethodError, ParameterError
from explorer.framing import Preprocessing
from explorer.heads.kinds import KINDS as HEADS
from explorer.lessons.fewer_parameters import fewer_parameters
from explorer.lessons.from_maps_to_one_number import from_maps_to_one_number
from explorer.lessons.local_and_global import KINDS, largest_window, local_and_global
from explorer.networks import Network
from tests.explorer import own_models
from tests.explorer import second_derivations as again
from tests.explorer.tiny import analysis_of, heads, linear, random_maps

NAN = float("nan")


def tiny_analysis(make_network, maps=None, **options):
    """Maps of 5 channels at 3 x 4 positions before four classes."""
    return analysis_of(make_network(**options), random_maps() if maps is None else maps)


# 1. From maps to one number.


@pytest.mark.parametrize("key", POOLINGS)
def test_every_number_from_the_maps_to_the_class_again_in_loops(make_network, key):
    analysis = tiny_analysis(make_network)
    maps, head = analysis.feature_maps.double().tolist(), analysis.network.head
    parameter = POOLINGS[key].resolve({}).values()
    pooled = again.pooled(key, maps, *parameter)
    logits = again.linear(head.weight.double().tolist(), head.bias.double().tolist(), pooled)
    for channel in range(5):
        result = from_maps_to_one_number(analysis.under(key), 2, channel)
        one = result.channel
        values = [value for row in maps[channel] for value in row]
        assert one.values.tolist() == maps[channel]
        assert one.total == pytest.approx(sum(values))
        assert one.mean == pytest.approx(sum(values) / 12)
        assert one.maximum == max(values)
        assert one.places == tuple((i, j) for i in range(3) for j in range(4) if maps[channel][i][j] == max(values))
        contributions = [float(head.weight[2, k]) * pooled[k] for k in range(5)]
        assert one.pooled == pytest.approx(pooled[channel], rel=1e-5, abs=1e-6)
        assert one.weight == pytest.approx(float(head.weight[2, channel]))
        assert one.contribution == pytest.approx(contributions[channel], rel=1e-5, abs=1e-6)
        assert one.rank == 1 + sum(other > contributions[channel] for other in contributions)
    assert result.total == pytest.approx(sum(contributions), abs=1e-6)
    assert result.answer.name == "class 2"
    assert result.baseline == pytest.approx(float(head.bias[2]))
    assert result.answer.logit == pytest.approx(logits[2], abs=1e-6)
    assert result.left_over == pytest.approx(result.answer.logit - result.baseline - result.total)
    assert abs(result.left_over) < 1e-5
    powers = [math.exp(logit) for logit in logits]
    assert result.normalised.numerator / result.normalised.denominator == pytest.approx(powers[2] / sum(powers))
    assert result.normalised.shift == pytest.approx(max(logits), abs=1e-6)
    assert result.normalised.denominator == pytest.approx(sum(powers) / max(powers))
    assert result.answer.probability == pytest.approx(powers[2] / sum(powers))
    assert result.answer.rank == 1 + sum(logit > logits[2] for logit in logits)


def test_the_bundled_networks_numbers_again(network, examples):
    analysis = analyse(network, examples["coffee"])
    espresso = network.class_names.index("espresso")
    result = from_maps_to_one_number(analysis.under(), espresso)
    assert [(stage.key, stage.shape) for stage in result.stages] == [
        ("maps", (1280, 7, 7)), ("pooled", (1280,)), ("logits", (1000,)), ("probabilities", (1000,)), ("answer", (1,))]
    maps = analysis.feature_maps.numpy().astype(np.float64)
    row, bias = network.head.weight[espresso].numpy().astype(np.float64), float(network.head.bias[espresso])
    contributions = row * maps.mean((1, 2))
    best = int(np.argmax(contributions))
    assert (result.channel.channel, result.channel.rank) == (best, 1)
    assert result.channel.total == pytest.approx(maps[best].sum())
    assert result.channel.mean * row[best] == pytest.approx(result.channel.contribution, rel=1e-5)
    assert result.channel.maximum == maps[best].max()
    assert result.total + bias == pytest.approx(contributions.sum() + bias, abs=1e-4)
    assert result.answer.logit == pytest.approx(contributions.sum() + bias, abs=1e-4)
    logits = network.head.weight.double().numpy() @ maps.mean((1, 2)) + network.head.bias.double().numpy()
    assert result.normalised.denominator == pytest.approx(np.exp(logits - logits.max()).sum(), rel=1e-4)
    assert result.answer.probability == pytest.approx(np.exp(logits[espresso]) / np.exp(logits).sum(), rel=1e-4)


def test_a_tie_names_all_its_places(make_network):
    maps = torch.zeros(5, 2, 3)
    maps[1] = torch.tensor([[0.0, 6.0, 1.0], [6.0, 0.0, 6.0]])
    one = from_maps_to_one_number(tiny_analysis(make_network, maps).under(), 0, 1).channel
    assert one.places == ((0, 1), (1, 0), (1, 2))
    assert (one.total, one.mean, one.maximum) == (19, pytest.approx(19 / 6), 6)


@pytest.mark.parametrize("head", ["LayerNorm, Linear", "Linear, Hardswish, Linear", "polynomial"])
def test_what_a_head_that_is_integrated_leaves_over_is_the_residual(make_network, head):
    analysis = tiny_analysis(make_network, head=heads()[head])
    result = from_maps_to_one_number(analysis.under(), 1)
    with torch.no_grad():
        logits = heads()[head].eval()(analysis.feature_maps.mean((1, 2))[None])[0]
    assert result.answer.logit == pytest.approx(float(logits[1]), abs=1e-5)
    assert result.baseline + result.total + result.left_over == pytest.approx(result.answer.logit)
    assert abs(result.left_over) < (1e-2 if "swish" in head or head == "polynomial" else 1e-5)


def test_under_a_sigmoid_the_answer_may_be_several_classes(make_network):
    head = linear([[1.0] * 5, [-1.0] * 5, [2.0] * 5, [0.5] * 5], [0.0] * 4)
    network = dataclasses.replace(make_network(head), activation="sigmoid")
    result = from_maps_to_one_number(analysis_of(network, random_maps()).under(), 2)
    assert result.stages[-1].shape == (3,)
    sigmoid = 1 / (1 + math.exp(-result.answer.logit))
    assert result.normalised.numerator / result.normalised.denominator == pytest.approx(sigmoid)
    against = from_maps_to_one_number(analysis_of(network, random_maps()).under(), 1)
    assert against.answer.probability == pytest.approx(1 / (1 + math.exp(-against.answer.logit)))
    assert against.normalised.numerator / against.normalised.denominator == pytest.approx(against.answer.probability)


def test_a_network_that_gives_probabilities_itself_has_no_step_for_them(make_network):
    network = dataclasses.replace(make_network(), activation="none")
    result = from_maps_to_one_number(analysis_of(network, random_maps()).under(), 0)
    assert [stage.key for stage in result.stages] == ["maps", "pooled", "logits", "answer"]
    assert result.normalised is None


def test_a_channel_or_class_that_does_not_exist_is_refused(make_network):
    outcome = tiny_analysis(make_network).under()
    for channel in (-1, 5, 1.5, True, "1"):
        with pytest.raises(ParameterError, match=r"channel is .*expected a whole number from 0 to 4"):
            from_maps_to_one_number(outcome, 0, channel)
    with pytest.raises(ParameterError, match="no class 4"):
        from_maps_to_one_number(outcome, 4)


def test_a_network_without_a_pooling_is_told_why_not(without_pooling, examples):
    with pytest.raises(MethodError, match="pooling"):
        from_maps_to_one_number(analyse(without_pooling, examples["cat"]).under(), 0)


# 2. Local and global pooling.


def by_loops(one: list[list[float]], kind: str, window: int, stride: int):
    """Outputs, windows, and how often each position is read."""
    rows, columns = len(one), len(one[0])
    high, wide = min(window, rows), min(window, columns)
    outputs, windows, reads = [], [], [[0] * columns for _ in range(rows)]
    for top in range(0, rows - high + 1, stride):
        outputs.append([])
        windows.append([])
        for left in range(0, columns - wide + 1, stride):
            values = [one[i][j] for i in range(top, top + high) for j in range(left, left + wide)]
            outputs[-1].append(max(values) if kind == "max" else sum(values) / len(values))
            windows[-1].append([top, left, top + high, left + wide])
            for i in range(top, top + high):
                for j in range(left, left + wide):
                    reads[i][j] += 1
    return outputs, windows, reads


def variance_told(one, outputs, windows, reads) -> float:
    """Draw each position as the mean of what read it, and correlate."""
    drawn = np.full((len(one), len(one[0])), np.nan)
    for i, j in np.ndindex(*drawn.shape):
        seen = [outputs[r][c] for r in range(len(outputs)) for c in range(len(outputs[0]))
                if windows[r][c][0] <= i < windows[r][c][2] and windows[r][c][1] <= j < windows[r][c][3]]
        assert len(seen) == reads[i][j]
        if seen:
            drawn[i, j] = sum(seen) / len(seen)
    drawn[np.isnan(drawn)] = np.nanmean(drawn)
    if np.ptp(drawn) < 1e-9:
        return 0.0
    return np.corrcoef(drawn.ravel(), np.ravel(one))[0, 1] ** 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (1, 4), (1, 1)])
def test_every_window_and_stride_again_in_loops(make_network, shape, kind):
    analysis = tiny_analysis(make_network, random_maps(5, *shape, seed=1) + 0.1 * random_maps(5, *shape, seed=2))
    assert largest_window(analysis) == max(shape)
    one = analysis.feature_maps[3].double().tolist()
    for window in range(1, max(shape) + 1):
        for stride in range(1, window + 1):
            result = local_and_global(analysis, 3, kind, window, stride)
            outputs, windows, reads = by_loops(one, kind, window, stride)
            np.testing.assert_allclose(result.output, outputs, rtol=1e-9)
            assert result.sides == (min(window, shape[0]), min(window, shape[1]))
            assert result.unread == pytest.approx(np.mean(np.array(reads) == 0))
            if shape != (1, 1):
                reports = variance_told(one, outputs, windows, reads)
                assert result.variance_kept == pytest.approx(reports, abs=1e-6)
            if kind == "max":
                for r, c in np.ndindex(*result.output.shape):
                    i, j = result.peaks[r, c]
                    top, left, bottom, right = windows[r][c]
                    assert top <= i < bottom
                    assert left <= j < right
                    assert one[i][j] == result.output[r, c]
            else:
                assert result.peaks is None


@pytest.mark.parametrize(("kind", "key"), [("average", "gap"), ("max", "gmp")])
def test_the_largest_window_is_the_global_pooling(make_network, network, examples, kind, key):
    photo = examples["rocket"]
    for analysis in (analyse(network, photo), analyse(make_network(channels=7), photo, "whole"),
                     tiny_analysis(make_network, random_maps(5, 2, 6))):
        pooled = POOLINGS[key].value(analysis.feature_maps)
        for channel in (0, 4):
            result = local_and_global(analysis, channel, kind, largest_window(analysis))
            assert result.output.shape == (1, 1)
            for value in (result.output[0, 0], result.global_value):
                assert value == pytest.approx(float(pooled[channel]), rel=1e-5, abs=1e-6)
            assert result.sides == analysis.feature_maps.shape[1:]


@given(st.lists(st.floats(0, 10, width=32), min_size=16, max_size=16))
def test_of_averages_that_divide_the_map_the_variance_between_windows_is_kept(numbers):
    values = np.reshape(numbers, (4, 4)).astype(np.float64)
    if np.ptp(values) < 1e-3:
        return
    analysis = analysis_of(bare_network(), torch.tensor(values, dtype=torch.float32)[None].expand(5, 4, 4))
    between = values.reshape(2, 2, 2, 2).mean((1, 3)).var() / values.var()
    assert local_and_global(analysis, 0, "average", 2).variance_kept == pytest.approx(between, abs=1e-6)
    assert local_and_global(analysis, 0, "average", 1).variance_kept == pytest.approx(1)
    assert local_and_global(analysis, 0, "average", 4).variance_kept == 0


def bare_network() -> Network:
    return Network("bare", "Bare", nn.Identity(), POOLINGS["gap"], nn.Linear(5, 4), ("a", "b", "c", "d"),
                   Preprocessing(size=96), "0" * 64, "untrained")


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_a_map_with_one_value_has_no_variance_to_lose(make_network, value):
    analysis = tiny_analysis(make_network, torch.full((5, 3, 4), value))
    assert local_and_global(analysis, 0, "average", 2, 1).variance_kept is None
    assert local_and_global(analysis, 0, "max", 1).variance_kept is None
    assert local_and_global(tiny_analysis(make_network, torch.full((5, 3, 4), NAN)), 0).variance_kept is None


def test_windows_and_strides_outside_their_range_are_refused(make_network):
    analysis = tiny_analysis(make_network)
    for bad, words in (
        ({"window": 0}, "window is 0; expected a whole number from 1 to 4"), ({"window": 5}, "window is 5"),
        ({"window": 2, "stride": 3}, "stride is 3; expected a whole number from 1 to 2"), ({"stride": 0}, "stride is"),
        ({"window": 2.0}, "window is"), ({"kind": "median"}, "no kind of pooling 'median'"),
        ({"channel": 5}, "channel is 5"),
    ):
        with pytest.raises(ParameterError, match=words):
            local_and_global(analysis, **({"channel": 0} | bad))


def test_it_needs_no_pooling_of_the_networks_own(without_pooling, examples):
    analysis = analyse(without_pooling, examples["cat"])
    assert local_and_global(analysis, 1, "max", 2).output.max() <= float(analysis.feature_maps[1].max())


# 3. Fewer parameters.


@pytest.fixture(scope="module")
def without_pooling() -> Network:
    class Flattens(own_models.Small):
        def forward(self, x):
            return self.fc(self.maps(x).flatten(1))

    return own_models.network_of(own_models.seeded(lambda: Flattens(head=nn.Linear(8 * 8 * 8, 4))))


def built(key: str, channels: int, rows: int, columns: int, classes: int) -> nn.Module:
    """The head itself, (B, C, H, W) to (B, classes); without numbers, so that it may be of any size."""
    class Pyramid(nn.Module):
        def forward(self, maps):
            return torch.cat([nn.AdaptiveAvgPool2d(side)(maps).flatten(1) for side in (1, 2)], 1)

    front = {"gap": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), "pyramid": Pyramid(),
             "flatten": nn.Flatten()}[key]
    with torch.device("meta"):
        inputs = front(torch.empty(1, channels, rows, columns)).shape[1]
        return nn.Sequential(front, nn.Linear(inputs, classes))


def check_costs(result, channels, rows, columns, classes):
    assert result.shape == (channels, rows, columns)
    for key, cost in zip(("gap", "pyramid", "flatten"), result.heads, strict=True):
        head = built(key, channels, rows, columns, classes)
        assert cost.name == HEADS[key].name
        assert cost.parameters == sum(weight.numel() for weight in head.parameters())
        assert cost.megabytes == sum(weight.numel() * weight.element_size() for weight in head.parameters()) / 1e6
        with FlopCounterMode(display=False) as counter:
            head[1](torch.empty(1, head[1].in_features, device="meta"))
        assert 2 * cost.multiply_adds == counter.get_total_flops()


@pytest.mark.parametrize(("size", "grid"), [(96, 4), (120, 5), (239, 9)])
def test_heads_of_a_small_network_cost_what_built_ones_have(make_network, size, grid):
    network = make_network(channels=7, classes=6)
    check_costs(fewer_parameters(network, size), 7, grid, grid, 6)


def test_heads_of_the_bundled_network_cost_what_built_ones_have(network):
    at_home = fewer_parameters(network, 224)
    check_costs(at_home, 1280, 7, 7, 1000)
    with torch.no_grad():
        shape = network.backbone(torch.zeros(1, 3, 130, 130)).shape[1:]
    small = fewer_parameters(network, 130)
    check_costs(small, *shape, 1000)
    assert small.heads[0].parameters == at_home.heads[0].parameters
    assert small.heads[2].multiply_adds / small.heads[0].multiply_adds == shape[1] * shape[2]


def test_the_network_is_run_once_for_each_size(make_network):
    network = make_network()
    for size in (96, 120, 96, 120, 96):
        fewer_parameters(network, size)
    assert network.backbone.calls == 2


def test_sizes_outside_the_networks_range_are_refused(make_network):
    network = make_network()
    assert network.preprocessing.sides == (96, 640)
    for size in (95, 641, 96.0, True, None):
        with pytest.raises(ParameterError, match=r"size of the input is .*expected a whole number from 96 to 640"):
            fewer_parameters(network, size)
    fixed = dataclasses.replace(network, preprocessing=Preprocessing(size=96, fixed=True))
    assert fewer_parameters(fixed, 96).shape == (5, 4, 4)
    with pytest.raises(ParameterError, match="from 96 to 96"):
        fewer_parameters(fixed, 120)
