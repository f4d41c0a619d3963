"""Lesson 4: the photo at other sizes, asked again without the lesson; and flatten heads that say the same at home."""

from __future__ import annotations

import dataclasses
import math
from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from explorer import analyse
from explorer.errors import FramingError, MethodError, ParameterError
from explorer.framing import Preprocessing, frame
from explorer.lessons.any_input_size import any_input_size, at_training_size, flatten_head
from tests.explorer import own_models
from tests.explorer.tiny import analysis_of, heads, random_maps


def cosine(one: list[float], other: list[float]) -> float:
    product = sum(a * b for a, b in zip(one, other, strict=True))
    return product / math.sqrt(sum(a * a for a in one)) / math.sqrt(sum(b * b for b in other))


def torch_says(numbers: int, expected: int, classes: int) -> str:
    """Torch's own error of a Linear that is given another number of inputs."""
    with pytest.raises(RuntimeError) as raised:
        nn.Linear(expected, classes)(torch.zeros(1, numbers))
    return str(raised.value)


# The photo at another size.


@pytest.mark.parametrize(("size", "shape"), [(96, "square"), (300, "square"), (96, "own"), (120, "wide"), (97, "tall")])
def test_every_number_at_a_size_again(make_network, examples, size, shape):
    network, photo = make_network(channels=7, classes=6), examples["rocket"]
    result = any_input_size(analyse(network, photo, "whole"), size, shape)
    cut = {"square": photo, "own": photo}.get(shape) or strip(photo, shape)
    with torch.no_grad():
        x, framing = frame(cut, network.preprocessing, "crop" if shape == "square" else "whole", size)
        maps = network.backbone(x)[0]
        usual = network.backbone(frame(photo, network.preprocessing)[0])[0].mean((1, 2))
        here, before = network.head(maps.mean((1, 2))), network.head(usual)
    assert result.analysis.framing.input_size == framing.input_size
    assert result.analysis.feature_maps.shape == maps.shape
    order = np.argsort(-here.numpy())[:5]
    assert [answer.class_index for answer in result.top] == order.tolist()
    np.testing.assert_allclose([answer.probability for answer in result.top], here.softmax(0).numpy()[order], rtol=1e-5)
    assert result.cosine == pytest.approx(cosine(maps.mean((1, 2)).tolist(), usual.tolist()), abs=1e-6)
    best = int(before.argmax())
    assert (result.before.class_index, result.usual.class_index) == (best, best)
    assert result.before.probability == pytest.approx(float(before.softmax(0)[best]))
    assert result.usual.probability == pytest.approx(float(here.softmax(0)[best]))
    assert result.usual.rank == 1 + int((here > here[best]).sum())
    if maps.numel() == 7 * 4 * 4:
        assert result.flatten_error == ""
        assert result.flatten_difference < 1e-5
    else:
        assert result.flatten_difference is None
        assert result.flatten_error == torch_says(maps.numel(), 7 * 4 * 4, 5)


def strip(photo: Image.Image, shape: str) -> Image.Image:
    """The largest part of twice the width, or height, through the middle."""
    width, height = photo.size
    if shape == "wide":
        height = min(height, round(width / 2))
        width = min(width, 2 * height)
    else:
        width = min(width, round(height / 2))
        height = min(height, 2 * width)
    left, top = (photo.width - width) // 2, (photo.height - height) // 2
    return photo.crop((left, top, left + width, top + height))


def test_the_bundled_network_at_another_size_and_torchs_own_error(network, examples):
    analysis = analyse(network, examples["coffee"])
    result = any_input_size(analysis, 128)
    with torch.no_grad():
        maps = network.backbone(frame(examples["coffee"], network.preprocessing, "crop", 128)[0])[0]
        logits = network.head(maps.mean((1, 2))[None])[0]
    assert result.analysis.feature_maps.shape == maps.shape == (1280, 4, 4)
    best, shares = logits.topk(5), logits.softmax(0)
    assert [answer.class_index for answer in result.top] == best.indices.tolist()
    assert [answer.probability for answer in result.top] == pytest.approx(shares[best.indices].tolist(), rel=1e-3)
    pooled = analysis.feature_maps.mean((1, 2)).tolist()
    assert result.cosine == pytest.approx(cosine(maps.mean((1, 2)).tolist(), pooled), abs=1e-6)
    assert result.flatten_error == torch_says(1280 * 16, 1280 * 49, 5)
    assert "1x20480 and 62720x5" in result.flatten_error
    home = any_input_size(analysis, 224)
    assert (home.cosine, home.flatten_error) == (pytest.approx(1), "")
    assert home.flatten_difference < 1e-4


def test_strips_are_cut_from_the_middle_of_the_photo(make_network):
    network = make_network()
    photo = Image.new("RGB", (400, 300), (255, 0, 0))
    photo.paste((0, 255, 0), (0, 50, 400, 250))
    wide = any_input_size(analyse(network, photo), 96, "wide").analysis
    assert wide.image.size == (400, 200)
    assert wide.image.getcolors() == [(400 * 200, (0, 255, 0))]
    assert wide.framing.input_size == (192, 96)
    photo = Image.new("RGB", (400, 300), (255, 0, 0))
    photo.paste((0, 255, 0), (125, 0, 275, 300))
    tall = any_input_size(analyse(network, photo), 96, "tall").analysis
    assert tall.image.getcolors() == [(150 * 300, (0, 255, 0))]
    assert tall.framing.input_size == (96, 192)
    assert any_input_size(analyse(network, Image.new("RGB", (3, 900))), 96, "wide").analysis.image.size == (3, 2)


def test_what_is_compared_with_is_the_photo_as_the_network_was_trained(make_network, examples):
    network, photo = make_network(), examples["cat"]
    at_home = analyse(network, photo)
    assert at_training_size(at_home) is at_home
    for other in (analyse(network, photo, "squash"), analyse(network, photo, "crop", 120)):
        usual = at_training_size(other)
        assert torch.equal(usual.feature_maps, at_home.feature_maps)
        assert at_training_size(other) is usual
    assert any_input_size(at_home, 96).cosine == pytest.approx(1)


def test_a_size_is_run_once(make_network, examples):
    network = make_network()
    analysis = analyse(network, examples["cat"])
    first = any_input_size(analysis, 120)
    calls = network.backbone.calls
    assert any_input_size(analysis, 120) is first
    assert network.backbone.calls == calls == 2


def test_a_pooled_vector_of_zeros_has_no_direction(make_network, examples):
    class Silent(nn.Module):
        def forward(self, x):
            return torch.zeros(len(x), 5, x.shape[2] // 24, x.shape[3] // 24)

    network = dataclasses.replace(make_network(), backbone=Silent())
    assert any_input_size(analyse(network, examples["cat"]), 120).cosine is None


def test_sizes_and_shapes_that_cannot_be_are_refused(make_network, examples):
    analysis = analyse(make_network(), examples["cat"])
    for size in (95, 641, True, 96.5):
        with pytest.raises(ParameterError, match="short side is"):
            any_input_size(analysis, size)
    with pytest.raises(ParameterError, match="no shape 'round'"):
        any_input_size(analysis, 96, "round")
    fixed = dataclasses.replace(make_network(), preprocessing=Preprocessing(size=96, fixed=True))
    with pytest.raises(FramingError, match="takes inputs of 96 x 96 px alone"):
        any_input_size(analyse(fixed, examples["cat"]), 120)
    flattens = own_models.network_of(own_models.seeded(
        lambda: own_models.Small(nn.Flatten(), nn.Linear(8 * 8 * 8, 4))))
    with pytest.raises(MethodError):
        any_input_size(analyse(flattens, examples["cat"]), 32)


# A head written as one that flattens.


HELD = sorted({*product(heads(), ["gap"]), *product(["LayerNorm, Linear"], ["gmp", "lse", "attention"])})


@pytest.mark.parametrize(("head", "key"), HELD)
def test_a_flatten_head_says_what_the_pooling_and_its_head_say(make_network, head, key):
    outcome = analysis_of(make_network(heads()[head]), random_maps()).under(key)
    flat = flatten_head(outcome, [3, 0, 2])
    integrated = head in {"Linear, Hardswish, Linear", "polynomial"}
    residuals = [abs(part.residual) for part in outcome.evidences([3, 0, 2])]
    got = flat(outcome.analysis.feature_maps[None])[0]
    np.testing.assert_allclose(got, outcome.logits[[3, 0, 2]], atol=max(residuals) + 1e-5)
    assert max(residuals) < (2e-2 if integrated else 1e-3 if key == "lse" else 1e-5)
    assert isinstance(flat[1], nn.Linear)
    assert flat[1].in_features == 60


def test_under_gap_and_a_linear_it_says_so_of_every_photo_and_under_gmp_it_does_not(make_network):
    network = make_network()
    first, other = (analysis_of(network, random_maps(seed=seed)) for seed in (0, 1))
    for key, same in (("gap", True), ("gmp", False)):
        got = flatten_head(first.under(key), range(4))(other.feature_maps[None])[0]
        assert torch.allclose(got, other.under(key).logits, atol=1e-5) is same


def test_its_weights_are_the_heads_repeated_and_divided(make_network):
    network = make_network()
    flat = flatten_head(analysis_of(network, random_maps()).under(), [1])[1]
    for k in range(5):
        for position in range(12):
            assert float(flat.weight[0, 12 * k + position]) == pytest.approx(float(network.head.weight[1, k]) / 12)
    assert float(flat.bias[0]) == pytest.approx(float(network.head.bias[1]))


def test_a_class_that_does_not_exist_is_refused(make_network):
    outcome = analysis_of(make_network(), random_maps()).under()
    with pytest.raises(ParameterError, match="no class 4"):
        flatten_head(outcome, [0, 4])
