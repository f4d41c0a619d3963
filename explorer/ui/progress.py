"""A long computation on a page: how far it is, a way to stop it, and its result once there is one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import streamlit as st

from explorer.analysis import Analysis, Outcome
from explorer.errors import ExplorerError
from explorer.progress import Progress, Stop
from explorer.ui import panels
from explorer.ui.session.jobs import Job
from explorer.ui.session.page_cache import drawn
from explorer.ui.session.server import tend
from explorer.ui.session.session import Session


def answered(draw: Callable[[], None]) -> None:
    """Draw a panel, or the sentence that says why there is none."""
    try:
        draw()
    except ExplorerError as error:
        panels.note(str(error), key="unanswered")


def computed(
    session: Session, of: Analysis | Outcome, key: Sequence[Hashable], work: Callable[[Progress, Stop], Any], what: str,
    draw: Callable[[Any], None] | None = None,
) -> Any:
    """What a long computation gave; None until it has ended well, and then the page shows how far it is, see `worked`.

    Sessions share the job. `key` names it, `of` is what it is kept with, and `what` is being done. `draw` shows what
    work that gives better and better results has so far.
    """
    job = job_of(of, key, work)
    return worked(session, job, "_".join(map(str, key)), what, draw=draw)


def job_of(of: Analysis | Outcome, key: Sequence[Hashable], work: Callable[[Progress, Stop], Any]) -> Job:
    """The job of that name, begun or not."""
    return drawn(of, tuple(key), lambda: Job(work))


def worked(
    session: Session, job: Job, key: str, what: str, meanwhile: Callable[[], None] | None = None,
    draw: Callable[[Any], None] | None = None,
) -> Any:
    """The job's result; None while it runs, was stopped or failed, and then the page shows that.

    Args:
        key: of its widgets on the page.
        what: what is being done, as "Taking positions out of the photo".
        meanwhile: draws what there is already, again and again, above how far it is.
        draw: draws the newest result that there is before the last, below it, and where it was stopped.
    """
    if job.result is not None:
        return job.result

    def draw_so_far() -> None:
        if draw is not None and (so_far := job.so_far) is not None:
            draw(so_far)

    if job.error:
        panels.note(job.error, key=f"{key}_error")
    elif job in session.stopped:
        st.button("Start again", key=f"{key}_again", on_click=session.stopped.discard, args=(job,),
                  icon=":material/play_arrow:", type="tertiary")
        panels.note("Stopped before it was done.", key=f"{key}_stopped")
        draw_so_far()
    else:
        _going_on(session, job, key, what, meanwhile, draw_so_far)
    return None


@st.fragment(run_every=0.3)
def _going_on(
    session: Session, job: Job, key: str, what: str, meanwhile: Callable[[], None] | None, draw: Callable[[], None]
) -> None:
    """A page that is left does not ask any more, and the job stops.

    Newer results are drawn here: a run of the whole page may come before the browser knows the sidebar's last values.
    """
    def stop() -> None:
        session.stopped.add(job)
        job.leave()

    tend()
    if job in session.stopped or job.ask():
        st.rerun()
    if meanwhile is not None:
        meanwhile()
    st.progress(min(1.0, job.done / max(1, job.total)), f"{what}: {job.done:,} of {job.total:,}")
    st.button("Stop", key=f"{key}_stop", on_click=stop, icon=":material/stop:", type="tertiary")
    draw()
