"""Well-formed markup for files, HTML or SVG, from tags and text. Text of a user stays text."""

from __future__ import annotations

import html
import re

_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # by XML 1.0, section 2.2
_EMPTY = {"img", "meta", "link", "br", "rect", "image", "stop"}


class Markup(str):
    """What is markup already and will not be escaped again."""

    __slots__ = ()


def clean(text: object) -> str:
    """The text without the control characters and lone surrogates that XML and UTF-8 have no place for."""
    return _FORBIDDEN.sub("", str(text))


def tag(name: str, /, *children: str | None, class_: str = "", **attributes: object) -> Markup:
    """One element. Children are escaped unless they are `Markup`; None is left out, of attributes too.

    Attribute names are written with underscores for hyphens: `fill_opacity=0.5`. HTML and XML read it alike.
    """
    named = {"class": class_ or None, **{key.replace("_", "-"): value for key, value in attributes.items()}}
    written = "".join(f' {key}="{html.escape(clean(value))}"' for key, value in named.items() if value is not None)
    inside = "".join(_escaped(child) for child in children if child is not None)
    if not inside and name in _EMPTY:
        return Markup(f"<{name}{written}/>")
    return Markup(f"<{name}{written}>{inside}</{name}>")


def _escaped(child: str) -> str:
    return child if isinstance(child, Markup) else html.escape(clean(child))
