"""Lesson 5: heads are trained while one watches, on few photos of five flowers, and judged by others."""

from __future__ import annotations

from functools import partial

import streamlit as st

from explorer import figures
from explorer.heads import KINDS, Overfitting, Run, Summary, each_run, sample, summarised
from explorer.heads.overfitting import SIZES
from explorer.progress import Progress, Stop
from explorer.sections.nodes import Node, el
from explorer.ui.components.board import board
from explorer.ui.pages.lessons.lesson_controls import Control, ask
from explorer.ui.pages.lessons.lesson_page import Scene
from explorer.ui.progress import worked
from explorer.ui.session.jobs import Job
from explorer.wording import percent

SEEDS = (1, 2, 3, 5)
DRAWN = ("gap", "gmp", "attention", "pyramid", "flatten")  # in the plot; the table has all kinds


class Class(Job):
    """Training in a thread of its own, whose runs can be read while others are still to come."""

    def __init__(self, seeds: int) -> None:
        super().__init__(self._train)
        self.seeds = seeds
        self.runs: list[Run] = []

    def _train(self, progress: Progress, stop: Stop) -> Overfitting:
        self.runs = []
        total = len(KINDS) * len(SIZES) * self.seeds
        for run in each_run(sample(), seeds=self.seeds, stop=stop):
            self.runs.append(run)
            progress(len(self.runs), total)
        return Overfitting(tuple(self.runs), summarised(self.runs))


def controls(scene: Scene) -> tuple[Control, ...]:
    """Photos a class, and how many draws of them."""
    return (Control("photos", "Photos of each flower to learn from", SIZES, SIZES[0]),
            Control("seeds", "Draws of photos", SEEDS, SEEDS[-1]))


def teach(scene: Scene) -> None:
    """What has been learned so far, by kind: a table for the size chosen, and a plot over all sizes."""
    put = ask(scene.current, controls(scene), [3, 1])
    job = _job(put["seeds"])
    show = partial(_show, job, put["photos"])
    if worked(scene.current, job, f"overfit_{put['seeds']}", "Training heads", show) is not None:
        show()


@st.cache_resource(show_spinner=False, max_entries=len(SEEDS))
def _job(seeds: int) -> Class:
    return Class(seeds)


def _show(job: Class, photos: int) -> None:
    found = summarised(list(job.runs))
    here = [each for each in found if each.size == photos]
    left, right = st.columns([5, 4], gap="medium")
    with left:
        board(el("div", el("h3", f"{photos} photos of each of five flowers, {len(job.runs)} heads trained"),
                 _table(here), _said(here), class_="stack ruled"), key="overfit")
    with right:
        lines = {KINDS[kind].name: ([each.size for each in found if each.kind == kind],
                                    [each.validation_accuracy.mean for each in found if each.kind == kind],
                                    [each.validation_accuracy.deviation for each in found if each.kind == kind])
                 for kind in DRAWN if any(each.kind == kind for each in found)}
        st.plotly_chart(figures.learning(lines, photos, "photos of each flower", "right on photos never seen"),
                        key="learning", config={"displayModeBar": False})


def _table(found: list[Summary]) -> Node:
    titles = ("", "learned", "not seen", "gap", "loss: learned, not seen")
    return el("div", *(el("span", title, class_="caption") for title in titles),
              *(node for each in found for node in _row(each)), class_="lesson-table", style={"--columns": "4"})


def _row(each: Summary) -> list[Node]:
    shown = (each.train_accuracy, each.validation_accuracy, each.gap)
    return [el("span", KINDS[each.kind].name, class_="name"),
            *(el("span", percent(spread.mean) + _give(each, f"{100 * spread.deviation:.0f}")) for spread in shown),
            el("span", f"{each.train_loss.mean:.2f}, {each.validation_loss.mean:.2f}"
                       + _give(each, f"{each.validation_loss.deviation:.2f}"))]


def _give(each: Summary, deviation: str) -> str:
    """The spread, where there is more than one draw."""
    return f" ± {deviation}" if each.seeds > 1 else ""


def _said(found: list[Summary]) -> Node:
    by_kind = {each.kind: each for each in found}
    said = ("Heads on the bundled backbone's feature maps of flower photos; no photo is shown, for only the maps are "
            "shipped. ± is the standard deviation of one draw.")
    if {"gap", "flatten"} <= by_kind.keys():
        gap, flatten = by_kind["gap"].gap.mean, by_kind["flatten"].gap.mean
        said = (f"From what it learned to what it never saw flatten loses {percent(flatten)}, GAP {percent(gap)}. "
                f"{said}")
    return el("p", said, class_="note")
