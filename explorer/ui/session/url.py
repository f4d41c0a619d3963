"""The page's URL. It says what is shown, and is followed when a person opened it, and at no other time.

With each click the browser sends the URL that it shows, which may be older than what was chosen meanwhile. So a URL
counts only in the first run of a session, and when the browser says that it went back or forward in its history.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from explorer.errors import ExplorerError
from explorer.ui.session.choices import OF_A_PHOTO
from explorer.ui.session.items import show_path
from explorer.ui.session.link import as_query, read, read_view
from explorer.ui.session.reload import take_up
from explorer.ui.session.session import PHOTOS, Awaited, Session


@dataclass
class _Url:
    """Of one session: whether its first link was followed, what was written last, and the viewer's own part of it."""

    followed: bool = False
    written: dict[str, str] = field(default_factory=dict)
    view: str = ""


def follow_url(session: Session) -> frozenset[str]:
    """Make the choices in the URL where a person opened it; the names of those choices."""
    url, query, context = _url(), st.query_params.to_dict(), get_script_run_ctx()
    is_opened = not url.followed or (context is not None and context.is_history_navigation)
    if not url.followed:
        take_up(session, query)
    url.followed = True
    if not query or not is_opened:
        return frozenset()
    changes, sentences = read(query, session.page, session.choices)
    session.notices += sentences
    if "class" in query:
        changes["class_index"] = _class(session, query["class"])
    if not _follow_photo(session, query):  # a class or a box of a photo that is not here says nothing about another
        session.awaited = Awaited(query.get("photo", ""), session.notices[-1],
                                  {name: changes.pop(name) for name in OF_A_PHOTO if name in changes})
    session.choose(**changes)
    return frozenset(name for name in changes if name in query or name == "class_index")


def write_url(session: Session, class_index: int) -> None:
    """Make the URL say what is shown. It keeps what the viewer wrote into it."""
    url, now = _url(), st.query_params.to_dict()
    query = as_query(session.choices, class_index, session.page, url.view)
    # The one that came along may be right and old: then the browser will hear of one between them, which is not right.
    if query != now or query != url.written:
        st.query_params.from_dict(query)
    url.written = query


def _url() -> _Url:
    """The viewer writes its part of the URL itself, so what comes along is the newest; a page's own link has none."""
    url: _Url = st.session_state.setdefault("poolscope_url", _Url())
    if len(st.query_params):
        url.view = read_view(st.query_params.get("view", ""))
    return url


def _follow_photo(session: Session, query: dict[str, str]) -> bool:
    """Show the photo of a link; whether it is here."""
    example, photo = query.get("example"), query.get("photo")
    if example is not None and example in PHOTOS:
        if session.choices.example != example:
            session.show_example(example)
    elif example is not None:
        session.notices.append(f"The link asks for the example “{example[:40]}”, which does not exist.")
    elif item := query.get("item"):
        if session.choices.item != item or session.choices.run != query.get("run"):
            try:
                show_path(session, query.get("run", ""), item)
            except ExplorerError as error:
                session.notices.append(str(error))
                return False
    elif photo in session.uploads:
        if session.choices.photo != photo:
            session.show(session.uploads[photo])
    elif photo:
        session.notices.append(
            "The photo was lost on reload: drop it in again to go on where you were." if photo in session.held else
            "The link is of a photo that was dropped in elsewhere and never leaves its session: drop it in again "
            "to see the same page.")
        return False
    return True


def _class(session: Session, text: str) -> int | None:
    if text.isascii() and text.isdigit() and len(text) < 9:
        return int(text)
    session.notices.append(f"The link asks for class “{text[:40]}”, which is not a number; the answer is shown.")
    return None
