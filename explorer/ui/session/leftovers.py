"""What Streamlit keeps although nobody can reach it any more: it would keep photos alive.

It has no setting for either, so its own parts are reached for, and where another version has others nothing happens.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any

from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

_WAIT = 10.0  # seconds for the server's loop


def drop_widgets() -> None:
    """In a run of a page: drop what widgets were given that are gone.

    Streamlit keeps a widget's callbacks, and what they refer to, as long as the session: of every photo there was.
    """
    with contextlib.suppress(AttributeError):
        context: Any = get_script_run_ctx()
        widgets = context.session_state._state._new_widget_state
        for widget in set(widgets.widget_metadata) - set(widgets.states):
            del widgets.widget_metadata[widget]


def drop_uploads(files: Iterable[UploadedFile]) -> None:
    """Drop files that were uploaded and read: Streamlit keeps them until the session ends, also without an uploader."""
    context = get_script_run_ctx()
    remove = getattr(context and context.uploaded_file_mgr, "remove_file", None)  # tests have a manager without it
    if context is not None and remove is not None:
        for file in files:
            remove(context.session_id, file.file_id)


def drop_sessions() -> int:
    """Drop sessions that were left and cannot be taken up again, and what they kept; how many there were.

    Streamlit forgets them two minutes after they were left, but only once another one is left. Its loop holds the last
    one that it served until somebody comes: with photos and perhaps a network.
    """
    if not runtime.exists():
        return 0
    server: Any = runtime.get_instance()
    with contextlib.suppress(AttributeError, TimeoutError):
        left, loop = server._session_mgr._session_storage._cache, server._get_async_objs().eventloop

        async def expire() -> int:  # in the server's loop: no other may change them
            over = [info.session for _, info in left.expire()]
            for session in over:
                session.shutdown()
                for part in ("_session_state", "_fragment_storage"):  # whose own methods leave what callbacks refer to
                    setattr(session, part, type(getattr(session, part))())
            return len(over)

        return asyncio.run_coroutine_threadsafe(expire(), loop).result(_WAIT)
    return 0
