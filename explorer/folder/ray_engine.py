"""The same rows by Ray Data: actors on this machine or a cluster, each with a network of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from explorer.errors import RunError
from explorer.folder.rows import SCHEMA
from explorer.networks import Network
from explorer.networks.loading.options import Options, load_from_options

_BLOCK, _BATCH = 512, 32  # photos: a block is a task of the cluster's schedule, a batch one call of an actor
_ONE_THREAD = dict.fromkeys(("POOLSCOPE_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
RowMaker = Callable[[Network], Callable[[dict[str, Any]], dict[str, Any]]]  # of a network: listed photo to row


class Actor:
    """Makes rows of batches of listed photos, with one thread."""

    def __init__(self, row_maker: RowMaker, options: Options) -> None:
        os.environ.update(_ONE_THREAD)
        self._row_of = row_maker(load_from_options(options))

    def __call__(self, listed: pa.Table) -> pa.Table:
        return pa.Table.from_pylist(list(map(self._row_of, listed.to_pylist())), schema=SCHEMA)


def rows_by_ray(
    row_maker: RowMaker, options: Options | None, pending: pa.Table, address: str | None
) -> Iterator[dict[str, Any]]:
    """The rows of pending photos in whatever order they are done. Paths and not pixels go through the object store.

    There is an actor for each CPU of the cluster but one, which reads and writes tables; Ray starts a dead actor again,
    and another does its photos.

    Raises RunError: Ray is not installed, or the network was made in Python, where no actor can load it.
    """
    if options is None:
        raise RunError("Every actor of Ray loads the network, and this one was made in Python; expected its name or "
                       "file, or the engine local.")
    try:
        import ray
    except ImportError:
        raise RunError("The engine ray is not installed; expected `pip install -r requirements-cluster.txt`, or the "
                       "engine local.") from None
    ray.init(address=address, ignore_reinit_error=True, include_dashboard=False, log_to_driver=False,
             runtime_env={"env_vars": _ONE_THREAD})
    actors = max(1, int(ray.cluster_resources().get("CPU", 1)) - 1)
    blocks = [pending.slice(start, _BLOCK) for start in range(0, pending.num_rows, _BLOCK)]
    if not blocks:
        return
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    rows = ray.data.from_arrow(blocks).map_batches(
        Actor, fn_constructor_args=(row_maker, options), batch_size=_BATCH,
        batch_format="pyarrow", num_cpus=1, concurrency=min(actors, len(blocks)))
    for batch in rows.iter_batches(batch_size=None, batch_format="pyarrow"):
        yield from pa.table(batch).to_pylist()
