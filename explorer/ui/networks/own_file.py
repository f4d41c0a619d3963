"""A person's own checkpoint: the form for it, and loading it into memory for one session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from explorer.errors import ExplorerError, NetworkError
from explorer.framing import Preprocessing
from explorer.networks import Network
from explorer.networks.loading.checkpoint import Checkpoint
from explorer.networks.loading.known_networks import identify, timm_architectures, timm_names, torchvision_names
from explorer.networks.loading.load import Contents, load_file, look_into
from explorer.networks.loading.options import usual_preprocessing
from explorer.networks.loading.own_head import ACTIVATIONS
from explorer.ui import panels
from explorer.ui.networks.preprocessing import preprocessing_fields
from explorer.ui.session.cache import make_room, settle
from explorer.ui.session.choices import OWN_FILE
from explorer.ui.session.leftovers import drop_uploads
from explorer.ui.session.session import Session

LARGEST_CHECKPOINT = 1024  # megabytes, as server.maxUploadSize in .streamlit/config.toml
ANSWERS = {"": "one class of several, or yes or no", "sigmoid": "each class alone (sigmoid)",
           "none": "values and no classes (regression)"}
LARGEST_NAMES = 4  # megabytes of class names


def drop_in(session: Session, data: bytes | Checkpoint, file_name: str, **options: Any) -> str:
    """Load a file into memory for this session; the network's name in links.

    The options are those of `load_file`. Raises ExplorerError; then nothing is changed.
    """
    return _kept(session, lambda: load_file(data, file_name, **options))


def compare_with_sibling(session: Session, network: Network, sibling: str) -> None:
    """Put one of `network.siblings` beside the network in use; a notice says why where it cannot be."""
    try:
        session.choose(against=_kept(session, network.siblings[sibling], f"-{sibling.rpartition('/')[2]}"))
    except ExplorerError as error:
        session.notices.append(str(error))


def _kept(session: Session, load: Callable[[], Network], ending: str = "") -> str:
    """Load a network and keep it for this session; its name in links ends so."""
    make_room()
    try:
        network = load()
    except ExplorerError:
        raise
    except Exception as error:
        raise NetworkError(f"The file could not be made into a network: {type(error).__name__}; expected a checkpoint "
                           "of an image classifier.") from None
    name = OWN_FILE + network.digest[:12] + ending
    session.keep(name, network)
    settle(network)
    return name


def ask_for_file(session: Session, done: Callable[[str], None]) -> None:
    """The form. `done` is called with the network's name in links, once it is loaded."""
    panels.note("Nothing leaves this server, nothing in the file is run, and it lies in memory for your session alone. "
                "A checkpoint is a safetensors file or what torch.save wrote, whatever its name; an ONNX file is a "
                "whole network and needs no architecture.",
                key="own_note", style="caption")
    file = st.file_uploader("Checkpoint or ONNX file", key="own_file", max_upload_size=LARGEST_CHECKPOINT)
    contents = _contents(file) if file else None
    if file is None:
        st.session_state.pop("own_seen", None)  # as large as the file was
    outputs = contents.outputs if contents else ()  # of an ONNX file: a whole network
    proposed = st.session_state.pop("own_proposed", None)
    if proposed:
        st.session_state["own_architecture"] = proposed
    architecture = None if outputs else st.selectbox(
        "Architecture", _architectures(), index=None, key="own_architecture", placeholder="Type to search")
    left, right = st.columns(2)
    names_file = left.file_uploader("Class names", key="own_classes", max_upload_size=LARGEST_NAMES)
    names_text = right.text_area("or one a line", key="own_names", height=100, placeholder="\n".join(
        contents.class_names[:3] if contents and contents.class_names else ("daisy", "dandelion", "rose")))
    output = st.selectbox("The output that has the logits", outputs, key="own_output") if len(outputs) > 1 else None
    activation = st.selectbox("Its answer", ANSWERS, key="own_activation", format_func=ANSWERS.__getitem__,
                              help="A single output counts as a yes or no, unless it is a value.")
    wrong, preprocessing, layer, between = "", None, "", "relu"
    with st.expander("Preprocessing and more"):
        try:
            usual = (contents and contents.preprocessing) or usual_preprocessing(architecture)
            of_file = file.file_id if file and contents and contents.preprocessing else architecture
            shown = preprocessing_fields(replace(usual, **st.session_state.get("own_edited", {})), f"own_{of_file}")
            preprocessing = None if shown == usual else shown
        except ExplorerError as error:
            wrong = str(error)
            panels.alert(wrong, key="own_preprocessing_wrong")
        if not outputs:
            between = st.selectbox("Between the Linears of its head", list(ACTIVATIONS), key="own_head_activation",
                                   help="Where a head has more than one Linear: no file says what stands between them.")
        layer = st.text_input("Layer after which to cut", key="own_layer", placeholder="only where no pooling is found")
    requested = st.button("Load the network", key="own_take", type="primary", disabled=file is None or bool(wrong))
    if file is None or wrong:
        return
    what = (file.file_id, architecture)
    refused = st.session_state.get("own_refused")
    if not (requested or proposed):
        if refused and refused[0] == what and refused[2]:  # it is of another architecture, whatever else is filled in
            _refuse(refused[1], refused[2], usual, preprocessing)
        return
    names = names_file.getvalue() if names_file else names_text.splitlines() if names_text.strip() else None
    try:
        with st.spinner("Reading the file and finding its pooling"):
            read = contents.checkpoint if contents else None
            name = drop_in(session, read or file.getvalue(), file.name, architecture=architecture, class_names=names,
                           preprocessing=preprocessing, activation=activation or None,
                           layer=layer.strip() or None, head_activation=between, output=output)
    except ExplorerError as error:
        sentence, nearest = str(error), getattr(error, "nearest", ())
        st.session_state["own_refused"] = what, sentence, nearest
        _refuse(sentence, nearest, usual, preprocessing)
        return
    forget_file()
    done(name)


def _refuse(
    sentence: str, nearest: Sequence[str], usual: Preprocessing, preprocessing: Preprocessing | None
) -> None:
    """Why the file was not loaded, and the architectures that it may be of, a click each."""
    panels.alert(f"{sentence} The last network stays.", key="own_wrong")
    for near in (identify(architecture).name for architecture in nearest[:3]):
        st.button(f"Load it as `{near}`", key=f"own_near_{near}", on_click=st.session_state.update, kwargs={
            "own_proposed": near, "own_edited": _edited(usual, preprocessing)})


def _edited(usual: Preprocessing, preprocessing: Preprocessing | None) -> dict[str, Any]:
    """The numbers that a person typed, by their names: they hold for the architecture that is proposed too."""
    return {} if preprocessing is None else {
        name: value for name, value in vars(preprocessing).items() if value != getattr(usual, name)}


def _contents(file: UploadedFile) -> Contents:
    """What is in the dropped file, shown; its architecture is filled in, unless a person chose one."""
    seen, contents = st.session_state.get("own_seen", ("", None))
    if contents is None or seen != file.file_id:
        filled_in = contents.architecture if contents else None
        try:
            with st.spinner("Looking into the file"):
                contents = look_into(file.getvalue(), file.name)
        except ExplorerError as error:
            contents = Contents(None, (str(error),))
        st.session_state["own_seen"] = file.file_id, contents
        if st.session_state.get("own_architecture") in (None, filled_in):
            st.session_state["own_architecture"] = contents.architecture
    panels.note(" ".join(contents.sentences), key="own_contents")
    return contents


def forget_file() -> None:
    """What was looked into and filled in goes, and the file itself: it may be large."""
    st.session_state.pop("own_seen", None)
    for kept in ("own_edited", "own_refused"):
        st.session_state.pop(kept, None)
    if (file := st.session_state.get("own_file")) is not None:
        drop_uploads([file])


@cache
def _architectures() -> tuple[str, ...]:
    return (*(f"torchvision/{name}" for name in torchvision_names()),
            *(f"timm/{name}" for name in sorted({*timm_architectures(), *timm_names()})))

