"""How stable it is: what small changes of the photo do to the prediction and to the place of its evidence."""

from __future__ import annotations

from explorer.analysis import Outcome
from explorer.questions.evidence_place import border_evidence, border_sentence
from explorer.questions.stability import Stability, stability
from explorer.sections.nodes import el
from explorer.sections.stability import stability_section
from explorer.ui.components.board import board
from explorer.ui.pooling_choice import outcomes_of
from explorer.ui.progress import worked
from explorer.ui.session.jobs import Job
from explorer.ui.session.page_cache import drawn
from explorer.ui.session.session import Session


def stable_panel(session: Session, outcome: Outcome, class_index: int) -> None:
    """Small multiples: a column for each pooling, a row for each kind of change, a bar for each change."""
    outcomes, calibrated = _compared(session, outcome), session.choices.calibrated
    key = ("stability job", class_index, calibrated, *(one.choice for one in outcomes))
    job = drawn(outcome, key, lambda: Job(lambda progress, stop: stability(
        outcomes, class_index, calibrated=calibrated, progress=progress, stop=stop)))
    result: Stability | None = worked(session, job, f"stable_{hash(key)}", "Changing the photo a little")
    if result is not None:
        shown = outcome.class_map(class_index)
        border = border_evidence(shown.array) if shown.unit else None
        warning = el("p", border_sentence(border), class_="notice") if border and border.gathered else None
        board(el("div", warning, stability_section(result), class_="stack"), key="stable")


def _compared(session: Session, outcome: Outcome) -> list[Outcome]:
    """The pooling in use, and beside it those that stand side by side on Poolings; at most three."""
    if not outcome.analysis.has_evidence:
        return [outcome]
    others = outcomes_of(outcome.analysis, session.choices.poolings)
    return list({one.choice: one for one in (outcome, *others)}.values())[:3]
