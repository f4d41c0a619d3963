"""The panels that all pages are made of: a headline, a note, chips to choose from, a chart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import streamlit as st
from plotly.graph_objects import Figure

from explorer.sections.answers import with_names
from explorer.sections.nodes import Node, el
from explorer.ui.components.board import board


def headline(title: Sequence[str | Node], *sentences: str) -> None:
    """The page's title, its names underlined, over a sentence or two."""
    board(el("div", el("h1", *with_names(title)), *(el("p", text, class_="lead") for text in sentences),
             class_="headline"), key="headline")


def note(sentence: str, key: str, style: str = "note") -> None:
    """A remark in small print, as a "note" or a "caption"; `key` is of the element."""
    board(el("p", sentence, class_=style), key=key)


def alert(*sentences: str, key: str) -> None:
    """What a user must know now, a paragraph each; nothing where there is nothing."""
    if sentences:
        board(el("div", *(el("p", sentence) for sentence in sentences), class_="notice", role="alert"), key=key)


def chip(name: str, pick: Any, pressed: bool, key: str, title: str = "", disabled: bool = False) -> Node:
    """A button in a row of `chips`; `title` is its full name."""
    return el("button", name, pick=None if disabled else pick, type="button", class_="chip", data_key=key,
              title=title or name, aria_label=title or None, aria_pressed=str(pressed).lower(),
              disabled="disabled" if disabled else None)


def chips(caption: str, buttons: Iterable[Node]) -> Node:
    """A row of buttons behind a caption."""
    return el("div", el("span", caption, class_="caption"), *buttons, class_="chips")


def chart(figure: Figure, key: str, on_select: Callable[[], None] | None = None) -> None:
    """A Plotly figure without its toolbar; `on_select` is called when a point is clicked."""
    st.plotly_chart(figure, key=key, config={"displayModeBar": False}, on_select=on_select or "ignore",
                    selection_mode="points")
