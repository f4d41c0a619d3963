"""Activation maps: evidence, CAM methods and votes as small multiples on the photo."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from explorer import CAM_METHODS
from explorer.analysis import Analysis, Outcome
from explorer.errors import ExplorerError
from explorer.questions.evidence_box import locate
from explorer.questions.votes import votes_average_to_logit
from explorer.ui import panels
from explorer.ui.components.board import board
from explorer.ui.components.viewer import Map
from explorer.ui.controls import in_step
from explorer.ui.maps import (
    attention_maps,
    cam_map,
    class_maps,
    evidence_map,
    layer_caption,
    no_map,
    votes_in_words,
    votes_map,
    winners_map,
)
from explorer.ui.pages.several_choice import methods_choice, poolings_choice
from explorer.ui.pooling_choice import pooling_choice
from explorer.ui.present import talk
from explorer.ui.region import photo_panel
from explorer.ui.session.choices import LARGEST_BOX, MOST_CLASSES
from explorer.ui.session.jobs import Job
from explorer.ui.session.page_cache import drawn
from explorer.ui.session.server import tend
from explorer.ui.session.session import Session
from explorer.ui.without_pooling import ATTENTION, attention_note, kinds_of_maps, limited_map_choice, shown_methods
from explorer.wording import Name, evidence_sentence, percent, plain, shortened

CANDIDATES = 8  # classes to choose from, beside any that is searched for by name
TALLEST = 300  # px of a photo in a row of maps


def classes_shown(session: Session, analysis: Analysis, class_index: int) -> list[int]:
    """The classes chosen, else the likeliest three; the page's own class is always one of them."""
    classes = [*session.choices.classes] or [answer.class_index for answer in analysis.under().top(3)]
    return classes if class_index in classes else [class_index, *classes][:MOST_CLASSES]


def activation_headline(outcome: Outcome, class_index: int, others: int, kind: str) -> None:
    """Where the evidence for the page's class lies, or what is shown instead."""
    analysis = outcome.analysis
    name = Name(shortened(analysis.network.class_names[class_index]))
    beside = f" Also shown: {others} other {'class' if others == 1 else 'classes'}." if others else ""
    if analysis.has_evidence:
        of = f"{name} {outcome.under_in_words}" if outcome.under_in_words else ""
        sentence = evidence_sentence(outcome.evidence(class_index).cells.numpy(), of)
        panels.headline(["Where the evidence for ", name, " lies"], sentence + beside)
    elif kind == ATTENTION:
        panels.headline(["Where the class token looks"], "The same for every class: all answers are read from it.")
    else:
        panels.headline(["Where the network looks for ", name],
                        f"By gradients, at the {analysis.layer_name}; without a unit.{beside}")


def controls(session: Session, analysis: Analysis, kind: str) -> None:
    """Choose the kind of maps (evidence, CAM methods or votes, or what there is instead), and what there is of it."""
    first, what, more = st.columns([30, 46, 24], gap="small") if analysis.has_evidence else st.columns([50, 50, 1])
    with first:
        if analysis.has_evidence:
            kinds = kinds_of_maps(analysis)
            st.segmented_control("Maps", list(kinds), format_func=kinds.__getitem__, width="stretch",
                                 **in_step(session, "maps", kind, default=kind))
        else:
            limited_map_choice(session, analysis)
    with what:
        if kind == "evidence":
            poolings_choice(session, analysis)
        elif kind == "cams":
            methods_choice(session, analysis)
        elif kind == "votes":
            pooling_choice(session, analysis)
    with more:
        if kind == "evidence":
            st.slider("Box threshold, % of the maximum", 1, LARGEST_BOX,
                      help="The smallest box around the largest connected part whose positions have at least this "
                           "share of the map's maximum. 20% is what the paper on CAM uses.",
                      **in_step(session, "box", session.choices.box, value=session.choices.box))
        elif kind == "cams" and analysis.has_evidence:
            pooling_choice(session, analysis)


def class_choice(session: Session, analysis: Analysis, shown: Sequence[int], class_index: int) -> None:
    """The likeliest classes to show or to hide; any other is searched for in the sidebar."""
    likeliest = [answer.class_index for answer in analysis.under().top(CANDIDATES)]
    candidates = dict.fromkeys([*shown, *session.choices.marked, *likeliest])
    names = analysis.network.class_names

    def pick(index: int) -> None:
        classes = [other for other in shown if other != index] if index in shown else [*shown, index]
        if not classes or len(classes) > MOST_CLASSES:
            session.notices.append(f"One to {MOST_CLASSES} classes are shown at once.")
            return
        session.choose(classes=tuple(classes), **({} if class_index in classes else {"class_index": classes[0]}))

    buttons = [panels.chip(names[index], index, index in shown, key=f"class-{index}")
               for index in list(candidates)[:CANDIDATES + MOST_CLASSES]]
    board(panels.chips("Classes", buttons), key="classes", on_pick=pick)


def evidence_grid(session: Session, outcomes: Sequence[Outcome], classes: list[int]) -> None:
    """A row for each class, a column for each pooling, one scale in logits, and the box of each map."""
    maps = [_evidence_with_box(outcome, index, session.choices.box / 100, first=outcome is outcomes[0])
            for index in classes for outcome in outcomes]
    _grid(session, outcomes[0].analysis, maps, len(outcomes),
          f"Evidence in {outcomes[0].analysis.network.unit}")


def _evidence_with_box(outcome: Outcome, class_index: int, threshold: float, first: bool) -> Map:
    """The evidence with its box; the `first` of a row bears the class's name."""
    analysis = outcome.analysis
    place = locate(outcome.evidence(class_index).cells.numpy(), analysis.framing.rectangles, threshold)
    box: tuple[float, float, float, float] | None = None
    line: tuple[str, ...] = ()
    if place is not None:
        left, top, right, bottom = box = (place.left, place.top, place.right, place.bottom)
        line = (f"box {right - left:.0f} × {bottom - top:.0f} px at ({left:.0f}, {top:.0f}) holds "
                f"{percent(place.share)} of the positive evidence",)
    row = analysis.network.class_names[class_index] if first else ""
    return evidence_map(outcome, class_index, row=row, title=outcome.name, box=box, more=line)


def cam_grid(session: Session, outcome: Outcome, classes: list[int]) -> None:
    """A row for each class, a column for each method; each map on its own scale, from 0 to 1 of its largest."""
    analysis, methods = outcome.analysis, shown_methods(session, outcome.analysis)
    jobs = {index: _score_cam_job(outcome, index) for index in classes} if "score_cam" in methods else {}
    maps = []
    for index in classes:
        for method in methods:
            row = analysis.network.class_names[index] if method == methods[0] else ""
            maps.append(_cam_or_reason(outcome, method, index, row, jobs.get(index) if method == "score_cam" else None))
    running = [job for job in jobs.values() if not job.ended]
    if running:
        _show_progress(running)
    _grid(session, analysis, maps, len(methods), "CAM methods, each map from 0 to 1 of its own largest")
    where = f"under {outcome.name}" if analysis.has_evidence else f"by gradients at the {analysis.layer_name}"
    panels.note("CAM methods have no unit: each map is divided by its own largest magnitude, so colours run from 0 to "
                f"1 and cannot be compared between maps. Red counts for the class, blue against it, {where}.",
                key="cam_note")


def attention_grid(session: Session, analysis: Analysis) -> None:
    """How much a class token looks at each position, on average and head by head, on one scale of weights."""
    _grid(session, analysis, attention_maps(analysis), 4, "Class token's attention", tallest=220)
    attention_note(analysis)


def _cam_or_reason(outcome: Outcome, method: str, class_index: int, row: str, job: Job | None) -> Map:
    title = CAM_METHODS[method].name
    if job is not None and job.result is None:
        return no_map(outcome.analysis, f"{class_index}.{method}", row, title, job.error or "being computed")
    try:
        return cam_map(outcome, method, class_index, row, title)
    except ExplorerError as error:
        return no_map(outcome.analysis, f"{class_index}.{method}", row, title, str(error))


def _score_cam_job(outcome: Outcome, class_index: int) -> Job:
    """Score-CAM runs the network once for each channel: in a thread, so that the page can be used meanwhile."""
    return drawn(outcome, ("score_cam job", class_index), lambda: Job(
        lambda progress, stop: outcome.cam("score_cam", class_index, progress=progress, stop=stop)))


@st.fragment(run_every=0.5)
def _show_progress(jobs: list[Job]) -> None:
    """How far the jobs are; the page is drawn again once all have ended. Jobs stop when a page that is left stops
    polling them."""
    tend()
    if all(job.ask() for job in jobs):  # one after the other: the next one starts when this one has ended
        st.rerun()
    done, total = sum(job.done for job in jobs), sum(job.total for job in jobs)
    st.progress(min(1.0, done / total), f"Score-CAM runs the network once for each channel: {done:,} of {total:,}")


def votes_grid(session: Session, outcome: Outcome, class_index: int) -> None:
    """The answer of each position alone: the probability of the class there, and the class that wins there."""
    notes = votes_in_words(outcome)
    _grid(session, outcome.analysis, [votes_map(outcome, class_index, notes), winners_map(outcome, notes)], 2, "Votes",
          tallest=400)
    number = outcome.analysis.network.number
    if votes_average_to_logit(outcome):
        logit = plain(outcome.evidence(class_index).logit)
        sentence = (f"Under GAP and a Linear the {number} ({logit}) is the average of the positions' {number}s"
                    f"{'' if number == 'value' else ', not of these probabilities'}.")
    else:
        sentence = f"Under {outcome.name} the {number} is not the average of the positions' {number}s: some weigh more."
    panels.note(sentence, key="votes_note")


def _grid(
    session: Session, analysis: Analysis, maps: list[Map], across: int, name: str, tallest: int = TALLEST
) -> None:
    if session.choices.against:  # another network's maps stand below
        name = f"{analysis.network.title}: {name}"
    photo_panel(session, analysis, maps, key="grid", name=name, across=across, main=True, tallest=tallest,
                heading=name, aside=layer_caption(analysis))


def talk_about_maps(session: Session, outcomes: Sequence[Outcome], classes: list[int]) -> None:
    """The map of each class one after the other, then the positions' votes, or a class token's attention."""
    outcome, analysis = outcomes[0], outcomes[0].analysis
    if not analysis.has_evidence:
        talk(session, analysis, [*class_maps([outcome], classes), *attention_maps(analysis)[:1]],
             "Where does it look?")
        return
    steps = [evidence_map(outcome, index, scale="all", calibrated=session.choices.calibrated) for index in classes]
    votes = winners_map(outcome, votes_in_words(outcome), "The answer of each position alone.")
    talk(session, analysis, [*steps, votes], "Where does the evidence lie?")
