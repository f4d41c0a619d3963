"""Votes: who wins each position, counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from explorer import analyse
from explorer.questions.votes import votes_average_to_logit, winners
from tests.explorer.tiny import analysis_of, heads, random_maps

NAN, INF = float("nan"), float("inf")


def says(logits: list[list[list[float]]]) -> torch.Tensor:
    """Feature maps that are the logits themselves: with an Identity for a head each position says what is written."""
    return torch.tensor(logits).permute(2, 0, 1)


def outcome_of(make_network, maps):
    network = make_network(nn.Identity(), classes=len(maps), channels=len(maps))
    return winners(analysis_of(network, maps).under())


def test_the_winners_of_a_tiny_photo_by_hand(make_network):
    # Classes 2, 2, 0 above; 1, 2, 0 below: class 2 wins three, 0 two and 1 one.
    maps = says([[[0, 1, 5], [0, 0, 9], [4, 0, 0]], [[0, 2, 1], [1, 0, 2], [3, 0, 1]]]).float()
    result = outcome_of(make_network, maps)
    assert result.classes == [(2, "class 2", 3), (0, "class 0", 2), (1, "class 1", 1)]
    assert result.labels.tolist() == [[0, 0, 1], [2, 0, 1]]
    assert result.others == 0
    first = result.top[0]
    assert [name for name, _ in first] == ["class 2", "class 1", "class 0"]
    total = 1 + math.e + math.e ** 5
    assert [p for _, p in first] == pytest.approx([math.e ** 5 / total, math.e / total, 1 / total])
    assert result.top[3][0][0] == "class 1"


def test_classes_beyond_the_seventh_are_others(make_network):
    won = [[8, 0, 0, 1, 2, 3], [8, 0, 4, 5, 6, 7]]  # class 7 is the last of those that win one position
    result = outcome_of(make_network, torch.eye(9)[torch.tensor(won)].permute(2, 0, 1))
    assert [item.class_index for item in result.classes] == [0, 8, 1, 2, 3, 4, 5]
    assert result.labels.tolist() == [[1, 0, 0, 2, 3, 4], [1, 0, 5, 6, -1, -1]]
    assert result.others == 2
    assert [top[0][0] for top in result.top] == [f"class {index}" for row in won for index in row]


def test_ties_go_to_the_lower_class(make_network):
    # All classes alike at one position; and classes 1 and 2 win as many positions.
    result = outcome_of(make_network, says([[[1, 1, 1], [0, 0, 2], [0, 2, 0]]]).float())
    assert result.labels.tolist() == [[0, 2, 1]]
    assert [item.class_index for item in result.classes] == [0, 1, 2]
    assert [name for name, _ in result.top[0]] == ["class 0", "class 1", "class 2"]


@given(st.lists(st.lists(st.integers(-3, 3), min_size=12, max_size=12), min_size=12, max_size=12))
def test_winners_agree_with_plain_loops(make_network, logits):
    maps, most = says([logits[:6], logits[6:]]).float(), 7
    result = outcome_of(make_network, maps)
    best = [max(range(12), key=lambda c, row=row: (row[c], -c)) for row in logits]
    counted = sorted(set(best), key=lambda c: (-best.count(c), c))
    assert result.classes == [(c, f"class {c}", best.count(c)) for c in counted[:most]]
    assert result.labels.ravel().tolist() == [counted.index(c) if c in counted[:most] else -1 for c in best]
    assert result.others == sum(best.count(c) for c in counted[most:])
    for row, top in zip(logits, result.top, strict=True):
        ranked = sorted(range(12), key=lambda c, row=row: (-row[c], c))[:3]
        assert [name for name, _ in top] == [f"class {c}" for c in ranked]
        total = sum(math.exp(value) for value in row)
        assert [p for _, p in top] == pytest.approx([math.exp(row[c]) / total for c in ranked], rel=1e-5)


def test_fewer_than_three_classes_are_a_shorter_top(make_network):
    assert outcome_of(make_network, torch.ones(1, 1, 1)).top == [[("class 0", 1.0)]]
    assert [len(top) for top in outcome_of(make_network, says([[[0.0, 1.0], [1.0, 0.0]]])).top] == [2, 2]


def test_positions_whose_votes_are_not_numbers_are_won_by_nobody(make_network):
    result = outcome_of(make_network, says([[[0.0, 1, 5], [NAN, 0, 9], [INF, 0, 0], [-INF, 0, 1]]]))
    # An infinite logit has no softmax; one that is minus infinite only has no chance.
    assert result.labels.tolist() == [[0, -1, -1, 0]]
    assert result.others == 0
    assert result.classes == [(2, "class 2", 2)]
    assert [len(top) for top in result.top] == [3, 0, 0, 3]
    nobody = outcome_of(make_network, torch.full((3, 2, 2), NAN))
    assert nobody.classes == []
    assert nobody.labels.tolist() == [[-1, -1], [-1, -1]]


def test_on_a_photo_every_position_is_won_once_and_the_winners_are_remembered(network, examples):
    analysis = analyse(network, examples["cat_and_coffee"])
    result = winners(analysis.under())
    assert winners(analysis.under()) is result
    assert len(result.classes) <= 7
    assert sum(item.positions for item in result.classes) + result.others == 49
    votes = analysis.votes()
    for n, (i, j) in enumerate(np.ndindex(7, 7)):
        with torch.no_grad():
            own = network.head(analysis.feature_maps[:, i, j][None])[0]
        assert result.top[n][0][0] == network.class_names[int(own.argmax())]
        assert result.top[n][0][1] == pytest.approx(float(votes[:, i, j].max()))
        if result.labels[i, j] >= 0:
            assert result.classes[result.labels[i, j]].class_index == int(own.argmax())


# When the logit is the mean of what the positions say.


@pytest.mark.parametrize(("pooling", "name"), [
    *(("gap", name) for name in heads()), ("gmp", "Linear"), ("gem", "Linear"), ("attention", "Linear")])
def test_votes_average_to_the_logit_exactly_where_it_is_said(make_network, pooling, name):
    head = heads()[name].eval()
    analysis = analysis_of(make_network(head), random_maps())
    with torch.no_grad():
        item = [head(analysis.feature_maps[:, i, j][None])[0].double() for i, j in np.ndindex(3, 4)]
    mean = sum(item) / len(item)
    outcome = analysis.under(pooling)
    same = bool(torch.allclose(mean, outcome.logits.double(), atol=1e-5))
    assert votes_average_to_logit(outcome) is same
    assert same is (pooling == "gap" and name not in {"LayerNorm, Linear", "Linear, Hardswish, Linear", "polynomial"})


def test_votes_average_to_the_bundled_networks_logits(network, examples):
    outcome = analyse(network, examples["astronaut"]).under()
    assert votes_average_to_logit(outcome) is True
    with torch.no_grad():
        own = network.head(outcome.analysis.feature_maps.flatten(1).T.contiguous()).double().mean(0)
    torch.testing.assert_close(own, outcome.logits.double(), rtol=0, atol=1e-4)
