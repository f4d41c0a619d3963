"""Trained heads written to a folder that `load_network` takes: a card and a safetensors file a head."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors.torch import save

from explorer.errors import RunError
from explorer.heads.kinds import Head
from explorer.images import quoted
from explorer.networks.loading.heads_folder import CARD, FORMAT, is_heads_folder


def head_bytes(head: Head) -> tuple[bytes, str]:
    """A head as safetensors, in fp32, and the sha256 of that, hex."""
    data = save({key: tensor.detach().contiguous() for key, tensor in head.state_dict().items()})
    return data, hashlib.sha256(data).hexdigest()


def save_heads(folder: str | os.PathLike, heads: Mapping[str, Head], card: Mapping[str, Any]) -> Path:
    """Write a card and the heads that it is of; the folder.

    Files are named by their content and the card is replaced last, so a folder that was there answers as before until
    the new one is whole.

    Args:
        folder: made when missing; one that is there is empty or a folder of heads, whose place this takes.
        heads: by kind; each is a pooling and a Linear, see `explorer.poolings.learned.KEYS`.
        card: what else it says: classes, activation, backbone, title, origin, cautions; "heads" may hold numbers by
            kind.

    Raises RunError: the folder holds other things, or cannot be written to.
    """
    path = Path(folder).expanduser()
    files = {kind: head_bytes(head) for kind, head in heads.items()}
    names = {kind: f"{kind}-{sha256[:12]}.safetensors" for kind, (_, sha256) in files.items()}
    about = {kind: {**card.get("heads", {}).get(kind, {}), "file": names[kind], "sha256": files[kind][1]}
             for kind in heads}
    text = json.dumps({"format": FORMAT, **card, "heads": about}, indent=1, ensure_ascii=False) + "\n"
    refuse_other_things(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        for kind, (data, _) in files.items():
            _replace(path / names[kind], data)
        _replace(path / CARD, text.encode())
        for old in path.glob("*-????????????.safetensors"):
            if old.name not in names.values():
                with suppress(OSError):
                    old.unlink()
    except OSError as error:
        raise RunError(f"The heads cannot be written to {quoted(folder)}: {error.strerror or error}.") from None
    return path.resolve()


def refuse_other_things(folder: str | os.PathLike) -> None:
    """Raises RunError where a file or folder is there that heads would be written among."""
    path = Path(folder).expanduser()
    try:
        other = not path.is_dir() or (any(path.iterdir()) and not is_heads_folder(path))
        if path.exists() and other:
            raise RunError(f"The heads cannot be written to {quoted(folder)}: other things are there; expected a new "
                           "folder, an empty one or one of heads.")
    except OSError as error:
        raise RunError(f"The heads cannot be written to {quoted(folder)}: {error.strerror or error}.") from None


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
