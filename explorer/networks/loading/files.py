"""Files as bytes: those that a person brings, within bounds, and those that ship, checked by their hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import BadZipFile

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from explorer.errors import NetworkError

_LONGEST = 80


def one_line(text: object) -> str:
    """A name from a file on one line of a sentence: ? for control characters, cut after 80 characters."""
    text = text if isinstance(text, str) else str(text)
    cut = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
    return "".join(letter if letter.isprintable() else "?" for letter in cut)


def read_bytes(data: bytes | str | Path, name: str, most: int) -> tuple[bytes, str]:
    """The bytes of a file and its name for sentences.

    Args:
        data: the bytes, or a path, whose size is checked before it is read.
        name: of the file; a path's own when empty.
        most: the most bytes that are accepted.

    Raises NetworkError when the file is too large, empty or not there.
    """
    title = one_line(name or ("the file" if isinstance(data, bytes) else Path(data).name))
    try:
        size = len(data) if isinstance(data, bytes) else Path(data).stat().st_size
        if size > most:
            raise NetworkError(f"{title} has {size:,} bytes; at most {most:,} are accepted.")
        if isinstance(data, bytes):
            content = data
        else:
            with Path(data).open("rb") as file:
                content = file.read(most + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no file has such a name"
        raise NetworkError(f"{title} cannot be read: {reason}.") from None
    if len(content) > most:  # it grew, or is no plain file
        raise NetworkError(f"{title} has more than {most:,} bytes, which are the most that are accepted.")
    if not content:
        raise NetworkError(f"{title} is empty: it has no bytes.")
    return content, title


def checked_bytes(path: Path, sha256: str | None = None, whose: str = "network's") -> bytes:
    """The bytes of a file that ships. Raises NetworkError where it cannot be read or has another sha256."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NetworkError(f"The {whose} file {path.name} cannot be read: {error.strerror or error}.") from None
    digest = hashlib.sha256(data).hexdigest()
    if sha256 is not None and digest != sha256:
        raise NetworkError(f"The {whose} file {path.name} has sha256 {digest[:12]}..., expected {sha256[:12]}...: it "
                           "is damaged or was exchanged.")
    return data


@contextmanager
def shipped(path: Path, sha256: str | None = None) -> Iterator[bytes]:
    """The bytes of a file that ships; what its absence or damage raises within becomes one sentence that names it."""
    try:
        yield checked_bytes(path, sha256)
    except SafetensorError as error:
        raise NetworkError(f"The network's file {path.name} is not safetensors: {error}.") from None
    except (ValueError, LookupError, TypeError, AttributeError, RuntimeError, BadZipFile):
        raise NetworkError(f"The network's file {path.name} is damaged: its content is not what was expected."
                           ) from None


def tensors_in(data: bytes) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name, in fp32 where they have a fraction."""
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in load(data).items()}
