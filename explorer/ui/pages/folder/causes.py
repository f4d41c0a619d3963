"""The causes of a class: what its photos have in common, and which of it makes photos wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import streamlit as st
from PIL import Image

from explorer import render
from explorer.folder.cause_maps import CauseMap, strongest_maps
from explorer.folder.causes import FEWEST_PHOTOS, Cause, Causes, causes_of
from explorer.folder.channel_names import channel_names
from explorer.folder.contributions import kept_contributions
from explorer.folder.index import Index
from explorer.folder.parts import FEWEST, MOST
from explorer.progress import Progress, Stop
from explorer.render import ground, overlay
from explorer.sections.causes import cause_card, channels_of, lead, title_of
from explorer.sections.nodes import Node, el, picture
from explorer.sections.parts import legend
from explorer.ui import panels
from explorer.ui.components.board import board
from explorer.ui.controls import in_step
from explorer.ui.pages.folder.muting import muting_part
from explorer.ui.progress import worked
from explorer.ui.session.items import open_on, show_number
from explorer.ui.session.jobs import Job
from explorer.ui.session.link import as_query
from explorer.ui.session.session import Session
from explorer.wording import plain, shortened

_PHOTOS, _SIDE = 5, 200  # of each cause, and the first one without its map; px
_MUTED = {"muted": (), "strength": None}


class _Drawn(NamedTuple):
    """The causes of a class, the pictures of each, and their scale."""

    causes: Causes
    shots: list[list[Node]]
    scale: render.Scale


def causes_part(session: Session, index: Index) -> None:
    """Choose a class; its causes as cards, and what changes when some are muted."""
    which = _choice(session, index)
    if which is None:
        panels.note(f"No class is the prediction of {FEWEST_PHOTOS} photos or more; causes need so many that share "
                    "something: scan more photos.", key="no_causes")
        return
    job = index.recent(("causes", *which), lambda: Job(lambda progress, stop: _work(index, which, progress, stop)))
    drawn: _Drawn | None = worked(session, job, f"causes_{'_'.join(map(str, which))}",
                                  "Looking for what the photos share")
    if drawn is None:
        return
    causes, names = drawn.causes, index.run.recipe["network"]["class_names"]
    if any(place >= len(causes.all) for place in session.choices.muted):
        session.choose(**_MUTED)
    panels.note(lead(causes, names), key="causes_lead")
    muting_part(session, index, causes)
    called = channel_names(index.run)
    cards = [cause_card(n + 1, cause, causes, names, shots, n in session.choices.muted, called)
             for n, (cause, shots) in enumerate(zip(causes.all, drawn.shots, strict=True))]
    bar = legend(drawn.scale, plain(drawn.scale.low), plain(drawn.scale.limit), "logits a position, of one cause alone",
                 "Blue for negative, red for positive")
    board(el("div", el("h3", title_of(causes, names)), bar, *cards, class_="causes stack"), key="causes",
          on_pick=lambda picked: _pick(session, index, causes, picked))


def _choice(session: Session, index: Index) -> tuple[int, int | None, int | None] | None:
    """The class, the one it is held against, and how many causes; None where no class has enough photos."""
    counted = index.query(f"""
        SELECT answer, count(*) AS photos, count(*) FILTER (answer != label_class) AS wrong FROM rows
        WHERE answer IS NOT NULL GROUP BY answer HAVING count(*) >= {FEWEST_PHOTOS}
        ORDER BY wrong DESC, photos DESC, answer
        """).to_pylist()
    if not counted:
        return None
    names, chosen = index.run.recipe["network"]["class_names"], session.choices
    by_class = {row["answer"]: f"{shortened(names[row['answer']], 40)}: {row['wrong']:,} wrong of {row['photos']:,}"
                for row in counted}
    of: int = chosen.cause_of if chosen.cause_of is not None and chosen.cause_of in by_class else counted[0]["answer"]
    against = chosen.cause_against if chosen.cause_against in range(len(names)) and chosen.cause_against != of else None
    left, middle, right = st.columns([40, 36, 24], gap="small")
    left.selectbox("Causes of", list(by_class), format_func=by_class.__getitem__, **in_step(
        session, "cause_of", of, lambda picked: session.choose(cause_of=picked, **_MUTED),
        index=list(by_class).index(of)))
    middle.selectbox("and not", range(len(names)), format_func=names.__getitem__, placeholder="any other class",
                     **in_step(session, "cause_against", against,
                               lambda picked: session.choose(cause_against=picked, **_MUTED)))
    right.selectbox("How many", range(FEWEST, MOST + 1), placeholder="chosen", **in_step(
        session, "parts", chosen.parts, lambda picked: session.choose(parts=picked, **_MUTED)))
    return of, against, chosen.parts


def _work(index: Index, which: tuple[int, int | None, int | None], progress: Progress, stop: Stop) -> _Drawn:
    class_index, rival, parts = which
    made = kept_contributions(index, class_index, rival, progress=progress, stop=stop)
    causes = causes_of(made, parts, progress, stop)
    maps = strongest_maps(index.run, causes, _PHOTOS, _SIDE, progress, stop)
    scale = render.Scale.signed(*(one.cells for of_cause in maps for one in of_cause))
    names = index.run.recipe["network"]["class_names"]
    return _Drawn(causes, [_shots(causes, cause, of_cause, scale, names)
                           for cause, of_cause in zip(causes.all, maps, strict=True)], scale)


def _shots(
    causes: Causes, cause: Cause, maps: Sequence[CauseMap], scale: render.Scale, names: Sequence[str]
) -> list[Node]:
    """The photo with most of it in its colours, then the photos under its map."""
    made = causes.contributions
    labels = made.column("label_class")
    shots: list[Node] = []
    for one in maps:
        label, pick = labels[one.place], ["photo", int(made.numbers[one.place])]
        of = "" if np.isnan(label) else ", right" if label == made.class_index else (
            f", label: {shortened(names[int(label)], 24)}")
        if not shots:
            shots.append(_shot(ground(one.photo, one.seen, in_colour=True), "the first one in its colours", pick))
        shots.append(_shot(overlay(one.photo, one.cells, one.seen, scale),
                           f"{plain(float(cause.strengths[one.place]))}{of}", pick))
    return shots


def _shot(painted: Image.Image, caption: str, pick: list[Any]) -> Node:
    image = picture(render.jpeg(painted, 82), caption)
    return el("div", el("button", image, type="button", pick=pick, aria_label=f"Open the photo: {caption}"),
              el("span", caption, class_="caption"), class_="shot")


def _pick(session: Session, index: Index, causes: Causes, picked: list[Any]) -> None:
    kind, which = picked
    if kind == "mute":
        muted = set(session.choices.muted) ^ {which}
        session.choose(muted=tuple(sorted(muted)), strength=None)
    elif kind == "channel":
        cause = next(cause for cause in causes.all if which in [channel for channel, _, _ in channels_of(cause)])
        if show_number(session, index, int(causes.contributions.numbers[cause.strongest[0]])):
            session.choose(channel=which)
            title, of = "Feature maps", causes.contributions.class_index
            st.switch_page("pages/1_Feature_maps.py", query_params=as_query(session.choices, of, title))
    else:
        open_on(session, index, which, "pages/4_Why.py", "Why")
