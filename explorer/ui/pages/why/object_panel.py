"""Where the object is: the map that finds it best, a box from it, and how much of the evidence lies in that box."""

from __future__ import annotations

import streamlit as st

from explorer.analysis import Outcome
from explorer.questions.measured_maps import where_objects_were
from explorer.questions.object_map import (
    SUGGESTED,
    EvidenceInBox,
    ObjectMap,
    evidence_in_box,
    object_map,
)
from explorer.sections.nodes import Node, el
from explorer.ui.components.board import board
from explorer.ui.components.viewer import Handlers, Look, Map, stack, viewer
from explorer.ui.maps import evidence_map, layer_caption
from explorer.ui.progress import worked
from explorer.ui.region import viewer_handlers
from explorer.ui.session.jobs import Job
from explorer.ui.session.session import Session
from explorer.wording import percent, shortened


def object_panel(current: Session, outcome: Outcome, class_index: int) -> None:
    """The evidence beside the map that finds objects best, and how much of the one lies where the other is."""
    analysis = outcome.analysis
    job = analysis.remember(("object job", class_index), lambda: Job(
        lambda progress, stop: object_map(analysis, class_index, progress, stop)))
    found: ObjectMap | None = worked(current, job, f"object_{class_index}", "Shifting a larger input")
    if found is None:
        return
    looked = evidence_in_box(outcome, class_index, found)
    name = shortened(analysis.network.class_names[class_index], 40)
    handlers = viewer_handlers(current)
    left, right = st.columns(2, gap="medium")
    with left:
        evidence = evidence_map(outcome, class_index, title=f"{name}: evidence under {outcome.name}")
        _show(current, outcome, evidence, looked, "object_evidence", Look(
            main=True, tallest=400, caption=layer_caption(analysis),
            handlers=Handlers(handlers.region, None, handlers.present, handlers.walk)))
    with right:
        fine = Map(id=f"{class_index}.object", values=found.cells, name=f"{name}, where the object is",
                   title=f"{name}: where the object is", box=looked and looked.box)
        viewer(analysis, current.photo.digest, stack([fine]), key="object_map", name=fine.name,
               look=Look(tallest=400, toolbar=False, caption=f"{found.cells.shape[0]} × {found.cells.shape[1]} places"))
    board(el("div", el("p", *_said(name, outcome, looked), class_="lead"), _how(outcome, found), class_="stack"),
          key="object_said")


def _show(current: Session, outcome: Outcome, drawn: Map, looked: EvidenceInBox | None, key: str, look: Look) -> None:
    shown = Map(**{**vars(drawn), "box": looked and looked.box, "says": "", "pick": None})
    viewer(outcome.analysis, current.photo.digest, stack([shown]), key=key, name=shown.name, look=look)


def _said(name: str, outcome: Outcome, looked: EvidenceInBox | None) -> list:
    if looked is None:
        return [f"Nothing speaks for {name} against what is unlike it: no place can be named."]
    if looked.evidence is None:
        return [f"Nothing speaks for {name} under {outcome.name}; the box is where it speaks for {name} rather than "
                "for what is unlike it."]
    return ["Of what speaks for ", el("strong", name), f" under {outcome.name}, ", el("strong", percent(
        looked.evidence)), f" lies in the box, which is {percent(looked.area)} of what the network sees: ",
        _verdict(looked)]


def _verdict(looked: EvidenceInBox) -> str:
    times = looked.evidence / looked.area
    if times < 1:
        return "less than its share of the photo. The background speaks for it more than the object does."
    return f"{times:.1f} times its share of the photo."


def _how(outcome: Outcome, found: ObjectMap) -> Node:
    rivals = [shortened(outcome.analysis.network.class_names[index], 30) for index in found.rivals]
    against = f"less the mean of {', '.join(rivals)}, " if rivals else ""
    width, height = found.framing.input_size
    return el("p", f"The map on the right is the evidence {against}under {outcome.analysis.under().name}, of the photo "
                   f"at {width} × {height} px, stitched from {SUGGESTED.steps} × {SUGGESTED.steps} shifts; "
                   f"{found.passes} forward passes. The box is around the largest region above 20% of its maximum: a "
                   f"guess. {where_objects_were(outcome.analysis.network)}", class_="note")
