"""Lesson 6: the positions of the feature maps are shuffled. Poolings do not notice; what keeps the place does."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from explorer import render
from explorer.heads import Head, read_card, read_heads
from explorer.lessons.lost_place import LAYOUTS, BeforeAndAfter, LostPlace, lost_place
from explorer.networks.loading.bundled import BUNDLED
from explorer.sections.nodes import Node, el
from explorer.sections.parts import strongest, table
from explorer.ui.components.board import board
from explorer.ui.pages.lessons.lesson_pictures import legend, shot
from explorer.ui.pages.lessons.scene import Control, Scene
from explorer.ui.session.page_cache import drawn
from explorer.wording import listed, number_word, percent, plain, shortened, signed, within_sentence

SHUFFLES = 3
SIDE = 448  # px of the long side of a picture
_heads, _card = cache(read_heads), cache(read_card)


def controls(scene: Scene) -> tuple[Control, ...]:
    """The positions as they are, or shuffled in one of a few ways: 0, or the seed of the shuffle.

    Raises MethodError without evidence.
    """
    scene.analysis.require_evidence()
    return (Control("shuffle", "The positions of the feature maps", tuple(range(SHUFFLES + 1)), 1,
                    lambda seed: f"shuffled, {seed}" if seed else "as they are", ordered=False),)


def draw(scene: Scene, chosen: dict[str, Any]) -> str:
    """The evidence before and after, and the logits of each pooling, the pyramid and flatten before and after."""
    seed = chosen["shuffle"]
    result = drawn(scene.outcome, ("shuffle", scene.class_index, seed or 1),
                   lambda: lost_place(scene.outcome, scene.class_index, seed or 1, _heads_for(scene)))
    board(el("div", el("div", *_pictures(scene, result, seed > 0)), el("div", *_table(scene, result, seed > 0)),
             class_="stack" if scene.presenting else "sidebyside ruled"), key="place")
    return _notice(result, seed > 0)


def _notice(result: LostPlace, shuffled: bool) -> str:
    """How much the shuffle changed what pooling gives, and what keeps the place."""
    (i, j), value = strongest(result.cells_before.numpy())
    if not shuffled:
        return f"Position ({i}, {j}) gives most, {signed(value)} logits; shuffle the positions, and they stay."
    most = max(pooling.logit_change or 0.0 for pooling in result.poolings)
    *_, flatten = result.layouts
    change = flatten.vector_change if flatten.logit_change is None else flatten.logit_change
    what = "vector" if flatten.logit_change is None else "logits"
    return (f"Shuffled, no pooling's logits change by more than {_share(most)} of the largest; flatten's {what} by "
            f"{_share(change)}.")


def _pictures(scene: Scene, result: LostPlace, shuffled: bool) -> list[Node]:
    name = shortened(scene.class_name, 40)
    scale = render.Scale.signed(result.cells_before.numpy(), result.cells_after.numpy())
    (before, value), (after, value_after) = map(strongest, (result.cells_before.numpy(), result.cells_after.numpy()))
    shots = [_shot(scene, result.cells_before, None, scale, "As they are")]
    sentence = f"The strongest position, {before}, gives {signed(value)} logits."
    if shuffled:
        shots.append(_shot(scene, result.cells_after, result.permutation, scale, "Shuffled"))
        change = result.evidence_change
        kept = f"No evidence changed by more than {_share(change)} of the largest." if change else \
            "No evidence changed."
        sentence = (f"{percent(result.moved)} of the positions have moved. The strongest, {before}, gives "
                    f"{signed(value)} logits; it is now at {after} and gives {signed(value_after)}. {kept} The squares "
                    "of the photo are drawn with their positions, but only the feature maps are shuffled.")
    return [el("h3", f"Evidence for {name} under {scene.outcome.name}"), el("div", *shots, class_="lesson-shots"),
            legend(scale, el("span", signed(scale.low))), *scene.at_desk(el("p", sentence, class_="note"))]


def _shot(scene: Scene, cells: Tensor, order: Tensor | None, scale: render.Scale, title: str) -> Node:
    photo = _squares(scene, cells.shape, order)
    painted = render.overlay(photo, cells.numpy(), (0, 0, *photo.size), scale, mark=strongest(cells.numpy())[0])
    return shot(title, painted, f"{title}: evidence for {shortened(scene.class_name)} on the photo")


def _squares(scene: Scene, grid: Sequence[int], order: Tensor | None) -> Image.Image:
    """What the network saw, in as many squares as there are positions, each where its position now is."""
    rows, columns = grid
    photo, (left, top, right, bottom) = scene.analysis.preview(2 * SIDE)
    factor = SIDE / max(right - left, bottom - top)
    high, wide = max(2, round(factor * (bottom - top) / rows)), max(2, round(factor * (right - left) / columns))
    small = photo.resize((columns * wide, rows * high), box=(left, top, right, bottom))
    if order is None:
        return small
    cut = np.asarray(small).reshape(rows, high, columns, wide, 3).swapaxes(1, 2).reshape(-1, high, wide, 3)
    moved = cut[order.numpy()].reshape(rows, columns, high, wide, 3).swapaxes(1, 2).reshape(rows * high, -1, 3)
    return Image.fromarray(moved)


def _table(scene: Scene, result: LostPlace, shuffled: bool) -> list[Node]:
    own = " or the one trained with the pooling" if scene.analysis.network.trained else ""
    poolings = [_row(pooling.name, pooling, scene.class_index, shuffled) for pooling in result.poolings]
    layouts = [_layout_row(scene, layout, shuffled) for layout in result.layouts]
    if scene.presenting:
        few = [[_in_a_talk(scene, pooling.key), *row[1:3]]
               for row, pooling in zip(poolings, result.poolings, strict=True) if pooling.key in ("gap", "gmp")]
        return [table((f"logit of {shortened(scene.class_name, 40)}", "as they are", "shuffled"),
                      [*few, *(row[:3] for row in layouts)])]
    return [
        el("h3", f"Logit of {shortened(scene.class_name, 40)} under the network's head{own}"),
        table(("pooling", "as they are", "shuffled", "logits change by", "vector changes by"),
              [*poolings, [_which_heads(result)], *layouts],
              numbers=range(1, 5), class_="lesson-table"),
        el("p", "Logits: the largest change of any class, as a share of the largest logit. Vector: the length of the "
                "difference, as a share of its own. What is not 0 in the poolings' rows is rounding: a computer's sum "
                "depends a little on its order.", class_="note"),
    ]


def _in_a_talk(scene: Scene, pooling: str) -> str:
    """A pooling's name, and whether it is a what-if."""
    outcome = scene.analysis.under(pooling)
    return outcome.under_in_words.removeprefix("under ") or outcome.name


def _layout_row(scene: Scene, layout: BeforeAndAfter, shuffled: bool) -> list[str]:
    """What keeps the place: its vector, and its trained head's logit of the class shown or of its own likeliest."""
    if layout.before is None:
        return _row(layout.name, layout, None, shuffled)
    names = tuple(_card()["classes"])
    index = scene.class_index if scene.analysis.network.class_names == names else int(layout.before.argmax())
    return _row(f"{layout.name}: {names[index]}", layout, index, shuffled)


def _row(name: str, result: BeforeAndAfter, class_index: int | None, shuffled: bool) -> list[str]:
    def logit(logits: Tensor | None) -> str:
        return "" if logits is None else plain(float(logits[class_index]))

    if not shuffled:
        return [name, logit(result.before), "", "", ""]
    return [name, logit(result.before), logit(result.after), _share(result.logit_change), _share(result.vector_change)]


def _share(share: float | None) -> str:
    """"0", "5e-7" or "62%"; "" for none."""
    if share is None:
        return ""
    mantissa, _, exponent = f"{share:.0e}".partition("e")
    return "0" if share == 0 else f"{share:.0%}" if share >= 0.005 else f"{mantissa}e{int(exponent)}"


def _which_heads(result: LostPlace) -> str:
    """Which of the layouts have a head; their rows name the class."""
    missing = [within_sentence(layout.name) for layout in result.layouts if layout.before is None]
    if len(missing) == len(result.layouts):
        return "There is no trained head for these maps, so only the vectors of flatten and pyramid are compared."
    card = _card()
    few = f"; {listed(missing)} has none for so many positions" if missing else ""
    return (f"What keeps the place, with heads trained on {card['photos']['train']:,} photos of "
            f"{number_word(len(card['classes']))} flowers{few}")


def _heads_for(scene: Scene) -> dict[str, Head]:
    """The trained heads of what keeps the place, where they take the feature maps: flatten wants its own grid."""
    if scene.analysis.network.name not in BUNDLED:
        return {}
    shape, heads = tuple(scene.analysis.feature_maps.shape), _heads()
    return {key: heads[key] for key in LAYOUTS
            if heads[key].shape == shape or (key != "flatten" and heads[key].shape[0] == shape[0])}
