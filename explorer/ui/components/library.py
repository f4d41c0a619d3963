"""The scripts and styles of a page, sent to the browser once.

Streamlit puts a component's script and style into every message of every element of it: ten panels would carry the
same text ten times with each click. So all of it goes into one element, the library, and every other element has a
script of three lines that has the library draw it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

from explorer.live.scripts import HERE as LIVE
from explorer.live.scripts import PANEL, VIEWER
from explorer.sections.nodes import STYLE

_HERE = Path(__file__).parent
_SHARED = ("shared.js", "view.js")
_PARTS = ((*(name for name in PANEL if name not in _SHARED), "intervene.js", "class_search.js"),
          ("tiles.js", "wall.js", "photos.js"), ("board.js",), ("slider.js",), ("muting.js",), ("source.js",),
          ("keys.js",), ("memory.js",), ("focus.js", "sidebar.js"))
_STYLES = ("viewer", "wall", "board", "slider", "muting", "panel", "intervene", "class_search")
_STUB = """export default function (element) {
  const draw = () => window.poolscope.draw("%s", element);
  if (window.poolscope?.draw) draw(); else window.addEventListener("poolscope", draw, { once: true });
}"""


def _read(name: str) -> str:
    """A script or style: one that pages without a server have too, or one beside this file."""
    folder = next(folder for folder in (VIEWER, LIVE, _HERE) if (folder / name).exists())
    return (folder / name).read_text(encoding="utf-8")


def _script() -> str:
    """One module: what is shared, and each part in a block of its own, so that names stay apart."""
    blocks = ("{\n" + "".join(map(_read, names)) + "}\n" for names in _PARTS)
    return "".join((*map(_read, _SHARED), *blocks, _read("library.js")))


_library = st.components.v2.component("poolscope.library", html="<div></div>", js=_script())


def put_library() -> None:
    """Give the page its scripts and styles; they take no room. `frame` does it."""
    hidden(_library, [_styles()], key="library")


@cache
def _styles() -> dict[str, str]:
    styles = {name: _read(f"{name}.css") for name in _STYLES}
    board = STYLE.read_text(encoding="utf-8") + styles["board"]
    return styles | {"board": board, "photos": styles["wall"], "muting": board + styles["muting"],
                     "intervene": styles["viewer"] + styles.pop("panel") + styles["intervene"]}


def part(name: str, html: str) -> Callable[..., Any]:
    """A component that the library's part of that name draws.

    It takes `data`, or the JSON of it in bytes where that is kept. Data goes in a list: what is in one Streamlit takes
    as it is, and does not look for tables in it.
    """
    component = st.components.v2.component(f"poolscope.{name}", html=html, js=_STUB % name)

    def mount(data: dict[str, Any] | bytes, **options: Any) -> Any:
        return component(data=data if isinstance(data, bytes) else [data], **options)

    return mount


def hidden(component: Callable[..., Any], data: Any, key: str, **events: Callable[[], None]) -> None:
    """Mount an element that draws nothing and takes no room."""
    component(data=data, key=f"{key}_source", **events)


def handler(key: str, event: str, act: Callable[[Any], None] | None) -> Callable[[], None]:
    """What Streamlit calls when the element of that key sends an event: `act` with the value, before the page runs."""

    def call() -> None:
        value = st.session_state[key].get(event)
        if value is not None and act is not None:
            act(value)

    return call
