"""What sessions share: networks and analyses, and a process tuned for quick pages."""

from __future__ import annotations

import atexit
import contextlib
import gc
import socket
import sys
import threading
from pathlib import Path

import streamlit as st
import torch
from PIL import Image

from explorer import Analysis, analyse, load_network
from explorer.networks import Network

_INFERENCE = threading.Semaphore(1)  # two forward passes at once on the same cores only slow each other down


@st.cache_resource(show_spinner=False, max_entries=4)
def network_named(name: str) -> Network:
    """The network, loaded once for all sessions."""
    network = load_network(name)
    side = network.preprocessing.size
    network(torch.zeros(1, 3, side, side))  # the first pass sets up kernels and is thirty times slower
    _settle()
    return network


@st.cache_resource(show_spinner=False, max_entries=8)
def _analysis(name: str, digest: str, framing: str, short_side: int, _image: Image.Image) -> Analysis:
    with _INFERENCE:
        return analyse(network_named(name), _image, framing, short_side)


def analysis_of(network: str, image: Image.Image, digest: str, framing: str, short_side: int) -> Analysis:
    """One forward pass for each photo and framing, whoever asks. `digest` is the photo's, see explorer.images."""
    return _analysis(network, digest, framing, short_side, image)


def _settle() -> None:
    """Once the heavy imports are done and a network is loaded: leave them out of every later garbage collection.

    Streamlit collects garbage after each run, and walking all that torch made costs 200 ms a click. At
    the end it must be collected after all, or libraries under torch report leaks in the terminal.
    """
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)


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
