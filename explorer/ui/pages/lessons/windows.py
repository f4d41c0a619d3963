"""Lesson 2: a window slides over a map, and grows until it is the whole map."""

from __future__ import annotations

from explorer.lessons.local_and_global import KINDS, Local, largest_window, local_and_global
from explorer.questions.channel_table import channel_table
from explorer.render import Scale
from explorer.sections.nodes import Node, el
from explorer.ui.components.board import board
from explorer.ui.pages.lessons.lesson_controls import Control, ask
from explorer.ui.pages.lessons.lesson_page import Scene
from explorer.ui.pages.lessons.lesson_pictures import account, grid
from explorer.wording import percent, plain

MOST_WINDOWS = 14  # positions of the slider
SHORT = {"max": "maximum", "average": "average"}


def controls(scene: Scene) -> tuple[Control, ...]:
    """The window's side, how far it moves, and what it keeps."""
    largest = largest_window(scene.analysis)
    step = -(-largest // MOST_WINDOWS)
    sides = tuple(sorted({1, *range(step, largest + 1, step), largest}))
    usual = min(sides, key=lambda side: abs(side - 2))
    return (Control("window", "Window, positions", sides, usual, lambda side: f"{side} × {side}"),
            Control("stride", "Moves by", ("window", "one"), "window",
                    {"window": "its own side", "one": "one position"}.__getitem__, ordered=False),
            Control("keeps", "Keeps the", tuple(KINDS), "max", SHORT.__getitem__, ordered=False))


def teach(scene: Scene) -> None:
    """The map with the first window on it, what is left, and what was lost."""
    put = ask(scene.current, controls(scene), [2, 1, 1])
    found = local_and_global(scene.analysis, _channel(scene), put["keeps"], put["window"],
                             1 if put["stride"] == "one" else None)
    scale = Scale.signed(found.values) if found.values.min() < 0 else Scale.positive(found.values)
    first = tuple(int(edge) for edge in found.windows[0, 0])
    peaks = [tuple(map(int, peak)) for peak in found.peaks.reshape(-1, 2)] if found.peaks is not None else []
    (rows, columns), (height, width) = found.values.shape, found.output.shape
    board(el("div", el(
        "div", el("div", el("h3", f"Channel {found.channel}, {rows} × {columns}"),
                  grid(found.values, peaks, first, scale)),
        el("div", el("h3", f"After: {height} × {width}"), el("div", grid(found.output, scale=scale), style={
            "width": f"{100 * width / columns:.1f}%", "min-width": "56px"})),
        el("div", el("h3", "What is left"), _account(found)), class_="sidebyside", style={"--columns": "3"}),
        class_="stack ruled"), key="windows")


def _channel(scene: Scene) -> int:
    """The one that contributes most to the class shown, or that responds most where none contributes."""
    if scene.analysis.has_evidence:
        return int(channel_table(scene.outcome, scene.class_index).order()[0])
    return int(scene.analysis.feature_maps.mean((1, 2)).argmax())


def _account(found: Local) -> Node:
    lines = [
        ("all maps", f"{_shape(found.before)} → {_shape(found.after)}"),
        ("numbers kept", percent(found.numbers_kept)),
        ("positions never read", percent(found.unread)),
    ]
    if found.variance_kept is not None:
        lines.append(("of the map's variance", f"{percent(found.variance_kept)} can be drawn again"))
    if found.is_global:
        name = "GMP" if found.kind == "max" else "GAP"
        lines.append((f"this is {name}", f"{plain(float(found.output[0, 0]))} = {plain(found.global_value)}"))
    return account(lines)


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(f"{length:,}" for length in shape)
