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
from explorer.ui.progress import computed
from explorer.ui.session.session import Session


def flip_panel(session: Session, outcome: Outcome, class_index: int) -> None:
    """Both searches side by side: the photo that the network got, and the part that the prediction depends on."""
    network, calibrated = outcome.analysis.network, session.choices.calibrated
    about = class_index if network.activation == "sigmoid" else outcome.top(1)[0].class_index
    parts: Node | None = computed(
        session, outcome, ("flip", about, calibrated, outcome.choice),
        lambda progress, stop: _search(outcome, about, calibrated, progress, stop), "Taking positions out of the photo")
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
