"""A model as a graph (torch.fx), and its necks: the places where all that follows depends on one tensor alone."""

from __future__ import annotations

import inspect
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from timm.layers import get_notrace_functions, get_notrace_modules
from torch import Tensor, fx, nn
from torch.fx.experimental.proxy_tensor import make_fx

from explorer.networks.cutting.attention_pooling import is_attention_pool

# Two traces at once would undo each other's patches in the wrong order, and the last would stay for good.
_TRACING = threading.Lock()


class _Tracer(fx.Tracer):
    """Traces a model while other threads use theirs.

    torch.fx replaces nn.Module.__call__ and __getattr__ for the whole process as long as it traces, and takes the
    modules that other threads call meanwhile for parts of this model. Here those threads are let through.
    """

    def __init__(self) -> None:
        wrapped = tuple(function for function in get_notrace_functions() if callable(function))
        super().__init__(autowrap_modules=(math,), autowrap_functions=wrapped, param_shapes_constant=True)
        self._whole = tuple(get_notrace_modules())
        self._thread = threading.get_ident()

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, self._whole) or is_attention_pool(m) or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> Any:
        if threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if threading.get_ident() != self._thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)


class _OneArgument(nn.Module):
    """A model of which only the first argument is an input: the others keep their defaults while it is traced."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Any:
        return self.model(x)


def trace(model: nn.Module, example: Tensor) -> fx.GraphModule:
    """The model as a graph that shares its modules.

    Modules of torch.nn, those that timm says cannot be traced and those that pool by attention are single nodes.
    Raises whatever tracing raises where Python's control flow depends on tensors.
    """
    if isinstance(model, fx.GraphModule):
        return model
    if isinstance(model, torch.jit.ScriptModule):
        # TorchScript runs its own program, which torch.fx cannot read: record what it does to the example.
        with _TRACING, torch.no_grad():
            return make_fx(lambda x: model(x), pre_dispatch=True)(example)
    root = _OneArgument(model) if len(inspect.signature(model.forward).parameters) > 1 else model
    with _TRACING:
        return fx.GraphModule(root, _Tracer().trace(root))


@dataclass(frozen=True)
class Neck:
    """A node on which, alone, all that follows depends; `value` is what it gave for the example."""

    node: fx.Node
    value: Tensor


def necks(traced: fx.GraphModule, example: Tensor) -> list[Neck]:
    """The necks of a traced model from input to output."""
    values = _Values(traced)
    with torch.no_grad():
        values.run(example)
    tensors = values.kept
    nodes = list(traced.graph.nodes)
    place = {node: n for n, node in enumerate(nodes)}
    row, open_until = [], -1
    for n, node in enumerate(nodes):
        if node not in tensors:
            continue
        # A node that reads the tensor's size alone is not among `tensors`, and does not count.
        last_use = max((place[user] for user in node.users if user in tensors or user.op == "output"), default=-1)
        # Nothing earlier is used later than here, so what follows reads this node alone.
        if open_until <= n and last_use > n:
            row.append(Neck(node, tensors[node]))
        open_until = max(open_until, last_use)
    return row


class _Values(fx.Interpreter):
    """Runs a graph and keeps each node's tensor that depends on the input (not parameters and constants)."""

    def __init__(self, traced: fx.GraphModule) -> None:
        super().__init__(traced, garbage_collect_values=False)
        self.kept: dict[fx.Node, Tensor] = {}

    def run_node(self, node: fx.Node) -> Any:
        result = super().run_node(node)
        depends = node.op == "placeholder" or any(source in self.kept for source in node.all_input_nodes)
        parts = result if isinstance(result, (tuple, list)) else [result]
        if depends and node.op != "output" and any(isinstance(part, Tensor) for part in parts):
            self.kept[node] = result.detach().clone() if isinstance(result, Tensor) and result.ndim else result
        return result


def before(traced: fx.GraphModule, node: fx.Node) -> fx.GraphModule:
    """The part of a traced model that ends with a node's tensor."""
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for original in traced.graph.nodes:
        copies[original] = graph.node_copy(original, copies.__getitem__)
        if original is node:
            break
    graph.output(copies[node])
    return _module(traced, graph)


def after(traced: fx.GraphModule, node: fx.Node, last: fx.Node | None = None) -> fx.GraphModule:
    """The part of a traced model that begins with a neck's tensor, to the end or to another node's.

    Raises ValueError where it needs more than that, such as the size of an earlier tensor that is not the batch's.
    """
    graph = fx.Graph()
    copies = {node: graph.placeholder("pooled")}

    def copy_of(original: fx.Node) -> fx.Node:
        if original not in copies:
            if _is_batch_size(original):
                copies[original] = graph.call_method("size", (copies[node], 0))
            elif original.op == "placeholder":
                raise ValueError(f"what follows {node.name} reads the input too")
            else:  # a weight, or what is made of weights alone
                copies[original] = graph.node_copy(original, copy_of)
        return copies[original]

    begun = False
    for original in traced.graph.nodes:
        if begun and any(source in copies for source in original.all_input_nodes):
            copies[original] = graph.node_copy(original, copy_of)
        if last is not None and original is last:
            graph.output(copies[original])
            break
        begun = begun or original is node
    return _module(traced, graph)


def _module(traced: fx.GraphModule, graph: fx.Graph) -> fx.GraphModule:
    module = fx.GraphModule(traced, graph)
    module.graph.eliminate_dead_code()
    module.recompile()
    return module


def _is_batch_size(node: fx.Node) -> bool:
    """Whether a node is x.size(0) or x.shape[0] of some tensor x."""
    if node.op == "call_method" and node.target == "size":
        return bool(node.args[1:] == (0,))
    if node.op == "call_function" and getattr(node.target, "__name__", "") == "getitem" and node.args[1] == 0:
        of = node.args[0]
        return isinstance(of, fx.Node) and bool(
            (of.op == "call_method" and of.target == "size" and len(of.args) == 1)
            or (getattr(of.target, "__name__", "") == "getattr" and of.args[1] == "shape"))
    return False
