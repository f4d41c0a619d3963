"""A page with one instrument on numbers made up for tests, and the events that reached Python.

`?case=one` is a viewer of a case in cases.py, `?case=wall` a wall of 2048 channels of 14 x 14 positions, `?case=live`
the panel Intervene of a tiny network.
"""

import json
from dataclasses import replace

import numpy as np
import streamlit as st
import torch

from explorer import Analysis
from explorer.ui.components.library import put_library
from explorer.ui.components.live import live_panel, put_maps, put_network
from explorer.ui.components.viewer import Handlers, Look, put_photo, stack, viewer
from explorer.ui.components.wall import put_channels, wall
from tests.browser.apps import cases

st.set_page_config(layout="wide")
put_library()
events = st.session_state.setdefault("events", [])


def show_viewer(case: str) -> None:
    maps, look = cases.CASES[case]
    shown, digest = cases.analysis_of(case), f"{case:x<16}"
    names = ("region", "pick", "present", "walk")
    handlers = Handlers(**{name: lambda value, name=name: events.append([name, value]) for name in names})
    put_photo(shown, digest)
    viewer(shown, digest, stack(maps), key="evidence", name=f"Case {case}", look=replace(look, handlers=handlers))


@st.cache_resource
def made_up() -> Analysis:
    plain = cases.analysis_of("wall")
    return Analysis(plain.network, plain.image, plain.framing, None, torch.from_numpy(cases.channels()), 0.0)


def show_wall(which: str) -> None:
    shown, digest = made_up(), "wall" * 4
    chosen = [value for name, value in events if name == "channel"]
    put_photo(shown, digest)
    left, right = st.columns([58, 42])
    with left:
        order = cases.ORDERS[which]
        wall(shown, put_channels(shown, digest), order, cases.contributions(), np.zeros(len(order)), key="wall",
             status=f"{len(order)} channels", class_name=cases.HOSTILE, chosen=chosen[-1] if chosen else None,
             beside=2040, on_channel=lambda channel: events.append(["channel", channel]))
    with right:
        blank = stack([cases.signed("blank", np.zeros((cases.SIDE, cases.SIDE)))])
        viewer(shown, digest, blank, key="evidence", name="The channel", look=Look(main=True, follow="wall"))


def show_panel() -> None:
    shown, digest = cases.live(), "live" * 4
    put_photo(shown, digest)
    state = {"c": 0, "pooling": "gap", "calibrated": True, "change": ""}
    states = [state for name, state in events if name == "state"]
    put_network(shown.network)
    photo, number = {"key": digest, "name": cases.HOSTILE}, states[-1]["n"] if states else 0
    live_panel(shown, put_maps(shown, 0), photo, state | (states[-1] if states else {}), number, "panel",
               lambda new: events.append(["state", new]), lambda _: None)


case = st.query_params.get("case", "one")
if case == "wall":
    show_wall(st.query_params.get("order", "falling"))
elif case == "live":
    show_panel()
else:
    show_viewer(case)
st.text(json.dumps(events))
