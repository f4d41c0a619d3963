"""What a browser sends back: AppTest has no clicks for components and figures, so their messages are made here."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from streamlit.components.v2.bidi_component.main import _make_trigger_id
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.testing.v1 import AppTest, local_script_runner


def use(page: AppTest, key: str, event: str, value: Any, part_alone: bool = False) -> AppTest:
    """A component sends an event, such as `use(page, "evidence", "region", {...})`, and the page runs again.

    part_alone: as in a browser, where only the fragment around the component runs; the page then has nothing else.
    """
    (component,) = (item for item in page.get("bidi_component") if item.key == key)
    sent = WidgetState(id=_make_trigger_id(component.proto.id, "events"),
                       json_trigger_value=json.dumps([{"event": event, "value": value}]))
    return _send(page, sent, _part_of(page, component) if part_alone else "")


def pick(page: AppTest, key: str, value: Any, part_alone: bool = False) -> AppTest:
    """A click on a node of a board."""
    return use(page, key, "pick", value, part_alone)


def _part_of(page: AppTest, component: Any) -> str:
    """The innermost fragment around it: a viewer (but in a talk) and what is said of a place have their own, and so has
    the panel Intervene, further down the page."""
    story, *inner = page._fragment_storage._fragments
    if component.proto.component_name == "poolscope.intervene":
        return inner[-1]
    is_inside = component.proto.component_name == "poolscope.viewer" or component.key == "place"
    return inner[0] if inner and is_inside else story


def click_point(page: AppTest, key: str, point: dict[str, Any] | None) -> AppTest:
    """A click on a point of a Plotly figure; None takes the selection away."""
    (figure,) = (item for item in page.get("plotly_chart") if item.key == key)
    points = [] if point is None else [point]
    selection = {"points": points, "point_indices": [item["point_index"] for item in points], "box": [], "lasso": []}
    return _send(page, WidgetState(id=figure.proto.id, string_value=json.dumps({"selection": selection})))


def wait_for(page: AppTest, shown: Callable[[], bool]) -> None:
    """Run the page again until something is shown, as the browser does while a job goes on."""
    end = time.monotonic() + 60
    while not shown() and time.monotonic() < end:
        time.sleep(0.2)
        page.run()
    assert shown()


def _send(page: AppTest, sent: WidgetState, fragment: str = "") -> AppTest:
    states = page._tree.get_widget_states()
    states.widgets.append(sent)
    with pytest.MonkeyPatch.context() as patch:
        if fragment:
            patch.setattr(local_script_runner, "RerunData",
                          functools.partial(local_script_runner.RerunData, fragment_id=fragment))
        return page._run(states)


def follow(page: AppTest, link: dict[str, str]) -> AppTest:
    """The browser goes back or forward to a link."""
    page.query_params = dict(link)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_script_runner, "RerunData",
                      functools.partial(local_script_runner.RerunData, is_history_navigation=True))
        return page.run()


def upload(page: AppTest, data: bytes, name: str = "photo.png", kind: str = "image/png") -> AppTest:
    """A file is dropped into the sidebar."""
    return page.file_uploader(key="upload").set_value((name, data, kind)).run()
