"""What flips it: the fewest positions whose removal changes the prediction, and the fewest that are enough for it."""

from __future__ import annotations

from explorer.analysis import Outcome
from explorer.errors import MethodError
from explorer.progress import Progress, Stop
from explorer.questions.flip import smallest_flip, smallest_sufficient
from explorer.sections.flip import smallest_parts
from explorer.sections.nodes import Node, el
from explorer.sections.parts import note, short
from explorer.ui.components.board import board
from explorer.ui.progress import worked
from explorer.ui.session.jobs import Job
from explorer.ui.session.page_cache import drawn
from explorer.ui.session.session import Session


def flip_panel(current: Session, outcome: Outcome, class_index: int) -> None:
    """Both searches side by side: what the network was given, and the part that it depends on."""
    network, calibrated = outcome.analysis.network, current.choices.calibrated
    about = class_index if network.activation == "sigmoid" else outcome.top(1)[0].class_index
    job = drawn(outcome, ("flip job", about, calibrated), lambda: Job(
        lambda progress, stop: _search(outcome, about, calibrated, progress, stop)))
    parts: Node | None = worked(current, job, f"flip_{about}_{outcome.name}", "Taking positions out of the photo")
    if parts is not None:
        which = None if about == class_index else note(f"About the prediction, {short(network.class_names[about])}.")
        board(el("div", which, parts, class_="stack"), key="flips")


def _search(outcome: Outcome, class_index: int, calibrated: bool, progress: Progress, stop: Stop) -> Node:
    """What there is to show of both searches."""
    if len(outcome.analysis.network.class_names) == 1 and outcome.analysis.network.activation != "sigmoid":
        raise MethodError("This network has one class alone, which nothing can flip.")
    flip = smallest_flip(outcome, class_index, progress=progress, stop=stop, calibrated=calibrated)
    sufficient = smallest_sufficient(outcome, class_index, progress=progress, stop=stop, calibrated=calibrated)
    return smallest_parts(outcome, flip, sufficient)
