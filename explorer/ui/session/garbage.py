"""Garbage collection in a process that serves pages: seldom, and not over what torch made.

Python's collector walks all objects that may refer to each other. What importing torch and loading a network leaves
takes 200 ms to walk, so it is left out. Streamlit's own collection after each run is off, see .streamlit/config.toml:
with twenty viewers it took more time than all the pages.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import time

_EVERY = 20.0  # seconds between two collections
_QUIET = 300.0  # seconds after the last run in which sessions still end


def collect() -> None:
    """Free what nobody needs any more, such as networks that were dropped: their modules refer to each other.

    What was left out of the collections before is looked at once more, and left out of the next ones again.
    """
    frozen = gc.get_freeze_count()
    gc.unfreeze()
    gc.collect()
    if frozen:
        gc.freeze()
    _trim()


def leave_out() -> None:
    """Leave all there is out of every later collection.

    At the end it must be collected after all, or libraries under torch report leaks in the terminal.
    """
    collect()
    gc.freeze()
    atexit.unregister(gc.unfreeze)
    atexit.register(gc.unfreeze)


class Collector:
    """Collects now and then while pages run, and for some minutes after: sessions end later than their pages."""

    def __init__(self) -> None:
        self._last_run = time.monotonic()

    def note_run(self) -> None:
        """A page runs."""
        self._last_run = time.monotonic()

    def run(self) -> None:
        """Never ends: for a thread of its own."""
        while True:
            time.sleep(_EVERY)
            if time.monotonic() - self._last_run < _QUIET:
                gc.collect()
                _trim()


def _trim() -> None:
    with contextlib.suppress(OSError, AttributeError):  # glibc keeps what was freed unless it is trimmed
        ctypes.CDLL(None).malloc_trim(0)
