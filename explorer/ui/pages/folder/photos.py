"""The photos of a run: which ones, in which order, on a wall; five of a class to sign off; and files to take along."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
import streamlit as st

from explorer import render
from explorer.export.folder_files import MOST_ROWS, contact_sheet_png, rows_csv, rows_parquet, summary_html
from explorer.folder.index import Index
from explorer.folder.selection import OUTCOMES, SORTS, Selection
from explorer.folder.sheets import tiles
from explorer.folder.summary import evidence_limit
from explorer.live.page import MOST_PHOTOS
from explorer.live.run_page import run_page
from explorer.sections.folder import photo_caption
from explorer.sections.nodes import el, picture
from explorer.sections.parts import head
from explorer.ui import panels
from explorer.ui.components.board import board
from explorer.ui.components.photo_wall import photo_wall
from explorer.ui.controls import in_step
from explorer.ui.progress import worked
from explorer.ui.session.items import open_on, walk_of
from explorer.ui.session.jobs import Job
from explorer.ui.session.session import Session
from explorer.wording import shortened

PAGES = {"Explore": "app.py", "Why": "pages/4_Why.py"}
_SIGN_OFF, _SIDE = 5, 220  # photos, px


def selection_choice(session: Session, index: Index) -> None:
    """Order, outcome, label and prediction."""
    chosen, names = session.choices, index.run.recipe["network"]["class_names"]
    outcomes = [key for key, outcome in OUTCOMES.items() if index.other is not None or not outcome.of_two]
    if chosen.outcome not in outcomes:
        session.choose(outcome="all")
    beyond = {name: None for name in ("label", "predicted") if (getattr(chosen, name) or 0) >= len(names)}
    session.notices += [f"The link asks for a {name} of class {getattr(chosen, name)}, which the run does not have; "
                        f"expected a number from 0 to {len(names) - 1}." for name in beyond]
    session.choose(**beyond)
    chosen = session.choices
    columns = st.columns([24, 24, 26, 26], gap="small")
    columns[0].selectbox("Order", SORTS, format_func=lambda key: SORTS[key].name,
                         **in_step(session, "sort", chosen.sort, index=list(SORTS).index(chosen.sort)))
    columns[1].selectbox("Photos", outcomes, format_func=lambda key: OUTCOMES[key].name,
                         **in_step(session, "outcome", chosen.outcome, index=outcomes.index(chosen.outcome)))
    every = range(len(names))
    columns[2].selectbox("Label", every, format_func=names.__getitem__, placeholder="any class", **in_step(
        session, "label", chosen.label, lambda picked: session.choose(label=picked)))
    columns[3].selectbox("Prediction", every, format_func=names.__getitem__, placeholder="any class", **in_step(
        session, "predicted", chosen.predicted, lambda picked: session.choose(predicted=picked)))


def in_words(selection: Selection, names: Sequence[str], photos: int) -> str:
    """"36 photos, wrong, label tabby, sure and wrong first"."""
    parts = [f"{photos:,} photo{'' if photos == 1 else 's'}"]
    if selection.outcome != "all":
        parts.append(OUTCOMES[selection.outcome].name.lower())
    for index, words in ((selection.label, "label"), (selection.predicted, "predicted")):
        if index is not None:
            parts.append(f"{words} {shortened(names[index], 30)}")
    return ", ".join([*parts, SORTS[selection.sort].name.lower()])


def wall(session: Session, index: Index) -> np.ndarray:
    """The wall of the selection; a click opens the photo on the page that is chosen. The numbers selected."""
    selection = session.choices.selection
    numbers = index.select(selection)
    words = in_words(selection, index.run.recipe["network"]["class_names"], len(numbers))
    if not len(numbers):
        panels.note("No photo is in this selection; take a filter away.", key="no_photos")
        return numbers
    target = st.segmented_control("A click opens the photo on", list(PAGES), default="Why", key="opens_on") or "Why"

    def open_photo(place: int) -> None:
        open_on(session, index, int(numbers[place]), PAGES[target], target)

    photo_wall(index, numbers, f"{index.run.path} {index.state} {selection}", words,
               open_photo, key="photo_wall", chosen=walk.place if (walk := walk_of(session)) else None)
    limit = index.kept("limit", lambda: evidence_limit(index.run))
    panels.note(f"Grey photos, red and blue: evidence for and against the prediction, all on one scale from "
                f"−{limit:.2f} to {limit:.2f}. Hatched: what the network did not see.", key="wall_scale",
                style="caption")
    return numbers


def sign_off(session: Session, index: Index) -> None:
    """Five photos of the class that is shown, from the least to the most probable."""
    label = session.choices.label
    if label is None:
        return
    all_of_it = index.query("SELECT rowid AS number FROM rows WHERE label_class = ? AND answer IS NOT NULL "
                            "ORDER BY label_probability, rowid", [label])["number"].to_numpy()
    if not len(all_of_it):
        return
    places = sorted({round(n * (len(all_of_it) - 1) / (_SIGN_OFF - 1)) for n in range(_SIGN_OFF)})
    rows, names = index.rows(all_of_it[places]), index.run.recipe["network"]["class_names"]
    limit = index.kept("limit", lambda: evidence_limit(index.run))
    shots = []
    for row, tile in zip(rows, tiles(index.run, rows, _SIDE, limit), strict=True):
        first, second, _, path = photo_caption(row, names)
        shots.append(el("div", picture(render.jpeg(tile, 82), str(path)), el("span", str(first)),
                        el("span", str(second), class_="caption"), class_="shot"))
    board(el("div", head(f"{len(shots)} of {len(all_of_it):,} photos of {shortened(names[label], 40)}",
                         "from the least probable to be it to the most"),
             el("div", *shots, class_="shots"), class_="ruled"), key="sign_off")


def take_along(session: Session, index: Index, numbers: np.ndarray) -> None:
    """The selection as files, each made when it is clicked."""
    if not len(numbers):
        return
    words = in_words(session.choices.selection, index.run.recipe["network"]["class_names"], len(numbers))
    stem = re.sub(r"[^\w.]+", "-", f"{index.run.photos.name}_{words}".lower()).strip("-")[:80]
    files: list[tuple[str, str, str, Callable[[], str | bytes]]] = [
             ("Contact sheet, PNG", "png", "image/png", lambda: contact_sheet_png(index, numbers)),
             ("Summary, HTML", "html", "text/html", lambda: summary_html(index, numbers, words))]
    if len(numbers) <= MOST_ROWS:
        files = [("Rows, CSV", "csv", "text/csv", lambda: rows_csv(index, numbers)),
                 ("Rows, Parquet", "parquet", "application/octet-stream", lambda: rows_parquet(index, numbers)), *files]
    columns = st.columns(5, gap="small")
    for column, (label, ending, kind, make) in zip(columns, files, strict=False):
        column.download_button(label, make, f"{stem}.{ending}", kind, key=label, on_click="ignore", type="tertiary",
                               icon=":material/download:")
    _live_page(session, index, numbers, columns[len(files)], f"{stem}_live.html")


def _live_page(
    session: Session, index: Index, numbers: np.ndarray, column: st.delta_generator.DeltaGenerator, name: str
) -> None:
    """The first photos of the selection on a page of their own: a pass each, so that it is made in a job."""
    first = numbers[:MOST_PHOTOS]
    job = index.recent(("live page", *first.tolist()), lambda: Job(
        lambda progress, stop: run_page(index, first, progress=progress, stop=stop)))
    with column:
        if job.result is not None:
            st.download_button("Save the live page", job.result.text, name, "text/html", key="live_page",
                               on_click="ignore", type="tertiary", icon=":material/download:")
        elif not job.begun:
            st.button("Live page, HTML", key="make_live_page", on_click=job.ask, type="tertiary",
                      icon=":material/description:", help=_of_first(len(first), len(numbers)))
    if job.begun and job.result is None:
        worked(session, job, "live_page", f"Live page of the first {len(first)} photos")


def _of_first(first: int, selected: int) -> str:
    return (f"The first {first} of {selected:,} photos on a page that computes in the browser: without PoolScope any "
            "class, pooling and channel can be tried there.")
