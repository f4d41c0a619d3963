"""What a TorchScript program works out beside tensors: sizes, numbers, lists and questions about a tensor's kind."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx

from explorer.networks.loading.archive import shown
from explorer.networks.loading.scripted import Weight

if TYPE_CHECKING:
    from explorer.networks.loading.following import Walker

_MOST = 2_000_000  # rounds of a loop


def holds_tensor(value: Any) -> bool:
    if isinstance(value, fx.Node):
        return isinstance(value.meta["value"], Tensor)
    if isinstance(value, list | tuple) and not isinstance(value, Weight):
        return any(map(holds_tensor, value))
    return isinstance(value, Weight) and value.tensor.ndim > 0


def _worked_out(function: Callable) -> Callable:
    """A function of known values alone: what depends on the input's size is taken for the size tried."""

    def handler(walker: Walker, args: list[Any], kwargs: dict[str, Any]) -> Any:
        try:
            if kwargs:
                raise TypeError
            return function(*map(walker.deeply_known, args))
        except (TypeError, ValueError, ArithmeticError, LookupError):
            raise walker.refuse("it works out something of values that do not allow it") from None

    return handler


def _arithmetic(operation: str) -> Callable:
    def handler(walker: Walker, args: list[Any], kwargs: dict[str, Any]) -> Any:
        rounded = operation == "truediv" and kwargs in ({"rounding_mode": "floor"}, {"rounding_mode": "trunc"})
        if len(args) != (1 if operation == "neg" else 2) or (kwargs and not rounded):
            raise walker.refuse(f"it works out {operation} in an unusual way")
        return walker.scalar("floordiv" if rounded else operation, args)  # sizes are never negative

    return handler


def _first(walker: Walker, args: list[Any], kwargs: dict[str, Any]) -> Any:
    return args[0]


def _whole(walker: Walker, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if isinstance(args[0], fx.Node) and isinstance(args[0].meta["value"], int):
        return args[0]
    return _worked_out(int)(walker, args, kwargs)


def _size(walker: Walker, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if isinstance(args[0], Weight):
        sizes = list(args[0].tensor.shape)
        return sizes if len(args) == 1 else walker.item(sizes, args[1])
    if not holds_tensor(args[0]) or isinstance(args[0], list | tuple):
        raise walker.refuse("it asks for the size of something that has none")
    rank = args[0].meta["value"].ndim
    places = [args[1]] if len(args) > 1 else range(rank)
    sizes = [walker.recorder.record(torch.ops.aten.sym_size, (args[0], place), {}) for place in places]
    return sizes[0] if len(args) > 1 else sizes


def _of_tensor(ask: Callable[[Tensor], Any]) -> Callable:
    def handler(walker: Walker, args: list[Any], kwargs: dict[str, Any]) -> Any:
        value = args[0].tensor if isinstance(args[0], Weight) else getattr(args[0], "meta", {}).get("value")
        if not isinstance(value, Tensor):
            raise walker.refuse("it asks something of a tensor that is none")
        return ask(value)

    return handler


def _append(walker: Walker, args: list[Any], kwargs: dict[str, Any]) -> Any:
    walker.listed(args[0]).append(args[1])
    return args[0]


def _listing(walker: Walker, args: list[Any], kwargs: dict[str, Any]) -> Any:
    return list(walker.listed(args[0]))


def _slice(walker: Walker, args: list[Any], kwargs: dict[str, Any]) -> Any:
    start, end, step = [*map(walker.known, args[1:4]), *[None, None, 1][len(args) - 1:]]
    if kwargs:
        raise walker.refuse("it takes a part of a list in an unusual way")
    return walker.listed(args[0])[slice(start, end, step)]


def _clamp(value: float, low: float | None = None, high: float | None = None) -> float:
    value = value if low is None else max(value, low)
    return value if high is None else min(value, high)


def _nothing(walker: Walker, args: list[Any], kwargs: dict[str, Any]) -> None:
    return None


def _range(*bounds: int) -> range:
    found = range(*bounds)
    if len(found) > _MOST:
        raise ValueError
    return found


# These are no tensor operations, whatever they are given.
ALWAYS = frozenset({"size", "dim", "len", "dtype", "device", "is_floating_point", "NumToTensor", "data", "__is__",
                     "__isnot__", "append", "format", "warn", "Int", "int", "Float", "Bool", "layout", "is_cuda",
                     "_unwrap_optional", "unchecked_unwrap_optional", "numel", "is_complex", "requires_grad",
                     "ImplicitTensorToNum", "ScalarImplicit", "IntImplicit", "list"})
SCALARS: dict[str, Callable] = {
    "size": _size, "dim": _of_tensor(lambda x: x.ndim), "numel": _of_tensor(lambda x: x.numel()),
    "dtype": _of_tensor(lambda x: x.dtype), "device": _of_tensor(lambda x: torch.device("cpu")),
    "is_floating_point": _of_tensor(lambda x: x.is_floating_point()), "is_complex": _of_tensor(lambda x: False),
    "layout": _of_tensor(lambda x: torch.strided), "is_cuda": _of_tensor(lambda x: False),
    "requires_grad": _of_tensor(lambda x: False),
    "NumToTensor": _first, "data": _first, "_unwrap_optional": _first, "unchecked_unwrap_optional": _first,
    "int": _whole, "Int": _whole, "ImplicitTensorToNum": _first, "ScalarImplicit": _first, "IntImplicit": _whole,
    "float": _worked_out(float), "Float": _worked_out(float), "bool": _worked_out(bool), "Bool": _worked_out(bool),
    "add": _arithmetic("add"), "sub": _arithmetic("sub"), "mul": _arithmetic("mul"), "neg": _arithmetic("neg"),
    "floordiv": _arithmetic("floordiv"), "floor_divide": _arithmetic("floordiv"), "remainder": _arithmetic("mod"),
    "div": _arithmetic("truediv"), "eq": _worked_out(lambda a, b: a == b), "ne": _worked_out(lambda a, b: a != b),
    "lt": _worked_out(lambda a, b: a < b), "le": _worked_out(lambda a, b: a <= b),
    "gt": _worked_out(lambda a, b: a > b), "ge": _worked_out(lambda a, b: a >= b),
    "__and__": _worked_out(lambda a, b: a and b), "__or__": _worked_out(lambda a, b: a or b),
    "__not__": _worked_out(lambda a: not a), "__contains__": _worked_out(lambda a, b: b in a),
    "__is__": lambda walker, args, kwargs: args[0] is args[1],
    "__isnot__": lambda walker, args, kwargs: args[0] is not args[1],
    "len": lambda walker, args, kwargs: len(walker.listed(args[0])) if not isinstance(args[0], dict) else len(args[0]),
    "list": _listing, "append": _append, "format": lambda walker, args, kwargs: shown(args[0]), "warn": _nothing,
    "slice": _slice, "clamp": _worked_out(_clamp),
    "floor": _worked_out(math.floor), "ceil": _worked_out(math.ceil), "sqrt": _worked_out(math.sqrt),
    "min": _worked_out(min), "max": _worked_out(max), "range": _worked_out(_range),
    "__range_length": _worked_out(lambda a, b, step: len(range(a, b, step))),
    "__derive_index": _worked_out(lambda n, start, step: start + n * step),
    "is_scripting": lambda walker, args, kwargs: True, "is_grad_enabled": lambda walker, args, kwargs: False,
    "is_autocast_enabled": lambda walker, args, kwargs: False,
}
