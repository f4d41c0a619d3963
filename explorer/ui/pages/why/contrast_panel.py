"""A against B: what tips the answer, on the photo, channel by channel, and under each pooling."""

from __future__ import annotations

import numpy as np
import streamlit as st

from explorer import render
from explorer.analysis import Outcome
from explorer.poolings import PoolingChoice
from explorer.questions.contrast import Contrast, contrast, deciding_channels, parting
from explorer.sections.nodes import Node, el, picture
from explorer.ui.components.board import board
from explorer.ui.components.viewer import Look, Map, Stack, stack, viewer
from explorer.ui.maps import evidence_map, evidence_maps, name_in_links
from explorer.ui.pages.explore import PHOTO_SIDE, TILE_SIDE
from explorer.ui.present import talk, talk_about_evidence
from explorer.ui.region import viewer_handlers, with_place
from explorer.ui.session.session import Session
from explorer.wording import exactness, plain, shortened, signed


def against_panel(current: Session, outcome: Outcome, class_index: int, rival: int) -> None:
    """The signed map beside the account of it."""
    left, right = st.columns([46, 54], gap="medium")
    with left:
        with_place(current, outcome, class_index, lambda: _map(current, outcome, class_index, rival))
    with right:
        _account(current, outcome, class_index, rival)


def contrast_map(outcome: Outcome, class_index: int, rival: int) -> Map:
    """Towards A (red) and towards B (blue), in logits."""
    found, names = contrast(outcome, class_index, rival), outcome.analysis.network.class_names
    mine, other = names[class_index], names[rival]
    under = outcome.under_in_words
    has = f"{under[:1].upper()}{under[1:]}, it has" if under else "It has"
    says = f"{has} {shortened(mine, 40)} {_apart(found.difference)} {shortened(other, 40)}."
    strongest = divmod(int(np.nan_to_num(np.abs(found.cells), nan=-np.inf).argmax()), found.cells.shape[1])
    rows, columns = found.cells.shape
    return Map(
        id=f"{class_index}-{rival}.{name_in_links(outcome.choice)}", values=found.cells,
        name=f"{mine} against {other} under {outcome.name}", facets=(f"{mine} against {other}", outcome.name),
        aside=f"{rows} × {columns} positions",
        lines=(f"{signed(found.difference)} = {signed(found.baseline)} baseline {signed(float(found.cells.sum()))} "
               f"evidence",),
        badge=exactness(found.exact, found.residual), mark=strongest, says=says, scale=str(outcome.choice),
        caption=f"Red towards {shortened(mine, 40)}, blue towards {shortened(other, 40)} · strongest position "
                f"{strongest}: {signed(float(found.cells[strongest]))} logits",
    )


def talk_about_why(current: Session, outcome: Outcome, class_index: int, rival: int | None) -> None:
    """The evidence for each of the two, what tips it, and what each sentence of the summary says."""
    analysis, calibrated = outcome.analysis, current.choices.calibrated
    if not analysis.has_evidence or rival is None:
        talk_about_evidence(current, analysis, outcome, class_index)
        return
    names = outcome.analysis.network.class_names
    both = evidence_maps([outcome], [class_index, rival], calibrated)
    under = {each.pooling: each for each in (outcome, analysis.under(), *map(analysis.under, ("gmp", "attention")))}
    talk(current, analysis, [*both, *(contrast_map(each, class_index, rival) for each in under.values())],
         f"Why {shortened(names[class_index], 40)} and not {shortened(names[rival], 40)}?")


def _map(current: Session, outcome: Outcome, class_index: int, rival: int) -> None:
    def draw() -> Stack:
        each = outcome.under_each_pooling()
        maps = [contrast_map(one, class_index, rival) for one in each]
        both = [evidence_map(one, index, scale=str(one.choice)) for index in (class_index, rival) for one in each]
        return stack([*maps, *both, *_partings(outcome, class_index, rival)])

    viewer(outcome.analysis, current.photo.digest, outcome.remember(("against", class_index, rival), draw),
           key="against", name="What tips the answer",
           chosen=f"{class_index}-{rival}.{name_in_links(outcome.choice)}",
           look=Look(main=True, facets=(("What", ""), ("Pooling", ", under ")), region=current.choices.region,
                     handlers=viewer_handlers(current)))


def _apart(difference: float) -> str:
    if not np.isfinite(difference):
        return "at no number of logits from"
    if difference == 0:
        return "level with"
    return f"{plain(abs(difference))} logits {'ahead of' if difference > 0 else 'behind'}"


def _partings(outcome: Outcome, class_index: int, rival: int) -> list[Map]:
    """What parts another pooling's decision from the native one's; nothing under the native one."""
    native = outcome.analysis.under()
    if native is outcome:
        return []
    found = parting(outcome, native, class_index, rival)
    return [Map(
        id="parting", values=found.cells, name=f"What parts {outcome.name} from {native.name}",
        facets=(f"what parts it from {native.name}", outcome.name),
        lines=(f"{signed(found.difference)} = {signed(found.baseline)} baseline {signed(float(found.cells.sum()))} "
               "evidence",), badge=exactness(found.exact, found.residual),
        caption=f"Red where {outcome.name} leans more towards the first class than {native.name} does, blue where less",
    )]


def _account(current: Session, outcome: Outcome, class_index: int, rival: int) -> None:
    found = contrast(outcome, class_index, rival)

    def pick(picked: list) -> None:
        if picked[0] == "channel":
            current.choose(channel=picked[1])
            current.onward = "pages/1_Feature_maps.py"
        else:
            current.choose(pooling=PoolingChoice.parse(picked[1]))

    board(el("div", _poolings(outcome, class_index, rival), _channels(outcome, found), class_="stack"),
          key="account", on_pick=pick)


def _poolings(outcome: Outcome, class_index: int, rival: int) -> Node:
    """The difference under each pooling, and what each says; a click follows it."""
    names, rows = outcome.analysis.network.class_names, []
    for one in outcome.under_each_pooling():
        found, says = contrast(one, class_index, rival), one.top(1)[0]
        rows.append(el(
            "button", el("span", one.name, class_="name"), el("span", signed(found.difference)),
            el("span", shortened(says.name, 40), class_="name", title=says.name), pick=["pooling", str(one.choice)],
            type="button", class_="difference three", data_key=f"pooling-{one.choice}",
            aria_pressed=str(one is outcome).lower(),
        ))
    head = el("div", el("span", "pooling"), el("span", "logits ahead"), el("span", "its answer"),
              class_="difference three caption")
    return el("div", el("div", el("h3", f"{shortened(names[class_index], 40)} ahead of {shortened(names[rival], 40)}"),
                        el("span", "what-ifs not calibrated", class_="caption"), class_="head"),
              head, *rows, class_="differences ruled")


def _channels(outcome: Outcome, found: Contrast) -> Node:
    """The channels that decide, on one scale."""
    analysis, names = outcome.analysis, outcome.analysis.network.class_names
    deciding = deciding_channels(found, outcome)
    maps = [analysis.feature_maps[each.channel].numpy() for each in deciding]
    scale = render.Scale.positive(*maps)
    photo, seen = analysis.preview(PHOTO_SIDE)
    tiles = outcome.remember(("deciding", found.class_index, found.rival), lambda: [
        render.jpeg(render.tile(photo, values, seen, scale, TILE_SIDE), 82) for values in maps])
    said = [
        el("button", picture(tile, f"Where channel {each.channel} responds"),
           el("span", el("span", "channel", class_="caption"), el("strong", str(each.channel)),
              el("span", f"{plain(each.to_class)} − {plain(each.to_rival)}".replace("− −", "+ "), class_="caption"),
              el("strong", signed(each.contribution)), class_="account"),
           pick=["channel", each.channel], type="button", class_="tile", data_key=f"channel-{each.channel}",
           title=f"Open channel {each.channel} among the feature maps")
        for each, tile in zip(deciding, tiles, strict=True)
    ]
    return el("div", el("div", el("h3", "The channels that decide"),
                        el("span", f"to {shortened(names[found.class_index], 24)} − to "
                                   f"{shortened(names[found.rival], 24)}, logits", class_="caption"), class_="head"),
              el("div", *said, class_="tiles"), class_="channels")
