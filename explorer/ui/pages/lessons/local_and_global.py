"""Lesson 2: a window slides over a map, and grows until it is the whole map."""

from __future__ import annotations

from typing import Any

from explorer.lessons.local_and_global import KINDS, LocalPooling, largest_window, local_and_global
from explorer.questions.channel_table import channel_table
from explorer.render import Scale
from explorer.sections.nodes import Node, el
from explorer.ui.components.board import board
from explorer.ui.pages.lessons.lesson_pictures import account, grid, photo_shot
from explorer.ui.pages.lessons.scene import Control, Scene
from explorer.wording import percent, plain

MOST_WINDOWS = 14  # positions of the slider
MOST_WRITTEN = 4  # columns of what is left that have their numbers in a talk
_GLOBAL = {"max": "GMP", "average": "GAP"}  # by the kind of a window that is the whole map


def controls(scene: Scene) -> tuple[Control, ...]:
    """The window's side, how far it moves, and what it keeps."""
    largest = largest_window(scene.analysis)
    step = -(-largest // MOST_WINDOWS)
    sides = tuple(sorted({1, *range(step, largest + 1, step), largest}))
    usual = min(sides, key=lambda side: abs(side - 2))
    return (Control("window", "Window, positions", sides, usual, lambda side: f"{side} × {side}", width=2),
            Control("stride", "Moves by", ("window", "one"), "window",
                    {"window": "its own side", "one": "one position"}.__getitem__, ordered=False),
            Control("keeps", "Keeps the", tuple(KINDS), "max", KINDS.__getitem__, ordered=False))


def draw(scene: Scene, chosen: dict[str, Any]) -> str:
    """The map on the photo, with the first window on it, what is left, and what was lost."""
    stride = 1 if chosen["stride"] == "one" else None
    channel = _channel(scene)
    result = local_and_global(scene.analysis, channel, chosen["keeps"], chosen["window"], stride)
    scale = Scale.signed(result.values) if result.values.min() < 0 else Scale.positive(result.values)
    peaks = [(i, j) for i, j in result.peaks.reshape(-1, 2).tolist()] if result.peaks is not None else []
    (rows, columns), (height, width) = result.values.shape, result.output.shape
    wide = 100.0 if scene.presenting else 100 * width / columns
    after = [el("h3", f"After: {height} × {width}"), el(
        "div", grid(result.output, scale=scale), class_="" if width <= MOST_WRITTEN else "unwritten",
        style={"width": f"{wide:.1f}%", "min-width": "56px"})]
    board(el("div", el("div",
        el("div", photo_shot(scene.analysis, f"Channel {channel}", result.values),
           *(after if scene.presenting else ())),
        el("div", el("h3", f"Channel {channel}, {rows} × {columns}"), grid(result.values, peaks, result.sides, scale)),
        *scene.at_desk(el("div", *after, el("h3", "What is left"),
                          _account(result, len(scene.analysis.feature_maps), chosen["keeps"]))),
        class_="sidebyside photo-first"), class_="stack ruled"), key="windows")
    return _notice(result, chosen["keeps"])


def _channel(scene: Scene) -> int:
    """The top contributing channel, or without evidence the one with the largest mean."""
    if scene.analysis.has_evidence:
        return int(channel_table(scene.outcome, scene.class_index).order()[0])
    return int(scene.analysis.feature_maps.mean((1, 2)).argmax())


def _notice(result: LocalPooling, kind: str) -> str:
    count, (high, wide) = result.values.size, result.sides
    if result.sides == result.values.shape:
        return f"One number is left of {count}: this is {_GLOBAL[kind]}, and it no longer says where."
    kept = result.variance_kept
    survives = "" if kept is None else f", and {percent(kept)} of the map's variance survives"
    return f"Windows of {high} × {wide} leave {result.output.size} of {count} numbers{survives}."


def _account(result: LocalPooling, channels: int, kind: str) -> Node:
    (rows, columns), (height, width) = result.values.shape, result.output.shape
    lines = [
        ("all maps", f"{channels:,} × {rows:,} × {columns:,} → {channels:,} × {height:,} × {width:,}"),
        ("numbers kept", percent(result.output.size / result.values.size)),
        ("positions never read", percent(result.unread)),
    ]
    if result.variance_kept is not None:
        lines.append(("variance that survives", percent(result.variance_kept)))
    if result.sides == (rows, columns):
        lines.append((f"this is {_GLOBAL[kind]}",
                      f"{plain(float(result.output[0, 0]))} = {plain(result.global_value)}"))
    return account(lines)
