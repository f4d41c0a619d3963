"""The engines that run backbones: ONNX Runtime gives torch's feature maps, or torch gives them."""

from __future__ import annotations

import contextlib
import gc
import subprocess
import sys
import threading
import time
import weakref
from dataclasses import replace
from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import nn

from explorer import analyse, load_network
from explorer.errors import NetworkError, ParameterError, StoppedError
from explorer.networks import preparation
from explorer.networks.engine import Engine, Graph, inputs_at_once, seconds_of, threads
from explorer.networks.graph_process import packed, written
from explorer.networks.graphs import export, with_weights
from explorer.networks.loading.bundled import ASSETS
from explorer.networks.preparation import prepare, prepare_in_background

ROOT = Path(__file__).resolve().parents[2]


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


# What runs a backbone that has no graph: a trial decides, and a graph is written by a process of its own.


def measured(*seconds: float):
    """What stands for the clock: the passes are run once, and are said to have taken these seconds."""
    def measure(passes, stop):
        assert len(passes) == len(seconds)
        for run in passes:
            run()
        return list(seconds)

    return measure


@pytest.fixture
def two_threads(monkeypatch):
    monkeypatch.delenv("POOLSCOPE_THREADS", raising=False)
    monkeypatch.setattr("explorer.networks.engine.threads", lambda: 2)


class Counted(nn.Module):
    """A backbone that notes with how many threads of torch it was run."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.threads.append(torch.get_num_threads())
        return x * 2


@pytest.mark.parametrize(("seconds", "runs"), [((1.0, 0.9, 0.8), "ONNX Runtime"), ((1.0, 0.7, 0.8), "torch")])
def test_a_graph_is_used_only_where_it_is_sooner_than_torch(two_threads, seconds, runs):
    backbone, x = convolutions(), drawn(1, 3, 32, 32)
    engine = Engine(backbone)
    engine.choose(x, Graph(export(backbone, x)), measure=measured(*seconds))
    assert engine.runs(x) == runs
    assert engine.has_graph == (runs != "torch")
    assert far(engine(x), backbone(x)) < 1e-5


def test_a_graph_that_gives_other_maps_is_not_even_tried(two_threads):
    engine, x = Engine(convolutions()), drawn(1, 3, 32, 32)
    engine.choose(x, Wrong(), measure=measured(1.0, 1.0))
    assert not engine.has_graph


@pytest.mark.parametrize(("seconds", "count"), [((1.0, 0.7), 2), ((1.0, 0.9), 1)])
def test_torch_gets_more_threads_for_a_network_where_they_pay_and_for_its_passes_alone(two_threads, seconds, count):
    backbone, x, before = Counted(), drawn(1, 3, 8, 8), torch.get_num_threads()
    engine = Engine(backbone)
    engine.choose(x, measure=measured(*seconds))
    assert backbone.threads == [1, 2]
    engine(x)
    assert backbone.threads[2:] == [count]
    assert torch.get_num_threads() == before


def test_the_variable_sets_the_threads_without_a_trial(monkeypatch):
    monkeypatch.setenv("POOLSCOPE_THREADS", "3")
    backbone, x = Counted(), drawn(1, 3, 8, 8)
    engine = Engine(backbone)
    engine.choose(x, measure=measured())
    engine(x)
    assert backbone.threads == [3]


def test_a_trial_runs_the_passes_in_turns_and_can_be_stopped():
    order: list[str] = []
    assert len(seconds_of([lambda: order.append("a"), lambda: order.append("b")])) == 2
    assert order == ["a", "b"] * (len(order) // 2)
    with pytest.raises(StoppedError):
        seconds_of([lambda: order.append("c")], lambda: True)
    assert "c" not in order


def test_a_graph_is_written_by_another_process_and_agrees_with_torch():
    own, x = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU()).eval(), drawn(1, 3, 32, 32)
    assert far(Graph(written(packed(own, x)))(x), own(x).detach()) < 1e-5


def test_a_process_that_takes_too_long_is_ended():
    with pytest.raises(NetworkError, match="not written within 0 s"):
        written(packed(nn.ReLU(), drawn(1, 3, 8, 8)), limit=0.2)


def test_a_child_ends_with_its_parent():
    child = "import sys, time; from explorer.child import stand_back; stand_back(int(sys.argv[1]), 90); time.sleep(90)"
    parent = ("import os, subprocess, sys, time; "
              f"print(subprocess.Popen([sys.executable, '-c', {child!r}, str(os.getpid())]).pid, flush=True); "
              "time.sleep(90)")
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, cwd=ROOT) as process:
        number = int(process.stdout.readline())
        process.kill()
    deadline = time.monotonic() + 30
    while runs(number) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not runs(number)


def runs(number: int) -> bool:
    """Whether there is a process of that number; one that ended and was not waited for has an empty command."""
    with contextlib.suppress(OSError):
        return bool(Path(f"/proc/{number}/cmdline").read_bytes())
    return False


def test_a_backbone_that_cannot_be_packed_stays_with_torch_and_is_not_tried_again(monkeypatch, two_threads):
    backbone, x = nn.Sequential(nn.ReLU()), drawn(1, 3, 8, 8)
    backbone.secret = lambda: None
    with pytest.raises(NetworkError, match="another process"):
        packed(backbone, x)
    engine, tried = Engine(backbone), []
    monkeypatch.setattr(Engine, "choose", lambda self, x, graph, stop: tried.append(graph))
    for _ in range(2):
        prepare(engine, x)
    assert tried == [None]
    assert torch.equal(engine(x), x.relu())


@pytest.fixture
def slow_writer(monkeypatch):
    """Stands for the process: it waits until it may go on, and counts how many are at work at once."""
    class Writer:
        def __init__(self) -> None:
            self.begun, self.go_on = threading.Event(), threading.Event()
            self.written, self.at_once, self.most = 0, 0, 0

        def __call__(self, pack: bytes) -> bytes:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            self.begun.set()
            assert self.go_on.wait(20)
            self.written += 1
            self.at_once -= 1
            return b""

    writer = Writer()
    monkeypatch.setattr(preparation, "written", writer)
    monkeypatch.setattr(Engine, "choose", lambda self, x, graph, stop: setattr(self, "_graph", graph))
    yield writer
    writer.go_on.set()
    wait_for_background()


def wait_for_background() -> None:
    for thread in threading.enumerate():
        if thread.name == "preparation":
            thread.join(20)


def test_of_many_viewers_and_networks_one_graph_is_written_at_a_time_and_one_for_each(slow_writer):
    engines, x = [Engine(nn.ReLU()) for _ in range(3)], drawn(1, 3, 8, 8)
    for engine in engines * 3:
        prepare_in_background(engine, x)
    slow_writer.go_on.set()
    wait_for_background()
    assert (slow_writer.written, slow_writer.most) == (3, 1)
    assert all(engine.has_graph for engine in engines)
    prepare_in_background(engines[0], x)
    wait_for_background()
    assert slow_writer.written == 3


def test_a_network_that_is_dropped_meanwhile_is_not_kept(slow_writer):
    engines, x = [Engine(nn.ReLU()) for _ in range(2)], drawn(1, 3, 8, 8)
    backbones = [weakref.ref(engine.backbone) for engine in engines]
    for engine in engines:
        prepare_in_background(engine, x)
    assert slow_writer.begun.wait(20)
    del engines, engine
    gc.collect()
    assert [backbone() for backbone in backbones] == [None, None]
    slow_writer.go_on.set()
    wait_for_background()
    assert slow_writer.written == 1


def test_the_memory_of_a_graph_is_known(network):
    network.engine(drawn(1, 3, 96, 96))
    assert network.engine.nbytes > 2 * sum(tensor.nbytes for tensor in network.backbone.state_dict().values()) * 0.9
    assert Engine(convolutions()).nbytes == 0
