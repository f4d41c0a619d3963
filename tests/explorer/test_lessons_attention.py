"""Attention and adaptive pooling: weights, entropy, gate and answers, by loops on networks that a test has made."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

from explorer.errors import MethodError, ParameterError
from explorer.lessons.attention import TEMPERATURES, attention_and_adaptive, teaches
from explorer.networks.trained_heads import TrainedPooling
from explorer.poolings.learned import gated, learned_attention
from tests.explorer.tiny import analysis_of, linear, random_maps

QUERY = torch.tensor([0.4, -0.2, 0.1, 0.0, 0.3])
GATE, BIAS = torch.tensor([0.5, -1.0, 0.2, 0.0, 0.1]), torch.tensor([0.3])


@pytest.fixture
def teacher(make_network):
    """A network with a learned query and a gate, and a head for each."""
    network = make_network()
    heads = [linear(torch.randn(4, 5, generator=torch.Generator().manual_seed(n)).tolist(), [0.1 * n] * 4)
             for n in (1, 2)]
    return dataclasses.replace(network, trained={
        "learned_attention": TrainedPooling(learned_attention(QUERY), {}, heads[0]),
        "gated": TrainedPooling(gated(GATE, BIAS), {}, heads[1])})


def softmax(values: list[float]) -> list[float]:
    powers = [math.exp(value - max(values)) for value in values]
    return [power / sum(powers) for power in powers]


def positions(maps: np.ndarray) -> list[np.ndarray]:
    return [maps[:, i, j] for i in range(maps.shape[1]) for j in range(maps.shape[2])]


@pytest.mark.parametrize("times", [TEMPERATURES[0], 1.0, TEMPERATURES[-1]])
def test_the_learned_query_looks_by_the_softmax_of_its_agreement_over_the_temperature(times, teacher):
    maps = random_maps()
    result = attention_and_adaptive(analysis_of(teacher, maps), temperature=times)
    vectors = positions(maps.double().numpy())
    shares = softmax([float(vector @ QUERY.double().numpy()) / times for vector in vectors])
    np.testing.assert_allclose(result.learned.weights.ravel(), shares, atol=1e-6)
    pooled = sum(share * vector for share, vector in zip(shares, vectors, strict=True))
    head = teacher.trained["learned_attention"].head
    logits = head.weight.double().numpy() @ pooled + head.bias.double().numpy()
    assert result.learned.answer.class_index == int(logits.argmax())
    assert result.learned.answer.probability == pytest.approx(softmax(logits.tolist())[int(logits.argmax())], abs=1e-6)


@pytest.mark.parametrize("times", [TEMPERATURES[0], 1.0, TEMPERATURES[-1]])
def test_the_one_without_anything_learned_looks_at_what_resembles_the_average(times, teacher):
    maps = random_maps()
    result = attention_and_adaptive(analysis_of(teacher, maps), temperature=times)
    vectors = positions(maps.double().numpy())
    mean = np.mean(vectors, 0)
    cosines = [float(item @ mean / max(np.linalg.norm(item) * np.linalg.norm(mean), 1e-30)) for item in vectors]
    np.testing.assert_allclose(result.free.weights.ravel(), softmax([item / (0.1 * times) for item in cosines]),
                               atol=1e-5)
    assert result.free.answer is None


def test_a_low_temperature_looks_at_fewer_positions(teacher):
    analysis = analysis_of(teacher, random_maps())
    largest = [attention_and_adaptive(analysis, temperature=times).learned.weights.max() for times in TEMPERATURES]
    assert largest == sorted(largest, reverse=True)
    assert largest[0] > largest[-1]


def test_the_gate_is_what_it_was_set_to_by_the_photo(teacher):
    for seed in range(4):
        maps = random_maps(seed=seed)
        result = attention_and_adaptive(analysis_of(teacher, maps))
        average = maps.double().mean((1, 2)).numpy()
        share = 1 / (1 + math.exp(-(float(average @ GATE.double().numpy()) + 0.3)))
        assert result.gate == pytest.approx(share, abs=1e-5)
        pooled = share * average + (1 - share) * maps.double().amax((1, 2)).numpy()
        head = teacher.trained["gated"].head
        logits = head.weight.double().numpy() @ pooled + head.bias.double().numpy()
        assert result.gated.class_index == int(logits.argmax())
        assert result.gated.logit == pytest.approx(float(logits.max()), abs=1e-4)
    even = attention_and_adaptive(analysis_of(teacher, torch.ones(5, 3, 4)))
    assert even.gate is None, "where average and maximum are the same no gate can be read"


def test_a_network_without_learned_poolings_has_the_free_one_and_borrows_from_one_with_the_same_backbone(
        make_network, teacher):
    plain = dataclasses.replace(teacher, trained={})
    analysis = analysis_of(plain, random_maps())
    alone = attention_and_adaptive(analysis)
    assert (alone.learned, alone.gate, alone.gated) == (None, None, None)
    borrowed = attention_and_adaptive(analysis, teacher)
    own = attention_and_adaptive(analysis_of(teacher, random_maps()))
    np.testing.assert_array_equal(borrowed.learned.weights, own.learned.weights)
    assert borrowed.gate == own.gate
    other = make_network(seed=5)
    assert teaches(teacher, plain)
    assert not teaches(teacher, other)
    assert not teaches(plain, teacher)
    with pytest.raises(MethodError, match="learned on other feature maps"):
        attention_and_adaptive(analysis_of(other, random_maps()), teacher)


def test_what_cannot_be_asked_is_refused(make_network, teacher):
    with pytest.raises(ParameterError, match="temperature"):
        attention_and_adaptive(analysis_of(teacher, random_maps()), temperature=9.0)
    without = dataclasses.replace(make_network(), pooling=None, reason="It has none.", head=nn.Identity())
    with pytest.raises(MethodError):
        attention_and_adaptive(analysis_of(without, random_maps()))
