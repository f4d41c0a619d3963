"""The photos of a run on the pages that show one photo: open one, and walk through the selection."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import streamlit as st

from explorer.errors import ExplorerError, RunError
from explorer.folder import Run
from explorer.folder.index import Index
from explorer.images import digest, quoted, read_with_range
from explorer.networks import BUNDLED
from explorer.networks.loading.known_networks import identify
from explorer.networks.loading.options import Options, names_heads, options_as_written
from explorer.ui.networks.session_network import fit, network_of
from explorer.ui.session.arguments import GIVEN, given
from explorer.ui.session.cache import make_room, settle
from explorer.ui.session.choices import OWN_FILE
from explorer.ui.session.link import as_query
from explorer.ui.session.open_runs import OpenRun, runs_of
from explorer.ui.session.session import Photo, Session

_MOST_PASSED = 50  # photos that a step passes over


@dataclass(frozen=True)
class Walk:
    """A photo of a run among those selected.

    Attributes:
        index: of the run.
        numbers: of the photos selected, in their order.
        place: of this photo among them, from 0; None where it is not selected.
    """

    index: Index
    numbers: np.ndarray
    place: int | None


def run_in_use(session: Session) -> OpenRun | None:
    """The run that is chosen; None where there is none of that name."""
    return runs_of(session.runs).get(session.choices.run)


def index_in_use(session: Session) -> Index | None:
    """Of the run that is chosen, beside the second one; None before it has rows. Raises RunError."""
    opened = run_in_use(session)
    if opened is None:
        return None
    beside = runs_of(session.runs).get(session.choices.beside_run)
    return opened.index(None if beside is None or beside is opened else beside.run())


def show_number(session: Session, index: Index, number: int) -> bool:
    """Show a photo by the network of the run, framed as there, with its true class marked; whether it is shown.

    Where it cannot be a notice says why, and the last photo stays.
    """
    framing, usual = index.run.recipe["framing"], index.run.recipe["network"]["preprocessing"]["size"]
    try:
        opened = run_in_use(session)
        if opened is not None:
            session.choose(network=network_name(session, opened))
            fit(session, network_of(session, session.choices.network))  # before what is chosen for this network alone
        if session.fitted.name == session.choices.network:
            session.choose(pooling=session.fitted.native)
        session.choose(framing=framing["kind"], size=framing["short_side"] or usual, layer="")
    except ExplorerError as error:
        session.notices.append(f"{error} The last network stays.")
        return False
    return _show(session, index, number)


def show_path(session: Session, name: str, path: str) -> None:
    """Show the photo at a path of the run of that name, as a link asks for it; choices of photo and network stay.

    Raises ExplorerError: there is no such run or photo, or it cannot be read.
    """
    opened = runs_of(session.runs).get(name)
    if opened is None:
        raise RunError(f"The link is of a photo of the run {quoted(name)}, with which this server was not started; "
                       "expected it to be started with --run and that folder.")
    index = opened.index()
    if index is None or index.number_of(path) is None:
        raise RunError(f"The run {quoted(name)} has no photo {quoted(path)}; expected one that has a row.")
    network_name(session, opened)
    session.show(_photo(index.run, path))


def walk_of(session: Session) -> Walk | None:
    """Where the photo in use is among those selected; None where it is of no run."""
    if not session.choices.item:
        return None
    try:
        index = index_in_use(session)
    except RunError:
        return None
    if index is None:
        return None
    numbers = index.select(session.choices.selection)
    number = index.kept(("number", session.choices.item), lambda: index.number_of(session.choices.item))
    places = [] if number is None else np.flatnonzero(numbers == number).tolist()
    return Walk(index, numbers, places[0] if places else None)


def step(session: Session, steps: int) -> None:
    """Show the next photo of the selection that can be read, or the one before; at its ends the photo stays.

    All choices stay as they are.
    """
    walk = walk_of(session)
    if walk is None or not len(walk.numbers):
        return
    place, passed, kept = (0 if walk.place is None else walk.place + steps), 0, list(session.notices)
    while 0 <= place < len(walk.numbers) and passed < _MOST_PASSED:
        if _show(session, walk.index, int(walk.numbers[place])):
            break
        place, passed = place + (1 if steps > 0 else -1), passed + 1
    if passed:
        session.notices = [*kept, f"{passed:,} photo{' was' if passed == 1 else 's were'} passed over that cannot be "
                                  "read; the wall of the folder says why."]


def open_on(session: Session, index: Index, number: int, page: str, title: str) -> None:
    """In a callback: show a photo, and go to a page. Back returns in one step, since the link is written at once."""
    if not show_number(session, index, number):
        return
    (row,) = index.rows([number])
    st.switch_page(page, query_params=as_query(session.choices, row["answer"] or 0, title))


def _show(session: Session, index: Index, number: int) -> bool:
    """Show a photo, its true class marked where that is one of the network in use; whether it is shown."""
    (row,) = index.rows([number])
    index.kept(("number", row["path"]), lambda: number)  # looking for it takes long among a million
    opened = run_in_use(session)
    try:
        session.show(_photo(index.run, row["path"]))
        if opened is not None and session.choices.network == network_name(session, opened):
            session.choose(truth=row["label_class"])
    except ExplorerError as error:
        session.notices.append(f"{error} The last photo stays.")
        return False
    return True


def _photo(run: Run, path: str) -> Photo:
    image, window = read_with_range(run.photos / path)
    return Photo(image, digest(image), title=PurePosixPath(path).name, window=window, item=path)


def network_name(session: Session, opened: OpenRun) -> str:
    """What the session calls the network of a run; it is loaded where only its files name it. Raises ExplorerError."""
    if opened.network_name:
        return opened.network_name
    run = opened.run()
    if run is None:
        raise RunError("The run has no rows yet; expected a scan that has written some.")
    written = run.recipe["network"]["options"]
    name = written and written.get("network")
    plain = Options(network=name)
    if written == options_as_written(plain) and not names_heads(plain):  # nothing but a name, or not even that
        return next(iter(BUNDLED)) if not name else name if name in BUNDLED else identify(name).name
    if written and given()[0].given and written == options_as_written(given()[0]):
        return GIVEN
    own = OWN_FILE + run.recipe["network"]["sha256"][:12]
    if session.own.get(own) is None:
        make_room()
        session.keep(own, run.network)
        settle(run.network)
    return own
