"""Which architecture a checkpoint is of, for how many classes, and what does not fit."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from torch import nn

from explorer.networks.loading.architecture import nearest_architectures
from explorer.networks.loading.matching import best_reading, classes_in, mismatch

NAMES = ("resnet34", "vgg11", "resnet18", "mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2_x0_5", "resnet50")


def state_of(name: str, **how: object) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        return torchvision.models.get_model(name, weights=None, **how).state_dict()


@pytest.mark.parametrize(("name", "prefix"), [*((name, "") for name in NAMES), ("resnet18", "model."),
                                              ("vgg11", "model.net.")])
def test_the_nearest_architecture_is_the_one_that_it_was_made_with(name, prefix):
    state = {prefix + key: tensor for key, tensor in state_of(name, num_classes=7).items()}
    assert nearest_architectures(state, NAMES, seconds=60)[0] == name


def test_a_timm_network_is_recognised_among_its_relatives():
    with torch.device("meta"):
        state = timm.create_model("convnext_femto", num_classes=3).state_dict()
    names = [f"timm/{name}" for name in ("resnet18", "convnext_atto", "vit_tiny_patch16_224", "convnext_femto",
                                         "efficientnet_lite0")]
    assert nearest_architectures(state, names)[0] == "timm/convnext_femto"


def test_what_is_like_nothing_gives_no_guess_and_no_time_builds_nothing():
    assert nearest_architectures({"nothing.like_it": torch.zeros(3)}, NAMES) == ()
    assert nearest_architectures(state_of("vgg11"), ["vgg16"], seconds=0) == ()
    assert nearest_architectures(state_of("vgg11"), ["vgg12"]) == (), "there is no such network"


@pytest.mark.parametrize(("name", "classes"), [*((name, 7) for name in NAMES), ("resnet18", 1), ("resnet18", 1000),
                                               ("squeezenet1_1", 2000)])
def test_the_number_of_classes_is_read_from_the_last_layer(name, classes):
    state, ours = state_of(name, num_classes=classes), state_of(name)
    assert classes_in(state, ours) == classes
    assert mismatch(state, ours) is None


def test_a_backbone_alone_or_another_width_has_no_number_of_classes():
    ours = state_of("resnet18")
    assert classes_in({key: tensor for key, tensor in ours.items() if not key.startswith("fc")}, ours) is None
    assert classes_in(state_of("resnet50"), ours) is None
    other = {**ours, "fc.weight": torch.zeros(5, 512), "fc.bias": torch.zeros(6)}
    assert classes_in(other, ours) is None
    assert "fc.bias has the shape (6) and not (1000)" in mismatch(other, ours)


def test_a_mismatch_says_the_first_of_each_kind_in_one_sentence():
    ours = state_of("resnet18")
    theirs = dict(ours)
    del theirs["bn1.weight"], theirs["bn1.num_batches_tracked"]
    theirs["conv1.weight"] = torch.zeros(64, 1, 7, 7)
    theirs["<b>\n" + "x" * 5000] = torch.zeros(1)
    sentence = mismatch(theirs, ours)
    assert sentence.startswith("3 tensors do not fit: conv1.weight has the shape (64, 1, 7, 7) and not (64, 3, 7, 7), "
                               "bn1.weight is missing, <b>?xxx")
    assert sentence.endswith("... is not in the architecture.")
    assert len(sentence) < 300
    assert mismatch(state_of("resnet34"), ours).endswith(", and others.")


def test_a_prefix_is_taken_off_only_where_the_architecture_has_none():
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))

    wrapped, plain = Wrapped().state_dict(), Wrapped().model.state_dict()
    assert best_reading(wrapped, plain)[0] == ("model.",)
    assert best_reading(wrapped, wrapped)[0] == ()
    assert best_reading(plain, plain)[0] == ()
