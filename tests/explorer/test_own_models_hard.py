"""Models as people write them that are hard to cut: what must not go wrong in silence."""

from __future__ import annotations

import contextlib
import copy
import io

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from explorer.errors import NetworkError, ParameterError
from explorer.framing import Preprocessing
from explorer.networks import Network
from explorer.networks.cutting.splitting import NoGlobalPooling, split_at_global_pool
from tests.explorer.own_models import (
    CHANNELS,
    CLASSES,
    BranchOnATensor,
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


class Branching(Small):
    """What is seen in the input decides which of two heads answers."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Linear(CHANNELS, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.pooled(x)
        return self.fc(pooled) if x.mean() > 0 else self.other(pooled)


def test_a_head_that_is_chosen_by_the_input_is_not_replaced_by_one_of_two():
    model = seeded(Branching)
    network = network_of(model)
    for x in (inputs() + 1, inputs() - 1):
        with torch.no_grad():
            assert worst(network(x), model(x)) <= 1e-5


def test_an_average_after_a_relu_is_not_called_gem():
    model = seeded(Small)
    split = split_at_global_pool(model, inputs(), "block.0")
    assert split.pooling.key == "gap"
    with torch.no_grad():
        assert worst(split(inputs(seed=3)), model(inputs(seed=3))) <= 1e-5


def test_alexnet_flattens_at_other_sizes_than_its_own_too():
    network = Network.from_module(seeded(lambda: torchvision.models.alexnet(num_classes=3)), Preprocessing(size=128))
    assert "flattens" in network.reason


class Squeezes(Small):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.pool(self.maps(x)).squeeze())


def test_a_model_that_squeezes_its_batch_of_one_has_as_many_classes_as_its_head():
    assert len(network_of(seeded(Squeezes)).class_names) == CLASSES


def test_a_model_that_squeezes_its_only_logit_is_read():
    model = seeded(lambda: nn.Sequential(Small(head=nn.Linear(CHANNELS, 1)), Does(torch.squeeze)))
    assert network_of(model)(inputs()).tolist() == [[pytest.approx(float(model(inputs())))]]


def test_one_logit_without_an_axis_of_classes_is_cut_too():
    network = network_of(seeded(lambda: nn.Sequential(Small(head=nn.Linear(CHANNELS, 1)), nn.Flatten(0))))
    assert network.pooling is not None


@pytest.mark.parametrize("save", [torch.jit.script, lambda model: torch.jit.trace(model, inputs())])
def test_a_torchscript_program_is_cut_and_gives_its_logits(save):
    model, file = seeded(Small), io.BytesIO()
    torch.jit.save(save(model), file)
    network = network_of(torch.jit.load(io.BytesIO(file.getvalue())))
    assert (network.pooling.key, network.head_kind, network.preprocessing.fixed) == ("gap", "affine", False)
    for x in (inputs(batch=3), inputs(40, 56)):
        with torch.no_grad():
            assert worst(apart(network, x), model(x)) <= 1e-5
            assert worst(network(x), model(x)) <= 1e-5


class BranchesInTorchScript(Small):
    def forward(self, x: Tensor) -> Tensor:
        y = self.pool(self.block(self.stem(x))).flatten(1)
        if bool(x.mean() > 0):
            y = 2 * y
        return self.fc(y)


def test_a_torchscript_program_that_branches_is_not_cut_at_one_of_its_branches():
    model = seeded(BranchesInTorchScript)
    with pytest.raises(NoGlobalPooling):
        network_of(torch.jit.script(model))


class MayAlsoTrain(ReluAndPoolingAsFunctions):
    """As Hugging Face's models are called."""

    def forward(self, x: Tensor, targets: Tensor | None = None) -> Tensor:
        logits = super().forward(x)
        return logits if targets is None else functional.cross_entropy(logits, targets)


class MayGiveFeatures(ReluAndPoolingAsFunctions):
    def forward(self, x: Tensor, features: bool = False) -> Tensor:
        return self.maps(x) if features else super().forward(x)


@pytest.mark.parametrize("make", [MayAlsoTrain, MayGiveFeatures])
def test_an_argument_with_a_default_does_not_stop_the_trace(make):
    assert network_of(seeded(make)).pooling.key == "gap"


@pytest.mark.parametrize("share", [1 / 3, 0.54983])
def test_a_mix_whose_share_was_trained_is_cut(share):
    network = network_of(seeded(lambda: Small(LearnedMix(share))))
    assert network.pooling.key == "mixed"


def test_gem_with_a_trained_power_gives_the_models_logits_on_other_photos():
    model = seeded(lambda: Small(GeM(1.2345501)))
    network = network_of(model)
    assert network.pooling.key == "gem"
    for x in 3 * inputs(64, 64, batch=8)[:, None]:
        with torch.no_grad():
            assert worst(apart(network, x), model(x)) <= 1e-5


def test_gem_before_a_nonlinear_head_is_gem():
    assert network_of(seeded(lambda: Small(GeM(3.0), two_layers()))).pooling.key == "gem"


@pytest.mark.parametrize("pool", [nn.AvgPool2d(8), Does(lambda maps: maps.sum((2, 3)) / 64)])
def test_what_is_an_average_at_one_size_alone_is_not_taken_for_a_global_one_at_others(pool):
    class OfTheCorner(Small):
        def pooled(self, x: Tensor) -> Tensor:
            pooled = self.pool(self.maps(x))
            return pooled if pooled.ndim == 2 else pooled[:, :, 0, 0]

    model = seeded(lambda: OfTheCorner(pool))
    network = network_of(model)
    if not network.preprocessing.fixed:
        with torch.no_grad():
            assert worst(network(inputs(48, 48)), model(inputs(48, 48))) <= 1e-5


@pytest.mark.parametrize("make", [
    lambda: Small(nn.Flatten(), nn.Linear(CHANNELS * 64, CLASSES)),
    lambda: Small(nn.Conv2d(CHANNELS, CHANNELS, 8, groups=CHANNELS))])
def test_a_network_that_flattens_takes_its_own_size_alone(make):
    assert network_of(seeded(make)).preprocessing.fixed


class LeavesTrainWithoutItself(Small):
    """As detectors freeze their normalisations: `train` returns nothing, so `eval()` does neither."""

    def train(self, mode: bool = True) -> None:
        super().train(mode)
        self.stem[1].eval()


def test_a_model_whose_train_returns_nothing_is_cut():
    model = LeavesTrainWithoutItself()
    model.eval()
    assert network_of(model).pooling.key == "gap"


def test_a_model_with_weights_that_wait_for_their_shape_is_refused_in_a_sentence():
    with pytest.raises(NetworkError):
        network_of(Small(head=nn.LazyLinear(CLASSES)))


class ChecksItsNumbers(Small):
    def forward(self, x: Tensor) -> Tensor:
        if not torch.isfinite(maps := self.maps(x)).all():
            raise ValueError("these maps are not finite")
        return self.fc(self.pool(maps).flatten(1))


def test_a_model_that_checks_its_numbers_is_cut():
    assert network_of(seeded(ChecksItsNumbers)).pooling.key == "gap"


class CountsInABuffer(Small):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.seen += 1
        return super().forward(x)


def test_a_buffer_that_a_model_writes_in_its_forward_stays_the_callers():
    model = seeded(CountsInABuffer)
    network_of(model)
    assert float(model.seen) == 0


class HoldsItself(nn.Module):
    """A lambda made in __init__ means the original's modules, whatever is copied."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, CHANNELS, 4, 4), nn.BatchNorm2d(CHANNELS)
        self.fc = nn.Linear(CHANNELS, CLASSES)
        self.features = lambda x: self.norm(self.convolution(x)).relu()

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x).mean((2, 3)))


def test_a_model_that_holds_a_lambda_of_itself_keeps_its_statistics():
    model = seeded(HoldsItself).train()
    before = copy.deepcopy(model.state_dict())
    with contextlib.suppress(NetworkError):  # to refuse it would do as well
        network_of(model)
    assert all(torch.equal(item, before[name]) for name, item in model.state_dict().items())


@pytest.mark.parametrize(("classes", "last"), [(CLASSES, nn.Softmax(1)), (1, nn.Sigmoid())])
def test_a_model_that_ends_in_probabilities_keeps_them(classes, last):
    model = seeded(lambda: nn.Sequential(Small(head=nn.Linear(CHANNELS, classes)), last))
    network = network_of(model)
    with torch.no_grad():
        torch.testing.assert_close(network.probabilities(network(inputs())), model(inputs()))


def _quiet_in_noise() -> nn.Module:
    """Maximum pooling, and maps that are zero for random numbers and not for brighter photos."""
    model = Small(nn.AdaptiveMaxPool2d(1))
    model.block[0].bias.data -= 2
    return model


def test_a_pooling_is_not_told_from_maps_on_which_all_agree():
    model = seeded(_quiet_in_noise)
    network, x = network_of(model), 8 * inputs()
    with torch.no_grad():
        assert float(model.maps(inputs()).abs().max()) == 0
        assert float(model.maps(x).abs().max()) > 0
        assert worst(network(x), model(x)) <= 1e-5


@pytest.mark.parametrize("activation", [nn.LeakyReLU(0.3), nn.ReLU6(), nn.PReLU(), nn.ELU()])
def test_a_model_that_cannot_be_traced_may_have_any_activation_in_its_head(activation):
    head = nn.Sequential(nn.Linear(CHANNELS, 9), activation, nn.Linear(9, CLASSES))
    assert network_of(seeded(lambda: BranchOnATensor(head=head))).pooling is not None


class EndsInAReluInPlace(ReturnsEarly):
    """A ReLU in place after the last block, in a model that cannot be traced."""

    def maps(self, x: Tensor) -> Tensor:
        return functional.relu(self.block[0](self.stem(x)), inplace=True)


def test_a_model_that_cannot_be_traced_may_end_in_a_relu_in_place():
    assert network_of(seeded(EndsInAReluInPlace)).pooling is not None


@pytest.mark.parametrize("module", ["resnet18", Small, None])
def test_what_is_no_module_is_refused_in_a_sentence(module):
    with pytest.raises(NetworkError):
        network_of(module)


def test_one_name_for_as_many_classes_as_it_has_letters_is_refused():
    with pytest.raises(ParameterError):
        network_of(seeded(Small), class_names="cats")
