"""The files of a run: shards of rows in Parquet, each written whole or not at all, and DuckDB to query them."""

from __future__ import annotations

import glob
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from explorer.errors import RunError
from explorer.folder.rows import SCHEMA

_MEMORY = "1GB"  # of DuckDB, for a run of a million rows
# DuckDB reads float16 from Parquet as float32, and none from Arrow.
_NO_ROWS = pa.schema([field.with_type(pa.list_(pa.float32())) if field.type == pa.list_(pa.float16()) else field
                      for field in SCHEMA]).empty_table()
_PENDING = """
    SELECT listed.path, listed.bytes, listed.modified, listed.label FROM listed LEFT JOIN rows USING (path)
    WHERE rows.path IS NULL ORDER BY listed.path
"""
_STALE = """
    SELECT DISTINCT filename FROM read_parquet(?, filename = true) AS old JOIN listed USING (path)
    WHERE (old.bytes, old.modified, old.label) IS DISTINCT FROM (listed.bytes, listed.modified, listed.label)
"""


class Store:
    """The rows of a run's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._rows = folder / "rows"
        self._base: duckdb.DuckDBPyConnection | None = None
        self._lock = threading.Lock()

    def locked(self) -> FileLock:
        """A lock that one process alone holds, and that ends with it. Raises RunError where another holds it."""
        lock = FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise RunError(f"Another scan is writing to {str(self.folder)!r}; expected it to end first, or another "
                           "folder for this run.") from None
        return lock

    def query(self, sql: str, parameters: Sequence[Any] = (), **tables: pa.Table) -> pa.Table:
        """The answer to a query over the view `rows` and the given tables, by their names.

        Raises RunError with DuckDB's own sentence where the query is wrong.
        """
        cursor = self._connection().cursor()
        try:
            for name, table in tables.items():
                cursor.register(name, table)
            self._view(cursor)
            answer = cursor.sql(sql, params=list(parameters))
            return pa.table({}) if answer is None else answer.to_arrow_table()
        except duckdb.Error as error:
            raise RunError(f"The query failed: {str(error).splitlines()[0]:.300}") from None
        finally:
            for name in tables:
                cursor.unregister(name)
            cursor.close()

    def shards(self) -> list[Path]:
        """The files of rows that there are now, in their order."""
        return sorted(self._rows.glob("*.parquet"))

    def some_shards(self, most: int) -> list[str]:
        """At most so many of them, evenly spread, as DuckDB takes them."""
        shards = self.shards()
        return [str(shards[n * len(shards) // min(most, len(shards))]) for n in range(min(most, len(shards)))]

    def pending(self, listed: pa.Table) -> pa.Table:
        """Those of a listing that have no row yet. Rows of photos or labels that changed since are removed first."""
        self._tidy()
        if any(self._rows.glob("*.parquet")):
            stale = self.query(_STALE, [self._pattern], listed=listed)["filename"].to_pylist()
            for file in stale:
                self._without_stale(Path(file), listed)
        return self.query(_PENDING, listed=listed)

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        """A new shard. Raises RunError where it cannot be written; nothing is left of it then."""
        if rows:
            last = max((int(file.stem) for file in self._rows.glob("*.parquet")), default=-1)
            self._replace(self._rows / f"{last + 1:06d}.parquet", pa.Table.from_pylist(list(rows), schema=SCHEMA))

    @property
    def _pattern(self) -> str:
        return glob.escape(str(self._rows)) + "/*.parquet"

    def _connection(self) -> duckdb.DuckDBPyConnection:
        with self._lock:
            if self._base is None:
                self._base = duckdb.connect(config={"memory_limit": _MEMORY})
            return self._base

    def _view(self, cursor: duckdb.DuckDBPyConnection) -> None:
        if any(self._rows.glob("*.parquet")):
            pattern = self._pattern.replace("'", "''")
            cursor.execute(f"CREATE OR REPLACE TEMP VIEW rows AS SELECT * FROM read_parquet('{pattern}')")
        else:
            cursor.register("rows", _NO_ROWS)

    def _without_stale(self, file: Path, listed: pa.Table) -> None:
        table = pq.read_table(file)
        kept = self.query("""
            SELECT path FROM here LEFT JOIN listed USING (path) WHERE listed.path IS NULL
            OR (here.bytes, here.modified, here.label) IS NOT DISTINCT FROM
               (listed.bytes, listed.modified, listed.label)
            """, here=table.select(["path", "bytes", "modified", "label"]), listed=listed)
        if kept.num_rows:
            self._replace(file, table.filter(pc.is_in(table["path"], value_set=kept["path"].combine_chunks())))
        else:
            file.unlink()

    def _tidy(self) -> None:
        """Files that a killed process left half written."""
        for file in self._rows.glob("*.part"):
            file.unlink(missing_ok=True)

    def _replace(self, file: Path, table: pa.Table) -> None:
        part = file.with_suffix(".part")
        try:
            self._rows.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, part, compression="zstd")
            with part.open("rb") as stream:
                os.fsync(stream.fileno())
            part.replace(file)
        except OSError as error:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise RunError(f"The rows cannot be written to {str(self.folder)!r} ({error.strerror or error}); what is "
                           "done is kept, and the same command goes on from there.") from None
