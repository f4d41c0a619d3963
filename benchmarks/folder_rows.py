"""A run of a million rows or more, made up from the rows of a real one, and how fast it answers.

    python -m benchmarks.folder_rows RUN OUT [--rows 1000000] [--shard 1000] [--times 1]

Rows are drawn from those of RUN, with its photos, answers and numbers changed a little. With --times 10 each shard is
there ten times, as links: ten million rows. A run that is there already is taken as it is. Then: seconds to open it,
milliseconds of every order and filter, of a page's numbers, of a sheet of the wall, and resident memory.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from explorer.folder import Run
from explorer.folder.index import Index
from explorer.folder.selection import OUTCOMES, SORTS, Selection
from explorer.folder.sheets import sheet, tiles
from explorer.folder.summary import by_class, calibration, class_pairs, counts, evidence_limit, mean_evidence

JITTERED = ("probability", "label_probability", "border", "middle", "spread", "brightness", "sharpness")


def write(source: Run, out: Path, rows: int, shard: int) -> None:
    """So many rows, drawn from those of a run."""
    (out / "rows").mkdir(parents=True)
    shutil.copy(source.path / "run.json", out / "run.json")
    real = pa.concat_tables(pq.read_table(file) for file in source.store.shards())
    classes = len(json.loads((out / "run.json").read_text(encoding="utf-8"))["network"]["class_names"])
    draw = np.random.default_rng(0)
    for number, first in enumerate(range(0, rows, shard)):
        count = min(shard, rows - first)
        table = real.take(pa.array(draw.integers(0, real.num_rows, count)))
        for name in JITTERED:
            values = table[name].to_numpy(zero_copy_only=False) * draw.uniform(0.7, 1.0, count)
            table = _with(table, name, values)
        others, chosen = draw.integers(0, classes, count), draw.random(count)
        label = table["label_class"].to_numpy(zero_copy_only=False).astype(float)
        answer = np.where(chosen < 0.1, others, np.where(chosen < 0.2, (label + 1) % classes,
                                                          table["answer"].to_numpy(zero_copy_only=False)))
        table = _with(table, "answer", answer)
        pq.write_table(table, out / "rows" / f"{number:06d}.parquet", compression="zstd")


def _with(table: pa.Table, name: str, values: np.ndarray) -> pa.Table:
    place = table.schema.get_field_index(name)
    return table.set_column(place, table.schema.field(name),
                            pa.array(values, from_pandas=True).cast(table.schema.field(name).type, safe=False))


def timed(what: str, act: Callable[[], Any], rounds: int = 5) -> None:
    """Print the median of some rounds, and the longest, in milliseconds."""
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        act()
        times.append(1000 * (time.perf_counter() - begin))
    print(f"{what:44s} {statistics.median(times):8.0f} ms, at most {max(times):6.0f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--shard", type=int, default=1000)
    parser.add_argument("--times", type=int, default=1)
    options = parser.parse_args()
    if not (options.out / "run.json").exists():
        write(Run.open(options.run), options.out, options.rows, options.shard)
        shards = Run.open(options.out).store.shards()
        for number in range(len(shards), options.times * len(shards)):
            os.link(shards[number % len(shards)], options.out / "rows" / f"{number:06d}.parquet")
    run, process = Run.open(options.out), psutil.Process()
    timed("matrix of the rows as they lie on the disk", lambda: class_pairs(run), 3)
    if options.rows * options.times > 5_000_000:
        print(f"{options.rows * options.times:,} rows, {len(run.store.shards()):,} shards")
        return
    before = process.memory_info().rss
    timed("the index", lambda: Index(run), 1)
    index = Index(run)
    for name, ask in (("counts", counts), ("calibration", calibration), ("matrix", class_pairs), ("classes", by_class)):
        timed(name, lambda ask=ask: (index.forget(), ask(index)))
    timed("mean evidence of right and wrong", lambda: [mean_evidence(run, f"answer {how} label_class")
                                                       for how in ("=", "!=")], 1)
    timed("scale of the wall", lambda: evidence_limit(run), 1)
    label = class_pairs(index)[0][0]
    for name, selections in {
        "orders": [Selection(sort) for sort in SORTS],
        "filters": [Selection("wrong", outcome) for outcome, one in OUTCOMES.items() if not one.of_two],
        "classes chosen": [Selection(label=label), Selection(predicted=label), Selection("border", "wrong", label)],
    }.items():
        for selection in selections:
            timed(f"{name}: {selection.sort}, {selection.outcome}", lambda one=selection: _anew(index, one), 3)
    numbers = index.select(Selection())
    limit = evidence_limit(run)
    places = iter(np.random.default_rng(1).integers(0, len(numbers) - 48, 100).tolist())

    def one_sheet() -> None:
        first = next(places)
        sheet(tiles(run, index.rows(numbers[first:first + 48]), 144, limit), 144, 8)

    timed("rows of 48 photos anywhere", lambda: index.rows(numbers[(first := next(places)):first + 48]), 9)
    timed("a sheet of 48 photos anywhere", one_sheet, 9)
    timed("the number of a path", lambda: index.number_of("nowhere"), 3)
    print(f"{len(index):,} rows, {len(run.store.shards()):,} shards; resident memory {before / 2**20:,.0f} MB before, "
          f"{process.memory_info().rss / 2**20:,.0f} MB now")


def _anew(index: Index, selection: Selection) -> None:
    """Select as if for the first time."""
    index.forget()
    index.select(selection)


if __name__ == "__main__":
    main()
