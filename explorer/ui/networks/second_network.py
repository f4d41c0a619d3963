"""Two networks side by side on the same photo: their answers, and where their evidence for one class lies.

Each has its own feature maps, framing and scale: logits of two networks are not comparable, and the page says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import streamlit as st

from explorer.analysis import CAM_INSTEAD, Analysis, Outcome
from explorer.errors import FramingError
from explorer.sections.answers import answer_sentence, with_names
from explorer.sections.nodes import el
from explorer.ui import panels
from explorer.ui.components.board import board
from explorer.ui.components.viewer import Look, Map, stack, viewer
from explorer.ui.maps import cam_map, class_maps, evidence_map, layer_caption
from explorer.ui.networks.session_network import clear_second, network_of, second_network
from explorer.ui.pages.answers import answers, follow_answer
from explorer.ui.session.cache import analysis_of
from explorer.ui.session.choices import sizes_of
from explorer.ui.session.session import Session
from explorer.wording import shortened


def second_analysis(session: Session) -> Analysis | None:
    """The same photo seen by the network that is held to compare; None when there is none.

    It is framed alike, at the size that was chosen where that is not the network's usual one and the second network
    takes it, else at its own.
    """
    network = second_network(session)
    if network is None:
        return None
    chosen, wants = session.choices, network.preprocessing
    is_usual = chosen.size == network_of(session, chosen.network).preprocessing.size
    size = wants.size if is_usual or chosen.size not in sizes_of(wants) else chosen.size
    for framing, side in dict.fromkeys([(chosen.framing, size), ("crop", wants.size)]):
        try:
            return analysis_of(network, session.photo.image, session.photo.digest, framing, side)
        except FramingError as error:
            refusal = str(error)
    clear_second(session, refusal)
    return None


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
    session: Session, outcome: Outcome, second: Analysis, class_index: int, draw: Callable[[float | None], None]
) -> None:
    """A column for each network: the class shown on the photo, and the five likeliest answers.

    `draw` draws the first network's viewer, with the end of the scale where both networks share one.
    """
    other, beside = outcome_beside(outcome, second), same_class(outcome.analysis, second, class_index)
    second_class = other.top(1)[0].class_index if beside is None else beside
    calibrated = session.choices.calibrated
    shown = class_maps([other], [second_class])[0]
    limit = _shared_limit([*class_maps([outcome], [class_index]), shown])
    left, right = st.columns(2, gap="medium")
    with left:
        _title(outcome, calibrated, "first")
        draw(limit)
        board(answers([outcome], outcome, class_index, calibrated, session.choices.marked), key="answers_of_first",
              on_pick=lambda picked: follow_answer(session, picked))
    with right:
        _title(other, calibrated, "second")
        # Its positions are not the first's: a place that is chosen on it is not one of the page's.
        viewer(second, session.photo.digest, stack([replace(shown, title=shown.name, says="", pick=None,
                                                              scale="", limit=limit)]), key="map_beside",
               name=f"{second.network.title}: {shown.name}",
               look=Look(caption=layer_caption(second), toolbar=False))
        board(answers([other], other, second_class, calibrated), key="answers_of_second",
              on_pick=lambda picked: _by_name(session, other, outcome, picked[1]))
    panels.note(_scales_sentence(beside is None, outcome, second, class_index, limit), key="both_networks")


def _title(outcome: Outcome, calibrated: bool, which: str) -> None:
    title = outcome.analysis.network.title
    board(el("div", el("h2", title, class_="section", title=title),
             el("p", *with_names(answer_sentence(outcome, calibrated)), class_="lead")), key=f"title_of_{which}")


def _by_name(session: Session, other: Outcome, outcome: Outcome, class_index: int) -> None:
    """A class of the second network was picked: the page shows the first's of that name, where it has one."""
    same = same_class(other.analysis, outcome.analysis, class_index)
    if same is not None:
        session.choose(class_index=same)
        return
    names = [shortened(name, 60) for name in (outcome.analysis.network.title,
                                              other.analysis.network.class_names[class_index])]
    session.notices.append(f"{names[0]} has no class named {names[1]}; the last class stays.")


def _shared_limit(maps: list[Map]) -> float | None:
    """The end of one scale for both networks, where both are in logits and it is switched on."""
    if any(shown.unit != "logits" for shown in maps) or not st.toggle("One scale for both networks", key="one_scale"):
        return None
    return max(float(np.abs(shown.values[np.isfinite(shown.values)]).max(initial=0.0)) for shown in maps) or None


def _scales_sentence(
    its_own: bool, outcome: Outcome, second: Analysis, class_index: int, limit: float | None
) -> str:
    name, title = shortened(outcome.analysis.network.class_names[class_index]), shortened(second.network.title)
    sentence = (f"{title} has no class named {name}: its map is of its own answer. " if its_own else
                f"Both maps are of {name}. ")
    sentence += "Logits of two networks are not comparable"
    return sentence + (", though the maps share one scale." if limit else
                       ": each map has its own scale. Compare where it is red, not how red.")


def second_row(
    session: Session, outcome: Outcome, second: Analysis, classes: Sequence[int], kind: str, method: str
) -> None:
    """One more row of maps: the second network's, of the same classes by name, or of its own answer.

    Args:
        outcome: the first network's.
        classes: of the first network.
        kind: "cams" for the CAM method `method`; else evidence, where the second network has any.
    """
    other = outcome_beside(outcome, second)
    same = [same_class(outcome.analysis, second, index) for index in classes]
    shown = list(dict.fromkeys(index for index in same if index is not None))
    missing = [shortened(outcome.analysis.network.class_names[index], 40)
               for index, beside in zip(classes, same, strict=True) if beside is None]
    note = f"{second.network.title} has no class named {', '.join(missing)}. " if missing else ""
    if not shown:
        shown, note = [other.top(1)[0].class_index], note + "Its own answer is shown. "
    titles = {index: second.network.class_names[index] for index in shown}
    if second.has_evidence and kind != "cams":
        maps = [evidence_map(other, index, title=title) for index, title in titles.items()]
    else:
        method = method if kind == "cams" else CAM_INSTEAD
        maps = [cam_map(other, method, index, title=title) for index, title in titles.items()]
    what = f"Evidence in {second.network.unit}" if maps[0].unit else (
        f"{maps[0].facets[1]}, from 0 to 1 of its own largest")
    viewer(second, session.photo.digest, stack(maps), key="grid_beside",
           name=f"{second.network.title}: {what}",
           look=Look(across=max(len(maps), 2), toolbar=False, tallest=300, heading=f"{second.network.title}: {what}",
                     aside=layer_caption(second)))
    panels.note(f"{note}Its scale is its own: {second.network.unit} of two networks are not comparable.",
                key="note_beside")
