"""Visitors without a browser: a Streamlit session over its websocket, as fast as the server answers."""

from __future__ import annotations

import asyncio
import mimetypes
import re
import time
import urllib.request
from types import TracebackType

import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState

PATIENCE = 300.0  # seconds for one run of a page
_KEY = re.compile(r"\$\$ID-[0-9a-f]+-(.+)")  # of a widget, in the id that Streamlit gives it


class Visitor:
    """One session. `async with Visitor(url) as visitor: seconds = await visitor.visit("class=207")`.

    Args:
        url: of the app, "http://127.0.0.1:8501"; for `upload` it must be served without the XSRF check.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._session_id = ""
        self._widgets: dict[str, tuple[str, str]] = {}  # their ids and their fragments, by their keys
        self._drawn: list[bytes] = []

    async def __aenter__(self) -> Visitor:
        self._wire = await websockets.connect(
            self._url.replace("http", "ws", 1) + "/_stcore/stream", subprotocols=["streamlit"], max_size=None,
            open_timeout=PATIENCE, ping_interval=None)
        return self

    async def __aexit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._wire.close()

    async def visit(self, query: str, page: str = "") -> float:
        """Run a page ("" or "Why") with a query, as when a person goes back to it; seconds until the run has ended.

        Raises RuntimeError where the page shows an exception.
        """
        message = BackMsg()
        message.rerun_script.query_string, message.rerun_script.page_name = query, page
        message.rerun_script.is_history_navigation = True
        return await self._run(message)

    async def upload(self, name: str, data: bytes, key: str = "upload") -> float:
        """Hand a file to an uploader that a page has shown; seconds from the file's name to the end of the run."""
        begin, request = time.perf_counter(), BackMsg()
        request.file_urls_request.request_id = name
        request.file_urls_request.session_id = self._session_id
        request.file_urls_request.file_names.append(name)
        await self._wire.send(request.SerializeToString())
        urls = (await self._answer("file_urls_response")).file_urls_response.file_urls[0]
        await asyncio.to_thread(_put, self._url + urls.upload_url, name, data)
        message, state = self._change(key)
        state.file_uploader_state_value.uploaded_file_info.add(
            name=name, size=len(data), file_id=urls.file_id, file_urls=urls)
        await self._run(message)
        return time.perf_counter() - begin

    async def press(self, key: str) -> float:
        """Press a button that a page has shown; seconds until the run has ended."""
        message, state = self._change(key)
        state.trigger_value = True
        return await self._run(message)

    async def write(self, key: str, text: str) -> float:
        """Type into a field that a page has shown; seconds until the run has ended."""
        message, state = self._change(key)
        state.string_value = text
        return await self._run(message)

    async def pick(self, key: str, option: str) -> float:
        """Choose one of a row of buttons that a page has shown; seconds until the run has ended."""
        message, state = self._change(key)
        state.string_array_value.data.append(option)
        return await self._run(message)

    def sees(self, text: str) -> bool:
        """Whether the text, without any quotation mark, is in what the last run drew anew."""
        return any(text.encode() in part for part in self._drawn)

    def _change(self, key: str) -> tuple[BackMsg, WidgetState]:
        """The request for the run that a change of a widget makes, and the widget's state in it."""
        message, (widget, fragment) = BackMsg(), self._widgets[key]
        message.rerun_script.fragment_id = fragment
        return message, message.rerun_script.widget_states.widgets.add(id=widget)

    async def _run(self, message: BackMsg) -> float:
        begin = time.perf_counter()
        self._drawn.clear()
        await self._wire.send(message.SerializeToString())
        while (await self._answer("script_finished")).script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN:
            self._drawn.clear()  # the page runs once more
        return time.perf_counter() - begin

    async def _answer(self, kind: str) -> ForwardMsg:
        """The next message of that kind; what comes before it is read for what the other methods need."""
        while True:
            data = await asyncio.wait_for(self._wire.recv(decode=False), PATIENCE)
            answer = ForwardMsg.FromString(data)
            if answer.WhichOneof("type") == kind:
                return answer
            if answer.HasField("new_session"):
                self._session_id = answer.new_session.initialize.session_id
            if not answer.HasField("delta"):
                continue
            self._drawn.append(data)
            element = answer.delta.new_element
            if element.HasField("exception"):
                raise RuntimeError(element.exception.message)
            widget = getattr(getattr(element, element.WhichOneof("type") or "", None), "id", "")
            if key := _KEY.fullmatch(widget):
                self._widgets[key[1]] = widget, answer.delta.fragment_id


def _put(url: str, name: str, data: bytes) -> None:
    boundary, kind = "file", mimetypes.guess_type(name)[0] or "application/octet-stream"
    body = (f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            f"Content-Type: {kind}\r\n\r\n").encode() + data + f"\r\n--{boundary}--\r\n".encode()
    request = urllib.request.Request(url, body, {"Content-Type": f"multipart/form-data; boundary={boundary}"},
                                     method="PUT")
    urllib.request.urlopen(request).close()
