"""Models as people write them: each is cut, answers as it did, and is left as it was."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from explorer.errors import ParameterError
from explorer.framing import Preprocessing
from explorer.networks import Network
from tests.explorer.own_models import (
    CHANNELS,
    CLASSES,
    BranchOnATensor,
    CountsItsCalls,
    Does,
    GeM,
    LearnedMix,
    ReluAndPoolingAsFunctions,
    ReturnsEarly,
    Small,
    apart,
    inputs,
    network_of,
    seeded,
    two_layers,
    worst,
)


class MeanOfMean(Small):
    def pooled(self, x: Tensor) -> Tensor:
        return self.maps(x).mean(-1).mean(-1)


class MeanOverFlattenedPositions(Small):
    def pooled(self, x: Tensor) -> Tensor:
        batch, channels, rows, columns = (maps := self.maps(x)).shape
        return maps.reshape(batch, channels, rows * columns).permute(0, 2, 1).mean(1)


class MaximumOfAWindowAsLargeAsTheMaps(Small):
    def pooled(self, x: Tensor) -> Tensor:
        maps = self.maps(x)
        return functional.max_pool2d(maps, maps.size()[2:]).view(maps.shape[0], maps.shape[1])


class ReluInPlaceAfterTheLastBlock(Small):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.pool(functional.relu(self.block[0](self.stem(x)), inplace=True)).flatten(1))


class AssertsTheShape(Small):
    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[1] == 3
        return super().forward(x)


class RefusesOtherChannels(Small):
    """As Hugging Face's ResNet does: torch.fx cannot trace it."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] != self.stem[0].in_channels:
            raise ValueError("other channels")
        return super().forward(x)


class Prints(Small):
    def forward(self, x: Tensor) -> Tensor:
        print("seen", end="")
        return super().forward(x)


class GivesADictionary(Small):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        maps = self.maps(x)
        return {"features": maps, "logits": self.fc(self.pool(maps).flatten(1))}


class GivesTwoHeads(Small):
    def __init__(self) -> None:
        super().__init__()
        self.second = nn.Linear(CHANNELS, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        pooled = self.pooled(x)
        return self.fc(pooled), self.second(pooled)


@dataclass
class Answer:
    logits: Tensor
    loss: Tensor | None = None


class GivesADataclass(Small):
    def forward(self, x: Tensor) -> Answer:
        return Answer(super().forward(x))


def _softpool(maps: Tensor) -> Tensor:
    return (maps.exp() * maps).sum((2, 3)) / maps.exp().sum((2, 3))


WRITTEN: dict[str, tuple[Callable[[], nn.Module], str, str]] = {
    "functions": (ReluAndPoolingAsFunctions, "gap", "affine"),
    "mean of mean": (MeanOfMean, "gap", "affine"),
    "mean over flattened positions": (MeanOverFlattenedPositions, "gap", "affine"),
    "maximum of a window": (MaximumOfAWindowAsLargeAsTheMaps, "gmp", "affine"),
    "ReLU in place": (ReluInPlaceAfterTheLastBlock, "gap", "affine"),
    "branch on a tensor": (BranchOnATensor, "gap", "affine"),
    "returns early": (ReturnsEarly, "gap", "affine"),
    "refuses": (RefusesOtherChannels, "gap", "affine"),
    "asserts": (AssertsTheShape, "gap", "affine"),
    "prints": (Prints, "gap", "affine"),
    "counts": (CountsItsCalls, "gap", "affine"),
    "dictionary": (GivesADictionary, "gap", "affine"),
    "two heads": (GivesTwoHeads, "gap", "affine"),
    "dataclass": (GivesADataclass, "gap", "affine"),
    "maximum": (lambda: Small(nn.AdaptiveMaxPool2d(1)), "gmp", "affine"),
    "GeM 3": (lambda: Small(GeM(3.0)), "gem", "affine"),
    "GeM 2.7": (lambda: Small(GeM(2.7)), "gem", "affine"),
    "SoftPool": (lambda: Small(Does(_softpool)), "softpool", "affine"),
    "mix": (lambda: Small(LearnedMix(0.25)), "mixed", "affine"),
    "GeM with a branch": (lambda: BranchOnATensor(GeM(4.5)), "gem", "affine"),
    "two layers": (lambda: Small(head=two_layers()), "gap", "nonlinear"),
    "two layers with a branch": (lambda: BranchOnATensor(head=two_layers()), "gap", "nonlinear"),
    "BatchNorm1d": (lambda: Small(head=nn.Sequential(nn.BatchNorm1d(CHANNELS), nn.Linear(CHANNELS, CLASSES))), "gap",
                    "affine"),
    "LayerNorm": (lambda: Small(head=nn.Sequential(nn.LayerNorm(CHANNELS), nn.Linear(CHANNELS, CLASSES))), "gap",
                  "affine"),
    "lengths of one": (lambda: Small(head=nn.Sequential(Does(functional.normalize), nn.Linear(CHANNELS, CLASSES))),
                       "gap", "affine"),
}


def _logits(answer: object) -> Tensor:
    """What the models above mean by their answer."""
    if isinstance(answer, dict):
        return answer["logits"]
    if isinstance(answer, tuple):
        return answer[0]
    return answer.logits if isinstance(answer, Answer) else answer


@pytest.mark.parametrize("name", WRITTEN)
def test_a_model_as_people_write_it_is_cut_and_gives_its_logits_at_any_size_and_in_a_batch(name):
    make, pooling, kind = WRITTEN[name]
    model = seeded(make)
    network = network_of(model)
    assert (network.pooling.key, network.head_kind) == (pooling, kind)
    # One at a time too, because a model may branch on the whole batch.
    photos = [*inputs(batch=4)[:, None], *inputs(40, 56, batch=3)[:, None], inputs(batch=3)]
    for x in photos:
        with torch.no_grad():
            expected = _logits(model(x))
        assert worst(apart(network, x), expected) <= 1e-5
        assert worst(network(x), expected) <= 1e-5


@pytest.mark.parametrize("p", [1.5, 2.7, 3.0, 8.25])
def test_gems_power_is_found(p):
    assert network_of(seeded(lambda: Small(GeM(p)))).pooling_parameters["p"] == pytest.approx(p, abs=1e-3)


def test_grey_images_and_any_number_of_classes():
    model = seeded(lambda: Small(head=nn.Linear(CHANNELS, 17), channels=1))
    network = Network.from_module(model, Preprocessing(size=32, mean=(0.5,), std=(0.25,)))
    x = inputs(channels=1)
    with torch.no_grad():
        assert worst(apart(network, x), model(x)) <= 1e-5
    assert len(network.class_names) == 17
    assert network.activation == "softmax"


def test_a_single_logit_is_read_by_sigmoid():
    model = seeded(lambda: Small(head=nn.Linear(CHANNELS, 1)))
    network = network_of(model)
    x = inputs(batch=3)
    with torch.no_grad():
        torch.testing.assert_close(network.probabilities(network(x)), model(x).sigmoid())
    assert network.class_names == ("positive",)


@pytest.mark.parametrize("names", [["a"], ["a", "b", "c", "d", "e"], []])
def test_names_that_are_not_as_many_as_the_classes_are_refused(names):
    with pytest.raises(ParameterError, match="expected 4"):
        network_of(seeded(Small), class_names=names)


# The caller's model


@pytest.mark.parametrize("make", [Small, BranchOnATensor, CountsItsCalls, lambda: Small(head=two_layers())])
def test_nothing_of_the_callers_model_changes(make):
    model = seeded(make).train()
    model.stem[0].weight.requires_grad_(False)
    model.stem[1].eval()
    seen: list[int] = []
    model.block.register_forward_hook(lambda module, arguments, output: seen.append(1) and None)
    state = copy.deepcopy(model.state_dict())
    flags = [(name, item.requires_grad, item.data_ptr()) for name, item in model.named_parameters()]
    modes = {name: module.training for name, module in model.named_modules()}
    held = {name: sorted(vars(module)) for name, module in model.named_modules()}
    hooks = {name: list(module._forward_hooks) for name, module in model.named_modules()}

    network = network_of(model)
    network(inputs())
    network.layers.answer(inputs(), "stem", network.layers.maps(inputs(), "stem"))

    assert all(torch.equal(item, state[name]) for name, item in model.state_dict().items())
    assert [(name, item.requires_grad, item.data_ptr()) for name, item in model.named_parameters()] == flags
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert {name: sorted(vars(module)) for name, module in model.named_modules()} == held
    assert {name: list(module._forward_hooks) for name, module in model.named_modules()} == hooks
    assert vars(model).get("calls", 0) == 0
    assert not any(item.grad is not None for item in model.parameters())


def test_weights_are_shared_and_not_copied():
    model = seeded(Small)
    network = network_of(model)
    own = {item.data_ptr() for item in model.parameters()}
    assert {item.data_ptr() for item in network.head.parameters()} <= own
    x, before = inputs(), network_of(model)(inputs())
    with torch.no_grad():
        model.fc.bias += 1
        torch.testing.assert_close(network(x), before + 1)


def test_a_model_in_half_precision_is_run_in_single_precision_and_left_as_it_is():
    model = seeded(Small).half()
    single = copy.deepcopy(model).float()
    network = network_of(model)
    with torch.no_grad():
        assert worst(apart(network, inputs()), single(inputs())) <= 1e-5
    assert all(item.dtype == torch.float16 for item in model.parameters())


def test_a_model_in_training_mode_answers_as_in_evaluation():
    model = seeded(lambda: Small(head=two_layers()))
    with torch.no_grad():
        expected = model(inputs())
    assert worst(network_of(model.train())(inputs()), expected) <= 1e-5


def test_a_model_that_still_holds_activations_of_a_training_step_is_copied_without_their_graph():
    class Keeps(Small):
        def forward(self, x: Tensor) -> Tensor:
            self.last = self.maps(x)
            return self.fc(self.pool(self.last).flatten(1))

    model = seeded(Keeps)
    model(inputs())
    last = model.last
    assert network_of(model).pooling.key == "gap"
    assert model.last is last
    assert last.grad_fn is not None
    with torch.no_grad():
        model(inputs())
    assert network_of(model).pooling.key == "gap"


@pytest.mark.parametrize("wrap", [
    nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm, nn.utils.spectral_norm])
def test_weights_that_are_computed_are_followed(wrap):
    model = seeded(lambda: Small(head=wrap(nn.Linear(CHANNELS, CLASSES))))
    network = network_of(model)
    assert (network.pooling.key, network.head_kind) == ("gap", "affine")
    with torch.no_grad():
        assert worst(apart(network, inputs()), model(inputs())) <= 1e-5


def test_a_network_can_be_made_of_a_networks_own_model_again():
    model = seeded(Small)
    again = network_of(network_of(model).layers.model)
    with torch.no_grad():
        assert worst(again(inputs()), model(inputs())) <= 1e-5
        torch.testing.assert_close(again.backbone(inputs()), model.maps(inputs()))


def test_a_digest_tells_weights_and_nothing_else():
    assert network_of(seeded(Small)).digest == network_of(seeded(Small).train()).digest
    assert network_of(seeded(Small)).digest != network_of(seeded(Small, 1)).digest
