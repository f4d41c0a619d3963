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
from collections.abc import Callable

_EVERY = 20.0  # seconds between two collections
_QUIET = 180.0  # seconds without a run after which nobody is taken to be there
_LARGE = 4 * 2**20  # bytes of a block that is asked for alone; the maps of a pass at 224 px are smaller
_M_MMAP_THRESHOLD = -3  # its name in malloc.h


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
    """Collects now and then while pages run or sessions end; when no page has run for some minutes it empties caches.

    Args:
        drop_sessions: drops sessions that are over, and returns how many.
        empty: drops what sessions share and nobody is looking at.
    """

    def __init__(self, drop_sessions: Callable[[], int], empty: Callable[[], None]) -> None:
        self._drop_sessions, self._empty = drop_sessions, empty
        self._last_run, self._is_empty = time.monotonic(), False

    def note_run(self) -> None:
        """A page runs."""
        self._last_run, self._is_empty = time.monotonic(), False

    def run(self) -> None:
        """Never ends: for a thread of its own."""
        while True:
            time.sleep(_EVERY)
            self.look()

    def look(self) -> None:
        """Do what is due."""
        is_quiet = time.monotonic() - self._last_run >= _QUIET
        if self._drop_sessions() or not is_quiet:
            gc.collect()
            _trim()
        if is_quiet and not self._is_empty:
            self._is_empty = True
            self._empty()
            collect()


def return_large_blocks() -> None:
    """Have glibc ask the system for each block of the size of a photo, and give it back once it is freed.

    Else it learns to take them from its heaps, where a small block that stays keeps what lies before it.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)


def _trim() -> None:
    with contextlib.suppress(OSError, AttributeError):  # glibc keeps what was freed unless it is trimmed
        ctypes.CDLL(None).malloc_trim(0)
