"""What is NaN or infinite, and the layer that it came from."""

from __future__ import annotations

import copy
import threading

import pytest
import torch
from torch import nn

from explorer import analyse
from explorer.analysis import Analysis
from explorer.questions.soundness import trouble
from tests.explorer.test_analysis import patches
from tests.explorer.tiny import analysis_of, heads, linear, random_maps, with_backbone

NAN, INF = float("nan"), float("inf")


class Op(nn.Module):
    """A layer without weights that does something to its input."""

    def __init__(self, does) -> None:
        super().__init__()
        self.does = does

    def forward(self, x):
        return self.does(x)


def coarse() -> nn.Conv2d:
    """(B, 3, 96, 96) to (B, 5, 4, 4)."""
    return nn.Conv2d(3, 5, 24, stride=24)


def sentence_of(make_network, backbone: nn.Module) -> str | None:
    return trouble(analyse(with_backbone(make_network(), backbone), patches()).under())


# When all is well.


@pytest.mark.parametrize("name", heads())
def test_a_sound_answer_has_no_trouble(make_network, name):
    assert trouble(analysis_of(make_network(heads()[name]), random_maps()).under("gem")) is None


def test_a_sound_answer_costs_no_second_pass(make_network):
    network = make_network()
    network.backbone.calls = 0
    assert trouble(analyse(network, patches()).under()) is None
    assert network.backbone.calls == 1


# In the backbone.

SPOILS = {
    "divides by nothing": lambda x: x / 0,
    "divides in place": lambda x: x.clone().div_(0),
    "takes a logarithm": lambda x: torch.log(x - 1e6),
    "grows too large": lambda x: torch.exp(x * 1e6 + 1e6),
    "multiplies by infinity": lambda x: x * INF,
    "adds a constant that is infinite": lambda x: x + torch.full((1,), INF),
    "writes into it": lambda x: x.clone().index_put_((torch.tensor([0]),), torch.tensor(NAN)),
    "puts two together": lambda x: torch.cat([x, x])[:1] * NAN,
}


@pytest.mark.parametrize(("spoils", "place"), [*((spoils, 3) for spoils in SPOILS), ("divides by nothing", 0),
                                                ("takes a logarithm", 1)])
def test_the_layer_that_spoils_the_numbers_is_named(make_network, spoils, place):
    layers = [nn.Identity(), coarse(), nn.Tanh(), nn.Conv2d(5, 5, 1)]
    layers.insert(place, Op(SPOILS[spoils]))
    sentence = sentence_of(make_network, nn.Sequential(*layers, nn.Tanh(), nn.Dropout()))
    assert sentence.startswith("The feature maps hold ")
    assert sentence.endswith(f" (of 80); they first arise in the layer {place} (Op) of the backbone.")


def test_a_nested_layer_is_named_by_its_path(make_network):
    inner = nn.ModuleDict({"convolve": nn.Sequential(coarse(), Op(lambda x: x / 0))})

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.inside = inner
            self.after = nn.Identity()

        def forward(self, x):
            return self.after(self.inside["convolve"](x))

    network = nn.Sequential(nn.Identity(), Block())
    assert sentence_of(make_network, network).endswith("in the layer 1.inside.convolve.1 (Op) of the backbone.")


def test_a_sum_in_a_blocks_own_forward_is_named_by_the_block(make_network):
    class Shortcut(nn.Module):
        def __init__(self):
            super().__init__()
            self.branch = nn.Identity()

        def forward(self, x):
            return self.branch(x) + x

    large = Op(lambda x: x * 0 + 3e38)
    assert sentence_of(make_network, nn.Sequential(coarse(), large, Shortcut())) == (
        "The feature maps hold 80 numbers that are NaN or infinite (of 80); they first arise in the layer 2 (Shortcut) "
        "of the backbone.")


def test_a_backbone_without_layers_is_named_itself(make_network):
    class Bare(nn.Module):
        def forward(self, x):
            return x[:, :1, ::24, ::24].repeat(1, 5, 1, 1) / 0

    assert sentence_of(make_network, Bare()).endswith("they first arise in the backbone (Bare).")


def test_a_wrapper_around_one_model_is_left_out_of_the_name(make_network):
    class Wrapper(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, x):
            return self.model(x)

    wrapped = nn.Sequential(coarse(), Op(lambda x: x / 0))
    assert sentence_of(make_network, Wrapper(wrapped)).endswith("in the layer 1 (Op) of the backbone.")
    assert sentence_of(make_network, nn.Sequential(wrapped)).endswith("in the layer 0.1 (Op) of the backbone.")


@pytest.mark.parametrize("where", ["weight", "bias"])
def test_a_layer_with_damaged_numbers_of_its_own_is_said_to_have_them(make_network, where):
    backbone = nn.Sequential(coarse(), nn.Conv2d(5, 5, 1))
    getattr(backbone[1], where).data[2] = NAN
    assert sentence_of(make_network, backbone) == (
        "The feature maps hold 16 numbers that are NaN or infinite (of 80); they first arise in the layer 1 (Conv2d) "
        f"of the backbone, whose own {where} holds such numbers.")
    backbone[1].weight.data[2], backbone[1].bias.data[2] = INF, NAN
    assert sentence_of(make_network, backbone).endswith("whose own weight and bias hold such numbers.")


def test_a_batch_norms_damaged_statistics_are_seen(make_network):
    backbone = nn.Sequential(coarse(), nn.BatchNorm2d(5))
    backbone[1].running_var[0] = INF
    backbone[1].running_mean[0] = INF
    assert sentence_of(make_network, backbone).endswith(
        "in the layer 1 (BatchNorm2d) of the backbone, whose own running_mean and running_var hold such numbers.")


def test_what_is_infinite_on_purpose_and_goes_away_again_is_not_blamed(make_network):
    def attend(x):
        hidden = torch.full_like(x, -INF)
        hidden[..., 0] = 0
        return torch.softmax(x + hidden, -1) * x

    sound = nn.Sequential(coarse(), Op(attend))
    assert sentence_of(make_network, sound) is None
    assert sentence_of(make_network, nn.Sequential(*sound, Op(lambda x: x / 0))).endswith(
        "in the layer 2 (Op) of the backbone.")


def test_damage_that_is_mended_on_the_way_is_not_blamed(make_network):
    layers = [coarse(), Op(lambda x: x / 0), Op(lambda x: x.nan_to_num_(0, 0, 0)), Op(lambda x: x / 0)]
    assert sentence_of(make_network, nn.Sequential(*layers)).endswith("in the layer 3 (Op) of the backbone.")


def test_only_one_number_is_one_number(make_network):
    def one(x):
        x = x.clone()
        x[0, 0, 0, 0] /= 0
        return x

    sentence = sentence_of(make_network, nn.Sequential(coarse(), Op(one)))
    assert sentence == ("The feature maps hold 1 number that is NaN or infinite (of 80); it first arises in the layer "
                        "1 (Op) of the backbone.")


def test_numbers_that_numpy_writes_are_seen_too(make_network):
    def with_numpy(x):
        x.numpy()[:] = NAN
        return x

    assert sentence_of(make_network, nn.Sequential(coarse(), Op(with_numpy), nn.Tanh(), nn.Conv2d(5, 5, 1))).endswith(
        "they first arise in the layer 1 (Op) of the backbone.")


def test_a_backbone_that_fails_when_asked_again_is_named_as_a_part(make_network):
    class Moody(nn.Module):
        calls = 0

        def forward(self, x):
            self.calls += 1
            if self.calls > 1:
                raise RuntimeError("not again")
            return x[:, :1, ::24, ::24].repeat(1, 5, 1, 1) / 0

    assert sentence_of(make_network, Moody()).endswith("they first arise in the backbone.")


def test_an_input_that_is_not_finite_is_named_first(make_network):
    analysis = analyse(make_network(), patches())
    x = analysis.input.clone()
    x[0, 0, 0, 0] = NAN
    broken = Analysis(analysis.network, analysis.image, analysis.framing, x, analysis.network.backbone(x)[0], 0.0)
    assert trouble(broken.under()) == (
        "The feature maps hold 5 numbers that are NaN or infinite (of 80); they first arise in the network's input.")


def test_it_is_looked_for_once_and_told_under_every_pooling(make_network):
    network = make_network(activation=Op(lambda x: x / 0))
    analysis = analyse(network, patches())
    network.backbone.calls = 0
    sentences = {trouble(analysis.under(pooling)) for pooling in ("gap", "gmp", "gap")}
    assert len(sentences) == 1
    assert network.backbone.calls == 0  # a copy is run
    assert sentences.pop().endswith("in the layer activation (Op) of the backbone.")


LAYERS = ["conv_stem", "blocks.3.1.conv_pw", "conv_head"]


@pytest.mark.parametrize("layer", LAYERS)
def test_a_damaged_layer_of_the_bundled_network_is_found(network, examples, layer):
    backbone = copy.deepcopy(network.backbone)
    dict(backbone.model.named_modules())[layer].weight.data.flatten()[0] = NAN
    sentence = trouble(analyse(with_backbone(network, backbone), examples["cat"]).under())
    assert sentence.startswith("The feature maps hold ")
    assert " (of 62,720); they first arise in " in sentence
    assert f" in the layer {layer} (Conv2d" in sentence
    assert sentence.endswith(" of the backbone, whose own weight holds such numbers.")


# In the pooling and in the head.


def test_sums_too_large_in_the_pooling_are_its_own(make_network):
    maps = torch.zeros(5, 2, 2)
    maps[1] = 3e38
    assert trouble(analysis_of(make_network(), maps).under("gap")) == (
        "The pooled vector holds 1 number that is NaN or infinite (of 5); it first arises in the pooling GAP.")
    assert trouble(analysis_of(make_network(pooling="gmp"), maps / 1e10).under("gmp")) is None


def test_a_head_that_is_one_layer_is_named_with_its_damage(make_network):
    head = linear([[1.0, NAN], [1.0, 1.0]], [0.0, 0.0])
    assert trouble(analysis_of(make_network(head, classes=2, channels=2), torch.ones(2, 1, 1)).under("gap")) == (
        "The logits hold 1 number that is NaN or infinite (of 2); it first arises in the head (Linear), whose own "
        "weight holds such numbers.")


def test_a_layer_of_the_head_is_named(make_network):
    head = nn.Sequential(nn.Flatten(), nn.Linear(5, 5), Op(lambda y: y / 0), nn.Linear(5, 4))
    assert trouble(analysis_of(make_network(head), random_maps()).under("gap")) == (
        "The logits hold 4 numbers that are NaN or infinite (of 4); they first arise in the layer 2 (Op) of the head.")


# It disturbs nobody.


def test_threads_that_use_the_same_network_meanwhile_are_not_disturbed(make_network):
    network = make_network(activation=Op(lambda x: x / 0))
    x, y = torch.rand(1, 3, 96, 96), torch.rand(1, 5)
    expected, done, wrong = network.head(y), threading.Event(), []

    def use():
        while not done.is_set():
            if not torch.equal(network.head(y), expected) or not network.backbone(x).isinf().any():
                wrong.append(True)

    users = [threading.Thread(target=use) for _ in range(2)]
    for user in users:
        user.start()
    try:
        sentences = {trouble(analyse(network, patches(seed)).under()) for seed in range(20)}
    finally:
        done.set()
        for user in users:
            user.join()
    assert not wrong
    assert all(sentence.endswith("in the layer activation (Op) of the backbone.") for sentence in sentences)


def test_the_network_is_left_as_it_was(make_network):
    network = make_network(activation=Op(lambda x: x / 0))
    before = {name: tensor.clone() for name, tensor in network.backbone.state_dict().items()}
    trouble(analyse(network, patches()).under())
    assert all(torch.equal(before[name], tensor) for name, tensor in network.backbone.state_dict().items())
    for module in network.backbone.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
