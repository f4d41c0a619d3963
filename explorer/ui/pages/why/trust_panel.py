"""How far to trust a map: deletion and insertion, what is left through it, and whether it hangs on the weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import streamlit as st

from explorer import figures
from explorer.analysis import Outcome
from explorer.errors import MethodError
from explorer.networks import Network
from explorer.progress import Progress, Stop
from explorer.questions.edited_photo import FILLS
from explorer.questions.measured_maps import verdict as many_photos
from explorer.questions.randomisation import FALLEN_APART, Randomised, randomised
from explorer.questions.trust import Curves, Drop, Maps, drops, judged, maps_to_judge
from explorer.sections.nodes import Node, el
from explorer.ui.components.board import board
from explorer.ui.pooling_choice import outcomes_of
from explorer.ui.progress import worked
from explorer.ui.session.jobs import Job
from explorer.ui.session.session import Session
from explorer.wording import percent, plain, signed

FILL, METHODS = "blur", ("grad_cam", "layer_cam")
PARTS = ("head", "backbone")


class Trusted(NamedTuple):
    """All that the panel shows."""

    curves: Curves
    drops: list[Drop]
    randomised: list[Randomised]
    no_evidence_reason: tuple[str, ...]


def trust_panel(current: Session, outcome: Outcome, class_index: int) -> None:
    """The curves, their areas, and what becomes of the map when the network knows nothing."""
    poolings = _poolings(current, outcome)
    key = ("trust job", class_index, *poolings)
    job = outcome.remember(key, lambda: Job(lambda progress, stop: _judge(
        outcome, class_index, poolings, progress, stop)))
    found: Trusted | None = worked(current, job, f"trust_{hash(key)}", "Taking positions out, and putting them in")
    if found is None:
        return
    left, right = st.columns(2, gap="medium")
    for column, title, insertion in ((left, "Deletion", False), (right, "Insertion", True)):
        with column:
            board(el("h3", title), key=f"{title}_title")
            st.plotly_chart(_figure(found.curves, insertion), key=f"{title}_figure", config={"displayModeBar": False})
    board(el("div", _table(found), _said(found, outcome.analysis.network), _fallen(found), class_="stack"), key="trust")


def _poolings(current: Session, outcome: Outcome) -> tuple[str, ...]:
    """Keys of the poolings whose evidence is judged: the one in use and those side by side on Poolings, three."""
    if not outcome.analysis.has_evidence:
        return ()
    others = outcomes_of(outcome.analysis, current.choices.poolings)
    return tuple({each.pooling: None for each in (outcome, *others)})[:3]


def _judge(outcome: Outcome, class_index: int, poolings: Sequence[str], progress: Progress, stop: Stop) -> Trusted:
    judging: Maps = maps_to_judge(outcome, class_index, poolings, METHODS)
    curves = judged(outcome, class_index, judging.maps, FILL, progress=progress, stop=stop)
    seen, again, no_evidence_reason = drops(outcome, class_index, judging.maps, FILL, stop=stop), [], []
    for kind in (["evidence"] if outcome.analysis.has_evidence else []) + ["grad_cam"]:
        for part in PARTS:
            try:
                again.append(randomised(outcome, class_index, part, kind, stop=stop))
            except MethodError as error:
                no_evidence_reason.append(str(error))
    return Trusted(curves, seen, again, (*judging.skipped.values(), *dict.fromkeys(no_evidence_reason)))


def _figure(curves: Curves, insertion: bool) -> figures.go.Figure:
    lines = {each.name: each.insertion if insertion else each.deletion for each in curves.curves}
    controls = [each.name for each in curves.curves if each.control]
    done = "put in" if insertion else "taken out"
    return figures.curves(curves.curves[0].shares, lines, controls, f"share of the photo {done}", "probability")


def _table(found: Trusted) -> Node:
    """Areas, and what is left of the answer when the photo is seen through the map."""
    through = {drop.name: drop for drop in found.drops}
    heads = ("map", "deletion, lower is better", "insertion, higher is better", "through it")
    rows = []
    for curve in found.curves.curves:
        drop = through.get(curve.name)
        rows.append(el("div", el("span", curve.name + (", a control" if curve.control else ""), class_="name"),
                       el("span", plain(curve.deletion_area)), el("span", plain(curve.insertion_area)),
                       el("span", f"{percent(drop.after)} at {percent(drop.kept)} of the photo" if drop else ""),
                       class_="difference"))
    return el("div", el("div", el("h3", "Area under each curve"),
                        el("span", f"{found.curves.passes:,} forward passes, {found.curves.seconds:.1f} s",
                           class_="caption"), class_="head"),
              el("div", *(el("span", head) for head in heads), class_="difference caption"), *rows,
              class_="differences ruled")


def _said(found: Trusted, network: Network) -> Node:
    """Whether the first map does better than the controls on this photo."""
    curves = found.curves
    first = next(each for each in curves.curves if not each.control)
    gains = {name: curves.gain(first.name, name) for name in ("random", "uniform")}
    lost = [name for name, gain in gains.items() if gain.between <= 0]
    beaten = [name for name in gains if name not in lost]
    numbers = " and ".join(f"{signed(gain.between)} on {name}" for name, gain in gains.items())
    verdict = (f"On this photo {first.name} does better than {' and '.join(beaten)} removal" if not lost else
               f"On this photo {first.name} does not do better than {' and '.join(lost)} removal, do not lean on it")
    verdict += f": {numbers} in the area between the two curves."
    worse = [name for name, gain in gains.items() if gain.insertion < 0 and name not in lost]
    verdict += f" At insertion alone {' and '.join(worse)} removal does better." if worse else ""
    over_many = many_photos(network, first.name)
    return el("p", f"{verdict} Positions go and come by each map's order, the strongest first; {FILLS[curves.fill]}. "
                   f"The judge is the answer under {curves.pooling}: {percent(curves.before)} with all of the photo, "
                   f"{percent(curves.nothing)} with nothing of it. One photo proves little: "
                   f"{over_many[0].lower()}{over_many[1:]}", class_="note")


def _fallen(found: Trusted) -> Node:
    """What becomes of maps when the head or the backbone is drawn anew."""
    rows = [
        el("div", el("span", f"{each.name}, {each.what} drawn anew", class_="name"), el("span", plain(each.agreement)),
           el("span", plain(each.energy_after)),
           el("span", "falls apart" if each.fallen_apart else "does not fall apart"), class_="difference")
        for each in found.randomised
    ]
    heads = ("map", "agreement with itself before", "with where activations are", "so it")
    return el("div", el("div", el("h3", "Does it hang on what the network learned?"), class_="head"),
              el("div", *(el("span", head) for head in heads), class_="difference caption"), *rows,
              el("p", "The weights of the head or the backbone are drawn anew, three times, and the map is made again. "
                      f"A map that still agrees with itself by {FALLEN_APART} or more shows something that was not "
                      "learned.", class_="note"), *(el("p", each, class_="note") for each in found.no_evidence_reason),
              class_="differences ruled")
