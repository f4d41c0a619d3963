"""Without this part: what some positions hold, what is said without them in the pooling, and without them at all."""

from __future__ import annotations

import numpy as np
import streamlit as st

from explorer import render
from explorer.analysis import Answer, Outcome
from explorer.export.files import CAM_INSTEAD
from explorer.questions.edited_photo import FILLS
from explorer.questions.probe import Answers, Probe, probe
from explorer.sections.nodes import Node, el, picture
from explorer.sections.summary import carrying
from explorer.ui.components.board import board
from explorer.ui.components.viewer import Look, stack, viewer
from explorer.ui.maps import cam_map, evidence_map
from explorer.ui.progress import answered
from explorer.ui.region import viewer_handlers
from explorer.ui.session.session import Session
from explorer.ui.session.url import write_url
from explorer.wording import exactness, percent, plain, shortened, signed

SHOWN_SIDE = 420  # px: of the changed photos


def without_panel(current: Session, outcome: Outcome, class_index: int) -> None:
    """A viewer to drag a box in, and what becomes of the answer without it; the box alone runs this part again."""
    @st.fragment
    def part() -> None:
        write_url(current, class_index)
        left, right = st.columns([46, 54], gap="medium")
        with left:
            _viewer(current, outcome, class_index)
        with right:
            answered(lambda: _answers(current, outcome, class_index))

    part()


def chosen_positions(current: Session, outcome: Outcome, class_index: int) -> tuple[np.ndarray, str]:
    """(H, W) bool, and in words what they are: the box that was dragged, else the positions that carry the answer."""
    rows, columns = grid = outcome.analysis.framing.grid
    if current.choices.region is not None:
        top, left, bottom, right = current.choices.region
        chosen = np.zeros(grid, dtype=bool)
        chosen[top : bottom + 1, left : right + 1] = True
        return chosen, f"the {int(chosen.sum())} of {rows * columns} positions in your box"
    cells = outcome.class_map(class_index).array
    carriers = carrying(cells)
    if carriers is None or carriers.all():
        carriers = np.zeros(grid, dtype=bool)
        carriers.flat[int(np.nan_to_num(cells).argmax())] = True
    return carriers, (f"the {int(carriers.sum())} of {rows * columns} positions that carry half of what speaks for it; "
                      "drag a box in the photo to ask about another part")


def _viewer(current: Session, outcome: Outcome, class_index: int) -> None:
    analysis = outcome.analysis
    if analysis.has_evidence:
        one, by = evidence_map(outcome, class_index), ("Pooling", ", under ")
    else:
        one, by = cam_map(outcome, CAM_INSTEAD, class_index), ("CAM method", ", by ")
    viewer(analysis, current.photo.digest, stack([one]), key="without", name="The part to take out",
           look=Look(main=True, region=current.choices.region, handlers=viewer_handlers(current),
                      facets=(("Class", ""), by)))
    if current.choices.region is not None:
        board(el("button", "Let go of the box", pick="clear", type="button", class_="link"), key="let_go",
              on_pick=lambda _: current.choose(region=None))


def _answers(current: Session, outcome: Outcome, class_index: int) -> None:
    calibrated = current.choices.calibrated
    chosen, what = chosen_positions(current, outcome, class_index)
    found = outcome.remember(("probe", class_index, chosen.tobytes(), calibrated),
                             lambda: probe(outcome, class_index, chosen, calibrated=calibrated))
    board(el("div", _three(found, what), _photos(found), _poolings(found), class_="stack"), key="probed")


def _three(found: Probe, what: str) -> Node:
    """The three numbers, which answer three questions, and why they may differ."""
    name = shortened(found.outcome.analysis.network.class_names[found.class_index], 40)
    before, ways = found.own.before.classes[0], []
    if found.held is not None:
        speaks = found.held.speaks_for if found.held.logits >= 0 else found.held.speaks_against
        ways.append(_way("It holds", signed(found.held.logits), f"{percent(speaks)} of what speaks "
                         f"{'for' if found.held.logits >= 0 else 'against'} {name}, "
                         f"{exactness(found.held.exact, found.held.residual)}"))
    if found.own.ignoring is not None:
        after = found.own.ignoring.classes[0]
        ways.append(_way("Ignored by the pooling", signed(after.logit - before.logit),
                         f"logit {plain(before.logit)} to {plain(after.logit)}: {_answer(found, found.own.ignoring)}"))
    for fill, said in found.own.after.items():
        after = said.classes[0]
        ways.append(_way(f"Taken out: {fill}", signed(after.logit - before.logit),
                         f"logit {plain(before.logit)} to {plain(after.logit)}: {_answer(found, said)}"))
    apart = [el("p", each.sentence, class_="note") for each in found.disagreements if each.kind != "none"][:1]
    return el("div", el("div", el("h3", "Would it still say so?"), class_="head"),
              el("p", f"Asked about {what}.", class_="caption"), el("div", *ways, class_="ways"), *apart,
              class_="ruled")


def _way(title: str, number: str, words: str) -> Node:
    return el("div", el("span", title, class_="caption"), el("strong", number), el("span", words, class_="caption"),
              class_="way")


def _answer(found: Probe, said: Answers) -> str:
    """What it says; where each class is asked by itself, what it gives the one that is asked about."""
    alone = found.outcome.analysis.network.activation == "sigmoid"
    answer: Answer = said.classes[0] if alone else said.top
    return f"it {'gives' if alone else 'says'} {shortened(answer.name, 40)}, {percent(answer.probability)}"


def _photos(found: Probe) -> Node:
    """What the network was shown."""
    def draw() -> list[bytes]:
        return [render.jpeg(found.photo(fill, SHOWN_SIDE), 82) for fill in found.own.after]

    shown = found.outcome.remember(("probed photos", found.chosen.tobytes()), draw)
    return el("div", *(el("div", picture(data, f"The photo with that part {FILLS[fill]}"),
                          el("span", fill, class_="caption"), class_="shot")
                       for fill, data in zip(found.own.after, shown, strict=True)), class_="shots ruled")


def _poolings(found: Probe) -> Node | None:
    """The answer under every pooling, before and after."""
    if len(found.rows) < 2:
        return None
    rows = [
        el("div", el("span", row.name, class_="name"), *(
            el("span", f"{shortened(said.top.name, 28)} {percent(said.top.probability)}", title=said.top.name)
            for said in (row.before, row.ignoring, row.after["blur"])), class_="difference words")
        for row in found.rows
    ]
    return el("div", el("div", el("h3", "Under each pooling"), class_="head"),
              el("div", *(el("span", each) for each in ("pooling", "says", "ignoring it", "with it blurred")),
                 class_="difference words caption"), *rows, class_="differences ruled")
