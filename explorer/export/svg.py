"""The evidence for a class as one SVG document: the photo, a rectangle for each position, and a legend.

Without evidence Grad-CAM takes its place, and the legend gives the reason.
"""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np

from explorer import render
from explorer.analysis import ClassMap, Outcome
from explorer.questions.contrast import contrast_map
from explorer.sections.nodes import Node, clean, data_uri, el
from explorer.wording import percent

OPACITY = 0.85  # of the strongest position, as render.overlay has it
_INK, _QUIET, _PAPER = "#1f2328", "#5f656b", "#ffffff"
_LEGEND = 9.2  # height of the legend in lines


def overlay_svg(
    outcome: Outcome, class_index: int, photo_side: int = 1600, rival: int | None = None, lined: bool = False
) -> str:
    """One self-contained SVG document: the photo with the evidence for a class laid over it, and a legend below.

    All lengths are in pixels of the photo at its own size, whatever the size of the picture inside: the photo lies at
    (0, 0), and each position is a `<rect>` at its place in `analysis.framing.rectangles`, row by row, with its evidence
    in a `<title>`. Colours and covers are those of `analysis.overlay`, on a signed scale of this evidence alone.

    Args:
        outcome: from `analysis.under(...)`.
        photo_side: the photo inside is at most so many px long.
        rival: lay the evidence for the class against this one over the photo instead.
        lined: whether there are contours, two `<path>` for each, and what they are in the legend.

    Raises ParameterError when there is no such class, and as `contrast` does for a rival.
    """
    analysis = outcome.analysis
    drawn = outcome.class_map(class_index) if rival is None else contrast_map(outcome, class_index, rival)
    cells = drawn.cells.numpy()
    scale = render.Scale.signed(cells)
    width, height = analysis.framing.photo_size
    line = max(width, height) / 42  # a line of the legend
    wide, high = max(width, 30 * line), height + (_LEGEND + 1.4 * lined) * line
    name = f"{drawn.name}, {drawn.source}"
    document = el(
        "svg",
        el("title", f"{name}, laid over the photo"),
        _definitions(scale),
        el("rect", width=_number(wide), height=_number(high), fill=_PAPER),
        el("image", href=data_uri(_photo(outcome, photo_side)), width=width, height=height,
            preserveAspectRatio="none"),
        el("g", *_positions(cells, analysis.framing.rectangles, scale, drawn.unit), id="positions",
            shape_rendering="crispEdges"),
        el("g", *_contours(cells, analysis.framing.rectangles, render.contour_unit((width, height))), id="contours",
            fill="none", stroke_linecap="square") if lined else None,
        el("g", *_legend(drawn, outcome.label, name, scale, line, (wide, height), lined), id="legend",
            font_family="system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif",
            font_size=_number(line), fill=_INK),
        xmlns="http://www.w3.org/2000/svg", role="img", width=_number(wide), height=_number(high),
        viewBox=f"0 0 {_number(wide)} {_number(high)}",
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{document.markup()}\n'


def _photo(outcome: Outcome, long_side: int) -> bytes:
    photo, seen = outcome.analysis.preview(long_side)
    return render.jpeg(render.ground(photo, seen))


def _definitions(scale: render.Scale) -> Node:
    """The scale as a gradient, from nine of its colours."""
    places = np.linspace(0, 1, 9)
    colours = scale.colours(scale.low + places * (scale.limit - scale.low))
    stops = [el("stop", offset=f"{place:g}", stop_color=_hex(colour))
             for place, colour in zip(places, colours, strict=True)]
    return el("defs", el("linearGradient", *stops, id="scale"))


def _positions(cells: np.ndarray, rectangles: np.ndarray, scale: render.Scale, unit: str) -> list[Node]:
    """One `<rect>` for each number of cells (H, W), at rectangles (H, W, 4): left, top, right, bottom."""
    cover = OPACITY * scale.strength(cells) ** 0.7
    colours = scale.colours(cells)
    rows, columns = cells.shape
    drawn = []
    for i, j in np.ndindex(rows, columns):
        left, top, right, bottom = rectangles[i, j]
        value = float(cells[i, j])
        number = f"{value:+.4f} {unit}" if unit else f"{value:+.4g}"
        exactly = number.replace("-", "−") if np.isfinite(value) else "not a number"
        drawn.append(el(
            "rect", el("title", f"Position ({i}, {j}) of {rows} × {columns}: {exactly}"),
            x=_number(left), y=_number(top), width=_number(right - left), height=_number(bottom - top),
            fill=_hex(colours[i, j]), fill_opacity=f"{cover[i, j]:.4f}",
        ))
    return drawn


def _contours(cells: np.ndarray, rectangles: np.ndarray, unit: float) -> list[Node]:
    """Contours along the edges of the rectangles, each first as a white rim."""
    x, y = [*rectangles[0, :, 0], rectangles[0, -1, 2]], [*rectangles[:, 0, 1], rectangles[-1, 0, 3]]
    drawn = []
    for width, edges in render.contours(cells):
        path = "".join(f"M{_number(x[j])} {_number(y[i])}L{_number(x[beside])} {_number(y[below])}"
                       for i, j, below, beside in edges)
        drawn += [el("path", d=path, stroke=_hex(colour), stroke_width=_number(wide * unit))
                  for colour, wide in ((render.RIM, width + 2), (render.INK, width))]
    return drawn


def _legend(
    drawn: ClassMap, label: str, name: str, scale: render.Scale, line: float, at: tuple[float, float], lined: bool
) -> list[Node]:
    """What is drawn and in which unit, in a band of lines below the photo; `at` is its right and its top."""
    right, top = at
    room = right / line - 2  # in lines: the margins are one line each

    def text(words: str, row: float, x: float = line, **look: Any) -> Node:
        return el("text", words, x=_number(x), y=_number(top + row * line), **look)

    sizes = {"text_anchor": "middle"}, {"text_anchor": "end"}
    return [
        text(fitting(name, room / 1.1), 1.9, font_size=_number(1.1 * line), font_weight="600"),
        el("rect", x=_number(line), y=_number(top + 2.8 * line), width=_number(right - 2 * line),
            height=_number(0.6 * line), fill="url(#scale)"),
        text(drawn.number(scale.low), 4.5, fill=_QUIET),
        text("0", 4.5, right / 2, fill=_QUIET, **sizes[0]),
        text(f"{drawn.number(scale.limit)} {drawn.unit or '(no unit)'}", 4.5, right - line, fill=_QUIET, **sizes[1]),
        text(drawn.account[0], 6.4),
        text(fitting(f"{label} · {drawn.account[1]}", room), 7.8, fill=_QUIET),
        *([text(fitting(_contours_in_words(drawn.unit), room), 9.2, fill=_QUIET)] if lined else []),
    ]


def _contours_in_words(unit: str) -> str:
    """What the legend of the viewer says of them."""
    shares = ", ".join(percent(share) for share, _ in render.CONTOURS)
    return f"lines around {shares} of the positive {'evidence' if unit == 'logits' else 'part'}, thick to thin"


def fitting(text: str, room: float) -> str:
    """The text on one line, cut with an ellipsis where it is wider than `room`, in font sizes."""
    words, used = " ".join(clean(text).split()), 0.0
    for n, letter in enumerate(words):
        used += 1.0 if unicodedata.east_asian_width(letter) in "WF" else 0.58
        if used > room:
            return f"{words[: max(1, n - 2)]}…"
    return words


def _hex(colour: np.ndarray) -> str:
    return "#" + bytes(colour.tolist()).hex()


def _number(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")
