"""What a child process does before it imports anything large: ends with its parent, and stands behind other work."""

from __future__ import annotations

import os
import threading
import time


def stand_back(parent: int, limit: float) -> None:
    """End this process when its parent, of that process id, has ended or `limit` seconds are over; low priority."""
    if hasattr(os, "nice"):  # not on Windows
        os.nice(10)  # a tenth of what others get who want the same core; at 19 it would starve
    threading.Thread(target=_watch, args=(parent, time.monotonic() + limit), daemon=True).start()


def _watch(parent: int, end: float) -> None:
    while os.getppid() == parent and time.monotonic() < end:
        time.sleep(0.5)
    os._exit(1)
