"""Why: why this class and not that one, and how far the answer can be trusted."""

import streamlit as st

from explorer.ui.controls import downloads
from explorer.ui.frame import frame, show_notices, shown_class
from explorer.ui.pages.why.contrast_panel import against_panel, talk_about_why
from explorer.ui.pages.why.flip_panel import flip_panel
from explorer.ui.pages.why.headline import choices, rival_of, why_headline
from explorer.ui.pages.why.object_panel import object_panel
from explorer.ui.pages.why.probe_panel import without_panel
from explorer.ui.pages.why.stability_panel import stable_panel
from explorer.ui.pages.why.stitching_panel import finer_panel
from explorer.ui.pages.why.trust_panel import trust_panel
from explorer.ui.pooling_choice import outcome_of
from explorer.ui.progress import answered
from explorer.ui.session.session import write_url

current, analysis = frame("Why")


@st.fragment
def story() -> None:
    if current.onward:
        st.switch_page(current.go_onward())
    class_index = shown_class(current, analysis)
    if current.left_frame(class_index):
        st.rerun()
    outcome = outcome_of(analysis, current.choices.pooling)
    rival = rival_of(current, outcome, class_index)
    write_url(current, class_index)
    show_notices(current, analysis)
    if current.presenting:
        talk_about_why(current, outcome, class_index, rival)
        return
    why_headline(current, outcome, class_index, rival)
    ask = choices(current, outcome, class_index, rival)
    answered({
        "against": lambda: against_panel(current, outcome, class_index, rival),
        "without": lambda: without_panel(current, outcome, class_index),
        "flip": lambda: flip_panel(current, outcome, class_index),
        "object": lambda: object_panel(current, outcome, class_index),
        "trust": lambda: trust_panel(current, outcome, class_index),
        "stable": lambda: stable_panel(current, outcome, class_index),
        "finer": lambda: finer_panel(current, outcome, class_index, rival),
    }[ask])
    downloads(outcome, class_index, current.choices.calibrated, rival=rival, why=True)


story()
