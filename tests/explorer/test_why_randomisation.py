"""A head or a backbone that knows nothing, against networks that really hold the drawn weights."""

from __future__ import annotations

import copy
import dataclasses
import math
import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from explorer import analyse
from explorer.analysis import Analysis
from explorer.errors import MethodError, ParameterError, StoppedError
from explorer.networks import Network
from explorer.questions.randomisation import FALLEN_APART, randomised, rank_correlation
from explorer.questions.redrawn_weights import Redrawn, drawn_anew, maps_of, part_of
from tests.explorer.own_models import BranchOnATensor, Small, network_of, seeded, two_layers
from tests.explorer.tiny import analysis_of, linear, random_maps, with_backbone


def forgetful(module: nn.Module, seed: int) -> nn.Module:
    """A real copy with the weights of that drawing, whose batch normalisations of maps go by what they are given."""
    copied = copy.deepcopy(module)
    for number, weights in enumerate(copied.parameters()):
        if weights.numel() > 1:
            weights.data = drawn_anew(weights.data, seed, number)
    for each in copied.modules():
        if isinstance(each, nn.BatchNorm2d):
            each.train()
            each.track_running_stats, each.running_mean, each.running_var = False, None, None
    return copied


def state(network: Network) -> dict[str, tuple[int, Tensor]]:
    """What would tell that a network was changed: its tensors, and how often each was written to."""
    parts = {"backbone": network.backbone, "head": network.head}
    return {f"{part}.{name}": (each._version, each.clone())
            for part, module in parts.items() for name, each in module.state_dict().items()}


def unchanged(network: Network, before: dict[str, tuple[int, Tensor]]) -> bool:
    after = state(network)
    modules = [*network.backbone.modules(), *network.head.modules()]
    return (after.keys() == before.keys() and not any(module.training for module in modules)
            and all(version == after[name][0] and torch.equal(each, after[name][1])
                    for name, (version, each) in before.items()))


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


@pytest.mark.parametrize("pooling", ["gap", "gmp", "gem", "attention"])
@pytest.mark.parametrize("map", ["evidence", "grad_cam", "layer_cam", "ablation_cam"])
@pytest.mark.parametrize("what", ["head", "backbone"])
def test_maps_are_those_of_a_network_that_really_holds_the_drawn_weights(make_network, examples, what, map, pooling):
    network = make_network()
    analysis = analyse(network, examples["cat"])
    found = randomised(analysis.under(pooling), 2, what, map, seed=4, seeds=2)
    for n in range(2):
        other = dataclasses.replace(network, **{what: forgetful(getattr(network, what), 4 + n)})
        outcome = analyse(other, examples["cat"]).under(pooling)
        wanted = outcome.evidence(2).cells if map == "evidence" else outcome.cam(map, 2)
        np.testing.assert_allclose(found.after[n], wanted.numpy(), rtol=1e-4, atol=1e-6)
    own = analysis.under(pooling)
    own = own.evidence(2).cells if map == "evidence" else own.cam(map, 2)
    assert found.before.tolist() == own.double().tolist()
    assert not np.allclose(found.after[0], found.before, atol=1e-3)
    assert found.weights == (5 * 4 + 4 if what == "head" else 5 * 3 * 24 * 24 + 5)


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
    found = randomised(outcome, 1, "backbone", seeds=1)
    other = analyse(with_backbone(network, Evaluated(forgetful(backbone, 0))), examples["cat"]).under()
    np.testing.assert_allclose(found.after[0], other.evidence(1).cells.numpy(), rtol=1e-4, atol=1e-6)
    # The head's keeps its statistics: of one vector there are none.
    found = randomised(outcome, 1, "head", seeds=1)
    other = analyse(dataclasses.replace(network, head=forgetful(head, 0)), examples["cat"]).under()
    np.testing.assert_allclose(found.after[0], other.evidence(1).cells.numpy(), rtol=1e-4, atol=1e-6)


class Evaluated(nn.Module):
    """A module that `eval()` does not reach: it keeps going by what it is given."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def train(self, mode: bool = True) -> Evaluated:
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x)


@pytest.mark.parametrize("make", [lambda: Small(), lambda: Small(head=two_layers()), BranchOnATensor])
def test_networks_cut_in_any_way_forget(examples, make):
    # The last cannot be traced: its backbone is the whole model, run up to a module, which no copy can be made of.
    network = network_of(seeded(make))
    analysis = analyse(network, examples["cat"])
    before = state(network)
    found = {what: randomised(analysis.under(), 1, what, seeds=2) for what in ("head", "backbone")}
    assert unchanged(network, before)
    # The convolutions'. Those of the stem's normalisation are all 1 and all 0: they stay, and are not counted.
    assert found["backbone"].weights == 3 * 6 * 9 + 6 + 6 * 8 * 9 + 8
    assert found["head"].weights == sum(each.numel() for each in network.head.parameters())
    np.testing.assert_array_equal(found["head"].before, found["backbone"].before)
    for each in found.values():
        assert np.abs(each.after[0] - each.after[1]).max() > 1e-3
        assert np.abs(each.after - each.before).max() > 1e-3


@pytest.mark.parametrize("what", ["head", "backbone"])
def test_without_a_pooling_what_leads_to_the_maps_is_told_from_what_follows(examples, what):
    model = seeded(lambda: Small(nn.Flatten(), nn.Linear(512, 4)))
    network = network_of(model)
    assert network.pooling is None
    outcome = analyse(network, examples["cat"]).under()
    found = randomised(outcome, 1, what, "grad_cam", seeds=1)
    assert found.weights == (512 * 4 + 4 if what == "head" else 3 * 6 * 9 + 6 + 6 * 8 * 9 + 8)
    assert np.abs(found.after[0] - found.before).max() > 1e-4
    # Grad-CAM by hand, from the maps and the head as they were drawn.
    x = outcome.analysis.input
    with Redrawn(part_of(outcome, what), 0):
        maps = model.maps(x) if what == "head" else maps_of(outcome.analysis)[None]
    assert torch.equal(maps[0], outcome.analysis.feature_maps) == (what == "head")
    layers = network.layers.model
    with Redrawn(part_of(outcome, what), 0):
        rows = (layers.fc.weight + 0)[1].reshape(8, 8, 8)
    assert torch.equal(rows.flatten(), model.fc.weight[1]) == (what == "backbone")
    wanted = (rows.mean((1, 2))[:, None, None] * maps[0]).sum(0)
    np.testing.assert_allclose(found.after[0], wanted.detach().numpy(), rtol=1e-3, atol=1e-5)


def test_a_layer_is_looked_at_between_what_leads_there_and_what_follows(examples):
    network = network_of(seeded(Small))
    layer = network.layers.all[0].key
    outcome = analyse(network, examples["cat"], layer=layer).under()
    head, backbone = (randomised(outcome, 1, what, "hires_cam", seeds=1) for what in ("head", "backbone"))
    assert backbone.weights == 3 * 6 * 9 + 6  # the stem's convolution
    assert head.weights == 6 * 8 * 9 + 8 + 8 * 4 + 4  # the block and the Linear
    assert head.before.shape == outcome.analysis.framing.grid
    assert not np.allclose(head.after[0], backbone.after[0])


# Nothing is changed.


def test_the_shared_network_is_bit_identical_afterwards_and_so_is_what_it_says(network, examples):
    analysis = analyse(network, examples["coffee"])
    before, logits = state(network), analysis.under().logits.clone()
    index = analysis.under().top(1)[0].class_index
    for what in ("head", "backbone"):
        randomised(analysis.under(), index, what, seeds=1)
    assert unchanged(network, before)
    assert torch.equal(analyse(network, examples["coffee"]).under().logits, logits)


def test_another_thread_meanwhile_sees_the_network_as_it_is(make_network, examples):
    network = make_network()
    analysis = analyse(network, examples["cat"])
    seen: dict[str, Tensor] = {}

    def ask(name: str) -> None:
        seen[name] = analyse(network, examples["cat"]).under().logits

    with Redrawn([*part_of(analysis.under(), "head"), *part_of(analysis.under(), "backbone")], 0):
        thread = threading.Thread(target=ask, args=("other",))
        thread.start()
        thread.join()
        ask("own")
    assert torch.equal(seen["other"], analysis.under().logits)
    assert not torch.allclose(seen["own"], analysis.under().logits, atol=1e-3)


def test_drawings_follow_each_other_and_are_run_once(make_network, examples):
    network = make_network()
    analysis = analyse(network, examples["cat"])
    calls = network.backbone.calls
    three = randomised(analysis.under(), 0, "backbone", seeds=3)
    assert (three.passes, network.backbone.calls - calls) == (3, 3)
    other = randomised(analysis.under("gmp"), 1, "backbone", "layer_cam", seed=1, seeds=2)
    assert (other.passes, network.backbone.calls - calls) == (0, 3)
    second = randomised(analysis.under(), 0, "backbone", seed=1, seeds=1)
    assert second.after[0].tolist() == three.after[1].tolist()
    assert second.weights == three.weights
    assert randomised(analysis.under(), 0, "head").passes == 0
    assert network.backbone.calls - calls == 3


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
    centred = [[value - sum(each) / len(each) for value in each] for each in (a, b)]
    product = sum(u * v for u, v in zip(*centred, strict=True))
    lengths = math.sqrt(sum(u * u for u in centred[0]) * sum(v * v for v in centred[1]))
    wanted = product / lengths if lengths else 0.0
    assert rank_correlation(*(np.array([values]) for values in case)) == pytest.approx(wanted, abs=1e-12)


def test_rank_correlation_knows_the_order_alone():
    cells = np.array([[0.0, 3.0], [1.0, 2.0]])
    assert rank_correlation(cells, np.exp(cells)) == pytest.approx(1)
    assert rank_correlation(cells, -(cells ** 3)) == pytest.approx(-1)
    assert rank_correlation(cells, np.ones((2, 2))) == 0
    assert math.isnan(rank_correlation(cells, np.array([[0, 1], [2, np.inf]])))


def test_the_summary_is_of_the_maps_that_are_returned(make_network, examples):
    analysis = analyse(make_network(), examples["rocket"])
    found = randomised(analysis.under("gmp"), 3, "backbone", seeds=4)
    energy = (analysis.feature_maps.double() ** 2).sum(0).numpy()
    drawn = [_maps_drawn(analysis, n) for n in range(4)]
    correlations = [rank_correlation(found.before, each) for each in found.after]
    cosines = [float((found.before * each).sum() / math.sqrt((found.before ** 2).sum() * (each ** 2).sum()))
               for each in found.after]
    assert found.correlations == pytest.approx(correlations)
    assert found.cosines == pytest.approx(cosines)
    assert (found.correlation, found.cosine) == pytest.approx((np.mean(correlations), np.mean(cosines)))
    assert (found.correlation_spread, found.cosine_spread) == pytest.approx((np.std(correlations), np.std(cosines)))
    assert found.agreement == pytest.approx(np.mean(np.abs(correlations)))
    assert found.fallen_apart == (found.agreement < FALLEN_APART)
    assert found.energy_before == pytest.approx(rank_correlation(found.before, energy))
    assert found.energy_after == pytest.approx(np.mean([
        abs(rank_correlation(each, (maps ** 2).sum(0))) for each, maps in zip(found.after, drawn, strict=True)]))
    assert (found.name, found.what, found.class_index) == ("evidence under GMP", "backbone", 3)


def _maps_drawn(analysis: Analysis, seed: int) -> np.ndarray:
    with torch.no_grad():
        return forgetful(analysis.network.backbone, seed)(analysis.input)[0].double().numpy()


def test_a_map_that_knows_no_head_does_not_fall_apart_without_one(make_network, examples):
    analysis = analyse(make_network(), examples["cat"])
    found = randomised(analysis.under(), 0, "head", "eigen_cam")
    assert found.agreement == pytest.approx(1)
    assert not found.fallen_apart
    assert found.weights == 24  # all the same, they were drawn
    assert randomised(analysis.under(), 0, "backbone", "eigen_cam").agreement < 0.999


def test_a_map_upside_down_is_no_new_map(make_network):
    # One channel, so that every head gives the same map or its negative.
    network = make_network(linear([[1.0], [-2.0]], [0.0, 0.0]), classes=2, channels=1)
    found = randomised(analysis_of(network, random_maps(1, 4, 4)).under(), 0, "head", seeds=8)
    assert set(found.correlations.round(6)) == {-1, 1}
    assert found.cosines == pytest.approx(found.correlations)
    assert (found.agreement, found.fallen_apart) == (pytest.approx(1), False)
    assert (found.energy_before, found.energy_after) == pytest.approx((1, 1))


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
    found = randomised(analysis.under(), 0, "backbone")
    assert np.isnan(found.correlations).all()
    assert math.isnan(found.agreement)
    assert not found.fallen_apart


def _gradient_photo():
    return Image.fromarray(np.arange(0, 96 * 96 * 3, dtype=np.uint32).astype(np.uint8).reshape(96, 96, 3))


def test_on_the_bundled_network_evidence_needs_the_backbone_and_layer_cam_hardly_the_head(network, examples):
    # Layer-CAM sums positive gradients times activations: with weights of any signs that is much like the energy.
    outcome = analyse(network, examples["cat"]).under()
    index = outcome.top(1)[0].class_index
    assert randomised(outcome, index, "backbone").fallen_apart
    layer_cam = randomised(outcome, index, "head", "layer_cam")
    assert not layer_cam.fallen_apart
    assert layer_cam.energy_after > 0.8


# Being told, stopping, and what is refused.


def test_it_tells_how_far_it_is_and_stops_when_told_to(make_network, examples):
    network, told = make_network(), []
    outcome = analyse(network, examples["cat"]).under()
    with pytest.raises(StoppedError, match="2 of 5"):
        randomised(outcome, 0, "backbone", seeds=5, progress=lambda *both: told.append(both),
                   stop=lambda: len(told) == 2)
    assert told == [(1, 5), (2, 5)]
    assert randomised(outcome, 0, "backbone", seeds=3).passes == 1  # two are known
    with pytest.raises(StoppedError):
        randomised(outcome, 0, "head", "score_cam", stop=lambda: True)


@pytest.mark.parametrize(("given", "said"), [
    ({"class_index": 4}, "class"), ({"what": "pooling"}, "head, backbone"), ({"map": "heat"}, "evidence, cam"),
    ({"seed": -1}, "first drawing"), ({"seeds": 0}, "drawings"), ({"seeds": True}, "drawings"),
])
def test_what_does_not_exist_is_refused_by_name(make_network, examples, given, said):
    outcome = analyse(make_network(), examples["cat"]).under()
    with pytest.raises(ParameterError, match=said):
        randomised(outcome, **{"class_index": 0, "what": "head"} | given)


def test_where_nothing_could_fall_apart_it_says_so(make_network, examples):
    network = make_network()
    with pytest.raises(MethodError, match="same at all positions"):
        randomised(analysis_of(network, torch.ones(5, 3, 3)).under(), 0, "head")
    with pytest.raises(MethodError, match="not finite"):
        randomised(analysis_of(network, torch.full((5, 3, 3), float("nan"))).under(), 0, "head")
    no_head = make_network(nn.Identity(), classes=5)
    with pytest.raises(MethodError, match="head has no weights"):
        randomised(analyse(no_head, examples["cat"]).under(), 0, "head")
    without = analyse(network_of(seeded(lambda: Small(nn.Flatten(), nn.Linear(512, 4)))), examples["cat"]).under()
    with pytest.raises(MethodError):
        randomised(without, 0, "head")  # there is no evidence without a pooling
