"""A place on the photo that was chosen in a viewer: what a click does, and what is known of the place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import streamlit as st

from explorer import CAM_METHODS
from explorer.analysis import CAM_INSTEAD, Outcome
from explorer.sections.nodes import el
from explorer.ui.components.board import board
from explorer.ui.components.viewer import Handlers
from explorer.ui.maps import votes_in_words
from explorer.ui.session.session import EXAMPLES, Session, write_url
from explorer.wording import percent, signed


def viewer_handlers(current: Session, pick: Callable[[Any], None] | None = None) -> Handlers:
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

    return Handlers(region=choose_region, pick=pick, present=present, walk=walk)


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
    (top, left, bottom, right), (rows, columns) = region, outcome.analysis.framing.grid
    count = (bottom - top + 1) * (right - left + 1)
    where = f"Position ({top}, {left})" if count == 1 else f"Positions ({top}, {left}) to ({bottom}, {right})"
    box = outcome.analysis.framing.rectangles[top : bottom + 1, left : right + 1].reshape(-1, 4)
    pixels = [round(edge) for edge in (*box[:, :2].min(0), *box[:, 2:].max(0))]
    say = _given if outcome.analysis.has_evidence else _by_gradient
    board(
        el(
            "div",
            el("div", el("h3", where), el("button", "Let go", pick="clear", type="button", class_="link"),
               class_="head"),
            *(el("p", sentence) for sentence in say(outcome, class_index, region)),
            el("p", f"{count} of {rows * columns} positions; pixels {pixels[0]} to {pixels[2]} across and "
                    f"{pixels[1]} to {pixels[3]} down of the photo", class_="caption"),
            class_="place",
        ),
        key="place",
        on_pick=lambda _: current.choose(region=None),
    )


def _given(outcome: Outcome, class_index: int, region: tuple[int, int, int, int]) -> list[str]:
    """What the positions give to the class, and what one of them says by itself."""
    analysis, (top, left, bottom, right) = outcome.analysis, region
    cells = outcome.evidence(class_index).cells.double()
    inside = cells[top : bottom + 1, left : right + 1]
    given = float(inside.sum())
    kind = cells.clamp_min(0) if given >= 0 else (-cells).clamp_min(0)
    part = kind[top : bottom + 1, left : right + 1].sum() / kind.sum() if kind.sum() > 0 else kind.sum()
    sentences = [f"{signed(given)} logits for {analysis.network.class_names[class_index]} under {outcome.name}, with "
                 f"{percent(float(part))} of what speaks {'for' if given >= 0 else 'against'} it."]
    if inside.numel() == 1:
        sentences.append(f"By itself it says {votes_in_words(outcome)[top * cells.shape[1] + left]}.")
    return sentences


def _by_gradient(outcome: Outcome, class_index: int, region: tuple[int, int, int, int]) -> list[str]:
    """How a CAM by gradients has the positions, in shares of its largest magnitude: it has no unit."""
    top, left, bottom, right = region
    cells = outcome.cam(CAM_INSTEAD, class_index).double()
    most = float(cells.abs().max())
    mean = float(cells[top : bottom + 1, left : right + 1].mean())
    said = signed(mean / most) if most else signed(0.0)
    return [f"{CAM_METHODS[CAM_INSTEAD].name} of {outcome.analysis.network.class_names[class_index]}: {said} of its "
            "own largest, on average; it has no unit."]
