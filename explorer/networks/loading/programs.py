"""A person's own classifier as a program, TorchScript or torch.export, rebuilt as a torch.fx module safe to run.

Neither of torch's own loaders is asked and nothing in the file is executed: its text or graph is read as data and
written down anew, as a chain of operations from a list (`operations.ALLOWED`). What cannot be written so is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx

from explorer.errors import NetworkError
from explorer.networks.loading.archive import Archive, is_archive
from explorer.networks.loading.checkpoint import MOST_BYTES, read_bytes
from explorer.networks.loading.exported import Export, record_export
from explorer.networks.loading.following import record_script
from explorer.networks.loading.operations import DoesNotFitError, Recorder
from explorer.networks.loading.rebuilding import rebuilt
from explorer.networks.loading.scripted import Script

SIDES = (224, 256, 299, 384, 240, 288, 192, 160, 128, 96, 64, 32, 28, 512)  # of inputs that are tried, in pixels


@dataclass(frozen=True, eq=False)
class Program:
    """A classifier rebuilt from a program file.

    Attributes:
        module: (B, C, h, w) to (B, classes), a torch.fx.GraphModule in evaluation mode, without gradients.
        kind: "TorchScript" or "torch.export".
        shape: (C, h, w) of an input that it takes; a torch.export archive says it, for TorchScript it was tried out.
        fixed: whether it takes that height and width alone.
        batch: how many photos it takes at once, None when any number.
        classes: how many numbers it gives for a photo.
        digest: sha256 of the file's bytes, in hexadecimal.
    """

    module: fx.GraphModule
    kind: str
    shape: tuple[int, int, int]
    fixed: bool
    batch: int | None
    classes: int
    digest: str


def program_kind(data: bytes) -> str | None:
    """"TorchScript", "torch.export", or None when these bytes are neither. NetworkError for a damaged zip file."""
    return _kind(Archive(data, "the file", ("code/",))) if is_archive(data) else None


def _kind(archive: Archive) -> str | None:
    if "models/model.json" in archive or "serialized_exported_program.json" in archive:
        return "torch.export"
    return "TorchScript" if "constants.pkl" in archive else None


def read_program(data: bytes | Path, name: str = "", most: int = MOST_BYTES) -> Program:
    """Read a classifier that torch.jit.save or torch.export.save wrote.

    Args:
        data: the file's bytes, or its path.
        name: what to call it in a sentence; a path's own name when empty.
        most: the most bytes that are accepted, asked of a path before it is read.

    Raises:
        NetworkError: too large, damaged, no such program, not one photo in and one row of classes out, or it asks for
            an operation that is not on the list.
    """
    content, called = read_bytes(data, name, most)
    if not is_archive(content):
        raise NetworkError(f"{called} is neither a TorchScript nor a torch.export archive: it is no zip file.")
    archive = Archive(content, called, ("code/",))
    kind = _kind(archive)
    if kind is None:
        raise NetworkError(f"{called} is neither a TorchScript nor a torch.export archive.")
    if kind == "TorchScript":
        script = Script(archive, 2 * len(content))
        shapes: Iterator[tuple[int, ...]] = _tried_shapes(script)
        follow: Callable[[Recorder], Any] = lambda recorder: record_script(script, recorder)  # noqa: E731
    else:
        export = Export(archive, 2 * len(content))
        shapes, follow = iter([export.shape[1:]]), lambda recorder: record_export(export, recorder)
    recorder, output, shape, batch = _recorded(follow, shapes, called)
    module = rebuilt(recorder, output)
    classes = output.meta["value"].shape[1]
    return Program(module, kind, shape, _is_fixed(module, recorder, shape, batch, classes), batch, classes,
                   hashlib.sha256(content).hexdigest())


def _tried_shapes(script: Script) -> Iterator[tuple[int, ...]]:
    for side in SIDES:
        for channels in (3, 1):
            yield channels, side, side


def _recorded(follow: Callable[[Recorder], Any], shapes: Iterator[tuple[int, ...]],
              name: str) -> tuple[Recorder, fx.Node, tuple[int, int, int], int | None]:
    """The program written down for the first shape that it takes, for two photos at once or else for one."""
    reasons = []
    for shape in shapes:
        for batch in (2, 1):
            recorder = Recorder((batch, *shape), name)
            try:
                output = follow(recorder)
            except DoesNotFitError as error:
                reasons.append(str(error))
                continue
            output = output[0] if isinstance(output, list | tuple) and len(output) == 1 else output
            if _is_logits(output, batch):
                return recorder, output, shape, None if batch == 2 else 1
            reasons.append("it does not give one row of numbers for each photo")
    why = " ".join(reasons[0].split())[:160] if reasons else "nothing was tried"
    raise NetworkError(f"{name} is no classifier of photos that PoolScope can follow ({why}).")


def _is_logits(output: Any, batch: int) -> bool:
    value = output.meta["value"] if isinstance(output, fx.Node) else None
    return isinstance(value, Tensor) and value.ndim == 2 and value.shape[0] == batch and value.is_floating_point()


def _is_fixed(module: fx.GraphModule, recorder: Recorder, shape: tuple[int, int, int], batch: int | None,
              classes: int) -> bool:
    """Whether another height and width fail; tried without numbers."""
    if recorder.size_was_asked:
        return True
    channels, height, width = shape
    state = {key: tensor.to("meta") for key, tensor in (*module.named_parameters(), *module.named_buffers())}
    try:
        with torch.no_grad():
            given = torch.empty(batch or 2, channels, height + 32, width + 64, device="meta")
            answer = torch.func.functional_call(module, state, (given,))
    except (RuntimeError, IndexError, ValueError, TypeError):
        return True
    return tuple(answer.shape) != (batch or 2, classes)
