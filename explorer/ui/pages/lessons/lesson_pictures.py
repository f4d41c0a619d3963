"""What lessons are drawn with: a chain of counts, a grid of numbers, bars, tables, pictures and their legends."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from explorer.analysis import Analysis
from explorer.render import Scale, jpeg, overlay
from explorer.sections.nodes import Node, el, picture
from explorer.wording import plain, signed

MOST_CELLS = 400  # that a grid shows with a number in each
SIDE = 480  # px of the long side of what the network saw


def chain(counts: Sequence[tuple[str, str]], now: int | None = None) -> Node:
    """Numbers such as ("62,720", "feature maps") with arrows between them; `now` is the place of the marked one."""
    links = [el("div", el("strong", number), el("span", name, class_="caption"),
                class_="link-of-chain now" if n == now else "link-of-chain") for n, (number, name) in enumerate(counts)]
    return el("div", *[part for link in links for part in (el("span", "→", class_="arrow"), link)][1:], class_="chain")


def grid(
    values: np.ndarray, marked: Sequence[tuple[int, int]] = (), window: tuple[int, int] = (0, 0),
    scale: Scale | None = None,
) -> Node:
    """A map (H, W) as a grid of coloured cells with their numbers; without these where they are many.

    Args:
        marked: positions to outline.
        window: rows and columns of a window to outline, in the upper left corner.
        scale: None is from 0 to the maximum, or a signed one where something is negative.
    """
    scale = scale or (Scale.signed(values) if np.nanmin(values, initial=0) < 0 else Scale.positive(values))
    colours, written, cells = scale.colours(values), values.size <= MOST_CELLS, []
    for (i, j), value in np.ndenumerate(values):
        classes = ["cell"]
        if (i, j) in marked:
            classes.append("marked")
        if i < window[0] and j < window[1]:
            classes.append("within")
        number = plain(value) if written else ""
        cells.append(el("span", number, class_=" ".join(classes), style=painted(colours[i, j])))
    return el("div", *cells, class_="grid small" if values.shape[1] > 8 else "grid", role="img",
              aria_label=f"A map of {values.shape[0]} × {values.shape[1]} numbers",
              style={"--columns": str(values.shape[1])})


def painted(colour: np.ndarray) -> dict[str, str]:
    """A background of that colour (3,) uint8, and black or white ink, whichever is more legible on it.

    By relative luminance as the Web Content Accessibility Guidelines (WCAG 2.2) have it: the better one always has a
    contrast of at least 4.5.
    """
    shares = colour / 255
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ [0.2126, 0.7152, 0.0722])
    white = 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05
    red, green, blue = map(int, colour)
    return {"background": f"rgb({red}, {green}, {blue})", "color": "#fff" if white else "#000"}


def bars(rows: Sequence[tuple[str, float, str]], most: float | None = None, marked: int | None = None) -> Node:
    """Bars on one scale from 0: name, size and the size in words; what is negative goes to no length."""
    most = most or max((size for _, size, _ in rows if np.isfinite(size)), default=0.0) or 1.0
    return el("div", *(el(
        "div", el("span", name, class_="name"), el("span", words, class_="number"),
        el("div", class_="bar", style={"--share": f"{100 * max(0.0, min(1.0, size / most)):.3f}%"}),
        class_="answer wide now" if n == marked else "answer wide") for n, (name, size, words) in enumerate(rows)),
        class_="bars")


def account(lines: Sequence[tuple[str, str]]) -> Node:
    """What is computed, line by line: words, and the numbers behind them."""
    return el("dl", *(part for words, numbers in lines for part in (el("dt", words), el("dd", numbers))),
              class_="account-lines")


def side_by_side(*parts: Node | None) -> Node:
    """Three columns."""
    return el("div", *parts, class_="sidebyside", style={"--columns": "3"})


def shot(title: str, photo: Image.Image, alt: str, scale: Scale | None = None) -> Node:
    """A picture under its title, over the legend of its scale where it has one of its own."""
    return el("div", el("span", title, class_="caption"), picture(jpeg(photo), alt),
              legend(scale) if scale else None, class_="shot")


def photo_shot(
    analysis: Analysis, title: str, values: np.ndarray | None = None, positions: tuple[int, int] | None = None
) -> Node:
    """What the network saw, with a map (H, W) of one channel on it, or with lines between the positions.

    `positions` are rows and columns other than the analysis has.
    """
    photo, seen = analysis.preview(2 * SIDE)
    left, top, right, bottom = (round(edge) for edge in seen)
    factor = SIDE / max(right - left, bottom - top)
    size = max(1, round(factor * (right - left))), max(1, round(factor * (bottom - top)))
    photo = photo.resize(size, box=(left, top, right, bottom))
    if values is not None:
        scale = Scale.signed(values) if np.nanmin(values, initial=0) < 0 else Scale.positive(values)
        photo = overlay(photo, values, (0, 0, *photo.size), scale)
    else:
        lines, (rows, columns) = ImageDraw.Draw(photo), positions or analysis.framing.grid
        for n in range(1, rows):
            lines.line((0, n * photo.height / rows, photo.width, n * photo.height / rows), "white")
        for n in range(1, columns):
            lines.line((n * photo.width / columns, 0, n * photo.width / columns, photo.height), "white")
    return shot(title, photo, f"The photo: {title}")


def legend(scale: Scale, *low: Node) -> Node:
    """The colours of a signed scale with its upper end in logits; `low` is the lower end."""
    return el("div", *low, el("div", class_="bar", style={"background": scale.css_gradient()}),
              el("span", f"{signed(scale.limit)} logits"), class_="legend")

