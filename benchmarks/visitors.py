"""Visitors without a browser: a Streamlit session over its websocket, as fast as the server answers."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from types import TracebackType

import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

PATIENCE = 300.0  # seconds for one run of a page


class Visitor:
    """One session. `async with Visitor(url) as visitor: seconds = await visitor.visit("class=207")`.

    Args:
        url: of the app, "http://127.0.0.1:8501"; for `upload` it must be served without the XSRF check.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._session_id = self._uploader = ""

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

    async def upload(self, name: str, data: bytes) -> float:
        """Hand in a photo, after a first visit; seconds from the file's name to the end of the page's run."""
        begin, request = time.perf_counter(), BackMsg()
        request.file_urls_request.request_id = name
        request.file_urls_request.session_id = self._session_id
        request.file_urls_request.file_names.append(name)
        await self._wire.send(request.SerializeToString())
        urls = (await self._answer("file_urls_response")).file_urls_response.file_urls[0]
        await asyncio.to_thread(_put, self._url + urls.upload_url, name, data)
        message = BackMsg()
        state = message.rerun_script.widget_states.widgets.add(id=self._uploader)
        state.file_uploader_state_value.uploaded_file_info.add(
            name=name, size=len(data), file_id=urls.file_id, file_urls=urls)
        await self._run(message)
        return time.perf_counter() - begin

    async def _run(self, message: BackMsg) -> float:
        begin = time.perf_counter()
        await self._wire.send(message.SerializeToString())
        await self._answer("script_finished")
        return time.perf_counter() - begin

    async def _answer(self, kind: str) -> ForwardMsg:
        """The next message of that kind; what comes before it is read for what `upload` needs."""
        while True:
            answer = ForwardMsg.FromString(await asyncio.wait_for(self._wire.recv(), PATIENCE))
            if answer.WhichOneof("type") == kind:
                return answer
            if answer.HasField("new_session"):
                self._session_id = answer.new_session.initialize.session_id
            element = answer.delta.new_element
            if element.HasField("exception"):
                raise RuntimeError(element.exception.message)
            if element.HasField("file_uploader"):
                self._uploader = element.file_uploader.id


def _put(url: str, name: str, data: bytes) -> None:
    boundary = "photo"
    body = (f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: image/jpeg\r\n\r\n").encode() + data + f"\r\n--{boundary}--\r\n".encode()
    request = urllib.request.Request(url, body, {"Content-Type": f"multipart/form-data; boundary={boundary}"},
                                     method="PUT")
    urllib.request.urlopen(request).close()
