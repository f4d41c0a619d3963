"""Lesson 5: heads are trained while the reader watches, on few photos of five flowers, and tested on others."""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st

from explorer import figures
from explorer.heads import KINDS, Run, Summary, sample, summaries, training_runs
from explorer.heads.overfitting import SIZES
from explorer.progress import Progress, Stop
from explorer.sections.nodes import el
from explorer.sections.parts import table
from explorer.ui import panels
from explorer.ui.components.board import board
from explorer.ui.pages.lessons.lesson_pictures import bars
from explorer.ui.pages.lessons.scene import Control, Scene
from explorer.ui.progress import worked
from explorer.ui.session.jobs import Job
from explorer.wording import percent, within_sentence

SEEDS = (1, 2, 3, 5)
# Multi-query attention takes as long to train as all others together, and tells nothing more here.
TRAINED = tuple(kind for kind in KINDS if kind != "multi_query")
DRAWN = ("gap", "gmp", "attention", "pyramid", "flatten")  # in the plot; the table has all that are trained


_ABOUT = ("Heads on the bundled backbone's feature maps of flower photos; no photo is shown, for only the maps are "
          "shipped. ± is the standard deviation of one draw.")


class Training(Job):
    """Training in its own thread. `runs` are the heads trained so far."""

    def __init__(self, seeds: int) -> None:
        super().__init__(self._train)
        self.seeds = seeds
        self.runs: list[Run] = []

    def _train(self, progress: Progress, stop: Stop) -> tuple[Summary, ...]:
        self.runs = []
        total = len(TRAINED) * len(SIZES) * self.seeds
        for run in training_runs(sample(), TRAINED, seeds=self.seeds, stop=stop):
            self.runs.append(run)
            progress(len(self.runs), total)
        return summaries(self.runs)


def controls(scene: Scene) -> tuple[Control, ...]:
    """Photos a class, and how many draws of them."""
    return (Control("photos", "Training photos of each flower", SIZES, SIZES[0], width=3),
            Control("seeds", "Repeats, with other photos", SEEDS, SEEDS[-1]))


def draw(scene: Scene, chosen: dict[str, Any]) -> str:
    """What has been learned so far, by kind: a table for the size chosen, and a plot over all sizes."""
    seeds, photos = chosen["seeds"], chosen["photos"]
    job = _training(seeds)
    show = partial(_show_bars if scene.presenting else _show, job, photos)
    if worked(scene.session, job, f"overfit_{seeds}", "Training heads", show) is None:
        return ""
    show()
    return _notice([summary for summary in summaries(job.runs) if summary.size == photos])


@st.cache_resource(show_spinner=False, max_entries=len(SEEDS))
def _training(seeds: int) -> Training:
    return Training(seeds)


def _show(job: Training, photos: int) -> None:
    all_sizes = summaries(list(job.runs))
    rows = [summary for summary in all_sizes if summary.size == photos]
    left, right = st.columns([5, 4], gap="medium")
    with left:
        titles = ("head", "training photos", "new photos", "drop", "loss: training, new")
        board(el("div", el("h3", f"{photos} photos of each of five flowers, {len(job.runs)} heads trained"),
                 table(titles, map(_row, rows), numbers=range(1, 5), class_="lesson-table"),
                 el("p", _ABOUT, class_="note"), class_="stack ruled"),
              key="overfit")
    with right:
        curves = {kind: [summary for summary in all_sizes if summary.kind == kind] for kind in DRAWN}
        lines = {KINDS[kind].name: ([point.size for point in points],
                                    [point.validation_accuracy.mean for point in points],
                                    [point.validation_accuracy.deviation for point in points])
                 for kind, points in curves.items() if points}
        panels.chart(figures.learning(lines, photos, "photos of each flower", "accuracy on new photos"),
                     key="learning")


def _show_bars(job: Training, photos: int) -> None:
    """For a talk: how many photos never seen the heads of the plot answer rightly."""
    rows = [summary for summary in summaries(list(job.runs)) if summary.size == photos and summary.kind in DRAWN]
    shares = [(KINDS[row.kind].name, row.validation_accuracy.mean) for row in rows]
    board(el("div", el("h3", f"Right on photos not seen, after {photos} of each flower"), bars(
        [(name, share, percent(share)) for name, share in shares], 1.0),
             class_="stack"), key="overfit")


def _row(summary: Summary) -> list[str]:
    several = summary.seeds > 1  # else there is no spread
    shares = [_drop(spread.mean) + (f" ± {100 * spread.deviation:.0f}" if several else "")
              for spread in (summary.train_accuracy, summary.validation_accuracy, summary.gap)]
    learned, unseen = summary.train_loss, summary.validation_loss
    losses = f"{learned.mean:.2f}, {unseen.mean:.2f}" + (f" ± {unseen.deviation:.2f}" if several else "")
    return [KINDS[summary.kind].name, *shares, losses]


def _notice(rows: list[Summary]) -> str:
    lost = {summary.kind: summary.gap.mean for summary in rows}
    less, more = sorted(("gap", "flatten"), key=lost.__getitem__)
    low, high = _drop(lost[less]), _drop(lost[more])
    return (f"From training photos to new ones {KINDS[less].name} drops by {low}, "
            f"{'as much as' if low == high else 'less than'} {within_sentence(KINDS[more].name)}, {high}.")


def _drop(share: float) -> str:
    """A share that is below 0 where new photos are answered better than those of the training."""
    return percent(share) if round(share, 6) >= 0 else f"−{percent(-share)}"
