"""What pages made of an analysis and may need again: figures, pictures, stacks of maps, jobs and their results.

An analysis keeps what is computed of it and nothing that is drawn. What is drawn lies here, for all sessions together
and bounded by bytes: what was used least recently leaves first.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from PIL import Image
from plotly.basedatatypes import BaseFigure
from torch import Tensor, nn

from explorer.analysis import Analysis, Outcome
from explorer.networks import Network
from explorer.ui.session.jobs import Job

MOST_DRAWN_BYTES = 200 * 2**20
_LEAST_BYTES = 2**14  # counted for any entry
_FIGURE_BYTES = 300_000  # measuring one costs more than drawing it

Made = TypeVar("Made")


@dataclass
class _Entry:
    of: Analysis | Outcome  # kept alive, so that its id stays its own
    value: Any
    bytes: int

    @property
    def is_running(self) -> bool:
        return isinstance(self.value, Job) and not self.value.ended


class PageCache:
    """`drawn(outcome, key, make)`: what `make` gave for that outcome (or analysis) and key, as long as there is room.

    Two threads may make the same thing at once; both then get the first. Jobs that run never leave.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._entries: OrderedDict[tuple[int, Hashable], _Entry] = OrderedDict()  # used last comes last
        self._bytes = 0  # of all entries
        self._jobs: set[tuple[int, Hashable]] = set()  # places of those whose results are not measured yet
        self._lock = threading.Lock()

    def __call__(self, of: Analysis | Outcome, key: Hashable, make: Callable[[], Made]) -> Made:
        place = id(of), key
        with self._lock:
            if place in self._entries:
                self._entries.move_to_end(place)
                return self._entries[place].value
        value = make()
        measured = _bytes_of(of, value)
        with self._lock:
            if (entry := self._entries.get(place)) is None:
                entry = self._entries[place] = _Entry(of, value, measured)
                self._bytes += measured
                if isinstance(value, Job):
                    self._jobs.add(place)
                self._make_room(place)
        return entry.value

    @property
    def bytes(self) -> int:
        """Of all that is here."""
        return self._bytes

    def forget(self, analysis: Analysis) -> None:
        """All of an analysis and its outcomes."""
        with self._lock:
            for place in [place for place, entry in self._entries.items() if _analysis_of(entry.of) is analysis]:
                self._drop(place)

    def clear(self) -> None:
        """All there is."""
        with self._lock:
            self._entries.clear()
            self._jobs.clear()
            self._bytes = 0

    def _drop(self, place: tuple[int, Hashable]) -> None:
        self._bytes -= self._entries.pop(place).bytes
        self._jobs.discard(place)

    def _make_room(self, newest: tuple[int, Hashable]) -> None:
        for place in [place for place in self._jobs if not self._entries[place].is_running]:
            entry = self._entries[place]
            self._jobs.remove(place)
            self._bytes -= entry.bytes
            entry.bytes = _bytes_of(entry.of, entry.value.result)
            self._bytes += entry.bytes
        if self._bytes <= self._most_bytes:
            return
        for place in list(self._entries):
            if place != newest and not self._entries[place].is_running:
                self._drop(place)
            if self._bytes <= self._most_bytes:
                return


drawn = PageCache(MOST_DRAWN_BYTES)


def _analysis_of(of: Analysis | Outcome) -> Analysis:
    return of if isinstance(of, Analysis) else of.analysis


def _bytes_of(of: Analysis | Outcome, value: Any) -> int:
    """Bytes that an entry holds besides the analysis that it is of."""
    analysis = _analysis_of(of)
    return max(_LEAST_BYTES, _measure(value, {id(analysis), id(analysis.image), id(of)}))


def _measure(value: Any, seen: set[int]) -> int:
    """Bytes of arrays, pictures and texts in a value, each counted once; a network's weights are counted elsewhere."""
    if id(value) in seen or value is None or isinstance(value, (int, float, type, nn.Module, Network, Job)):
        return 0
    seen.add(id(value))
    if isinstance(value, (bytes, str)):
        return len(value)
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, Tensor):
        return value.untyped_storage().nbytes()
    if isinstance(value, Image.Image):
        return value.width * value.height * len(value.getbands())
    if isinstance(value, BaseFigure):
        return _FIGURE_BYTES
    if isinstance(value, Mapping):
        return sum(_measure(part, seen) for part in value.values())
    if isinstance(value, (list, tuple, set, frozenset)):
        return sum(_measure(part, seen) for part in value)
    return sum(_measure(part, seen) for part in getattr(value, "__dict__", {}).values())
