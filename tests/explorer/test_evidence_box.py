"""A box from a map: found again by a flood fill."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer import analyse
from explorer.errors import ParameterError
from explorer.framing import Framing
from explorer.questions.evidence_box import locate

NAN, INF = float("nan"), float("inf")


def tens(rows: int, columns: int) -> np.ndarray:
    """Rectangles of 10 px across and 20 px down, from (5, 7) on."""
    return np.array([[[5 + 10 * j, 7 + 20 * i, 15 + 10 * j, 27 + 20 * i] for j in range(columns)] for i in range(rows)])


def box_of(cells, threshold=0.2):
    cells = np.asarray(cells, dtype=np.float64)
    return locate(cells, tens(*cells.shape), threshold)


def test_a_box_by_hand():
    # The maximum is 10. At least 2 have: 10, 4, 2 (joined) and 9 (alone, at the corner).
    cells = [[0, 1, 0, 0], [0, 10, 2, -5], [0, 4, 0, 1], [9, 1, 0, 0]]
    box = box_of(cells)
    assert box.component.tolist() == [[False] * 4, [False, True, True, False], [False, True, False, False], [False] * 4]
    assert (box.rows, box.columns, box.positions) == ((1, 2), (1, 2), 3)
    assert (box.left, box.top, box.right, box.bottom) == (15, 27, 35, 67)
    # Inside the box 10 + 2 + 4 + 0 of 1 + 10 + 2 + 4 + 1 + 9 + 1 = 28.
    assert box.share == pytest.approx(16 / 28)


def test_what_is_exactly_the_share_belongs_to_the_region():
    assert box_of([[10.0, 2.0]]).positions == 2
    assert box_of([[10.0, 1.999]]).positions == 1
    assert box_of([[10.0, 10.0, 9.999]], threshold=1).positions == 2


def test_corners_do_not_join():
    box = box_of([[1.0, 0.0], [0.0, 1.0]])
    assert box.positions == 1
    assert box.share == 0.5


def test_of_regions_as_large_the_one_with_more_evidence_is_taken_and_then_the_first():
    assert box_of([[2, 2, 0, 3, 2]]).columns == (3, 4)
    assert box_of([[3, 2, 0, 2, 2]]).columns == (0, 1)
    assert box_of([[2, 2, 0, 2, 2]]).columns == (0, 1)
    assert box_of([[9, 0, 2, 2]]).columns == (2, 3)


@pytest.mark.parametrize("cells", [
    np.zeros((7, 7)), np.full((3, 3), -1.0), np.array([[-INF, INF]]),
])
def test_a_map_with_nothing_positive_has_no_box(cells):
    assert box_of(cells) is None


def test_what_is_not_finite_counts_as_nothing():
    box = box_of([[NAN, 1.0, INF, 4.0]])  # two regions of one position each
    assert (box.columns, box.positions, box.share) == ((3, 3), 1, 0.8)
    assert box_of([[INF, 3.0]]).columns == (1, 1)


def test_one_position_is_a_box_of_its_own():
    box = box_of([[0.3]])
    assert (box.left, box.top, box.right, box.bottom, box.positions, box.share) == (5, 7, 15, 27, 1, 1.0)


@pytest.mark.parametrize("threshold", [0, 1.01, NAN, True])
def test_a_threshold_outside_its_range_is_refused(threshold):
    with pytest.raises(ParameterError, match="threshold is"):
        box_of([[1.0]], threshold)


def test_arrays_that_do_not_fit_are_refused():
    for cells, rectangles in (
        (np.ones((2, 3)), tens(3, 2)), (np.ones(4), tens(2, 2)), (np.ones((2, 2, 2)), tens(2, 2)),
        (np.ones((2, 2)), np.ones((2, 2, 2))),
    ):
        with pytest.raises(ParameterError, match=r"expected \(H, W\) and \(H, W, 4\)"):
            locate(cells, rectangles)


def regions(chosen: set[tuple[int, int]]) -> list[set[tuple[int, int]]]:
    """A flood fill over four neighbours."""
    left, answer = set(chosen), []
    while left:
        region, edge = set(), [min(left)]
        while edge:
            i, j = edge.pop()
            if (i, j) in left:
                left.remove((i, j))
                region.add((i, j))
                edge += [(i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)]
        answer.append(region)
    return answer


@given(st.integers(1, 6), st.integers(1, 6), st.data(), st.sampled_from([0.05, 0.2, 0.5, 0.75, 1.0]))
def test_the_box_agrees_with_a_flood_fill(rows, columns, data, threshold):
    numbers = data.draw(st.lists(st.sampled_from([-3.0, 0.0, 0.0, 1.0, 2.0, 4.0, 5.0]), min_size=rows * columns,
                                 max_size=rows * columns))
    values = {divmod(n, columns): value for n, value in enumerate(numbers)}
    box = box_of(np.reshape(numbers, (rows, columns)), threshold)
    most = max(values.values())
    if most <= 0:
        assert box is None
        return
    candidates = regions({at for at, value in values.items() if value > 0 and value >= threshold * most})
    region = {tuple(at) for at in np.argwhere(box.component).tolist()}
    assert region in candidates
    size = (len(region), sum(values[at] for at in region))
    assert size == max((len(other), sum(values[at] for at in other)) for other in candidates)
    top, bottom = min(i for i, _ in region), max(i for i, _ in region)
    left, right = min(j for _, j in region), max(j for _, j in region)
    assert (box.rows, box.columns, box.positions) == ((top, bottom), (left, right), len(region))
    assert (box.left, box.right) == (5 + 10 * left, 15 + 10 * right)
    assert (box.top, box.bottom) == (7 + 20 * top, 27 + 20 * bottom)
    inside = sum(max(v, 0) for (i, j), v in values.items() if top <= i <= bottom and left <= j <= right)
    assert box.share == pytest.approx(inside / sum(max(v, 0) for v in values.values()))
    assert 0 < box.share <= 1 + 1e-12


def test_the_map_is_left_as_it_was():
    cells = np.array([[NAN, -1.0], [2.0, 1.0]])
    before = cells.copy()
    locate(cells, tens(2, 2))
    np.testing.assert_array_equal(cells, before)


def test_a_whole_map_gives_what_the_network_saw():
    framing = Framing("crop", (640, 480), (224, 224), (110.0, 30.0, 530.0, 450.0)).on_grid(7, 7)
    box = locate(np.ones((7, 7)), framing.rectangles)
    assert (box.left, box.top, box.right, box.bottom) == pytest.approx(framing.seen)
    assert box.share == pytest.approx(1)


def test_the_box_of_the_coffee_lies_right_of_the_cats(network, examples):
    # The photo shows a cat on the left and a cup on the right.
    analysis = analyse(network, examples["cat_and_coffee"], "whole")
    boxes = [
        locate(analysis.under().evidence(index).cells.numpy(), analysis.framing.rectangles)
        for index in (network.class_names.index("Egyptian cat"), network.class_names.index("espresso"))
    ]
    cat, coffee = ((box.left + box.right) / 2 for box in boxes)
    assert cat < coffee
