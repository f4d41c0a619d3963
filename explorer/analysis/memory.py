"""Remembering what was computed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Memory:
    """Remembers what was computed, all of it or what was asked for lately.

    Two threads may compute the same thing at once; both then see the first result.
    """

    def __init__(self, most: int | None = None) -> None:
        self._known: dict[Any, Any] = {}
        self._most = most
        self._lock = threading.Lock()

    def __call__(self, key: Any, compute: Callable[[], Any]) -> Any:
        known = self._known
        with self._lock:
            if key in known:
                value = known[key] = known.pop(key)  # what was asked for last is the last to be forgotten
                return value
        value = compute()
        with self._lock:
            value = known.setdefault(key, value)
            while self._most is not None and len(known) > self._most:
                del known[next(iter(known))]
        return value
