"""Which poolings a network offers: its own and those that can take its place, or none and the reason."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from explorer.analysis import Analysis, Outcome
from explorer.poolings import parse_pooling
from explorer.sections.nodes import el
from explorer.ui.components.board import board
from explorer.ui.controls import in_step
from explorer.ui.maps import spelt, under
from explorer.ui.session.session import Session

# The answers that Explore lays beside each other, the native pooling's first.
BESIDE = ("gap", "gmp", "attention")
LEARNED = {"attention": "learned_attention"}  # what takes the place of one of them where it was trained


def outcomes_of(analysis: Analysis, spellings: Sequence[str]) -> list[Outcome]:
    """An outcome for each pooling, each once; the one that there is where none can be exchanged."""
    return list({spelt(outcome): outcome for outcome in (under(analysis, each) for each in spellings)}.values())


def beside_each_other(analysis: Analysis, chosen: str) -> list[Outcome]:
    """Outcomes under three poolings: the native one, two more, and among them the one that is chosen."""
    native = spelt(analysis.under())
    three = list(dict.fromkeys((native, *usually_beside(analysis))))[:3]
    shown = spelt(under(analysis, chosen))
    return outcomes_of(analysis, three if shown in three else [*three[:2], shown])


def usually_beside(analysis: Analysis) -> tuple[str, ...]:
    """Keys of the poolings that stand beside each other unless others are chosen."""
    trained = analysis.network.trained
    return tuple(LEARNED[key] if LEARNED.get(key) in trained else key for key in BESIDE)


def pooling_choice(current: Session, analysis: Analysis) -> None:
    """Choose any pooling that the network offers; where there is none to choose, why."""
    if not analysis.has_evidence:
        st.selectbox("Pooling", [analysis.under().name], disabled=True, key="no_pooling")
        board(el("p", analysis.no_evidence_reason, class_="note"), key="why_not")
        return
    chosen = spelt(under(analysis, current.choices.pooling))
    options = [chosen if chosen.partition(":")[0] == key else key for key in analysis.network.poolings]
    st.selectbox("Pooling", options, format_func=lambda each: pooling_in_words(analysis, each),
                 **in_step(current, "pooling", chosen))


def pooling_in_words(analysis: Analysis, spelling: str) -> str:
    """"GeM, p = 3"."""
    key, parameters = parse_pooling(spelling)
    return analysis.network.pooling_of(key).label(**parameters)
