"""Cutting a classifier at its global pooling: the parts against the model itself, family by family."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import timm
import torch
import torchvision
from PIL import Image
from torch import nn
from torch.nn import functional

from explorer import analyse
from explorer.errors import NetworkError
from explorer.framing import Preprocessing
from explorer.networks import Network
from explorer.networks.cutting.splitting import NoGlobalPooling, split_at_global_pool
from tests.explorer.own_models import (
    CHANNELS,
    OWN,
    BranchOnATensor,
    Does,
    GeM,
    Small,
    apart,
    inputs,
    learned_attention,
    network_of,
    seeded,
    worst,
)

PHOTO = Image.effect_noise((120, 100), 80).convert("RGB")

# name: (pooling, kind of the head, channels of the feature maps)
TORCHVISION = {
    "resnet18": ("gap", "affine", 512),
    "densenet121": ("gap", "affine", 1024),
    "convnext_tiny": ("gap", "affine", 768),
    "swin_t": ("gap", "affine", 768),
    "efficientnet_b0": ("gap", "affine", 1280),
    "mnasnet0_5": ("gap", "affine", 1280),
    "shufflenet_v2_x0_5": ("gap", "affine", 1024),
    "squeezenet1_1": ("gap", "affine", 7),
    "mobilenet_v3_small": ("gap", "nonlinear", 576),
    "googlenet": ("gap", "affine", 1024),
}
TIMM = {
    ("resnet10t", "avg"): ("gap", "affine", 512),
    ("resnet10t", "max"): ("gmp", "affine", 512),
    ("resnet10t", "avgmax"): ("mixed", "affine", 512),
    ("resnet10t", "catavgmax"): ("catavgmax", "affine", 1024),
    ("ghostnet_100", "avg"): ("gap", "nonlinear", 960),
    ("convnext_atto", "avg"): ("gap", "affine", 320),
    ("tf_efficientnet_lite0", "avg"): ("gap", "affine", 1280),
}


def _of_torchvision(name: str) -> nn.Module:
    more = {"init_weights": False, "aux_logits": True} if name == "googlenet" else {}
    return seeded(lambda: torchvision.models.get_model(name, weights=None, num_classes=7, **more))


def _of_timm(name: str, pooling: str) -> nn.Module:
    return seeded(lambda: timm.create_model(name, num_classes=7, global_pool=pooling))


FAMILIES = [
    *(pytest.param(lambda name=name: _of_torchvision(name), *expected, id=name)
      for name, expected in TORCHVISION.items()),
    *(pytest.param(lambda key=key: _of_timm(*key), *expected, id=" ".join(key)) for key, expected in TIMM.items()),
]


@pytest.mark.parametrize(("make", "pooling", "kind", "channels"), FAMILIES)
def test_the_parts_of_each_family_give_its_logits_and_their_evidence_sums_to_them(make, pooling, kind, channels):
    model = make()
    network = Network.from_module(model, Preprocessing(size=64))
    assert (network.pooling.key, network.head_kind) == (pooling, kind)
    for x in (inputs(64, 64, batch=2), inputs(64, 96, batch=2)):
        with torch.no_grad():
            assert worst(apart(network, x), model(x)) <= 1e-5
            assert network.backbone(x).shape[1] == channels
    analysis = analyse(network, PHOTO, "whole")
    with torch.no_grad():
        goal = model(analysis.input)[0]
    largest = float(goal.abs().max())
    for index in (0, 6):
        evidence = analysis.under().evidence(index)
        assert evidence.exact == (kind == "affine")
        total = evidence.baseline + float(evidence.cells.double().sum())
        assert abs(total - float(goal[index])) <= (1e-4 if evidence.exact else 1e-2) * largest


def test_densenets_feature_maps_are_those_after_its_last_relu_in_place():
    model = _of_torchvision("densenet121")
    x = inputs(64, 64)
    with torch.no_grad():
        goal = model.features(x).relu()
        got = split_at_global_pool(model, x).backbone(x)
    assert float((model.features(x) < 0).float().mean()) > 0.1  # so it matters
    torch.testing.assert_close(got, goal)


def test_swins_feature_maps_are_its_channels_last_ones_turned():
    model = _of_torchvision("swin_t")
    x = inputs(64, 96)
    with torch.no_grad():
        torch.testing.assert_close(split_at_global_pool(model, x).backbone(x),
                                   model.norm(model.features(x)).permute(0, 3, 1, 2))


def test_alexnet_flattens_and_says_how_many_numbers():
    model = seeded(lambda: torchvision.models.alexnet(num_classes=3))
    network = Network.from_module(model)
    assert network.pooling is None
    assert "flattens its 256 × 6 × 6 feature maps into 9,216 numbers" in network.reason
    assert network.head_kind == "none"
    with pytest.raises(NoGlobalPooling, match="flattens"):
        split_at_global_pool(model, inputs(224, 224))
    with torch.no_grad():
        assert worst(network(inputs(96, 128)), model(inputs(96, 128))) == 0


def test_a_network_small_enough_for_a_pencil_is_cut_where_the_pencil_cuts():
    model = nn.Sequential(nn.Conv2d(2, 2, 1, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                          nn.Linear(2, 2)).eval()
    model[0].weight.data = torch.tensor([[1.0, 0.0], [1.0, 1.0]])[..., None, None]
    model[4].weight.data = torch.tensor([[2.0, -1.0], [0.0, 4.0]])
    model[4].bias.data = torch.tensor([0.5, -3.0])
    split = split_at_global_pool(model, inputs(4, 4, channels=2))
    x = torch.tensor([[[[1.0, -2.0], [3.0, 0.0]], [[1.0, 1.0], [-5.0, 4.0]]]])
    feature_maps = split.backbone(x)
    assert feature_maps.tolist() == [[[[1.0, 0.0], [3.0, 0.0]], [[2.0, 0.0], [0.0, 4.0]]]]
    pooled = split.pooling(feature_maps)
    assert pooled.tolist() == [[1.0, 1.5]]
    assert split.head(pooled).tolist() == [[1.0, 3.0]]  # 2 * 1 - 1.5 + 0.5 and 4 * 1.5 - 3
    assert split.shape == (2, 4, 4)
    torch.testing.assert_close(split(x), model(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("pool", "key"), [(nn.AdaptiveAvgPool2d(1), "gap"), (nn.AdaptiveMaxPool2d(1), "gmp"),
                                           (GeM(3.0), "gem")])
def test_maps_that_hardly_differ_from_place_to_place_do_not_hide_the_pooling(pool, key):
    model = seeded(lambda: Small(pool))
    with torch.no_grad():
        model.block[0].weight.mul_(1e-5)
        model.block[0].bias.uniform_(0.5, 1.0)
    assert network_of(model).pooling.key == key


# What is not a pooling that is known


UNKNOWN: dict[str, Callable[[], nn.Module]] = {
    "sum": lambda: Small(Does(lambda maps: maps.sum((2, 3)))),
    "top k": lambda: Small(Does(lambda maps: maps.flatten(2).topk(5).values.mean(-1))),
    "learned attention": lambda: Small(learned_attention()),
    "branch and learned attention": lambda: BranchOnATensor(learned_attention()),
    "depthwise convolution": lambda: Small(nn.Conv2d(CHANNELS, CHANNELS, 8, groups=CHANNELS)),
    "standard deviation": lambda: Small(Does(lambda maps: maps.std((2, 3)))),
    "the corner alone": lambda: Small(Does(lambda maps: maps[:, :, 0, 0])),
    "dropout that never rests": lambda: Small(head=nn.Sequential(Does(functional.dropout), nn.Linear(CHANNELS, 4))),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_pooling_that_is_not_known_is_not_taken_for_one_that_is(name):
    network = network_of(seeded(UNKNOWN[name]))
    assert network.pooling is None
    assert network.reason.endswith(".")
    assert "\n" not in network.reason
    with pytest.raises(NoGlobalPooling):
        split_at_global_pool(seeded(UNKNOWN[name]), inputs())


@pytest.mark.parametrize("name", [name for name in UNKNOWN if not name.startswith(("dropout", "branch"))])
def test_without_a_known_pooling_the_logits_are_still_the_models(name):
    model = seeded(UNKNOWN[name])
    network = network_of(model)
    with torch.no_grad():
        assert worst(network(inputs(batch=2)), model(inputs(batch=2))) == 0
        torch.testing.assert_close(network.layers.maps(inputs(), "block"), model.maps(inputs()))


# Named layers


def test_a_named_layer_is_where_the_cut_is_made():
    model = seeded(Small)
    for layer in ("block", "block.1"):
        split = split_at_global_pool(model, inputs(), layer)
        assert split.way == "named"
        with torch.no_grad():
            torch.testing.assert_close(split.backbone(inputs(40, 56)), model.maps(inputs(40, 56)))


@pytest.mark.parametrize(("layer", "words"), [("nothing", "no module 'nothing'"), ("stem", "follows the module stem"),
                                             ("fc", "follows the module fc")])
def test_a_layer_that_is_not_before_the_pooling_is_refused(layer, words):
    for attempt in (lambda: split_at_global_pool(seeded(Small), inputs(), layer),
                    lambda: network_of(seeded(Small), layer=layer)):
        with pytest.raises(NoGlobalPooling, match=words):
            attempt()


# What is no classifier


@pytest.mark.parametrize(("make", "words"), [
    (lambda: nn.Conv2d(3, 5, 3, padding=1), "not an image classifier"),
    (lambda: nn.Sequential(nn.Conv2d(3, 5, 3, 2), nn.ConvTranspose2d(5, 3, 3, 2)), "not an image classifier"),
    (lambda: Does(lambda x: x.mean()), "no feature maps"),
    (lambda: Does(lambda x: x.mean((1, 2)).argmax(-1)), "expected a tensor of logits"),
    (lambda: Does(lambda x: "cat"), "str"),
    (lambda: Does(lambda x: None), "NoneType"),
    (lambda: Does(lambda x: []), "list"),
    (lambda: Does(lambda x: {}), "dict"),
    (lambda: nn.Linear(7, 3), "cannot be run on an input of shape"),
    (lambda: nn.Sequential(nn.Conv2d(1, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), "cannot be run on an input"),
])
def test_what_is_no_classifier_is_refused_in_one_sentence(make, words):
    with pytest.raises(NetworkError, match=words) as refused:
        network_of(seeded(make))
    assert "\n" not in str(refused.value)


def test_a_model_that_cannot_be_copied_is_refused_in_one_sentence():
    model = seeded(Small)
    model.lock = threading.Lock()
    with pytest.raises(NetworkError, match="Small cannot be copied"):
        network_of(model)


def test_the_example_may_be_a_batch():
    model = seeded(Small)
    split = split_at_global_pool(model, inputs(*(OWN.size,) * 2, batch=3))
    with torch.no_grad():
        assert worst(split.head(split.pooling(split.backbone(inputs()))), model(inputs())) <= 1e-5
