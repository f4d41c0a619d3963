"""How far to trust a map: deletion and insertion, what is left through it, and whether it depends on the weights."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import streamlit as st
from plotly.graph_objects import Figure

from explorer import figures
from explorer.analysis import Outcome
from explorer.errors import MethodError
from explorer.networks import Network
from explorer.progress import Progress, Stop
from explorer.questions.randomisation import Randomisation, randomisation
from explorer.questions.trust import Curves, ProbabilityDrop, maps_to_judge, probability_drops, removal_curves
from explorer.sections import trust
from explorer.sections.nodes import Node, el
from explorer.sections.parts import note, section, short
from explorer.ui import panels
from explorer.ui.components.board import board
from explorer.ui.pooling_choice import outcomes_of
from explorer.ui.progress import computed, job_of
from explorer.ui.session.session import Session
from explorer.wording import is_rare, percent, share_word

FILL, METHODS = "blur", ("grad_cam", "layer_cam")
PARTS = ("head", "backbone")
_ON_THE_AXIS = 0.01  # a probability that is no more than a line on the axis


class Trusted(NamedTuple):
    """All that the panel shows; `reasons` why some maps could not be had, `so_far` what is still to come, or ""."""

    curves: Curves
    figures: tuple[Figure, Figure]
    drops: list[ProbabilityDrop]
    randomised: list[Randomisation]
    reasons: tuple[str, ...]
    so_far: str


def trust_panel(session: Session, outcome: Outcome, class_index: int) -> None:
    """The curves, their areas, and what becomes of the map when the network knows nothing."""
    def draw(result: Trusted) -> None:
        _draw(result, outcome, class_index)

    key, work = _work(session, outcome, class_index)
    result: Trusted | None = computed(session, outcome, key, work, "Removing positions, and putting them back", draw)
    if result is not None:
        draw(result)


def trust_in_summary(session: Session, outcome: Outcome, class_index: int) -> Callable[[Progress, Stop], Node] | None:
    """What makes the section of a summary; None where it was not asked."""
    key, work = _work(session, outcome, class_index)
    result: Trusted | None = job_of(outcome, key, work).result
    if session.choices.ask != "trust" and result is None:
        return None

    def make(progress: Progress, stop: Stop) -> Node:
        *_, last = [result] if result is not None else work(progress, stop)
        flags = () if _is_rare(last.curves, outcome.analysis.network) else (False, True)
        tables = [trust.curves_table(last.curves, flag, outcome.analysis.network) for flag in flags]
        return section("How far to trust it", *tables, *_parts(last, outcome, class_index))

    return make


def _work(
    session: Session, outcome: Outcome, class_index: int
) -> tuple[tuple[Hashable, ...], Callable[[Progress, Stop], Iterator[Trusted]]]:
    poolings = _poolings(session, outcome)
    return ("trust", class_index, *poolings), lambda progress, stop: _judge(outcome, class_index, poolings, progress,
                                                                            stop)


def _draw(result: Trusted, outcome: Outcome, class_index: int) -> None:
    key = "trust_so_far" if result.so_far else "trust"
    if not _is_rare(result.curves, outcome.analysis.network):
        for column, title, figure in zip(st.columns(2, gap="medium"), ("Deletion", "Insertion"), result.figures,
                                         strict=True):
            with column:
                board(el("h3", title), key=f"{key}_{title}_title")
                panels.chart(figure, key=f"{key}_{title}_figure")
    board(el("div", *_parts(result, outcome, class_index), class_="stack"), key=key)


def _most(curves: Curves) -> float:
    return max(float(np.max([curve.deletion, curve.insertion])) for curve in curves.curves)


def _is_rare(curves: Curves, network: Network) -> bool:
    """Whether there is no more to see than lines on the axis: 0% with all of the photo, and with any part of it."""
    return is_rare(network.probability(curves.before)) and _most(curves) < _ON_THE_AXIS


def _parts(result: Trusted, outcome: Outcome, class_index: int) -> list[Node]:
    """All but the curves."""
    network, curves = outcome.analysis.network, result.curves
    parts = [note(result.so_far)] if result.so_far else []
    if _is_rare(curves, network):
        name = short(network.class_names[class_index])
        parts.append(note(f"The probability of {name} is {percent(curves.before)} with all of the photo and at most "
                          f"{percent(_most(curves))} with any part of it: there are no curves to draw."))
    elif result.drops:
        parts += [trust.areas(curves, result.drops, network), trust.verdict(curves, network)]
    if result.randomised or not result.so_far:
        parts.append(trust.redrawn(result.randomised, result.reasons))
    return parts


def _poolings(session: Session, outcome: Outcome) -> tuple[str, ...]:
    """Keys of the poolings whose evidence is judged: the one in use and those side by side on Poolings, three."""
    if not outcome.analysis.has_evidence:
        return ()
    outcomes = outcomes_of(outcome.analysis, [outcome.choice, *session.choices.poolings])
    return tuple(dict.fromkeys(one.pooling for one in outcomes))[:3]


def _judge(
    outcome: Outcome, class_index: int, poolings: Sequence[str], progress: Progress, stop: Stop
) -> Iterator[Trusted]:
    """The first map's curves in few steps, then all maps', then in all steps; then the weights drawn anew."""
    maps, skipped = maps_to_judge(outcome, class_index, poolings, METHODS)
    reasons = tuple(skipped.values())
    first = dict(list(maps.items())[:1])

    def curves(of: dict[str, np.ndarray], steps: int, orders: int, so_far: str) -> Trusted:
        done = removal_curves(outcome, class_index, of, FILL, steps, orders, progress=progress, stop=stop)
        word = share_word(outcome.analysis.network.probability(done.before))
        return Trusted(done, (_figure(done, False, word), _figure(done, True, word)), [], [], reasons, so_far)

    for some in (first, maps):
        yield curves(some, 4, 1, "A first look, in 4 steps of the photo: the curves are being refined.")
    result = curves(maps, 20, 4, "The curves are done; the network's weights are being drawn anew.")
    result = result._replace(drops=probability_drops(outcome, class_index, maps, FILL, stop=stop))
    yield result
    kinds = [(kind, part) for kind in (["evidence"] if outcome.analysis.has_evidence else []) + ["grad_cam"]
             for part in PARTS]
    for n, (kind, part) in enumerate(kinds, 1):
        try:
            redrawn = [randomisation(outcome, class_index, part, kind, stop=stop)]
        except MethodError as error:
            redrawn, reasons = [], tuple(dict.fromkeys([*reasons, str(error)]))
        progress(n, len(kinds))
        result = result._replace(randomised=[*result.randomised, *redrawn], reasons=reasons,
                                 so_far=result.so_far if n < len(kinds) else "")
        yield result


def _figure(curves: Curves, insertion: bool, word: str) -> Figure:
    lines = {curve.name: curve.insertion if insertion else curve.deletion for curve in curves.curves}
    controls = [curve.name for curve in curves.curves if curve.control]
    done = "put back" if insertion else "removed"
    return figures.curves(curves.curves[0].shares, lines, controls, f"share of the photo {done}", word,
                          word == "probability")
