"""The engines that run backbones: ONNX Runtime gives torch's feature maps, or torch gives them."""

from __future__ import annotations

from dataclasses import replace

import onnxruntime
import pytest
import torch
from torch import nn

from explorer import analyse, load_network
from explorer.errors import NetworkError, ParameterError
from explorer.networks.engine import Engine, Graph, inputs_at_once, threads
from explorer.networks.graphs import export, with_weights
from explorer.networks.loading.bundled import ASSETS


class Convolutions(nn.Module):
    """Two convolutions with a normalisation between them; it counts the inputs that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs = 0
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 5, 3, 2, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.inputs += len(x)
        return self.body(x)


class Undecided(nn.Module):
    """What it does depends on its numbers, which no exporter can follow."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if float(x.mean()) > 0 else x * 3


class Wrong(Graph):
    """A graph that gives other maps than its backbone."""

    def __init__(self) -> None:
        super().__init__(b"")

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(x), 5, x.shape[2] // 4, x.shape[3] // 4)


class Refusing(Wrong):
    """A graph that takes no input."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        raise onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument("no such size")


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def convolutions() -> Convolutions:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Convolutions().eval()


def far(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest difference, as a share of the largest number."""
    return float(((one - other).abs().max() / other.abs().max()).detach())


@pytest.mark.parametrize(("framing", "side"), [("crop", 224), ("whole", 160), ("squash", 320)])
def test_the_bundled_network_runs_by_onnx_and_gives_torchs_maps_and_logits(network, examples, framing, side):
    analysis = analyse(network, examples["astronaut"], framing, side)
    assert network.engine.runs(analysis.input) == "ONNX Runtime"
    with torch.no_grad():
        expected = network.backbone(analysis.input)
        logits = network.head(network.pooling.value(expected))[0]
    assert far(analysis.feature_maps, expected[0]) < 1e-4
    assert float((analysis.under().logits - logits).abs().max()) < 1e-3


def test_a_batch_gives_what_its_inputs_give_alone(network):
    x = drawn(3, 3, 96, 128)
    together = network.engine(x)
    assert together.shape[0] == 3
    for n in range(3):
        assert far(together[n], network.engine(x[n:n + 1])[0]) < 1e-5


def test_a_graph_is_written_of_any_backbone_and_used_where_it_agrees():
    backbone, x = convolutions(), drawn(1, 3, 32, 32)
    engine = Engine(backbone, "onnx")
    assert engine.runs(x) == "torch"
    engine.write_graph(x)
    assert engine.runs(x) == "ONNX Runtime"
    for size in ((32, 32), (64, 48)):
        expected = backbone(drawn(2, 3, *size))
        backbone.inputs = 0
        assert far(engine(drawn(2, 3, *size)), expected) < 1e-5
        engine(drawn(2, 3, *size))
        assert backbone.inputs == (0 if size == (32, 32) else 1)  # a new size is compared once


def test_the_graph_shares_nothing_with_a_backbone_that_changes_later():
    backbone, x = convolutions(), drawn(1, 3, 32, 32)
    graph, before = Graph(export(backbone, x)), backbone(x).detach()
    with torch.no_grad():
        backbone.body[0].weight.zero_()
    assert far(graph(x), before) < 1e-5


@pytest.mark.parametrize("graph", [Wrong(), Refusing()])
def test_a_graph_that_is_wrong_or_refuses_a_size_leaves_it_to_torch(graph):
    backbone, x = convolutions(), drawn(2, 3, 32, 32)
    engine = Engine(backbone, "auto", graph)
    for _ in range(2):
        assert torch.equal(engine(x), backbone(x).detach())
    assert engine.runs(x) == "torch"


def test_maps_that_are_not_finite_come_from_torch():
    backbone, x = convolutions(), drawn(1, 3, 32, 32)
    graph = Graph(export(backbone, x))
    with torch.no_grad():
        backbone.body[3].bias[0] = torch.nan
    engine = Engine(backbone, "auto", graph)
    assert engine(x)[0, 0].isnan().all()
    assert engine.runs(x) == "torch"


def test_a_backbone_that_the_exporter_cannot_follow_is_refused_and_stays_with_torch():
    engine, x = Engine(Undecided(), "onnx"), drawn(1, 3, 32, 32)
    with pytest.raises(NetworkError, match="ONNX"):
        engine.write_graph(x)
    assert engine.runs(x) == "torch"
    assert torch.equal(engine(x), Undecided()(x))


def test_another_backbone_gets_an_engine_of_its_own(network):
    other = replace(network, backbone=convolutions())
    assert other.engine.backbone is other.backbone
    assert replace(network, title="The same").engine is network.engine


def test_the_engine_can_be_chosen(network):
    x = drawn(1, 3, 96, 96)
    by_torch = network.run_by("torch")
    for one, name in ((by_torch, "torch"), (network.run_by("onnx"), "ONNX Runtime")):
        one(x)
        assert one.engine.runs(x) == name
    with pytest.raises(ParameterError, match="auto, torch, onnx"):
        load_network(engine="tensorrt")


def test_it_is_said_of_each_size_what_ran_it(network):
    for size, name in (((128, 160), "ONNX Runtime"), ((97, 160), "torch")):  # odd sides are padded otherwise
        x = drawn(1, 3, *size)
        assert torch.equal(network.engine(x), network.backbone(x)) == (name == "torch")
        assert network.engine.runs(x) == name


def test_threads_that_are_wrong_are_not_passed_over(network, monkeypatch):
    monkeypatch.setenv("POOLSCOPE_THREADS", "many")
    with pytest.raises(ParameterError, match="POOLSCOPE_THREADS"):
        network.engine(drawn(1, 3, 160, 352))


def test_torch_takes_several_small_inputs_at_once_and_large_ones_alone():
    assert [inputs_at_once(drawn(1, 3, side, side)) for side in (8, 96, 224, 384)] == [16, 10, 1, 1]
    engine = Engine(convolutions())
    assert [len(part) for part in engine.batches(range(12), drawn(1, 3, 96, 96), "inputs", None, None)] == [10, 2]


@pytest.mark.parametrize("text", ["0", "two", "-1", "1.5", "1000"])
def test_threads_that_cannot_be_are_refused(monkeypatch, text):
    monkeypatch.setenv("POOLSCOPE_THREADS", text)
    with pytest.raises(ParameterError, match=r"POOLSCOPE_THREADS.*whole number"):
        threads()


def test_threads_are_those_of_the_variable_else_at_most_four(monkeypatch):
    monkeypatch.setenv("POOLSCOPE_THREADS", "7")
    assert threads() == 7
    monkeypatch.delenv("POOLSCOPE_THREADS")
    assert 1 <= threads() <= 4


def test_weights_that_are_missing_or_of_another_shape_are_refused(network):
    graph = (ASSETS / "efficientnet_lite0.onnx").read_bytes()
    state = network.backbone.state_dict()
    assert len(with_weights(graph, state)) > sum(tensor.nbytes for tensor in state.values()) * 0.9
    with pytest.raises(ValueError, match=r"model\.conv_stem\.weight"):
        with_weights(graph, state | {"model.conv_stem.weight": torch.zeros(1)})
    with pytest.raises(KeyError):
        with_weights(graph, {})
