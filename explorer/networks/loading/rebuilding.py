"""From recorded operations to a module like one that was written by hand: layers as modules, nothing done in place."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from explorer.networks.loading.operations import SHARING, Recorder, operation_of

_ATEN = torch.ops.aten


def rebuilt(recorder: Recorder, output: fx.Node) -> fx.GraphModule:
    """The recorded graph as a module in evaluation mode whose parameters want no gradients.

    Linear, convolution, normalisation, flattening and adaptive average pooling become modules of torch.nn, named as
    the file named their tensors; in-place operations become plain ones wherever nothing else shares their memory.
    """
    recorder.graph.output(output)
    recorder.graph.eliminate_dead_code(_is_impure)
    _out_of_place(recorder.graph)
    root, names = nn.Module(), _Names()
    for node in list(recorder.graph.nodes):
        maker = _MODULES.get(operation_of(node))
        made = maker(node, recorder) if maker else None
        if made is not None:
            module, given = made
            target = names.take(root, _folder_of(node), "")
            _hang(root, target, module)
            with recorder.graph.inserting_before(node):
                replacement = recorder.graph.call_module(target, (given,))
            replacement.meta = dict(node.meta)
            node.replace_all_uses_with(replacement)
            recorder.graph.erase_node(node)
    recorder.graph.eliminate_dead_code(_is_impure)
    for node in recorder.graph.nodes:
        if node.op == "get_attr":
            tensor = recorder.tensors[node.target]
            node.target = names.take(root, *_path(node.meta["label"]))
            _hang(root, node.target, tensor)
    return fx.GraphModule(root, recorder.graph).eval().requires_grad_(False)


def _is_impure(node: fx.Node) -> bool:
    operation = operation_of(node)
    return node.op in ("placeholder", "output") or (operation.endswith("_") and not operation.startswith("__"))


def _out_of_place(graph: fx.Graph) -> None:
    """`relu_(x)` becomes `relu(x)`, and what comes later reads the result, where x shares memory with nothing else."""
    order = {node: n for n, node in enumerate(graph.nodes)}
    for node in list(graph.nodes):
        operation = operation_of(node)
        if not operation.endswith("_") or not isinstance(node.args[0], fx.Node):
            continue
        plain = getattr(_ATEN, operation[:-1], None)
        changed = node.args[0]
        if plain is None or _shares(changed, node) or changed.op == "get_attr":
            continue
        node.target = plain
        for user in list(changed.users):
            if order[user] > order[node]:
                user.replace_input_with(changed, node)


def _shares(changed: fx.Node, by: fx.Node) -> bool:
    around = [changed, *(user for user in changed.users if user is not by)]
    return any(operation_of(node) in SHARING for node in around)


class _Names:
    """Places for modules and tensors, each given once."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, root: nn.Module, folder: str, leaf: str) -> str:
        parts = [_harmless(part) for part in f"{folder}.{leaf}".split(".") if part] or ["tensor"]
        wanted, count = ".".join(parts), 0
        while self._is_taken(wanted if not count else f"{wanted}_{count}"):
            count += 1
        found = wanted if not count else f"{wanted}_{count}"
        self._taken.add(found)
        return found

    def _is_taken(self, path: str) -> bool:
        inner = (path[:n] for n, letter in enumerate(path) if letter == ".")
        return path in self._taken or any(outer in self._taken for outer in inner) or any(
            other.startswith(f"{path}.") for other in self._taken)


def _harmless(part: str) -> str:
    """A part of a name from a file as one that can stand in generated Python: ASCII letters, digits and _ alone."""
    cleaned = re.sub(r"[^0-9A-Za-z_]", "_", part[:60])
    return f"{cleaned}_" if keyword.iskeyword(cleaned) or hasattr(_EMPTY, cleaned) or cleaned == "_modules" else cleaned


_EMPTY = nn.Module()


def _path(label: str) -> tuple[str, str]:
    folder, _, leaf = label.rpartition(".")
    return folder, leaf


def _folder_of(node: fx.Node) -> str:
    """Where the first tensor that an operation takes hangs, else the operation's own name."""
    for given in node.args:
        if isinstance(given, fx.Node) and given.op == "get_attr":
            return _path(given.meta["label"])[0] or operation_of(node)
    return operation_of(node)


def _hang(root: nn.Module, path: str, what: nn.Module | Tensor) -> None:
    *folders, leaf = path.split(".")
    for folder in folders:
        if folder not in root._modules:
            root.add_module(folder, nn.Module())
        root = root._modules[folder]
    if isinstance(what, nn.Module):
        root.add_module(leaf, what)
    else:
        root.register_buffer(leaf, what)


def _tensors(node: fx.Node, recorder: Recorder, *places: int) -> list[Tensor | None] | None:
    """The file's own tensors at these places of the arguments; None when one of them was computed."""
    found = []
    for place in places:
        given = node.args[place] if len(node.args) > place else None
        if isinstance(given, fx.Node) and given.op != "get_attr":
            return None
        found.append(recorder.tensors[given.target] if isinstance(given, fx.Node) else None)
    return found


def _filled(module: nn.Module, **tensors: Tensor | None) -> nn.Module:
    for key, tensor in tensors.items():
        if key in module._buffers:
            module._buffers[key] = tensor
        else:
            module._parameters[key] = None if tensor is None else nn.Parameter(tensor, requires_grad=False)
    return module


def _linear(node: fx.Node, recorder: Recorder) -> tuple[nn.Module, fx.Node] | None:
    held = _tensors(node, recorder, 1, 2)
    if held is None or node.kwargs or held[0] is None or held[0].ndim != 2:
        return None
    with torch.device("meta"):
        module = nn.Linear(held[0].shape[1], held[0].shape[0], bias=held[1] is not None)
    return _filled(module, weight=held[0], bias=held[1]), node.args[0]


def _batch_norm(node: fx.Node, recorder: Recorder) -> tuple[nn.Module, fx.Node] | None:
    held = _tensors(node, recorder, 1, 2, 3, 4)
    if held is None or node.kwargs or held[2] is None or held[3] is None or (held[0] is None) != (held[1] is None):
        return None
    kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}.get(node.args[0].meta["value"].ndim)
    if kind is None:
        return None
    with torch.device("meta"):
        module = kind(len(held[2]), eps=node.args[7], affine=held[0] is not None)
    module.num_batches_tracked = torch.tensor(0)
    return _filled(module, weight=held[0], bias=held[1], running_mean=held[2], running_var=held[3]), node.args[0]


def _layer_norm(node: fx.Node, recorder: Recorder) -> tuple[nn.Module, fx.Node] | None:
    held = _tensors(node, recorder, 2, 3)
    if held is None or node.kwargs or held[0] is None or held[1] is None:
        return None
    with torch.device("meta"):
        module = nn.LayerNorm(node.args[1], eps=node.args[4] if len(node.args) > 4 else 1e-5)
    return _filled(module, weight=held[0], bias=held[1]), node.args[0]


def _conv2d(node: fx.Node, recorder: Recorder) -> tuple[nn.Module, fx.Node] | None:
    held = _tensors(node, recorder, 1, 2)
    options = list(node.args[3:])
    if operation_of(node) == "convolution":
        if len(options) != 6 or options[3]:  # transposed
            return None
        options = [*options[:3], options[5]]
    if held is None or node.kwargs or held[0] is None or held[0].ndim != 4 or node.args[0].meta["value"].ndim != 4:
        return None
    stride, padding, dilation, groups = [*options, *[1, 0, 1, 1][len(options):]]
    if any(isinstance(number, fx.Node) for item in (stride, padding, dilation, groups) for number in _flat(item)):
        return None
    out, within, *kernel = held[0].shape
    with torch.device("meta"):
        module = nn.Conv2d(within * groups, out, tuple(kernel), _pair(stride), _pair(padding), _pair(dilation), groups,
                           bias=held[1] is not None)
    return _filled(module, weight=held[0], bias=held[1]), node.args[0]


def _flat(item: Any) -> list[Any]:
    return list(item) if isinstance(item, list | tuple) else [item]


def _pair(item: Any) -> Any:
    numbers = _flat(item)
    return item if isinstance(item, str) else tuple(numbers * 2 if len(numbers) == 1 else numbers)


def _flatten(node: fx.Node, recorder: Recorder) -> tuple[nn.Module, fx.Node] | None:
    start, end = [*node.args[1:], *[0, -1][len(node.args) - 1:]]
    return None if node.kwargs else (nn.Flatten(start, end), node.args[0])


def _adaptive(node: fx.Node, recorder: Recorder) -> tuple[nn.Module, fx.Node] | None:
    sizes = node.args[1]
    if node.kwargs or any(isinstance(size, fx.Node) for size in _flat(sizes)):
        return None
    return nn.AdaptiveAvgPool2d(_pair(sizes)), node.args[0]


_MODULES: dict[str, Callable[[fx.Node, Recorder], tuple[nn.Module, fx.Node] | None]] = {
    "linear": _linear, "batch_norm": _batch_norm, "layer_norm": _layer_norm, "conv2d": _conv2d,
    "convolution": _conv2d, "flatten": _flatten, "adaptive_avg_pool2d": _adaptive,
}
