"""Causes muted: the numbers before and after, the photos that change, and the repaired network to take along."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import numpy as np
import streamlit as st

from explorer.errors import ExplorerError
from explorer.export.causes_record import repair_html, repair_json
from explorer.folder.causes import Causes
from explorer.folder.index import Index
from explorer.folder.muting import STRENGTHS, Muting, answers_of
from explorer.folder.repair import checkpoint_bytes, endings, repaired_state
from explorer.sections.causes import TENSORS_ALONE, bar_sentence, classes_changed, groups_in_words, suggestion
from explorer.sections.nodes import el
from explorer.sections.parts import head
from explorer.ui import panels
from explorer.ui.components.board import board
from explorer.ui.components.muting import muting_slider
from explorer.ui.components.photo_wall import photo_wall
from explorer.ui.controls import in_step
from explorer.ui.networks.own_file import drop_in
from explorer.ui.session.items import network_name, open_on, run_in_use
from explorer.ui.session.session import Session
from explorer.wording import listed, shortened


def muting_part(session: Session, index: Index, causes: Causes) -> None:
    """What muting the chosen causes changes; nothing where none is chosen."""
    chosen = session.choices
    if not chosen.muted:
        return
    try:
        with st.spinner("Answering the photos without it"):  # some seconds for 20,000 of them, the first time
            muting = _muting(session, index, causes)
            suggested = muting.suggested
    except ExplorerError as error:
        panels.note(str(error), key="no_muting")
        return
    place = suggested if chosen.strength is None else int(np.abs(STRENGTHS - chosen.strength / 100).argmin())
    names, answers = index.run.recipe["network"]["class_names"], muting.answers
    which = listed([f"cause {place + 1}" for place in chosen.muted])
    where = "for all classes" if muting.class_index is None else f"for {shortened(names[muting.class_index], 40)} alone"
    taken = f"{len(answers.rows):,} photos" + (
        f" of {answers.photos:,}, evenly spread" if answers.photos > len(answers.rows) else "")
    board(el("div", head(f"Muted: {which}, {where}", taken), el("p", suggestion(muting)),
             class_="ruled stack"), key="muted")
    muting_slider(muting, groups_in_words(muting, names), place, "muting",
                  lambda percent: session.choose(strength=percent))
    if (by_class := classes_changed(muting, place, names)) is not None:
        board(by_class, key="muted_classes")
    if sentence := bar_sentence(muting, place, names):
        panels.note(sentence, key="bar")
    left, middle, right = st.columns([30, 40, 30], vertical_alignment="center")
    left.toggle("Mute it for all classes", **in_step(session, "everywhere", chosen.everywhere,
                                                     value=chosen.everywhere))
    middle.toggle("Give back what right photos have of it", help="To the bias: what right photos of the class that do "
                  "not have the cause hold of it all the same. Without it muting is mostly a higher bar for the class.",
                  **in_step(session, "give_back", chosen.give_back, value=chosen.give_back))
    if place:
        right.button("Use it beside the original", key="use_repaired", icon=":material/compare:", type="tertiary",
                     on_click=lambda: _use(session, index, muting, place, causes))
        _files(index, muting, place, _title(index, causes))
        _flipped(session, index, muting, place)


def _muting(session: Session, index: Index, causes: Causes) -> Muting:
    """As chosen. Raises ExplorerError: the head cannot be muted, or the network cannot be loaded."""
    chosen, made = session.choices, causes.contributions
    answers = index.kept("answers", lambda: answers_of(index))
    shares = np.clip(sum(causes.all[place].shares for place in chosen.muted), 0, 1)
    muting: Muting = index.recent(
        ("muting", made.class_index, made.rival, chosen.parts, chosen.muted, chosen.everywhere, chosen.give_back),
        lambda: Muting(answers, shares, None if chosen.everywhere else made.class_index, chosen.give_back))
    return muting


def _title(index: Index, causes: Causes) -> str:
    names, network = index.run.recipe["network"]["class_names"], index.run.recipe["network"]["title"]
    of = names[causes.contributions.class_index]
    network = re.sub(r"\.(safetensors|pth|pt|ckpt|bin|onnx)$", "", network)
    return re.sub(r"[^\w.]+", "-", f"{network} {of} repaired".lower()).strip("-")[:80]


def _use(session: Session, index: Index, muting: Muting, place: int, causes: Causes) -> None:
    """In a callback: the repaired network as the second one, beside the run's own."""
    try:
        opened = run_in_use(session)
        assert opened is not None
        session.choose(network=network_name(session, opened))
        name = drop_in(session, _checkpoint(index, muting, place, ".safetensors"),
                       f"{_title(index, causes)}.safetensors")
        session.choose(against=name)
    except ExplorerError as error:
        session.notices.append(str(error))
        return
    session.notices.append("The repaired network is the second one now: Explore and Why show both on each photo.")


def _checkpoint(index: Index, muting: Muting, place: int, ending: str) -> bytes:
    return checkpoint_bytes(index.run, repaired_state(index.run.network, muting, float(STRENGTHS[place])), ending)


def _files(index: Index, muting: Muting, place: int, stem: str) -> None:
    run = index.run
    kinds = endings(run) if run.network.layers.model is not None else []
    files: list[tuple[str, str, str, Callable[[], str | bytes]]] = [
        (f"Repaired network, {ending}", f"{stem}{ending}", "application/octet-stream",
         partial(_checkpoint, index, muting, place, ending)) for ending in kinds]
    files += [("Recipe, JSON", f"{stem}.json", "application/json", lambda: repair_json(run, muting, place)),
              ("Report, HTML", f"{stem}.html", "text/html", lambda: repair_html(run, muting, place))]
    for column, (label, name, kind, make) in zip(st.columns(4, gap="small"), files, strict=False):
        alone = name.endswith((".pth", ".pt", ".ckpt", ".bin"))
        column.download_button(label, make, name, kind, key=f"repair_{label}", on_click="ignore", type="tertiary",
                               icon=":material/download:", help=TENSORS_ALONE if alone else None)


def _flipped(session: Session, index: Index, muting: Muting, place: int) -> None:
    """The wall of the photos whose prediction changes, those that become wrong first."""
    changed, names = muting.changed(place), index.run.recipe["network"]["class_names"]
    numbers, total = changed.numbers, len(changed.numbers)
    if not total:
        panels.note("No prediction changes at this strength.", key="none_flipped")
        return
    now = {int(number): f"→ {names[answer]}" for number, answer in zip(numbers, changed.predictions, strict=True)}
    board(head("What would change", f"{changed.broken:,} become wrong, {changed.mended:,} become right, "
                                    f"{total - changed.broken - changed.mended:,} other"), key="flipped_head")
    photo_wall(index, numbers, f"{index.run.path} {index.state} muted {muting.class_index} {place} "
                               f"{muting.gives_back} {session.choices.muted} {session.choices.parts}",
               f"{total:,} photos with another prediction, those that become wrong first",
               lambda at: open_on(session, index, int(numbers[at]), "pages/4_Why.py", "Why"), key="flipped", now=now)
