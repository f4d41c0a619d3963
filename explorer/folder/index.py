"""The columns of a run that photos are chosen, counted and sorted by, in memory: a million rows answer at once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from explorer.analysis.memory import Memory
from explorer.errors import RunError
from explorer.folder.rows import SCHEMA
from explorer.folder.run import Run
from explorer.folder.selection import SORTS, Selection

_MEMORY = "1GB"  # at most, for DuckDB
_SHORT = [name for name in SCHEMA.names if name not in ("pooled", "channels", "contributions")]
_MOST_SELECTIONS = 8  # whose order is kept; of a million photos each takes 8 MB
_MOST_RECENT = 12  # such as the causes of a class, up to 50 MB
_MOST_ANSWERS = 32  # of a page's numbers, which every click asks for again
_ALONE = "(SELECT NULL::INT AS other_answer, NULL::FLOAT AS other_probability)"
_BESIDE = """
    (SELECT there.path, mine AS other_answer, there.probability AS other_probability
     FROM read_parquet(?) AS there LEFT JOIN other_classes ON there.answer = other_classes.class_index) USING (path)
"""
_MAKE = """
    CREATE TABLE rows AS
    SELECT parse_filename(filename, true)::INT AS shard, file_row_number::INT AS place, label, label_class, error,
           answer, here.probability, label_probability, border, middle, spread, brightness, sharpness,
           width::FLOAT * height AS pixels,
           len(list_filter(pooling_classes, lambda other: other != answer))::INT AS others,
           other_answer, other_probability
    FROM read_parquet(?, filename = true, file_row_number = true) AS here {beside} ORDER BY shard, place
"""
_FULL = """
    SELECT {columns}
    FROM read_parquet(?, filename = true, file_row_number = true) AS full_rows
    JOIN wanted ON file_row_number = wanted.place AND parse_filename(filename, true)::INT = wanted.shard
    ORDER BY wanted.nth
"""


class Index:
    """The rows of a run in numbers, and beside them what a second run answers for the same photos.

    A photo's number is its place among all rows, from 0. The index is of the rows that there were when it was made.

    Attributes:
        run, other: the run, and the second one or None.
        state: what tells these rows from those before or after; any text.
        kept: what was computed of these rows.
        recent: likewise, of what is large or of one photo: those used last.

    Raises RunError: there are no rows yet.
    """

    def __init__(self, run: Run, other: Run | None = None) -> None:
        self.run, self.other, self.kept, self.recent = run, other, Memory(), Memory(_MOST_RECENT)
        self.forget()
        self.state = hashlib.sha256(repr(newest_shards(run)).encode()).hexdigest()[:16]
        self._shards = {int(file.stem): str(file) for file in run.store.shards()}
        if not self._shards:
            raise RunError("The run has no rows yet; expected a scan that has written some.")
        self._base = duckdb.connect(config={"memory_limit": _MEMORY})
        parameters, beside = [list(self._shards.values())], f"CROSS JOIN {_ALONE}"
        if other is not None and (there := list(map(str, other.store.shards()))):
            self._base.register("other_classes", _classes_in_terms_of(other, run))
            parameters, beside = [*parameters, there], f"LEFT JOIN {_BESIDE}"
        self._base.execute(_MAKE.format(beside=beside), parameters)

    def __len__(self) -> int:
        return self.query("SELECT count(*) AS photos FROM rows")["photos"][0].as_py()

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """The answer of DuckDB to a query over `rows`, which has the columns above; those used last are kept."""
        return self._answers((sql, repr(parameters)), lambda: self._query(sql, parameters))

    def _query(self, sql: str, parameters: Sequence[Any] = (), **tables: pa.Table) -> pa.Table:
        with self._base.cursor() as cursor:
            for name, table in tables.items():
                cursor.register(name, table)
            return cursor.sql(sql, params=list(parameters)).to_arrow_table()

    def select(self, selection: Selection) -> np.ndarray:
        """(N,) int64: the numbers of the photos that are selected, in their order."""
        def numbers() -> np.ndarray:
            where, parameters = selection.where
            order = ", ".join(f"{part.strip()} NULLS LAST" for part in SORTS[selection.sort].order.split(",") if part)
            ordered = f"{order}, rowid" if order else "rowid"
            return self._query(f"SELECT rowid AS number FROM rows WHERE {where} ORDER BY {ordered}",
                               parameters)["number"].to_numpy()

        return self._selections(selection, numbers)

    def forget(self) -> None:
        """Clear the orders and answers that are kept, as a measurement wants it."""
        self._selections, self._answers = Memory(_MOST_SELECTIONS), Memory(_MOST_ANSWERS)

    def table(self, numbers: Sequence[int] | np.ndarray, columns: Sequence[str] = SCHEMA.names) -> pa.Table:
        """The full rows of these photos, in that order, with the columns of `explorer.folder.rows` or some of them."""
        order = pa.table({"number": np.asarray(numbers, np.int64), "nth": np.arange(len(numbers))})
        wanted = self._query("SELECT shard, place, nth FROM rows JOIN numbers ON rows.rowid = number", numbers=order)
        files = [self._shards[shard] for shard in sorted(set(wanted["shard"].to_pylist()))]
        return self.run.store.query(_FULL.format(columns=", ".join(columns)),
                                    [files or list(self._shards.values())[:1]], wanted=wanted)

    def rows(self, numbers: Sequence[int] | np.ndarray) -> list[dict[str, Any]]:
        """The same without the longest columns, which nobody looks at one by one: a dict each."""
        return self.table(numbers, _SHORT).to_pylist()

    def number_of(self, path: str) -> int | None:
        """The number of the photo at a path of the run; None where it has no row."""
        places = self.run.store.query("""
            SELECT parse_filename(filename, true)::INT AS shard, file_row_number::INT AS place
            FROM read_parquet(?, filename = true, file_row_number = true) WHERE path = ?
            """, [list(self._shards.values()), path])
        if not places.num_rows:
            return None
        numbers = self._query("SELECT rowid AS number FROM rows WHERE shard = ? AND place = ?",
                              [places["shard"][0].as_py(), places["place"][0].as_py()])
        return numbers["number"][0].as_py()


def _classes_in_terms_of(other: Run, run: Run) -> pa.Table:
    """For each class of another run the class of this one that has its name, or null."""
    mine = {name: index for index, name in enumerate(run.recipe["network"]["class_names"])}
    names = other.recipe["network"]["class_names"]
    same = names == run.recipe["network"]["class_names"]  # then also those that share a name
    return pa.table({"class_index": pa.array(range(len(names)), pa.int32()),
                     "mine": pa.array([index if same else mine.get(name) for index, name in enumerate(names)],
                                      pa.int32())})


def newest_shards(run: Run) -> tuple[tuple[Path, int], ...]:
    """What tells whether a run has other rows now than before: its files, and when each was written."""
    return tuple((file, file.stat().st_mtime_ns) for file in run.store.shards())
