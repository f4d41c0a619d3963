"""Explore: a photo in, the answer out."""

import streamlit as st

from explorer.ui.controls import class_and_pooling, downloads
from explorer.ui.frame import frame, shown_class
from explorer.ui.panels import answers_and_channels, evidence_panel, headline

COMPARED = ("gap", "gmp", "attention")

current, analysis = frame("Explore")
chosen = current.choices
class_index = shown_class(current, analysis)
outcome = analysis.under(chosen.pooling)
compared = COMPARED if chosen.pooling in COMPARED else (*COMPARED[:2], chosen.pooling)


def show(picked: list) -> None:
    pooling, class_index = picked
    current.choose(pooling=pooling, class_index=class_index)


headline(analysis, outcome, class_index)
left, right = st.columns([46, 54], gap="medium")
with left:
    class_and_pooling(current, analysis, class_index)
    evidence_panel(analysis, outcome, class_index)
with right:
    outcomes = [analysis.under(key) for key in compared]
    answers_and_channels(outcomes, outcome, class_index, chosen.calibrated, show)
downloads(analysis, outcome, class_index, chosen.calibrated)
