"""What sessions share: networks and analyses, within a bound on memory.

Every network that came into memory is counted for as long as anybody holds it: this cache, a session whose own file it
is, or a page that shows it. When they exceed the bound, the cache drops its own, and pages that show one keep it.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from itertools import chain
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

import streamlit as st
import torch
from PIL import Image
from streamlit import runtime
from torch import nn

from explorer import Analysis, analyse, load_network
from explorer.errors import ExplorerError, FramingError, NetworkError
from explorer.networks import BUNDLED, Network
from explorer.networks.engine import Engine
from explorer.networks.preparation import prepare_in_background
from explorer.progress import Progress
from explorer.ui.session.arguments import GIVEN, given, load_given
from explorer.ui.session.garbage import collect, leave_out
from explorer.ui.session.page_cache import drawn

MOST_MEGABYTES = 2048  # of networks' weights, unless POOLSCOPE_NETWORKS_MB says otherwise
MOST_ANALYSES = 12

_INFERENCE = threading.Semaphore(1)  # two forward passes at once on the same cores only slow each other down
_LOG = logging.getLogger(__name__)
_WEIGHTS: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()  # bytes of all that are in memory, but bundled ones
_ENGINES: WeakSet[Engine] = WeakSet()  # theirs, whose graphs hold weights too
_BY_NAME: WeakValueDictionary[str, Network] = WeakValueDictionary()
_LOCK = threading.Lock()  # of the three above


class FullError(NetworkError):
    """The networks that are held leave no room for another."""


def _most_bytes() -> int:
    text = os.environ.get("POOLSCOPE_NETWORKS_MB", "")
    if text and not (text.isascii() and text.isdigit() and len(text) < 8):
        print(f"PoolScope: POOLSCOPE_NETWORKS_MB is {text!r:.40}; expected a whole number of megabytes, so it is "
              f"{MOST_MEGABYTES}.", file=sys.stderr, flush=True)
        text = ""
    return int(text or MOST_MEGABYTES) * 2**20


MOST_NETWORK_BYTES = _most_bytes()


# Networks.


class _Slot:
    """A shared network's place. A cached function that loads would draw the progress again whenever it is called."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.network: Network | None = None


@st.cache_resource(show_spinner=False)
def _slot(name: str) -> _Slot:
    return _Slot()


def network_named(name: str, progress: Progress | None = None) -> Network:
    """A network that all share, loaded once. Raises ExplorerError, whatever happens."""
    slot = _slot(name)
    with slot.lock:
        if slot.network is None:
            slot.network = _BY_NAME.get(name) or _load(name, progress)
            with _LOCK:
                _BY_NAME[name] = slot.network
        return slot.network


def is_in_memory(name: str) -> bool:
    """Whether a shared network need not be loaded."""
    return name in _BY_NAME


def _load(name: str, progress: Progress | None) -> Network:
    if name not in BUNDLED:
        make_room()
    try:
        network = load_given(given()[0], progress) if name == GIVEN else load_network(name, progress=progress)
        if name in BUNDLED:
            _run_once(network)  # the first pass sets up kernels and is thirty times slower
    except ExplorerError:
        raise
    except Exception as error:
        _LOG.exception("The network %s failed to load", name)
        raise NetworkError(f"The network {name} failed to load: {type(error).__name__}.") from None
    settle(network, name not in BUNDLED)
    return network


def make_room() -> None:
    """Before a network comes into memory. Raises FullError where sessions and open pages hold more than the bound."""
    if bytes_in_memory() > MOST_NETWORK_BYTES:
        clear()
    if (held := bytes_in_memory()) > MOST_NETWORK_BYTES:
        raise FullError(f"The memory for networks is full: open pages hold {held / 2**20:,.0f} MB of them; try again "
                        "when some are closed.")


def clear() -> None:
    """Drop all networks but the bundled ones, all analyses and what was drawn of them."""
    drop_analyses()
    with _LOCK:
        names = set(_BY_NAME) - set(BUNDLED)
    for name in names:
        _slot.clear(name)
    collect()


def drop_analyses() -> None:
    """Drop all analyses and what was drawn of them; an open page that is clicked next makes its own again."""
    drawn.clear()
    _analysed.clear()


def settle(network: Network, counted: bool = True) -> None:
    """A network has come into memory: count it, and leave it out of every later garbage collection."""
    if counted:
        with _LOCK:
            _WEIGHTS[network.layers.model or network.backbone] = bytes_of(network)
            _ENGINES.add(network.engine)
    leave_out()


def bytes_in_memory() -> int:
    """Of the weights of all networks that anybody holds; the bundled ones are always there and not counted."""
    with _LOCK:
        return sum(list(_WEIGHTS.values())) + sum(engine.nbytes for engine in _ENGINES)


def bytes_of(network: Network) -> int:
    """Of its weights, those that its parts share counted once."""
    parts = [part for part in (network.backbone, *network.heads, network.layers.model) if part is not None]
    tensors = chain.from_iterable(chain(part.parameters(), part.buffers()) for part in parts)
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())


# Analyses.


def analysis_of(
    network: Network, image: Image.Image, digest: str, framing: str, short_side: int | None, layer: str | None = None
) -> Analysis:
    """One forward pass for each photo and framing, for all sessions. `digest` is the photo's, see explorer.images.

    Raises FramingError when the network refuses such an input.
    """
    # An analysis that is cached keeps its backbone alive, so that no other has the same id. Networks with other heads
    # may share a backbone: their own digests tell them apart.
    key = id(network.backbone), network.digest, repr(network.preprocessing), digest, framing, short_side, layer
    return _analysed(key, lambda: _analyse(network, image, framing, short_side, layer))


@st.cache_resource(show_spinner=False, max_entries=MOST_ANALYSES, on_release=drawn.forget)
def _analysed(key: tuple[int | str | None, ...], _make: Callable[[], Analysis]) -> Analysis:
    return _make()


def _analyse(network: Network, image: Image.Image, framing: str, short_side: int | None, layer: str | None) -> Analysis:
    with _INFERENCE:
        try:
            analysis = analyse(network, image, framing, short_side, layer)
            if not analysis.has_evidence:
                _ = analysis.under().logits  # the rest of the network may still refuse it
            if runtime.exists():  # a server, where more photos will come
                prepare_in_background(network.engine, analysis.input)
            return analysis
        except ExplorerError:
            raise
        except Exception as error:  # a network may refuse a size in any way
            _LOG.warning("%s refuses %s at %s px: %s", network.name, framing, short_side, error)
            raise FramingError(f"The network {network.title:.60} cannot take this photo by {framing} at a short side "
                               f"of {short_side} px ({type(error).__name__}); expected a size and framing that it was "
                               "made for.") from None


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
