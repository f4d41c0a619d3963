"""What a run's rows say together: how many are right, how sure, which classes are confused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from explorer.folder.run import Run

SURE = 0.5  # probability of the answer from which it counts as sure
_BINS = 10
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
    GROUP BY ALL ORDER BY photos DESC, label_class, answer LIMIT ?
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
    FROM rows WHERE label_class IS NOT NULL AND answer IS NOT NULL GROUP BY label_class ORDER BY accuracy, photos DESC
"""


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


def counts(run: Run) -> Counts:
    """How many photos there are of each kind."""
    return Counts(**run.query(_COUNTS).to_pylist()[0])


def confused(run: Run, most: int = 20) -> list[dict[str, Any]]:
    """The pairs of label_class and answer that are confused most, with their number of photos."""
    return run.query(_CONFUSED, [most]).to_pylist()


def wrong(run: Run, most: int = 20) -> list[dict[str, Any]]:
    """Photos whose answer is not their label, the surest first: path, label_class, answer and its probability."""
    return run.query(_WRONG, [most]).to_pylist()


def calibration(run: Run) -> list[dict[str, Any]]:
    """Of the photos with a label: by tenths of the answer's probability, how many there are, their mean probability
    and the share that is correct."""
    return run.query(_CALIBRATION).to_pylist()


def by_class(run: Run) -> list[dict[str, Any]]:
    """Of each labelled class: photos, accuracy, mean probability of the label, mean share of the positive evidence at
    the border and in the middle, and the class it is confused with most; the least accurate first."""
    return run.query(_CLASSES).to_pylist()


def mean_evidence(run: Run, where: str = "TRUE") -> np.ndarray | None:
    """(H, W) float64: evidence for the answer, averaged over the photos of the commonest grid; None without any.

    Args:
        where: an SQL condition on the rows.
    """
    grids = run.query(f"SELECT grid, count(*) AS photos FROM rows WHERE evidence IS NOT NULL AND ({where}) "
                      "GROUP BY grid ORDER BY photos DESC, grid LIMIT 1").to_pylist()
    if not grids:
        return None
    grid = grids[0]["grid"]
    means = run.query(f"""
        SELECT position, avg(value::DOUBLE) AS mean FROM (
            SELECT unnest(evidence) AS value, generate_subscripts(evidence, 1) AS position FROM rows
            WHERE grid = ? AND ({where})) GROUP BY position ORDER BY position
        """, [grid])
    return means["mean"].to_numpy().reshape(grid)
