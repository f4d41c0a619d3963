"""A person's checkpoint, read without trusting it: a state dict of plain tensors, and nothing else.

Nothing that a file says is executed, whichever torch is installed. safetensors is read by its own library; of what
torch.save wrote, `archive` slices the zip file, `inert_pickle` follows the pickle, and every tensor that it claims is
held against the bytes before it is made. `torch.load` is not used: docs/decisions/0014 says why.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from explorer.errors import NetworkError
from explorer.framing import Preprocessing
from explorer.networks.loading.archive import Archive, is_archive
from explorer.networks.loading.files import one_line, read_bytes
from explorer.networks.loading.inert_pickle import DTYPES, STORAGES, Claim, Storage, read_pickle
from explorer.networks.loading.layouts import EXPORTING, SAVING, laid_out, without_wrappers

MOST_BYTES = 1 << 30
MOST_HEADER = 32 << 20  # bytes of a list of tensors
_LEGACY = 0x1950A86A20F9469CFC6C  # the number that torch wrote at the head of a file before it wrote zip files
_PROGRAMS = {  # an entry that only such a file has: its name, and how torch loads it
    "constants.pkl": ("TorchScript", 'torch.jit.load("model.pt")'),
    "models/model.json": ("torch.export", 'torch.export.load("model.pt2").module()'),
    "serialized_exported_program.json": ("torch.export", 'torch.export.load("model.pt2").module()'),
}
MADE_WITH = "poolscope"  # in a safetensors file's metadata: JSON of what PoolScope made the network with
Block = Callable[[Storage], memoryview]  # the bytes of a storage; NetworkError where there are none


@dataclass(frozen=True)
class Checkpoint:
    """A state dict from a file.

    Attributes:
        state: name to tensor, in the order and with the dtypes of the file.
        opened: the wrappings that were opened to reach it, from the outside, such as ("model_state_dict", "module.").
        digest: sha256 of the file's bytes, in hexadecimal.
        ordered: whether the tensors stand as the model has them; safetensors sorts them.
        cautions, class_names, hints: see `layouts.Layout`.
        made_with: architecture, preprocessing and activation, in a file that PoolScope wrote; else empty.
    """

    state: dict[str, Tensor]
    opened: tuple[str, ...]
    digest: str
    ordered: bool = True
    cautions: tuple[str, ...] = ()
    class_names: tuple[str, ...] | None = None
    hints: tuple[str, ...] = ()
    made_with: Mapping[str, Any] = field(default_factory=dict)


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
    if _is_safetensors(content):
        tensors, made_with = _safetensors(content, title)
        state, prefixes = without_wrappers(tensors)
        names = made_with.pop("class_names", None)
        return Checkpoint(state, prefixes, digest, ordered=False, class_names=names, made_with=made_with)
    tree, block = _torch_tree(content, title)
    layout = laid_out(tree, title)
    state, prefixes = without_wrappers(_tensors(layout.claims, block, title))
    return Checkpoint(state, (*layout.opened, *prefixes), digest, cautions=layout.cautions,
                      class_names=layout.class_names, hints=layout.hints)


def _is_safetensors(content: bytes) -> bool:
    """Eight bytes of a length, then a JSON object: no pickle and no zip file looks so."""
    return content[8:9] == b"{" and not is_archive(content)


def _safetensors(content: bytes, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    length = int.from_bytes(content[:8], "little")
    if length > len(content) - 8:
        raise NetworkError(f"{name} is cut short: its list of tensors claims {length:,} bytes, and "
                           f"{len(content) - 8:,} are there.")
    if length > MOST_HEADER:
        raise NetworkError(f"{name} has a list of tensors of {length:,} bytes; at most {MOST_HEADER:,} are accepted.")
    try:
        header = json.loads(content[8 : 8 + length])
        order = list(header)  # the library gives them in any order
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
    return {key: tensors[key] for key in order if key in tensors}, _made_with(header, name)


def _made_with(header: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What PoolScope wrote beside the tensors, checked; {} in a file of anybody else's."""
    text = (header.get("__metadata__") or {}).get(MADE_WITH)
    if text is None:
        return {}
    try:
        made_with = json.loads(text)
        names, architecture, activation = (made_with.get(key) for key in ("class_names", "architecture", "activation"))
        if not all(isinstance(value, str | None) for value in (architecture, activation, *(names or ()))):
            raise TypeError
        preprocessing = made_with["preprocessing"]
        numbers: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value
                                   for key, value in preprocessing.items()}
        return {"architecture": architecture, "activation": activation, "class_names": tuple(names) if names else None,
                "preprocessing": Preprocessing(**numbers)}
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise NetworkError(f"{name} is damaged: its metadata does not say what PoolScope made it with; expected "
                           "another copy of it, or the same tensors saved without metadata.") from None


def _torch_tree(content: bytes, name: str) -> tuple[Any, Block]:
    """What torch.save wrote, with claims for tensors, and the blocks of numbers that they speak of."""
    if is_archive(content):
        return _zipped_tree(Archive(content, name), name)
    if content[:1] == b"\x80":
        return _legacy_tree(content, name)
    raise NetworkError(f"{name} is neither safetensors nor a file that torch.save wrote; where the network is at hand "
                       f"as model, save it with {EXPORTING} and load that file.")


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
