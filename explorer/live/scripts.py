"""The scripts and styles that the app and pages without a server share."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
VIEWER = HERE / "viewer"
ALGEBRA = ("live.js", "words.js")
PANEL = ("shared.js", "view.js", "paint.js", "scales.js", "tools.js", "viewer.js", *ALGEBRA, "panel_parts.js",
         "panel.js")  # a page that holds these can show a `LivePanel`


def read(*names: str) -> str:
    """The text of scripts or styles, of the viewer or beside this file, one after another."""
    folders = (VIEWER if (VIEWER / name).exists() else HERE for name in names)
    return "".join((folder / name).read_text(encoding="utf-8") for folder, name in zip(folders, names, strict=True))
