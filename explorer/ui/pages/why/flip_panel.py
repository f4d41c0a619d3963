"""What flips it: the fewest positions whose removal changes the prediction, and the fewest that are enough for it."""

from __future__ import annotations

from collections.abc import Iterator

from explorer.analysis import Outcome
from explorer.errors import MethodError
from explorer.progress import Progress, Stop
from explorer.questions.flip import SmallestSet, smaller_and_smaller
from explorer.questions.reasons import predicted
from explorer.sections.flip import TITLES, about_prediction, smallest_parts
from explorer.sections.nodes import Node, el
from explorer.sections.parts import note
from explorer.ui.components.board import board
from explorer.ui.progress import computed
from explorer.ui.session.session import Session

_FIRST_LOOK = "A first look: these sets do what is said of them, and smaller ones are still being searched for."


def flip_panel(session: Session, outcome: Outcome, class_index: int) -> None:
    """Both searches side by side: the photo that the network got, and the part that the prediction depends on."""
    calibrated, about = session.choices.calibrated, predicted(outcome, class_index)
    which = about_prediction(outcome, about, class_index)
    parts: Node | None = computed(
        session, outcome, ("flip", about, calibrated, outcome.choice),
        lambda progress, stop: _search(outcome, about, calibrated, progress, stop), "Taking positions out of the photo",
        lambda so_far: board(el("div", which, note(_FIRST_LOOK), so_far, class_="stack"), key="flips_so_far"))
    if parts is not None:
        board(el("div", which, parts, class_="stack"), key="flips")


def _search(
    outcome: Outcome, class_index: int, calibrated: bool, progress: Progress, stop: Stop
) -> Iterator[Node]:
    """What there is to show of both searches: a look at each first, then each to its end."""
    if len(outcome.analysis.network.class_names) == 1 and outcome.analysis.network.activation != "sigmoid":
        raise MethodError("This network has one class alone, which nothing can flip.")
    done = [0, 0]

    def search(n: int) -> Iterator[SmallestSet]:
        def report(inputs: int, total: int) -> None:
            done[n] = inputs
            progress(sum(done), 2 * total)

        return smaller_and_smaller(outcome, class_index, n == 1, progress=report, stop=stop, calibrated=calibrated)

    searches = search(0), search(1)
    newest: list[SmallestSet | None] = [None, None]

    def parts(ended: bool) -> Node:
        return smallest_parts(outcome, *(
            one if one is not None and (ended or one.chosen is not None) else (title, "It is being searched for.")
            for one, title in zip(newest, TITLES.values(), strict=True)))

    for n in (0, 1):
        newest[n] = next(searches[n])
        yield parts(ended=False)
    for n in (0, 1):
        for smaller in searches[n]:
            newest[n] = smaller
            yield parts(ended=False)
    yield parts(ended=True)
