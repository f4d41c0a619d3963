"""Where the object is: how much of the evidence lies in the box around it, for the page and the summary."""

from __future__ import annotations

from explorer import render
from explorer.analysis import Outcome
from explorer.questions.measured_maps import where_objects_were
from explorer.questions.object_map import SUGGESTED, EvidenceInBox, ObjectMap, evidence_in_box
from explorer.questions.probe import Region
from explorer.sections.contrast import names_of
from explorer.sections.nodes import Node, el
from explorer.sections.parts import OVERLAY_SIDE, figure, note, section, short
from explorer.wording import listed, percent


def object_share(outcome: Outcome, class_index: int, where: ObjectMap, region: Region | None = None) -> Node:
    """The share of the evidence in the box, of a person's own positions or around the object, and how it was made."""
    share = evidence_in_box(outcome, class_index, where, region)
    name = short(outcome.analysis.network.class_names[class_index])
    return el("div", el("p", *_share(name, outcome, share), class_="lead"), _how(outcome, where, region is not None),
              class_="stack")


def object_section(outcome: Outcome, class_index: int, where: ObjectMap, region: Region | None = None) -> Node:
    """The same as a section of a summary, with the map, and the box in numbers."""
    analysis, share = outcome.analysis, evidence_in_box(outcome, class_index, where, region)
    photo, seen = analysis.preview(OVERLAY_SIDE)
    painted = render.overlay(photo, where.cells, seen, render.Scale.signed(where.cells))
    left, top, right, bottom = map(round, share.box) if share else (0, 0, 0, 0)
    caption = f"Box: {left} to {right} px across, {top} to {bottom} px down" if share else "No box"
    return section("Object or background", object_share(outcome, class_index, where, region),
                   figure(render.jpeg(painted, 82), "The photo with the map of the object laid over it", caption))


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


def _how(outcome: Outcome, where: ObjectMap, is_own_box: bool) -> Node:
    rivals = listed(names_of(outcome, *where.rivals))
    against = f"minus the mean of {rivals}, " if rivals else ""
    width, height = where.framing.input_size
    box = ("The box is around the positions that you chose." if is_own_box else
           "The box is around the largest region above 20% of its maximum: a guess. Drag your own on the photo.")
    return note(f"The map of the object is the evidence {against}under {outcome.analysis.under().name}, of the photo "
                f"at {width} × {height} px, stitched from {SUGGESTED.steps} × {SUGGESTED.steps} shifts; {where.passes} "
                f"forward passes. {box} "
                f"{where_objects_were(outcome.analysis.network)}")
