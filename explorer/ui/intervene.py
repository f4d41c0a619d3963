"""Intervene: channels muted or scaled and positions ignored in the browser, kept in the page's link."""

from __future__ import annotations

from typing import Any

import streamlit as st

from explorer.analysis import Outcome
from explorer.errors import ExplorerError
from explorer.poolings import PoolingChoice
from explorer.questions.intervention import Intervention
from explorer.sections.nodes import el
from explorer.sections.parts import head, note
from explorer.ui import panels
from explorer.ui.components.board import board
from explorer.ui.components.live import MOST_BYTES, bytes_to_send, live_panel, network_key, put_maps, put_network
from explorer.ui.controls import in_step
from explorer.ui.page import STORY
from explorer.ui.session.session import Session
from explorer.ui.session.url import write_url

KEY = "intervene_panel"
_WHAT = ("Mute or scale channels, ignore positions, choose any class under any pooling: the answer follows at once, in "
         "the browser. The smallest change that flips it is on Why.")


def intervene_part(session: Session, outcome: Outcome, class_index: int) -> None:
    """What the panel does and a switch that opens it, or one sentence why there is none."""
    missing = _why_missing(outcome)
    board(el("div", head("Intervene"), note(missing) if missing else el("p", _WHAT), class_="ruled"),
          key="intervene")
    if missing:
        return

    @st.fragment
    def part() -> None:
        write_url(session, class_index)
        st.toggle("Change the feature maps",
                  **in_step(session, "intervene", session.choices.intervene, value=session.choices.intervene))
        if session.choices.intervene:
            _panel(session, outcome, class_index, put_maps(outcome.analysis, class_index))
        elif session.choices.change:
            panels.note(f"Changed when it was closed: {Intervention.parse(session.choices.change).words}.",
                        key="intervene_closed")

    part()


def _why_missing(outcome: Outcome) -> str:
    analysis = outcome.analysis
    if not analysis.has_evidence:
        return analysis.no_evidence_reason
    if (needed := bytes_to_send(analysis)) > MOST_BYTES:
        return (f"The head and the feature maps have {needed / 2**20:,.0f} MB, too many to compute with in a browser; "
                f"expected at most {MOST_BYTES / 2**20:.0f} MB.")
    return ""


@st.fragment
def _panel(session: Session, outcome: Outcome, class_index: int, maps_key: str) -> None:
    """The panel alone: what is done in it does not draw the rest of the page again."""
    write_url(session, class_index)
    number, lacks = f"{KEY}_number", f"{KEY}_lacks"
    if st.session_state.get(lacks) == network_key(outcome.analysis.network):
        put_network(outcome.analysis.network)
    chosen, parameters = session.choices, list(outcome.parameters.values())
    state = {"c": class_index, "pooling": outcome.pooling, "calibrated": chosen.calibrated, "change": chosen.change,
             **({"parameter": parameters[0]} if parameters else {})}

    def changed(new: dict[str, Any]) -> None:
        st.session_state[number] = new.get("n", 0)
        st.session_state.pop(lacks, None)  # who shows a panel has the network
        changes = _choices(outcome, class_index, new)
        session.choose(**changes)
        if changes.keys() & {"class_index", "pooling"}:
            st.rerun(STORY)

    def lacking(key: str) -> None:
        st.session_state[lacks] = key

    photo = {"key": session.photo.digest[:16], "name": session.photo.title}
    live_panel(outcome.analysis, maps_key, photo, state, st.session_state.get(number, 0), KEY, changed, lacking)


def _choices(outcome: Outcome, class_index: int, state: dict[str, Any]) -> dict[str, Any]:
    """The choices that a state of the panel changes; what cannot be read stays as it is."""
    network, changes = outcome.analysis.network, dict[str, Any]()
    try:
        change = Intervention.parse(str(state["change"]))
        change.check(outcome.analysis.feature_maps.shape)
        changes["change"] = str(change)
        if state["c"] not in (None, class_index):
            changes["class_index"] = network.check_class(state["c"])
        pooling, value = network.pooling_of(state["pooling"]), state.get("parameter")
        choice = PoolingChoice(pooling.key)
        if pooling.parameter is not None and value is not None:
            choice = PoolingChoice.of(pooling.key, {pooling.parameter.name: value}, network.poolings)
        if choice != outcome.choice:
            changes["pooling"] = choice
    except (ExplorerError, KeyError):
        return changes
    return changes
