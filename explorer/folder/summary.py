"""What a run's rows say together: how many are right, how sure, which classes are confused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from explorer.folder.run import Run
from explorer.folder.selection import SURE

_BINS = 10
_SAMPLED = 20  # shards of which means of maps are taken, where there are more
_COUNTS = f"""
    SELECT count(*) AS photos, count(error) AS unreadable, count(label) AS labelled,
           count(*) FILTER (label IS NOT NULL AND label_class IS NULL) AS unknown_labels,
           count(*) FILTER (label_class IS NOT NULL AND answer IS NOT NULL) AS judged,
           count(*) FILTER (answer = label_class) AS correct,
           count(*) FILTER (answer != label_class AND probability >= {SURE}) AS sure_and_wrong,
           count(*) FILTER (answer = label_class AND probability < {SURE}) AS unsure_and_right
    FROM rows
"""
_CONFUSED = """
    SELECT label_class, answer, count(*) AS photos FROM rows WHERE answer != label_class
    GROUP BY label_class, answer ORDER BY photos DESC, max(probability) DESC, label_class, answer LIMIT ?
"""
_WRONG = """
    SELECT path, label_class, answer, probability FROM rows WHERE answer != label_class
    ORDER BY probability DESC NULLS LAST, logit DESC, path LIMIT ?
"""
_CALIBRATION = f"""
    SELECT least(floor(probability * {_BINS}), {_BINS - 1})::INT AS bin, count(*) AS photos,
           avg(probability) AS probability, avg((answer = label_class)::INT) AS accuracy
    FROM rows WHERE label_class IS NOT NULL AND probability IS NOT NULL GROUP BY bin ORDER BY bin
"""
_CLASSES = """
    WITH wrong AS (SELECT label_class, answer, count(*) AS photos FROM rows WHERE answer != label_class GROUP BY ALL)
    SELECT label_class, count(*) AS photos, avg((answer = label_class)::INT) AS accuracy,
           avg(label_probability) AS probability, avg(border) AS border, avg(middle) AS middle,
           (SELECT arg_max(answer, photos) FROM wrong WHERE wrong.label_class = rows.label_class) AS confused_with
    FROM rows WHERE label_class IS NOT NULL AND answer IS NOT NULL GROUP BY label_class
    ORDER BY accuracy, photos DESC, probability, label_class
"""


class Rows(Protocol):
    """What has rows to query: a run, or the index of one."""

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """The answer of DuckDB to a query over `rows`."""


@dataclass(frozen=True)
class Counts:
    """Numbers of photos.

    Attributes:
        photos: with a row.
        unreadable: of these without an answer.
        labelled: with a label; unknown_labels: of these with one that no class has.
        judged: with an answer, and a label that a class has: what accuracy counts.
        correct: of these answered with it.
        sure_and_wrong, unsure_and_right: of these, by whether the answer has a probability of at least SURE.
    """

    photos: int
    unreadable: int
    labelled: int
    unknown_labels: int
    judged: int
    correct: int
    sure_and_wrong: int
    unsure_and_right: int

    @property
    def accuracy(self) -> float | None:
        """Share of the judged photos that are correct; None without any."""
        return self.correct / self.judged if self.judged else None


def counts(rows: Rows) -> Counts:
    """How many photos there are of each kind."""
    return Counts(**rows.query(_COUNTS).to_pylist()[0])


def confused(rows: Rows, most: int = 20) -> list[dict[str, Any]]:
    """The pairs of label_class and answer that are confused most, with their number of photos."""
    return rows.query(_CONFUSED, [most]).to_pylist()


def wrong(run: Run, most: int = 20) -> list[dict[str, Any]]:
    """Photos whose answer is not their label, the surest first: path, label_class, answer and its probability."""
    return run.query(_WRONG, [most]).to_pylist()


def calibration(rows: Rows) -> list[dict[str, Any]]:
    """Of the photos with a label: by tenths of the answer's probability, how many there are, their mean probability
    and the share that is correct."""
    return rows.query(_CALIBRATION).to_pylist()


def by_class(rows: Rows) -> list[dict[str, Any]]:
    """Of each labelled class: photos, accuracy, mean probability of the label, mean share of the positive evidence at
    the border and in the middle, and the class it is confused with most; the least accurate first."""
    return rows.query(_CLASSES).to_pylist()


def class_pairs(rows: Rows, most: int = 12) -> tuple[list[int], dict[tuple[int, int], int]]:
    """The classes of the pairs that are confused most, pair by pair, and the photos of each label_class and answer."""
    counted: list[int] = []
    for pair in confused(rows, most):
        new = [index for index in (pair["label_class"], pair["answer"]) if index not in counted]
        if len(counted) + len(new) <= most:
            counted += new
    pairs = rows.query("""
        SELECT label_class, answer, count(*) AS photos FROM rows
        WHERE label_class IN (SELECT unnest(?)) AND answer IN (SELECT unnest(?)) GROUP BY ALL
        """, [counted, counted]).to_pylist()
    return counted, {(pair["label_class"], pair["answer"]): pair["photos"] for pair in pairs}


def mean_evidence(run: Run, where: str = "TRUE") -> tuple[np.ndarray, int] | None:
    """(H, W) float64: evidence for the answer, averaged over the photos of the commonest grid, and how many they are.

    Of a run of many shards it is the mean over some of them, evenly spread. None where no photo has evidence.

    Args:
        where: an SQL condition on the rows.
    """
    shards = run.store.some_shards(_SAMPLED)
    rows = f"FROM read_parquet(?) WHERE evidence IS NOT NULL AND ({where})"
    if not shards:
        return None
    grids = run.query(f"SELECT grid {rows} GROUP BY grid ORDER BY count(*) DESC, grid LIMIT 1", [shards])
    if not grids.num_rows:
        return None
    grid = grids["grid"][0].as_py()
    maps = run.query(f"SELECT evidence {rows} AND grid = ?", [shards, grid])["evidence"].combine_chunks()
    values = maps.flatten().to_numpy(zero_copy_only=False).reshape(-1, *grid)
    return values.mean(0, dtype=np.float64), len(values)


def evidence_limit(run: Run) -> float:
    """The largest evidence, of either sign, that 95% of the photos stay below: the end of a scale for all of them.

    Of a run of many shards it is taken from some of them, evenly spread; 1 where there is no evidence.
    """
    limits = run.query("""
        SELECT quantile_cont(list_max(list_transform(evidence, lambda value: abs(value))), 0.95) AS most
        FROM read_parquet(?) WHERE evidence IS NOT NULL
        """, [run.store.some_shards(_SAMPLED)])["most"].to_pylist()
    return float(limits[0] or 1)
