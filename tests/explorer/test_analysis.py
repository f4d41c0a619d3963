"""Analysis: one forward pass, and everything that follows from it, whoever asks and however many ask at once."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from explorer import CAM_METHODS, POOLINGS, analyse
from explorer.errors import FramingError, ParameterError
from explorer.framing import FRAMINGS
from explorer.networks import Network
from tests.explorer import second_derivations as again

CHEAP = [method for method in CAM_METHODS if method != "score_cam"]


def patches(seed=0, size=(130, 100)):
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size)


def everything(analysis, classes=(0, 2)):
    """All that an analysis can be asked without running the backbone again, by what was asked."""
    result = {"votes": analysis.votes(), "input": analysis.input, "feature maps": analysis.feature_maps}
    for pooling in POOLINGS:
        outcome = analysis.under(pooling)
        result[pooling, "pooled"], result[pooling, "weights"] = outcome.pooled, outcome.weights
        result[pooling, "logits"] = outcome.logits
        result[pooling, "probabilities"] = outcome.probabilities(calibrated=True)
        for one in outcome.evidences(classes):
            result[pooling, "cells", one.class_index] = one.cells
            result[pooling, "channels", one.class_index] = one.channels
        for method in CHEAP:
            result[pooling, method] = analysis.cam(method, classes[0], pooling)
    return result


def assert_same(result, expected):
    assert result.keys() == expected.keys()
    for key, tensor in expected.items():
        torch.testing.assert_close(result[key], tensor, rtol=1e-4, atol=1e-5,
                                   msg=lambda text, key=key: f"{key}: {text}")


# One forward pass.


def test_one_forward_pass_is_enough_for_everything_but_score_cam(make_network):
    network = make_network()
    analysis = analyse(network, patches())
    everything(analysis)
    analysis.overlay(analysis.under("gmp").evidence(1).cells)
    analysis.under("gem", p=4).top(3, calibrated=True)
    analysis.votes(3)
    assert network.backbone.calls == 1
    analysis.cam("score_cam", 0)
    assert network.backbone.calls == 2


def test_its_parts_are_what_the_network_was_given_and_gave(make_network, examples):
    network = make_network()
    image = examples["rocket"]
    for framing in FRAMINGS:
        analysis = analyse(network, image, framing, 120)
        width, height = analysis.framing.input_size
        assert analysis.input.shape == (1, 3, height, width)
        assert min(width, height) == 120
        assert analysis.framing.kind == framing
        assert torch.equal(analysis.feature_maps, network.backbone(analysis.input)[0])
        assert analysis.framing.grid == analysis.feature_maps.shape[1:]
        assert analysis.framing.rectangles.shape == (*analysis.framing.grid, 4)
        assert analysis.image is image
        assert analysis.network is network
        assert not analysis.feature_maps.requires_grad
    assert analyse(network, image).input.shape == (1, 3, 96, 96)


def test_a_grey_photo_is_analysed_as_rgb(make_network):
    grey = patches().convert("L")
    assert torch.equal(analyse(make_network(), grey).input, analyse(make_network(), grey.convert("RGB")).input)


def test_bad_framings_are_refused(make_network):
    network = make_network()
    with pytest.raises(ParameterError, match="crop, whole, squash"):
        analyse(network, patches(), "stretch")
    for side in (95, 641, 100.0, True):
        with pytest.raises(ParameterError, match="96 to 640"):
            analyse(network, patches(), "crop", side)
    with pytest.raises(FramingError):
        analyse(network, Image.new("RGB", (5000, 10)), "whole")
    assert network.backbone.calls == 0


# Remembered.


def test_what_was_computed_is_remembered(make_network):
    analysis = analyse(make_network(), patches())
    first, second = everything(analysis), everything(analysis)
    for key, tensor in first.items():
        assert second[key] is tensor, key
    assert analysis.under("gem", p=4) is analysis.under("gem", p=4.0)
    assert analysis.under("gem") is analysis.under("gem", p=3)
    assert analysis.under("gem", p=4) is not analysis.under("gem", p=5)
    assert analysis.under("lse").evidence(1) is analysis.under("lse").evidences([0, 1, 2])[1]
    assert analysis.under("gmp").evidences([2, 0, 2])[0] is analysis.under("gmp").evidences([0, 2])[1]


# Many threads.


def together(worker, count=8):
    """Run worker(0), ..., worker(count - 1) at the same time."""
    barrier = threading.Barrier(count)

    def run(n):
        barrier.wait()
        return worker(n)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_eight_threads_with_different_photos_on_one_network_get_what_each_gets_alone(network, examples):
    photos = [*examples.values(), patches(1, (300, 200)), patches(2, (200, 260))]
    assert len(photos) == 8

    def worker(n):
        analysis = analyse(network, photos[n])
        top = [answer.class_index for answer in analysis.under().top(2)]
        return top, everything(analysis, top)

    expected = [worker(n) for n in range(8)]
    for (top, result), (known, alone) in zip(together(worker), expected, strict=True):
        assert top == known
        assert_same(result, alone)


def test_eight_threads_on_one_analysis_get_what_one_gets_alone(make_network):
    network = make_network()
    expected = everything(analyse(network, patches()))
    for _ in range(5):
        shared = analyse(network, patches())
        results = together(lambda _, shared=shared: everything(shared))
        for result in results:
            assert_same(result, expected)
            for key, tensor in result.items():
                assert tensor is results[0][key], key


def fingerprint(network):
    """sha256 of every tensor, flag and gradient of the network."""
    sha = hashlib.sha256()
    for part in (network.backbone, network.head):
        for name, tensor in part.state_dict().items():
            sha.update(name.encode() + tensor.numpy().tobytes())
        for name, parameter in part.named_parameters():
            sha.update(f"{name} {parameter.requires_grad} {parameter.grad is None}".encode())
        sha.update(str([module.training for module in part.modules()]).encode())
    return sha.hexdigest()


def test_nothing_of_the_network_is_ever_changed(network, make_network, examples):
    before = fingerprint(network)
    together(lambda n: everything(analyse(network, list(examples.values())[n % 6], list(FRAMINGS)[n % 3], 128)), 4)
    assert fingerprint(network) == before

    head = nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 6), nn.Dropout(), nn.Hardswish(), nn.Linear(6, 4))
    other = make_network(head=head)
    before = fingerprint(other)
    analysis = analyse(other, patches())
    for pooling in POOLINGS:
        analysis.under(pooling).evidences([0, 1])
        for method in [method for method in CAM_METHODS if method != "cam"]:
            analysis.cam(method, 1, pooling)
    analysis.votes()
    assert fingerprint(other) == before


def test_the_feature_maps_and_the_photo_are_left_as_they_were(make_network):
    image = patches()
    pixels, analysis = image.tobytes(), analyse(make_network(), image)
    maps, x = analysis.feature_maps.clone(), analysis.input.clone()
    everything(analysis)
    analysis.cam("score_cam", 0)
    analysis.overlay(analysis.under().evidence(0).cells)
    assert torch.equal(analysis.feature_maps, maps)
    assert torch.equal(analysis.input, x)
    assert image.tobytes() == pixels


# Poolings by name.


def test_a_pooling_with_its_parameter_is_the_one_that_was_asked_for(make_network):
    network = make_network()
    analysis = analyse(network, patches())
    maps = analysis.feature_maps.double()
    of_four = analysis.under("gem", p=4)
    pooled = maps.pow(4).mean((1, 2)).pow(0.25)
    torch.testing.assert_close(of_four.pooled.double(), pooled, rtol=1e-4, atol=1e-5)
    logits = network.head.weight.double() @ pooled + network.head.bias.double()
    torch.testing.assert_close(of_four.logits.double(), logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close((of_four.weights * analysis.feature_maps).sum((1, 2)), of_four.pooled)
    assert of_four.parameters == {"p": 4.0}
    assert of_four.name == "GeM, p = 4"
    assert of_four.pooling == "gem"


def test_without_a_name_it_is_the_networks_own_pooling(make_network):
    analysis = analyse(make_network(pooling="gem", p=2.0), patches())
    assert analysis.under() is analysis.under("gem", p=2)
    assert analysis.under().label == "native"
    assert analysis.under("gem").label == "what-if"
    assert analysis.under(p=4) is analysis.under("gem", p=4)
    assert analysis.under(p=4).label == "what-if"


def test_a_parameter_is_never_silently_dropped(make_network):
    analysis = analyse(make_network(), patches())
    with pytest.raises(ParameterError, match="GAP has no parameter; got p"):
        analysis.under(p=4)
    with pytest.raises(ParameterError, match="1 to 100"):
        analysis.under("gem", p=0.5)
    with pytest.raises(ParameterError, match=r"'max'.*gap, gmp"):
        analysis.under("max")


def test_only_the_pooling_that_the_head_was_trained_with_is_native(network, examples):
    analysis = analyse(network, examples["cat"])
    labels = {key: analysis.under(key).label for key in POOLINGS}
    assert labels == {key: "native" if key == "gap" else "what-if" for key in POOLINGS}
    # The same numbers, but it is asked for by another name: what-if.
    same = analysis.under("gem", p=1)
    assert same.label == "what-if"
    torch.testing.assert_close(same.logits, analysis.under("gap").logits, rtol=0, atol=1e-4)


# Answers.


def test_the_top_list_is_sorted_and_says_what_the_logits_say(network, examples):
    outcome = analyse(network, examples["cat_and_coffee"]).under("gmp")
    probabilities = torch.softmax(outcome.logits.double(), 0)
    order = sorted(range(1000), key=lambda index: -float(outcome.logits[index]))
    top = outcome.top(7)
    assert [answer.class_index for answer in top] == order[:7]
    assert [answer.rank for answer in top] == [1, 2, 3, 4, 5, 6, 7]
    for answer in top:
        assert answer.name == network.class_names[answer.class_index]
        assert answer.logit == float(outcome.logits[answer.class_index])
        assert answer.probability == pytest.approx(float(probabilities[answer.class_index]), rel=1e-4)
    for rank in (1, 2, 50, 1000):
        assert outcome.answer(order[rank - 1]).rank == rank
    assert len(outcome.top(5000)) == 1000
    assert len(outcome.top()) == 5


def test_calibrated_probabilities_are_those_of_the_multiplied_logits(network, examples):
    analysis = analyse(network, examples["cat"])
    for pooling in ("gmp", "gem", "attention"):
        outcome = analysis.under(pooling)
        factor = network.calibration.multiplier(pooling, outcome.parameters)
        assert outcome.multiplier == factor
        expected = torch.softmax(outcome.logits.double() * factor, 0)
        torch.testing.assert_close(outcome.probabilities(calibrated=True).double(), expected, rtol=1e-4, atol=1e-6)
        plain, mended = outcome.top(5), outcome.top(5, calibrated=True)
        assert [answer.class_index for answer in plain] == [answer.class_index for answer in mended]
        assert [answer.logit for answer in plain] == [answer.logit for answer in mended]
        assert mended[0].probability < plain[0].probability
        assert float(outcome.probabilities().sum()) == pytest.approx(1, abs=1e-5)


def test_calibration_changes_nothing_where_no_number_was_fitted(network, make_network, examples):
    native = analyse(network, examples["cat"]).under("gap")
    assert native.multiplier is None
    assert native.top(3, calibrated=True) == native.top(3)
    unfitted = analyse(make_network(), patches()).under("gmp")
    assert unfitted.multiplier is None
    assert unfitted.top(3, calibrated=True) == unfitted.top(3)


@pytest.mark.parametrize("index", [-1, 4, True, None])
def test_a_class_that_does_not_exist_is_refused_everywhere(make_network, index):
    analysis = analyse(make_network(), patches())
    asks = [lambda: analysis.under().evidence(index), lambda: analysis.under().answer(index),
            lambda: analysis.cam("grad_cam", index)]
    if index is not None:  # without a class there are the votes for all
        asks.append(lambda: analysis.votes(index))
    for ask in asks:
        with pytest.raises(ParameterError, match="0 to 3"):
            ask()


def test_true_is_no_class_even_after_class_one_was_asked_for(make_network):
    analysis = analyse(make_network(), patches())
    analysis.under().evidence(1)
    for index in (True, 1.0):
        with pytest.raises(ParameterError):
            analysis.under().evidence(index)


# The map that stands for a class.


def test_the_class_map_is_the_evidence_with_the_account_of_its_logit(make_network):
    analysis = analyse(make_network(), patches())
    outcome = analysis.under("gmp")
    shown, evidence = outcome.class_map(2), outcome.evidence(2)
    assert shown.cells is evidence.cells
    np.testing.assert_array_equal(shown.array, evidence.cells.double().numpy())
    assert (shown.kind, shown.name, shown.source, shown.unit) == (
        "evidence", "Evidence for class 2", "under GMP", "logits")
    assert shown.account[0].startswith(f"logit {evidence.logit:.2f}".replace("-", "−"))
    assert shown.account[1].startswith("exact, residual ")
    assert shown.number(-0.4142) == "−0.41"


def test_without_evidence_the_class_map_is_grad_cam_with_the_reason(make_network):
    network = make_network()
    whole = nn.Sequential(network.backbone, nn.Flatten(), nn.Linear(80, 4))
    outcome = analyse(Network.from_module(whole, network.preprocessing), patches()).under()
    shown = outcome.class_map(2)
    assert torch.equal(shown.cells, outcome.cam("grad_cam", 2))
    assert (shown.kind, shown.name, shown.unit) == ("Grad-CAM", "Grad-CAM of class 2", "")
    assert shown.source == outcome.analysis.layer_name
    assert shown.account[1] == outcome.analysis.no_evidence_reason
    assert shown.number(-0.00041421) == "−0.00041"
    with pytest.raises(ParameterError, match="0 to 3"):
        outcome.class_map(4)


# Votes.


def test_votes_agree_with_the_second_derivation(make_network):
    network = make_network()
    analysis = analyse(network, patches())
    maps, head = analysis.feature_maps.double().tolist(), network.head
    expected = again.votes(maps, head.weight.double().tolist(), head.bias.double().tolist())
    torch.testing.assert_close(analysis.votes(), torch.tensor(expected), rtol=1e-4, atol=1e-6)
    assert torch.equal(analysis.votes(2), analysis.votes()[2])


def test_votes_sum_to_one_at_every_position(network, examples):
    votes = analyse(network, examples["coffee"], "whole").votes()
    assert votes.shape == (1000, 7, 11)
    assert votes.min() >= 0
    torch.testing.assert_close(votes.sum(0), torch.ones(7, 11), rtol=0, atol=1e-5)


def test_under_gap_the_logit_is_the_mean_of_what_the_positions_say(network, examples):
    analysis = analyse(network, examples["rocket"])
    stated = [network.head(analysis.feature_maps[:, i, j][None])[0] for i in range(7) for j in range(7)]
    mean = torch.stack(stated).double().mean(0)
    torch.testing.assert_close(analysis.under("gap").logits.double(), mean, rtol=0, atol=1e-4)
    votes = torch.stack([torch.softmax(one, 0) for one in stated], 1).view(1000, 7, 7)
    torch.testing.assert_close(analysis.votes(), votes, rtol=1e-4, atol=1e-6)


# The overlay.


def test_the_overlay_has_the_photos_size_and_is_strongest_where_the_map_is(make_network):
    image = Image.new("RGB", (400, 300), (120, 120, 120))
    analysis = analyse(make_network(), image)
    cells = torch.zeros(4, 4)
    cells[1, 2] = 3.0
    laid = analysis.overlay(cells)
    assert laid.size == image.size
    left, top, right, bottom = (float(edge) for edge in analysis.framing.rectangles[1, 2])
    inside = laid.getpixel((int((left + right) / 2), int((top + bottom) / 2)))
    beside = laid.getpixel((int(left - (right - left) / 2), int((top + bottom) / 2)))
    assert inside[0] > inside[2] + 30  # red: for
    assert beside == (120, 120, 120)
    assert analysis.overlay(-cells).getpixel((int((left + right) / 2), int((top + bottom) / 2)))[2] > inside[2]
    assert max(analysis.overlay(cells, long_side=200).size) == 200


@pytest.mark.parametrize("shape", [(3, 4), (1, 4, 4)])
def test_a_map_of_another_shape_is_refused(make_network, shape):
    analysis = analyse(make_network(), patches())
    with pytest.raises(ParameterError, match=r"expected \(4, 4\)"):
        analysis.overlay(torch.zeros(shape))


def test_a_replaced_backbone_is_what_is_called(make_network):
    # Guards the counting in these tests: a copy of the network with another backbone counts for itself.
    network = make_network()
    other = dataclasses.replace(network, backbone=make_network(seed=9).backbone)
    analyse(other, patches())
    assert (network.backbone.calls, other.backbone.calls) == (0, 1)
