"""Lesson 1: one channel's map, its GAP and GMP, and all channels to one class, step by step."""

from __future__ import annotations

from math import prod
from typing import Any

from explorer.lessons.from_maps_to_one_number import OneNumber, from_maps_to_one_number
from explorer.questions.channel_table import channel_table
from explorer.sections.nodes import Node, el
from explorer.ui.components.board import board
from explorer.ui.pages.lessons.lesson_pictures import account, chain, grid, photo_shot
from explorer.ui.pages.lessons.scene import Control, Scene
from explorer.wording import percent, plain, second_part, shortened, signed, within_sentence

CHANNELS = 5  # of those that contribute most to choose from


def controls(scene: Scene) -> tuple[Control, ...]:
    """How far to go, and along which channel. Raises MethodError without evidence."""
    best = _best(scene)
    names = [stage.name for stage in from_maps_to_one_number(scene.outcome, scene.class_index).stages]
    return (Control("step", "Computed up to", tuple(range(len(names))), 0, lambda step: names[step]),
            # By its rank, for another photo has other channels.
            Control("top", "Channel", tuple(range(len(best))), 0, lambda n: f"channel {best[n]}", ordered=False))


def _best(scene: Scene) -> list[int]:
    return channel_table(scene.outcome, scene.class_index).order()[:CHANNELS].tolist()


def draw(scene: Scene, chosen: dict[str, Any]) -> str:
    """The chain of counts, the channel on the photo and as numbers, and what has been computed so far."""
    result = from_maps_to_one_number(scene.outcome, scene.class_index, _best(scene)[chosen["top"]])
    counts = [(f"{prod(stage.shape):,}", " × ".join(f"{length:,}" for length in stage.shape) + f" {stage.name}"
               if len(stage.shape) > 1 and not scene.presenting else stage.name) for stage in result.stages]
    if scene.presenting:  # there is room for the name of one
        counts = [(number, name if n == chosen["step"] else "") for n, (number, name) in enumerate(counts)]
    one = result.channel
    rows, columns = one.values.shape
    board(el("div", chain(counts, chosen["step"]), el(
        "div", photo_shot(scene.analysis, f"Channel {one.channel}", one.values),
        el("div", el("h3", f"Its {rows} × {columns} numbers"), grid(one.values, one.places)),
        *scene.at_desk(el("div", el("h3", "What becomes of them"), _account(scene, result, chosen["step"]))),
        class_="sidebyside photo-first"), class_="stack ruled"), key="one_number")
    return _notice(scene, result, result.stages[chosen["step"]].key)


def _notice(scene: Scene, result: OneNumber, stage: str) -> str:
    """What has become of the channel at a stage of the way."""
    one, answer, name = result.channel, result.answer, shortened(within_sentence(result.answer.name), 40)
    channels = len(scene.outcome.pooled)
    return {
        "maps": f"Channel {one.channel} is {one.values.size} numbers, one a position; the largest is "
                f"{plain(one.maximum)}, their sum {plain(one.total)}.",
        "pooled": f"{scene.outcome.name} makes one number of channel {one.channel}, {one.pooled:.4f}, and of all "
                  f"{channels:,} channels {channels:,} numbers: none says where.",
        "logits": f"Channel {one.channel} adds {signed(one.contribution)} to the logit of {name}, "
                  f"{plain(answer.logit)}; the other channels and the baseline add the rest.",
        "probabilities": f"A logit of {plain(answer.logit)} gives {name} {percent(answer.probability)}.",
        "answer": f"The {channels:,} numbers alone give {name} rank {answer.rank:,}, {percent(answer.probability)}.",
    }[stage]


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
                   ("all contributions", f"{signed(second_part(answer.logit, result.baseline, result.total))}, "
                                         f"baseline {signed(result.baseline)}"),
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
