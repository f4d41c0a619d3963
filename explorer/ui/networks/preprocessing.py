"""What a network is fed: shown and edited number by number, because wrong normalisation fails silently."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import streamlit as st
from PIL import Image

from explorer.errors import ExplorerError, ParameterError
from explorer.framing import ORDERS, Preprocessing
from explorer.networks import Network
from explorer.ui import panels
from explorer.ui.networks.session_network import network_of
from explorer.ui.session.cache import check_edited
from explorer.ui.session.session import Session

INTERPOLATIONS = tuple(way.name.lower() for way in Image.Resampling)


def preprocessing_fields(usual: Preprocessing, key: str) -> Preprocessing:
    """Fields for each number, filled in with the usual ones. Raises ParameterError for what cannot be."""
    left, middle, right = st.columns(3)
    size = left.number_input("Size, px", value=usual.size, step=1, key=f"{key}_size", disabled=usual.fixed)
    ratio = middle.number_input("Crop ratio", value=usual.crop_ratio, step=0.005, format="%.4f", key=f"{key}_ratio",
                                help="The size as a share of the resized photo's short side: 224 of 256 is 0.875.")
    interpolation = right.selectbox("Interpolation", INTERPOLATIONS, INTERPOLATIONS.index(usual.interpolation),
                                    key=f"{key}_interpolation")
    left, right, last = st.columns([3, 3, 2])
    mean = left.text_input("Mean of each channel, for pixels from 0 to 1", _written(usual.mean), key=f"{key}_mean")
    std = right.text_input("Std of each channel", _written(usual.std), key=f"{key}_std")
    order = last.selectbox("Colours", ORDERS, ORDERS.index(usual.order), key=f"{key}_order", format_func=str.upper,
                           help="BGR: blue first, as OpenCV reads photos; mean and std are in that order too.")
    return replace(usual, size=size, crop_ratio=ratio, interpolation=interpolation, order=order,
                   mean=_numbers(mean, usual.mean), std=_numbers(std, usual.std))


def _written(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.6g}" for value in values)


def _numbers(text: str, usual: tuple[float, ...]) -> tuple[Any, ...]:
    """The numbers in a text; what is no number stays text, and Preprocessing refuses it with a sentence."""
    if text == _written(usual):  # shown with fewer digits than it has
        return usual
    numbers: list[Any] = []
    for part in re.split(r"[\s,;]+", text.strip()):
        try:
            numbers.append(float(part))
        except ValueError:
            numbers.append(part)
    return tuple(numbers)


def edit_preprocessing(session: Session, network: Network) -> None:
    """For the network in use: other numbers than its own, for this session."""
    name = session.choices.network
    with st.expander("Preprocessing of the network in use"):
        panels.note("What is changed here holds in this session alone. Wrong numbers fail silently: the network "
                    "answers all the same, and worse.", key="preprocessing_note", style="caption")
        try:
            preprocessing = preprocessing_fields(network.preprocessing, f"edit_{name}")
            take, back = st.columns(2)
            if name in session.edited and back.button("Back to its own", key="own_preprocessing"):
                del session.edited[name]
                _close(session)
            if take.button("Use these numbers", key="use_preprocessing"):
                _use(session, network, preprocessing)
        except ExplorerError as error:
            panels.alert(str(error), key="preprocessing_wrong")


def _use(session: Session, network: Network, preprocessing: Preprocessing) -> None:
    """Raises ExplorerError for what the network does not take."""
    if preprocessing.channels != network.preprocessing.channels:
        raise ParameterError(f"The network takes {network.preprocessing.channels} channels; got numbers for "
                             f"{preprocessing.channels}.")
    check_edited(replace(network, preprocessing=preprocessing))
    name = session.choices.network
    session.edited.pop(name, None)
    if preprocessing != network_of(session, name).preprocessing:
        session.edited[name] = preprocessing
    _close(session)


def _close(session: Session) -> None:
    session.choose(size=None, region=None)  # the maps may have another size now
    session.picking = ""
    st.rerun()
