"""Which pooling gave a vector: against the definitions, on maps of every kind."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from explorer.networks.cutting.recognition import Recognised, recognise
from explorer.poolings.native import CATAVGMAX, CATMAXAVG

PLACES = (2, 3)


# The definitions again, on float64 arrays (B, C, H, W)


def average(maps: np.ndarray) -> np.ndarray:
    return maps.mean(PLACES)


def maximum(maps: np.ndarray) -> np.ndarray:
    return maps.max(PLACES)


def soft(maps: np.ndarray) -> np.ndarray:
    weights = np.exp(maps - maps.max(PLACES, keepdims=True))
    return (weights * maps).sum(PLACES) / weights.sum(PLACES)


def power(maps: np.ndarray, p: float) -> np.ndarray:
    return (np.maximum(maps, 0) ** p).mean(PLACES) ** (1 / p)


def mix(maps: np.ndarray, a: float) -> np.ndarray:
    return a * maximum(maps) + (1 - a) * average(maps)


def beside(maps: np.ndarray) -> np.ndarray:
    return np.concatenate([average(maps), maximum(maps)], 1)


def beside_turned(maps: np.ndarray) -> np.ndarray:
    return np.concatenate([maximum(maps), average(maps)], 1)


DEFINITIONS = {"gap": average, "gmp": maximum, "softpool": soft, "gem": power, "mixed": mix}


def pooled_by(result: Recognised, maps: np.ndarray) -> np.ndarray:
    """What the definition of the pooling that was named makes of these maps."""
    if result.pooling.key == "catavgmax":
        assert result.copies == 2
        return (beside if result.pooling is CATAVGMAX else beside_turned)(maps)
    assert result.copies == 1
    return DEFINITIONS[result.pooling.key](maps, **result.pooling.resolve({}))


def recognised(maps: np.ndarray, pooled: np.ndarray) -> Recognised | None:
    return recognise(_single(maps), _single(pooled))


def _single(array: np.ndarray) -> Tensor:
    return torch.tensor(array.copy(), dtype=torch.float32)


def agrees(result: Recognised, maps: np.ndarray, pooled: np.ndarray) -> bool:
    return bool(np.abs(pooled_by(result, maps) - pooled).max() <= 2e-4 * np.abs(pooled).max() + 1e-9)


# Eighths: exact in single precision, with many ties, zeros and negatives, constant maps and single positions among them
SHAPES = st.tuples(st.integers(1, 2), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
MAPS = SHAPES.flatmap(lambda shape: arrays(np.int64, shape, elements=st.integers(-40, 40))).map(lambda n: n / 8)
# On maps that are constant all poolings agree, and what is all zero tells nothing either.
MAPS = MAPS.filter(lambda n: (n.max((2, 3)) != n.min((2, 3))).any())


@pytest.mark.parametrize("pool", [average, maximum, soft, beside, beside_turned])
@given(maps=MAPS)
def test_a_pooling_that_is_known_is_told_by_what_it_does(pool, maps):
    pooled = pool(maps)
    assume(pooled.any())
    result = recognised(maps, pooled)
    assert result is not None
    assert agrees(result, maps, pooled)


@given(maps=MAPS, percent=st.integers(0, 100))
def test_a_mix_of_average_and_maximum_is_told_with_its_share(maps, percent):
    pooled = mix(maps, percent / 100)
    assume(pooled.any())
    result = recognised(maps, pooled)
    assert result is not None
    assert agrees(result, maps, pooled)


@given(maps=MAPS, tenths=st.integers(11, 200))
def test_gem_is_told_with_its_power(maps, tenths):
    pooled = power(maps, tenths / 10)
    assume(pooled.any())
    result = recognised(maps, pooled)
    assert result is not None
    assert agrees(result, maps, pooled)


@given(maps=MAPS, data=st.data())
def test_what_is_named_always_gives_the_vector(maps, data):
    width = data.draw(st.sampled_from([maps.shape[1], 2 * maps.shape[1]]))
    pooled = data.draw(arrays(np.int64, (len(maps), width), elements=st.integers(-40, 40))) / 8
    result = recognised(maps, pooled)
    assert result is None or agrees(result, maps, pooled)


@pytest.mark.parametrize("pool", [
    lambda maps: maps.sum(PLACES), lambda maps: maps.min(PLACES), lambda maps: np.median(maps, PLACES),
    lambda maps: maps.std(PLACES), lambda maps: maps[:, :, 0, 0], lambda maps: power(maps, 0.5),
    lambda maps: np.sort(maps.reshape(2, 5, -1))[..., -4:].mean(-1), lambda maps: 1.001 * average(maps),
    lambda maps: average(maps)[:, ::-1], lambda maps: average(maps)[:, :4], lambda maps: -maximum(maps),
    lambda maps: 1.5 * maximum(maps) - 0.5 * average(maps), lambda maps: np.concatenate([average(maps)] * 2, 1),
    lambda maps: np.stack([power(maps[:, [k]], k + 1)[:, 0] for k in range(5)], 1),
])
def test_what_is_none_of_them_is_not_named(pool):
    maps = np.random.default_rng(0).normal(1, 1, (2, 5, 4, 3)) ** 2
    assert recognised(maps, pool(maps)) is None


@pytest.mark.parametrize(("pool", "key", "parameters"), [
    (average, "gap", {}), (maximum, "gmp", {}), (soft, "softpool", {}),
    (lambda maps: mix(maps, 0.5), "mixed", {"a": 0.5}),
    (lambda maps: mix(maps, 0.125), "mixed", {"a": 0.125}), (lambda maps: power(maps, 3), "gem", {"p": 3.0}),
    (lambda maps: power(maps, 2.5), "gem", {"p": 2.5}), (lambda maps: power(maps, 60), "gem", {"p": 60.0}),
])
def test_on_maps_that_tell_them_apart_each_is_named(pool, key, parameters):
    maps = np.random.default_rng(1).normal(0.5, 1, (2, 6, 5, 4))
    result = recognised(maps, pool(maps))
    assert result.pooling.key == key
    assert result.pooling.resolve({}) == pytest.approx(parameters, rel=2e-3)


@pytest.mark.parametrize(("pool", "named"), [(beside, CATAVGMAX), (beside_turned, CATMAXAVG)])
def test_average_and_maximum_side_by_side_are_told_by_which_comes_first(pool, named):
    maps = np.random.default_rng(2).normal(0, 1, (1, 3, 4, 4))
    assert recognised(maps, pool(maps)).pooling is named


def test_weights_of_poolings_side_by_side_times_their_maps_give_the_vector():
    maps = np.random.default_rng(3).normal(0, 1, (1, 3, 4, 2))
    maps[0, 1] = 0.25  # ties
    twice = _single(maps).repeat(1, 2, 1, 1)
    for pooling, pool in ((CATAVGMAX, beside), (CATMAXAVG, beside_turned)):
        kept = (pooling.weights(twice) * twice).sum(PLACES)
        np.testing.assert_allclose(kept.numpy(), pool(maps), atol=1e-6)
        np.testing.assert_allclose(pooling.value(twice).numpy(), pool(maps), atol=1e-6)


@pytest.mark.parametrize("share", [1 / 3, 0.000_14, 0.54983])
def test_a_share_that_was_trained_is_told_to_single_precision(share):
    maps = np.random.default_rng(4).normal(0, 1, (1, 64, 7, 7))
    pooled = mix(maps, share)
    result = recognised(maps, pooled)
    assert result is not None
    np.testing.assert_allclose(pooled_by(result, maps), pooled, atol=1e-5 * np.abs(pooled).max())


@pytest.mark.parametrize("p", [1.234_55, 2.718_28])
def test_a_power_that_was_trained_is_told_to_single_precision(p):
    maps = np.random.default_rng(5).normal(0, 1, (1, 64, 7, 7))
    result = recognised(maps, power(maps, p))
    assert result.pooling.resolve({})["p"] == pytest.approx(p, abs=1e-5)


def test_a_power_of_80_is_told():
    maps = np.random.default_rng(6).normal(0, 1, (1, 16, 7, 7))
    assert recognised(maps, power(maps, 80)).pooling.key == "gem"
