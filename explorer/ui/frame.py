"""The frame around every page: the sidebar with photo, network and framing, and the analysis that follows."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from explorer import Analysis, render
from explorer.errors import ExplorerError, FramingError
from explorer.framing import FRAMINGS
from explorer.images import MAX_BYTES
from explorer.networks import BUNDLED, Network
from explorer.questions.soundness import trouble
from explorer.sections.nodes import Node, el, picture
from explorer.ui.components.board import board
from explorer.ui.components.library import put_library
from explorer.ui.components.viewer import put_photo
from explorer.ui.controls import class_search, in_step
from explorer.ui.networks.picker import ask_for_network, fetching, network_buttons
from explorer.ui.networks.session_network import card, layers_in_words, network_in_use, second_network
from explorer.ui.session.cache import analysis_of, send_without_delay
from explorer.ui.session.choices import STAGES, sizes_of
from explorer.ui.session.session import EXAMPLES, Session, example_photo, session, write_url
from explorer.wording import percent

PAGES = {
    "app.py": "Explore", "pages/1_Feature_maps.py": "Feature maps", "pages/2_Poolings.py": "Poolings",
    "pages/3_Activation_maps.py": "Activation maps", "pages/4_Why.py": "Why", "pages/6_Lessons.py": "Lessons",
    "pages/7_Method.py": "Method",
}
_HERE = Path(__file__).parent


def frame(title: str) -> tuple[Session, Analysis]:
    """Set the page up, draw the sidebar, and analyse the photo on the table; call it first on every page.

    A framing that the photo does not allow is answered with a sentence and the crop instead.
    """
    st.set_page_config(page_title=f"{title} · PoolScope", layout="wide", initial_sidebar_state="auto")
    st.html(_HERE / "page.css")
    send_without_delay()
    put_library()
    current = session(title)
    analysis = _analyse(current)
    class_index = shown_class(current, analysis)
    _let_go_of_places(current, analysis)
    write_url(current, class_index)
    current.framed = (current.photo.digest, current.presenting)
    put_photo(analysis, current.photo.digest)
    if current.presenting:
        st.html(_HERE / "present.css")
        return current, analysis
    with st.sidebar:
        _navigation()
        _photo(current)
        _examples_and_network(current, analysis)
        network_buttons(current)
        _layer(current, analysis.network)
        class_search(current, analysis.network.class_names, class_index)
        _settings(current, analysis.network)
        _change_with_size(current, analysis)
        if title in STAGES:
            st.button("Present", key="present_button", on_click=lambda: current.choose(present=True), type="tertiary",
                      icon=":material/slideshow:", help="The viewer alone, for a projector; the key p does the same.")
    ask_for_network(current, analysis.network)
    return current, analysis


def second_analysis(current: Session) -> Analysis | None:
    """The same photo seen by the network that is held to compare; None when there is none.

    It is framed alike, at the size that was chosen where that is not the network's usual one and the second network
    takes it, else at its own.
    """
    network = second_network(current)
    if network is None:
        return None
    chosen, photo, wants = current.choices, current.photo, network.preprocessing
    is_usual = chosen.size == current.fitted.size
    size = wants.size if is_usual or chosen.size not in sizes_of(wants) else chosen.size
    wanted = current.wanted(chosen.against)
    for framing, side in dict.fromkeys([(chosen.framing, size), ("crop", wants.size)]):
        try:
            return analysis_of(wanted, photo.image, photo.digest, framing, side, None)
        except FramingError as error:
            refusal = str(error)
    current.notices += [refusal, "No other network is beside it."]
    current.choose(against="")
    return None


def show_notices(current: Session, analysis: Analysis) -> None:
    """What there is to say: once about a bad photo or link, and always about numbers that are NaN or infinite."""
    wrong = trouble(analysis.under())
    if notices := [*current.take_notices(), *([wrong] if wrong else [])]:
        board(el("div", *(el("p", notice) for notice in notices), class_="notice", role="alert"), key="notices")


def shown_class(current: Session, analysis: Analysis) -> int:
    """The class whose evidence is shown: the one asked for, else the answer."""
    asked = current.choices.class_index
    if asked is not None:
        try:
            return analysis.network.check_class(asked)
        except ExplorerError as error:
            current.notices.append(f"{error} The answer is shown.")
            current.choose(class_index=None)
    return analysis.under().top(1)[0].class_index


def _analyse(current: Session) -> Analysis:
    """Of the photo on the table by the network chosen, framed as chosen, or as the network allows."""
    with fetching(current.choices.network, current.choices.against) as progress:
        network = network_in_use(current, progress)
        second_network(current, progress)
    chosen, photo = current.choices, current.photo
    size = network.preprocessing.size
    refused: FramingError | None = None
    for framing, side in dict.fromkeys([(chosen.framing, chosen.size), ("crop", chosen.size), ("crop", size)]):
        try:
            found = analysis_of(current.wanted(chosen.network), photo.image, photo.digest, framing, side,
                                chosen.layer or None)
        except FramingError as error:
            refused = error
            current.notices.append(str(error))
            continue
        if (framing, side) != (chosen.framing, chosen.size):
            current.choose(framing=framing, size=side)
        current.good = chosen.network
        return found
    if chosen.network in BUNDLED:
        raise refused
    current.choose(network=next(each for each in [current.good, *BUNDLED] if each != chosen.network))
    return _analyse(current)


def _let_go_of_places(current: Session, analysis: Analysis) -> None:
    """A place chosen on larger feature maps, or in a link, may lie outside these."""
    region, (rows, columns) = current.choices.region, analysis.framing.grid
    if region and (region[2] >= rows or region[3] >= columns):
        current.choose(region=None)


def _navigation() -> None:
    st.markdown("### Pool:primary[Scope]")
    for page, title in PAGES.items():
        st.page_link(page, label=title, width="stretch")  # the session remembers, and writes the URL anew


def _photo(current: Session) -> None:
    def uploaded() -> None:
        current.touch()
        if (file := st.session_state["upload"]) is not None:
            current.show_upload(file.getvalue())

    st.file_uploader(
        "Photo", key="upload", on_change=uploaded, max_upload_size=MAX_BYTES // 2**20,
        type=["jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "gif"],
    )
    if st.button("Use the camera", key="camera_button", on_click=current.touch, type="tertiary",
                 icon=":material/photo_camera:"):
        _camera(current)


@st.dialog("Take a photo")
def _camera(current: Session) -> None:
    taken = st.camera_input("Take a photo", label_visibility="collapsed")
    if taken is not None:
        current.show_upload(taken.getvalue())
        st.rerun()


def _examples_and_network(current: Session, analysis: Analysis) -> None:
    thumbnails = [
        el(
            "button", _thumbnail(name), pick=name, title=words, type="button", aria_label=f"Example: {words}",
            aria_pressed=str(name == current.choices.example).lower(), data_key=name,
        )
        for name, words in EXAMPLES.items()
    ]
    tree = el("div", el("div", *thumbnails, class_="examples"), card(current, analysis), class_="sidebar")
    board(tree, key="examples", on_pick=current.show_example)


@st.cache_data(show_spinner=False)
def _thumbnail(name: str) -> Node:
    image = example_photo(name).image
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return picture(render.jpeg(image.crop((left, top, left + side, top + side)).resize((128, 128))), alt="")


def _layer(current: Session, network: Network) -> None:
    """Which layer's maps are looked at, where there are several."""
    titles = layers_in_words(network)
    if len(titles) < 2:
        return

    def choose(key: str) -> None:
        current.choose(layer=key, region=None, channel=None, beside=None)

    st.selectbox("Layer", list(titles), format_func=titles.__getitem__,
                 **in_step(current, "layer", current.choices.layer, choose))


def _settings(current: Session, network: Network) -> None:
    chosen, wants = current.choices, network.preprocessing
    framings = [each for each in FRAMINGS if each != "whole" or not wants.fixed]
    st.segmented_control("What the network sees", framings, width="stretch",
                         **in_step(current, "framing", chosen.framing))
    sizes = sizes_of(wants)
    if len(sizes) > 1:
        st.select_slider("Short side of its input, px", sizes, **in_step(current, "size", chosen.size))
    else:
        board(el("p", f"Its input is {wants.size} × {wants.size} px and no other.", class_="caption"), key="fixed_size")
    st.toggle("Calibrated what-ifs", **in_step(current, "calibrated", chosen.calibrated))


def _change_with_size(current: Session, analysis: Analysis) -> None:
    """What another input size than the network's own does to the answer; global pooling takes any."""
    chosen, usual = current.choices, analysis.network.preprocessing.size
    if chosen.size == usual:
        return
    try:
        other = analysis_of(current.wanted(chosen.network), current.photo.image, current.photo.digest,
                            chosen.framing, usual, chosen.layer or None)
    except FramingError:  # the whole of a panorama may be too large at the usual size
        return
    lines = []
    for side, each in ((usual, other), (chosen.size, analysis)):
        first, (rows, columns) = each.under().top(1)[0], each.framing.grid
        lines.append(f"{side} px, {rows} × {columns} positions: {first.name}, {percent(first.probability)}")
    board(el("div", *(el("p", line) for line in lines), class_="card"), key="size_change")
