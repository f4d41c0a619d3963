"""The benchmark that plants causes: what is planted stays where the network sees it, and what is planted is found."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from benchmarks.causes.cases import Case
from benchmarks.causes.maps import Flowers
from benchmarks.causes.methods import METHODS, RULES, quality
from benchmarks.causes.muted import repair
from benchmarks.causes.page import table
from benchmarks.causes.plants import PLANTS, SEEN, SHORT, scaled

CHANNELS, PLANTED = 60, slice(0, 6)


@pytest.fixture(scope="module")
def case() -> Case:
    """Two classes; a plant lights up six channels, which the head takes for class 0."""
    draw = np.random.default_rng(0)
    labels = np.repeat([0, 1], 100)
    planted = np.tile([True, False], 100)
    pooled = draw.gamma(1, 0.3, (200, CHANNELS)).astype(np.float32)
    pooled[labels == 0, 20:30] += draw.gamma(8, 0.1, (100, 1))
    pooled[labels == 1, 40:50] += draw.gamma(8, 0.1, (100, 1))
    pooled[planted, PLANTED] += draw.gamma(8, 0.25, (100, 1))
    weight = np.zeros((2, CHANNELS), np.float32)
    weight[0, 20:30] = weight[1, 40:50] = 1
    weight[0, PLANTED] = 1.2
    maps = np.repeat(pooled[..., None, None], 4, -1).astype(np.float16)
    flowers = Flowers(("tulips", "roses"), labels, labels, {}, {"": maps, "six": maps})
    return Case("six", 1.0, 0, 0, weight, np.zeros(2, np.float32), pooled, labels, planted, flowers)


@pytest.mark.parametrize("name", PLANTS)
def test_a_plant_changes_what_the_network_sees_and_the_same_seed_plants_the_same(name):
    photo = scaled(Image.effect_mandelbrot((300, 200), (-2, -1, 1, 1), 50).convert("RGB"))
    assert min(photo.size) == SHORT
    one, other = (PLANTS[name](photo.copy(), np.random.default_rng(3)) for _ in range(2))
    assert one.size == photo.size
    assert np.array_equal(np.asarray(one), np.asarray(other))
    left, top = (photo.width - SEEN) // 2, (photo.height - SEEN) // 2
    seen = (left, top, left + SEEN, top + SEEN)
    assert (np.asarray(one.crop(seen)) != np.asarray(photo.crop(seen))).any()


def test_the_planted_channels_are_found_and_come_first(case):
    assert case.use[0] > 0.9 > 0.1 > case.use[1]
    for rule in list(RULES)[:3]:
        outcome = quality(case, METHODS["causes, 3 parts"], rule)
        assert outcome.first == outcome.best > 0.95


def test_muting_ends_wrong_calls_and_the_controls_keep_as_many_of_the_class(case):
    done = repair(case, case)
    assert done.place == 1
    assert done.full.planted < done.before.planted / 2
    assert done.before.planted > 0.9
    recall = [(one.own_planted + one.own_clean) / 2 for one in (done.muted, done.as_low)]
    assert recall[0] == pytest.approx(recall[1], abs=0.05)
    assert done.clean_head == done.before


def test_a_table_has_a_cell_for_each_head():
    assert table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
