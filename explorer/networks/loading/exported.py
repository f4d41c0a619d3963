"""A torch.export archive read as data: its graph is a JSON text, its tensors are plain bytes.

`torch.export.load` is not asked: it unpickles sample inputs, weights and constants without restraint, evaluates
expressions and loads compiled libraries from the archive. Only the graph and the plain tensors are read here.
"""

from __future__ import annotations

import json
import operator
from math import prod
from typing import Any

import torch
from torch import fx

from explorer.errors import NetworkError
from explorer.networks.loading.archive import Archive, shown
from explorer.networks.loading.operations import Recorder
from explorer.networks.loading.pickled import Claim, Storage
from explorer.networks.loading.tensors import Storages

_DTYPES = {1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64, 6: torch.float16,
           7: torch.float32, 8: torch.float64, 12: torch.bool, 13: torch.bfloat16}
_FORMATS = {1: torch.contiguous_format, 2: torch.channels_last, 4: torch.preserve_format}
_NUMBERS = {"_operator.add": "add", "_operator.sub": "sub", "_operator.mul": "mul", "_operator.floordiv": "floordiv",
            "_operator.mod": "mod", "_operator.neg": "neg", "_operator.truediv": "truediv"}
_CHECKS = frozenset({"_assert_tensor_metadata", "_assert_scalar", "sym_constrain_range_for_size",
                     "sym_constrain_range", "_assert_async"})
_DAMAGE = (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError, StopIteration)


class Export:
    """The graph, the input's shape and the tensors of a torch.export archive."""

    def __init__(self, archive: Archive, budget: int) -> None:
        self.name = archive.name
        try:
            described = json.loads(archive.text("models/model.json"))["graph_module"]
            self.graph: dict[str, Any] = described["graph"]
            self._weights = self._payloads(archive, "weights", budget)
            self._constants = self._payloads(archive, "constants", budget)
            self.inputs, self.outputs = [], []
            self.tensors: dict[str, torch.Tensor] = {}
            self.labels: dict[str, str] = {}
            for spec in described["signature"]["input_specs"]:
                self._take_input(spec)
            for spec in described["signature"]["output_specs"]:
                if "user_output" not in spec:
                    raise NetworkError(f"{self.name} is an exported program that changes its own tensors; expected "
                                       "one exported in evaluation mode.")
                self.outputs.append(spec["user_output"]["arg"])
            sizes = self.graph["tensor_values"][self.inputs[0]]["sizes"] if len(self.inputs) == 1 else []
            self.shape = tuple(_size(size) for size in sizes)
        except _DAMAGE:
            raise NetworkError(f"{self.name} is damaged, or of a form of torch.export that PoolScope does not know; "
                               "export it again with a torch of 2.9 or newer.") from None
        if len(self.shape) != 4:
            raise NetworkError(f"{self.name} is an exported program that takes {len(self.inputs)} inputs or one that "
                               "is no image; expected one input of shape (batch, channels, height, width).")

    def _payloads(self, archive: Archive, folder: str, budget: int) -> dict[str, torch.Tensor]:
        path = f"data/{folder}/model_{folder}_config.json"
        if path not in archive:
            raise KeyError(path)
        storages = Storages(lambda key: archive.read(f"data/{folder}/{key}"), budget, self.name)
        tensors = {}
        for label, payload in json.loads(archive.text(path))["config"].items():
            if payload["use_pickle"] or not payload["path_name"].startswith(("weight_", "tensor_")):
                raise NetworkError(f"{self.name} holds Python objects and not only tensors ({shown(label)}); "
                                   "PoolScope executes nothing in a file.")
            tensors[label] = storages.tensor(_claim(payload, archive, folder, self.name), label)
        return tensors

    def _take_input(self, spec: dict[str, Any]) -> None:
        kind, = spec
        inner = spec[kind]
        if kind == "user_input":
            self.inputs.append(inner["arg"]["as_tensor"]["name"])
            return
        label = inner.get({"parameter": "parameter_name", "buffer": "buffer_name",
                           "tensor_constant": "tensor_constant_name"}.get(kind, ""))
        tensors = self._weights if label in self._weights else self._constants
        if label is None or label not in tensors:
            raise NetworkError(f"{self.name} is an exported program that needs {shown(kind)}, which is more than "
                               "tensors.")
        self.tensors[inner["arg"]["name"]], self.labels[inner["arg"]["name"]] = tensors[label], label


def record_export(export: Export, recorder: Recorder) -> Any:
    """Write the exported graph down; returns the node of its output.

    Raises:
        NetworkError: it asks for what is not allowed or understood.
        DoesNotFitError: it cannot take an input of this shape.
    """
    values: dict[str, Any] = {export.inputs[0]: recorder.input}
    for name, tensor in export.tensors.items():
        values[name] = recorder.tensor(tensor, export.labels[name])
    try:
        for node in export.graph["nodes"]:
            _record_node(node, values, recorder)
        results = [_argument(output, values) for output in export.outputs]
    except _DAMAGE:
        raise NetworkError(f"{export.name} is damaged: its graph asks for what it does not hold.") from None
    return results[0] if len(results) == 1 else tuple(results)


def _record_node(node: dict[str, Any], values: dict[str, Any], recorder: Recorder) -> None:
    target = node["target"]
    space, _, rest = target.partition("torch.ops.aten.")
    operation = "" if space else rest.partition(".")[0]
    if operation in _CHECKS:
        return
    args, kwargs = [], {}
    for given in node["inputs"]:
        value = _argument(given["arg"], values)
        if given.get("kind") == 2:
            kwargs[given["name"]] = value
        else:
            args.append(value)
    if operation == "sym_size":
        found = recorder.record(torch.ops.aten.sym_size, (args[0], operator.index(args[1])), {})
    elif target in _NUMBERS:
        found = recorder.number(_NUMBERS[target], args)
    elif operation:
        found = recorder.call(operation, args, kwargs)
    else:
        raise NetworkError(f"{recorder.name} asks for the operation {shown(target)}, which is not one of those that "
                           "PoolScope lets a file ask for.")
    _give(node["outputs"], found, values)


def _give(outputs: list[dict[str, Any]], found: Any, values: dict[str, Any]) -> None:
    if len(outputs) == 1 and "as_tensors" in outputs[0]:
        names = [entry["name"] for entry in outputs[0]["as_tensors"]]
    else:
        names = [next(iter(_names(output))) for output in outputs]
    results = found if isinstance(found, list | tuple) else [found]
    for name, value in zip(names, results, strict=True):
        values[name] = value


def _names(output: dict[str, Any]) -> list[str]:
    (kind, inner), = output.items()
    return [inner["as_name"] if kind.startswith("as_sym") else inner["name"]]


def _argument(argument: dict[str, Any], values: dict[str, Any]) -> Any:
    """A value of the graph's JSON: a node, a number, a text, a list of these."""
    (kind, inner), = argument.items()
    if kind == "as_none":
        return None
    if kind in ("as_tensor", "as_tensors"):
        return values[inner["name"]] if kind == "as_tensor" else [values[entry["name"]] for entry in inner]
    if kind in ("as_optional_tensor", "as_optional_tensors"):
        return _argument(inner, values) if kind == "as_optional_tensor" else [_argument(entry, values)
                                                                               for entry in inner]
    if kind.startswith("as_sym_"):
        return [_symbolic(entry, values) for entry in inner] if kind.endswith("s") else _symbolic(inner, values)
    if kind in _ENUMERATED:
        return _ENUMERATED[kind][inner]
    if kind == "as_layout":
        return torch.strided
    if kind == "as_device":
        return torch.device("cpu")
    if kind in ("as_int", "as_float", "as_bool", "as_string", "as_ints", "as_floats", "as_bools", "as_strings"):
        return inner
    raise ValueError(kind)


_ENUMERATED: dict[str, dict[int, Any]] = {"as_scalar_type": _DTYPES, "as_memory_format": _FORMATS}


def _symbolic(entry: dict[str, Any], values: dict[str, Any]) -> fx.Node | int | float:
    (kind, inner), = entry.items()
    return values[inner] if kind == "as_name" else inner


def _size(size: dict[str, Any]) -> int:
    """A size, or the one that the program was exported with where any is allowed."""
    return operator.index(size["as_int"] if "as_int" in size else size["as_expr"]["hint"]["as_int"])


def _claim(payload: dict[str, Any], archive: Archive, folder: str, name: str) -> Claim:
    meta = payload["tensor_meta"]
    dtype = _DTYPES.get(meta["dtype"])
    if dtype is None or meta.get("layout", 7) != 7:
        raise NetworkError(f"{name} holds a tensor of a kind that is not read; expected plain tensors of real numbers.")
    size, stride = (tuple(_size(entry) for entry in meta[key]) for key in ("sizes", "strides"))
    numbers = (_size(meta["storage_offset"]), *size, *stride)
    if len(size) != len(stride) or len(size) > 16 or any(not 0 <= number < 1 << 62 for number in numbers):
        raise NetworkError(f"{name} claims a tensor of impossible shape {shown(size)}.")
    there = len(archive.read(f"data/{folder}/{payload['path_name']}")) // dtype.itemsize if prod(size) else 0
    return Claim(Storage(payload["path_name"], dtype, there), dtype, numbers[0], size, stride)
