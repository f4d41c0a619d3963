"""The frame around every page: the sidebar with photo, network and framing, and the analysis that follows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from explorer import Analysis
from explorer.errors import FramingError
from explorer.framing import FRAMINGS
from explorer.images import MAX_BYTES
from explorer.networks import BUNDLED, Network
from explorer.sections.nodes import Node, el, picture
from explorer.ui import panels
from explorer.ui.components.board import board
from explorer.ui.components.class_search import class_search, put_names
from explorer.ui.components.library import hidden, part, put_library
from explorer.ui.components.memory import put_memory
from explorer.ui.components.viewer import put_photo
from explorer.ui.controls import in_step
from explorer.ui.networks.card import SIBLING, card, layers_in_words
from explorer.ui.networks.own_file import compare_with_sibling
from explorer.ui.networks.picker import ask_for_network, fetching, network_buttons
from explorer.ui.networks.session_network import check_choices, network_in_use, second_network
from explorer.ui.page import STORY, Page, sidebar_of
from explorer.ui.session.cache import analysis_of
from explorer.ui.session.choices import PRESENTABLE, sizes_of
from explorer.ui.session.leftovers import drop_widgets
from explorer.ui.session.server import tend
from explorer.ui.session.session import EXAMPLES, Photo, Session, example_photo, session_on
from explorer.ui.session.url import follow_url
from explorer.ui.skeleton import clear_skeleton
from explorer.ui.walk import walk_line
from explorer.wording import percent

PAGES = {
    "app.py": "Explore", "pages/1_Feature_maps.py": "Feature maps", "pages/2_Poolings.py": "Poolings",
    "pages/3_Activation_maps.py": "Activation maps", "pages/4_Why.py": "Why", "pages/5_Folder.py": "Folder",
    "pages/6_Lessons.py": "Lessons",
    "pages/7_Method.py": "Method",
}
_HERE = Path(__file__).parent
_sidebar = part("sidebar", "<div></div>")  # knows when there was a choice


def frame(title: str) -> Page:
    """Draw the sidebar, and analyse the photo; every page calls it first.

    Where the photo does not allow a framing, a notice says so and the crop is used.
    """
    st.html(_HERE / "page.css")
    tend()
    drop_widgets()
    put_library()
    session = session_on(title)
    analysis = _analyse(session, follow_url(session))
    check_choices(session, analysis)
    put_memory(session)
    clear_skeleton()
    page = Page(session, analysis, sidebar_of(session))
    put_photo(analysis, session.photo.digest)
    if session.presenting:
        st.html(_HERE / "present.css")
        return page
    with st.sidebar:
        _navigation()
        _photo(session)
        _examples_and_network(session, analysis)
        network_buttons(session)
        _layer(session, analysis.network)
        _classes(session, analysis.network.class_names)
        _settings(session, analysis.network)
        _change_with_size(session, analysis)
        if title in PRESENTABLE:
            st.button("Present", key="present_button", on_click=lambda: session.choose(present=True), type="tertiary",
                      icon=":material/slideshow:", help="The viewer alone, for a projector; the key p does the same.")
    hidden(_sidebar, {"chosen": repr((title, page.sidebar))}, key="sidebar")
    ask_for_network(session, analysis.network)
    if title != "Folder":
        walk_line(session, page.class_index)
    return page


def _analyse(session: Session, requested: frozenset[str]) -> Analysis:
    """Analyse the photo by the chosen network, framed as chosen or as the network allows."""
    with fetching(session.choices.network, session.choices.against) as progress:
        network = network_in_use(session, requested, progress)
        second_network(session, progress)
    chosen = session.choices
    refusals: list[FramingError] = []
    for framing, size in dict.fromkeys([(chosen.framing, chosen.size), ("crop", chosen.size),
                                        ("crop", network.preprocessing.size)]):
        try:
            analysis = analysis_of(network, session.photo.image, session.photo.digest, framing, size,
                                   chosen.layer or None)
        except FramingError as error:
            refusals.append(error)
            session.notices.append(str(error))
            continue
        session.choose(framing=framing, size=size)
        session.good = chosen.network
        return analysis
    if chosen.network in BUNDLED:
        raise refusals[-1]
    session.choose(network=next(name for name in [session.good, *BUNDLED] if name != chosen.network))
    return _analyse(session, frozenset())


def _navigation() -> None:
    st.markdown("### Pool:primary[Scope]")
    for page, title in PAGES.items():
        st.page_link(page, label=title, width="stretch")  # the session remembers, and writes the URL anew


def _photo(session: Session) -> None:
    def uploaded() -> None:
        if (file := st.session_state["upload"]) is not None:
            session.show_upload(file.getvalue(), file.name)

    st.file_uploader(
        "Photo", key="upload", on_change=uploaded, max_upload_size=MAX_BYTES // 2**20,
        type=["jpg", "jpeg", "png", "webp", "avif", "heic", "heif", "bmp", "tif", "tiff", "gif", "dcm"],
    )
    board(_photo_in_use(session.photo), key="photo_in_use")
    if session.photo.file:
        _window(session)
    if st.button("Use the camera", key="camera_button", type="tertiary", icon=":material/photo_camera:"):
        _camera(session)


def _window(session: Session) -> None:
    """The numbers that are black and white, of a photo whose greys have more than 8 bits."""
    def changed() -> None:
        session.show_upload(photo.file, photo.title,
                            (st.session_state["window_black"], st.session_state["window_white"]))

    photo = session.photo
    assert photo.window is not None
    black, white = st.columns(2)
    for column, name, value in zip((black, white), ("black", "white"), photo.window, strict=True):
        st.session_state[f"window_{name}"] = value
        column.number_input(f"Grey that is {name}", key=f"window_{name}", on_change=changed, step=None, format="%g")


def _photo_in_use(photo: Photo) -> Node:
    width, height = photo.image.size
    return el("div", picture(photo.thumbnail, alt=""),
              el("p", el("strong", photo.title or "Your photo"), f"{width} × {height} px"), class_="photo_in_use")


@st.dialog("Take a photo")
def _camera(session: Session) -> None:
    taken = st.camera_input("Take a photo", label_visibility="collapsed")
    if taken is not None:
        session.show_upload(taken.getvalue(), "Camera")
        st.rerun()


def _examples_and_network(session: Session, analysis: Analysis) -> None:
    thumbnails = [
        el(
            "button", picture(example_photo(name).thumbnail, alt=""), pick=name, title=words, type="button",
            aria_label=f"Example: {words}", aria_pressed=str(name == session.choices.example).lower(), data_key=name,
        )
        for name, words in EXAMPLES.items()
    ]
    tree = el("div", el("div", *thumbnails, class_="examples"), card(session, analysis), class_="sidebar")

    def picked(choice: str) -> None:
        if choice.startswith(SIBLING):
            compare_with_sibling(session, analysis.network, choice.removeprefix(SIBLING))
        else:
            session.show_example(choice)

    board(tree, key="examples", on_pick=picked)


def _layer(session: Session, network: Network) -> None:
    """Which layer's maps are looked at, where there are several."""
    titles = layers_in_words(network)
    if len(titles) < 2:
        return
    st.selectbox("Layer", list(titles), format_func=titles.__getitem__, **in_step(
        session, "layer", session.choices.layer,
        lambda key: session.choose(layer=key, region=None, channel=None, beside=None),
        index=list(titles).index(session.choices.layer)))


def _classes(session: Session, names: Sequence[str]) -> None:
    """The class that is shown, and the one that the photo is truly of; a pick draws the page's story alone."""
    def choose(**choice: int | None) -> None:
        session.choose(**choice)
        st.rerun(STORY)

    put_names(names)
    class_search(names, "class", "Class to explain", lambda picked: choose(class_index=picked), follows=True)
    class_search(names, "truth", "True class, where you know it", lambda picked: choose(truth=picked),
                 value=session.choices.truth, empty="not marked", clearable=True)


def _settings(session: Session, network: Network) -> None:
    chosen, wants = session.choices, network.preprocessing
    framings = [framing for framing in FRAMINGS if framing != "whole" or not wants.fixed]
    st.segmented_control("What the network sees", framings, width="stretch",
                         **in_step(session, "framing", chosen.framing, default=chosen.framing))
    sizes = sizes_of(wants)
    if len(sizes) > 1:
        st.select_slider("Short side of its input, px", sizes,
                         **in_step(session, "size", chosen.size, value=chosen.size))
    else:
        panels.note(f"Its input is {wants.size} × {wants.size} px and no other.", key="fixed_size", style="caption")
    st.toggle("Calibrated what-ifs", **in_step(session, "calibrated", chosen.calibrated, value=chosen.calibrated))


def _change_with_size(session: Session, analysis: Analysis) -> None:
    """How the answer changes with an input size other than the network's own; global pooling takes any."""
    chosen, usual = session.choices, analysis.network.preprocessing.size
    if chosen.size == usual:
        return
    try:
        other = analysis_of(analysis.network, session.photo.image, session.photo.digest, chosen.framing, usual,
                            chosen.layer or None)
    except FramingError:  # the whole of a panorama may be too large at the usual size
        return
    lines = []
    for side, shown in ((usual, other), (chosen.size, analysis)):
        first, (rows, columns) = shown.under().top(1)[0], shown.framing.grid
        lines.append(f"{side} px, {rows} × {columns} positions: {first.name}, {percent(first.probability)}")
    board(el("div", *(el("p", line) for line in lines), class_="card"), key="size_change")
