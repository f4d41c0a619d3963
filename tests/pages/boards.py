"""What a page shows, read from an AppTest: every component is drawn from JSON, and this reads it again.

Boards become text and nodes, viewers become maps with their numbers, figures become traces. Nothing of the package is
imported here: numbers are unpacked from what the browser gets, and JSON that a browser would refuse is an error.
"""

from __future__ import annotations

import base64
import io
import json
import re
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image
from streamlit.testing.v1 import AppTest


class Drawn:
    """One node of a board, as `explorer.sections.nodes.el` made it."""

    def __init__(self, node: dict[str, Any]) -> None:
        self.node = node

    @property
    def text(self) -> str:
        """All its text, in the order of the page."""
        return "".join(child if isinstance(child, str) else Drawn(child).text for child in self.node["children"])

    @property
    def attributes(self) -> dict[str, str]:
        return self.node.get("attributes", {})

    @property
    def pick(self) -> Any:
        """What a click on it sends."""
        return self.node.get("pick")

    def all(self, what: str) -> list[Drawn]:
        """Its nodes of a tag or a class, itself among them."""
        return [node for node in self._walk() if what in {node.node["tag"], *node.node.get("class", "").split()}]

    def one(self, what: str) -> Drawn:
        (result,) = self.all(what)
        return result

    def texts(self, what: str) -> list[str]:
        """The texts of its nodes of a tag or a class."""
        return [node.text for node in self.all(what)]

    def image(self) -> Image.Image:
        """The picture of its only <img>, decoded."""
        return decoded(self.one("img").attributes["src"])

    def _walk(self) -> Iterator[Drawn]:
        yield self
        for child in self.node["children"]:
            if not isinstance(child, str):
                yield from Drawn(child)._walk()


class Shown:
    """One map of a viewer: `values` (H, W) with NaN where there is none, and everything said of it by its name."""

    def __init__(self, fields: dict[str, Any], values: np.ndarray, step: float) -> None:
        self.fields = fields
        self.values = values
        self.step = step  # between two neighbouring levels: no value is further off than half of it

    def __getattr__(self, name: str) -> Any:
        """What the browser gets of it, such as `lines`, `badge` or `unitName`; "" or None where it is not."""
        return self.fields.get(name, None if name in {"limit", "mark", "box", "notes", "pick"} else "")


class Viewer:
    """A viewer: its `maps` by their ids, in their order, and all else that the browser gets."""

    def __init__(self, data: dict[str, Any], stack: dict[str, Any]) -> None:
        self.data = data | {"maps": stack["maps"], "pack": stack["pack"]}
        values, steps = unpacked(stack["pack"])
        assert len(values) == len(stack["maps"])
        self.maps = {fields["id"]: Shown(fields, item, step)
                     for fields, item, step in zip(stack["maps"], values, steps, strict=True)}
        assert len(self.maps) == len(values), "two maps have the same id"

    @property
    def chosen(self) -> Shown:
        """The map that it begins with."""
        return self.maps[self.data["chosen"]]

    def __getitem__(self, name: str) -> Any:
        return self.data[name]


def unpacked(pack: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """(n, H, W) numbers and (n,) steps between levels: deflated, 16 bits each, little end first; 65535 is NaN."""
    count, rows, columns = pack["shape"]
    raw = zlib.decompress(base64.b64decode(pack["data"], validate=True))
    assert len(raw) == 2 * count * rows * columns
    octets = np.frombuffer(raw, np.uint8).astype(np.float64)
    levels = (octets[::2] + 256 * octets[1::2]).reshape(count, rows, columns)
    low, high = (np.array(pack[end], np.float64)[:, None, None] for end in ("low", "high"))
    values = low + levels / 65534 * (high - low)
    return np.where(levels == 65535, np.nan, values), (high - low).ravel() / 65534


def decoded(source: str) -> Image.Image:
    """A picture from a data URL."""
    return Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).convert("RGB")


def components(page: AppTest, kind: str) -> dict[str, dict[str, Any]]:
    """What components of a kind ("board", "viewer", "wall", "slider", "source") were given, by their keys."""
    return {
        item.key.removesuffix("_source"): strict_json(item.proto.bytes.decode()) if item.proto.bytes
        else strict_json(item.proto.json)[0]
        for item in page.get("bidi_component") if item.proto.component_name == f"poolscope.{kind}"
    }


def strict_json(text: str) -> Any:
    """As a browser reads it: it knows neither NaN nor Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"the browser cannot read {constant}")

    return json.loads(text, parse_constant=refuse)


def boards(page: AppTest) -> dict[str, Drawn]:
    """All boards of the page by their keys."""
    return {key: Drawn(data["tree"]) for key, data in components(page, "board").items()}


def viewers(page: AppTest) -> dict[str, Viewer]:
    """All viewers of the page by their keys, each with the maps that a source gave the page for it."""
    stacks = {data["stack"]["key"]: data["stack"] for data in components(page, "source").values() if "stack" in data}
    return {key: Viewer(data, stacks[data["stack"]]) for key, data in components(page, "viewer").items()}


def figures(page: AppTest) -> dict[str, dict[str, Any]]:
    """All Plotly figures by their keys: {"data": traces, "layout": ...}, numbers as arrays."""
    return {item.key: _numbers(strict_json(item.proto.spec)) for item in page.get("plotly_chart")}


def _numbers(part: Any) -> Any:
    """Plotly sends arrays as {"dtype", "bdata"}."""
    if isinstance(part, list):
        return [_numbers(item) for item in part]
    if not isinstance(part, dict):
        return part
    if set(part) >= {"dtype", "bdata"}:
        array = np.frombuffer(base64.b64decode(part["bdata"]), np.dtype(part["dtype"]).newbyteorder("<"))
        return array.reshape([int(n) for n in part["shape"].split(",")]) if "shape" in part else array
    return {name: _numbers(item) for name, item in part.items()}


def trace(figure: dict[str, Any], name: str) -> dict[str, Any]:
    """The trace of that name."""
    (result,) = (item for item in figure["data"] if item.get("name") == name)
    return result


def notices(page: AppTest) -> list[str]:
    """The sentences on top of the page."""
    shown = [boards(page)[key] for key in ("notices", "late_notices") if key in boards(page)]
    return [text for board in shown for text in board.texts("p")]


def control(page: AppTest, name: str) -> Any:
    """The widget that makes a choice, such as "pooling"."""
    kinds = ("selectbox", "select_slider", "toggle", "button_group", "multiselect", "number_input", "slider")
    (result,) = (item for kind in kinds for item in page.get(kind) if re.fullmatch(rf"{name}_\d+", item.key or ""))
    return result


def number(text: str) -> float:
    """"−0.03" or "+1,280" as a number; the minus sign is a true one."""
    return float(text.replace("−", "-").replace(",", ""))


def is_plain_sentence(text: str) -> bool:
    """One line that begins with a capital and ends with a full stop, without a trace of code in it."""
    traces = ("Traceback", "Error(", "Exception", "site-packages", ".py", "None", "True", "False", "0x")
    return (text[:1].isupper() and text.endswith(".") and "\n" not in text and len(text) < 240
            and not any(trace in text for trace in traces))
