"""A head or a backbone that has lost what it learned, against networks that really hold the drawn weights."""

from __future__ import annotations

import copy
import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from explorer import analyse
from explorer.errors import MethodError, ParameterError, StoppedError
from explorer.networks import Network
from explorer.questions.randomisation import FALLEN_APART, randomisation, rank_correlation
from explorer.questions.redrawn_network import drawn_anew, redrawn
from tests.explorer.own_models import BranchOnATensor, Small, network_of, seeded, two_layers
from tests.explorer.tiny import analysis_of, linear, random_maps, with_backbone


def forgetful(module: nn.Module, seed: int) -> nn.Module:
    """A real copy with the weights of that drawing, whose batch normalisations of maps go by what they are given."""
    copied = copy.deepcopy(module)
    for number, weights in enumerate(copied.parameters()):
        if weights.numel() > 1:
            weights.data = drawn_anew(weights.data, seed, number)
    for item in copied.modules():
        if isinstance(item, nn.BatchNorm2d):
            item.train()
            item.track_running_stats, item.running_mean, item.running_var = False, None, None
    return copied


def state(network: Network) -> dict[str, tuple[int, Tensor]]:
    """What would tell that a network was changed: its tensors, and how often each was written to."""
    parts = {"backbone": network.backbone, "head": network.head}
    return {f"{part}.{name}": (item._version, item.clone())
            for part, module in parts.items() for name, item in module.state_dict().items()}


def unchanged(network: Network, before: dict[str, tuple[int, Tensor]]) -> bool:
    after = state(network)
    modules = [*network.backbone.modules(), *network.head.modules()]
    return (after.keys() == before.keys() and not any(module.training for module in modules)
            and all(version == after[name][0] and torch.equal(item, after[name][1])
                    for name, (version, item) in before.items()))


# What is drawn.


def test_weights_are_drawn_with_their_own_mean_and_spread_and_never_twice_alike():
    weights = 3 + 0.5 * torch.randn(200, 300, generator=torch.Generator().manual_seed(1))
    drawn = drawn_anew(weights, 7, 0)
    assert drawn.shape == weights.shape
    assert float(drawn.mean()) == pytest.approx(float(weights.mean()), abs=0.01)  # five standard errors
    assert float(drawn.std()) == pytest.approx(float(weights.std()), abs=0.01)
    assert torch.equal(drawn, drawn_anew(weights, 7, 0))
    others = [weights, drawn_anew(weights, 8, 0), drawn_anew(weights, 7, 1)]
    for other in others:
        assert abs(np.corrcoef(drawn.flatten(), other.flatten())[0, 1]) < 0.02
    assert torch.equal(drawn_anew(torch.full((3, 4), 2.5), 0, 0), torch.full((3, 4), 2.5))


def map_of(outcome, index: int, kind: str) -> np.ndarray:
    cells = outcome.evidence(index).cells if kind == "evidence" else outcome.cam(kind, index)
    return cells.detach().double().numpy()


@pytest.mark.parametrize(("part", "kind", "pooling"), [
    ("head", "evidence", "gmp"), ("head", "grad_cam", "attention"), ("head", "ablation_cam", "gap"),
    ("backbone", "evidence", "gem"), ("backbone", "layer_cam", "gap"), ("backbone", "score_cam", "gap"),
])
def test_maps_are_those_of_a_network_that_really_holds_the_drawn_weights(make_network, examples, part, kind, pooling):
    network = make_network()
    analysis = analyse(network, examples["cat"])
    for seed in (4, 5):
        other = dataclasses.replace(network, **{part: forgetful(getattr(network, part), seed)})
        expected = map_of(analyse(other, examples["cat"]).under(pooling), 2, kind)
        drawn = map_of(redrawn(analysis.under(pooling), part, seed), 2, kind)
        np.testing.assert_allclose(drawn, expected, rtol=1e-4, atol=1e-5)
        assert not np.allclose(drawn, map_of(analysis.under(pooling), 2, kind), atol=1e-3)


class Normalised(nn.Module):
    """Convolutions with batch normalisation of maps."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Sequential(nn.Conv2d(3, 6, 8, 8), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 5, 3, 2, 1))
        self.last = nn.BatchNorm2d(5)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.maps(x)).relu()


def test_batch_normalisation_of_a_drawn_backbone_goes_by_the_photo(make_network, examples):
    backbone = seeded(Normalised)
    head = seeded(lambda: nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 4)))
    network = dataclasses.replace(make_network(head), backbone=backbone)
    outcome = analyse(network, examples["cat"]).under()
    other = analyse(with_backbone(network, Evaluated(forgetful(backbone, 0))), examples["cat"]).under()
    for drawn in (outcome, analyse(with_backbone(network, torch.fx.symbolic_trace(backbone)), examples["cat"]).under(),
                  analyse(with_backbone(network, as_functions(backbone)), examples["cat"]).under()):
        np.testing.assert_allclose(map_of(redrawn(drawn, "backbone", 0), 1, "evidence"), map_of(other, 1, "evidence"),
                                   rtol=1e-4, atol=1e-5)
    # The head's keeps its statistics: of one vector there are none.
    other = analyse(dataclasses.replace(network, head=forgetful(head, 0)), examples["cat"]).under()
    np.testing.assert_allclose(map_of(redrawn(outcome, "head", 0), 1, "evidence"), map_of(other, 1, "evidence"),
                               rtol=1e-4, atol=1e-5)


class CallsAFunction(nn.Module):
    """A batch normalisation that a tracer goes into."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias
        self.register_buffer("mean", norm.running_mean)
        self.register_buffer("var", norm.running_var)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.batch_norm(x, self.mean, self.var, self.weight, self.bias)


def as_functions(backbone: Normalised) -> nn.Module:
    """The backbone as a graph in which its normalisations are calls of a function."""
    copied = copy.deepcopy(backbone)
    copied.maps[1], copied.last = CallsAFunction(copied.maps[1]), CallsAFunction(copied.last)
    return torch.fx.symbolic_trace(copied)


class Evaluated(nn.Module):
    """A module that `eval()` does not reach: it keeps going by what it is given."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def train(self, mode: bool = True) -> Evaluated:
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x)


@pytest.mark.parametrize("make", [lambda: Small(head=two_layers()), BranchOnATensor])
def test_networks_cut_in_any_way_forget(examples, make):
    # The last cannot be traced: its backbone is the whole model, run up to a module.
    network = network_of(seeded(make))
    outcome = analyse(network, examples["cat"]).under()
    before = state(network)
    for part in ("head", "backbone"):
        one, two = (map_of(redrawn(outcome, part, seed), 1, "evidence") for seed in (0, 1))
        for other in (two, map_of(outcome, 1, "evidence")):
            assert np.abs(one - other).max() > 0.3 * np.abs(one).max()
        np.testing.assert_allclose(map_of(redrawn(outcome, part, 0), 1, "evidence"), one, rtol=1e-5, atol=1e-6)
    assert unchanged(network, before)


@pytest.mark.parametrize("part", ["head", "backbone"])
def test_without_a_pooling_what_leads_to_the_maps_is_told_from_what_follows(examples, part):
    model = seeded(lambda: Small(nn.Flatten(), nn.Linear(512, 4)))
    network = network_of(model)
    assert network.pooling is None
    outcome = analyse(network, examples["cat"]).under()
    drawn = redrawn(outcome, part, 0)
    maps = drawn.analysis.feature_maps
    assert torch.equal(maps, outcome.analysis.feature_maps) == (part == "head")
    # Grad-CAM by hand, from the maps and the head as they were drawn: a flattened map has its weights as gradient.
    weights = drawn_anew(model.fc.weight, 0, 0) if part == "head" else model.fc.weight
    rows = weights[1].reshape(8, 8, 8).detach()
    expected = (rows.mean((1, 2))[:, None, None] * maps).sum(0)
    np.testing.assert_allclose(map_of(drawn, 1, "grad_cam"), expected.numpy(), rtol=1e-3, atol=1e-5)


def test_a_layer_is_looked_at_between_what_leads_there_and_what_follows(examples):
    network = network_of(seeded(Small))
    outcome = analyse(network, examples["cat"], layer=network.layers.all[0].key).under()
    own, maps = network.layers.model.state_dict(), outcome.analysis.feature_maps
    for part, changed in (("backbone", {"stem.0.weight", "stem.0.bias"}),
                          ("head", {"block.0.weight", "block.0.bias", "fc.weight", "fc.bias"})):
        drawn = redrawn(outcome, part, 0)
        others = drawn.analysis.network.layers.model.state_dict()
        # The stem's normalisation has weights that are all 1 and all 0: they stay.
        assert {name for name in own if not torch.equal(own[name], others[name])} - {
            "stem.1.num_batches_tracked"} == changed
        assert torch.equal(drawn.analysis.feature_maps, maps) == (part == "head")
        assert not np.allclose(map_of(drawn, 1, "hires_cam"), map_of(outcome, 1, "hires_cam"), atol=1e-5)


# Nothing is changed.


def test_the_shared_network_is_bit_identical_afterwards_and_so_is_what_it_says(network, examples):
    analysis = analyse(network, examples["coffee"])
    before, logits = state(network), analysis.under().logits.clone()
    index = analysis.under().top(1)[0].class_index
    for what in ("head", "backbone"):
        randomisation(analysis.under(), index, what)
    assert unchanged(network, before)
    assert torch.equal(analyse(network, examples["coffee"]).under().logits, logits)


# The numbers.


@st.composite
def two_maps(draw):
    size = draw(st.integers(2, 8))
    numbers = st.lists(st.integers(-3, 3).map(float), min_size=size, max_size=size)
    return draw(numbers), draw(numbers)


@given(two_maps())
def test_rank_correlation_is_pearsons_of_mean_ranks(case):
    def ranks(values: list[float]) -> list[float]:
        return [sum(other < value for other in values) + (1 + sum(other == value for other in values)) / 2
                for value in values]

    a, b = (ranks(values) for values in case)
    centred = [[value - sum(item) / len(item) for value in item] for item in (a, b)]
    product = sum(u * v for u, v in zip(*centred, strict=True))
    lengths = math.sqrt(sum(u * u for u in centred[0]) * sum(v * v for v in centred[1]))
    expected = product / lengths if lengths else 0.0
    assert rank_correlation(*(np.array([values]) for values in case)) == pytest.approx(expected, abs=1e-9)


def test_rank_correlation_knows_the_order_alone():
    cells = np.array([[0.0, 3.0], [1.0, 2.0]])
    assert rank_correlation(cells, np.exp(cells)) == pytest.approx(1)
    assert rank_correlation(cells, -(cells ** 3)) == pytest.approx(-1)
    assert rank_correlation(cells, np.ones((2, 2))) == 0
    assert math.isnan(rank_correlation(cells, np.array([[0, 1], [2, np.inf]])))


def test_agreement_and_energy_are_means_over_the_drawings(make_network, examples):
    outcome = analyse(make_network(), examples["rocket"]).under("gmp")
    result = randomisation(outcome, 3, "backbone")
    drawn = [redrawn(outcome, "backbone", seed) for seed in (0, 1, 2)]
    maps, own = [map_of(other, 3, "evidence") for other in drawn], map_of(outcome, 3, "evidence")
    energies = [(other.analysis.feature_maps.double() ** 2).sum(0).numpy() for other in drawn]
    assert result.agreement == pytest.approx(np.mean([abs(rank_correlation(own, cells)) for cells in maps]))
    assert result.energy_after == pytest.approx(np.mean([abs(rank_correlation(*pair))
                                                       for pair in zip(maps, energies, strict=True)]))
    assert result.fallen_apart == (result.agreement < FALLEN_APART)
    assert (result.name, result.part) == ("evidence under GMP", "backbone")


def test_a_map_that_knows_no_head_does_not_fall_apart_without_one(make_network, examples):
    analysis = analyse(make_network(), examples["cat"])
    result = randomisation(analysis.under(), 0, "head", "eigen_cam")
    assert result.agreement == pytest.approx(1)
    assert not result.fallen_apart
    assert randomisation(analysis.under(), 0, "backbone", "eigen_cam").agreement < 0.999


def test_a_map_upside_down_is_no_new_map(make_network, monkeypatch):
    monkeypatch.setattr("explorer.questions.randomisation.DRAWINGS", 8)
    # One channel, so that every head gives the same map or its negative.
    network = make_network(linear([[1.0], [-2.0]], [0.0, 0.0]), classes=2, channels=1)
    result = randomisation(analysis_of(network, random_maps(1, 4, 4)).under(), 0, "head")
    assert (result.agreement, result.fallen_apart) == (pytest.approx(1), False)
    assert result.energy_after == pytest.approx(1)


def test_a_map_that_is_not_finite_afterwards_is_no_map_that_fell_apart(make_network):
    class Overflows(nn.Module):
        """Finite with its own weights, whose sum is 0, and with hardly any others."""

        def __init__(self) -> None:
            super().__init__()
            self.weights = nn.Parameter(torch.tensor([1.0, -1.0]))

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.avg_pool2d(x, 24) * torch.exp(1e6 * (self.weights.sum()).abs())

    network = make_network(linear([[1.0, 0.5, 0.2]], [0.0]), classes=1, channels=3)
    analysis = analyse(with_backbone(network, Overflows()), _gradient_photo())
    result = randomisation(analysis.under(), 0, "backbone")
    assert math.isnan(result.agreement)
    assert not result.fallen_apart


def _gradient_photo():
    return Image.fromarray(np.arange(0, 96 * 96 * 3, dtype=np.uint32).astype(np.uint8).reshape(96, 96, 3))


def test_on_the_bundled_network_evidence_needs_the_backbone_and_layer_cam_hardly_the_head(network, examples):
    # Layer-CAM sums positive gradients times activations: with weights of any signs that is much like the energy.
    outcome = analyse(network, examples["cat"]).under()
    index = outcome.top(1)[0].class_index
    assert randomisation(outcome, index, "backbone").fallen_apart
    layer_cam = randomisation(outcome, index, "head", "layer_cam")
    assert not layer_cam.fallen_apart
    assert layer_cam.energy_after > 0.8


# Being told, stopping, and what is refused.


def test_it_tells_how_far_it_is_and_stops_when_told_to(make_network, examples):
    network, reports = make_network(), []
    outcome = analyse(network, examples["cat"]).under()
    with pytest.raises(StoppedError, match="2 of 3"):
        randomisation(outcome, 0, "backbone", progress=lambda *both: reports.append(both),
                   stop=lambda: len(reports) == 2)
    assert reports == [(1, 3), (2, 3)]
    with pytest.raises(StoppedError):
        randomisation(outcome, 0, "head", "score_cam", stop=lambda: True)


@pytest.mark.parametrize(("given", "sentence"), [
    ({"class_index": 4}, "class"), ({"part": "pooling"}, "head, backbone"), ({"map": "heat"}, "evidence, cam"),
])
def test_what_does_not_exist_is_refused_by_name(make_network, examples, given, sentence):
    outcome = analyse(make_network(), examples["cat"]).under()
    with pytest.raises(ParameterError, match=sentence):
        randomisation(outcome, **{"class_index": 0, "part": "head"} | given)


def test_where_nothing_could_fall_apart_it_says_so(make_network, examples):
    network = make_network()
    with pytest.raises(MethodError, match="same at all positions"):
        randomisation(analysis_of(network, torch.ones(5, 3, 3)).under(), 0, "head")
    with pytest.raises(MethodError, match="not finite"):
        randomisation(analysis_of(network, torch.full((5, 3, 3), float("nan"))).under(), 0, "head")
    no_head = make_network(nn.Identity(), classes=5)
    with pytest.raises(MethodError, match="head has no weights"):
        randomisation(analyse(no_head, examples["cat"]).under(), 0, "head")
    without = analyse(network_of(seeded(lambda: Small(nn.Flatten(), nn.Linear(512, 4)))), examples["cat"]).under()
    with pytest.raises(MethodError):
        randomisation(without, 0, "head")  # there is no evidence without a pooling
