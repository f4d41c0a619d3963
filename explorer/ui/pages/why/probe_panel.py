"""Without this part: what some positions hold, and the prediction without them in the pooling or in the photo."""

from __future__ import annotations

import streamlit as st

from explorer.analysis import Outcome
from explorer.errors import MethodError
from explorer.questions.probe import probe, probed_positions, region_of
from explorer.sections.nodes import Node, el
from explorer.sections.probe import positions_in_words, probe_section
from explorer.ui import panels
from explorer.ui.components.board import board
from explorer.ui.maps import class_facets, class_maps
from explorer.ui.progress import answered
from explorer.ui.region import photo_panel
from explorer.ui.session.page_cache import drawn
from explorer.ui.session.session import Session
from explorer.ui.session.url import write_url


def without_panel(session: Session, outcome: Outcome, class_index: int) -> None:
    """A viewer to drag a box in, and the prediction without it; the box alone runs this part again."""
    @st.fragment
    def part() -> None:
        write_url(session, class_index)
        left, right = st.columns([46, 54], gap="medium")
        with left:
            _viewer(session, outcome, class_index)
        with right:
            answered(lambda: _answers(session, outcome, class_index))

    part()


def _viewer(session: Session, outcome: Outcome, class_index: int) -> None:
    analysis = outcome.analysis
    photo_panel(session, analysis, class_maps([outcome], [class_index]), key="without", name="The part to take out",
                main=True, facets=class_facets(analysis))
    if session.choices.region is None:
        panels.note("Drag a box in the photo to ask about another part.", key="drag")
    else:
        board(el("button", "Clear the box", pick="clear", type="button", class_="link"), key="clear_box",
              on_pick=lambda _: session.choose(region=None))


def _answers(session: Session, outcome: Outcome, class_index: int) -> None:
    key = ("probe", class_index, session.choices.region, session.choices.calibrated, session.choices.truth)
    board(drawn(outcome, key, lambda: _section(outcome, *key[1:])), key="probed")


def _section(
    outcome: Outcome, class_index: int, region: tuple[int, int, int, int] | None, calibrated: bool,
    truth: int | None
) -> Node:
    """What there is to show of a probe; it is kept, so that a box that was dragged before costs nothing."""
    chosen = region_of(outcome, region) if region else probed_positions(outcome, class_index)
    if chosen is None:
        raise MethodError("There is no part of the photo to leave out here.")
    probed = probe(outcome, class_index, chosen, calibrated=calibrated, watched=() if truth is None else (truth,))
    return probe_section(probed, positions_in_words(outcome, class_index, chosen, region is not None), truth)
