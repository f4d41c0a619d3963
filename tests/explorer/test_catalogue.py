"""The networks of torchvision and timm by name: their names, their input, their classes, and the modules themselves."""

from __future__ import annotations

import re
import threading

import pytest
import timm
import torch
import torchvision
from PIL import Image
from timm.data import ImageNetInfo, create_transform, resolve_data_config
from torchvision.models import get_model_weights

from explorer.errors import NetworkError, ParameterError
from explorer.framing import frame
from explorer.networks.loading.blueprints import Unfilled, build, describe, droppable_keys, new_module
from explorer.networks.loading.bundled import imagenet_class_names
from explorer.networks.loading.known_networks import (
    FAMILIAR,
    Known,
    identify,
    search,
    timm_names,
    torchvision_names,
    torchvision_weights,
)

# Names.


def test_torchvision_has_80_networks_and_timm_over_a_thousand_tags():
    assert len(torchvision_names()) >= 80
    assert {"resnet50", "alexnet", "vit_h_14", "convnext_tiny"} <= set(torchvision_names())
    assert not any("fcn" in name or "rcnn" in name or "r3d" in name for name in torchvision_names())
    assert len(timm_names()) > 1000
    assert {"resnet50.a1_in1k", "resnet50_clip.openai", "tf_efficientnet_lite0.in1k"} <= set(timm_names())


@pytest.mark.parametrize(("name", "expected"), [
    ("resnet50", Known("torchvision", "resnet50", "IMAGENET1K_V2")),
    (" ResNet50 ", Known("torchvision", "resnet50", "IMAGENET1K_V2")),
    ("torchvision/resnet50.imagenet1k_v1", Known("torchvision", "resnet50", "IMAGENET1K_V1")),
    ("torchvision/convnext_tiny", Known("torchvision", "convnext_tiny", "IMAGENET1K_V1")),
    ("vit_h_14", Known("torchvision", "vit_h_14", "IMAGENET1K_SWAG_E2E_V1")),
    ("timm/resnet50", Known("timm", "resnet50", "a1_in1k")),
    ("timm/resnet50.a1_in1k", Known("timm", "resnet50", "a1_in1k")),
    ("resnet50.a1_in1k", Known("timm", "resnet50", "a1_in1k")),
    ("timm/resnet50_clip.openai", Known("timm", "resnet50_clip", "openai")),
    ("efficientnet_lite0", Known("timm", "efficientnet_lite0", "ra_in1k")),
    ("vit_base_patch16_224_in21k", Known("timm", "vit_base_patch16_224", "augreg_in21k")),  # its name until 2022
])
def test_a_name_means_one_network(name, expected):
    assert identify(name) == expected
    assert identify(expected.name) == expected


def test_every_listed_name_means_itself():
    for name in torchvision_names():
        assert identify(name).name == f"torchvision/{name}"
    for name in timm_names():
        assert identify(f"timm/{name}").name == f"timm/{name}"


@pytest.mark.parametrize(("name", "near"), [
    ("resnet5O", "resnet50"), ("torchvision/convnext_tny", "torchvision/convnext_tiny"),
    ("timm/resnet50.a1_in2k", "timm/resnet50.a1_in1k"), ("timm/convnext_tinny", "timm/convnext_tiny"),
    ("vgg16.IMAGENET1K_FEATURES", "vgg16"),  # weights of no classifier
])
def test_an_unknown_name_is_answered_with_near_ones_that_exist(name, near):
    with pytest.raises(NetworkError) as error:
        identify(name)
    named = str(error.value).split("near it: ")[1].removesuffix(".").split(", ")
    assert near in named
    assert len(named) <= 3
    assert all(identify(near_name) for near_name in named)


@pytest.mark.parametrize("name", ["", "   ", "timm/", "../../etc/passwd", "x" * 100_000, None, "<b>\n", "a/b/c",
                                  "https://example.org/x.pth"])
def test_what_is_no_name_is_refused_in_one_short_sentence(name):
    with pytest.raises(NetworkError) as error:
        identify(name)
    message = str(error.value)
    assert message.startswith("There is no network ")
    assert "\n" not in message
    assert len(message) < 250


# Search.


@pytest.mark.parametrize(("text", "source", "first"), [
    ("resnet50", "torchvision", "resnet50"), ("ResNet-50", "torchvision", "resnet50"),
    ("tiny convnext", "torchvision", "convnext_tiny"), ("50 wide", "torchvision", "wide_resnet50_2"),
    ("resnet50", "timm", "resnet50.a1_in1k"), ("timm/resnet50", "timm", "resnet50.a1_in1k"),
    ("resnet50.b1k_in1k", "timm", "resnet50.b1k_in1k"), ("openai resnet101", "timm", "resnet101_clip.openai"),
    ("convnext_t", "timm", "convnext_tiny.in12k_ft_in1k"),
])
def test_the_best_match_comes_first(text, source, first):
    assert search(text, source)[0] == first


def test_every_match_holds_every_word_and_no_other_name_does():
    result = search("a1 resnet", "timm")
    assert len(result) == len(set(result)) > 10
    assert set(result) == {name for name in timm_names()
                          if "a1" in re.sub("[_.]", "", name) and "resnet" in re.sub("[_.]", "", name)}
    assert search("resnet a1", "timm")[:1] == search("a1 resnet", "timm")[:1]


def test_exact_then_prefix_then_the_rest():
    result = search("resnet50", "timm")
    exact = [name for name in result if name.split(".")[0] == "resnet50"]
    begins = [name for name in result if name.startswith("resnet50") and name not in exact]
    assert result[:len(exact)] == exact
    assert set(result[len(exact):len(exact) + len(begins)]) == set(begins)
    assert "wide_resnet50_2.racm_in1k" in result[len(exact) + len(begins):]


def test_nothing_finds_all_and_nonsense_nothing():
    assert search("", "torchvision") == list(torchvision_names())
    assert sorted(search("", "timm")) == sorted(timm_names())
    assert search("", "timm")[:2] == ["resnet50.a1_in1k", "resnet18.a1_in1k"], "and not the first by the alphabet"
    assert set(FAMILIAR) <= set(timm.list_models(pretrained=True))
    assert search(" -_ ", "timm") == search("", "timm")
    assert search("no such network", "timm") == []
    with pytest.raises(ParameterError, match="torchvision, timm"):
        search("resnet", "keras")


# What the input should be. Read off the papers' and projects' own pages.

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.mark.parametrize(("name", "size", "short", "interpolation", "statistics", "fixed"), [
    ("torchvision/resnet50", 224, 232, "bilinear", IMAGENET, False),
    ("torchvision/resnet50.IMAGENET1K_V1", 224, 256, "bilinear", IMAGENET, False),
    ("torchvision/efficientnet_b3", 300, 320, "bicubic", IMAGENET, False),
    ("torchvision/efficientnet_v2_l", 480, 480, "bicubic", HALVES, False),
    ("torchvision/inception_v3", 299, 342, "bilinear", IMAGENET, False),
    ("torchvision/convnext_tiny", 224, 236, "bilinear", IMAGENET, False),
    ("torchvision/swin_v2_t", 256, 260, "bicubic", IMAGENET, False),
    ("torchvision/vit_b_16", 224, 256, "bilinear", IMAGENET, True),
    ("torchvision/vit_b_16.IMAGENET1K_SWAG_E2E_V1", 384, 384, "bicubic", IMAGENET, True),
    ("timm/resnet50.a1_in1k", 288, 288, "bicubic", IMAGENET, False),
    ("timm/resnet18.tv_in1k", 224, 256, "bilinear", IMAGENET, False),
    ("timm/vit_base_patch16_224.augreg_in21k_ft_in1k", 224, 248, "bicubic", HALVES, True),
    ("timm/tf_efficientnet_lite0.in1k", 224, 256, "bicubic", HALVES, False),
])
def test_the_preprocessing_is_that_of_the_weights(name, size, short, interpolation, statistics, fixed):
    known = identify(name)
    preprocessing = describe(known, torch.nn.Identity()).preprocessing
    assert (preprocessing.size, int(size / preprocessing.crop_ratio)) == (size, short)
    assert (preprocessing.interpolation, preprocessing.fixed) == (interpolation, fixed)
    assert (preprocessing.mean, preprocessing.std) == statistics


def test_every_torchvision_network_resizes_to_the_pixel_that_its_weights_say():
    for architecture in torchvision_names():
        for weights in get_model_weights(architecture):
            if weights.meta.get("categories"):
                known = Known("torchvision", architecture, weights.name)
                preprocessing, preset = describe(known, torch.nn.Identity()).preprocessing, weights.transforms()
                assert int(preprocessing.size / preprocessing.crop_ratio) == preset.resize_size[0]


@pytest.mark.parametrize("name", ["torchvision/resnet50", "torchvision/efficientnet_b3", "torchvision/inception_v3"])
def test_the_photo_becomes_what_torchvision_makes_of_it(name, examples):
    photo = examples["rocket"]
    known = identify(name)
    x, _ = frame(photo, describe(known, torch.nn.Identity()).preprocessing, "crop")
    torch.testing.assert_close(x[0], torchvision_weights(known).transforms()(photo), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet50.a1_in1k", "vit_base_patch16_224.augreg_in21k_ft_in1k", "mixnet_s.ft_in1k"])
def test_the_photo_becomes_what_timm_makes_of_it(name, examples):
    photo = examples["rocket"]
    known = identify(f"timm/{name}")
    x, _ = frame(photo, describe(known, torch.nn.Identity()).preprocessing, "crop")
    config = resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict(), use_test_size=True)
    torch.testing.assert_close(x[0], create_transform(**config)(photo), rtol=0, atol=1e-5)


def test_every_timm_network_has_a_preprocessing_or_a_reason():
    refused, filters = [], set()
    for name in timm_names():
        config = timm.get_pretrained_cfg(name)
        if config.num_classes != 1000:
            continue
        try:
            preprocessing = describe(identify(f"timm/{name}"), torch.nn.Identity()).preprocessing
        except NetworkError as error:
            refused.append(str(error))
            continue
        sizes = {config.input_size[-1], (config.test_input_size or config.input_size)[-1]}
        assert preprocessing.size in sizes
        assert preprocessing.size == max(sizes) or preprocessing.fixed
        assert 0 < preprocessing.crop_ratio <= 1
        filters.add(preprocessing.interpolation)
    assert refused == []
    assert filters == {"bicubic", "bilinear"}


def test_networks_of_oblong_inputs_are_refused():
    oblong = [name for name in timm_names() if len(set(timm.get_pretrained_cfg(name).input_size[1:])) > 1]
    for name in oblong:
        with pytest.raises(NetworkError, match="expected a square"):
            describe(identify(f"timm/{name}"), torch.nn.Identity(), 2)
    assert len(oblong) >= 1


# Classes.


def plain(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


def test_the_projects_names_stand_in_the_order_of_torchvisions_and_timms():
    ours = imagenet_class_names()
    theirs = get_model_weights("resnet50").DEFAULT.meta["categories"]
    assert sum(plain(a) == plain(b) for a, b in zip(ours, theirs, strict=True)) >= 950
    lemmas = ImageNetInfo("imagenet-1k").label_descriptions()
    among = [plain(a) in [plain(lemma) for lemma in b.split(",")] for a, b in zip(ours, lemmas, strict=True)]
    assert sum(among) >= 900
    # Every set of torchvision's weights has the same order.
    for architecture in torchvision_names():
        for weights in get_model_weights(architecture):
            assert weights.meta.get("categories") in (theirs, None)


@pytest.mark.parametrize(("name", "outputs", "checks"), [
    ("torchvision/squeezenet1_1", 1000, {207: "golden retriever", 0: "tench"}),
    ("timm/resnet18.a1_in1k", 1000, {207: "golden retriever", 999: "toilet tissue"}),
    ("timm/mobilenetv3_large_100.miil_in21k", 11221, {}),
    ("timm/vit_tiny_patch16_224.augreg_in21k", 21843, {0: "organism"}),
])
def test_outputs_are_named_by_the_classes_that_they_were_trained_on(name, outputs, checks):
    blueprint = describe(identify(name), torch.nn.Identity())
    assert (blueprint.outputs, blueprint.classifies) == (outputs, True)
    assert len(blueprint.class_names) == len(set(blueprint.class_names)) == outputs
    for index, expected in checks.items():
        assert blueprint.class_names[index] == expected


def test_outputs_that_are_features_are_not_called_classes():
    clip = describe(identify("timm/resnet50_clip.openai"), torch.nn.Identity())
    assert (clip.outputs, clip.classifies, clip.class_names) == (1024, False, None)
    dino = describe(identify("timm/resmlp_12_224.fb_dino"), torch.nn.Identity())
    assert dino.class_names is None


# Modules.


@pytest.mark.parametrize(("name", "classes"), [
    ("torchvision/squeezenet1_1", 7), ("torchvision/googlenet", 3), ("torchvision/mobilenet_v3_small", 2),
    ("timm/test_resnet", 5), ("timm/test_vit.r160_in1k", 1), ("timm/efficientnet_lite0", None),
])
def test_a_network_is_built_with_the_number_of_outputs_that_is_given(name, classes):
    blueprint = build(name, classes)
    side = blueprint.preprocessing.size
    with torch.no_grad():
        answer = blueprint.module(torch.randn(2, 3, side, side))
    assert answer.shape == (2, classes or 1000) == (2, blueprint.outputs)
    assert (blueprint.class_names is None) == (classes is not None)
    assert (blueprint.digest, blueprint.origin) == ("", "untrained")
    assert not any(module.training for module in blueprint.module.modules())
    assert answer.std() > 0


@pytest.mark.parametrize("classes", [0, True, 2.0, "3"])
def test_a_number_of_classes_that_cannot_be_is_refused(classes):
    with pytest.raises(NetworkError, match="expected a whole number from 1"):
        build("squeezenet1_1", classes)


def test_what_hangs_on_the_weights_beside_their_numbers_is_set_as_torchvision_sets_it():
    with torch.device("meta"):
        large = new_module(identify("torchvision/vit_b_16.IMAGENET1K_SWAG_E2E_V1"))
    assert large.encoder.pos_embedding.shape[1] == (384 // 16) ** 2 + 1
    google = new_module(identify("googlenet"))
    assert google.transform_input  # its weights were trained on another normalisation, which it computes itself
    assert not google.aux_logits


def test_the_keys_of_auxiliary_classifiers_are_what_an_architecture_names_droppable():
    for name in ("googlenet", "inception_v3"):
        blueprint = build(name)
        with torch.device("meta"):
            full = getattr(torchvision.models, name)(init_weights=False)
        extra = full.state_dict().keys() - blueprint.module.state_dict().keys()
        assert extra
        assert extra == {key for key in full.state_dict() if key.startswith(droppable_keys(blueprint.known))}
    assert droppable_keys(identify("squeezenet1_1")) == ()


@pytest.mark.parametrize("name", [
    "timm/eva02_tiny_patch14_224", "timm/coatnet_pico_rw_224", "timm/maxvit_rmlp_pico_rw_256", "timm/test_vit4",
    "timm/swin_tiny_patch4_window7_224", "torchvision/shufflenet_v2_x0_5", "timm/gcvit_xxtiny",
])
def test_an_unfilled_network_with_loaded_weights_is_the_filled_one(name):
    known = identify(name)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        original = new_module(known).eval()
    with Unfilled():
        copy = new_module(known).eval()
    assert any((a != b).any() for a, b in zip(original.parameters(), copy.parameters(), strict=True))
    copy.load_state_dict(original.state_dict())
    for (key, mine), (_, theirs) in zip(copy.named_buffers(), original.named_buffers(), strict=True):
        assert torch.equal(mine, theirs), key  # also those that no file holds
    side = describe(known, copy).preprocessing.size
    x = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        torch.testing.assert_close(copy(x), original(x))


def test_other_threads_fill_at_random_while_one_does_not():
    filled = []
    with Unfilled():
        thread = threading.Thread(target=lambda: filled.append(torch.nn.Linear(8, 8).weight.abs().sum().item()))
        thread.start()
        thread.join()
        assert torch.nn.Linear(8, 8).weight.abs().sum() == 0
    assert filled[0] > 0
    assert torch.nn.Linear(8, 8).weight.abs().sum() > 0


def test_a_crop_beyond_the_photo_is_brought_back_to_its_edge():
    volo = describe(identify("timm/volo_d4_448.sail_in1k"), torch.nn.Identity()).preprocessing
    assert (volo.size, volo.crop_ratio) == (448, 1.0)
    x, framing = frame(Image.new("RGB", (500, 400), "white"), volo, "crop")
    assert framing.seen == (50, 0, 450, 400)
    assert x.min() == x.max(dim=2).values.min()
