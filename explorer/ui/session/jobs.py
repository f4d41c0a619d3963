"""Long computations beside the pages: a page polls how far they are, and a job that nobody polls stops."""

from __future__ import annotations

import atexit
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakSet

from explorer.errors import ExplorerError, StoppedError

PATIENCE = 10.0  # seconds without anyone asking; a tab in the background asks once a second
_GRACE = 10.0  # seconds that a process waits at its end for what runs to come to a stop
_RUNNING: WeakSet[threading.Thread] = WeakSet()
_ENDING = threading.Event()


class Job:
    """A computation in its own thread; sessions that need the same result share it.

    Attributes:
        done, total: how far it is.
        result: what it gave, or None.
        so_far: the newest of the results that it gave on its way there, or None.
        error: the sentence of what went wrong, or "".
    """

    def __init__(
        self, work: Callable[[Callable[[int, int], None], Callable[[], bool]], Any], patience: float = PATIENCE
    ) -> None:
        """`work` gets `progress(done, total)` and `stop() -> bool`; once that is true it raises StoppedError.

        It returns the result, or an iterator over better and better ones. It goes on for `patience` seconds without
        anybody asking.
        """
        self.done, self.total = 0, 1
        self.result: Any = None
        self.so_far: Any = None
        self.error = ""
        self._work = work
        self._patience = patience
        self._last_ask = 0.0
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    @property
    def begun(self) -> bool:
        """Whether anybody ever asked."""
        return self._thread is not None

    @property
    def ended(self) -> bool:
        """Whether there is a result or an error."""
        return self.result is not None or bool(self.error)

    def ask(self) -> bool:
        """Start it or keep it going; whether it has come to its end."""
        self._last_ask = time.monotonic()
        with self._lock:
            if not self.ended and (self._thread is None or not self._thread.is_alive()):
                self.done = 0
                self._thread = threading.Thread(target=self._run, daemon=True)
                _RUNNING.add(self._thread)
                self._thread.start()
        return self.ended

    def leave(self) -> None:
        """Stop it now, unless somebody else asks."""
        self._last_ask = -math.inf

    def _run(self) -> None:
        try:
            result = self._work(self._progress, self._is_left)
            if isinstance(result, Iterator):
                for self.so_far in result:
                    pass
                result = self.so_far
            self.result, self.so_far = result, None
        except StoppedError:
            pass  # the next ask starts it again
        except ExplorerError as error:
            self.error = str(error)
        except Exception as error:
            logging.getLogger(__name__).exception("A long computation failed")
            self.error = f"It failed: {type(error).__name__}."

    def _progress(self, done: int, total: int) -> None:
        self.done, self.total = done, total

    def _is_left(self) -> bool:
        return _ENDING.is_set() or time.monotonic() - self._last_ask > self._patience


@atexit.register
def _end() -> None:
    """A thread that is in the middle of torch when the process ends makes it crash."""
    _ENDING.set()
    for thread in list(_RUNNING):
        thread.join(_GRACE)
