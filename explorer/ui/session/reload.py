"""A reload begins a new session, which takes up what the last one of the same browser held.

Streamlit keeps a session for two minutes after its page is gone. A cookie names the browser by a secret, and the photos
and networks of its own that it held, so that a link to one of these finds it again, or says that it was lost.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Mapping
from weakref import WeakSet

import streamlit as st

from explorer.ui.session.session import Session

COOKIE = "poolscope"
MOST_NAMES = 8  # in the cookie: of the newest
_COOKIE = re.compile(r"([A-Za-z0-9_-]{22})((?:~[A-Za-z0-9_.-]{1,100})*)")
_SESSIONS: WeakSet[Session] = WeakSet()
_LOCK = threading.Lock()


def take_up(session: Session, query: Mapping[str, str]) -> None:
    """In a session's first run: take up the photos, networks, preprocessing and runs of the one that the link is of."""
    known = _COOKIE.fullmatch(str(st.context.cookies.get(COOKIE, "")))  # a test's session has no text there
    session.browser = known[1] if known else secrets.token_urlsafe(16)
    session.held = frozenset(known[2].split("~")[1:]) if known else frozenset()
    names = {query.get("photo"), query.get("network"), query.get("against")}
    with _LOCK:
        others = [other for other in _SESSIONS if other.browser == session.browser]
        _SESSIONS.add(session)
    if not others:
        return
    last = max(others, key=lambda other: len(names & {*other.uploads, *other.own}))
    session.uploads |= last.uploads
    session.own |= last.own
    session.edited |= last.edited
    session.runs |= last.runs


def cookie(session: Session) -> str:
    """Its text: the browser's secret, and the names of what it holds."""
    return "~".join([session.browser, *[*session.own, *session.uploads][-MOST_NAMES:]])
