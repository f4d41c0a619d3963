"""Lessons 6 and 9, and what all lessons claim: positions shuffled by hand, and a mask drawn again pixel by pixel."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from explorer import POOLINGS, analyse
from explorer.errors import MethodError, ParameterError
from explorer.framing import Preprocessing
from explorer.heads.kinds import KINDS
from explorer.lessons.catalogue import LESSONS
from explorer.lessons.lost_place import lost_place
from explorer.lessons.where_from_maps import where_from_maps
from explorer.networks import Network
from explorer.questions.edited_photo import pixels_of
from tests.explorer import own_models
from tests.explorer import second_derivations as again
from tests.explorer.tiny import analysis_of, heads, linear, random_maps

SAME = 1e-6


def quarters(one: list[list[float]]) -> list[float]:
    """The means of a map's four quarters; the middle row and column of an odd number belong to both halves."""
    def halves(count: int) -> list[range]:
        return [range((count + 1) // 2), range(count // 2, count)]
    return [sum(one[i][j] for i in rows for j in columns) / (len(rows) * len(columns))
            for rows in halves(len(one)) for columns in halves(len(one[0]))]


def seeded_head(kind: str, shape: tuple[int, ...], classes: int = 3) -> nn.Module:
    """A head of a kind with random weights."""
    head = KINDS[kind](shape, classes)
    with torch.no_grad():
        head.linear.weight.normal_(generator=torch.Generator().manual_seed(5))
    return head.eval()


def change(before, after) -> float:
    before, after = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    return np.linalg.norm(after - before) / np.linalg.norm(before)


# 6. What is lost: place.


@pytest.mark.parametrize("shape", [(3, 4), (5, 2), (4, 4)])
def test_all_poolings_answer_the_same_of_shuffled_positions_and_layouts_do_not(make_network, shape):
    analysis = analysis_of(make_network(), random_maps(5, *shape))
    actual = lost_place(analysis.under(), 1, 7)
    maps, order = analysis.feature_maps.double().tolist(), actual.permutation.tolist()
    rows, columns = shape
    assert sorted(order) == list(range(rows * columns))
    assert actual.moved == sum(n != place for n, place in enumerate(order)) / len(order) > 0.5
    shuffled = [[[one[order[i * columns + j] // columns][order[i * columns + j] % columns] for j in range(columns)]
                 for i in range(rows)] for one in maps]
    head = analysis.network.head
    for result in actual.poolings:
        parameter = POOLINGS[result.key].resolve({}).values()
        for logits, given_maps in ((result.before, maps), (result.after, shuffled)):
            pooled = again.pooled(result.key, given_maps, *parameter)
            expected = again.linear(head.weight.double().tolist(), head.bias.double().tolist(), pooled)
            np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)
        assert result.vector_change <= SAME
        assert result.logit_change <= SAME
    assert [result.key for result in actual.poolings] == list(POOLINGS)
    pyramid, flatten = actual.layouts
    vectors = [[[again.gap_value(one) for one in item] + [part for one in item for part in quarters(one)]
                for item in (maps, shuffled)],
               [[value for one in item for row in one for value in row] for item in (maps, shuffled)]]
    for result, (before, after) in zip((pyramid, flatten), vectors, strict=True):
        assert result.vector_change == pytest.approx(change(before, after), rel=1e-5)
        assert result.vector_change > 0.1
        assert (result.before, result.after, result.logit_change) == (None, None, None)


@pytest.mark.parametrize("key", POOLINGS)
def test_the_evidence_goes_along_with_its_positions(make_network, key):
    analysis = analysis_of(make_network(), random_maps())
    actual = lost_place(analysis.under(key), 2, 3)
    before, after = actual.cells_before.flatten().tolist(), actual.cells_after.flatten().tolist()
    assert after == pytest.approx([before[place] for place in actual.permutation.tolist()], abs=1e-6)
    expected = max(abs(a - before[place]) for a, place in zip(after, actual.permutation.tolist(), strict=True))
    assert actual.evidence_change == pytest.approx(expected / max(map(abs, before)), abs=1e-6)
    assert actual.evidence_change < 1e-5
    assert actual.cells_before.tolist() == analysis.under(key).evidence(2).cells.tolist()
    assert change(before, after) > 0.1


def test_of_the_bundled_networks_maps_all_eight_poolings_answer_the_same(network, examples):
    analysis = analyse(network, examples["astronaut"])
    shape = tuple(analysis.feature_maps.shape)
    trained = {kind: seeded_head(kind, shape) for kind in ("pyramid", "flatten")}
    actual = lost_place(analysis.under(), 560, 0, trained)
    order = actual.permutation.numpy()
    maps = analysis.feature_maps.numpy().reshape(1280, 49)
    assert len(actual.poolings) == 8
    for result in actual.poolings:
        assert result.vector_change <= SAME
        assert result.logit_change <= SAME
        assert torch.equal(result.before, analysis.under(result.key).logits)
    for result in actual.layouts:
        with torch.no_grad():
            expected = [trained[result.key](torch.tensor(own.reshape(1, *shape)))[0] for own in (maps, maps[:, order])]
        torch.testing.assert_close((result.before, result.after), tuple(expected))
        largest = float((expected[1] - expected[0]).abs().max() / expected[0].abs().max())
        assert result.logit_change == pytest.approx(largest, rel=1e-3)
        assert result.logit_change > 0.05
        assert result.vector_change > 0.3
    cells = analysis.under().evidence(560).cells.numpy().ravel()
    np.testing.assert_allclose(actual.cells_after.numpy().ravel(), cells[order], atol=1e-6)
    assert actual.evidence_change < 1e-5


def test_the_same_seed_shuffles_the_same_way_and_another_one_differently(make_network):
    outcome = analysis_of(make_network(), random_maps()).under()
    first, second, other = (lost_place(outcome, 0, seed).permutation.tolist() for seed in (4, 4, 5))
    assert first == second != other


def test_a_single_position_has_nowhere_else_to_go(make_network):
    actual = lost_place(analysis_of(make_network(), random_maps(5, 1, 1, seed=2) + 1).under(), 0)
    assert actual.moved == 0
    assert [result.vector_change for result in actual.layouts] == [0, 0]


def test_a_head_that_does_not_take_these_maps_is_refused_by_name(make_network):
    outcome = analysis_of(make_network(), random_maps()).under()
    for shape in ((5, 7, 7), (6, 3, 4)):
        with pytest.raises(MethodError, match=r"head flatten does not take feature maps of shape \(5, 3, 4\)"):
            lost_place(outcome, 0, heads={"flatten": seeded_head("flatten", shape)})


def test_seeds_and_classes_that_do_not_exist_are_refused(make_network):
    outcome = analysis_of(make_network(), random_maps()).under()
    for seed in (-1, 1_000_000, 0.5, True):
        with pytest.raises(ParameterError, match=r"seed is .*expected a whole number from 0 to 999999"):
            lost_place(outcome, 0, seed)
    with pytest.raises(ParameterError, match="no class 9"):
        lost_place(outcome, 9)


# 9. Where from maps.


def region_again(smooth: list[list[float]], threshold: float) -> set[tuple[int, int]]:
    """The connected pixels, by their sides, that have the share of the maximum: most of them, then the larger sum."""
    most = max(max(row) for row in smooth)
    left = {(i, j) for i, row in enumerate(smooth) for j, v in enumerate(row) if v > 0 and v >= threshold * most}
    best: tuple[int, float, set] = (0, 0.0, set())
    while left:
        edge, region = [min(left)], set()
        while edge:
            i, j = edge.pop()
            if (i, j) in left:
                left.remove((i, j))
                region.add((i, j))
                edge += [(i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)]
        best = max(best, (len(region), sum(smooth[i][j] for i, j in region), region), key=lambda item: item[:2])
    return best[2]


def check_where(actual, cells: list[list[float]], analysis, threshold: float):
    """Box and mask of a map of evidence, drawn again."""
    height, width = analysis.input.shape[-2:]
    smooth = again.bilinear(cells, height, width)
    segmented = actual.segmented
    region = region_again(smooth, threshold)
    # A pixel whose value is the threshold's up to rounding may fall on either side.
    assert len({tuple(at) for at in np.argwhere(segmented.mask).tolist()} ^ region) <= 2
    positive = sum(max(v, 0) for row in smooth for v in row)
    assert segmented.area == pytest.approx(len(region) / (height * width), abs=3 / (height * width))
    assert segmented.evidence == pytest.approx(sum(smooth[i][j] for i, j in region) / positive, rel=1e-3)
    coarse = {tuple(at) for at in np.argwhere(actual.box.component).tolist()}
    assert coarse == region_again(cells, threshold)


@pytest.mark.parametrize(("framing", "threshold"), [("crop", 0.01), ("whole", 0.2), ("crop", 0.55), ("whole", 0.9)])
def test_box_and_mask_of_a_small_network_again_pixel_by_pixel(make_network, examples, framing, threshold):
    network = make_network(channels=7, classes=6)
    analysis = analyse(network, examples["rocket"], framing)
    outcome = analysis.under()
    maps, checked = analysis.feature_maps.double(), 0
    for index in range(6):
        cells = (torch.einsum("k,kij->ij", network.head.weight[index].double(), maps) / maps[0].numel()).tolist()
        if max(max(row) for row in cells) <= 0:
            assert where_from_maps(outcome, index, threshold).box is None
            assert where_from_maps(outcome, index, threshold).segmented is None
            continue
        check_where(where_from_maps(outcome, index, threshold), cells, analysis, threshold)
        checked += 1
    assert checked > 1


def test_box_and_mask_of_the_cup_again_and_they_lie_right_of_the_cat(network, examples):
    analysis = analyse(network, examples["cat_and_coffee"], "whole", 128)
    actual = {name: where_from_maps(analysis.under(), network.class_names.index(name))
             for name in ("espresso", "Egyptian cat")}
    row = network.head.weight[network.class_names.index("espresso")].double()
    maps = analysis.feature_maps.double()
    cells = (torch.einsum("k,kij->ij", row, maps) / maps[0].numel()).tolist()
    check_where(actual["espresso"], cells, analysis, 0.2)
    middles = {name: np.argwhere(item.segmented.mask)[:, 1].mean() for name, item in actual.items()}
    assert middles["Egyptian cat"] < analysis.input.shape[-1] / 2 < middles["espresso"]


def test_a_higher_threshold_never_takes_more_pixels(make_network, examples):
    outcome = analyse(make_network(), examples["cat"]).under("gmp")
    best = outcome.top(1)[0].class_index
    areas = [where_from_maps(outcome, best, threshold).segmented.area for threshold in np.linspace(0.01, 1, 12)]
    assert areas == sorted(areas, reverse=True)
    assert areas[-1] < areas[0]


def one_channel() -> Network:
    """A network whose evidence for its first class is its map over the number of positions."""
    return Network("one", "One", nn.Identity(), POOLINGS["gap"], linear([[1.0], [0.0]], [0.0, 0.0]), ("a", "b"),
                   Preprocessing(size=96), "0" * 64, "untrained")


@given(st.lists(st.floats(-4, 4, width=32), min_size=12, max_size=12), st.floats(0.01, 1))
def test_mask_and_shares_stay_within_their_bounds(numbers, threshold):
    maps = torch.tensor(numbers).reshape(1, 3, 4)
    analysis = analysis_of(one_channel(), maps)
    actual = where_from_maps(analysis.under(), 0, threshold)
    assert (actual.box is None) is (max(numbers) <= 0)
    if actual.segmented is not None:
        assert 0 < actual.segmented.area <= 1
        assert 0 < actual.segmented.evidence <= 1 + 1e-9


def test_the_mask_on_the_photo_covers_what_it_covers_of_the_input(make_network, examples):
    analysis = analyse(make_network(), examples["rocket"])
    mask = np.zeros((96, 96), dtype=bool)
    mask[24:72, 48:] = True

    def mask_on_photo(long_side: int | None) -> np.ndarray:
        photo, seen = analysis.preview(long_side)
        return np.asarray(pixels_of(mask, photo.size, seen))

    on_photo = mask_on_photo(None)
    assert on_photo.shape == examples["rocket"].size[::-1]
    left, top, right, bottom = analysis.framing.seen
    rows, columns = np.nonzero(on_photo)
    assert set(np.unique(on_photo)) == {0, 255}
    assert columns.min() == pytest.approx((left + right) / 2, abs=1)
    assert columns.max() + 1 == pytest.approx(right, abs=1)
    assert rows.min() == pytest.approx(top + (bottom - top) / 4, abs=1)
    assert rows.max() + 1 == pytest.approx(top + 3 * (bottom - top) / 4, abs=1)
    assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    small = mask_on_photo(160)
    assert small.shape == (round(examples["rocket"].height / examples["rocket"].width * 160), 160)
    assert (small > 0).mean() == pytest.approx((on_photo > 0).mean(), abs=0.01)


@pytest.mark.parametrize("head", ["LayerNorm, Linear", "Linear, Hardswish, Linear"])
def test_any_head_has_a_place_for_its_classes(make_network, head):
    analysis = analysis_of(make_network(heads()[head]), random_maps())
    actual = where_from_maps(analysis.under(), 1)
    if actual.box is not None:
        cells = analysis.under().evidence(1).cells.double()
        inside = cells[actual.box.component]
        assert float(inside.min()) >= 0.2 * float(cells.max()) - 1e-9


def test_thresholds_outside_their_range_and_networks_without_a_pooling_are_refused(make_network, examples):
    outcome = analysis_of(make_network(), random_maps()).under()
    for threshold in (0, 0.009, 1.01, True, float("nan"), "0.2"):
        with pytest.raises(ParameterError, match=r"threshold is .*expected a number from 0.01 to 1"):
            where_from_maps(outcome, 0, threshold)
    flattens = own_models.network_of(own_models.seeded(
        lambda: own_models.Small(nn.Flatten(), nn.Linear(8 * 8 * 8, 4))))
    plain = analyse(flattens, examples["cat"]).under()
    for ask in (where_from_maps, lost_place):
        with pytest.raises(MethodError):
            ask(plain, 0)


# What all lessons claim.


def test_a_paper_has_the_same_number_and_authors_in_lessons_and_poolings():
    numbers = {}
    for source in [pooling.source for pooling in POOLINGS.values()] + [lesson.source for lesson in LESSONS.values()]:
        for paper in re.split(r"; ", source):
            for number in re.findall(r"arXiv:(\d{4}\.\d{4,5})", paper):
                first_author = re.match(r"(?:After )?(?:SimPool \()?(\w+)", paper)[1]
                assert numbers.setdefault(number, first_author) == first_author
    assert numbers["1512.04150"] == "Zhou"
    assert len(numbers) > 8


def test_there_are_ten_lessons_each_with_a_claim_of_one_sentence():
    assert list(LESSONS) == list(range(1, 11))
    for number, lesson in LESSONS.items():
        assert lesson.number == number
        assert re.fullmatch(r"[A-Z][^.]+\.", lesson.claim), lesson.claim
        assert not re.search(r"\d{2,}", lesson.claim), "a number belongs to a network, not to a claim"
