"""A table of methods from a registry: name, formula, one sentence, source."""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

from explorer.cams import CamMethod
from explorer.networks.loading.bundled import ASSETS
from explorer.poolings import Pooling
from explorer.sections.nodes import Node, el
from explorer.ui.components.board import board


def licences() -> str:
    """The bundled licences page, in markdown; its own file, so safe to render."""
    return (ASSETS / "LICENSES.md").read_text(encoding="utf-8").split("\n", 1)[1]


def method_table(title: str, methods: Iterable[Pooling | CamMethod]) -> None:
    """One row a method; formulas are set by Streamlit, all other text is plain."""
    board(el("h2", title, class_="section"), key=f"table_{title}")
    for method in methods:
        words, formula = st.columns([5, 4], gap="medium", vertical_alignment="center", border=False)
        with words:
            board(_description(method), key=f"method_{method.key}")
        formula.latex(method.formula)


def _description(method: Pooling | CamMethod) -> Node:
    """A method's name, one sentence, the range of its parameter, and its source."""
    parameter = getattr(method, "parameter", None)
    span = None
    if parameter:
        span = el("p", f"{parameter.name}: {parameter.explanation}; {parameter.low:g} to {parameter.high:g}, "
                       f"{parameter.default:g} unless chosen.", class_="caption")
    return el("div", el("h3", method.name, aria_level=3), el("p", method.explanation), span,
              el("p", method.source, class_="caption"), class_="method")
