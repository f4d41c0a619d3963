"""Tracing a model while other threads use theirs, and the places where all that follows depends on one tensor."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, fx, nn

from explorer.networks.cutting.tracing import after, before, necks, trace
from tests.explorer.own_models import CHANNELS, CLASSES, OWN, Small, apart, inputs, network_of, seeded, worst

CALL, GETATTR = nn.Module.__call__, nn.Module.__getattr__


@pytest.fixture(autouse=True)
def _torch_is_left_as_it_was():
    yield
    assert nn.Module.__call__ is CALL
    assert nn.Module.__getattr__ is GETATTR


class Branching(Small):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            x = 2 * x
        return super().forward(x)


class SlowToTrace(Small):
    """Its trace lasts until somebody says so: what happens meanwhile happens during a trace."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go_on = threading.Event(), threading.Event()

    def forward(self, x: Tensor) -> Tensor:
        self.begun.set()
        self.go_on.wait(20)
        return super().forward(x)


class WithParameters(nn.Module):
    """Reads parameters as attributes, which torch.fx replaces too."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([2.0, 3.0]))
        self.inner = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * self.weight + self.inner.bias


def _during_a_trace(work: Callable[[], object]) -> tuple[fx.GraphModule, object]:
    """What some work in this thread gives while another thread traces."""
    model = SlowToTrace().eval()
    with ThreadPoolExecutor(1) as threads:
        traced = threads.submit(trace, model, inputs())
        try:
            assert model.begun.wait(20)
            assert nn.Module.__call__ is not CALL  # a trace is under way
            return_value = work()
        finally:
            model.go_on.set()
        return traced.result(20), return_value


def test_another_thread_runs_its_modules_during_a_trace_as_ever():
    other, parameters, x = seeded(Small), WithParameters().eval(), inputs()
    y = torch.tensor([[1.0, -1.0]])
    with torch.no_grad():
        expected, second = other(x), parameters(y)
        traced, answers = _during_a_trace(lambda: [(other(x), parameters(y)) for _ in range(100)])
    assert all(torch.equal(got, expected) and torch.equal(more, second) for got, more in answers)
    # Nor did the trace take the other's modules for its own.
    assert {node.op for node in traced.graph.nodes} <= {"placeholder", "call_module", "call_method", "call_function",
                                                        "output"}
    assert sum(node.op == "placeholder" for node in traced.graph.nodes) == 1
    assert [node.target for node in traced.graph.nodes if node.op == "call_module"] == [
        "stem.0", "stem.1", "stem.2", "block.0", "block.1", "pool", "fc"]


def test_another_thread_takes_gradients_and_makes_modules_during_a_trace():
    x = inputs()

    def work() -> tuple[Tensor, Tensor]:
        model = seeded(Small)
        return model(x), torch.autograd.grad(model(x).sum(), model.fc.bias)[0]

    expected, gradient = work()
    _, (got, more) = _during_a_trace(work)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(more, gradient)


def test_many_traces_and_many_users_at_once_do_not_meet():
    models = [seeded(Small, seed) for seed in range(3)] + [seeded(Branching, 3)]
    networks, x = [network_of(model) for model in models], inputs()
    with torch.no_grad():
        expected = [model(x) for model in models]
    done = threading.Event()

    def use(n: int) -> int:
        calls = 0
        while not done.is_set() or calls < 30:
            with torch.no_grad():
                assert torch.equal(models[n](x), expected[n])
                assert worst(networks[n](x), expected[n]) <= 1e-5
                networks[n].layers.answer(x, "stem", networks[n].layers.maps(x, "stem"))
            calls += 1
        return calls

    def cut(n: int) -> None:
        for _ in range(4):
            made = network_of(models[n])
            assert made.pooling.key == "gap"
            assert worst(apart(made, x), expected[n]) <= 1e-5

    with ThreadPoolExecutor(8) as threads:
        users = [threads.submit(use, n) for n in range(4)]
        cutters = [threads.submit(cut, n) for n in range(4)]
        try:
            for item in cutters:
                item.result(60)
        finally:
            done.set()
        assert sum(item.result(60) for item in users) >= 120


def test_a_trace_that_fails_leaves_torch_as_it_was_and_the_next_one_works():
    with pytest.raises(fx.proxy.TraceError):
        trace(Branching().eval(), inputs())
    assert nn.Module.__call__ is CALL
    assert trace(Small().eval(), inputs()).graph is not None


def test_a_graph_is_not_traced_again():
    traced = trace(seeded(Small), inputs())
    assert trace(traced, inputs()) is traced


def test_the_graph_shares_the_models_modules():
    model = seeded(Small)
    assert trace(model, inputs()).get_submodule("fc") is model.fc


class Skips(nn.Module):
    """Two skips, one inside the other; the necks are counted by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(3, 3, 1) for _ in range(3))
        self.last = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        b = self.b(a)
        c = self.c(b)
        total = (c + b) + a
        return self.last(total.mean((2, 3)))


def test_necks_are_the_tensors_on_which_alone_all_that_follows_depends():
    model, x = seeded(Skips), inputs(8, 8)
    row = necks(trace(model, x), x)
    assert [neck.node.name for neck in row] == ["x", "a", "add_1", "mean", "last"]
    with torch.no_grad():
        torch.testing.assert_close(row[1].value, model.a(x))
        torch.testing.assert_close(row[-1].value, model(x))


def test_a_model_cut_at_any_of_its_necks_is_the_model():
    for make in (Skips, Small):
        model = seeded(make)
        traced = trace(model, inputs())
        for neck in necks(traced, inputs()):
            first, second = before(traced, neck.node), after(traced, neck.node)
            x = inputs(24, 40, batch=3, seed=1)
            with torch.no_grad():
                assert torch.equal(second(first(x)), model(x))


class ReadsTheInputAgain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.last = nn.Conv2d(3, 3, 1), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.convolution(x).mean((2, 3)) * x.shape[-1])


def test_a_rest_that_needs_the_inputs_size_is_refused():
    traced = trace(seeded(ReadsTheInputAgain), inputs())
    node = next(node for node in traced.graph.nodes if node.name == "mean")
    with pytest.raises(ValueError, match="reads the input too"):
        after(traced, node)


class WithWeightsOfItsOwn(nn.Module):
    """What follows the pooling reads a parameter and a size of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, CHANNELS, 4, 4)
        self.scale = nn.Parameter(torch.rand(CHANNELS) + 0.5)
        self.last = nn.Linear(CHANNELS, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.convolution(x).relu().mean((2, 3))
        return self.last((pooled * self.scale.exp()).view(x.shape[0], -1))


def test_a_rest_that_reads_weights_and_the_batchs_size_is_cut():
    model = seeded(WithWeightsOfItsOwn)
    network = network_of(model)
    assert (network.pooling.key, network.head_kind, network.cut) == ("gap", "affine", "traced")
    with torch.no_grad():
        assert worst(apart(network, inputs(24, 40, batch=3)), model(inputs(24, 40, batch=3))) <= 1e-5
    assert network.preprocessing.size == OWN.size


def test_what_is_traced_prints_nothing(capsys):
    for make in (Small, Branching, ReadsTheInputAgain):
        network_of(seeded(make))
    assert capsys.readouterr() == ("", "")
