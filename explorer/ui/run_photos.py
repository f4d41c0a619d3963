"""Photos of the run beside the one that is shown: those of the same cause, and those that a channel contributes to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from explorer import render
from explorer.errors import ExplorerError, ImageError
from explorer.folder.cause_maps import analysis_of, masked_picture
from explorer.folder.channel_names import LONGEST, channel_names, name_channel
from explorer.folder.exemplars import Exemplar, exemplars, same_cause
from explorer.folder.index import Index
from explorer.folder.sheets import tiles
from explorer.folder.summary import evidence_limit
from explorer.progress import Progress, Stop
from explorer.sections.folder import photo_caption
from explorer.sections.nodes import Node, el, picture
from explorer.sections.parts import head, note
from explorer.ui.components.board import board
from explorer.ui.progress import worked
from explorer.ui.session.items import index_in_use, network_name, open_on, run_in_use
from explorer.ui.session.jobs import Job
from explorer.ui.session.session import Session
from explorer.wording import plain, shortened, signed

_PHOTOS, _SIDE = 6, 200  # of a kind; px


def same_cause_panel(session: Session, class_index: int | None = None) -> None:
    """The photos whose contributions to the class are most like those of the photo in use; nothing without a run.

    None is what the run predicts for the photo.
    """
    index = _index_of_photo(session)
    if index is None:
        return
    item = session.choices.item
    job = index.recent(("same cause", item, class_index),
                     lambda: Job(lambda progress, stop: _same(index, item, class_index)))
    drawn: Node | None = worked(session, job, "same_cause", "Looking for photos of the same cause")
    if drawn is not None:
        board(drawn, key="same_cause_photos", on_pick=lambda number: open_on(
            session, index, number, "pages/4_Why.py", "Why"))


def exemplars_panel(session: Session, channel: int) -> None:
    """The photos of the run that a channel contributes to, and those it responds to for nothing; else nothing."""
    index = _index_of_photo(session)
    if index is None or session.choices.layer:
        return
    job = index.recent(("exemplars", channel), lambda: Job(
        lambda progress, stop: _exemplars(index, channel, progress, stop)))
    drawn: Node | None = worked(session, job, f"exemplars_{channel}", f"Looking for photos of channel {channel}")
    _name(session, index, channel)
    if drawn is not None:
        board(drawn, key="exemplars", on_pick=lambda number: open_on(
            session, index, number, "pages/1_Feature_maps.py", "Feature maps"))


def _name(session: Session, index: Index, channel: int) -> None:
    """A name that a person gives the channel, which stays with the run."""
    key = f"channel_name_{channel}"
    st.session_state[key] = channel_names(index.run).get(channel, "")

    def changed() -> None:
        try:
            name_channel(index.run, channel, st.session_state[key])
        except ExplorerError as error:
            session.notices.append(str(error))

    st.text_input(f"Your name for channel {channel}", key=key, max_chars=LONGEST, on_change=changed,
                  placeholder="what these photos have in common",
                  help="Kept in the run's folder, for everybody who opens the run.")


def _index_of_photo(session: Session) -> Index | None:
    """Of the run that the photo in use is of, where its network is the one in use."""
    opened = run_in_use(session)
    if opened is None or not session.choices.item:
        return None
    try:
        index = index_in_use(session)
        return index if session.choices.network == network_name(session, opened) else None
    except ExplorerError:
        return None


def _same(index: Index, path: str, class_index: int | None) -> Node:
    number, names = index.number_of(path), index.run.recipe["network"]["class_names"]
    similar = [] if number is None else same_cause(index, number, class_index, _PHOTOS)
    title = "Photos of the same cause"
    if not similar:
        return el("div", el("h3", title), note("The run has no other photo that is called this class."),
                  class_="ruled stack")
    rows = index.rows([one.number for one in similar])
    limit = index.kept("limit", lambda: evidence_limit(index.run))
    shots = [_shot(tile, f"{plain(one.cosine)}: {_of(row, names)}", one.number)
             for one, row, tile in zip(similar, rows, tiles(index.run, rows, _SIDE, limit), strict=True)]
    return el("div", head(title, "cosine of the channel contributions; evidence for the prediction"),
              el("div", *shots, class_="shots six"), class_="ruled stack")


def _of(row: dict[str, Any], names: Sequence[str]) -> str:
    first, second, _, _ = photo_caption(row, names)
    return ", ".join(part for part in (str(first), str(second)) if part)


def _exemplars(index: Index, channel: int, progress: Progress, stop: Stop) -> Node:
    contributing, silent = exemplars(index, channel, _PHOTOS)
    every = len(contributing) + len(silent)

    def shots(kind: Sequence[Exemplar], words: str, begun: int) -> Node:
        drawn = []
        for done, one in enumerate(kind, begun + 1):
            if (shot := _exemplar(index, channel, one, kind is silent)) is not None:
                drawn.append(shot)
            progress(done, every)
        return el("div", el("h4", words), el("div", *drawn, class_="shots six") if drawn else note("None in this run."))

    return el("div", head(f"Channel {channel} in {shortened(index.run.photos.name, 40)}",
                          "in colour where it is at least half of its maximum"),
              shots(contributing, "Contributes most to the prediction", 0),
              shots(silent, "Responds most and contributes next to nothing: its pooled value", len(contributing)),
              class_="ruled stack")


def _exemplar(index: Index, channel: int, one: Exemplar, is_silent: bool) -> Node | None:
    (row,) = index.rows([one.number])
    try:
        analysis = analysis_of(index.run, row["path"])
    except ImageError:
        return None  # it was moved or deleted since
    name = shortened(index.run.recipe["network"]["class_names"][one.answer], 30)
    words = f"{plain(one.response)}, {name}" if is_silent else f"{signed(one.contribution)} to {name}"
    return _shot(masked_picture(analysis, channel, _SIDE), words, one.number)


def _shot(image: Any, caption: str, number: int) -> Node:
    return el("div", el("button", picture(render.jpeg(image, 82), caption), type="button", pick=number,
                        data_key=f"photo-{number}", aria_label=f"Open the photo: {caption}"),
              el("span", caption, class_="caption"), class_="shot")
