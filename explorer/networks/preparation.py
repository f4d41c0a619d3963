"""Has a graph written of a backbone that has none, and the soonest engine chosen: now, or in the background.

It takes a processor's core for 10 s or more, so it is for many passes to come: a folder, or the networks of a server.
"""

from __future__ import annotations

import atexit
import logging
import threading
from weakref import ReferenceType, WeakSet, ref

from torch import Tensor

from explorer.errors import ExplorerError, NetworkError, StoppedError
from explorer.networks.engine import Engine, Graph
from explorer.networks.graph_process import end_all, packed, written

_GRACE = 10.0  # seconds that a process waits at its end for a pass of the trial
_LOG = logging.getLogger(__name__)
_LOCK = threading.Lock()  # of the two sets
_REQUESTED: WeakSet[Engine] = WeakSet()
_BEGUN: WeakSet[Engine] = WeakSet()
_ONE_AT_A_TIME = threading.Lock()
_THREADS: WeakSet[threading.Thread] = WeakSet()
_ENDING = threading.Event()


def prepare(engine: Engine, x: Tensor) -> None:
    """Have a graph written where an engine may choose one, and let it choose by a trial: once, whatever comes of it.

    Nothing is raised where no graph can be written: torch runs the backbone.

    Args:
        engine: of the network.
        x: (1, channels, h, w), a photo as its passes will get it.
    """
    _prepare(ref(engine), x)


def prepare_in_background(engine: Engine, x: Tensor) -> None:
    """`prepare` in a thread that keeps no network alive; one at a time in a process. Later calls do nothing."""
    with _LOCK:
        if engine.has_graph or engine in _REQUESTED:
            return
        _REQUESTED.add(engine)
    thread = threading.Thread(target=_prepare, args=(ref(engine), x), daemon=True, name="preparation")
    _THREADS.add(thread)
    thread.start()


def _prepare(of: ReferenceType[Engine], x: Tensor) -> None:
    with _ONE_AT_A_TIME:
        if not _begins(of):
            return
        graph = _graph(of, x)
        engine = of()
        if engine is None or _ENDING.is_set():
            return
        try:
            engine.choose(x, graph, stop=_ENDING.is_set)
        except StoppedError:
            pass
        except ExplorerError as error:
            _LOG.warning("No engine was chosen: %s", error)
        except Exception:
            _LOG.exception("No engine was chosen")


def _begins(of: ReferenceType[Engine]) -> bool:
    """Whether the engine is still there and was not prepared before."""
    engine = of()
    with _LOCK:
        if engine is None or engine.has_graph or engine in _BEGUN or _ENDING.is_set():
            return False
        _BEGUN.add(engine)
        return True


def _graph(of: ReferenceType[Engine], x: Tensor) -> Graph | None:
    """A graph of the backbone, which nobody but others holds meanwhile; None where there can be none."""
    engine = of()
    if engine is None or engine.choice != "auto":
        return None
    try:
        pack = packed(engine.backbone, x)
        del engine
        return Graph(written(pack))
    except NetworkError as error:
        _LOG.info("%s", error)
        return None


@atexit.register
def _end() -> None:
    """A thread that is in the middle of torch when the process ends makes it crash."""
    _ENDING.set()
    end_all()
    for thread in list(_THREADS):
        thread.join(_GRACE)
