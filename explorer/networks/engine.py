"""What runs a backbone forward: torch, or ONNX Runtime where that is faster.

A backbone is never run backward, so it need not be run by torch. On a CPU ONNX Runtime takes a half of torch's time or
less for most convolutional networks, and its threads sleep while they wait, so that it stays fast beside other work.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import onnxruntime
import torch
from torch import Tensor, nn

from explorer.checks import checked_key
from explorer.errors import ExplorerError, NetworkError, ParameterError, StoppedError
from explorer.networks.graphs import export
from explorer.progress import Progress, Stop, in_batches

ENGINES = ("auto", "torch", "onnx")
CLOSE = 1e-4  # of the largest number on the maps: how far a graph's may be from torch's
_MOST_THREADS = 4  # for one pass: more wait for each other longer than they work
_SIZES, _SIZES_BYTES = 4, 256 * 2**20  # input sizes for which a session is kept; each has weights of its own
_ROUNDS = 7  # of a trial
_PAYS = 0.8  # of one thread's time: what torch's threads must come to, for they take the cores from others
_MOST_AT_ONCE, _PIXELS_AT_ONCE = 16, 100_000  # of torch: the maps of more inputs leave the processor's cache
_LOG = logging.getLogger(__name__)


def threads() -> int:
    """Threads for one pass: POOLSCOPE_THREADS, else as many as this process has cores, up to 4.

    Raises ParameterError where the variable is not a whole number from 1 to 999.
    """
    text = os.environ.get("POOLSCOPE_THREADS", "")
    if text and not (text.isascii() and text.isdigit() and len(text) < 4 and int(text) > 0):
        raise ParameterError(f"POOLSCOPE_THREADS is {text!r:.40}; expected a whole number from 1 to 999.")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1  # Linux alone
    return int(text) if text else min(_MOST_THREADS, cores)


def usual_threads() -> int:
    """Threads for torch in a process that serves pages: one, unless POOLSCOPE_THREADS says otherwise.

    What follows a pass is small, and so are most networks; an engine that was prepared sets more for its own passes.
    """
    return threads() if os.environ.get("POOLSCOPE_THREADS") else 1


def inputs_at_once(x: Tensor) -> int:
    """How many inputs such as x (1, channels, h, w) go through torch in one pass on a CPU; see docs/decisions/0018."""
    return min(_MOST_AT_ONCE, max(1, _PIXELS_AT_ONCE // (x.shape[2] * x.shape[3])))


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """That many threads of torch for what this thread runs in the block; None leaves them.

    Torch keeps the number for each thread that calls it, and gives new threads the last one that was set.
    """
    before = torch.get_num_threads()
    if count is None or count == before:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def seconds_of(passes: Sequence[Callable[[], object]], stop: Stop | None = None) -> list[float]:
    """The least seconds of each of some passes: they are run in turns, and what other work adds does not count.

    Raises StoppedError when `stop` says so.
    """
    took: list[list[float]] = [[] for _ in passes]
    for _ in range(_ROUNDS + 1):
        for run, seconds in zip(passes, took, strict=True):
            if stop is not None and stop():
                raise StoppedError("The trial of engines was stopped.")
            begin = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - begin)
    return [min(seconds[1:]) for seconds in took]  # the first passes set things up


def session_options() -> onnxruntime.SessionOptions:
    """Of ONNX Runtime, for a session whose threads sleep while they wait."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads(), 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # what it refuses is raised
    return options


class Graph:
    """A backbone as an ONNX graph, run one input at a time.

    Args:
        model: the graph in bytes, with its weights: "x" (1, channels, height, width) to "maps" (1, C, rows, columns).
            The input's height and width are free in it, and fixed for each size in use: that takes a third off a pass.
    """

    def __init__(self, model: bytes) -> None:
        self._model = model
        self._sessions: OrderedDict[tuple[int, ...], onnxruntime.InferenceSession] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, x: Tensor) -> Tensor:
        """Feature maps (B, C, H, W) of inputs (B, channels, h, w) float32."""
        session = self._session(tuple(x.shape[2:]))
        return torch.cat([torch.from_numpy(session.run(["maps"], {"x": one[None].numpy()})[0])
                          for one in x.contiguous()])

    @property
    def nbytes(self) -> int:
        """About what it takes of memory: the graph, and its weights in each session."""
        return len(self._model) * (1 + len(self._sessions))

    def _session(self, size: tuple[int, ...]) -> onnxruntime.InferenceSession:
        with self._lock:
            session = self._sessions.pop(size, None) or self._started(*size)
            self._sessions[size] = session  # the one used last comes last
            if len(self._sessions) > max(1, min(_SIZES, _SIZES_BYTES // max(1, len(self._model)))):
                self._sessions.popitem(last=False)
        return session

    def _started(self, height: int, width: int) -> onnxruntime.InferenceSession:
        options = session_options()
        options.add_free_dimension_override_by_name("height", height)
        options.add_free_dimension_override_by_name("width", width)
        return onnxruntime.InferenceSession(self._model, options, providers=["CPUExecutionProvider"])


class Engine:
    """Runs one backbone: torch, or a graph of it where there is one that gives the same feature maps.

    At each new input size the graph's first maps are compared with torch's: where they differ by more than 1e-4 of the
    largest number, or the graph refuses the size, torch runs that size. Threads may share it.

    Args:
        backbone: (B, channels, h, w) to feature maps (B, C, H, W).
        choice: "torch"; "onnx"; or "auto", a graph where there is one.
        graph: of the backbone; None where none was written yet, see `write_graph` and `explorer.networks.preparation`.

    Raises ParameterError for another choice.
    """

    def __init__(self, backbone: nn.Module, choice: str = "auto", graph: Graph | None = None) -> None:
        self.backbone = backbone
        self.choice = checked_key(choice, ENGINES, "engine")
        self._graph = None if choice == "torch" else graph
        self._agrees: dict[tuple[int, ...], bool] = {}  # by input size, whether the graph gives torch's maps
        self._threads: int | None = None  # of torch; None are those of the process

    @property
    def has_graph(self) -> bool:
        """Whether there is a graph, written in this process or before."""
        return self._graph is not None

    @property
    def nbytes(self) -> int:
        """About what the graph takes of memory, beside the backbone; 0 without one."""
        return self._graph.nbytes if self._graph is not None else 0

    def runs(self, x: Tensor) -> str:
        """What ran inputs of the size of x (B, channels, h, w): "torch" or "ONNX Runtime"; "torch" before the first."""
        return "ONNX Runtime" if self._runs_graph(x) else "torch"

    def _runs_graph(self, x: Tensor) -> bool:
        return self._graph is not None and self._agrees.get(tuple(x.shape[2:]), False)

    def chosen(self, choice: str) -> Engine:
        """An engine for the same backbone by another choice; a graph that is there is shared."""
        return Engine(self.backbone, choice, self._graph)

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Feature maps (B, C, H, W) of inputs (B, channels, h, w); raises whatever the backbone does."""
        graph, size = self._graph, tuple(x.shape[2:])
        if graph is None or x.dtype != torch.float32:
            return self._by_torch(x)
        if size not in self._agrees:
            self._agrees[size] = self._gives_the_same(graph, x[:1])
        return graph(x) if self._agrees[size] else self._by_torch(x)

    def _by_torch(self, x: Tensor, count: int | None = None) -> Tensor:
        with torch_threads(count or self._threads):
            return self.backbone(x)

    @torch.no_grad()
    def _gives_the_same(self, graph: Graph, x: Tensor) -> bool:
        expected = self._by_torch(x)
        try:
            maps = graph(x)
        except ExplorerError:
            raise
        except Exception as error:  # ONNX Runtime has no base class of what it raises
            _LOG.info("ONNX Runtime does not run %s: %s", tuple(x.shape), error)
            return False
        return maps.shape == expected.shape and bool((maps - expected).abs().max() <= CLOSE * expected.abs().max())

    def batches(
        self, items: Sequence[Any] | Tensor, x: Tensor, unit: str, progress: Progress | None, stop: Stop | None
    ) -> Iterator[Any]:
        """`items` in slices of as many as go through at once, one pass each; see `explorer.progress.in_batches`.

        A graph takes one at a time, torch several small ones.

        Args:
            items: of which the inputs are made.
            x: (1, channels, h, w), an input as they will be.
        """
        return in_batches(items, 1 if self._runs_graph(x) else inputs_at_once(x), unit, progress, stop)

    @torch.no_grad()
    def choose(
        self, x: Tensor, graph: Graph | None = None, stop: Stop | None = None,
        measure: Callable[[Sequence[Callable[[], object]], Stop | None], list[float]] = seconds_of,
    ) -> None:
        """Run by what a trial says is soonest: torch with one thread or with `threads()`, or a graph.

        POOLSCOPE_THREADS, where it is set, is the number of threads, and is not tried.

        Args:
            x: (1, channels, h, w), a photo's input.
            graph: of the backbone; used where it gives the same maps of x and is sooner than torch.
            stop, measure: whether to stop, with StoppedError; and what times the passes, see `seconds_of`.
        """
        most = threads()
        counts = [most] if most == 1 or os.environ.get("POOLSCOPE_THREADS") else [1, most]
        passes: list[Callable[[], object]] = [partial(self._by_torch, x, count) for count in counts]
        if graph is not None and self._gives_the_same(graph, x):
            passes.append(partial(graph, x))
        took = measure(passes, stop) if len(passes) > 1 else [0.0]
        by_torch, by_graph = took[:len(counts)], took[len(counts):]
        self._threads = counts[-1] if by_torch[-1] <= _PAYS * by_torch[0] else counts[0]
        if by_graph and by_graph[0] < min(by_torch):
            self._agrees[tuple(x.shape[2:])] = True
            self._graph = graph
        _LOG.info("%s, by torch with %s threads %s s, by ONNX Runtime %s s", self.runs(x), counts, by_torch, by_graph)

    def write_graph(self, x: Tensor) -> None:
        """Write a graph of the backbone, unless there is one, and use it from now on; it takes some seconds.

        Args:
            x: (1, channels, h, w), an input of the network's own size.

        Raises NetworkError where no graph can be written, or it gives other feature maps.
        """
        if self._graph is None:
            graph = Graph(export(self.backbone, x))
            if not self._gives_the_same(graph, x):
                raise NetworkError("The ONNX graph that torch wrote of the backbone gives other feature maps.")
            self._agrees[tuple(x.shape[2:])] = True
            self._graph = graph
