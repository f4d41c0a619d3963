"""The CAM methods: against torchcam on the same layer, against loops, and against their definitions."""

from __future__ import annotations

import copy
import dataclasses
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import numpy as np
import pytest
import torch
import torchcam.methods
from PIL import Image
from torch import nn

from explorer import CAM_METHODS, POOLINGS, analyse
from explorer.errors import MethodError, ParameterError, StoppedError
from tests.explorer import second_derivations as again

METHODS = ["cam", "grad_cam", "grad_cam_plus_plus", "xgrad_cam", "hires_cam", "layer_cam", "eigen_cam",
           "ablation_cam", "score_cam", "finer_cam"]
CHEAP = [method for method in METHODS if method != "score_cam"]


def correlation(one, other):
    return float(np.corrcoef(np.asarray(one, np.float64).ravel(), np.asarray(other, np.float64).ravel())[0, 1])


def coloured(seed=0, size=(130, 100)):
    """A photo of random patches."""
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size)


# Against torchcam.

PHOTOS = ["astronaut", "cat", "cat_and_coffee", "rocket"]
LAYER = "bn2"  # it carries the last activation: what it gives is what enters the global pooling


@pytest.fixture(scope="module")
def analyses(network, examples):
    return {name: analyse(network, examples[name]) for name in PHOTOS}


@pytest.fixture(scope="module")
def theirs(original, analyses):
    """torchcam's maps, unnormalised, by (method, photo, class), for the top three classes of each photo."""
    extractors = {
        "cam": torchcam.methods.CAM(original, LAYER, fc_layer="classifier"),
        "grad_cam": torchcam.methods.GradCAM(original, LAYER),
        "xgrad_cam": torchcam.methods.XGradCAM(original, LAYER),
        "layer_cam": torchcam.methods.LayerCAM(original, LAYER),
        "finer_cam": torchcam.methods.FinerCAM(original, LAYER),
    }
    requests = [(name, answer.class_index) for name in PHOTOS for answer in analyses[name].under().top(3)]
    result = {}
    for name in PHOTOS:
        logits = original(analyses[name].input)
        for index in (index for photo, index in requests if photo == name):
            for method, extractor in extractors.items():
                kept = {} if method == "cam" else {"retain_graph": True}
                result[method, name, index] = extractor(index, logits, normalized=False, **kept)[0][0].detach()
    for extractor in extractors.values():
        extractor.remove_hooks()
    # One sample with next to no noise is Grad-CAM++; why not its own, see the test below.
    with torchcam.methods.SmoothGradCAMpp(original, LAYER, num_samples=1, std=1e-12) as smooth:
        for name, index in requests:
            with torch.no_grad():
                original(analyses[name].input)
            result["grad_cam_plus_plus", name, index] = smooth(index, normalized=False, eps=1e-20)[0][0].detach()
    return result


@pytest.mark.parametrize("method", ["cam", "grad_cam", "grad_cam_plus_plus", "xgrad_cam", "layer_cam", "finer_cam"])
def test_it_agrees_with_torchcam_on_the_same_layer(theirs, analyses, method):
    known = {key[1:]: cells for key, cells in theirs.items() if key[0] == method}
    assert len(known) == 3 * len(PHOTOS)
    for (name, index), expected in known.items():
        ours = analyses[name].cam(method, index)
        # torchcam ends with a ReLU in all but CAM.
        ours = ours if method == "cam" else ours.relu()
        assert expected.max() > 0
        assert correlation(ours, expected) >= 0.999
        # Not only alike: the same numbers, as nothing is normalised.
        torch.testing.assert_close(ours, expected, rtol=1e-3, atol=float(expected.abs().max()) * 1e-4)


def test_finer_cam_agrees_with_torchcam_for_named_rivals(analyses, original):
    with torchcam.methods.FinerCAM(original, LAYER, gamma=0.9) as oracle:
        logits = original(analyses["cat"].input)
        expected = oracle(281, logits, comparison_idx=[282, 285], normalized=False)[0][0].detach()
    ours = analyses["cat"].cam("finer_cam", 281, rivals=[282, 285], gamma=0.9).relu()
    torch.testing.assert_close(ours, expected, rtol=1e-3, atol=float(expected.max()) * 1e-4)


@pytest.mark.skipif(version("torchcam") != "0.5.0", reason="this is about torchcam 0.5.0")
def test_torchcams_own_grad_cam_plus_plus_lacks_its_denominator_and_is_no_oracle(analyses, original):
    # It divides a copy (`alpha[idx][mask].div_`), so its channel weights are sums of [g]_+^3, which no paper says.
    analysis = analyses["cat"]
    with torchcam.methods.GradCAMpp(original, LAYER) as oracle:
        result = oracle(285, original(analysis.input), normalized=False)[0][0].detach()
    cubes = analysis.under().cam_context.gradient(285).relu().pow(3).sum((1, 2))
    undivided = torch.einsum("k,kij->ij", cubes, analysis.feature_maps)
    assert correlation(result, undivided) >= 0.99999
    assert correlation(result, analysis.cam("grad_cam_plus_plus", 285)) < 0.98


# Against the second derivation, under GAP and a Linear.


@pytest.fixture
def tiny(make_network):
    """An analysis on a tiny network with signed feature maps, its maps and its head as plain lists."""
    network = make_network(activation=nn.Identity(), seed=5)
    with torch.no_grad():
        network.backbone.convolution.weight[0] = 0  # one silent channel
        network.backbone.convolution.bias[0] = 0
    analysis = analyse(network, coloured())
    head = network.head
    return analysis, analysis.feature_maps.double().tolist(), head.weight.double().tolist(), head.bias.double().tolist()


LOOPS = {
    "cam": again.cam, "grad_cam": again.grad_cam, "grad_cam_plus_plus": again.grad_cam_plus_plus,
    "xgrad_cam": again.xgrad_cam, "hires_cam": again.hires_cam, "layer_cam": again.layer_cam,
    "ablation_cam": again.ablation_cam,
}


@pytest.mark.parametrize("method", LOOPS)
def test_it_agrees_with_the_second_derivation(tiny, method):
    analysis, maps, matrix, _ = tiny
    for index in range(4):
        ours = analysis.cam(method, index)
        assert ours.shape == (4, 4)
        torch.testing.assert_close(ours, torch.tensor(LOOPS[method](maps, matrix[index])), rtol=1e-4, atol=1e-6)


def test_eigen_cam_agrees_with_the_second_derivation(tiny):
    analysis, maps, _, _ = tiny
    torch.testing.assert_close(analysis.cam("eigen_cam", 0), torch.tensor(again.eigen_cam(maps)), rtol=1e-3, atol=1e-5)


def test_finer_cam_agrees_with_the_second_derivation(tiny):
    analysis, maps, matrix, bias = tiny
    logits = again.linear(matrix, bias, again.pooled("gap", maps))
    for index in range(4):
        for options in ({}, {"references": 1}, {"gamma": 0.2}, {"rivals": [(index + 1) % 4], "gamma": 1.0}):
            rivals = options.get("rivals") or again.closest(logits, index, options.get("references", 3))
            expected = again.finer_cam(maps, matrix, index, rivals, options.get("gamma", 0.6))
            ours = analysis.cam("finer_cam", index, **options)
            torch.testing.assert_close(ours, torch.tensor(expected), rtol=1e-4, atol=1e-6)


def test_every_method_has_a_second_derivation_here():
    assert list(CAM_METHODS) == METHODS
    assert {*LOOPS, "eigen_cam", "finer_cam", "score_cam"} == set(METHODS)


# Under GAP and a Linear several are one.


def test_hires_cam_and_xgrad_cam_are_the_evidence_under_gap_and_a_linear(network, examples):
    analysis = analyse(network, examples["cat_and_coffee"])
    for answer in analysis.under("gap").top(3):
        cells = analysis.under("gap").evidence(answer.class_index).cells
        for method in ("hires_cam", "xgrad_cam"):
            torch.testing.assert_close(analysis.cam(method, answer.class_index), cells, rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(analysis.cam("grad_cam", answer.class_index), cells, rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(analysis.cam("cam", answer.class_index), cells * 49, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("pooling", ["gmp", "gem"])
def test_hires_cam_is_the_evidence_under_any_pooling_that_is_homogeneous(network, examples, pooling):
    analysis = analyse(network, examples["rocket"])
    index = analysis.under(pooling).top(1)[0].class_index
    cells = analysis.under(pooling).evidence(index).cells
    torch.testing.assert_close(analysis.cam("hires_cam", index, pooling), cells, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("pooling", ["gap", "lse", "softpool", "attention"])
def test_the_gradient_behind_hires_cam_is_that_of_the_logit(make_network, pooling):
    network = make_network(activation=nn.Softplus())
    analysis = analyse(network, coloured(1))
    maps = analysis.feature_maps.double()
    head = copy.deepcopy(network.head).double()

    def logit(moved):
        with torch.no_grad():
            return float(head(POOLINGS[pooling].value(moved)[None])[0, 2])

    expected = torch.zeros(4, 4, dtype=torch.float64)
    for k, i, j in np.ndindex(*maps.shape):
        step = torch.zeros_like(maps)
        step[k, i, j] = 1e-6
        expected[i, j] += (logit(maps + step) - logit(maps - step)) / 2e-6 * maps[k, i, j]
    torch.testing.assert_close(analysis.cam("hires_cam", 2, pooling).double(), expected, rtol=1e-3, atol=1e-5)


# Ablation-CAM.


def ablated_by_force(analysis, pooling, index):
    """Each channel's map is set to zero in turn, pooled again and asked again."""
    head, maps = analysis.network.head, analysis.feature_maps
    with torch.no_grad():
        whole = head(POOLINGS[pooling].value(maps)[None])[0, index]
        drops = []
        for k in range(len(maps)):
            without = maps.clone()
            without[k] = 0
            drops.append(whole - head(POOLINGS[pooling].value(without)[None])[0, index])
    return torch.einsum("k,kij->ij", torch.stack(drops), maps)


def heads():
    torch.manual_seed(2)
    return {
        "Linear": nn.Linear(5, 4),
        "two Linears": nn.Sequential(nn.Linear(5, 6), nn.Linear(6, 4)),
        "BatchNorm1d": nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 4)),
        "LayerNorm": nn.Sequential(nn.LayerNorm(5), nn.Linear(5, 4)),
        "nonlinear": nn.Sequential(nn.Linear(5, 6), nn.Hardswish(), nn.Linear(6, 4)),
    }


@pytest.mark.parametrize(("head", "pooling"), [
    *((head, "gmp") for head in heads().values()), (nn.Linear(5, 4), "lse"), (nn.Linear(5, 4), "gem")])
def test_ablation_cam_equals_zeroing_each_channel_by_brute_force(make_network, head, pooling):
    analysis = analyse(make_network(head=head), coloured(2))
    for index in range(4):
        ours = analysis.cam("ablation_cam", index, pooling)
        torch.testing.assert_close(ours, ablated_by_force(analysis, pooling, index), rtol=1e-4, atol=1e-5)


def test_ablation_cam_equals_brute_force_on_the_bundled_network(network, examples):
    analysis = analyse(network, examples["coffee"])
    small = analysis.feature_maps
    index = analysis.under().top(1)[0].class_index
    with torch.no_grad():
        pooled = small.mean((1, 2)).repeat(len(small), 1)
        pooled.fill_diagonal_(0)
        drops = analysis.under().logits[index] - network.head(pooled)[:, index]
    expected = torch.einsum("k,kij->ij", drops, small)
    torch.testing.assert_close(analysis.cam("ablation_cam", index), expected, rtol=1e-3, atol=1e-3)


# Eigen-CAM.


def test_eigen_cam_is_the_first_singular_vector_and_its_sign_is_that_of_activity(network, examples):
    for name in ("cat", "photographer"):
        analysis = analyse(network, examples[name])
        flat = analysis.feature_maps.flatten(1).double().numpy()
        _, values, vectors = np.linalg.svd(flat, full_matrices=False)
        ours = analysis.cam("eigen_cam", 0).flatten().double().numpy()
        expected = values[0] * vectors[0]
        assert abs(correlation(ours, expected)) >= 0.9999
        assert np.abs(np.abs(ours) - np.abs(expected)).max() <= 1e-3 * np.abs(expected).max()
        assert correlation(ours, flat.sum(0)) > 0
        assert ours.sum() > 0  # non-negative maps: the first direction is one of activity


def test_eigen_cam_is_positive_where_signed_maps_are_active(make_network):
    for seed in range(8):
        analysis = analyse(make_network(activation=nn.Identity(), seed=seed), coloured(seed))
        assert float((analysis.cam("eigen_cam", 0) * analysis.feature_maps.sum(0)).sum()) >= 0


def test_eigen_cam_knows_no_class(network, examples):
    analysis = analyse(network, examples["cat"])
    assert torch.equal(analysis.cam("eigen_cam", 1), analysis.cam("eigen_cam", 900))


# Score-CAM.


def test_score_cam_is_its_definition_by_brute_force(make_network):
    network = make_network(activation=nn.Identity(), seed=3)
    analysis = analyse(network, coloured(3))
    logits = []
    for one in analysis.feature_maps.double().tolist():
        seen_through = torch.tensor(again.ranged(again.bilinear(one, 96, 96)), dtype=torch.float32)
        logits.append(float(network(analysis.input * seen_through)[0, 1]))
    assert max(logits) - min(logits) > 0.01
    weights = torch.tensor(again.score_cam_weights(logits))
    expected = torch.einsum("k,kij->ij", weights, analysis.feature_maps)
    torch.testing.assert_close(analysis.cam("score_cam", 1), expected, rtol=1e-3, atol=1e-5)


def test_score_cam_reports_its_progress_to_the_end(make_network):
    analysis = analyse(make_network(channels=25), coloured())
    reports = []
    analysis.cam("score_cam", 0, progress=lambda *numbers: reports.append(numbers))
    assert reports == [(10, 25), (20, 25), (25, 25)]


def test_a_stopped_score_cam_raises_and_leaves_nothing_broken(make_network):
    network = make_network(channels=25)
    analysis = analyse(network, coloured())
    calls, before = [], network.backbone.calls

    def stop():
        calls.append(None)
        return len(calls) > 2

    with pytest.raises(StoppedError, match="after 20 of 25 channels"):
        analysis.cam("score_cam", 0, stop=stop)
    assert network.backbone.calls == before + 2
    finished = analysis.cam("score_cam", 0, stop=lambda: False)
    torch.testing.assert_close(finished, analyse(network, coloured()).cam("score_cam", 0))
    torch.testing.assert_close(analysis.cam("grad_cam", 0), analyse(network, coloured()).cam("grad_cam", 0))


def test_score_cam_stopped_at_once_runs_nothing(make_network):
    network = make_network()
    analysis = analyse(network, coloured())
    with pytest.raises(StoppedError, match="after 0 of 5"):
        analysis.cam("score_cam", 0, stop=lambda: True)
    assert network.backbone.calls == 1


# Cost.


class Counting(nn.Module):
    """A backbone that counts its calls."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone, self.calls = backbone, 0

    def forward(self, x):
        self.calls += 1
        return self.backbone(x)


def test_no_method_but_score_cam_runs_the_backbone(network, examples):
    counting = dataclasses.replace(network, backbone=Counting(network.backbone))
    analysis = analyse(counting, examples["cat"])
    for pooling in POOLINGS:
        for method in CHEAP:
            for index in (281, 282):
                analysis.cam(method, index, pooling)
    assert counting.backbone.calls == 1


def test_score_cam_runs_the_backbone_once_a_batch(make_network):
    network = make_network(channels=25)
    analysis = analyse(network, coloured())
    analysis.cam("score_cam", 0)
    assert network.backbone.calls == 1 + 3


# Signed, unnormalised, remembered.


@pytest.mark.parametrize("pooling", POOLINGS)
def test_maps_are_finite_and_of_the_grids_shape_under_every_pooling(network, examples, pooling):
    analysis = analyse(network, examples["rocket"], "whole", 160)
    for method in CHEAP:
        result = analysis.cam(method, 657, pooling)
        assert result.shape == analysis.framing.grid == analysis.feature_maps.shape[1:]
        assert result.isfinite().all()
        assert not result.requires_grad


@pytest.mark.parametrize("method", ["cam", "grad_cam", "xgrad_cam", "hires_cam", "finer_cam"])
def test_maps_keep_their_sign_and_scale(tiny, make_network, method):
    analysis, _, _, _ = tiny
    network = analysis.network
    head = copy.deepcopy(network.head)
    with torch.no_grad():
        head.weight *= -3
    flipped = analyse(dataclasses.replace(network, head=head), analysis.image)
    options = {"rivals": [1]} if method == "finer_cam" else {}
    ours = analysis.cam(method, 0, **options)
    assert ours.min() < 0 < ours.max()
    torch.testing.assert_close(flipped.cam(method, 0, **options), -3 * ours, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_silent_photo_gives_a_map_of_zeros(make_network, method):
    network = make_network()
    with torch.no_grad():
        network.backbone.convolution.weight.zero_()
        network.backbone.convolution.bias.fill_(-1)
    analysis = analyse(network, coloured())
    for pooling in POOLINGS:
        assert torch.equal(analysis.cam(method, 0, pooling), torch.zeros(4, 4))


def test_a_map_is_computed_once_and_each_option_has_its_own(make_network):
    analysis = analyse(make_network(), coloured())
    assert analysis.cam("grad_cam", 1) is analysis.cam("grad_cam", 1)
    assert analysis.cam("grad_cam", 1) is analysis.cam("grad_cam", 1, "gap")
    assert analysis.cam("score_cam", 1) is analysis.cam("score_cam", 1, progress=lambda done, total: None)
    assert not torch.equal(analysis.cam("finer_cam", 1, gamma=0.1), analysis.cam("finer_cam", 1, gamma=0.9))
    assert not torch.equal(analysis.cam("hires_cam", 1), analysis.cam("hires_cam", 1, "gmp"))


def test_a_pooling_by_name_is_not_the_native_one_with_another_parameter(make_network):
    native = make_network(pooling="gem", p=8.0)
    with_default = analyse(make_network(pooling="gap"), coloured()).cam("grad_cam", 1, "gem")
    analysis = analyse(native, coloured())
    of_its_own = analysis.cam("grad_cam", 1)
    torch.testing.assert_close(analysis.cam("grad_cam", 1, "gem"), with_default)
    assert not torch.allclose(of_its_own, with_default)


def test_a_cam_can_be_asked_of_a_pooling_with_its_parameter(make_network):
    analysis = analyse(make_network(), coloured())
    of_four = analysis.under("gem", p=4).cam("hires_cam", 1)
    torch.testing.assert_close(of_four, analysis.under("gem", p=4).evidence(1).cells, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(of_four, analysis.cam("hires_cam", 1, "gem"))


def test_many_threads_asking_one_analysis_get_what_one_gets(network, examples):
    requests = [(method, index, pooling) for method in CHEAP for index in (281, 282) for pooling in ("gap", "gmp")]
    alone = analyse(network, examples["cat"])
    shared = analyse(network, examples["cat"])
    barrier = threading.Barrier(8)

    def ask(worker):
        barrier.wait()
        turned = requests[worker:] + requests[:worker]
        return {key: shared.cam(*key) for key in turned}

    with ThreadPoolExecutor(8) as pool:
        result = list(pool.map(ask, range(8)))
    for key in requests:
        expected = alone.cam(*key)
        for one in result:
            torch.testing.assert_close(one[key], expected, rtol=1e-4, atol=1e-5)
            assert one[key] is result[0][key]


# Errors that teach.


def test_cam_needs_an_affine_head_and_says_what_to_use_instead(make_network):
    head = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 4))
    analysis = analyse(make_network(head=head), coloured())
    with pytest.raises(MethodError, match="Grad-CAM"):
        analysis.cam("cam", 0)
    for method in CHEAP[1:]:
        assert analysis.cam(method, 0).isfinite().all()


def test_cam_is_held_at_a_layer_norms_statistics(make_network):
    head = nn.Sequential(nn.LayerNorm(5), nn.Linear(5, 4))
    analysis = analyse(make_network(head=head), coloured())
    torch.testing.assert_close(analysis.cam("cam", 1) / 16, analysis.under().evidence(1).cells)


def test_an_unknown_method_is_answered_with_those_that_exist(make_network):
    analysis = analyse(make_network(), coloured())
    with pytest.raises(ParameterError, match=f"'gradcam'.*{', '.join(METHODS)}"):
        analysis.cam("gradcam", 0)


@pytest.mark.parametrize("method", ["grad_cam", "score_cam", "finer_cam"])
def test_an_unknown_option_is_answered_with_those_that_exist(make_network, method):
    analysis = analyse(make_network(), coloured())
    known = {"score_cam": "progress, stop", "finer_cam": "rivals, gamma, references"}.get(method, "none")
    with pytest.raises(ParameterError, match=f"{method} has no option colour; expected {known}"):
        analysis.cam(method, 0, colour="red")


@pytest.mark.parametrize("index", [-1, 4, 2.0, True])
def test_an_unknown_class_is_answered_with_the_range(make_network, index):
    analysis = analyse(make_network(), coloured())
    with pytest.raises(ParameterError, match="0 to 3"):
        analysis.cam("grad_cam", index)


def test_an_unknown_pooling_is_refused(make_network):
    with pytest.raises(ParameterError, match="'max'"):
        analyse(make_network(), coloured()).cam("grad_cam", 0, "max")


@pytest.mark.parametrize("options", [
    {"rivals": [4]}, {"rivals": [0]}, {"rivals": [True]}, {"rivals": []}, {"references": 0}, {"references": 1.5},
    {"gamma": math.nan}, {"gamma": -1},
])
def test_finer_cam_refuses_options_that_mean_nothing(make_network, options):
    analysis = analyse(make_network(), coloured())
    with pytest.raises(ParameterError, match=r"Finer-CAM.*expected"):
        analysis.cam("finer_cam", 0, **options)



def test_finer_cam_needs_a_second_class(make_network):
    analysis = analyse(make_network(classes=1), coloured())
    with pytest.raises(MethodError, match="only one"):
        analysis.cam("finer_cam", 0)


def test_every_registry_entry_says_what_it_is():
    for method, entry in CAM_METHODS.items():
        assert entry.key == method
        assert entry.name
        assert entry.explanation.endswith(".")
        assert "F" in entry.formula
        assert any(character.isdigit() for character in entry.source)
