"""What is on the screen as files, named by the photo and the question; a summary that takes long shows its progress."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import streamlit as st

from explorer.analysis import Outcome
from explorer.export.arrays import arrays_npz
from explorer.export.pictures import overlay_png
from explorer.export.record import record_json, why_json
from explorer.export.report import report_html
from explorer.export.svg import overlay_svg
from explorer.live.page import live_page
from explorer.progress import Progress, Stop
from explorer.questions.contrast import contrast_map
from explorer.questions.intervention import Intervention
from explorer.questions.reasons import Reasons, reasons
from explorer.sections.nodes import Node
from explorer.ui import panels
from explorer.ui.progress import job_of, worked
from explorer.ui.session.jobs import Job
from explorer.ui.session.page_cache import drawn
from explorer.ui.session.session import Session

_SLOW = 4  # questions of `reasons` that report how far they are
Section = Callable[[Progress, Stop], Node]  # of a summary, made when the summary is


def downloads(session: Session, outcome: Outcome, class_index: int) -> None:
    """Overlay, arrays, numbers, a summary and a live page; each is made when it is clicked."""
    calibrated, truth = session.choices.calibrated, session.choices.truth

    def summary() -> str:
        shown = _as_changed(session, outcome)
        return drawn(shown, ("summary", class_index, calibrated, truth),
                     lambda: report_html(shown, class_index, calibrated, truth=truth))

    hold = files_hold(outcome, class_index)
    if session.page == "Explore" and outcome.analysis.has_evidence:
        hold = f"{hold.removesuffix('.')}, after what is changed in Intervene."
    panels.note(hold, key="files_hold", style="caption")
    columns = _columns(outcome)
    _files(session, outcome, class_index, columns, None,
           lambda: record_json(_as_changed(session, outcome), class_index, calibrated, truth))
    with columns[4]:
        _file("Summary, HTML", summary, _name(session, outcome, class_index, None, "html"), "text/html")


def _as_changed(session: Session, outcome: Outcome) -> Outcome:
    """On Explore, what the panel Intervene shows at this moment: it does not draw the page again at every change."""
    change, analysis = Intervention.parse(session.choices.change), outcome.analysis
    if not change or session.page != "Explore" or not analysis.has_evidence:
        return outcome
    return drawn(outcome, ("changed", str(change)),
                 lambda: change.on(analysis).under(outcome.pooling, **outcome.parameters))


def why_downloads(
    session: Session, outcome: Outcome, class_index: int, rival: int | None, sections: dict[str, Section]
) -> None:
    """The same on Why: overlays of the difference where that is shown, numbers and a summary of all questions.

    `sections` are those of questions that a summary holds only where they were computed, by their names.
    """
    against = rival if session.choices.ask == "against" and outcome.analysis.has_evidence else None

    def choices() -> dict[str, Any]:
        """What counts at a click: a box that is dragged runs the viewer's part of the page alone, and not this."""
        chosen = session.choices
        return {"class_index": class_index, "rival": rival, "calibrated": chosen.calibrated, "region": chosen.region,
                "truth": chosen.truth}

    def summary_job() -> Job:
        ask = partial(reasons, outcome, **choices())
        return job_of(outcome, ("why summary", *choices().values(), *sections),
                      lambda progress, stop: _why_summary(ask, sections, progress, stop))

    def begin() -> None:
        summary_job().ask()

    panels.note(files_hold(outcome, class_index, against), key="files_hold", style="caption")
    job, columns = summary_job(), _columns(outcome)
    _files(session, outcome, class_index, columns, against,
           lambda: why_json(reasons(outcome, **choices(), slow=False)))
    with columns[4]:
        if job.result is not None:
            _file("Save the summary", lambda: job.result, _name(session, outcome, class_index, rival, "html"),
                  "text/html")
        elif not job.begun:
            st.button("Summary, HTML", key="make_summary", on_click=begin, type="tertiary",
                      icon=":material/description:")
    if job.begun and job.result is None:
        worked(session, job, "summary", "Asking all questions for the summary, percent")


def files_hold(outcome: Outcome, class_index: int, rival: int | None = None) -> str:
    """Which map is in a page's files, whatever its viewer shows: "Files hold: Evidence for tench, under GAP."

    With a rival it is the difference of the two; arrays are of the class alone.
    """
    drawn = outcome.class_map(class_index) if rival is None else contrast_map(outcome, class_index, rival)
    names = outcome.analysis.network.class_names
    arrays = "" if rival is None else f" Arrays are of {names[class_index]} alone."
    return f"Files hold: {drawn.name}, {drawn.source}.{arrays}"


def _why_summary(ask: Callable[..., Reasons], sections: dict[str, Section], progress: Progress, stop: Stop) -> str:
    furthest: dict[str, float] = {}  # a question may count several times from 0

    def count(name: str, done: int, total: int) -> None:
        furthest[name] = max(done / max(1, total), furthest.get(name, 0.0))
        progress(int(100 * sum(furthest.values()) / (_SLOW + len(sections))), 100)

    why = ask(progress=count, stop=stop)
    more = [make(partial(count, name), stop) for name, make in sections.items()]
    return report_html(why.outcome, why.class_index, why.calibrated, rival=why.rival, why=why, more=more)


def _columns(outcome: Outcome) -> Sequence:
    """One for each file; without evidence there is no live page."""
    return st.columns(6 if outcome.analysis.has_evidence else 5, gap="small")


def _live_page(session: Session, outcome: Outcome, class_index: int) -> str:
    """What the page shows, whose reader may choose anything else."""
    chosen = session.choices
    pooling = "" if outcome.label == "native" else str(outcome.choice)
    return live_page([outcome.analysis], [session.photo.title or session.photo.name], class_index=class_index,
                     pooling=pooling, calibrated=chosen.calibrated,
                     change=chosen.change if session.page == "Explore" else "")


def _files(
    session: Session, outcome: Outcome, class_index: int, columns: Sequence, rival: int | None,
    numbers: Callable[[], str],
) -> None:
    """All but the summary of the fifth column, a column each; `rival` where the difference of the two is shown."""
    files: tuple[tuple[str, str, str, Callable[[], str | bytes]], ...] = (
        ("Overlay, PNG", "png", "image/png", lambda: overlay_png(
            _as_changed(session, outcome), class_index, rival, session.lined)),
        ("Overlay, SVG", "svg", "image/svg+xml", lambda: overlay_svg(
            _as_changed(session, outcome), class_index, rival=rival, lined=session.lined)),
        ("Arrays, npz", "npz", "application/octet-stream", lambda: arrays_npz(
            _as_changed(session, outcome), class_index)),
        ("Numbers, JSON", "json", "application/json", numbers),
    )
    for column, (label, ending, kind, make) in zip(columns, files, strict=False):
        with column:
            _file(label, make, _name(session, outcome, class_index, rival, ending), kind)
    for column in columns[5:]:
        with column:
            _file("Live page, HTML", lambda: _live_page(session, outcome, class_index),
                  _name(session, outcome, class_index, None, "live.html"), "text/html")


def _file(label: str, make: Callable[[], str | bytes], name: str, kind: str) -> None:
    st.download_button(label, make, name, kind, key=label, on_click="ignore", type="tertiary",
                       icon=":material/download:")


def _name(session: Session, outcome: Outcome, class_index: int, rival: int | None, ending: str) -> str:
    """As "astronaut_why-against_football-helmet-bobsled_gap.png": the photo, the question, the classes, the pooling."""
    names = outcome.analysis.network.class_names
    question = f"{session.page} {session.choices.ask}" if session.page == "Why" else session.page
    classes = "-".join(names[index] for index in (class_index, rival) if index is not None)
    parts = (session.photo.stem, question, classes, str(outcome.choice))
    return "_".join(re.sub(r"[^\w.]+", "-", part.lower()).strip("-.")[:48] for part in parts) + f".{ending}"
