"""Choosing a network: bundled, by name from torchvision or timm, or your own file; and editing its preprocessing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import current_thread

import streamlit as st
from streamlit.runtime.scriptrunner import add_script_run_ctx, get_script_run_ctx

from explorer.errors import ExplorerError
from explorer.networks import BUNDLED, Network
from explorer.networks.loading.bundled import TITLES as BUNDLED_TITLES
from explorer.networks.loading.by_name import cached_names
from explorer.networks.loading.known_networks import search
from explorer.progress import Progress
from explorer.sections.nodes import el
from explorer.ui import panels
from explorer.ui.components.board import board
from explorer.ui.networks.own_file import ask_for_file, forget_file
from explorer.ui.networks.preprocessing import edit_preprocessing
from explorer.ui.networks.session_network import title_in_use
from explorer.ui.session.arguments import GIVEN, given
from explorer.ui.session.cache import is_in_memory, network_named
from explorer.ui.session.session import Session

TITLES = {"network": "Change the network", "against": "Compare with another network"}
WAYS = {"bundled": "Bundled", "torchvision": "torchvision", "timm": "timm", "file": "Your own file"}
MOST_LISTED = {"torchvision": 100, "timm": 30}


def network_buttons(session: Session) -> None:
    """In the sidebar: what opens the dialog, and the second network, if there is one."""
    def pick(role: str) -> None:
        session.picking = role

    st.button(TITLES["network"], key="change_network", on_click=pick, args=("network",), type="tertiary",
              icon=":material/swap_horiz:")
    if not session.choices.against:
        st.button("Compare with another", key="compare_network", on_click=pick, args=("against",), type="tertiary",
                  icon=":material/compare:", help="Two networks on the same photo, side by side.")
        return
    title = title_in_use(session, session.choices.against)
    clear = el("button", "Clear", pick="clear", type="button", class_="link")
    board(el("div", el("div", el("h2", "Compared with"), clear, class_="head"),
             el("strong", title, title=title), class_="card"),
          key="second_network", on_pick=lambda _: session.choose(against=""))


@contextmanager
def fetching(*names: str) -> Iterator[Progress]:
    """Says on the page how far the weights of a network are while they are fetched; it draws nothing until then."""
    drawn: list = []

    def progress(done: int, total: int) -> None:
        if not drawn:
            drawn.append(st.empty())
        _bar(drawn[0], " and ".join(name for name in names if name), done, total)

    try:
        yield _from_any_thread(progress)
    finally:
        if drawn:
            drawn[0].empty()


def _from_any_thread(progress: Progress) -> Progress:
    """The same, drawn on this session's page also when huggingface_hub calls it from its own thread."""
    context = get_script_run_ctx()

    def report(done: int, total: int) -> None:
        if get_script_run_ctx(suppress_warning=True) is None:
            add_script_run_ctx(current_thread(), context)
        progress(done, total)

    return report


def _bar(place: st.delta_generator.DeltaGenerator, name: str, done: int, total: int) -> None:
    of = f" of {total / 1e6:.0f}" if total else ""
    place.progress(min(1.0, done / total) if total else 0.0, f"Fetching `{name}`: {done / 1e6:.0f}{of} MB")


def ask_for_network(session: Session, network: Network) -> None:
    """The dialog, as long as somebody chooses."""
    role = session.picking
    if role not in TITLES:
        return

    def dismissed() -> None:
        forget_file()
        session.picking = ""

    @st.dialog(TITLES[role], width="large", on_dismiss=dismissed)
    def ask() -> None:
        _ask(session, role, network)

    ask()


def _ask(session: Session, role: str, network: Network) -> None:
    way = st.segmented_control("Source", list(WAYS), format_func=WAYS.__getitem__, default="bundled",
                               key="picker_way", label_visibility="collapsed")

    def done(name: str) -> None:
        session.choose(**{role: name})
        session.picking = ""
        st.rerun()

    if way == "file":
        ask_for_file(session, done)
    elif way in MOST_LISTED:
        _by_name(session, way, done)
    else:
        _bundled(session, done)
    if role == "network" and way != "file":
        edit_preprocessing(session, network)


def _bundled(session: Session, done: Callable[[str], None]) -> None:
    names = [*([GIVEN] if given()[0].given else []), *BUNDLED]
    titles = {name: BUNDLED_TITLES.get(name) or title_in_use(session, name) for name in names}
    _listed(session, names, {name: "with this app" if name in BUNDLED else "given when the app was started"
                             for name in names}, done, titles)


def _by_name(session: Session, source: str, done: Callable[[str], None]) -> None:
    text = st.text_input("Search", key=f"search_{source}", placeholder="resnet 50, convnext tiny …")
    matches = search(text or "", source)
    names = [f"{source}/{name}" for name in matches[:MOST_LISTED[source]]]
    here = set(cached_names())
    left = len(matches) - len(names)
    what = "No network has such a name." if not matches else f"{len(matches):,} networks" + (
        f", the first {len(names)} are listed: search for others." if left else ".")
    panels.note(f"{what} Weights that are not on this machine are fetched from their publisher and kept in the usual "
                "cache.", key="picker_count", style="caption")
    _listed(session, names, {name: "on this machine" for name in names if name in here}, done)


def _listed(
    session: Session, names: list[str], marks: dict[str, str], done: Callable[[str], None],
    titles: dict[str, str] | None = None,
) -> None:
    """Names to click on; the one that is clicked is loaded, which may take a while or fail with a sentence."""
    chosen = {session.choices.network, session.choices.against}
    rows = [
        el("button", el("span", (titles or {}).get(name, name), class_="name"),
           el("span", marks[name], class_="badge native") if name in marks else None,
           el("span", "in use", class_="badge") if name in chosen else None,
           pick=name, type="button", class_="network", data_key=name)
        for name in names
    ]
    with st.container(height=300 if len(names) > 6 else "content", border=False):
        board(el("div", *rows, class_="networks"), key="picker_names",
              on_pick=lambda name: st.session_state.update(picked_network=name))
    clicked = st.session_state.pop("picked_network", None)
    if clicked in names:
        _load(session, clicked, done)


def _load(session: Session, name: str, done: Callable[[str], None]) -> None:
    place = st.empty()
    try:
        if not is_in_memory(name):
            place.progress(0.0, f"Loading `{name}`")
        network_named(name, _from_any_thread(lambda done, total: _bar(place, name, done, total)))
    except ExplorerError as error:
        place.empty()
        panels.alert(str(error), "The last network stays.", key="picker_wrong")
        return
    place.empty()
    done(name)
