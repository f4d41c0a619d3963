"""The server's process, set for quick pages: its threads, its garbage collection, its sockets."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from pathlib import Path

import streamlit as st
import torch
from streamlit import runtime

from explorer.errors import ParameterError
from explorer.networks.engine import usual_threads
from explorer.ui.session.cache import drop_analyses
from explorer.ui.session.garbage import Collector, return_large_blocks
from explorer.ui.session.leftovers import drop_sessions


def tend() -> None:
    """Note that a page runs; the first time, set the process up."""
    _set_up().note_run()


@st.cache_resource(show_spinner=False)
def _set_up() -> Collector:
    collector = Collector(drop_sessions, drop_analyses)
    try:
        usual_threads()
    except ParameterError as error:
        print(f"PoolScope: {error} It is ignored.", file=sys.stderr, flush=True)
        del os.environ["POOLSCOPE_THREADS"]
    torch.set_num_threads(usual_threads())  # what follows a pass is small
    return_large_blocks()
    if runtime.exists():
        _send_without_delay()
        threading.Thread(target=collector.run, daemon=True, name="collector").start()
    return collector


def _send_without_delay() -> None:
    """Set TCP_NODELAY on the server's sockets, once a process: without it answers wait up to 40 ms for each other.

    Streamlit offers no setting for it, so its sockets are recognised by their port among the process's own file
    descriptors; those that the listening one accepts later inherit the option on Linux.
    """
    if sys.platform != "linux":
        return
    port = int(st.get_option("server.port"))
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if not str(entry.readlink()).startswith("socket:"):
                continue
            with socket.socket(fileno=socket.dup(int(entry.name))) as ours:
                if ours.family in (socket.AF_INET, socket.AF_INET6) and ours.getsockname()[1] == port:
                    ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
