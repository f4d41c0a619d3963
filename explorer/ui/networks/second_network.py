"""Two networks beside each other on the same photo: what each says, and where its evidence for one class lies.

Each has its own feature maps, framing and scale: logits of two networks are not comparable, and the page says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import streamlit as st

from explorer.analysis import CAM_INSTEAD, Analysis, Outcome
from explorer.sections.answers import answer_sentence
from explorer.sections.nodes import el
from explorer.ui import frame
from explorer.ui.components.board import board
from explorer.ui.components.viewer import Look, Map, stack, viewer
from explorer.ui.maps import cam_map, evidence_map, layer_caption
from explorer.ui.pages.answers import answers, follow_answer
from explorer.ui.panels import with_names
from explorer.ui.session.session import Session
from explorer.wording import shortened


def second_of(current: Session) -> Analysis | None:
    """The same photo by the second network; None when one alone is held."""
    return frame.second_analysis(current)


def same_class(first: Analysis, second: Analysis, class_index: int) -> int | None:
    """The second network's class of the same name; None when it has none.

    Where both have the name in the same place it is that one: some lists have a name twice, as ImageNet's crane.
    """
    name, names = first.network.class_names[class_index], second.network.class_names
    if class_index < len(names) and names[class_index] == name:
        return class_index
    return names.index(name) if name in names else None


def outcome_beside(outcome: Outcome, second: Analysis) -> Outcome:
    """The second network's answer: its own, or under the same pooling with the same parameter where it has that."""
    if outcome.label == "native" or not second.has_evidence or outcome.pooling not in second.network.poolings:
        return second.under()
    return second.under(outcome.pooling, **outcome.parameters)


def answers_of_both(
    current: Session, outcome: Outcome, second: Analysis, class_index: int, draw: Callable[[float | None], None]
) -> None:
    """A column for each network: the class shown on the photo, and the five likeliest answers.

    `draw` draws the first network's viewer, with the end of the scale where both networks share one.
    """
    other, beside = outcome_beside(outcome, second), same_class(outcome.analysis, second, class_index)
    shown = _map_of(other, other.top(1)[0].class_index if beside is None else beside)
    limit = _one_scale_if_asked([_map_of(outcome, class_index), shown])
    left, right = st.columns(2, gap="medium")
    with left:
        _title(outcome, current.choices.calibrated, "first")
        draw(limit)
        _answers(current, outcome, class_index, "first", lambda picked: follow_answer(current, picked))
    with right:
        _title(other, current.choices.calibrated, "second")
        # Its positions are not the first's: a place that is chosen on it is not one of the page's.
        viewer(second, current.photo.digest, stack([replace(shown, title=shown.name, says="", pick=None, limit=limit)]),
               key="map_beside", name=f"{second.network.title}: {shown.name}",
               look=Look(caption=layer_caption(second), toolbar=False))
        _answers(current, other, shown.pick[1], "second", lambda picked: _by_name(current, other, outcome, picked[1]))
    board(el("p", _said_of_scales(beside is None, outcome, second, class_index, limit), class_="note"),
          key="both_networks")


def _title(outcome: Outcome, calibrated: bool, which: str) -> None:
    title = outcome.analysis.network.title
    board(el("div", el("h2", title, class_="section", title=title),
             el("p", *with_names(answer_sentence(outcome, calibrated)), class_="lead")), key=f"title_of_{which}")


def _answers(
    current: Session, outcome: Outcome, class_index: int, which: str, on_pick: Callable[[list], None]
) -> None:
    board(answers([outcome], outcome, class_index, current.choices.calibrated), key=f"answers_of_{which}",
          on_pick=on_pick)


def _by_name(current: Session, other: Outcome, outcome: Outcome, class_index: int) -> None:
    """A class of the second network was picked: the page shows the first's of that name, where it has one."""
    found = same_class(other.analysis, outcome.analysis, class_index)
    if found is not None:
        current.choose(class_index=found)
        return
    current.touch()
    names = [shortened(each, 60) for each in (outcome.analysis.network.title,
                                              other.analysis.network.class_names[class_index])]
    current.notices.append(f"{names[0]} has no class named {names[1]}; the last class stays.")


def _map_of(outcome: Outcome, class_index: int, title: str = "") -> Map:
    """Evidence where there is any, else the CAM that stands for it."""
    if outcome.analysis.has_evidence:
        return evidence_map(outcome, class_index, title=title)
    return cam_map(outcome, CAM_INSTEAD, class_index, title=title)


def _one_scale_if_asked(maps: list[Map]) -> float | None:
    """The end of one scale for both networks, where both are in logits and somebody wants it."""
    if not all(each.unit == "logits" for each in maps):
        return None
    if not st.toggle("One scale for both networks", key="one_scale"):
        return None
    return max(float(np.abs(each.values[np.isfinite(each.values)]).max(initial=0.0)) for each in maps) or None


def _said_of_scales(
    its_own: bool, outcome: Outcome, second: Analysis, class_index: int, limit: float | None
) -> str:
    name, title = shortened(outcome.analysis.network.class_names[class_index]), shortened(second.network.title)
    said = (f"{title} has no class named {name}: its map is of its own answer. " if its_own else
            f"Both maps are of {name}. ")
    said += "Logits of two networks are not comparable"
    return said + (", though the maps share one scale." if limit else
                   ": each map has its own scale. Compare where it is red, not how red.")


def second_row(
    current: Session, outcome: Outcome, second: Analysis, classes: Sequence[int], kind: str, method: str
) -> None:
    """One more row of maps: the second network's, of the same classes by name, or of its own answer.

    Args:
        outcome: the first network's.
        classes: of the first network.
        kind: "cams" for the CAM method `method`; else evidence, where the second network has any.
    """
    other = outcome_beside(outcome, second)
    found = [same_class(outcome.analysis, second, index) for index in classes]
    shown = list(dict.fromkeys(index for index in found if index is not None))
    missing = [shortened(outcome.analysis.network.class_names[index], 40)
               for index, beside in zip(classes, found, strict=True) if beside is None]
    said = f"{second.network.title} has no class named {', '.join(missing)}. " if missing else ""
    if not shown:
        shown, said = [other.top(1)[0].class_index], said + "Its own answer is shown. "
    names = second.network.class_names
    by_cam = kind == "cams"
    maps = [cam_map(other, method, index, title=names[index]) if by_cam else _map_of(other, index, names[index])
            for index in shown]
    what = "Evidence in logits" if maps[0].unit else f"{maps[0].facets[1]}, from 0 to 1 of its own largest"
    viewer(second, current.photo.digest, stack(maps), key="grid_beside",
           name=f"{second.network.title}: {what}",
           look=Look(across=max(len(maps), 2), toolbar=False, tallest=300, heading=f"{second.network.title}: {what}",
                     aside=layer_caption(second)))
    board(el("p", f"{said}Its scale is its own: logits of two networks are not comparable.", class_="note"),
          key="note_beside")
