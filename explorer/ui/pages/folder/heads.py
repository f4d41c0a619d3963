"""Which pooling for these photos: heads trained on the run that the page shows, and the network that they make."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import streamlit as st

from explorer.errors import ExplorerError
from explorer.folder import Run
from explorer.folder.head_outcomes import HeadsOnRun
from explorer.folder.heads import heads_one_by_one
from explorer.folder.index import Index
from explorer.folder.labelled_maps import MOST_BYTES
from explorer.heads.training import LOSSES
from explorer.networks import Network
from explorer.progress import Progress, Stop
from explorer.sections.heads_on_run import heads_section
from explorer.sections.nodes import el
from explorer.ui import panels
from explorer.ui.components.board import board
from explorer.ui.networks.session_network import network_of
from explorer.ui.progress import worked
from explorer.ui.session.cache import make_room, settle
from explorer.ui.session.choices import OWN_FILE
from explorer.ui.session.items import network_name, run_in_use
from explorer.ui.session.jobs import Job
from explorer.ui.session.session import Session
from explorer.wording import shortened

_MOST_BYTES = MOST_BYTES // 2  # a server has other viewers
_PATIENCE = 3600.0  # seconds: training goes on while photos are looked at on other pages
_ABOUT = ("Nine kinds of heads, each with its own pooling and by two losses, are trained on the feature maps of the "
          "labelled photos and tested on a fifth of them that no head saw. For 1,000 photos it takes some minutes; the "
          "page can be used meanwhile.")


def trained_heads(session: Session, index: Index) -> None:
    """A button that trains them in the background; how far it is; the table, and a button to use the network."""
    if "heads" not in index.kept:
        board(el("div", el("h3", "Which pooling for these photos?"), el("p", _ABOUT, class_="note"), class_="stack"),
              key="heads_about")
        st.button("Train heads on these photos", key="train_heads", on_click=_begin, args=(session, index),
                  icon=":material/model_training:")
        return
    job: Job = index.kept("heads", _never)

    def draw(result: HeadsOnRun) -> None:
        board(heads_section(result), key="heads")

    result = worked(session, job, "heads", "Training heads, photos and epochs", draw=draw)
    if result is None:
        return
    draw(result)
    for loss, column in zip(result.losses(), st.columns(max(2, len(result.losses()))), strict=False):
        column.button(f"Use as the network: {LOSSES[loss].name}", key=f"use_heads_{loss}",
                      on_click=_use, args=(session, result, loss), type="tertiary", icon=":material/login:")
    panels.note("To keep the network: python -m explorer heads RUN --out NETWORK, and start the app with --network "
                "NETWORK.", key="heads_kept", style="caption")


def _begin(session: Session, index: Index) -> None:
    """In a callback: begin the training, by the network that the session has of this run where it has it."""
    opened = run_in_use(session)
    try:
        name = network_name(session, opened) if opened is not None else ""
        network = index.run.network if not name or name in session.edited else network_of(session, name)
    except ExplorerError as error:
        session.notices.append(str(error))
        return
    path = index.run.path
    index.kept("heads", lambda: Job(lambda progress, stop: _train(path, network, progress, stop), _PATIENCE))


def _train(path: Path, network: Network, progress: Progress, stop: Stop) -> Iterator[HeadsOnRun]:
    return heads_one_by_one(Run.open(path, network), most_bytes=_MOST_BYTES, progress=progress, stop=stop)


def _use(session: Session, result: HeadsOnRun, loss: str) -> None:
    """In a callback: the heads of a loss become the session's network, on all pages."""
    try:
        make_room()
        network = result.network(loss)
    except ExplorerError as error:
        session.notices.append(str(error))
        return
    name = OWN_FILE + network.digest[:12]
    session.keep(name, network)
    settle(network)
    session.choose(network=name)
    session.notices.append(f"“{shortened(network.title, 80)}” is the network of all pages now (loss: "
                           f"{LOSSES[loss].name}).")


def _never() -> Job:
    raise AssertionError("The job is kept once it is begun.")
