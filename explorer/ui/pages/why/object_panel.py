"""Where the object is: the map that finds it best, a box from it, and how much of the evidence lies in that box."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from explorer.analysis import Outcome
from explorer.questions.measured_maps import where_objects_were
from explorer.questions.object_map import SUGGESTED, EvidenceInBox, ObjectMap, evidence_in_box, object_map
from explorer.sections.contrast import names_of
from explorer.sections.nodes import Node, el
from explorer.sections.parts import note, short
from explorer.ui.components.board import board
from explorer.ui.components.viewer import Look, Map, stack, viewer
from explorer.ui.maps import evidence_map, layer_caption
from explorer.ui.progress import computed
from explorer.ui.region import photo_panel
from explorer.ui.session.session import Session
from explorer.wording import listed, percent


def object_panel(session: Session, outcome: Outcome, class_index: int) -> None:
    """The evidence beside the map that finds objects best, and how much of the one lies where the other is."""
    analysis = outcome.analysis
    where: ObjectMap | None = computed(
        session, analysis, ("object", class_index),
        lambda progress, stop: object_map(analysis, class_index, progress, stop), "Shifting a larger input")
    if where is None:
        return
    share, name = evidence_in_box(outcome, class_index, where), short(analysis.network.class_names[class_index])
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
    board(el("div", el("p", *_share(name, outcome, share), class_="lead"), _how(outcome, where), class_="stack"),
          key="object_share")


def _share(name: str, outcome: Outcome, share: EvidenceInBox | None) -> list[Node | str]:
    if share is None:
        return [f"There is no positive evidence for {name} against unrelated classes: no place can be shown."]
    if share.evidence is None:
        return [f"There is no positive evidence for {name} under {outcome.name}; the box is where {name} has evidence "
                "against unrelated classes."]
    times = share.evidence / share.area
    verdict = (f"{times:.1f} times its share of the photo." if times >= 1 else
               "less than its share of the photo. The background holds more of it than the object does.")
    return ["Of the positive evidence for ", el("strong", name), f" under {outcome.name}, ",
            el("strong", percent(share.evidence)),
            f" lies in the box, which is {percent(share.area)} of what the network sees: {verdict}"]


def _how(outcome: Outcome, where: ObjectMap) -> Node:
    rivals = listed(names_of(outcome, *where.rivals))
    against = f"minus the mean of {rivals}, " if rivals else ""
    width, height = where.framing.input_size
    return note(f"The map on the right is the evidence {against}under {outcome.analysis.under().name}, of the photo at "
                f"{width} × {height} px, stitched from {SUGGESTED.steps} × {SUGGESTED.steps} shifts; {where.passes} "
                "forward passes. The box is around the largest region above 20% of its maximum: a guess. "
                f"{where_objects_were(outcome.analysis.network)}")
