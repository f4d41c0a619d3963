"""Why: why this class and not that one, and how far the answer can be trusted."""

from explorer.ui.skeleton import show_skeleton

show_skeleton("Why")  # the imports below take seconds the first time

from explorer.ui.downloads import why_downloads
from explorer.ui.frame import frame
from explorer.ui.pages.why.contrast_panel import against_panel, talk_about_why
from explorer.ui.pages.why.flip_panel import flip_panel
from explorer.ui.pages.why.headline import choices, rival_of, why_headline
from explorer.ui.pages.why.object_panel import object_in_summary, object_panel
from explorer.ui.pages.why.probe_panel import without_panel
from explorer.ui.pages.why.stability_panel import stable_panel
from explorer.ui.pages.why.stitching_panel import finer_panel
from explorer.ui.pages.why.trust_panel import trust_in_summary, trust_panel
from explorer.ui.progress import answered
from explorer.ui.run_photos import same_cause_panel

page = frame("Why")
session = page.session


def show() -> None:
    outcome, class_index = page.outcome, page.class_index
    rival = rival_of(session, outcome, class_index)
    why_headline(session, outcome, class_index, rival)
    question = choices(session, outcome, class_index, rival)
    answered({
        "against": lambda: against_panel(session, outcome, class_index, rival),
        "without": lambda: without_panel(session, outcome, class_index),
        "flip": lambda: flip_panel(session, outcome, class_index),
        "object": lambda: object_panel(session, outcome, class_index),
        "trust": lambda: trust_panel(session, outcome, class_index),
        "stable": lambda: stable_panel(session, outcome, class_index),
        "finer": lambda: finer_panel(session, outcome, class_index, rival),
    }[question])
    same_cause_panel(session, class_index)
    sections = {"object": object_in_summary(session, outcome, class_index),
                "trust": trust_in_summary(session, outcome, class_index)}
    why_downloads(session, outcome, class_index, rival, {name: make for name, make in sections.items() if make})


page.show(show, talk=lambda: talk_about_why(
    session, page.outcome, page.class_index, rival_of(session, page.outcome, page.class_index)))
