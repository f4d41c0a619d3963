"""Activation maps: where the evidence lies, by pooling and by published CAM method."""

from explorer.ui.skeleton import show_skeleton

show_skeleton("Activation maps")  # the imports below take seconds the first time

from explorer.ui.downloads import downloads
from explorer.ui.frame import frame
from explorer.ui.networks.second_network import second_analysis, second_row
from explorer.ui.pages.activation_maps import (
    activation_headline,
    attention_grid,
    cam_grid,
    class_choice,
    classes_shown,
    controls,
    evidence_grid,
    talk_about_maps,
    votes_grid,
)
from explorer.ui.pooling_choice import outcomes_of
from explorer.ui.region import with_place
from explorer.ui.without_pooling import shown_kind, shown_methods

page = frame("Activation maps")
session, analysis = page.session, page.analysis


def show() -> None:
    chosen, outcome, class_index = page.choices, page.outcome, page.class_index
    classes, kind = classes_shown(session, analysis, class_index), shown_kind(session, analysis)
    activation_headline(outcome, class_index, 0 if kind == "votes" else len(classes) - 1, kind)
    controls(session, analysis, kind)
    if kind in ("evidence", "cams"):
        class_choice(session, analysis, classes, class_index)
    with_place(session, outcome, class_index, {
        "evidence": lambda: evidence_grid(session, outcomes_of(analysis, chosen.poolings), classes),
        "cams": lambda: cam_grid(session, outcome, classes),
        "votes": lambda: votes_grid(session, outcome, class_index),
        "attention": lambda: attention_grid(session, analysis),
    }[kind])
    if (second := second_analysis(session)) is not None:
        second_row(session, outcome, second, classes, kind, shown_methods(session, second)[0])
    downloads(session, outcome, class_index)


page.show(show, talk=lambda: talk_about_maps(
    session, outcomes_of(analysis, page.choices.poolings), classes_shown(session, analysis, page.class_index)))
