"""Where the object is: the map that finds it best, a box from it, and how much of the evidence lies in that box."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import streamlit as st

from explorer.analysis import Analysis, Outcome
from explorer.progress import Progress, Stop
from explorer.questions.object_map import ObjectMap, evidence_in_box, object_map
from explorer.sections.nodes import Node, el
from explorer.sections.object_map import object_section, object_share
from explorer.sections.parts import short
from explorer.ui.components.board import board
from explorer.ui.components.viewer import Look, Map, stack, viewer
from explorer.ui.maps import evidence_map, layer_caption
from explorer.ui.progress import computed, job_of
from explorer.ui.region import photo_panel
from explorer.ui.session.session import Session


def object_panel(session: Session, outcome: Outcome, class_index: int) -> None:
    """The evidence beside the map that finds objects best, and how much of the one lies where the other is."""
    analysis = outcome.analysis
    where: ObjectMap | None = computed(
        session, analysis, ("object", class_index), _work(analysis, class_index), "Shifting a larger input")
    if where is None:
        return
    region, name = session.choices.region, short(analysis.network.class_names[class_index])
    share = evidence_in_box(outcome, class_index, where, region)
    box = share and share.box
    left, right = st.columns(2, gap="medium")
    with left:
        evidence = evidence_map(outcome, class_index, title=f"{name}: evidence under {outcome.name}")
        photo_panel(session, analysis, [replace(evidence, box=box, says="", pick=None)], key="object_evidence",
                    name=evidence.name, main=True, tallest=400, caption=layer_caption(analysis))
    with right:
        fine = Map(id=f"{class_index}.object", values=where.cells, name=f"{name}, where the object is",
                   title=f"{name}: where the object is", box=box)
        viewer(analysis, session.photo.digest, stack([fine]), key="object_map", name=fine.name,
               look=Look(tallest=400, toolbar=False, caption=f"{where.cells.shape[0]} × {where.cells.shape[1]} places"))
    clear = el("button", "Use the box around the object", pick="clear", type="button", class_="link")
    board(el("div", object_share(outcome, class_index, where, region), clear if region else None, class_="stack"),
          key="object_share", on_pick=lambda _: session.choose(region=None))


def object_in_summary(session: Session, outcome: Outcome, class_index: int) -> Callable[[Progress, Stop], Node] | None:
    """What makes the section of a summary; None where it was not asked."""
    analysis = outcome.analysis
    is_known = job_of(analysis, ("object", class_index), _work(analysis, class_index)).result is not None
    if not analysis.has_evidence or (session.choices.ask != "object" and not is_known):
        return None
    return lambda progress, stop: object_section(outcome, class_index, _work(analysis, class_index)(progress, stop),
                                                 session.choices.region)


def _work(analysis: Analysis, class_index: int) -> Callable[[Progress, Stop], ObjectMap]:
    return lambda progress, stop: object_map(analysis, class_index, progress, stop)
