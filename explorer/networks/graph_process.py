"""Graphs of backbones, written by a process of their own: torch's exporter stands no other threads beside it.

The parent packs a backbone and an input, and the child's standard output is the graph: nothing lies on a disk. The
child has a low priority and one thread, and ends with its parent or after a quarter of an hour.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys

import torch
from torch import Tensor, nn

from explorer.errors import NetworkError
from explorer.networks.cutting.taps import first_line
from explorer.networks.graphs import export

LIMIT = 900.0  # seconds for a child
LARGEST = 512 * 2**20  # bytes of weights: they are held several times while a graph is written
_CHILD = """from explorer.child import stand_back
stand_back({parent}, {limit})
from explorer.networks.graph_process import _answer
_answer()"""
_RUNNING: set[subprocess.Popen[bytes]] = set()


def packed(backbone: nn.Module, x: Tensor) -> bytes:
    """A backbone and an input (1, channels, h, w), for `written`.

    Raises NetworkError where they cannot be packed: the backbone is large, or Python cannot pickle it.
    """
    if sum(weights.nbytes for weights in backbone.state_dict().values()) > LARGEST:
        raise NetworkError(f"The backbone has more than {LARGEST / 2**20:.0f} MB of weights; its graph is not written.")
    try:
        return pickle.dumps((backbone, x))
    except Exception as error:  # a module of somebody's own may fail in any way
        raise NetworkError(f"The backbone cannot be given to another process: {first_line(error)}.") from None


def written(pack: bytes, limit: float = LIMIT) -> bytes:
    """The ONNX graph of what `packed` gave, as `explorer.networks.graphs.export` writes it; it takes 10 s or more.

    Raises NetworkError where it cannot be written, or not within `limit` seconds.
    """
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)  # whence the backbone's classes came
    command = [sys.executable, "-P", "-c", _CHILD.format(parent=os.getpid(), limit=limit)]
    try:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"})
    except OSError as error:
        raise NetworkError(f"No process could be started to write the backbone's graph: {first_line(error)}.") from None
    _RUNNING.add(child)
    try:
        graph, errors = child.communicate(pack, timeout=limit)
    except subprocess.TimeoutExpired:
        raise NetworkError(f"The backbone's graph was not written within {limit:.0f} s.") from None
    finally:
        _end(child)
    if child.returncode:
        lines = errors.decode(errors="replace").strip().splitlines()
        raise NetworkError(lines[-1] if lines else f"The process that wrote the backbone's graph ended with "
                                                   f"{child.returncode}.")
    return graph


def _end(child: subprocess.Popen[bytes]) -> None:
    _RUNNING.discard(child)
    child.kill()
    child.wait()


def end_all() -> None:
    """End all children: what waits for them raises NetworkError."""
    for child in list(_RUNNING):
        child.kill()


def _answer() -> None:
    """The child's whole life."""
    torch.set_num_threads(1)
    with os.fdopen(os.dup(1), "wb") as answer:
        os.dup2(2, 1)  # what libraries print is no part of the graph
        try:
            backbone, x = pickle.load(sys.stdin.buffer)  # of the parent alone: nothing that a person brought
            answer.write(export(backbone, x))
        except Exception as error:  # the backbone's class may be unknown here, or fail in any way
            sys.exit(str(error) if isinstance(error, NetworkError) else
                     f"The backbone cannot be read by another process: {first_line(error)}.")
