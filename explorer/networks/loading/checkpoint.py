"""A person's checkpoint, read without trusting it: a state dict of plain tensors, and nothing else.

Nothing that a file says is executed, whichever torch is installed. safetensors is read by its own library; of what
torch.save wrote, `archive` slices the zip file, `inert_pickle` follows the pickle, and every tensor that it claims is
held against the bytes before it is made. `torch.load` is not used: docs/decisions/0014 says why.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from explorer.errors import NetworkError
from explorer.networks.loading.archive import Archive, is_archive
from explorer.networks.loading.files import one_line, read_bytes
from explorer.networks.loading.inert_pickle import DTYPES, STORAGES, Claim, Inert, Storage, read_pickle

MOST_BYTES = 1 << 30
MOST_HEADER = 32 << 20  # bytes of a list of tensors
WRAPPINGS = ("state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params")
AVERAGES = ("state_dict_ema", "model_ema", "ema", "ema_state_dict", "params_ema")
_LEGACY = 0x1950A86A20F9469CFC6C  # the number that torch wrote at the head of a file before it wrote zip files
_PROGRAMS = {  # an entry that only such a file has: its name, and how torch loads it
    "constants.pkl": ("TorchScript", 'torch.jit.load("model.pt")'),
    "models/model.json": ("torch.export", 'torch.export.load("model.pt2").module()'),
    "serialized_exported_program.json": ("torch.export", 'torch.export.load("model.pt2").module()'),
}
# clone() parts tensors that share memory and lays out those that are not contiguous: save_file refuses both.
SAVING = ("safetensors.torch.save_file({name: tensor.clone(memory_format=torch.contiguous_format) "
          'for name, tensor in model.state_dict().items()}, "model.safetensors")')
_UNREADABLE = {  # what makes tensors of another kind, for the sentence
    "_rebuild_sparse_tensor": "a sparse tensor", "_rebuild_qtensor": "a quantised tensor",
    "_rebuild_meta_tensor_no_storage": "a tensor without numbers (meta)", "_rebuild_nested_tensor": "a nested tensor",
    "_rebuild_wrapper_subclass": "a tensor of a custom class",
    "_rebuild_device_tensor_from_numpy": "a tensor of another device",
    "_rebuild_device_tensor_from_cpu_tensor": "a tensor of another device",
}
Block = Callable[[Storage], memoryview]  # the bytes of a storage; NetworkError where there are none


@dataclass(frozen=True)
class Checkpoint:
    """A state dict from a file.

    Attributes:
        state: name to tensor, in the order and with the dtypes of the file.
        opened: the wrappings that were opened to reach it, from the outside, such as ("model_state_dict", "module.");
            averaged weights, taken where the file has no others, are named here too.
        digest: sha256 of the file's bytes, in hexadecimal.
    """

    state: dict[str, Tensor]
    opened: tuple[str, ...]
    digest: str


def read_checkpoint(data: bytes | Path, name: str = "", most: int = MOST_BYTES) -> Checkpoint:
    """Read a state dict from .safetensors, .pth, .pt, .ckpt or .bin; its content says which, not its name.

    Args:
        data: the file's bytes, or its path.
        name: of the file, for sentences; a path's own when empty.
        most: the most bytes that are accepted; a path's size is checked before it is read.

    Returns:
        A Checkpoint; its tensors keep nothing of `data`.

    Raises:
        NetworkError: too large, empty, damaged, cut short, a program, or without a state dict of plain tensors.
    """
    content, title = read_bytes(data, name, most)
    digest = hashlib.sha256(content).hexdigest()
    opened: tuple[str, ...] = ()
    if _is_safetensors(content):
        tensors = _safetensors(content, title)
    else:
        tree, block = _torch_tree(content, title)
        claims, opened = _unwrapped(tree, title)
        tensors = _tensors(claims, block, title)
    state, prefixes = _without_wrappers(tensors)
    return Checkpoint(state, (*opened, *prefixes), digest)


def readings(state: Mapping[str, Tensor]) -> dict[tuple[str, ...], dict[str, Tensor]]:
    """The ways in which this state dict's names can be read: as they are, then without each shared first name.

    Lightning puts `model.` or `net.` before all names, but an architecture may have an attribute of that name itself:
    so nothing is decided here. A first name is shared when at least three of four tensors have it; what does not
    have it (a loss's weights, a metric's counts) is left out of that reading.

    Returns:
        State dicts by what was taken off their names: (), ("model.",), ("model.", "net.").
    """
    opened: tuple[str, ...] = ()
    rest = dict(state)
    known = {opened: rest}
    for _ in range(4):
        first_names = Counter(key.partition(".")[0] for key in rest if "." in key)
        [(first, count)] = first_names.most_common(1) or [("", 0)]
        if not count or count < 0.75 * len(rest):
            break
        prefix = f"{first}."
        rest = {key.removeprefix(prefix): tensor for key, tensor in rest.items() if key.startswith(prefix)}
        opened = (*opened, prefix)
        known[opened] = rest
    return known


def _without_wrappers(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Without what torch.compile puts into names and DataParallel before all of them."""
    opened = []
    if any("_orig_mod." in key for key in state):
        opened.append("_orig_mod.")
        state = {key.replace("_orig_mod.", ""): tensor for key, tensor in state.items()}
    if state and all(key.startswith("module.") for key in state):
        opened.append("module.")
        state = {key.removeprefix("module."): tensor for key, tensor in state.items()}
    return state, tuple(opened)


def _is_safetensors(content: bytes) -> bool:
    """Eight bytes of a length, then a JSON object: no pickle and no zip file looks so."""
    return content[8:9] == b"{" and not is_archive(content)


def _safetensors(content: bytes, name: str) -> dict[str, Tensor]:
    length = int.from_bytes(content[:8], "little")
    if length > len(content) - 8:
        raise NetworkError(f"{name} is cut short: its list of tensors claims {length:,} bytes, and "
                           f"{len(content) - 8:,} are there.")
    if length > MOST_HEADER:
        raise NetworkError(f"{name} has a list of tensors of {length:,} bytes; at most {MOST_HEADER:,} are accepted.")
    try:
        order = list(json.loads(content[8 : 8 + length]))  # the library gives them in any order
        tensors = load(content)
    except (SafetensorError, ValueError, LookupError, TypeError, RuntimeError, AttributeError, RecursionError,
            OverflowError):
        raise NetworkError(f"{name} is damaged or cut short: its list of tensors does not agree with its "
                           f"{len(content):,} bytes.") from None
    if not tensors:
        raise NetworkError(f"{name} holds no tensors.")
    for key, tensor in tensors.items():
        if tensor.dtype not in DTYPES.values():
            raise NetworkError(f"{name} holds {one_line(key)} as {str(tensor.dtype).removeprefix('torch.')}; expected "
                               "plain tensors of real numbers, 16 bits or more when they have a fraction.")
    return {key: tensors[key] for key in order if key in tensors}


def _torch_tree(content: bytes, name: str) -> tuple[Any, Block]:
    """What torch.save wrote, with claims for tensors, and the blocks of numbers that they speak of."""
    if is_archive(content):
        return _zipped_tree(Archive(content, name), name)
    if content[:1] == b"\x80":
        return _legacy_tree(content, name)
    raise NetworkError(f"{name} is neither safetensors nor a file that torch.save wrote.")


def _zipped_tree(archive: Archive, name: str) -> tuple[Any, Block]:
    for entry, (kind, loading) in _PROGRAMS.items():
        if entry in archive:
            raise NetworkError(f"{name} is a {kind} program and not a state dict, and PoolScope runs no programs: if "
                               f"you trust it, save its weights with model = {loading}; {SAVING} and load that file "
                               "with the name of its architecture.")
    if "byteorder" in archive and archive.read("byteorder") == b"big":
        raise NetworkError(f"{name} was written on a big-endian machine; expected little-endian numbers.")
    pickle = archive.read("data.pkl")
    if len(pickle) > MOST_HEADER:
        raise NetworkError(f"{name} has a list of tensors of {len(pickle):,} bytes; at most {MOST_HEADER:,} are "
                           "accepted.")
    tree, _ = read_pickle(io.BytesIO(pickle), name)
    return tree, lambda storage: archive.read(f"data/{storage.key}")


def _legacy_tree(content: bytes, name: str) -> tuple[Any, Block]:
    """Before zip files: five pickles one after the other, then each storage as its count and its numbers."""
    stream = io.BytesIO(content)
    magic, _ = read_pickle(stream, name)
    if magic != _LEGACY:
        raise NetworkError(f"{name} is a bare pickle, which torch.save does not write; save the state dict as "
                           f"safetensors: {SAVING}.")
    read_pickle(stream, name), read_pickle(stream, name)  # the version, and the sizes of integers
    (tree, storages), (keys, _) = read_pickle(stream, name), read_pickle(stream, name)
    if not isinstance(keys, list) or not all(isinstance(key, str | int) for key in keys):
        raise NetworkError(f"{name} is damaged: it does not say where its tensors are.")
    blocks, place = {}, stream.tell()
    for key in map(str, keys):
        dtype = STORAGES.get(storages[key].kind.name) if key in storages else None
        size = int.from_bytes(content[place : place + 8], "little") * (dtype.itemsize if dtype else 1)
        if len(content) < place + 8 + size:
            raise NetworkError(f"{name} is damaged or cut short: the numbers of a tensor are missing.")
        blocks[key] = memoryview(content)[place + 8 : place + 8 + size]
        place += 8 + size

    def block(storage: Storage) -> memoryview:
        if storage.key not in blocks:
            raise NetworkError(f"{name} is not whole: it has no numbers for storage {one_line(storage.key)}.")
        return blocks[storage.key]

    return tree, block


def _tensors(claims: Mapping[str, Claim], block: Block, name: str) -> dict[str, Tensor]:
    """The claimed tensors as views of copied storages, after each claim was held against its storage's bytes."""
    storages: dict[str, bytearray] = {}

    def tensor(key: str, claim: Claim) -> Tensor:
        there, width, count = len(block(claim.storage)), claim.dtype.itemsize, prod(claim.size)
        end = claim.offset + sum((n - 1) * step for n, step in zip(claim.size, claim.stride, strict=True)) + 1
        # More numbers than the storage has would be one number many times, which grows when it is copied.
        if max(count, end if count else 0) * width > there:
            raise NetworkError(f"{name} claims more numbers than it holds: {one_line(key)} of shape "
                               f"{one_line(claim.size)} does not fit into its {there:,} bytes.")
        if not count:
            return torch.zeros(claim.size, dtype=claim.dtype)
        if claim.storage.key not in storages:
            storages[claim.storage.key] = bytearray(block(claim.storage))
        numbers = torch.frombuffer(storages[claim.storage.key], dtype=claim.dtype, count=there // width)
        return numbers.as_strided(claim.size, claim.stride, claim.offset)

    try:
        return {key: tensor(key, claim) for key, claim in claims.items()}
    except (RuntimeError, OverflowError):
        raise NetworkError(f"{name} claims a tensor of a shape that is not possible.") from None


def _unwrapped(tree: Any, name: str) -> tuple[dict[str, Claim], tuple[str, ...]]:
    """The state dict inside, and the names of what was opened to reach it."""
    opened: list[str] = []
    for _ in range(6):
        if not isinstance(tree, dict):
            break
        key = _wrapping(tree)
        if key is None:
            break
        opened.append(f"{key} (an average of weights: nothing else is there)" if key in AVERAGES else key)
        tree = tree[key]
    claims = _claims_in(tree) if isinstance(tree, dict) else {}
    objects = [value.made_by for value in [tree, *(tree.values() if isinstance(tree, dict) else [])]
               if isinstance(value, Inert)]
    for made_by in objects:
        if made_by.module.startswith("torch") and (what := _unreadable(made_by.name)):
            raise NetworkError(f"{name} holds {what}; expected plain tensors of real numbers.")
    if not claims and objects:
        raise NetworkError(f"{name} holds a Python object ({one_line('.'.join(objects[0]))}) and not a state dict; "
                           f"PoolScope runs nothing in a file: save the state dict as safetensors, {SAVING}.")
    if not claims:
        raise NetworkError(f"{name} holds no state dict: expected names with tensors, at the top or under one of "
                           f"{', '.join(WRAPPINGS[:3])}.")
    return claims, tuple(opened)


def _unreadable(name: str) -> str:
    """What kind of tensor was made by a name of torch; "" for another object."""
    if name in _UNREADABLE:
        return _UNREADABLE[name]
    if name.endswith("Storage") and name.startswith(("Complex", "Q")):
        return "complex numbers" if name.startswith("C") else "quantised tensors"
    is_dtype = isinstance(getattr(torch, name, None), torch.dtype)
    return f"numbers of the kind {one_line(name)}" if is_dtype or name.endswith("Storage") else ""


def _wrapping(tree: dict[Any, Any]) -> str | None:
    """The entry to open: a known wrapping, else an average, else the only dict of tensors where no tensor stands."""
    dicts = {id(value): value for value in tree.values() if isinstance(value, dict)}  # one may stand there many times
    holding = {key for key, value in dicts.items() if _claims_in(value) or _has_wrapping(value)}
    inside = [key for key, value in tree.items() if isinstance(key, str) and id(value) in holding]
    for key in (*WRAPPINGS, *AVERAGES):
        if key in inside:
            return key
    others = [key for key in inside if "optim" not in key]
    return others[0] if len(others) == 1 and not _claims_in(tree) else None


def _has_wrapping(tree: dict[Any, Any]) -> bool:
    return any(isinstance(tree.get(key), dict) for key in (*WRAPPINGS, *AVERAGES))


def _claims_in(tree: dict[Any, Any]) -> dict[str, Claim]:
    return {key: value for key, value in tree.items() if isinstance(key, str) and isinstance(value, Claim)}
