"""The page's photo with maps on it, what a click in it does, and the panel about the place chosen in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from explorer import CAM_METHODS
from explorer.analysis import CAM_INSTEAD, Analysis, Outcome
from explorer.sections.nodes import el
from explorer.ui.components.board import board
from explorer.ui.components.viewer import Handlers, Look, Map, Stack, stack, viewer
from explorer.ui.maps import votes_in_words
from explorer.ui.page import STORY
from explorer.ui.session.items import step
from explorer.ui.session.session import EXAMPLES, Session
from explorer.ui.session.url import write_url
from explorer.wording import percent, signed


def viewer_handlers(session: Session, pick: Callable[[Any], None] | None = None) -> Handlers:
    """What every page does when its viewer is used: a place is chosen, a talk begins, ends or goes on.

    A place reruns only the part around the viewer, a picked map the page's story, a talk the whole page.
    """

    def choose_region(event: dict[str, Any]) -> None:
        region = tuple(int(place) for place in event["positions"])
        session.choose(region=None if region == session.choices.region else region)

    def pick_and_draw_page(picked: Any) -> None:
        assert pick is not None
        pick(picked)
        st.rerun(STORY)

    def present(on: bool) -> None:
        session.choose(present=bool(on))
        st.rerun()

    def walk(steps: int) -> None:
        if session.choices.item:
            step(session, steps)
            st.rerun()
        names = list(EXAMPLES)
        at = names.index(session.choices.example) if session.choices.example in names else -steps
        session.show_example(names[(at + steps) % len(names)])
        st.rerun()

    def contours(drawn: int) -> None:
        session.lined = bool(drawn)

    return Handlers(region=choose_region, pick=pick and pick_and_draw_page, present=present, walk=walk,
                    contours=contours)


def photo_panel(
    session: Session, analysis: Analysis, maps: Sequence[Map] | Stack, key: str, name: str, *, chosen: str = "",
    pick: Callable[[Any], None] | None = None, **look: Any,
) -> None:
    """Show maps on the page's photo, see `viewer`; `pick` shows a map's class and pooling on the whole page."""
    viewer(analysis, session.photo.digest, maps if isinstance(maps, Stack) else stack(maps), key=key, name=name,
           chosen=chosen, look=Look(region=session.choices.region, lined=session.lined,
                                    handlers=viewer_handlers(session, pick), **look))


def with_place(session: Session, outcome: Outcome, class_index: int, draw: Callable[[], None]) -> None:
    """Draw a viewer with `draw`, then the panel about the place chosen in it; a click on a place reruns this alone."""

    @st.fragment
    def part() -> None:
        write_url(session, class_index)
        draw()
        _place(session, outcome, class_index)

    part()


def _place(session: Session, outcome: Outcome, class_index: int) -> None:
    """What the chosen positions contribute to the class, and how one alone votes; nothing when none are chosen."""
    region = session.choices.region
    if region is None:
        return
    (top, left, bottom, right), (rows, columns) = region, outcome.analysis.framing.grid
    count = (bottom - top + 1) * (right - left + 1)
    where = f"Position ({top}, {left})" if count == 1 else f"Positions ({top}, {left}) to ({bottom}, {right})"
    inside = slice(top, bottom + 1), slice(left, right + 1)
    box = outcome.analysis.framing.rectangles[inside].reshape(-1, 4)
    pixels = [round(edge) for edge in (*box[:, :2].min(0), *box[:, 2:].max(0))]
    sentences_of = _evidence_sentences if outcome.analysis.has_evidence else _cam_sentences
    board(
        el(
            "div",
            el("div", el("h3", where), el("button", "Clear", pick="clear", type="button", class_="link"),
               class_="head"),
            *(el("p", sentence) for sentence in sentences_of(outcome, class_index, inside)),
            el("p", f"{count} of {rows * columns} positions; pixels {pixels[0]} to {pixels[2]} across and "
                    f"{pixels[1]} to {pixels[3]} down of the photo", class_="caption"),
            class_="place",
        ),
        key="place",
        on_pick=lambda _: session.choose(region=None),
    )


def _evidence_sentences(outcome: Outcome, class_index: int, inside: tuple[slice, slice]) -> list[str]:
    """What the positions contribute to the class, and how one of them votes."""
    cells = outcome.evidence(class_index).cells.double()
    total = float(cells[inside].sum())
    kind = cells.clamp_min(0) if total >= 0 else (-cells).clamp_min(0)
    share = kind[inside].sum() / kind.sum() if kind.sum() > 0 else kind.sum()
    network, sign = outcome.analysis.network, "positive" if total >= 0 else "negative"
    name = network.class_names[class_index]
    sentences = [f"{signed(total)} {network.unit} for {name} under {outcome.name}, with {percent(float(share))} of the "
                 f"{sign} evidence."]
    if cells[inside].numel() == 1:
        top, left = (places.start for places in inside)
        sentences.append(f"Alone it votes for {votes_in_words(outcome)[top * cells.shape[1] + left]}.")
    return sentences


def _cam_sentences(outcome: Outcome, class_index: int, inside: tuple[slice, slice]) -> list[str]:
    """What a CAM by gradients is there, in shares of its largest magnitude: it has no unit."""
    cells = outcome.cam(CAM_INSTEAD, class_index).double()
    most = float(cells.abs().max())
    share = signed(float(cells[inside].mean()) / most if most else 0.0)
    return [f"{CAM_METHODS[CAM_INSTEAD].name} of {outcome.analysis.network.class_names[class_index]}: {share} of its "
            "own largest, on average; it has no unit."]
