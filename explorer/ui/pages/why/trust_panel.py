"""How far to trust a map: deletion and insertion, what is left through it, and whether it depends on the weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import streamlit as st

from explorer import figures
from explorer.analysis import Outcome
from explorer.errors import MethodError
from explorer.progress import Progress, Stop
from explorer.questions.randomisation import Randomisation, randomisation
from explorer.questions.trust import Curves, ProbabilityDrop, maps_to_judge, probability_drops, removal_curves
from explorer.sections import trust
from explorer.sections.nodes import el
from explorer.ui import panels
from explorer.ui.components.board import board
from explorer.ui.pooling_choice import outcomes_of
from explorer.ui.progress import computed
from explorer.ui.session.session import Session

FILL, METHODS = "blur", ("grad_cam", "layer_cam")
PARTS = ("head", "backbone")


class Trusted(NamedTuple):
    """All that the panel shows; `reasons` why some maps could not be had."""

    curves: Curves
    drops: list[ProbabilityDrop]
    randomised: list[Randomisation]
    reasons: tuple[str, ...]


def trust_panel(session: Session, outcome: Outcome, class_index: int) -> None:
    """The curves, their areas, and what becomes of the map when the network knows nothing."""
    poolings = _poolings(session, outcome)
    result: Trusted | None = computed(
        session, outcome, ("trust", class_index, *poolings),
        lambda progress, stop: _judge(outcome, class_index, poolings, progress, stop),
        "Removing positions, and putting them back")
    if result is None:
        return
    left, right = st.columns(2, gap="medium")
    for column, title, insertion in ((left, "Deletion", False), (right, "Insertion", True)):
        with column:
            board(el("h3", title), key=f"{title}_title")
            panels.chart(_figure(result.curves, insertion), key=f"{title}_figure")
    board(el("div", trust.areas(result.curves, result.drops), trust.verdict(result.curves, outcome.analysis.network),
             trust.redrawn(result.randomised, result.reasons), class_="stack"), key="trust")


def _poolings(session: Session, outcome: Outcome) -> tuple[str, ...]:
    """Keys of the poolings whose evidence is judged: the one in use and those side by side on Poolings, three."""
    if not outcome.analysis.has_evidence:
        return ()
    outcomes = outcomes_of(outcome.analysis, [outcome.choice, *session.choices.poolings])
    return tuple(dict.fromkeys(one.pooling for one in outcomes))[:3]


def _judge(outcome: Outcome, class_index: int, poolings: Sequence[str], progress: Progress, stop: Stop) -> Trusted:
    maps, skipped = maps_to_judge(outcome, class_index, poolings, METHODS)
    curves = removal_curves(outcome, class_index, maps, FILL, progress=progress, stop=stop)
    drops, redrawn, reasons = probability_drops(outcome, class_index, maps, FILL, stop=stop), [], []
    for kind in (["evidence"] if outcome.analysis.has_evidence else []) + ["grad_cam"]:
        for part in PARTS:
            try:
                redrawn.append(randomisation(outcome, class_index, part, kind, stop=stop))
            except MethodError as error:
                reasons.append(str(error))
    return Trusted(curves, drops, redrawn, (*skipped.values(), *dict.fromkeys(reasons)))


def _figure(curves: Curves, insertion: bool) -> figures.go.Figure:
    lines = {curve.name: curve.insertion if insertion else curve.deletion for curve in curves.curves}
    controls = [curve.name for curve in curves.curves if curve.control]
    done = "put back" if insertion else "removed"
    return figures.curves(curves.curves[0].shares, lines, controls, f"share of the photo {done}", "probability")
