"""A person's own checkpoint, read without trusting it: a state dict of plain tensors, and nothing else.

Neither `torch.load` nor an unpickler is asked, so nothing that a file says can be executed, whichever torch is
installed: safetensors is read by its own library, a torch pickle by `pickled.unpickled`, which only knows tensors.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from explorer.errors import NetworkError
from explorer.networks.loading.archive import Archive, is_archive, shown
from explorer.networks.loading.pickled import Claim, unpickled
from explorer.networks.loading.tensors import READABLE, Storages, plain

MOST_BYTES = 1 << 30
MOST_HEADER = 32 << 20  # bytes of a list of tensors
WRAPPINGS = ("state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params")
AVERAGES = ("state_dict_ema", "model_ema", "ema", "ema_state_dict", "params_ema")
_LEGACY = 0x1950A86A20F9469CFC6C  # the number that torch wrote at the head of a file before it wrote zip files


@dataclass(frozen=True)
class Checkpoint:
    """A state dict from a file.

    Attributes:
        state: name to tensor; half precision and bfloat16 as float32.
        kind: "safetensors" or "pytorch".
        opened: the wrappings that were opened to reach it, from the outside, such as ("model_state_dict", "module.");
            an average of weights that was taken for want of the weights says so.
        digest: sha256 of the file's bytes, in hexadecimal.
    """

    state: dict[str, Tensor]
    kind: str
    opened: tuple[str, ...]
    digest: str


@dataclass(frozen=True)
class Candidate:
    """One way to name a state dict's tensors: `opened` is the prefix that was taken off, () when none was."""

    state: dict[str, Tensor]
    opened: tuple[str, ...]


def read_checkpoint(data: bytes | Path, name: str = "", most: int = MOST_BYTES) -> Checkpoint:
    """Read a state dict from .safetensors, .pth, .pt, .ckpt or .bin, told apart by content.

    Args:
        data: the file's bytes, or its path.
        name: what to call it in a sentence; a path's own name when empty.
        most: the most bytes that are accepted, asked of a path before it is read.

    Returns:
        A Checkpoint; its tensors are copies and keep nothing of `data`.

    Raises:
        NetworkError: too large, empty, damaged, cut short, of another kind, or holding anything but plain tensors.
    """
    content, called = read_bytes(data, name, most)
    digest = hashlib.sha256(content).hexdigest()
    if _is_safetensors(content):
        kind, tensors, opened = "safetensors", _safetensors(content, called), ()
    else:
        kind = "pytorch"
        tensors, opened = _unwrapped(*_torch_tree(content, called), called)
    state, prefixes = _without_wrappers(tensors)
    return Checkpoint(state, kind, (*opened, *prefixes), digest)


def read_bytes(data: bytes | Path, name: str, most: int) -> tuple[bytes, str]:
    """The bytes of a file and what to call it; NetworkError when it is too large (not read then), empty or gone."""
    called = shown(name or (Path(data).name if isinstance(data, str | Path) else "the file"))
    try:
        size = len(data) if isinstance(data, bytes) else Path(data).stat().st_size
        if size > most:
            raise NetworkError(f"{called} has {size:,} bytes; at most {most:,} are accepted.")
        if isinstance(data, bytes):
            content = data
        else:
            with Path(data).open("rb") as file:
                content = file.read(most + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no file has such a name"
        raise NetworkError(f"{called} cannot be read: {reason}.") from None
    if len(content) > most:  # it grew, or is no plain file
        raise NetworkError(f"{called} has more than {most:,} bytes, which are the most that are accepted.")
    if not content:
        raise NetworkError(f"{called} is empty: it has no bytes.")
    return content, called


def candidates(state: Mapping[str, Tensor]) -> tuple[Candidate, ...]:
    """The ways in which this state dict's names may be meant: as they are, then without each shared first name.

    Lightning puts `model.` or `net.` before all names, but an architecture may have an attribute of that name itself:
    so nothing is decided here. A first name is shared when at least three of four tensors have it; what does not
    have it (a loss's weights, a metric's counts) is left out of that candidate.
    """
    found, rest, opened = [Candidate(dict(state), ())], dict(state), ()
    for _ in range(4):
        prefix, count = _commonest_first_name(rest)
        if not prefix or count < 0.75 * len(rest):
            break
        rest = {key.removeprefix(prefix): tensor for key, tensor in rest.items() if key.startswith(prefix)}
        opened = (*opened, prefix)
        found.append(Candidate(rest, opened))
    return tuple(found)


def _commonest_first_name(state: Mapping[str, Tensor]) -> tuple[str, int]:
    counts = Counter(key.partition(".")[0] for key in state if "." in key)
    if not counts:
        return "", 0
    first, count = counts.most_common(1)[0]
    return f"{first}.", count


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
        if tensor.dtype not in READABLE:
            raise NetworkError(f"{name} holds {shown(key)} as {shown(tensor.dtype).removeprefix('torch.')}; expected "
                               "plain tensors of real numbers, 16 bits or more when they have a fraction.")
    return {key: plain(tensors[key]) for key in order if key in tensors}


def _torch_tree(content: bytes, name: str) -> tuple[Any, Storages]:
    """What torch.save wrote, with claims for tensors, and the blocks of numbers that they speak of."""
    if is_archive(content):
        archive = Archive(content, name, ("code/",))
        if "constants.pkl" in archive or "archive_format" in archive or "models/model.json" in archive:
            raise NetworkError(f"{name} is a whole program (TorchScript or torch.export) and not a state dict.")
        if "byteorder" in archive and archive.text("byteorder", 16) == "big":
            raise NetworkError(f"{name} was written on a big-endian machine; expected little-endian numbers.")
        return (_small_tree(archive.read("data.pkl"), name),
                Storages(lambda key: archive.read(f"data/{key}"), 2 * len(content), name))
    if content[:1] == b"\x80":
        return _legacy_tree(content, name)
    raise NetworkError(f"{name} is neither safetensors nor a file that torch.save wrote.")


def _small_tree(pickle: memoryview, name: str) -> Any:
    if len(pickle) > MOST_HEADER:
        raise NetworkError(f"{name} has a list of tensors of {len(pickle):,} bytes; at most {MOST_HEADER:,} are "
                           "accepted.")
    return unpickled(pickle, name)


def _legacy_tree(content: bytes, name: str) -> tuple[Any, Storages]:
    """Before zip files: five pickles one after the other, then each storage as its count and its numbers."""
    stream = io.BytesIO(content)
    first = unpickled(stream, name)
    if first != _LEGACY:
        raise NetworkError(f"{name} is a bare pickle, which torch.save does not write; save the state dict as "
                           "safetensors.")
    unpickled(stream, name), unpickled(stream, name)
    tree, keys = unpickled(stream, name), unpickled(stream, name)
    if not isinstance(keys, list) or not all(isinstance(key, str | int) for key in keys):
        raise NetworkError(f"{name} is damaged: it does not say where its tensors are.")
    widths = {claim.storage.key: claim.storage.dtype.itemsize for claim in _claims(tree) if claim.storage.dtype}
    blocks, place = {}, stream.tell()
    for key in map(str, keys):
        size = int.from_bytes(content[place : place + 8], "little") * widths.get(key, 1)
        if len(content) < place + 8 + size:
            raise NetworkError(f"{name} is damaged or cut short: the numbers of a tensor are missing.")
        blocks[key] = memoryview(content)[place + 8 : place + 8 + size]
        place += 8 + size

    def block(key: str) -> memoryview:
        if key not in blocks:
            raise NetworkError(f"{name} is not whole: it has no numbers for storage {shown(key)}.")
        return blocks[key]

    return tree, Storages(block, 2 * len(content), name)


def _claims(tree: Any) -> Iterator[Claim]:
    """All claims in nested containers, each container once."""
    seen, waiting = set(), [tree]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Claim):
            yield item
        elif isinstance(item, dict | list | tuple) and id(item) not in seen:
            seen.add(id(item))
            waiting.extend(item.values() if isinstance(item, dict) else item)


def _unwrapped(tree: Any, storages: Storages, name: str) -> tuple[dict[str, Tensor], tuple[str, ...]]:
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
    claims = _tensors_of(tree) if isinstance(tree, dict) else {}
    if not claims:
        raise NetworkError(f"{name} holds no state dict: expected names with tensors, at the top or under one of "
                           f"{', '.join(WRAPPINGS[:3])}.")
    return {key: storages.tensor(claim, key) for key, claim in claims.items()}, tuple(opened)


def _wrapping(tree: dict[Any, Any]) -> str | None:
    """The entry to open: a known wrapping, else an average, else the only dict of tensors where no tensor stands."""
    inside = [key for key, value in tree.items() if isinstance(key, str) and isinstance(value, dict)
              and (_tensors_of(value) or _wrapping_shallow(value))]
    for key in (*WRAPPINGS, *AVERAGES):
        if key in inside:
            return key
    others = [key for key in inside if "optim" not in key]
    return others[0] if len(others) == 1 and not _tensors_of(tree) else None


def _wrapping_shallow(tree: dict[Any, Any]) -> bool:
    return any(key in (*WRAPPINGS, *AVERAGES) and isinstance(value, dict) for key, value in tree.items())


def _tensors_of(tree: dict[Any, Any]) -> dict[str, Claim]:
    return {key: value for key, value in tree.items() if isinstance(key, str) and isinstance(value, Claim)}
