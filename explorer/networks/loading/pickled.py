"""A pickle read as data. Its instructions are followed by a machine that knows containers, numbers, texts and tensors.

Nothing is imported or called that a file names: a name that is not in the tables below is refused. So it does not
matter which holes `torch.load` or Python's own unpickler have (CVE-2025-32434, CVE-2026-24747): neither is asked.
A tensor is only what the file claims of it, until `tensors.Storages` has held the claim against the bytes.
"""

from __future__ import annotations

import io
import pickletools
import struct
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from explorer.errors import NetworkError
from explorer.networks.loading.archive import shown

MOST_INSTRUCTIONS = 2_000_000
_DAMAGE = (IndexError, KeyError, ValueError, TypeError, AttributeError, struct.error, OverflowError, RecursionError,
           MemoryError, EOFError)

STORAGES = {
    "FloatStorage": torch.float32, "DoubleStorage": torch.float64, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
}
DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in STORAGES.values()}
_UNREADABLE = {  # what torch.load would make of them, for the sentence
    "_rebuild_sparse_tensor": "a sparse tensor", "_rebuild_qtensor": "a quantised tensor",
    "_rebuild_meta_tensor_no_storage": "a tensor without numbers (meta)", "_rebuild_nested_tensor": "a nested tensor",
    "_rebuild_wrapper_subclass": "a tensor of a class of its own",
    "_rebuild_device_tensor_from_numpy": "a tensor of another device",
    "_rebuild_device_tensor_from_cpu_tensor": "a tensor of another device",
    "ComplexFloatStorage": "complex numbers", "ComplexDoubleStorage": "complex numbers",
    "QInt8Storage": "a quantised tensor", "QUInt8Storage": "a quantised tensor", "QInt32Storage": "a quantised tensor",
    "QUInt4x2Storage": "a quantised tensor", "QUInt2x4Storage": "a quantised tensor",
}


class Named(NamedTuple):
    """What a pickle names: never looked up, only compared."""

    module: str
    name: str


class Storage(NamedTuple):
    """A block of numbers that a pickle speaks of: its key, kind (None: bytes) and claimed count."""

    key: str
    dtype: torch.dtype | None
    count: int


@dataclass(frozen=True, eq=False)
class Claim:
    """A tensor as a pickle claims it to be, in elements of its storage."""

    storage: Storage
    dtype: torch.dtype
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(eq=False)
class Instance:
    """An object of a TorchScript class: its attributes, and no behaviour."""

    kind: Named
    attributes: dict[str, Any]


def unpickled(data: bytes | memoryview | io.BytesIO, name: str, scripted: bool = False) -> Any:
    """What a pickle holds: dict, list, tuple, text, number, None, and `Claim` for a tensor.

    Args:
        data: a pickle; a stream is left after its end.
        name: what to call the file in a sentence.
        scripted: whether objects of TorchScript classes may be in it, as `Instance`.

    Raises:
        NetworkError: it is damaged or names anything but tensors.
    """
    machine = _Machine(name, scripted)
    data = bytes(data) if isinstance(data, memoryview) else data
    try:
        for count, (code, argument, _) in enumerate(pickletools.genops(data)):
            if count > MOST_INSTRUCTIONS:
                raise NetworkError(f"{name} holds more than {MOST_INSTRUCTIONS:,} pickle instructions, which is more "
                                   "than a network needs.")
            machine.step(code.name, argument)
        return machine.stack.pop()
    except _DAMAGE:
        raise NetworkError(f"{name} is damaged or cut short: its list of tensors cannot be read.") from None


_LITERALS = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES",
    "BINBYTES8"})
_EMPTY = {"NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False, "EMPTY_TUPLE": tuple,
          "EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": list}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Machine:
    """The pickle machine of Python, without the power to import, call or build anything."""

    def __init__(self, name: str, scripted: bool) -> None:
        self.name, self.scripted = name, scripted
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def step(self, code: str, argument: Any) -> None:
        if code in _LITERALS:
            self.stack.append(argument)
        elif code in _EMPTY:
            self.stack.append(_EMPTY[code]())
        elif code in _TUPLES:
            self.stack[-_TUPLES[code] :] = [tuple(self._last(_TUPLES[code]))]
        elif code in ("PROTO", "FRAME", "STOP"):
            pass
        else:
            action = getattr(self, f"_{code.lower()}", None)
            if action is None:
                raise NetworkError(f"{self.name} is no file of tensors: its pickle has an instruction {code}, "
                                   "which torch.save does not write.")
            action(argument)

    def _last(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise IndexError
        return self.stack[-count:]

    def _mark(self, _: None) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def _since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def _pop(self, _: None) -> None:
        self.stack.pop()

    def _tuple(self, _: None) -> None:
        items = self._since_mark()
        self.stack.append(tuple(items))

    def _binput(self, place: int) -> None:
        self.memo[place] = self.stack[-1]

    _long_binput = _binput

    def _memoize(self, _: None) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _binget(self, place: int) -> None:
        self.stack.append(self.memo[place])

    _long_binget = _binget

    def _append(self, _: None) -> None:
        item = self.stack.pop()
        self._target(list).append(item)

    def _appends(self, _: None) -> None:
        items = self._since_mark()
        self._target(list).extend(items)

    _additems = _appends

    def _setitem(self, _: None) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._put([key, value])

    def _setitems(self, _: None) -> None:
        self._put(self._since_mark())

    def _put(self, items: list[Any]) -> None:
        target = self._target(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            if isinstance(key, str | int | float | bytes | None):  # a tuple a million deep would break hash()
                target[key] = value

    def _target(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise TypeError
        return self.stack[-1]

    def _global(self, argument: str) -> None:
        self._name(*argument.split(" ", 1))

    def _stack_global(self, _: None) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self._name(str(module), str(name))

    def _name(self, module: str, name: str) -> None:
        named = Named("builtins" if module == "__builtin__" else module, name)
        if self.scripted and (module == "__torch__" or module.startswith("__torch__.")):
            self.stack.append(named)
        elif module in ("torch", "torch._utils") and name in _UNREADABLE:
            raise NetworkError(f"{self.name} holds {_UNREADABLE[name]}; expected plain tensors of real numbers.")
        elif named in _CALLS or (module == "torch" and (name in STORAGES or name in DTYPES)) or named in _PASSIVE:
            self.stack.append(named)
        elif module == "torch" and name.islower():
            raise NetworkError(f"{self.name} holds numbers of the kind {shown(name)}; expected plain tensors of real "
                               "numbers.")
        else:
            raise NetworkError(
                f"{self.name} holds Python objects and not only tensors (it names {shown(f'{module}.{name}')}); "
                "PoolScope executes nothing in a file: save the state dict as safetensors, "
                "safetensors.torch.save_file(model.state_dict(), \"my_model.safetensors\").")

    def _binpersid(self, _: None) -> None:
        what, kind, key, _, count = self.stack.pop()[:5]
        if what not in ("storage", b"storage") or not isinstance(kind, Named) or not isinstance(key, str | int):
            raise ValueError
        if not isinstance(count, int) or count < 0:
            raise ValueError
        self.stack.append(Storage(str(key), STORAGES.get(kind.name), count))

    def _reduce(self, _: None) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = _call(self, self.stack[-1], arguments)

    def _newobj(self, _: None) -> None:
        arguments, kind = self.stack.pop(), self.stack.pop()
        if not isinstance(kind, Named) or arguments != ():
            raise TypeError
        self.stack.append(_call(self, kind, ()))

    def _build(self, _: None) -> None:
        # A state dict's own attributes (_metadata) are of no use here, and nothing else may be changed.
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Instance):
            if not isinstance(state, dict):
                raise NetworkError(f"{self.name} has a TorchScript class {shown(target.kind.name)} that restores "
                                   "itself by code of its own, and PoolScope executes nothing in a file.")
            target.attributes.update(state)
        elif type(target) is not dict:
            raise TypeError


def _call(machine: _Machine, function: Any, arguments: tuple) -> Any:
    if not isinstance(function, Named):  # hash() of anything else may be as deep as the file wants
        raise TypeError
    if function.module.startswith("__torch__"):  # a member of an enumeration
        return Instance(function, {})
    return _CALLS[function](machine, *arguments)


def _tensor(machine: _Machine, storage: Storage, offset: int, size: tuple, stride: tuple, *_: Any) -> Claim:
    if storage.dtype is None:
        raise TypeError
    return _claim(machine, storage, storage.dtype, offset, size, stride)


def _typed(machine: _Machine, storage: Storage, offset: int, size: tuple, stride: tuple, _grad: Any, _hooks: Any,
           dtype: Named, *_: Any) -> Claim:
    if not isinstance(dtype, Named) or dtype.name not in DTYPES:
        raise TypeError
    return _claim(machine, storage, DTYPES[dtype.name], offset, size, stride)


def _claim(machine: _Machine, storage: Storage, dtype: torch.dtype, offset: int, size: tuple, stride: tuple) -> Claim:
    numbers = (offset, *size, *stride)
    if not isinstance(storage, Storage) or len(size) != len(stride) or len(size) > 16:
        raise TypeError
    if any(type(number) is not int or not 0 <= number < 1 << 62 for number in numbers):
        raise NetworkError(f"{machine.name} claims a tensor of impossible shape {shown(size)}.")
    return Claim(storage, dtype, offset, tuple(size), tuple(stride))


def _of_its_type(machine: _Machine, function: Named, kind: Named, arguments: tuple, *_: Any) -> Any:
    if kind not in (("torch", "Tensor"), ("torch.nn.parameter", "Parameter")):
        raise TypeError
    return _call(machine, function, arguments)


# What may be called, and what is done instead.
_CALLS = {
    Named("torch._utils", "_rebuild_tensor"): _tensor,
    Named("torch._utils", "_rebuild_tensor_v2"): _tensor,
    Named("torch._utils", "_rebuild_tensor_v3"): _typed,
    Named("torch._utils", "_rebuild_parameter"): lambda _, tensor, *rest: tensor,
    Named("torch._utils", "_rebuild_parameter_with_state"): lambda _, tensor, *rest: tensor,
    Named("torch._tensor", "_rebuild_from_type_v2"): _of_its_type,
    Named("torch.nn.parameter", "Parameter"): lambda _, tensor=None, *rest: tensor,
    Named("collections", "OrderedDict"): lambda _, items=(): {key: value for key, value in items if type(key) is str},
    Named("collections", "Counter"): lambda *rest: {},
    Named("torch", "Size"): lambda _, sizes=(): sizes,
    Named("torch", "device"): lambda _, *rest: None,
    Named("torch.serialization", "_get_layout"): lambda _, *rest: None,
    Named("_codecs", "encode"): lambda _, *rest: None,
    Named("builtins", "set"): lambda _, *rest: None,
    Named("builtins", "bytearray"): lambda _, *rest: None,
    Named("builtins", "complex"): lambda _, *rest: None,
    Named("torch.jit._pickle", "build_intlist"): lambda _, items: items,
    Named("torch.jit._pickle", "build_doublelist"): lambda _, items: items,
    Named("torch.jit._pickle", "build_boollist"): lambda _, items: items,
    Named("torch.jit._pickle", "build_tensorlist"): lambda _, items: items,
    Named("torch.jit._pickle", "restore_type_tag"): lambda _, value, *rest: value,
}
_PASSIVE = frozenset({Named("torch", "Tensor"), Named("torch.storage", "UntypedStorage"),
                      Named("torch.storage", "TypedStorage")})
