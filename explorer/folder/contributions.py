"""What each channel adds to a class's logit, photo by photo: the numbers that causes and exemplars are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch

from explorer.errors import ParameterError, RunError
from explorer.evidence import integrate
from explorer.folder.index import Index
from explorer.networks import Network
from explorer.networks.head import has_constant_slopes, head_kind, hold
from explorer.progress import Progress, Stop, in_batches

MOST_PHOTOS = 5000  # whose contributions are looked at together; of more, as many evenly spread over the run
_BATCH = 50
_COLUMNS = ("label_class", "brightness", "sharpness", "border", "path")


@dataclass(frozen=True, eq=False)
class Contributions:
    """Of some photos of a run, what each channel adds to the logit of one class, or to its lead over a rival.

    Attributes:
        class_index, rival: the class, and the one whose logit is taken off; None for none.
        numbers: (N,) int64, the photos in the index.
        values: (N, C) float32, contributions in logits: slope times pooled value.
        table: what else the rows say of these photos: label_class, brightness, sharpness, border, path.
        photos: how many there are of which these N were taken.
    """

    class_index: int
    rival: int | None
    numbers: np.ndarray
    values: np.ndarray
    table: pa.Table
    photos: int

    @property
    def wrong(self) -> np.ndarray:
        """(N,) bool: photos with a label, which is another class."""
        labels = self.column("label_class")
        return np.isfinite(labels) & (labels != self.class_index)

    @property
    def right(self) -> np.ndarray:
        """(N,) bool: photos whose label is the class."""
        return self.column("label_class") == self.class_index

    def column(self, name: str) -> np.ndarray:
        """(N,) float64: a column of numbers, NaN where a photo has none."""
        return self.table[name].to_numpy(zero_copy_only=False).astype(np.float64)


def contributions_to(
    index: Index, class_index: int, rival: int | None = None, *, numbers: Sequence[int] | np.ndarray | None = None,
    most: int = MOST_PHOTOS, progress: Progress | None = None, stop: Stop | None = None,
) -> Contributions:
    """The contributions to a class of all photos that the network calls it, or of chosen photos.

    Args:
        index: of the run. Contributions are under the network's own pooling, as the rows are.
        class_index: the class.
        rival: a class whose contributions are taken off, so that the sum is the lead over it.
        numbers: of photos; None is all that are answered with the class.
        most: photos at most; of more, so many evenly spread.
        progress, stop: of a head whose slopes differ from photo to photo, which takes a while.

    Raises:
        ParameterError: the rival is the class itself.
        RunError: no photo is answered with the class, or the run's network has no evidence.
        ExplorerError: the network cannot be loaded, or there is no such class.
        StoppedError: `stop` returned True.
    """
    network = index.run.network
    if rival == class_index:
        name = network.class_names[network.check_class(class_index)]
        raise ParameterError(f"The class and its rival are both {name!r:.60}; expected two classes.")
    classes = [network.check_class(class_index), *([] if rival is None else [network.check_class(rival)])]
    if numbers is None:
        numbers = index.query("SELECT rowid AS number FROM rows WHERE answer = ? ORDER BY rowid",
                              [class_index])["number"].to_numpy()
    photos, numbers = len(numbers), evenly(np.asarray(numbers, np.int64), most)
    pooled, table, has = pooled_vectors(index, numbers, _COLUMNS)
    if not len(pooled):
        raise RunError(f"No photo of the run is called {network.class_names[class_index]!r:.60} and has evidence; "
                       "expected a class that the network answers with.")
    values = pooled  # in place: of many photos it is large
    places = torch.arange(len(pooled))
    for batch in in_batches(places, _BATCH, "photos", progress, stop):
        slopes = slopes_of(network, values[batch.numpy()], classes)
        values[batch.numpy()] *= slopes[:, 0] - (slopes[:, 1] if rival is not None else 0)
    return Contributions(class_index, rival, numbers[has], values, table, photos)


def kept_contributions(
    index: Index, class_index: int, rival: int | None = None, progress: Progress | None = None, stop: Stop | None = None
) -> Contributions:
    """The same of all photos that are called the class, kept with the index while it is in use."""
    return index.recent(("contributions", class_index, rival), lambda: contributions_to(
        index, class_index, rival, progress=progress, stop=stop))


def slopes_of(network: Network, pooled: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    """(N, n, C), or (1, n, C) where they are the same for all: the head's slopes of n classes at pooled vectors (N, C).

    A head that is not affine is integrated at each photo, see `explorer.evidence.integrate`.
    """
    vectors = torch.from_numpy(np.ascontiguousarray(pooled))
    if has_constant_slopes(network.head):
        return hold(network.head, vectors[0], classes)[0].detach().numpy()[None]
    of_one = hold if head_kind(network.head) == "affine" else integrate
    return torch.stack([of_one(network.head, vector, classes)[0].detach() for vector in vectors]).numpy()


def pooled_vectors(
    index: Index, numbers: np.ndarray, columns: Sequence[str] = ()
) -> tuple[np.ndarray, pa.Table, np.ndarray]:
    """The pooled vectors (N, C) float32 of photos that have one, further columns of these, and which (n,) bool have."""
    table = index.table(numbers, ("pooled", *columns))
    has = table["pooled"].is_valid().to_numpy()
    table = table.filter(pa.array(has))
    if not table.num_rows:
        return np.empty((0, 0), np.float32), table.drop_columns(["pooled"]), has
    flat = table["pooled"].combine_chunks().flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    vectors = np.require(flat.reshape(table.num_rows, -1), requirements="W")  # torch wants to be able to write
    return vectors, table.drop_columns(["pooled"]), has


def evenly(numbers: np.ndarray, most: int) -> np.ndarray:
    """At most so many of them, evenly spread, in their order."""
    if len(numbers) <= most:
        return numbers
    return numbers[np.linspace(0, len(numbers) - 1, most).round().astype(np.int64)]
