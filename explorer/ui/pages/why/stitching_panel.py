"""Finer than the grid: evidence of the photo shifted in steps of a fraction of a position, stitched together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from explorer.analysis import Outcome
from explorer.evidence import Evidence
from explorer.questions.contrast import Contrast, contrast
from explorer.questions.stitching import StitchedEvidence, stitched
from explorer.sections.contrast import names_of, stitched_cells, stitched_lines
from explorer.ui import panels
from explorer.ui.components.viewer import Look, Map, stack, viewer
from explorer.ui.maps import layer_caption
from explorer.ui.progress import computed
from explorer.ui.region import viewer_handlers
from explorer.ui.session.session import Session
from explorer.wording import exactness, plain, second_part, signed

STEPS = 4


def finer_panel(session: Session, outcome: Outcome, class_index: int, rival: int | None) -> None:
    """The map of the class, and of the class against its rival, each beside its fine one, on one scale."""
    maps: list[Map] = []
    for against in dict.fromkeys([None, rival]):
        fine = _stitched(session, outcome, class_index, against)
        if fine is None:
            return
        maps += [_coarse(outcome, fine), _fine(outcome, fine)]
    viewer(outcome.analysis, session.photo.digest, stack(maps), key="finer", name="Evidence, stitched",
           look=Look(across=2, main=True, tallest=400,
                     heading=f"Evidence in {outcome.analysis.network.unit} for each place",
                     aside=layer_caption(outcome.analysis),
                     handlers=replace(viewer_handlers(session), region=None, pick=None)))
    number = outcome.analysis.network.number
    panels.note(f"The input is shifted in {STEPS} × {STEPS} steps of a quarter of a position, and what each place on "
                "the photo gets is averaged over the shifts that saw it. Where a shift looks beyond the photo its "
                "edge is repeated, and evidence there counts as outside. The sum is the mean of the shifted "
                f"{number}s, which is not the {number} of the photo as it stands: how far they lie apart is how much a "
                "shift matters. For one scale a position on the left is divided among its places.", key="finer_note")


def _stitched(session: Session, outcome: Outcome, class_index: int, rival: int | None) -> StitchedEvidence | None:
    return computed(session, outcome, ("stitching", class_index, rival, outcome.choice),
                    lambda progress, stop: stitched(outcome, class_index, rival, STEPS, progress, stop),
                    "Shifting the photo")


def _coarse(outcome: Outcome, fine: StitchedEvidence) -> Map:
    """The positions as they are, each divided evenly among its places."""
    evidence: Evidence | Contrast
    if fine.rival is None:
        evidence = outcome.evidence(fine.class_index)
        cells, total = evidence.cells.double().numpy(), evidence.logit
    else:
        evidence = contrast(outcome, fine.class_index, fine.rival)
        cells, total = evidence.cells, evidence.difference
    places = np.repeat(np.repeat(cells, fine.steps, 0), fine.steps, 1) / fine.steps**2
    title = " against ".join(names_of(outcome, fine.class_index, fine.rival))
    return Map(
        id=f"{fine.class_index}-{fine.rival}.coarse", values=places, name=f"{title}, as it stands", row=title,
        title=f"As it stands, {cells.shape[0]} × {cells.shape[1]} positions", scale=title,
        lines=(f"{plain(total)} = {plain(evidence.baseline)} baseline "
               f"{signed(second_part(total, evidence.baseline, float(cells.sum())))} evidence",),
        badge=exactness(evidence.exact, evidence.residual, outcome.logits), unit_name=outcome.analysis.network.unit,
    )


def _fine(outcome: Outcome, fine: StitchedEvidence) -> Map:
    cells, title = stitched_cells(fine), " against ".join(names_of(outcome, fine.class_index, fine.rival))
    return Map(
        id=f"{fine.class_index}-{fine.rival}.stitched", values=cells, name=f"{title}, stitched",
        title=f"Stitched, {cells.shape[0]} × {cells.shape[1]} places", scale=title,
        lines=stitched_lines(fine, outcome.analysis.network.number), unit_name=outcome.analysis.network.unit,
        badge=exactness(fine.exact, fine.residual, outcome.logits),
    )
