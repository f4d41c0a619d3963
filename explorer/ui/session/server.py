"""The server's sockets, set for quick pages."""

from __future__ import annotations

import contextlib
import socket
import sys
from pathlib import Path

import streamlit as st


@st.cache_resource(show_spinner=False)
def send_without_delay() -> None:
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
