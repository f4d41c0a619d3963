"""A class against its rival: what tips the prediction, on the photo, channel by channel, and under each pooling."""

from __future__ import annotations

import numpy as np
import streamlit as st
import torch

from explorer.analysis import Outcome
from explorer.errors import MethodError
from explorer.poolings import PoolingChoice
from explorer.questions.contrast import Contrast, contrast, pooling_contrast
from explorer.sections.channels import contrast_channels
from explorer.sections.contrast import names_of, under_each_pooling
from explorer.sections.nodes import el
from explorer.sections.parts import strongest
from explorer.ui.components.board import board
from explorer.ui.components.viewer import Map, Stack, stack
from explorer.ui.controls import open_channel
from explorer.ui.downloads import files_hold
from explorer.ui.maps import class_maps, name_in_links
from explorer.ui.present import talk, talk_about_evidence
from explorer.ui.region import photo_panel, with_place
from explorer.ui.session.page_cache import drawn
from explorer.ui.session.session import Session
from explorer.wording import exactness, plain, second_part, signed


def against_panel(session: Session, outcome: Outcome, class_index: int, rival: int | None) -> None:
    """The signed map beside the account of it. Raises MethodError for a network of one class."""
    if rival is None:
        raise MethodError("This network has one class alone; expected two to compare.")
    left, right = st.columns([46, 54], gap="medium")
    with left:
        with_place(session, outcome, class_index, lambda: _map(session, outcome, class_index, rival))
    with right:
        _account(session, outcome, class_index, rival)


def contrast_map(outcome: Outcome, class_index: int, rival: int) -> Map:
    """Towards the class (red) and towards its rival (blue), in logits."""
    one = contrast(outcome, class_index, rival)
    mine, other = names_of(outcome, class_index, rival)
    unit = outcome.analysis.network.unit
    lead = f"Against {other}, {mine} is {_apart(one.difference, unit)} {outcome.under_in_words}".rstrip()
    (rows, columns), (position, most) = one.cells.shape, strongest(one.cells, one.difference)
    leader, tips = (other, most < 0) if one.difference < 0 else (mine, most > 0)
    where = (f"strongest position {position}: {signed(most)} {unit} towards {leader}" if tips
             else f"no position favours {leader}")
    return Map(
        id=f"{class_index}-{rival}.{name_in_links(outcome.choice)}", values=one.cells,
        name=f"{mine} against {other} under {outcome.name}", facets=(f"{mine} against {other}", outcome.name),
        aside=f"{rows} × {columns} positions", lines=_lines(one),
        badge=exactness(one.exact, one.residual, outcome.logits),
        mark=position if tips else None, says=f"{lead}.", scale=str(outcome.choice),
        caption=f"Red towards {mine}, blue towards {other} · {where}", unit_name=unit,
    )


def talk_about_why(session: Session, outcome: Outcome, class_index: int, rival: int | None) -> None:
    """The evidence for each of the two, then what tips the prediction under some poolings."""
    analysis, calibrated = outcome.analysis, session.choices.calibrated
    if not analysis.has_evidence or rival is None:
        talk_about_evidence(session, analysis, outcome, class_index)
        return
    both = class_maps([outcome], [class_index, rival], calibrated)
    under = {one.pooling: one for one in (outcome, analysis.under(), *map(analysis.under, ("gmp", "attention")))}
    talk(session, analysis, [*both, *(contrast_map(one, class_index, rival) for one in under.values())],
         f"Why {' and not '.join(names_of(outcome, class_index, rival))}?")


def _map(session: Session, outcome: Outcome, class_index: int, rival: int) -> None:
    def draw() -> Stack:
        outcomes = outcome.under_each_pooling()
        maps = [contrast_map(one, class_index, rival) for one in outcomes]
        both = class_maps(outcomes, [class_index, rival])
        return stack([*maps, *both, *_partings(outcome, class_index, rival)])

    photo_panel(session, outcome.analysis, drawn(outcome, ("against", class_index, rival), draw), key="against",
                name="What tips the prediction", chosen=f"{class_index}-{rival}.{name_in_links(outcome.choice)}",
                main=True, facets=(("What", ""), ("Pooling", ", under ")),
                files=files_hold(outcome, class_index, rival))


def _lines(one: Contrast) -> tuple[str, ...]:
    evidence = second_part(one.difference, one.baseline, float(one.cells.sum()))
    return (f"{signed(one.difference)} = {signed(one.baseline)} baseline {signed(evidence)} evidence",)


def _apart(difference: float, unit: str) -> str:
    if not np.isfinite(difference):
        return f"at no finite number of {unit}"
    if difference == 0:
        return "level"
    return f"{plain(abs(difference))} {unit} {'ahead' if difference > 0 else 'behind'}"


def _partings(outcome: Outcome, class_index: int, rival: int) -> list[Map]:
    """What parts another pooling's decision from the native one's; nothing under the native one."""
    native = outcome.analysis.under()
    if native is outcome:
        return []
    parted = pooling_contrast(outcome, native, class_index, rival)
    return [Map(
        id="parting", values=parted.cells, name=f"How {outcome.name} differs from {native.name}",
        facets=(f"how it differs from {native.name}", outcome.name), lines=_lines(parted),
        badge=exactness(parted.exact, parted.residual, torch.cat([outcome.logits, native.logits])),
        unit_name=outcome.analysis.network.unit,
        caption=f"Red where {outcome.name} leans more towards the first class than {native.name} does, blue where less",
    )]


def _account(session: Session, outcome: Outcome, class_index: int, rival: int) -> None:
    def pick(picked: list) -> None:
        if picked[0] == "channel":
            open_channel(session, picked[1])
        else:
            session.choose(pooling=PoolingChoice.parse(picked[1]))

    poolings = under_each_pooling(outcome, class_index, rival, session.choices.calibrated,
                                  lambda one: ["pooling", str(one.choice)])
    channels = drawn(outcome, ("deciding channels", class_index, rival),
                     lambda: contrast_channels(outcome, class_index, rival))
    board(el("div", poolings, channels, class_="stack"), key="account", on_pick=pick)
