"""What a page shows, read from an AppTest: boards are drawn from JSON, and this reads their text and nodes again."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from typing import Any

from PIL import Image
from streamlit.testing.v1 import AppTest


class Drawn:
    """One node of a board, as `explorer.ui.board.el` made it."""

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
        (found,) = self.all(what)
        return found

    def image(self) -> Image.Image:
        """The picture of its only <img>, decoded."""
        encoded = self.one("img").attributes["src"].partition(",")[2]
        return Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB")

    def _walk(self) -> Iterator[Drawn]:
        yield self
        for child in self.node["children"]:
            if not isinstance(child, str):
                yield from Drawn(child)._walk()


def boards(page: AppTest) -> dict[str, Drawn]:
    """All boards of the page by their keys."""
    return {each.key: Drawn(json.loads(each.proto.json)["tree"]) for each in page.get("bidi_component")}


def notices(page: AppTest) -> list[str]:
    """The sentences on top of the page."""
    shown = boards(page).get("notices")
    return [] if shown is None else [paragraph.text for paragraph in shown.all("p")]


def control(page: AppTest, name: str) -> Any:
    """The widget that makes a choice, such as "pooling" or "searched"."""
    kinds = ("selectbox", "select_slider", "toggle", "button_group")
    (found,) = (each for kind in kinds for each in page.get(kind) if re.fullmatch(rf"{name}_\d+", each.key or ""))
    return found


def is_plain_sentence(text: str) -> bool:
    """One line that begins with a capital and ends with a full stop, without a trace of code in it."""
    traces = ("Traceback", "Error(", "Exception", "site-packages", ".py", "None", "True", "False", "0x")
    return (text[:1].isupper() and text.endswith(".") and "\n" not in text and len(text) < 240
            and not any(trace in text for trace in traces))
