"""A table of methods from a registry: name, formula, one sentence, source."""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

from explorer.cams import CamMethod
from explorer.networks.loading.bundled import ASSETS
from explorer.poolings import Pooling
from explorer.sections.nodes import Node, el
from explorer.sections.parts import facts
from explorer.ui.components.board import board


def words(number: str) -> None:
    """What the words on all pages mean; `number` is "logit" or, of a regression, "value"."""
    meanings = {
        "Feature maps": "what the last layer before the pooling gives: a number for every channel at every position",
        "Channel, position": "one of those maps, which responds to one kind of thing; a cell of the grid on the photo",
        "Pooling": "what turns a channel into one number: its average (GAP), its maximum (GMP), or something between",
        "Head": f"what makes {number}s of the pooled numbers, mostly one layer of weights",
        "Logit": "a class's score; a softmax over all of them makes probabilities",
        "Value": "what the head gives, in a unit of its own",
        "Evidence": f"what a position adds to a {number} or takes from it; with the baseline it is all of the {number}",
        "Baseline": f"the part of a {number} that no position wrote: the head's bias",
        "Residual": "what is left over when the parts are added up; near 0, or the map is not to be trusted",
        "Native, what-if": "the pooling that the head was trained with; any other, under which its numbers are a "
                           "thought experiment",
        "Calibrated": "logits of a what-if times one number fitted on photos, so that its probabilities are as often "
                      "right as they say; no rank changes",
    }
    others = {"logit": ("Value",), "value": ("Logit", "Calibrated")}[number]
    board(el("div", el("h2", "Words", class_="section"),
             facts((word, meaning) for word, meaning in meanings.items() if word not in others), class_="glossary"),
          key="words")


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
