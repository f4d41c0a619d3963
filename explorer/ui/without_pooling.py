"""What pages show where an answer cannot be decomposed: why, what can be seen instead, a class token's attention."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from explorer import CAM_METHODS
from explorer.analysis import Analysis, Outcome
from explorer.sections.nodes import el
from explorer.ui import panels
from explorer.ui.components.board import board
from explorer.ui.maps import attention_maps
from explorer.ui.session.choices import MAP_KINDS, Choices
from explorer.ui.session.session import Session
from explorer.wording import percent

ATTENTION = "attention"  # the kind of map that networks with a class token have besides
NEED_A_HEAD = ("cam", "ablation_cam")  # CAM methods that need a pooling and the head that follows it
USUAL_METHODS = ("grad_cam", "hires_cam", "layer_cam")
_NEED_EVIDENCE = ("evidence", "votes")


def kinds_of_maps(analysis: Analysis) -> Mapping[str, str]:
    """Kinds of activation maps that there are, by key, with their names."""
    if analysis.has_evidence:
        return {key: name for key, name in MAP_KINDS.items() if key != ATTENTION}
    kinds = {key: name for key, name in MAP_KINDS.items() if key not in (*_NEED_EVIDENCE, ATTENTION)}
    return kinds | ({ATTENTION: MAP_KINDS[ATTENTION]} if attention_maps(analysis) else {})


def shown_kind(session: Session, analysis: Analysis) -> str:
    """The kind of maps chosen, or the first that there is."""
    kinds = kinds_of_maps(analysis)
    return session.choices.maps if session.choices.maps in kinds else next(iter(kinds))


def methods_offered(analysis: Analysis) -> list[str]:
    """Keys of the CAM methods that can be had."""
    return [key for key in CAM_METHODS if analysis.has_evidence or key not in NEED_A_HEAD]


def shown_methods(session: Session, analysis: Analysis) -> tuple[str, ...]:
    """The CAM methods chosen that can be had; the usual ones where none was chosen or none can be had."""
    chosen, offered = session.choices.methods, methods_offered(analysis)
    kept = tuple(key for key in chosen if key in offered)
    return USUAL_METHODS if not kept or (chosen == Choices.methods and kept != chosen) else kept


def limited_map_choice(session: Session, analysis: Analysis) -> None:
    """The kinds of maps as buttons; those that there cannot be are greyed out, and a sentence says why."""
    shown, there = shown_kind(session, analysis), kinds_of_maps(analysis)
    buttons = [
        panels.chip(name, key, key == shown, f"maps-{key}", disabled=key not in there)
        for key, name in MAP_KINDS.items() if key in there or key in _NEED_EVIDENCE
    ]
    board(el("div", panels.chips("Maps", buttons),
             el("p", f"No evidence and no votes: {analysis.no_evidence_reason}", class_="note"), class_="stack"),
          key="limited_maps", on_pick=lambda key: session.choose(maps=key))


def attention_note(analysis: Analysis) -> None:
    """What a class token's attention is."""
    mean = min(float(attention_maps(analysis)[0].values.sum()), 1 - 1e-9)
    prefix = analysis.network.layers.of(analysis.layer_key).arrangement.prefix
    rest = "the class token itself" if prefix == 1 else "the class token and other tokens without a place"
    panels.note(f"A pooling by attention: in the block after {analysis.layer_key} each head averages the positions "
                f"with these weights, and the class token takes up what comes out. On average {percent(mean)} of "
                f"them lie on the photo, the rest on {rest}. They are the same for every class: they show where the "
                "network looks, not the evidence for an answer.", key="attention_note")


def no_poolings(analysis: Analysis, outcome: Outcome) -> None:
    """The page on poolings where none can be exchanged: that, why, and where to go on."""
    if analysis.network.pooling is None:
        advice = "Its feature maps can be looked at channel by channel, and gradients say where it looks for a class."
    else:
        advice = (f"Choose the final feature maps as the layer to see what {outcome.name} and other poolings keep of "
                  "them.")
    panels.headline(["There are no poolings to compare here."], analysis.no_evidence_reason, advice)
    for page, label, icon in (("pages/1_Feature_maps.py", "Open Feature maps", ":material/grid_view:"),
                              ("pages/3_Activation_maps.py", "Open Activation maps", ":material/layers:")):
        st.page_link(page, label=label, icon=icon)
