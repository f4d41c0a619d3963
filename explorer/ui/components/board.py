"""A board: a drawn panel whose layout is described in Python and built in the browser from text nodes alone.

Streamlit's own elements cannot stand as close together as a table of probabilities wants, and markdown or HTML would
turn a class name or a file name into markup. A board takes a tree of `el(...)` nodes instead; names stay text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from explorer.sections.nodes import Node
from explorer.ui.components.library import part

_component = part("board", '<div class="board"></div>')


def board(tree: Node, key: str, on_pick: Callable[[Any], None] | None = None) -> None:
    """Show a tree; `on_pick` gets what a clicked node was given, before the page runs again."""

    def picked() -> None:
        value = st.session_state[key].get("pick")
        if value is not None and on_pick is not None:
            on_pick(value)

    _component(data={"tree": tree.data()}, key=key, on_pick_change=picked)
