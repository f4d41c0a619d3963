"""The one kind of node that pages, reports and SVG files are made of. A user's text stays text in all of them."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STYLE = Path(__file__).with_name("sections.css")  # for pages and reports alike
DOCUMENT_STYLE = Path(__file__).with_name("document.css")  # for what is kept: reports, and pages that are handed on

_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # by XML 1.0, section 2.2
_VOID = {"img", "meta", "link", "br", "rect", "image", "stop"}
_OF_BUTTONS = {"type", "data-key", "aria-pressed"}


class Raw(str):
    """Text of the project's own, such as a style sheet, that is written as it stands."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Node:
    """One element.

    Attributes:
        tag, children, attributes: as in HTML or SVG; children are nodes or text.
        class_: classes, separated by spaces.
        style: CSS properties.
        pick: what a click on it sends to Python on a page; files ignore it.
    """

    tag: str
    children: tuple[Node | str, ...] = ()
    class_: str = ""
    style: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    pick: Any = None

    @property
    def elements(self) -> list[Node]:
        """Its children without the text between them."""
        return [child for child in self.children if isinstance(child, Node)]

    def markup(self) -> str:
        """As HTML or XML. A file has nothing to click: its buttons are spans."""
        style = "; ".join(f"{name}: {value}" for name, value in self.style.items())
        named = {"class": self.class_, **self.attributes, "style": style}
        tag = self.tag
        if tag == "button":
            tag = "span"
            named = {name: value for name, value in named.items() if name not in _OF_BUTTONS}
        written = "".join(f' {name}="{html.escape(clean(value))}"' for name, value in named.items()
                          if value or name not in ("class", "style"))
        inside = "".join(_written(child) for child in self.children)
        if not inside and tag in _VOID:
            return f"<{tag}{written}/>"
        return f"<{tag}{written}>{inside}</{tag}>"

    def data(self) -> dict[str, Any]:
        """As JSON data for board.js."""
        data: dict[str, Any] = {
            "tag": self.tag, "children": [child if isinstance(child, str) else child.data() for child in self.children]}
        optional: dict[str, Any] = {"class": self.class_, "pick": self.pick, "style": dict(self.style),
                    "attributes": dict(self.attributes)}
        return data | {name: value for name, value in optional.items() if value not in ("", None, {})}


def el(
    tag: str, /, *children: Node | str | None, class_: str = "", pick: Any = None,
    style: Mapping[str, str] | None = None, **attributes: object,
) -> Node:
    """A node. None among children and attributes is left out.

    Attribute names are written with underscores for hyphens: `aria_label="..."`, `fill_opacity=0.5`.
    """
    return Node(
        tag, tuple(child for child in children if child is not None), class_, dict(style or {}),
        {name.replace("_", "-"): str(value) for name, value in attributes.items() if value is not None}, pick)


def picture(data: bytes, alt: str, kind: str = "jpeg", class_: str = "") -> Node:
    """An image from encoded bytes."""
    return el("img", src=data_uri(data, f"image/{kind}"), alt=alt, class_=class_)


def data_uri(data: bytes, kind: str = "image/jpeg") -> str:
    """The bytes as an address that needs no request."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def clean(text: object) -> str:
    """The text without the control characters and lone surrogates that XML and UTF-8 have no place for."""
    return _FORBIDDEN.sub("", str(text))


def _written(child: Node | str) -> str:
    if isinstance(child, Node):
        return child.markup()
    return child if isinstance(child, Raw) else html.escape(clean(child))
