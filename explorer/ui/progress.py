"""A long computation on a page: how far it is, a way to stop it, and its result once there is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from explorer.errors import ExplorerError
from explorer.ui import panels
from explorer.ui.session.jobs import Job
from explorer.ui.session.session import Session


def answered(draw: Callable[[], None]) -> None:
    """Draw a panel, or the sentence that says why there is none."""
    try:
        draw()
    except ExplorerError as error:
        panels.note(str(error), key="unanswered")


def worked(session: Session, job: Job, key: str, what: str, meanwhile: Callable[[], None] | None = None) -> Any:
    """The job's result; None while it runs, was stopped or failed, and then the page shows that.

    Args:
        key: of the job among all of the session.
        what: what is being done, as "Taking positions out of the photo".
        meanwhile: draws what there is already.
    """
    if job.result is not None:
        return job.result
    if job.error:
        panels.note(job.error, key=f"{key}_error")
    elif key in session.stopped:
        _stopped(session, key)
    else:
        _going_on(session, job, key, what, meanwhile)
    return None


def _stopped(session: Session, key: str) -> None:
    def again() -> None:
        session.stopped.discard(key)

    st.button("Start again", key=f"{key}_again", on_click=again, icon=":material/play_arrow:", type="tertiary")
    panels.note("Stopped before it was done.", key=f"{key}_stopped")


@st.fragment(run_every=0.3)
def _going_on(
    session: Session, job: Job, key: str, what: str, meanwhile: Callable[[], None] | None = None
) -> None:
    """A page that is left does not ask any more, and the job stops."""
    def stop() -> None:
        session.stopped.add(key)
        job.leave()

    if key in session.stopped or job.ask():
        st.rerun()
    if meanwhile is not None:
        meanwhile()
    st.progress(min(1.0, job.done / max(1, job.total)), f"{what}: {job.done:,} of {job.total:,}")
    st.button("Stop", key=f"{key}_stop", on_click=stop, icon=":material/stop:", type="tertiary")
