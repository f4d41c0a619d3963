"""Small changes of the photo: whether the prediction stays, and a bar for each change under each pooling."""

from __future__ import annotations

import math

from explorer.questions.stability import (
    PoolingStability,
    Stability,
    VariantAnswer,
    movement_sentence,
    stability_sentence,
)
from explorer.questions.variations import VARIATIONS
from explorer.sections.nodes import Node, el
from explorer.sections.parts import short
from explorer.wording import RARE, is_rare, percent


def stability_section(stability: Stability) -> Node:
    """The sentences, and small multiples: a column for each pooling, a row for each kind of change."""
    def row(first: Node, *cells: Node, head: bool = False) -> Node:
        roles = ("columnheader", "columnheader") if head else ("rowheader", "cell")
        return el("div", *(el("div", cell, role=roles[n > 0]) for n, cell in enumerate((first, *cells))), role="row",
                  class_="multiples", style={"--columns": str(len(stability.under))})

    rows = [row(el("span", f"Probability of {short(stability.class_names[stability.class_index])}", class_="caption"),
                *(el("strong", under.name) for under in stability.under), head=True)]
    for key in dict.fromkeys(variant.variation for variant in stability.variants):
        about = el("div", el("strong", VARIATIONS[key].name), el("p", VARIATIONS[key].explanation, class_="caption"))
        rows.append(row(about, *(_bars(stability, under, key) for under in stability.under)))
    parts = [el("div", *rows, role="table", aria_label="Small changes under each pooling", class_="stack"),
             el("p", "A bar is the probability after a change (full height: 100%), hatched where the prediction "
                     "changes. The line is the photo as it is.", class_="note colours")]
    if all(is_rare(row.probability) for under in stability.under for row in (under.original, *under.rows)):
        parts = [el("p", f"Its probability is below {percent(RARE)} before and after every change: there are no bars "
                         "to draw.", class_="note colours")]
    return el(
        "div",
        el("div", *(el("p", f"{under.name}: {stability_sentence(stability, under)} "
                            f"{movement_sentence(stability, under)}")
                    for under in stability.under), class_="ruled"),
        el("div", *parts, class_="cards"),
        class_="stack")


def _bars(stability: Stability, under: PoolingStability, variation: str) -> Node:
    rows = [row for row in under.rows if row.variant.variation == variation]
    bars = [el("span", class_="one" if row.stays else "one other", style={"--share": _height(row)},
               title=_in_words(stability, row)) for row in rows]
    return el("div", *bars, class_="changes", style={"--before": _height(under.original)}, role="img",
              aria_label="; ".join(_in_words(stability, row) for row in rows))


def _height(row: VariantAnswer) -> str:
    return f"{100 * row.probability if math.isfinite(row.probability) else 0:.1f}%"


def _in_words(stability: Stability, row: VariantAnswer) -> str:
    instead = "" if row.stays else f", {short(stability.class_names[row.answer])} instead"
    moved = "" if math.isnan(row.moved) else f", moved by {row.moved:.1f} positions"
    return f"{row.variant.label}: {percent(row.probability)}{instead}{moved}"
