"""A board: a drawn panel whose layout is described in Python and built in the browser from text nodes alone.

Streamlit's own elements cannot stand as close together as a table of probabilities wants, and markdown or HTML would
turn a class name or a file name into markup. A board takes a tree of `el(...)` nodes instead; names stay text.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import streamlit as st

from explorer.ui.components.library import part

_component = part("board", '<div class="board"></div>')

Node = dict[str, Any] | str


def el(
    tag: str,
    *children: Node | None,
    class_: str = "",
    pick: Any = None,
    style: dict[str, str] | None = None,
    **attributes: str,
) -> Node:
    """One node: a tag, its children (text or nodes; None is left out), and what a click on it sends back.

    Attribute names are written with underscores (aria_label); the browser refuses tags and attributes it does not
    know, see board.js.
    """
    node: dict[str, Any] = {"tag": tag, "children": [child for child in children if child is not None]}
    if class_:
        node["class"] = class_
    if pick is not None:
        node["pick"] = pick
    if style:
        node["style"] = style
    if attributes:
        node["attributes"] = {name.replace("_", "-"): value for name, value in attributes.items()}
    return node


def picture(data: bytes, alt: str, kind: str = "jpeg", class_: str = "") -> Node:
    """An image from encoded bytes."""
    return el("img", src=f"data:image/{kind};base64,{base64.b64encode(data).decode()}", alt=alt, class_=class_)


def board(tree: Node, key: str, on_pick: Callable[[Any], None] | None = None) -> None:
    """Show a tree; `on_pick` gets what a clicked node was given, before the page runs again."""

    def picked() -> None:
        value = st.session_state[key].get("pick")
        if value is not None and on_pick is not None:
            on_pick(value)

    _component(data={"tree": tree}, key=key, on_pick_change=picked)
