"""A place on the photo that was chosen in a viewer: what a click does, and what is known of the place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import streamlit as st

from explorer.analysis import Outcome
from explorer.ui.board import board, el
from explorer.ui.maps import votes_in_words
from explorer.ui.state import EXAMPLES, Session, write_url
from explorer.ui.viewer import Heard
from explorer.wording import percent, signed


def hears(current: Session, pick: Callable[[Any], None] | None = None) -> Heard:
    """What every page does when its viewer is used: a place is chosen, a talk begins, ends or goes on."""

    def choose_region(told: dict[str, Any]) -> None:
        region = tuple(int(place) for place in told["positions"])
        current.choose(region=None if region == current.choices.region else region)

    def present(on: bool) -> None:
        current.choose(present=bool(on))

    def walk(steps: int) -> None:
        names = list(EXAMPLES)
        at = names.index(current.choices.example) if current.choices.example in names else -steps
        current.show_example(names[(at + steps) % len(names)])

    return Heard(region=choose_region, pick=pick, present=present, walk=walk)


def with_place(current: Session, outcome: Outcome, class_index: int, draw: Callable[[], None]) -> None:
    """What `draw` draws, a viewer, and what is said of the place chosen in it: a click on a place runs this alone.

    Whatever else the viewer is told (a map to follow, a talk) concerns the whole page.
    """
    drawn = replace(current.choices, region=None)

    @st.fragment
    def part() -> None:
        if replace(current.choices, region=None) != drawn:
            st.rerun()
        write_url(current, class_index)
        draw()
        _place(current, outcome, class_index)

    part()


def _place(current: Session, outcome: Outcome, class_index: int) -> None:
    """What the positions chosen give to the class, and what they say by themselves; nothing when none are."""
    region = current.choices.region
    if region is None:
        return
    analysis, (top, left, bottom, right) = outcome.analysis, region
    cells = outcome.evidence(class_index).cells.double()
    inside = cells[top : bottom + 1, left : right + 1]
    given = float(inside.sum())
    kind = cells.clamp_min(0) if given >= 0 else (-cells).clamp_min(0)
    part = kind[top : bottom + 1, left : right + 1].sum() / kind.sum() if kind.sum() > 0 else kind.sum()
    name = analysis.network.class_names[class_index]
    where = f"Position ({top}, {left})" if inside.numel() == 1 else f"Positions ({top}, {left}) to ({bottom}, {right})"
    box = analysis.framing.rectangles[top : bottom + 1, left : right + 1].reshape(-1, 4)
    pixels = [round(edge) for edge in (*box[:, :2].min(0), *box[:, 2:].max(0))]
    board(
        el(
            "div",
            el("div", el("h3", where), el("button", "Let go", pick="clear", type="button", class_="link"),
               class_="head"),
            el("p", f"{signed(given)} logits for {name} under {outcome.name}, with {percent(float(part))} of what "
                    f"speaks {'for' if given >= 0 else 'against'} it."),
            el("p", f"By itself it says {votes_in_words(analysis)[top * cells.shape[1] + left]}.")
            if inside.numel() == 1 else None,
            el("p", f"{inside.numel()} of {cells.numel()} positions; pixels {pixels[0]} to {pixels[2]} across and "
                    f"{pixels[1]} to {pixels[3]} down of the photo", class_="caption"),
            class_="place",
        ),
        key="place",
        on_pick=lambda _: current.choose(region=None),
    )
