"""Heads of one's own and bodies under other names, as training scripts leave them: the answers stay the module's."""

from __future__ import annotations

import argparse
import io
import re
from collections import OrderedDict

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from safetensors.torch import save
from torch import nn

from explorer import analyse
from explorer.errors import ParameterError
from explorer.networks.loading.load import ArchitectureError, load_file


def lively(model: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights with statistics that a fresh BatchNorm does not have."""
    generator = torch.Generator().manual_seed(seed)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.running_var.uniform_(0.3, 1.3, generator=generator)
            part.running_mean.uniform_(-0.2, 0.2, generator=generator)
    return model.eval()


def resnet(head: nn.Module | None = None, classes: int = 4) -> nn.Module:
    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=classes)
    model.fc = head or model.fc
    return lively(model)


def saved(what: object) -> bytes:
    file = io.BytesIO()
    torch.save(what, file)
    return file.getvalue()


def as_safetensors(state: dict) -> bytes:
    return save({key: value.contiguous() for key, value in state.items()})


@torch.no_grad()
def same_answers(network, model, size: int = 96):
    x = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(network(x), model(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("head", "assumed"), [
    (nn.Sequential(nn.Dropout(), nn.Linear(512, 4)), False),
    (nn.Sequential(nn.Linear(512, 8), nn.Linear(8, 4)), False),
    (nn.Sequential(nn.Linear(512, 64), nn.ReLU(), nn.Dropout(), nn.Linear(64, 4)), True),
    (nn.Sequential(nn.Linear(512, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(), nn.Linear(64, 4)), True),
    (nn.Sequential(nn.BatchNorm1d(512), nn.Dropout(), nn.Linear(512, 64), nn.ReLU(), nn.BatchNorm1d(64), nn.Dropout(),
                   nn.Linear(64, 4, bias=False)), True),
    (nn.Sequential(nn.LayerNorm(512), nn.Linear(512, 16), nn.PReLU(), nn.Linear(16, 4)), False),
    (nn.Sequential(*(nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in ((512, 9), (9, 5))), nn.Linear(5, 2)), True),
])
def test_a_head_is_rebuilt_from_its_tensors_and_what_is_assumed_is_said(head, assumed):
    model = resnet(head)
    network = load_file(as_safetensors(model.state_dict()), "mine", architecture="resnet18")
    same_answers(network, model)
    assert any("relu is assumed" in caution for caution in network.cautions) is assumed


def test_parts_with_names_are_put_in_the_order_of_their_widths():
    parts = OrderedDict(fc1=nn.Linear(512, 64), bn1=nn.BatchNorm1d(64), act=nn.ReLU(), last=nn.Linear(64, 4))
    model = resnet(nn.Sequential(parts))
    same_answers(load_file(as_safetensors(model.state_dict()), "mine", architecture="resnet18"), model)


def test_another_activation_can_be_named():
    model = resnet(nn.Sequential(nn.Linear(512, 64), nn.GELU(), nn.Linear(64, 4)))
    data = saved(model.state_dict())
    same_answers(load_file(data, "mine", architecture="resnet18", head_activation="gelu"), model)
    with pytest.raises(ParameterError, match="relu, gelu"):
        load_file(data, "mine", architecture="resnet18", head_activation="swish")


def test_a_whole_classifier_in_place_of_a_networks_is_rebuilt_and_its_body_recognised():
    torch.manual_seed(0)
    model = torchvision.models.mobilenet_v3_small(num_classes=3)
    model.classifier = nn.Sequential(nn.Linear(576, 32), nn.ReLU(), nn.Linear(32, 3))
    network = load_file(saved(lively(model).state_dict()), "mine", architecture="mobilenet_v3_small")
    same_answers(network, model)


class Lit(nn.Module):
    """A Lightning module as many write it; `classes` of the backbone are kept where there are any."""

    def __init__(self, classes: int):
        super().__init__()
        self.backbone = timm.create_model("resnet18", num_classes=classes)
        self.head = nn.Linear(classes or 512, 6)
        self.criterion = nn.CrossEntropyLoss(torch.ones(6))

    def forward(self, x):
        return self.head(self.backbone(x))


@pytest.mark.parametrize("classes", [0, 10])
def test_a_lightning_module_answers_with_its_own_head_also_after_the_backbones(classes):
    torch.manual_seed(0)
    model = lively(Lit(classes))
    for architecture in (None, "timm/resnet18"):
        network = load_file(saved({"state_dict": model.state_dict(), "hyper_parameters": {"lr": 0.1}}), "last.ckpt",
                            architecture=architecture)
        same_answers(network, model)
        assert len(network.class_names) == 6


@pytest.mark.parametrize("write", [saved, as_safetensors])
@pytest.mark.parametrize("architecture", [None, "resnet18"])
def test_children_in_a_sequential_are_the_networks(architecture, write):
    model = resnet(classes=6)
    body = nn.Sequential(*list(model.children())[:-1])
    state = {f"features.{key}": value for key, value in body.state_dict().items()}
    state |= {"fc.weight": model.fc.weight.detach(), "fc.bias": model.fc.bias.detach()}
    same_answers(load_file(write(state), "mine", architecture=architecture), model)


def test_features_of_a_network_under_another_name_are_its_own():
    torch.manual_seed(0)
    model = lively(torchvision.models.mobilenet_v2(num_classes=5))
    state = {f"encoder.{key}": value for key, value in model.features.state_dict().items()}
    state |= {f"fc.{key}": value for key, value in model.classifier[1].state_dict().items()}
    same_answers(load_file(saved(state), "mine", architecture="mobilenet_v2"), model)


class ConcatPool(nn.Module):
    """As fastai has it: the maximum first."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([F.adaptive_max_pool2d(x, 1), F.adaptive_avg_pool2d(x, 1)], 1)


@pytest.mark.parametrize("make", [lambda: torchvision.models.resnet18(), lambda: timm.create_model("resnet18")])
def test_fastais_head_takes_maximum_and_average_side_by_side_and_its_evidence_is_exact(make):
    torch.manual_seed(0)
    body = nn.Sequential(*list(make().children())[:-2])
    head = nn.Sequential(ConcatPool(), nn.Flatten(), nn.BatchNorm1d(1024), nn.Dropout(0.25),
                         nn.Linear(1024, 64, bias=False), nn.ReLU(), nn.BatchNorm1d(64), nn.Dropout(0.5),
                         nn.Linear(64, 3, bias=False))
    model = lively(nn.Sequential(body, head))
    network = load_file(saved({"model": model.state_dict(), "opt": {"lr": 0.1}}), "export.pth")
    same_answers(network, model)
    assert network.pooling.key == "catavgmax"
    assert any("maximum and average side by side" in caution for caution in network.cautions)
    evidence = analyse(network, Image.new("RGB", (90, 60), (200, 80, 20))).under().evidence(1)
    assert abs(evidence.residual) <= 1e-4 + 0.02 * abs(evidence.logit)


# Hugging Face's names, written as its models have them.

def as_hugging_faces(state: dict, rules: list[tuple[str, str]]) -> dict:
    renamed = {}
    for name, tensor in state.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        renamed[re.sub(r"<(\d+)-1>", lambda match: str(int(match[1]) - 1), name)] = tensor.contiguous()
    return renamed


CONVNEXT = [
    (r"^stem\.0", "convnext.embeddings.patch_embeddings"), (r"^stem\.1", "convnext.embeddings.layernorm"),
    (r"^head\.norm", "convnext.layernorm"), (r"^head\.fc", "classifier"),
    (r"^stages\.(\d)\.downsample", r"convnext.encoder.stages.\1.downsampling_layer"),
    (r"^stages\.(\d)\.blocks", r"convnext.encoder.stages.\1.layers"), (r"gamma$", "layer_scale_parameter"),
    (r"conv_dw", "dwconv"), (r"\.norm\.", ".layernorm."), (r"mlp\.fc(\d)", r"pwconv\1"),
]
REGNET = [
    (r"^stem\.conv", "regnet.embedder.embedder.convolution"), (r"^stem\.bn", "regnet.embedder.embedder.normalization"),
    (r"^s(\d)\.b(\d+)\.", r"regnet.encoder.stages.<\1-1>.layers.<\2-1>."), (r"^head\.fc", "classifier.1"),
    (r"se\.fc1", "layer.2.attention.0"), (r"se\.fc2", "layer.2.attention.2"),
    (r"conv([12])\.", r"layer.<\1-1>."), (r"conv3\.", "layer.3."), (r"downsample", "shortcut"),
    (r"\.conv\.", ".convolution."), (r"\.bn\.", ".normalization."),
]


@pytest.mark.parametrize(("name", "rules"), [("convnext_atto", CONVNEXT), ("regnety_002", REGNET)])
@pytest.mark.parametrize("named", [True, False])
def test_hugging_faces_names_are_those_of_timm(name, rules, named):
    torch.manual_seed(0)
    model = lively(timm.create_model(name, num_classes=3))
    data = save(as_hugging_faces(model.state_dict(), rules))
    same_answers(load_file(data, "model.safetensors", architecture=f"timm/{name}" if named else None), model)


def test_hugging_faces_efficientnet_is_the_one_that_pads_as_tensorflow_does():
    torch.manual_seed(0)
    model = lively(timm.create_model("tf_efficientnet_b0", num_classes=3))
    state = model.state_dict()
    matches = (re.match(r"blocks\.\d+\.\d+", name) for name in state)
    flat = {block: n for n, block in enumerate(dict.fromkeys(match[0] for match in matches if match))}
    renamed = {}
    for name, tensor in state.items():
        block = re.match(r"blocks\.\d+\.\d+", name)
        widens = block is not None and f"{block[0]}.conv_pwl.weight" in state
        parts = {
            "conv_pw": "expansion.expand_conv", "bn1": "expansion.expand_bn", "conv_pwl": "projection.project_conv",
            "bn2": "depthwise_conv.depthwise_norm", "bn3": "projection.project_bn",
        } if widens else {
            "conv_pw": "projection.project_conv", "bn1": "depthwise_conv.depthwise_norm",
            "bn2": "projection.project_bn",
        }
        parts |= {"conv_dw": "depthwise_conv.depthwise_conv", "se.conv_reduce": "squeeze_excite.reduce",
                  "se.conv_expand": "squeeze_excite.expand"}
        outside = {"conv_stem": "efficientnet.embeddings.convolution", "bn1": "efficientnet.embeddings.batchnorm",
                   "conv_head": "efficientnet.encoder.top_conv", "bn2": "efficientnet.encoder.top_bn",
                   "classifier": "classifier"}
        path, _, leaf = name.rpartition(".")
        where = f"efficientnet.encoder.blocks.{flat[block[0]]}.{parts[path[len(block[0]) + 1:]]}" if block else (
            outside[path])
        renamed[f"{where}.{leaf}"] = tensor.contiguous()
    for architecture in (None, "efficientnet_b0"):
        network = load_file(save(renamed), "model.safetensors", architecture=architecture)
        assert "tf_efficientnet_b0" in network.origin
        same_answers(network, model)


# What a file says besides, and what it does not.


def test_siblings_with_the_same_tensors_are_named_where_they_compute_something_else():
    torch.manual_seed(0)
    state = lively(timm.create_model("tf_efficientnet_b0", num_classes=4)).state_dict()
    network = load_file(saved(state), "mine", architecture="timm/efficientnet_b0")
    assert any("timm/tf_efficientnet_b0" in caution for caution in network.cautions)
    network = load_file(saved({"state_dict": state, "args": argparse.Namespace(model="tf_efficientnet_b0")}), "mine")
    assert "timm/tf_efficientnet_b0" in network.origin


def test_networks_of_both_sources_that_compute_the_same_are_no_caution():
    network = load_file(saved(resnet().state_dict()), "mine", architecture="resnet18")
    assert not any(caution.startswith("Architecture") for caution in network.cautions)
    assert any(caution.startswith("Preprocessing: assumed") for caution in network.cautions)


@pytest.mark.parametrize("beside", [
    {"class_to_idx": {"rose": 1, "daisy": 0, "tulip": 2, "lily": 3}}, {"classes": ["daisy", "rose", "tulip", "lily"]},
    {"hyper_parameters": {"class_names": ("daisy", "rose", "tulip", "lily")}},
    {"meta": {"dataset_meta": {"classes": ("daisy", "rose", "tulip", "lily")}}},
    {"args": argparse.Namespace(id2label={0: "daisy", 1: "rose", 2: "tulip", 3: "lily"})},
])
def test_class_names_in_a_checkpoint_are_used_where_they_are_as_many_as_its_classes(beside):
    state = resnet().state_dict()
    network = load_file(saved({"state_dict": state} | beside), "mine", architecture="resnet18")
    assert network.class_names == ("daisy", "rose", "tulip", "lily")
    other = load_file(saved({"state_dict": state, "classes": ["a", "b"]}), "mine", architecture="resnet18")
    assert other.class_names[0] == "class 0"


def test_the_order_of_safetensors_is_not_taken_for_names():
    state = {f"p{n:04d}": value.contiguous() for n, value in enumerate(resnet().state_dict().values())}
    with pytest.raises(ArchitectureError, match="does not keep the order"):
        load_file(save(state), "mine.safetensors", architecture="resnet18")
    assert any("by their order" in caution for caution in load_file(
        saved(state), "mine.pth", architecture="resnet18").cautions)


def test_a_tensor_that_is_nowhere_used_is_named():
    state = {f"model.{key}": value for key, value in resnet().state_dict().items()}
    network = load_file(saved(state | {"decoder.weight": torch.zeros(7, 7)}), "mine", architecture="resnet18")
    assert any("decoder.weight" in caution for caution in network.cautions)


def mobilenet_by_hand(state: dict, x: torch.Tensor) -> torch.Tensor:
    """Hugging Face's MobileNetV2 as TensorFlow computes it: padding by the input's size, epsilon 1e-3."""
    def layer(name: str, x: torch.Tensor, stride: int = 1, groups: int = 1, activate: bool = True) -> torch.Tensor:
        name = f"mobilenet_v2.{name}"
        weight = state[f"{name}.convolution.weight"]
        more = max(0, weight.shape[-1] - (stride if x.shape[-1] % stride == 0 else x.shape[-1] % stride))
        x = F.conv2d(F.pad(x, 2 * [more // 2, more - more // 2]), weight, stride=stride, groups=groups)
        norm = [state[f"{name}.normalization.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        x = F.batch_norm(x, *norm, eps=1e-3)
        return x.clamp(0, 6) if activate else x

    x = layer("conv_stem.first_conv", x, 2)
    x = layer("conv_stem.reduce_1x1", layer("conv_stem.conv_3x3", x, 1, x.shape[1]), activate=False)
    for n, stride in enumerate((2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1)):
        wide = layer(f"layer.{n}.expand_1x1", x)
        made = layer(f"layer.{n}.conv_3x3", wide, stride, wide.shape[1])
        made = layer(f"layer.{n}.reduce_1x1", made, activate=False)
        x = x + made if made.shape == x.shape else made
    return F.linear(layer("conv_1x1", x).mean((2, 3)), state["classifier.weight"], state["classifier.bias"])


def test_hugging_faces_mobilenets_compute_as_tensorflow_does():
    torch.manual_seed(0)
    state = lively(timm.create_model("mobilenetv2_035", num_classes=3)).state_dict()
    flat = list(dict.fromkeys(match[0] for name in state if (match := re.match(r"blocks\.\d+\.\d+", name))))
    first = {"conv_stem": "conv_stem.first_conv.convolution", "bn1": "conv_stem.first_conv.normalization",
             "conv_head": "conv_1x1.convolution", "bn2": "conv_1x1.normalization",
             "blocks.0.0.conv_dw": "conv_stem.conv_3x3.convolution",
             "blocks.0.0.bn1": "conv_stem.conv_3x3.normalization",
             "blocks.0.0.conv_pw": "conv_stem.reduce_1x1.convolution",
             "blocks.0.0.bn2": "conv_stem.reduce_1x1.normalization"}
    parts = {"conv_pw": "expand_1x1.convolution", "bn1": "expand_1x1.normalization", "conv_dw": "conv_3x3.convolution",
             "bn2": "conv_3x3.normalization", "conv_pwl": "reduce_1x1.convolution", "bn3": "reduce_1x1.normalization"}
    first |= {f"{block}.{ours}": f"layer.{n}.{theirs}" for n, block in enumerate(flat[1:])
              for ours, theirs in parts.items()}
    first = {ours: f"mobilenet_v2.{theirs}" for ours, theirs in first.items()} | {"classifier": "classifier"}
    renamed = {f"{first[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": tensor for name, tensor in state.items()}
    network = load_file(save(renamed), "model.safetensors")
    assert "timm/mobilenetv2_035" in network.origin
    assert network.preprocessing.mean == (0.5, 0.5, 0.5)
    x = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(network(x), mobilenet_by_hand(renamed, x), rtol=1e-3, atol=1e-4)


def test_hugging_faces_first_mobilenet_has_its_layers_one_after_the_other():
    torch.manual_seed(0)
    model = lively(timm.create_model("mobilenetv1_100", num_classes=3, pad_type="same", bn_eps=1e-3))
    state, renamed = model.state_dict(), {}
    flat = list(dict.fromkeys(match[0] for name in state if (match := re.match(r"blocks\.\d+\.\d+", name))))
    for name, tensor in state.items():
        path, _, leaf = name.rpartition(".")
        block, _, part = path.rpartition(".")
        where = f"layer.{2 * flat.index(block) + (part in ('conv_pw', 'bn2'))}" if block else "conv_stem"
        kind = "normalization" if part.startswith("bn") else "convolution"
        renamed[f"mobilenet_v1.{where}.{kind}.{leaf}" if path != "classifier" else name] = tensor.contiguous()
    same_answers(load_file(save(renamed), "model.safetensors"), model)
