"""Which run the page shows: the choice among those there are, a folder that is dropped in, a scan that goes on."""

from __future__ import annotations

import time

import streamlit as st

from explorer.errors import ExplorerError
from explorer.folder.index import Index
from explorer.sections.nodes import el
from explorer.ui import panels
from explorer.ui.components.board import board
from explorer.ui.controls import in_step
from explorer.ui.networks.session_network import network_of
from explorer.ui.progress import worked
from explorer.ui.session.choices import PARTS
from explorer.ui.session.items import index_in_use, run_in_use
from explorer.ui.session.jobs import Job
from explorer.ui.session.leftovers import drop_uploads
from explorer.ui.session.open_runs import DROPPED, EXAMPLES, OpenRun, drop_in_folder, runs_of, what_was_wrong
from explorer.ui.session.session import Session
from explorer.wording import rate_in_words, shortened

_OF_A_RUN = {"label": None, "predicted": None, "outcome": "all", "beside_run": "", "cause_of": None,
             "cause_against": None, "muted": (), "strength": None}
_LIVE = 5.0  # seconds between two looks at the rows while they are made


def run_choice(session: Session) -> Index | None:
    """Choose a run, begin one; its index, or None where none is chosen or it has no rows yet."""
    panels.alert(*what_was_wrong(), key="runs_wrong")
    runs = runs_of(session.runs)
    if session.choices.run and session.choices.run not in runs:
        panels.alert("The link is of a folder that was dropped in elsewhere or is lost: drop it in again."
                     if session.choices.run.startswith(DROPPED) else
                     f"The link is of the run “{session.choices.run[:40]}”, with which this server was not started; "
                     "expected it to be started with --run and that folder.", key="no_run")
        session.choose(run="")
    names = [name for name, opened in runs.items()
             if name in (session.choices.run, *session.runs) or opened.job is None or opened.job.begun]
    if not session.choices.run and (given := [name for name in names if name != EXAMPLES]):
        session.choose(run=given[0])
    if len(names) > 1:
        _choose_run(session, runs, names)
    opened = run_in_use(session)
    if opened is None:
        _welcome(session)
        return None
    if opened.job is not None and not opened.job.ended:
        _scanning(session, opened, opened.job)
    elif opened.job is not None and opened.job.error:
        panels.alert(opened.job.error, key="scan_wrong")
    try:
        index = index_in_use(session)
    except ExplorerError as error:
        panels.alert(str(error), key="run_wrong")
        return None
    return index


def _choose_run(session: Session, runs: dict[str, OpenRun], names: list[str]) -> None:
    first, second = st.columns(2, gap="medium")
    titles = {name: runs[name].description for name in names}  # Streamlit takes those of one title for one
    titles = {name: f"{title} ({name})" if list(titles.values()).count(title) > 1 else title
              for name, title in titles.items()}
    first.selectbox("Run", names, format_func=titles.__getitem__,
                    **in_step(session, "run", session.choices.run or names[0],
                              lambda name: session.choose(run=name, **_OF_A_RUN),
                              index=names.index(session.choices.run or names[0])))
    others = ["", *(name for name in names if name != session.choices.run)]
    chosen = session.choices.beside_run if session.choices.beside_run in others else ""
    second.selectbox("Compare with another run of these photos", others,
                     format_func=lambda name: titles.get(name, "none"),
                     **in_step(session, "beside_run", chosen,
                               lambda name: session.choose(beside_run=name, outcome="all"),
                               index=others.index(chosen)))


def _welcome(session: Session) -> None:
    board(el("div", el("h1", "A folder of photos"),
             el("p", "Which photos are wrong, how sure the network was, and where the evidence lay.", class_="lead"),
             class_="headline"), key="folder_title")

    def begin() -> None:
        opened = runs_of({})[EXAMPLES]
        if opened.job is not None:
            opened.job.ask()
        session.choose(run=EXAMPLES, **_OF_A_RUN)

    st.button("Try it with the examples, each changed in seven ways", key="try_examples", on_click=begin,
              type="primary")
    _drop_zone(session)
    board(el("div", el("h3", "Your own folder, however large"),
             el("p", "Start the app with it, and it is scanned while you look:"),
             el("p", el("strong", 'make run ARGS="--folder PHOTOS"')),
             el("p", "Or scan it in a terminal first, with labels from a table if you have one, and open the run:"),
             el("p", el("strong", ".venv/bin/python -m explorer folder PHOTOS --out RUN --labels labels.csv")),
             el("p", el("strong", 'make run ARGS="--run RUN"')), class_="stack"), key="folder_how")


def another_folder(session: Session) -> None:
    """The way to drop in a folder where a run is shown."""
    with st.expander("Drop in another folder"):
        _drop_zone(session)


def _drop_zone(session: Session) -> None:
    """A folder dropped in the browser, for a small one: its folders' names are the labels."""
    files = st.file_uploader("Drop a folder of photos here: the folders in it are their labels", key="folder_files",
                             accept_multiple_files="directory",
                             type=["jpg", "jpeg", "png", "webp", "avif", "heic", "heif", "bmp", "tif", "tiff", "gif"])
    if not files:
        return
    what = tuple(file.file_id for file in files)
    if st.session_state.get("folder_seen") == what:
        return
    st.session_state["folder_seen"] = what
    name = session.choices.network
    try:
        opened = drop_in_folder(session.runs, ((file.name, file.getvalue()) for file in files),
                                network_of(session, name), name)
    except ExplorerError as error:
        panels.alert(str(error), key="folder_wrong")
        return
    drop_uploads(files)
    session.choose(run=opened.name, **_OF_A_RUN)
    st.rerun()


def _scanning(session: Session, opened: OpenRun, job: Job) -> None:
    """How far the scan is, and a way to stop it; the page follows its rows every few seconds and at the end."""
    drawn_at, first = time.monotonic(), job.done

    def rate() -> None:
        passed = time.monotonic() - drawn_at
        if passed > _LIVE:
            st.rerun()
        words = rate_in_words(job.total - job.done, job.done - first, passed)
        panels.note(words or "Reading the folder", key="scan_rate", style="caption")

    worked(session, job, "scan", f"Scanning {shortened(opened.title, 40)}", meanwhile=rate)


def title_of(session: Session) -> str:
    """Of the run that is shown; "" for none."""
    opened = run_in_use(session)
    return "" if opened is None else opened.title


def part_choice(session: Session) -> None:
    """What is shown of the run: its photos, the causes of a class, or heads trained on it."""
    st.segmented_control("Part", list(PARTS), format_func=PARTS.__getitem__, label_visibility="collapsed",
                         **in_step(session, "part", session.choices.part, default=session.choices.part))
