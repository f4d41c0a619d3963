"""Finer than the grid: evidence of the photo shifted in steps of a fraction of a position, stitched together."""

from __future__ import annotations

import numpy as np

from explorer.analysis import Outcome
from explorer.questions.contrast import contrast
from explorer.questions.stitching import StitchedEvidence, stitched
from explorer.sections.nodes import el
from explorer.ui.components.board import board
from explorer.ui.components.viewer import Handlers, Look, Map, stack, viewer
from explorer.ui.maps import layer_caption
from explorer.ui.progress import worked
from explorer.ui.region import viewer_handlers
from explorer.ui.session.jobs import Job
from explorer.ui.session.session import Session
from explorer.wording import exactness, plain, shortened, signed

STEPS = 4


def finer_panel(current: Session, outcome: Outcome, class_index: int, rival: int | None) -> None:
    """The map of the class, and of the class against its rival, each beside its fine one, on one scale."""
    wanted, found = [None] if rival is None else [None, rival], []
    for against in wanted:
        job = outcome.remember(("stitching job", class_index, against), lambda against=against: Job(
            lambda progress, stop: stitched(outcome, class_index, against, STEPS, progress, stop)))
        done = worked(current, job, f"finer_{class_index}_{against}_{outcome.name}", "Shifting the photo")
        if done is None:
            return
        found.append(done)
    maps = [each for one in found for each in (_coarse(outcome, one), _fine(outcome, one))]
    handlers = viewer_handlers(current)
    viewer(outcome.analysis, current.photo.digest, stack(maps), key="finer", name="Evidence, stitched",
           look=Look(across=2, main=True, tallest=400, heading="Evidence in logits for each place", aside=layer_caption(
               outcome.analysis), handlers=Handlers(present=handlers.present, walk=handlers.walk)))
    board(el("p", f"The input is shifted in {STEPS} × {STEPS} steps of a quarter of a position, and what each place on "
                  "the photo gets is averaged over the shifts that saw it. What enters at an edge is that edge again: "
                  "what it says is counted as outside. The sum is the mean of the shifted logits, which is not the "
                  "logit of the photo as it stands: how far they lie apart is how much a shift matters. For one scale "
                  "a position on the left is divided among its places.", class_="note"), key="finer_note")


def _title(outcome: Outcome, class_index: int, rival: int | None) -> str:
    names = outcome.analysis.network.class_names
    mine = shortened(names[class_index], 40)
    return mine if rival is None else f"{mine} against {shortened(names[rival], 40)}"


def _coarse(outcome: Outcome, fine: StitchedEvidence) -> Map:
    """The positions as they are, each divided evenly among its places."""
    if fine.rival is None:
        found = outcome.evidence(fine.class_index)
        cells, baseline, total = found.cells.double().numpy(), found.baseline, found.logit
    else:
        found = contrast(outcome, fine.class_index, fine.rival)
        cells, baseline, total = found.cells, found.baseline, found.difference
    places = np.repeat(np.repeat(cells, fine.steps, 0), fine.steps, 1) / fine.steps**2
    title = _title(outcome, fine.class_index, fine.rival)
    return Map(
        id=f"{fine.class_index}-{fine.rival}.coarse", values=places, name=f"{title}, as it stands", row=title,
        title=f"As it stands, {cells.shape[0]} × {cells.shape[1]} positions", scale=title,
        lines=(f"{plain(total)} = {plain(baseline)} baseline {signed(float(cells.sum()))} evidence",),
        badge=exactness(found.exact, found.residual),
    )


def _fine(outcome: Outcome, found: StitchedEvidence) -> Map:
    """What a place gets, each run that saw it counting alike; at the edges fewer did."""
    seen = found.coverage > 0
    shown = np.where(seen, found.cells / np.where(seen, found.coverage, 1), 0)
    low, high = float(found.logits.min()), float(found.logits.max())
    title = _title(outcome, found.class_index, found.rival)
    return Map(
        id=f"{found.class_index}-{found.rival}.stitched", values=shown, name=f"{title}, stitched",
        title=f"Stitched, {shown.shape[0]} × {shown.shape[1]} places", scale=title,
        lines=(f"mean {plain(found.logit)} = {plain(found.baseline)} baseline {signed(float(found.cells.sum()))} "
               f"evidence {signed(found.outside)} outside",
               f"{len(found.logits)} shifts, from {plain(low)} to {plain(high)}"),
        badge=exactness(found.exact, found.residual),
    )
