"""Lesson 1: one channel's map, its GAP and GMP, and all channels to one class, step by step."""

from __future__ import annotations

from math import prod
from typing import Any

from explorer.lessons.from_maps_to_one_number import OneNumber, from_maps_to_one_number
from explorer.questions.channel_table import channel_table
from explorer.sections.nodes import Node, el
from explorer.ui.components.board import board
from explorer.ui.pages.lessons.lesson_pictures import account, chain, grid
from explorer.ui.pages.lessons.scene import Control, Scene
from explorer.wording import percent, plain, signed, within_sentence

CHANNELS = 5  # of those that contribute most to choose from


def controls(scene: Scene) -> tuple[Control, ...]:
    """How far to go, and along which channel. Raises MethodError without evidence."""
    best = channel_table(scene.outcome, scene.class_index).order()[:CHANNELS].tolist()
    names = [stage.name for stage in from_maps_to_one_number(scene.outcome, scene.class_index).stages]
    return (Control("step", "Computed up to", tuple(range(len(names))), 0, lambda step: names[step]),
            Control("channel", "Channel", tuple(best), best[0], lambda channel: f"channel {channel}", ordered=False))


def draw(scene: Scene, chosen: dict[str, Any]) -> None:
    """The chain of counts, the channel's numbers, and what has been computed so far."""
    result = from_maps_to_one_number(scene.outcome, scene.class_index, chosen["channel"])
    counts = [(f"{prod(stage.shape):,}", " × ".join(f"{length:,}" for length in stage.shape) + f" {stage.name}"
               if len(stage.shape) > 1 else stage.name) for stage in result.stages]
    one = result.channel
    rows, columns = one.values.shape
    board(el("div", chain(counts, chosen["step"]), el(
        "div", el("div", el("h3", f"Channel {one.channel}, {rows} × {columns} numbers"), grid(one.values, one.places)),
        el("div", el("h3", "What becomes of them"), _account(scene, result, chosen["step"])), class_="sidebyside"),
        class_="stack ruled"), key="one_number")


def _account(scene: Scene, result: OneNumber, step: int) -> Node:
    """Lines up to the stage that is shown; the numbers of earlier ones stay."""
    one, answer, name = result.channel, result.answer, within_sentence(result.answer.name)
    places = ", ".join(map(str, one.places[:3])) + (", …" if len(one.places) > 3 else "")
    stages: dict[str, list[tuple[str, str]]] = {
        "maps": [("sum over positions", f"{plain(one.total)} from {one.values.size} numbers"),
                 ("largest", f"{plain(one.maximum)} at {places}")],
        "pooled": [("GAP", f"{plain(one.total)} / {one.values.size} = {one.mean:.4f}"),
                   ("GMP", f"{one.maximum:.4f}"),
                   (f"under {scene.outcome.name}", f"{one.pooled:.4f}, one of {len(scene.outcome.pooled):,} numbers")],
        "logits": [("its contribution", f"{one.pooled:.4f} × weight {one.weight:.4f} = {signed(one.contribution)} to "
                                        f"{name}, rank {one.rank:,}"),
                   ("all contributions", f"{signed(result.total)}, baseline {signed(result.baseline)}"),
                   ("logit", f"{plain(answer.logit)}, to {abs(result.left_over):.0e}")],
        "probabilities": _normalised(result),
        "answer": [("answer", f"{answer.name}, rank {answer.rank:,}, {percent(answer.probability)}")],
    }
    return account([line for stage in result.stages[: step + 1] for line in stages[stage.key]])


def _normalised(result: OneNumber) -> list[tuple[str, str]]:
    if result.normalised is None:
        return []
    answer, (numerator, denominator, shift) = result.answer, result.normalised
    return [("probability", f"exp({plain(answer.logit)} − {plain(shift)}) / {denominator:.3f} = {numerator:.3f} / "
                            f"{denominator:.3f} = {percent(answer.probability)}")]
