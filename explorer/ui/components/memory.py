"""What the browser keeps for a reload: a cookie with the session's names, and the last photos that were dropped in."""

from __future__ import annotations

import base64

from explorer.ui.components.library import handler, hidden, part
from explorer.ui.session.reload import cookie
from explorer.ui.session.session import Session

_memory = part("memory", "<div></div>")


def put_memory(session: Session) -> None:
    """Have the browser keep the photo in use, and hand in again the one that a link awaits, if it has it."""
    def handed_in(kept: dict[str, str]) -> None:
        session.show_upload(base64.b64decode(kept["data"]), kept["title"])

    photo, is_own = session.photo, not session.photo.example
    hidden(_memory, {"cookie": cookie(session), "photo": photo.name if is_own else "", "title": photo.title,
                     "awaited": session.awaited.photo},
           key="memory", on_photo_change=handler("memory_source", "photo", handed_in))
