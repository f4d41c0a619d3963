"""What stands above the maps that are looked at, for CAM methods: a pooling and a head, or whatever follows a layer."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from explorer.cams import CamContext
from explorer.networks.engine import Engine, inputs_at_once
from explorer.networks.head import has_constant_slopes, hold
from explorer.networks.layers import Layers
from explorer.networks.network import Network
from explorer.progress import Progress, Stop, in_batches


class PoolingContext(CamContext):
    """A pooling and a head.

    Args:
        x, feature_maps, logits, head, pooled: see `CamContext`.
        engine: runs the backbone; only for Score-CAM.
        pool: (..., C, H, W) to (..., C), differentiable.
    """

    head: nn.Module
    pooled: Tensor

    def __init__(
        self, x: Tensor, feature_maps: Tensor, logits: Tensor, head: nn.Module, pooled: Tensor, engine: Engine,
        pool: Callable[[Tensor], Tensor],
    ) -> None:
        super().__init__(x, feature_maps, head, pooled)
        self._logits = logits
        self._engine = engine
        self._pool = pool
        self._graph: tuple[Tensor, Tensor] | None = None

    @property
    def logits(self) -> Tensor:
        """(classes,)"""
        return self._logits

    def answers(self, photos: Tensor) -> Tensor:
        """(B, classes)"""
        return self.head(self._pool(self._engine(photos)))

    def batches(self, items: Tensor, unit: str, progress: Progress | None, stop: Stop | None) -> Iterator[Tensor]:
        """Slices of the items."""
        return self._engine.batches(items, self.x, unit, progress, stop)

    def _gradient(self, index: int) -> Tensor:
        feature_maps, pooled = self._pooled_graph()
        return torch.autograd.grad(pooled, feature_maps, self._gradient_at_pooled(index), retain_graph=True)[0]

    def _gradient_at_pooled(self, index: int) -> Tensor:
        """(C,): of the class's logit at the pooled vector."""
        if has_constant_slopes(self.head):  # reads one row of a Linear; going back through it reads all
            return hold(self.head, self.pooled, [index])[0][0]
        with torch.enable_grad():
            pooled = self.pooled.detach().clone().requires_grad_()
            return torch.autograd.grad(self.head(pooled[None])[0, index], pooled)[0]

    def _pooled_graph(self) -> tuple[Tensor, Tensor]:
        if self._graph is None:
            with torch.enable_grad():
                feature_maps = self.feature_maps.detach().clone().requires_grad_()
                self._graph = feature_maps, self._pool(feature_maps)
        return self._graph


@torch.no_grad()
def native_context(network: Network, x: Tensor, feature_maps: Tensor) -> PoolingContext:
    """That of a network's own pooling and head, see `PoolingContext`."""
    parameters, own = dict(network.pooling_parameters), network.pooling
    assert own is not None

    def pool(maps: Tensor) -> Tensor:
        return own.value(maps, **parameters)

    pooled = pool(feature_maps)
    return PoolingContext(x, feature_maps, network.head(pooled[None])[0], network.head, pooled, network.engine, pool)


class LayerContext(CamContext):
    """All that follows a layer of the network, run once as a graph: it gives the logits, and all gradients.

    Such a graph takes as much memory as a forward pass in training. So only the last two are kept in a process (two
    networks may be compared); of the others only their results.

    Args:
        x, feature_maps: see `CamContext`.
        layers, key: the network's, and which of them gave the maps.
    """

    def __init__(self, x: Tensor, feature_maps: Tensor, layers: Layers, key: str) -> None:
        super().__init__(x, feature_maps)
        self._layers = layers
        self._key = key
        self._graph: tuple[Tensor, Tensor] | None = None
        self._own_logits: Tensor | None = None
        self._running = threading.Lock()

    @property
    def logits(self) -> Tensor:
        """(classes,)"""
        logits = self._own_logits
        return self._graph_of_the_rest()[1].detach()[0] if logits is None else logits

    def answers(self, photos: Tensor) -> Tensor:
        """(B, classes)"""
        return self._layers.logits(photos)

    def batches(self, items: Tensor, unit: str, progress: Progress | None, stop: Stop | None) -> Iterator[Tensor]:
        """Slices of the items."""
        return in_batches(items, inputs_at_once(self.x), unit, progress, stop)

    def _gradient(self, index: int) -> Tensor:
        maps, logits = self._graph_of_the_rest()
        if not logits.requires_grad:  # the answer does not depend on these maps
            return torch.zeros_like(self.feature_maps)
        gradient = torch.autograd.grad(logits[0, index], maps, retain_graph=True, allow_unused=True)[0]
        return torch.zeros_like(self.feature_maps) if gradient is None else gradient[0]

    def _graph_of_the_rest(self) -> tuple[Tensor, Tensor]:
        with self._running:
            graph = self._graph
            if graph is None:
                with torch.enable_grad():
                    maps = self.feature_maps.detach()[None].clone().requires_grad_()
                    graph = maps, self._layers.answer(self.x, self._key, maps)
                self._graph, self._own_logits = graph, graph[1].detach()[0]
        _GRAPHS.used(self)
        return graph

    def clear_graph(self) -> None:
        """Free its memory; it is made again when it is needed again."""
        self._graph = None


class _Graphs:
    """Which contexts hold a graph, without keeping any of them alive."""

    def __init__(self, most: int = 2) -> None:
        self._most = most
        self._holders: list[weakref.ref[LayerContext]] = []
        self._lock = threading.Lock()

    def used(self, context: LayerContext) -> None:
        """This one was used; the one unused for longest may lose its graph."""
        with self._lock:
            others = [holder for holder in self._holders if holder() is not None and holder() is not context]
            self._holders = [*others, weakref.ref(context)]
            while len(self._holders) > self._most:
                oldest = self._holders.pop(0)()
                if oldest is not None:
                    oldest.clear_graph()


_GRAPHS = _Graphs()
