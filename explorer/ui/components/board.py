"""A board: a drawn panel whose layout is described in Python and built in the browser from text nodes alone.

Streamlit's own elements cannot stand as close together as a table of probabilities needs, and markdown or HTML would
turn a class name or a file name into markup. A board takes a tree of `el(...)` nodes instead; names stay text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from explorer.sections.nodes import Node
from explorer.ui.components.library import handler, part

_component = part("board", '<div class="board"></div>')


def board(tree: Node, key: str, on_pick: Callable[[Any], None] | None = None) -> None:
    """Show a tree; `on_pick` gets the `pick` of a clicked node, before the page runs again."""
    _component(data={"tree": tree.data()}, key=key, on_pick_change=handler(key, "pick", on_pick))
