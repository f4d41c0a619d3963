"""A head written out as a chain of plain modules: it must be the same function, or not be written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from explorer.networks import Network
from explorer.networks.cutting.head_chain import chain_of
from explorer.networks.head import head_kind, hold
from tests.explorer.own_models import CHANNELS, CLASSES, Does, Small, apart, inputs, network_of, seeded, worst

LAST = (9, CLASSES)


def vectors(batch: int = 1, seed: int = 3) -> Tensor:
    """(batch, 8), of both signs and of several lengths."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, CHANNELS, generator=generator) * 3


def with_activation(activation: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(CHANNELS, 9), activation, nn.Linear(*LAST))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.last = nn.Linear(CHANNELS, CHANNELS), nn.Linear(CHANNELS, CLASSES)

    def forward(self, y: Tensor) -> Tensor:
        return self.last(y + self.inner(y).relu())


class ResidualTurned(Residual):
    def forward(self, y: Tensor) -> Tensor:
        return self.last(self.inner(y) + y)


class Gated(Residual):
    def forward(self, y: Tensor) -> Tensor:
        return self.last(y * self.inner(y).sigmoid())


class WeightsFromTheVector(nn.Module):
    """A Linear whose weights another makes of the same vector: they must not be taken for constants."""

    def __init__(self) -> None:
        super().__init__()
        self.maker = nn.Linear(CHANNELS, CLASSES * CHANNELS)

    def forward(self, y: Tensor) -> Tensor:
        flat = y.flatten(1)
        return functional.linear(flat, self.maker(y)[0].view(CLASSES, CHANNELS))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.last = nn.Linear(CHANNELS, CHANNELS), nn.Linear(CHANNELS, CLASSES)

    def forward(self, y: Tensor) -> Tensor:
        return self.last(functional.linear(self.one(y), self.one.weight.T))


class UnitWeights(nn.Module):
    """Weights of length one, a scale, and no bias."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(CLASSES, CHANNELS))

    def forward(self, y: Tensor) -> Tensor:
        return functional.linear(y, functional.normalize(self.weight))


class ThroughViews(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(CHANNELS, 9, 1), nn.Linear(*LAST)

    def forward(self, y: Tensor) -> Tensor:
        y = functional.dropout(y, 0.5, self.training).view(len(y), -1, 1, 1)
        return self.last(functional.hardswish(self.first(y)).mean((2, 3)).reshape(len(y), -1).contiguous())


AFFINE = {
    "Linear": lambda: nn.Linear(CHANNELS, CLASSES),
    "no bias": lambda: nn.Linear(CHANNELS, CLASSES, bias=False),
    "identity": lambda: nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.Identity()),
    "two Linears": lambda: nn.Sequential(nn.Linear(CHANNELS, 9), nn.Linear(*LAST)),
    "BatchNorm1d of unusual eps": lambda: nn.Sequential(nn.BatchNorm1d(CHANNELS, eps=0.3),
                                                        nn.Linear(CHANNELS, CLASSES)),
    "BatchNorm1d without weights": lambda: nn.Sequential(nn.BatchNorm1d(CHANNELS, affine=False),
                                                         nn.Linear(CHANNELS, CLASSES)),
    "LayerNorm of unusual eps": lambda: nn.Sequential(nn.LayerNorm(CHANNELS, eps=0.3), nn.Linear(CHANNELS, CLASSES)),
    "LayerNorm without bias": lambda: nn.Sequential(nn.LayerNorm(CHANNELS, bias=False), nn.Linear(CHANNELS, CLASSES)),
    "LayerNorm without weights": lambda: nn.Sequential(nn.LayerNorm(CHANNELS, elementwise_affine=False),
                                                       nn.Linear(CHANNELS, CLASSES)),
    "tied": Tied,
    "unit weights": UnitWeights,
    "scaled": lambda: nn.Sequential(Does(lambda y: 3 * y), nn.Linear(CHANNELS, CLASSES)),
    "scaled after": lambda: nn.Sequential(nn.Linear(CHANNELS, CLASSES), Does(lambda y: y * 3)),
    "shifted": lambda: nn.Sequential(Does(lambda y: y + 1), nn.Linear(CHANNELS, CLASSES)),
    "length one": lambda: nn.Sequential(Does(functional.normalize), nn.Linear(CHANNELS, CLASSES)),
}
NONLINEAR = {
    "residual": Residual,
    "residual turned": ResidualTurned,
    "gated": Gated,
    "through views": ThroughViews,
    "GroupNorm": lambda: nn.Sequential(nn.GroupNorm(2, CHANNELS), nn.Linear(CHANNELS, CLASSES)),
    "LayerNorm of halves": lambda: nn.Sequential(nn.Unflatten(1, (2, 4)), nn.LayerNorm(4), nn.Flatten(),
                                                 nn.Linear(CHANNELS, CLASSES)),
    "LayerNorm of one channel": lambda: nn.Sequential(nn.Unflatten(1, (CHANNELS, 1)), nn.LayerNorm(1, eps=0.1),
                                                      nn.Flatten(), nn.Linear(CHANNELS, CLASSES)),
    "grouped convolution": lambda: nn.Sequential(nn.Unflatten(1, (CHANNELS, 1, 1)), nn.Conv2d(CHANNELS, 4, 1, groups=2),
                                                 nn.Flatten()),
    "turned round": lambda: nn.Sequential(Does(lambda y: y.flip(1)), nn.Linear(CHANNELS, CLASSES)),
    "a part of it": lambda: nn.Sequential(Does(lambda y: y[:, 2:6]), nn.Linear(4, CLASSES)),
    "sorted": lambda: nn.Sequential(Does(lambda y: y.sort(1).values), nn.Linear(CHANNELS, CLASSES)),
} | {
    repr(activation): lambda activation=activation: with_activation(activation) for activation in (
        nn.ReLU(inplace=True), nn.LeakyReLU(0.3), nn.GELU("tanh"), nn.Hardtanh(-2, 2), nn.ELU(0.5), nn.PReLU(9),
        nn.RReLU(), nn.Softplus(2), nn.Threshold(0.1, 0.5), nn.Hardswish(inplace=True), nn.Softshrink(0.7))
}


@pytest.mark.parametrize("name", AFFINE)
def test_a_head_of_plain_parts_is_written_out_as_an_affine_chain_of_the_same_function(name):
    head = seeded(AFFINE[name])
    chain = chain_of(head, vectors())
    assert chain is not None
    assert head_kind(chain) == "affine"
    with torch.no_grad():
        torch.testing.assert_close(chain(vectors(6, seed=4)), head(vectors(6, seed=4)))
    check_cut(AFFINE[name])


@pytest.mark.parametrize("name", [name for name in AFFINE if name != "identity"])
def test_the_slopes_of_the_chain_are_the_heads_own_at_the_vector(name):
    head, y = seeded(AFFINE[name]), vectors(seed=5)[0]
    slopes, baselines = hold(chain_of(head, vectors()), y, range(CLASSES))
    with torch.no_grad():
        torch.testing.assert_close(slopes @ y + baselines, head(y[None])[0], atol=1e-5, rtol=1e-5)
    if "LayerNorm" not in name and name != "length one":  # what is held has no part in the slopes
        torch.testing.assert_close(slopes, torch.autograd.functional.jacobian(lambda v: head(v[None])[0], y),
                                   atol=1e-5, rtol=1e-5)


def check_cut(head) -> Network:
    """The network of a model with that head, whose parts must give the model's logits."""
    model = seeded(lambda: Small(head=head()))
    network = network_of(model)
    for x in (2 * inputs(batch=1), inputs(40, 56) - 1):
        with torch.no_grad():
            expected = model(x)
            assert worst(network(x), expected) <= 1e-5
            if network.pooling:
                assert worst(apart(network, x), expected) <= 1e-5
    return network


@pytest.mark.parametrize("name", NONLINEAR)
def test_a_head_that_is_not_affine_in_plain_parts_is_never_called_affine(name):
    head = seeded(NONLINEAR[name])
    chain = chain_of(head, vectors())
    if chain is not None and head_kind(chain) == "affine":
        with torch.no_grad():
            torch.testing.assert_close(chain(vectors(6, seed=4)), head(vectors(6, seed=4)))
        pytest.fail("an affine chain of a head that is not affine")
    network = check_cut(NONLINEAR[name])
    assert network.head_kind == ("none" if network.pooling is None else "nonlinear")


def test_weights_made_of_the_vector_itself_are_not_constants():
    head = seeded(WeightsFromTheVector)
    chain = chain_of(head, vectors())
    if chain is not None:  # the caller compares it: `chain_of` alone may be wrong, a network may not
        assert worst(chain(vectors(seed=8)), head(vectors(seed=8)).detach()) > 0.1
    model = seeded(lambda: Small(head=WeightsFromTheVector()))
    network = network_of(model)
    assert network.head_kind != "affine"
    with torch.no_grad():
        assert worst(network(inputs(seed=9) + 1), model(inputs(seed=9) + 1)) <= 1e-5


def test_the_chain_shares_the_heads_weights():
    head = seeded(lambda: nn.Sequential(nn.LayerNorm(CHANNELS), nn.Linear(CHANNELS, CLASSES)))
    chain = chain_of(head, vectors())
    assert {item.data_ptr() for item in chain.parameters()} == {item.data_ptr() for item in head.parameters()}
    assert not any(item.requires_grad for item in chain.parameters())
    assert all(item.requires_grad for item in head.parameters())


def test_a_frozen_batch_norm_is_held_at_its_running_statistics_by_hand():
    norm = nn.BatchNorm1d(2, eps=0.0).eval()
    norm.running_mean[:] = torch.tensor([1.0, -1.0])
    norm.running_var[:] = torch.tensor([4.0, 0.25])
    norm.weight.data, norm.bias.data = torch.tensor([2.0, 3.0]), torch.tensor([0.5, 1.0])
    last = nn.Linear(2, 1, bias=False)
    last.weight.data = torch.tensor([[10.0, 1.0]])
    chain = chain_of(nn.Sequential(norm, last), torch.tensor([[3.0, 4.0]]))
    slopes, baselines = hold(chain, torch.tensor([3.0, 4.0]), [0])
    # 10 * (2 * (y0 - 1) / 2 + 0.5) + 3 * (y1 + 1) / 0.5 + 1 = 10 y0 + 6 y1 + 2
    assert slopes.tolist() == [[10.0, 6.0]]
    assert baselines.tolist() == [pytest.approx(2.0)]


def test_statistics_of_the_batch_itself_are_not_held():
    head = seeded(lambda: nn.Sequential(nn.BatchNorm1d(CHANNELS, track_running_stats=False),
                                        nn.Linear(CHANNELS, CLASSES)))
    assert chain_of(head, vectors(4)) is None
