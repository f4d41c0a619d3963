"""Keeping what was computed, up to a bound."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary


class Memory:
    """Keeps what was computed under a key, all of it or the `most` entries used last.

    Two threads may compute the same entry at once; both then get the first result.
    """

    def __init__(self, most: int | None = None) -> None:
        self._known: dict[Any, Any] = {}
        self._most = most
        self._lock = threading.Lock()

    def __contains__(self, key: Any) -> bool:
        return key in self._known

    def __call__(self, key: Any, compute: Callable[[], Any]) -> Any:
        known = self._known
        with self._lock:
            if key in known:
                value = known[key] = known.pop(key)  # the entry used last is dropped last
                return value
        value = compute()
        with self._lock:
            value = known.setdefault(key, value)
            while self._most is not None and len(known) > self._most:
                del known[next(iter(known))]
        return value


class MemoryByOwner:
    """A `Memory` for each analysis or outcome, freed together with it.

    A value must not refer to its owner, or neither would ever be freed.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._memories: WeakKeyDictionary[Any, Memory] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def __call__(self, owner: Any, key: Any, compute: Callable[[], Any]) -> Any:
        with self._lock:
            memory = self._memories.setdefault(owner, Memory(self._most))
        return memory(key, compute)


def remembered(function: Callable[..., Any]) -> Callable[..., Any]:
    """Keep what a question returns beside the analysis or outcome that is its first argument.

    For small results only: nothing of the photo's own size, no other analysis. The further arguments are the key.
    """
    @functools.wraps(function)
    def kept(owner: Any, *arguments: Any) -> Any:
        return owner.results((function.__module__, function.__name__, *arguments), lambda: function(owner, *arguments))

    return kept
