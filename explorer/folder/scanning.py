"""A scan of a folder: one forward pass a photo, one row a photo, on this machine or on a cluster."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image
from torch import Tensor

from explorer.analysis import analyse_input
from explorer.checks import checked_key
from explorer.errors import ExplorerError, RunError, StoppedError
from explorer.folder.photos import class_indices, list_photos
from explorer.folder.ray_engine import rows_by_ray
from explorer.folder.rows import look_of, row_of
from explorer.folder.run import Run, recipe_of
from explorer.framing import Framing, frame
from explorer.images import quoted, read_image
from explorer.networks import Network
from explorer.networks.loading.bundled import BUNDLED
from explorer.networks.loading.heads_folder import is_heads_folder
from explorer.networks.loading.options import Options, load_from_options
from explorer.networks.preparation import prepare
from explorer.poolings import PoolingChoice
from explorer.progress import Progress, Stop

ENGINES = ("local", "ray")
SHARD_ROWS, SHARD_SECONDS = 10_000, 30.0  # a shard ends with either: so much is done again after a kill
AHEAD = 2  # threads that read, decode and frame photos while the engine runs
_GRAPH_PAYS = 200  # photos: writing a graph of a network takes some 10 s


@dataclass(frozen=True)
class Framed:
    """A photo that was read and made into an input, or the sentence why not."""

    listed: dict[str, Any]
    look: dict[str, Any]
    image: Image.Image | None = None
    input: Tensor | None = None
    framing: Framing | None = None
    error: str = ""


@dataclass(frozen=True)
class Scanner:
    """Makes rows of photos: the same on this machine and in an actor of a cluster."""

    network: Network
    root: Path
    poolings: tuple[PoolingChoice, ...]
    framing: str
    short_side: int | None
    meant: Mapping[str, int]

    def __call__(self, listed: dict[str, Any]) -> dict[str, Any]:
        """The row of a listed photo."""
        return self.row(self.read(listed))

    def read(self, listed: dict[str, Any]) -> Framed:
        """Read, decode and frame a listed photo."""
        look: dict[str, Any] = {}
        try:
            image = read_image(self.root / listed["path"])
            look = look_of(image)
            return Framed(listed, look, image, *frame(image, self.network.preprocessing, self.framing, self.short_side))
        except ExplorerError as error:
            return Framed(listed, look, error=str(error))

    def row(self, framed: Framed) -> dict[str, Any]:
        """The photo's row; where it could not be read or passed through the network, with the sentence why."""
        label_class = self.meant.get(framed.listed["label"] or "")
        row = framed.listed | framed.look | {"label_class": label_class}
        if framed.image is None or framed.input is None or framed.framing is None:
            return row | {"error": framed.error}
        try:
            analysis = analyse_input(self.network, framed.image, framed.input, framed.framing)
            return row | row_of(analysis, self.poolings, label_class)
        except ExplorerError as error:
            return row | {"error": str(error)}


def scan(
    network: Network | Options | str | Path,
    photos: str | os.PathLike | Sequence[str | os.PathLike],
    out: str | os.PathLike,
    labels: str | os.PathLike | Mapping[str, str] | None = None,
    engine: str = "local",
    poolings: Sequence[str] | None = None,
    *,
    framing: str = "crop",
    short_side: int | None = None,
    address: str | None = None,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> Run:
    """Make a row of every photo that has none yet; the same call goes on with a run that was stopped or killed.

    Args:
        network: from `load_network`, or what it takes; for the engine "ray" the latter, since every actor loads it.
        photos, labels: see `explorer.folder.photos.list_photos`.
        out: the run's folder, made when missing.
        engine: "local", one process on this machine; or "ray", Ray Data's actors, here or on a cluster.
        poolings: whose answers are noted beside the network's own, as links spell them ("gem:p=4"); None is every
            pooling of the network with its usual parameter.
        framing, short_side: see `explorer.framing.frame`.
        address: of a Ray cluster; None starts Ray on this machine.
        progress: called with the photos done, those of earlier scans included, and all.
        stop: what is done by then is kept, and StoppedError raised.

    Raises:
        RunError: the photos or labels cannot be listed, the run is of other choices, another scan writes to it, the
            rows cannot be written, or the folder of the photos vanished meanwhile. What is done is kept.
        StoppedError: `stop` said so.
        ExplorerError: the network cannot be loaded, or a choice does not exist.
    """
    checked_key(engine, ENGINES, "engine")
    if isinstance(network, Network):
        options, loaded = None, network
    else:
        options = _options(network)
        loaded = load_from_options(options)
    choices = _poolings(loaded, poolings)
    frame(Image.new("RGB", (64, 64)), loaded.preprocessing, framing, short_side)  # refuses what does not exist
    root, listed = list_photos(photos, labels)
    run = Run.begin(out, recipe_of(loaded, options, choices, framing, short_side, root,
                                   "folders" if labels is None else "given"), loaded)
    with run.store.locked():
        pending = run.store.pending(listed)
        meant = class_indices((label for label in listed["label"].to_pylist() if label), loaded.class_names)
        scanner_of = partial(Scanner, root=root, poolings=choices, framing=framing, short_side=short_side, meant=meant)
        rows = (rows_here(scanner_of(loaded), pending) if engine == "local" else
                rows_by_ray(scanner_of, options, pending, address))
        _write(run, rows, listed.num_rows - pending.num_rows, listed.num_rows, progress, stop)
    return run


def _options(network: Network | Options | str | Path) -> Options:
    if isinstance(network, Options):
        return network
    if isinstance(network, Path) or (str(network) not in BUNDLED and Path(str(network)).is_file()):
        return Options(checkpoint=Path(str(network)))
    name = str(network)
    return Options(network=name if name in BUNDLED or not is_heads_folder(name) else str(Path(name).resolve()))


def _poolings(network: Network, poolings: Sequence[str] | None) -> tuple[PoolingChoice, ...]:
    if network.pooling is None:
        return ()
    chosen = list(network.poolings) if poolings is None else poolings
    return tuple(PoolingChoice.parse(text).among(network.poolings) if text not in network.poolings else
                 PoolingChoice(text) for text in chosen)


def rows_here(scanner: Scanner, pending: pa.Table) -> Generator[dict[str, Any], None, None]:
    """The rows of pending photos in their order: a few threads read ahead, this one runs the passes."""
    listed = _listed(pending)
    prepared = pending.num_rows < _GRAPH_PAYS
    with ThreadPoolExecutor(AHEAD, thread_name_prefix="photos") as readers:
        ahead: deque[Future[Framed]] = deque()
        try:
            while True:
                for next_one in islice(listed, 2 * AHEAD - len(ahead)):
                    ahead.append(readers.submit(scanner.read, next_one))
                if not ahead:
                    return
                framed = ahead.popleft().result()
                if not prepared and framed.input is not None:
                    prepare(scanner.network.engine, framed.input)
                    prepared = True
                yield scanner.row(framed)
        finally:
            for future in ahead:
                future.cancel()


def _listed(pending: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in pending.to_batches(max_chunksize=1000):
        yield from batch.to_pylist()


def _write(
    run: Run, rows: Iterable[dict[str, Any]], done: int, total: int, progress: Progress | None, stop: Stop | None
) -> None:
    shard: list[dict[str, Any]] = []
    begun = time.monotonic()
    try:
        for row in rows:
            if row.get("error") and not run.photos.is_dir():
                raise RunError(f"The folder of the photos, {quoted(run.photos)}, is gone; {done:,} of {total:,} "
                               "are done and kept, and the same command goes on from there.")
            shard.append(row)
            done += 1
            if len(shard) >= SHARD_ROWS or time.monotonic() - begun > SHARD_SECONDS:
                finished, shard, begun = shard, [], time.monotonic()
                run.store.write(finished)
            if progress is not None:
                progress(done, total)
            if stop is not None and stop():
                raise StoppedError(f"Stopped after {done:,} of {total:,} photos; the same command goes on from there.")
    finally:
        run.store.write(shard)
