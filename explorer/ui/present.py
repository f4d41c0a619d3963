"""For a talk: the viewer alone with a sentence for each map, step by step, photo by photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from explorer.analysis import CAM_INSTEAD, Analysis, Outcome
from explorer.sections.answers import truth_in_short
from explorer.ui.components.viewer import Look, Map, stack, viewer
from explorer.ui.maps import cam_map, class_maps, photo_map
from explorer.ui.pooling_choice import usually_beside
from explorer.ui.region import viewer_handlers
from explorer.ui.session.session import Session


def talk(
    session: Session, analysis: Analysis, maps: Sequence[Map], opening: str = "What does it say, and why?"
) -> None:
    """The photo alone, then each map with its sentence; the arrow keys walk through them and on to the next photo."""
    steps = stack([photo_map(analysis, opening), *maps])
    viewer(
        analysis, session.photo.digest, steps, key="stage", name="For a talk", chosen="photo",
        look=Look(main=True, stage=True, toolbar=False, handlers=viewer_handlers(session)),
    )


def talk_about_evidence(session: Session, analysis: Analysis, outcome: Outcome, class_index: int) -> None:
    """The evidence for the class shown and the likeliest ones, under the pooling chosen and beside it.

    Where the answer cannot be decomposed, a CAM by gradients of each class. Where the true class was marked, it is one
    of the steps, and each says where it stands.
    """
    chosen = session.choices
    native = analysis.under()
    classes = list(dict.fromkeys([class_index, *(answer.class_index for answer in native.top(3)), *chosen.marked]))

    def with_truth(under: Outcome, maps: Sequence[Map]) -> list[Map]:
        lines = tuple(truth_in_short(under, truth, chosen.calibrated) for truth in chosen.marked)
        return [replace(step, lines=(*lines, *step.lines)) for step in maps]

    if not analysis.has_evidence:
        talk(session, analysis, with_truth(native, [cam_map(native, CAM_INSTEAD, index) for index in classes]))
        return
    beside = {other.pooling: other for other in (outcome, *map(analysis.under, usually_beside(analysis)[1:]))}
    others = [other for other in beside.values() if other is not native]
    steps = with_truth(native, class_maps([native], classes, chosen.calibrated))
    for other in others:
        steps += with_truth(other, class_maps([other], classes[:1], chosen.calibrated))
    talk(session, analysis, steps)
