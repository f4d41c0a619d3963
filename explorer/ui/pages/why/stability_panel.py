"""How stable it is: what small changes of the photo do to the prediction and to the place of its evidence."""

from __future__ import annotations

from explorer.analysis import Outcome
from explorer.questions.evidence_place import border_evidence, border_sentence
from explorer.questions.stability import Stability, stability
from explorer.sections.nodes import el
from explorer.sections.stability import stability_section
from explorer.ui.components.board import board
from explorer.ui.pooling_choice import outcomes_of
from explorer.ui.progress import computed
from explorer.ui.session.session import Session


def stable_panel(session: Session, outcome: Outcome, class_index: int) -> None:
    """Small multiples: a column for each pooling, a row for each kind of change, a bar for each change.

    The poolings are the one in use and those that stand side by side on Poolings, at most three.
    """
    calibrated = session.choices.calibrated
    outcomes = outcomes_of(outcome.analysis, [outcome.choice, *session.choices.poolings])[:3]
    result: Stability | None = computed(
        session, outcome, ("stability", class_index, calibrated, *(one.choice for one in outcomes)),
        lambda progress, stop: stability(outcomes, class_index, calibrated=calibrated, progress=progress, stop=stop),
        "Changing the photo a little")
    if result is not None:
        shown = outcome.class_map(class_index)
        border = border_evidence(shown.array) if shown.unit else None
        warning = el("p", border_sentence(border), class_="notice") if border and border.gathered else None
        board(el("div", warning, stability_section(result), class_="stack"), key="stable")
