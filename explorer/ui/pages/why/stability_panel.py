"""How stable it is: what small changes of the photo do to the answer and to the place of its evidence."""

from __future__ import annotations

import math
from collections.abc import Sequence

from explorer.analysis import Outcome
from explorer.questions.location import ring, ring_sentence
from explorer.questions.stability import Row, Stability, Under, movement_sentence, stability, stability_sentence
from explorer.questions.variations import VARIATIONS
from explorer.sections.nodes import Node, el
from explorer.ui.components.board import board
from explorer.ui.pooling_choice import outcomes_of
from explorer.ui.progress import worked
from explorer.ui.session.jobs import Job
from explorer.ui.session.session import Session
from explorer.wording import percent, shortened


def stable_panel(current: Session, outcome: Outcome, class_index: int) -> None:
    """Small multiples: a column for each pooling, a row for each kind of change, a bar for each change."""
    outcomes, calibrated = _compared(current, outcome), current.choices.calibrated
    key = ("stability job", class_index, calibrated, *(each.choice for each in outcomes))
    job = outcome.remember(key, lambda: Job(lambda progress, stop: stability(
        outcomes, class_index, calibrated=calibrated, progress=progress, stop=stop)))
    found: Stability | None = worked(current, job, f"stable_{hash(key)}", "Changing the photo a little")
    if found is not None:
        board(el("div", *_around(outcome, class_index), *_said(found), _multiples(found), class_="stack"), key="stable")


def _compared(current: Session, outcome: Outcome) -> list[Outcome]:
    """The pooling in use, and beside it those that stand side by side on Poolings; at most three."""
    if not outcome.analysis.has_evidence:
        return [outcome]
    others = outcomes_of(outcome.analysis, current.choices.poolings)
    return list({each.choice: each for each in (outcome, *others)}.values())[:3]


def _around(outcome: Outcome, class_index: int) -> list[Node]:
    if not outcome.analysis.has_evidence:
        return []
    found = ring(outcome.evidence(class_index).cells.double().numpy())
    return [el("p", ring_sentence(found), class_="notice")] if found.more_than_its_share else []


def _said(found: Stability) -> list[Node]:
    lines = [f"{under.name}: {stability_sentence(found, under)} {movement_sentence(under)}" for under in found.under]
    return [el("div", *(el("p", line) for line in lines), class_="ruled")]


def _multiples(found: Stability) -> Node:
    columns = str(len(found.under))
    rows = [el("div", el("span", f"Probability of {shortened(found.name(found.class_index), 40)}", class_="caption"),
               *(el("h3", under.name) for under in found.under), class_="multiples", style={"--columns": columns})]
    for key in dict.fromkeys(variant.variation for variant in found.variants):
        about = el("div", el("strong", VARIATIONS[key].name), el("p", VARIATIONS[key].explanation, class_="caption"))
        rows.append(el(
            "div", about, *(_bars(found, under, under.of(key)) for under in found.under), class_="multiples",
            style={"--columns": columns}))
    note = ("A bar is the probability after a change, full height is certain; hatched where the answer is another one. "
            "The line is the photo as it is.")
    return el("div", *rows, el("p", note, class_="note"), class_="cards")


def _bars(found: Stability, under: Under, rows: Sequence[Row]) -> Node:
    before = under.original.probability
    bars = [el("span", class_="one" if row.stays else "one other", style={"--share": f"{row.probability * 100:.1f}%"},
               title=_in_words(found, row)) for row in rows]
    label = "; ".join(_in_words(found, row) for row in rows)
    return el("div", *bars, class_="changes", style={"--before": f"{before * 100:.1f}%"}, role="img", aria_label=label)


def _in_words(found: Stability, row: Row) -> str:
    becomes = "" if row.stays else f", {shortened(found.name(row.answer), 40)} instead"
    moved = "" if math.isnan(row.moved) else f", moved by {row.moved:.1f} positions"
    return f"{row.variant.label}: {percent(row.probability)}{becomes}{moved}"
