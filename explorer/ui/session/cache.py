"""What sessions share: networks and analyses, and a process tuned for quick pages."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import streamlit as st
import torch
from PIL import Image

from explorer import Analysis, analyse, load_network
from explorer.errors import ExplorerError, FramingError, NetworkError
from explorer.networks import BUNDLED, Network
from explorer.progress import Progress
from explorer.ui.session.arguments import GIVEN, given, load_given
from explorer.ui.session.network_cache import NetworkCache, NetworkRequest

MOST_MEGABYTES = 2048  # of networks' weights, unless POOLSCOPE_NETWORKS_MB says otherwise
GRACE = 120.0  # seconds for which a lost connection may come back to its own networks; Streamlit waits as long

_INFERENCE = threading.Semaphore(1)  # two forward passes at once on the same cores only slow each other down
_LOG = logging.getLogger(__name__)


def _most_bytes() -> int:
    text = os.environ.get("POOLSCOPE_NETWORKS_MB", "")
    if text and not (text.isascii() and text.isdigit() and len(text) < 8):
        print(f"PoolScope: POOLSCOPE_NETWORKS_MB is {text!r:.40}; expected a whole number of megabytes, so it is "
              f"{MOST_MEGABYTES}.", file=sys.stderr, flush=True)
        text = ""
    return int(text or MOST_MEGABYTES) * 2**20


def _load(name: str, progress: Progress | None) -> Network:
    """A network that all share. Raises ExplorerError, whatever happens."""
    collect()  # what was let go of makes room first
    if name not in BUNDLED:
        make_room()
    try:
        network = _given(progress) if name == GIVEN else load_network(name, progress=progress)
        if name in BUNDLED:
            _run_once(network)  # the first pass sets up kernels and is thirty times slower
    except ExplorerError:
        raise
    except Exception as error:
        _LOG.exception("The network %s failed to load", name)
        raise NetworkError(f"The network {name} failed to load: {type(error).__name__}.") from None
    _settle()
    return network


def _given(progress: Progress | None) -> Network:
    arguments, _ = given()
    if not arguments.given:
        raise NetworkError("The app was started without a network of its own; expected one that everybody can load.")
    return load_given(arguments, progress)


NETWORK_CACHE = NetworkCache(_load, _most_bytes(), stays=frozenset(BUNDLED))


def make_room() -> None:
    """Before a network comes into memory. Raises FullError when those that open pages show leave none."""
    NETWORK_CACHE.must_have_room(collect)


def network_named(wanted: NetworkRequest, progress: Progress | None = None) -> Network:
    """The network, loaded once for all sessions. Raises ExplorerError; LeftError for a person's own that is not here.
    """
    return NETWORK_CACHE.network(wanted, progress)


def keep_own(wanted: NetworkRequest, network: Network) -> None:
    """Put a person's own network into memory for their session; see `still_here`."""
    NETWORK_CACHE.put(wanted, network)
    _settle()


def analysis_of(
    wanted: NetworkRequest, image: Image.Image, digest: str, framing: str, short_side: int | None,
    layer: str | None = None,
) -> Analysis:
    """One forward pass for each photo and framing, whoever asks. `digest` is the photo's, see explorer.images.

    Raises FramingError when the network refuses such an input, and what `network_named` raises.
    """
    def make() -> Analysis:
        network = network_named(wanted)
        with _INFERENCE:
            try:
                made = analyse(network, image, framing, short_side, layer)
                if not made.has_evidence:
                    _ = made.under().logits  # the rest of the network may still refuse it
                return made
            except ExplorerError:
                raise
            except Exception as error:  # a network may refuse a size in any way
                _LOG.warning("%s refuses %s at %s px: %s", network.name, framing, short_side, error)
                raise FramingError(f"The network {network.title:.60} cannot take this photo by {framing} at a short "
                                   f"side of {short_side} px ({type(error).__name__}); expected a size and framing "
                                   "that it was made for.") from None

    return NETWORK_CACHE.analysis(wanted, (digest, framing, short_side, layer), make)


def check_edited(network: Network) -> None:
    """Run a network with edited preprocessing once. Raises FramingError when it cannot take such an input."""
    try:
        with _INFERENCE:
            _run_once(network)
    except Exception as error:
        side = network.preprocessing.size
        raise FramingError(f"The network {network.title:.60} cannot take an input of {side} x {side} px "
                           f"({type(error).__name__}); expected a size that it was made for.") from None


def _run_once(network: Network) -> None:
    shape = network.preprocessing
    network(torch.zeros(1, shape.channels, shape.size, shape.size))


@st.cache_resource(show_spinner=False, scope="session", on_release=lambda token: _left(token))
def _presence(token: str) -> str:
    """Streamlit lets go of it when the connection is lost, and so we hear of that."""
    _ABSENT.pop(token, None)
    return token


_ABSENT: dict[str, object] = {}  # each time that a session leaves is one of its own


def still_here(token: str) -> None:
    """The session with own networks is still there, or again."""
    _presence(token)


def _left(token: str) -> None:
    this_time = _ABSENT[token] = object()

    def end() -> None:
        if _ABSENT.get(token) is this_time:
            del _ABSENT[token]
            NETWORK_CACHE.let_go(token)
            _collect_for_a_while()

    _later(GRACE, end)


def _collect_for_a_while(times: int = 10) -> None:
    """Streamlit keeps what a page showed for minutes after its connection was lost."""
    collect()
    if times and NETWORK_CACHE.held:
        _later(GRACE / 2, lambda: _collect_for_a_while(times - 1))


def _later(seconds: float, act: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, act)
    timer.daemon = True
    timer.start()


def _settle() -> None:
    """Once the heavy imports are done and a network is loaded: leave them out of every later garbage collection.

    Streamlit collects garbage after each run, and walking all that torch made costs 200 ms a click. At
    the end it must be collected after all, or libraries under torch report leaks in the terminal.
    """
    collect()
    gc.freeze()
    atexit.unregister(gc.unfreeze)
    atexit.register(gc.unfreeze)


def collect() -> None:
    """Free what nobody needs any more, such as networks that left: their modules refer to each other.

    What was left out of the collections before is looked at once more, and left out of the next ones again.
    """
    frozen = gc.get_freeze_count()
    gc.unfreeze()
    gc.collect()
    if frozen:
        gc.freeze()
    with contextlib.suppress(OSError, AttributeError):  # glibc keeps what was freed unless it is told
        ctypes.CDLL(None).malloc_trim(0)


@st.cache_resource(show_spinner=False)
def send_without_delay() -> None:
    """Set TCP_NODELAY on the server's sockets, once a process: without it answers wait up to 40 ms for each other.

    Streamlit offers no setting for it, so its sockets are found by their port among the process's own file
    descriptors; those that the listening one accepts later inherit the option on Linux.
    """
    if sys.platform != "linux":
        return
    port = int(st.get_option("server.port"))
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if not str(entry.readlink()).startswith("socket:"):
                continue
            with socket.socket(fileno=socket.dup(int(entry.name))) as found:
                if found.family in (socket.AF_INET, socket.AF_INET6) and found.getsockname()[1] == port:
                    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
