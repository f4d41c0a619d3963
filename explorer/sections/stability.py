"""Small changes of the photo: whether the prediction stays, and a bar for each change under each pooling."""

from __future__ import annotations

import math
from collections.abc import Sequence

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
from explorer.wording import RARE, Value, is_rare, percent, share_word


def stability_section(stability: Stability) -> Node:
    """The sentences, and small multiples: a column for each pooling, a row for each kind of change."""
    def row(first: Node, *cells: Node, head: bool = False) -> Node:
        roles = ("columnheader", "columnheader") if head else ("rowheader", "cell")
        return el("div", *(el("div", cell, role=roles[n > 0]) for n, cell in enumerate((first, *cells))), role="row",
                  class_="multiples", style={"--columns": str(len(stability.under))})

    answers = [one for under in stability.under for one in (under.original, *under.rows)]
    word, largest = share_word(answers[0].probability), _largest(answers)
    unit = "" if isinstance(answers[0].probability, Value) else ", in percent"
    rows = [row(el("span", f"{word.capitalize()} of {short(stability.class_names[stability.class_index])}{unit}",
                   class_="caption"),
                *(el("strong", under.name) for under in stability.under), head=True)]
    for key in dict.fromkeys(variant.variation for variant in stability.variants):
        about = el("div", el("strong", VARIATIONS[key].name), el("p", VARIATIONS[key].explanation, class_="caption"))
        rows.append(row(about, *(_bars(stability, under, key, largest) for under in stability.under)))
    parts = [el("div", *rows, role="table", aria_label="Small changes under each pooling", class_="stack"),
             el("p", f"A bar is the {word} after a change (full height: {percent(largest)}); it is hatched, and "
                     "so is its foot, where the prediction changes. The line is the photo as it is.",
                class_="note colours")]
    if all(is_rare(one.probability) for one in answers):
        parts = [el("p", f"Its probability is below {percent(RARE)} before and after every change: there are no bars "
                         "to draw.", class_="note colours")]
    return el(
        "div",
        el("div", *(el("p", f"{under.name}: {stability_sentence(stability, under)} "
                            f"{movement_sentence(stability, under)}".replace(":  ", ": "))
                    for under in stability.under), class_="ruled"),
        el("div", *parts, class_="cards"),
        class_="stack")


def _largest(answers: Sequence[VariantAnswer]) -> float:
    """What a bar of full height stands for: a probability of 1, or the value that is furthest from 0."""
    sizes = [abs(one.probability) for one in answers if math.isfinite(one.probability)]
    return Value(max(sizes, default=0.0) or 1.0) if isinstance(answers[0].probability, Value) else 1.0


def _bars(stability: Stability, under: PoolingStability, variation: str, largest: float) -> Node:
    rows = [row for row in under.rows if row.variant.variation == variation]
    bars = [el("span", el("span", _number(row)), class_="one" if row.stays else "one other",
               style={"--share": _height(row, largest)}, title=_in_words(stability, row)) for row in rows]
    return el("div", *bars, class_="changes", style={"--before": _height(under.original, largest)}, role="img",
              aria_label="; ".join(_in_words(stability, row) for row in rows))


def _height(row: VariantAnswer, largest: float) -> str:
    return f"{100 * abs(row.probability) / largest if math.isfinite(row.probability) else 0:.1f}%"


def _number(row: VariantAnswer) -> str:
    """Above a bar, where there is little room: "32", "0.6" or "<0.1"; the heading says that it is in percent."""
    return percent(row.probability).removesuffix("%") if math.isfinite(row.probability) else ""


def _in_words(stability: Stability, row: VariantAnswer) -> str:
    instead = "" if row.stays else f", {short(stability.class_names[row.answer])} instead"
    moved = "" if math.isnan(row.moved) else f", moved by {row.moved:.1f} positions"
    return f"{row.variant.label}: {percent(row.probability)}{instead}{moved}"
