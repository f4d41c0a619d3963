"""A pickle read as data: containers, numbers, texts and claims of tensors. Nothing that it names is imported or called.

Python's own unpickler (the one written in Python) follows the instructions. Those that could import, call, change or
hash an object are replaced here; those that torch.save does not write are left out. So it does not matter which holes
`torch.load` or the unpickler in C have: neither is used. A tensor is only what the file claims of it; `checkpoint`
holds the claim against the bytes.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch

from explorer.errors import NetworkError

MOST_INSTRUCTIONS = 1_000_000
DAMAGE = (IndexError, KeyError, ValueError, TypeError, AttributeError, struct.error, OverflowError, RecursionError,
          MemoryError, EOFError, pickle.UnpicklingError)
STORAGES = {
    "FloatStorage": torch.float32, "DoubleStorage": torch.float64, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
}
DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in STORAGES.values()}


class Name(NamedTuple):
    """What a pickle names: compared, and never looked up."""

    module: str
    name: str


class Inert(dict):
    """Stands for an object that is neither a plain container nor a plain tensor.

    It knows what the object was made by, keeps items that are set on it (a defaultdict's) and what it would restore
    itself from (a Namespace's options), and does nothing.
    """

    __slots__ = ("made_by", "state")

    def __init__(self, made_by: Any) -> None:
        super().__init__()
        self.made_by = made_by if isinstance(made_by, Name) else Name("builtins", "object")
        self.state: Any = None


class Storage(NamedTuple):
    """A block of numbers that a pickle speaks of: its key and kind ("FloatStorage")."""

    key: str
    kind: Name


@dataclass(frozen=True, eq=False)
class Claim:
    """A tensor as a pickle claims it to be; offset and stride in elements of its storage."""

    storage: Storage
    dtype: torch.dtype
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def read_pickle(stream: io.BytesIO, name: str) -> tuple[Any, dict[str, Storage]]:
    """What a pickle holds, and the storages that it speaks of, by key.

    Args:
        stream: left after the pickle's end.
        name: of the file, for sentences.

    Returns:
        dict, list, tuple, text, number or None, with `Claim` for a tensor and `Inert` for any other object.

    Raises:
        NetworkError: it is damaged, or no pickle of torch.save.
    """
    start = stream.tell()
    try:
        for count, _ in enumerate(pickletools.genops(stream)):
            if count > MOST_INSTRUCTIONS:
                raise NetworkError(f"{name} holds more than {MOST_INSTRUCTIONS:,} pickle instructions, which is more "
                                   "than a network needs.")
        end = stream.tell()
        stream.seek(start)
        unpickler = InertUnpickler(stream, encoding="latin1")  # for texts of Python 2; it never fails
        tree = unpickler.load()
        stream.seek(end)
    except DAMAGE:
        raise NetworkError(f"{name} is damaged, cut short or not written by torch.save: its list of tensors cannot be "
                           "read.") from None
    return tree, unpickler.storages


_KEPT = (  # instructions that make numbers, texts and containers, or move them about
    pickle.PROTO, pickle.FRAME, pickle.STOP, pickle.MARK, pickle.POP, pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE,
    pickle.INT, pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.LONG, pickle.LONG1, pickle.LONG4, pickle.FLOAT,
    pickle.BINFLOAT, pickle.STRING, pickle.BINSTRING, pickle.SHORT_BINSTRING, pickle.UNICODE, pickle.BINUNICODE,
    pickle.SHORT_BINUNICODE, pickle.BINUNICODE8, pickle.BINBYTES, pickle.SHORT_BINBYTES, pickle.BINBYTES8,
    pickle.EMPTY_TUPLE, pickle.EMPTY_LIST, pickle.EMPTY_DICT, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3,
    pickle.BINPUT, pickle.LONG_BINPUT, pickle.MEMOIZE, pickle.BINGET, pickle.LONG_BINGET, pickle.GLOBAL,
    pickle.STACK_GLOBAL, pickle.BINPERSID,
)
_PYTHONS = pickle._Unpickler.dispatch


class InertUnpickler(pickle._Unpickler):
    """Python's unpickler, without the power to import, call, change or hash anything."""

    stack: list[Any]  # these three are Python's, and missing from its type stubs
    append: Callable[[Any], None]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, file: io.BytesIO, **options: Any) -> None:
        super().__init__(file, **options)
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> Name:
        return Name(module, name)

    def persistent_load(self, pid: Any) -> Any:
        if pid[0] in ("module", b"module"):  # a class, with its source, before there were zip files
            return pid[1]
        what, kind, key, _location, count = pid[:5]
        if what not in ("storage", b"storage") or not isinstance(kind, Name) or not isinstance(key, str | int):
            raise ValueError
        if type(count) is not int or count < 0 or any(part is not None for part in pid[5:]):
            raise ValueError
        return self.storages.setdefault(str(key), Storage(str(key), kind))

    def _make(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        self.append(_made(function, arguments))

    def _make_with_keywords(self) -> None:
        self.stack.pop()
        self._make()

    def _keep_state(self) -> None:
        # It is kept and not applied; of anything else (a state dict's _metadata) it is dropped.
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Inert):
            target.state = state

    def _append(self) -> None:
        item, target = self.stack.pop(), self.stack[-1]
        if type(target) is list:
            target.append(item)

    def _extend(self) -> None:
        items = self.pop_mark()
        if type(self.stack[-1]) is list:
            self.stack[-1].extend(items)

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _put(self.stack[-1], [key, value])

    def _set_items(self) -> None:
        items = self.pop_mark()
        _put(self.stack[-1], items)

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {code[0]: _PYTHONS[code[0]] for code in _KEPT} | {
        pickle.REDUCE[0]: _make, pickle.NEWOBJ[0]: _make, pickle.NEWOBJ_EX[0]: _make_with_keywords,
        pickle.BUILD[0]: _keep_state, pickle.APPEND[0]: _append, pickle.APPENDS[0]: _extend,
        pickle.SETITEM[0]: _set_item, pickle.SETITEMS[0]: _set_items,
        # A set hashes what is put into it, and a bytearray is made as long as it claims to be.
        pickle.EMPTY_SET[0]: _PYTHONS[pickle.EMPTY_LIST[0]], pickle.ADDITEMS[0]: _extend,
        pickle.FROZENSET[0]: _PYTHONS[pickle.LIST[0]], pickle.BYTEARRAY8[0]: _PYTHONS[pickle.BINBYTES8[0]],
    }


def _put(target: Any, items: list[Any]) -> None:
    if not isinstance(target, dict):
        return
    for key, value in zip(items[::2], items[1::2], strict=True):
        if isinstance(key, str | int | float | bytes | None):  # hash() of a tuple a million deep ends the process
            target[key] = value


def _made(function: Any, arguments: Any) -> Any:
    """What a call in a pickle stands for."""
    if not isinstance(arguments, tuple):
        raise TypeError
    maker = _MAKERS.get(function) if isinstance(function, Name) else None
    return maker(*arguments) if maker else Inert(function)


def _tensor(storage: Storage, offset: int, size: tuple, stride: tuple, *_: Any) -> Claim | Inert:
    return _claim(storage, STORAGES.get(storage.kind.name), storage.kind, offset, size, stride)


def _typed(storage: Storage, offset: int, size: tuple, stride: tuple, _grad: Any, _hooks: Any, dtype: Name,
           *_: Any) -> Claim | Inert:
    return _claim(storage, DTYPES.get(dtype.name), dtype, offset, size, stride)


def _claim(storage: Any, dtype: torch.dtype | None, kind: Name, offset: int, size: tuple,
           stride: tuple) -> Claim | Inert:
    numbers = (offset, *size, *stride)
    if not isinstance(storage, Storage) or len(size) != len(stride) or len(size) > 16:
        raise TypeError
    if any(type(number) is not int or not 0 <= number < 1 << 62 for number in numbers):
        raise ValueError
    return Claim(storage, dtype, offset, tuple(size), tuple(stride)) if dtype else Inert(kind)


def _of_its_type(function: Any, _kind: Any, arguments: Any, *_: Any) -> Any:
    return _made(function, arguments)


def _ordered(pairs: Any = ()) -> dict[str, Any]:
    """Python 2 gives all pairs at once. They are moved: a few bytes could have them copied a million times."""
    if type(pairs) is not list:
        return {}
    made = {key: value for key, value in pairs if type(key) is str}
    pairs.clear()
    return made


def _first(value: Any = None, *_: Any) -> Any:
    return value


_MAKERS: dict[Name, Callable[..., Any]] = {
    Name("torch._utils", "_rebuild_tensor"): _tensor,
    Name("torch._utils", "_rebuild_tensor_v2"): _tensor,
    Name("torch._utils", "_rebuild_tensor_v3"): _typed,
    Name("torch._utils", "_rebuild_parameter"): _first,
    Name("torch._utils", "_rebuild_parameter_with_state"): _first,
    Name("torch._tensor", "_rebuild_from_type_v2"): _of_its_type,
    Name("torch.nn.parameter", "Parameter"): _first,
    Name("torch", "Size"): _first,
    Name("collections", "OrderedDict"): _ordered,
}
