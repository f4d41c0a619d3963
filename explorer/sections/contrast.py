"""A class against its rival: the map of the difference, its places, and the difference under each pooling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from explorer import render
from explorer.analysis import Outcome
from explorer.questions.contrast import Contrast, contrast
from explorer.questions.stitching import StitchedEvidence
from explorer.sections.answers import is_calibrated, named_answer
from explorer.sections.nodes import Node, el
from explorer.sections.parts import OVERLAY_SIDE, Row, figure, head, legend, maps_shape, short, table, unseen
from explorer.wording import exactness, listed, number_word, percent, plain, second_part, signed, strongest_half


def names_of(outcome: Outcome, *classes: int | None) -> list[str]:
    """The classes' names for a sentence or a table; without those that are None."""
    return [short(outcome.analysis.network.class_names[index]) for index in classes if index is not None]


def contrast_figure(contrast: Contrast, outcome: Outcome) -> Node:
    """The photo under the map of the difference, with its account."""
    mine, other = names_of(outcome, contrast.class_index, contrast.rival)
    unit = outcome.analysis.network.unit
    scale = render.Scale.signed(contrast.cells)
    total = second_part(contrast.difference, contrast.baseline, float(contrast.cells.sum()))
    painted = outcome.analysis.overlay(torch.from_numpy(contrast.cells), scale, long_side=OVERLAY_SIDE)
    return figure(
        render.jpeg(painted, 82), f"The photo with the evidence for {mine} against {other} laid over it",
        el("span", f"difference {plain(contrast.difference)} = baseline {plain(contrast.baseline)} "
                   f"{'−' if total < 0 else '+'} evidence {plain(abs(total))}; "
                   f"{exactness(contrast.exact, contrast.residual, outcome.logits)}"),
        el("span", f"red towards {mine}, blue towards {other}; {maps_shape(outcome.analysis)}"
                   + unseen(outcome.analysis), class_="colours"),
        legend(scale, signed(scale.low), signed(scale.limit), unit, f"Blue towards {other}, red towards {mine}"))


def places(contrast: Contrast, outcome: Outcome) -> Node:
    """Where the evidence for each of the two against the other lies."""
    mine, other = names_of(outcome, contrast.class_index, contrast.rival)
    cells = contrast.cells
    wrong = int((~np.isfinite(cells)).sum())
    if wrong:
        return el("p", f"The difference is not a number at {number_word(wrong)} of {cells.size} positions.")
    return el("p", f"{_place(cells, mine, other)} {_place(-cells, other, mine)}")


def _place(cells: np.ndarray, mine: str, other: str) -> str:
    half = strongest_half(cells)
    if half is None:
        return f"No position favours {mine} over {other}."
    if half.total == 1:
        return f"The one position that there is favours {mine} over {other}."
    return (f"{number_word(half.count).capitalize()} of {half.total} positions, {half.place}, "
            f"hold{'s' if half.count == 1 else ''} {percent(half.share)} of the evidence for {mine} over {other}.")


def under_each_pooling(
    outcome: Outcome, class_index: int, rival: int, calibrated: bool = False,
    pick: Callable[[Outcome], Any] = lambda _: None,
) -> Node:
    """The difference and the prediction under each pooling; `pick` gives what a click on a row sends."""
    outcomes = outcome.under_each_pooling()
    rows = [Row((one.name, signed(contrast(one, class_index, rival).difference),
                 named_answer(one.top(1, calibrated)[0])), one is outcome, pick(one)) for one in outcomes]
    mine, other = names_of(outcome, class_index, rival)
    fitting = listed([one.name for one in outcomes if one.label != "what-if"])
    known = any(is_calibrated(one, calibrated) for one in outcomes)
    caption = f"what-ifs: all but {fitting}; " + (
        "calibrated probabilities, logits as the head gives them" if known else
        "no number was fitted for this network" if calibrated else "not calibrated")
    ahead = f"{outcome.analysis.network.unit} ahead"
    return el("div", head(f"{mine} ahead of {other}", caption),
              table(("pooling", ahead, "prediction"), rows, numbers={1}, class_="poolings"), class_="ruled")


def stitched_lines(stitched: StitchedEvidence, number: str) -> tuple[str, str]:
    """The mean of the shifted logits decomposed, and how far the shifts lie apart; `number` is the network's."""
    what = number if stitched.rival is None else "difference"
    evidence = second_part(stitched.logit, round(stitched.baseline, 2) + round(stitched.outside, 2),
                           float(stitched.cells.sum()))
    return (f"mean {what} {plain(stitched.logit)} = {plain(stitched.baseline)} baseline "
            f"{signed(evidence)} evidence {signed(stitched.outside)} outside",
            f"{len(stitched.logits)} shifts, from {plain(float(stitched.logits.min()))} to "
            f"{plain(float(stitched.logits.max()))}")


def stitched_cells(stitched: StitchedEvidence) -> np.ndarray:
    """(H * steps, W * steps): what each place gets in the runs that saw it; at the edges fewer did."""
    seen = stitched.coverage > 0
    return np.where(seen, stitched.cells / np.where(seen, stitched.coverage, 1), 0)


def stitched_figure(stitched: StitchedEvidence, contrast: Contrast | None, outcome: Outcome) -> Node:
    """The photo under the stitched map, on the scale of the contrast: each place as if it were a position."""
    cells = stitched_cells(stitched) * stitched.steps ** 2
    scale = render.Scale.signed(cells if contrast is None else contrast.cells)
    photo, box = outcome.analysis.preview(OVERLAY_SIDE)
    return figure(
        render.jpeg(render.overlay(photo, cells, box, scale), 82), "The same from shifts of the photo, stitched",
        el("strong", f"Stitched from shifts by parts of a position, {cells.shape[0]} × {cells.shape[1]} places"),
        *(el("span", line) for line in stitched_lines(stitched, outcome.analysis.network.number)),
        el("span", f"{exactness(stitched.exact, stitched.residual, outcome.logits)}"),
        el("span", "On the same scale, each place as if it were a position.", class_="colours"))
