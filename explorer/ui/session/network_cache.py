"""The networks in memory: shared by all sessions, or a person's own; the least recently used leave when room is short.

Analyses lie beside the network that they are of and leave with it, so that nothing here keeps a network which left.
Pages that are open may: what they show stays alive until they show something else. So that is counted too, and when it
alone exceeds the bound no further network comes in. All networks together thus stay below twice the bound and one more.
"""

from __future__ import annotations

import threading
import weakref
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain

from torch import Tensor, nn

from explorer import Analysis
from explorer.errors import NetworkError
from explorer.framing import Preprocessing
from explorer.networks import Network
from explorer.progress import Progress

Load = Callable[[str, "Progress | None"], Network]


class LeftError(NetworkError):
    """A person's own network is not in memory, and nobody but its owner has the file."""


@dataclass(frozen=True)
class NetworkRequest:
    """Which network.

    Attributes:
        name: what links call it.
        owner: the session to which a file's network belongs; "" for a network that all share.
        preprocessing: in place of its own, when somebody edited it.
    """

    name: str
    owner: str = ""
    preprocessing: Preprocessing | None = None

    @property
    def place(self) -> tuple[str, str]:
        """Where it lies: edited or not, it is the same network."""
        return self.owner, self.name


class FullError(NetworkError):
    """Open pages show so many networks that left that there is no room for another."""


@dataclass
class _Place:
    network: Network
    bytes: int
    edited: dict[Preprocessing, Network] = field(default_factory=dict)


class NetworkCache:
    """Networks and their analyses, for any number of threads.

    Args:
        load: makes a shared network of its name, and is told of progress in bytes; it raises ExplorerError.
        most_bytes: of weights; when there are more, the networks that were not asked for longest leave. One network
            may always be there, however large.
        most_analyses: of all networks together.
        stays: names that never leave.
    """

    def __init__(
        self, load: Load, most_bytes: int, most_analyses: int = 12, stays: frozenset[str] = frozenset()
    ) -> None:
        self._load = load
        self._most_bytes = most_bytes
        self._most_analyses = most_analyses
        self._stays = stays
        self._places: OrderedDict[tuple[str, str], _Place] = OrderedDict()  # asked for last comes last
        self._analyses: OrderedDict[tuple[NetworkRequest, Hashable], Analysis] = OrderedDict()
        self._left: list[tuple[weakref.ref[nn.Module], int]] = []
        self._lock = threading.Lock()
        self._turns = _Turns()

    @property
    def bytes(self) -> int:
        """Of the weights of all networks that are here."""
        with self._lock:
            return self._sum()

    @property
    def held(self) -> int:
        """Bytes of the networks that left and are alive all the same, because somebody looks at them."""
        with self._lock:
            self._left = [(part, size) for part, size in self._left if part() is not None]
            return sum(size for _, size in self._left)

    def must_have_room(self, collect: Callable[[], None]) -> None:
        """Raises FullError when what open pages hold exceeds the bound, also after `collect` has freed what it can."""
        if self.held > self._most_bytes:
            collect()
        if (held := self.held) > self._most_bytes:
            raise FullError(f"The memory for networks is full: pages that others have open show {held / 2**20:,.0f} MB "
                            "of them; try again when some are closed.")

    def __contains__(self, wanted: NetworkRequest) -> bool:
        with self._lock:
            return wanted.place in self._places

    def network(self, wanted: NetworkRequest, progress: Progress | None = None) -> Network:
        """The network; a shared one that is not here is loaded, once even when several ask at the same time.

        Raises:
            LeftError: it is a person's own and not here.
            ExplorerError: it could not be loaded.
        """
        if (found := self._find(wanted)) is not None:
            return found
        if wanted.owner:
            raise LeftError("This network's file is not in memory; expected it to be dropped in again.")
        with self._turns.of(wanted.place):
            if (found := self._find(wanted)) is None:
                loaded = self._load(wanted.name, progress)
                self.put(NetworkRequest(wanted.name), loaded)
                found = self._find(wanted) or _edited(loaded, wanted)  # it may have had to leave again at once
        return found

    def put(self, wanted: NetworkRequest, network: Network) -> None:
        """Put a network here, in place of one of that name; those that were not asked for longest make room."""
        placed = _Place(network, bytes_of(network))
        with self._lock:
            self._take(wanted.place)
            self._places[wanted.place] = placed
            for place in list(self._places)[:-1]:
                if self._sum() <= self._most_bytes:
                    break
                if place[1] not in self._stays or place[0]:
                    self._take(place)

    def let_go(self, owner: str) -> None:
        """Let go of all that belongs to a session."""
        with self._lock:
            for place in [each for each in self._places if each[0] == owner]:
                self._take(place)

    def analysis(self, wanted: NetworkRequest, of: Hashable, make: Callable[[], Analysis]) -> Analysis:
        """What is remembered of a network and a photo, or what `make` gives, once for all who ask at the same time.

        It is remembered only beside its network: not when that left in the meantime.
        """
        key = wanted, of
        if (found := self._remembered(key)) is not None:
            return found
        with self._turns.of(key):
            if (found := self._remembered(key)) is not None:
                return found
            made = make()
            with self._lock:
                here = self._places.get(wanted.place)
                if here and made.network in (here.network, *here.edited.values()):
                    self._analyses[key] = made
                    while len(self._analyses) > self._most_analyses:
                        self._analyses.popitem(last=False)
            return made

    def _find(self, wanted: NetworkRequest) -> Network | None:
        with self._lock:
            if (here := self._places.get(wanted.place)) is None:
                return None
            self._places.move_to_end(wanted.place)
            if wanted.preprocessing in (None, here.network.preprocessing):
                return here.network
            if wanted.preprocessing not in here.edited:
                here.edited = {wanted.preprocessing: _edited(here.network, wanted)}
            return here.edited[wanted.preprocessing]

    def _remembered(self, key: tuple[NetworkRequest, Hashable]) -> Analysis | None:
        with self._lock:
            if key not in self._analyses:
                return None
            self._analyses.move_to_end(key)
            self._places.move_to_end(key[0].place)
            return self._analyses[key]

    def _take(self, place: tuple[str, str]) -> None:
        if (here := self._places.pop(place, None)) is not None:
            whole = here.network.layers.model
            self._left.append((weakref.ref(here.network.backbone if whole is None else whole), here.bytes))
            for key in [each for each in self._analyses if each[0].place == place]:
                del self._analyses[key]

    def _sum(self) -> int:
        return sum(here.bytes for here in self._places.values())


def _edited(network: Network, wanted: NetworkRequest) -> Network:
    return replace(network, preprocessing=wanted.preprocessing or network.preprocessing)


def bytes_of(network: Network) -> int:
    """Of its weights, those that its parts share counted once."""
    parts: list[nn.Module | None] = [network.backbone, *network.heads, network.layers.model]
    tensors: Iterator[Tensor] = chain.from_iterable(
        chain(part.parameters(), part.buffers()) for part in parts if part is not None)
    storages = {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in tensors}
    return sum(storages.values())


class _Turns:
    """A lock for each key, for as long as somebody holds it or waits for it."""

    def __init__(self) -> None:
        self._locks: dict[Hashable, threading.Lock] = {}
        self._count: Counter[Hashable] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def of(self, key: Hashable) -> Iterator[None]:
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
            self._count[key] += 1
        try:
            with lock:
                yield
        finally:
            with self._lock:
                self._count[key] -= 1
                if not self._count[key]:
                    del self._locks[key], self._count[key]
