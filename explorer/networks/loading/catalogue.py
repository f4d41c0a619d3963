"""Every architecture of torchvision and timm by its tensors: assets/architectures.tsv, read and asked.

To build them all takes minutes. So each one's signatures were written down once, by assets/make/list_architectures.py;
what is found here is a name to try, and `architecture.fill` holds the file against that network itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from explorer.networks.loading.bundled import ASSETS
from explorer.networks.loading.files import shipped

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]


@dataclass(frozen=True)
class Entry:
    """One architecture.

    Attributes:
        name: as `identify` takes it.
        head: path of its last layer, such as "fc" or "classifier.6".
        names: signature of the names and shapes of all other tensors, see `by_names`.
        shapes: signature of the shapes of its convolutions alone, see `by_shapes`.
        conduct: signature of what no tensor shows: strides, paddings, the numbers in normalisations, activations.
    """

    name: str
    head: str
    names: str
    shapes: str
    conduct: str


def by_names(shapes: Shapes, head: str) -> str:
    """The signature of names and shapes but for the head's, whatever the number of classes or colours."""
    return signature(f"{key} {_without_counts(shape)}" for key, shape in shapes.items()
                     if not key.startswith(f"{head}.") and not key.endswith("num_batches_tracked"))


def by_shapes(shapes: Iterable[Shape]) -> str:
    """The signature of the convolutions' shapes, whatever their names and order."""
    return signature(str(_without_counts(shape)) for shape in shapes if len(shape) > 2)


def signature(lines: Iterable[str]) -> str:
    """Twelve hexadecimal digits of some lines, in any order."""
    return hashlib.sha256("\n".join(sorted(lines)).encode(errors="replace")).hexdigest()[:12]


def _without_counts(shape: Shape) -> Shape:
    """Without the number of outputs; three colours count like one."""
    return tuple(1 if place == 0 and length == 3 else length for place, length in enumerate(shape[1:]))


@cache
def entries() -> tuple[Entry, ...]:
    """All architectures, in the order in which they are proposed. Raises NetworkError where the file is damaged."""
    with shipped(ASSETS / "architectures.tsv") as data:
        return tuple(Entry(*line.split("\t")) for line in data.decode().splitlines())


def same_names(shapes: Shapes) -> tuple[Entry, ...]:
    """The architectures that have just these tensors, the head's aside."""
    signatures = {head: by_names(shapes, head) for head in dict.fromkeys(entry.head for entry in entries())}
    return tuple(entry for entry in entries() if signatures[entry.head] == entry.names)


def same_shapes(shapes: Shapes) -> tuple[Entry, ...]:
    """The architectures that have just these convolutions, under whatever names."""
    theirs = by_shapes(shapes.values())
    return tuple(entry for entry in entries() if entry.shapes == theirs)


def siblings(name: str) -> tuple[Entry, ...]:
    """The source's other architectures with the same tensors that compute something else with them."""
    own = next((entry for entry in entries() if entry.name == name), None)
    return () if own is None else tuple(
        entry for entry in entries() if entry.names == own.names and entry.conduct != own.conduct
        and entry.name.partition("/")[0] == name.partition("/")[0])
