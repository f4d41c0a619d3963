"""Lesson 6: the positions of the feature maps are shuffled. Poolings say the same; what keeps the place does not."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from explorer import render
from explorer.analysis.memory import Memory
from explorer.heads import Head, read_card, read_heads
from explorer.lessons.lost_place import LAYOUTS, Asked, LostPlace, lost_place
from explorer.networks.loading.bundled import BUNDLED
from explorer.sections.nodes import Node, el, picture
from explorer.ui.components.board import board
from explorer.ui.pages.lessons.lesson_controls import Control, ask
from explorer.ui.pages.lessons.lesson_page import Scene
from explorer.wording import listed, number_word, percent, plain, shortened, signed, within_sentence

SHUFFLES = 3
SIDE = 448  # px of the long side of a picture
_KEPT = 12  # shuffles of one photo that are remembered


def controls(scene: Scene) -> tuple[Control, ...]:
    """The positions as they are, or shuffled in one of a few ways: 0, or the seed of the shuffle."""
    return (Control("shuffle", "The positions of the feature maps", tuple(range(SHUFFLES + 1)), 1,
                    lambda seed: f"shuffled, {seed}" if seed else "as they are", ordered=False),)


def teach(scene: Scene) -> None:
    """The evidence before and after, and what each pooling, the pyramid and flatten say before and after."""
    scene.analysis.require_evidence()
    seed = ask(scene.current, controls(scene))["shuffle"]
    kept = scene.outcome.remember("shuffles", lambda: Memory(_KEPT))
    found = kept((scene.class_index, seed or 1), lambda: lost_place(scene.outcome, scene.class_index, seed or 1,
                                                                    _heads_for(scene)))
    board(el("div", el("div", *_pictures(scene, found, seed > 0)), el("div", *_table(scene, found, seed > 0)),
             class_="sidebyside ruled"), key="place")


def _pictures(scene: Scene, found: LostPlace, shuffled: bool) -> list[Node]:
    name = shortened(scene.class_name, 40)
    scale = render.Scale.signed(found.cells_before.numpy(), found.cells_after.numpy())
    before, after = (divmod(int(cells.argmax()), cells.shape[1]) for cells in (found.cells_before, found.cells_after))
    shots = [_shot(scene, found.cells_before, None, scale, "As they are")]
    if shuffled:
        shots.append(_shot(scene, found.cells_after, found.permutation, scale, "Shuffled"))
    value, change = signed(float(found.cells_before[before])), found.evidence_change
    kept = f"No evidence changed by more than {_share(change)} of the largest." if change else "No evidence changed."
    said = (f"{percent(found.moved)} of the positions lie elsewhere. The strongest, {before}, gives {value} logits; "
            f"it is now at {after} and gives {signed(float(found.cells_after[after]))}. {kept} The squares of the "
            "photo are drawn along with their positions: what is shuffled are the feature maps."
            if shuffled else f"The strongest position, {before}, gives {value} logits.")
    return [el("h3", f"Evidence for {name} under {scene.outcome.name}"), el("div", *shots, class_="lesson-shots"),
            _legend(scale), el("p", said, class_="note")]


def _shot(scene: Scene, cells: Tensor, order: Tensor | None, scale: render.Scale, title: str) -> Node:
    photo = _squares(scene, cells.shape, order)
    drawn = render.overlay(photo, cells.numpy(), (0, 0, *photo.size), scale,
                           mark=divmod(int(cells.argmax()), cells.shape[1]))
    alt = f"{title}: evidence for {shortened(scene.class_name)} on the photo"
    return el("div", el("span", title, class_="caption"), picture(render.jpeg(drawn), alt), class_="shot")


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


def _legend(scale: render.Scale) -> Node:
    return el("div", el("span", signed(scale.low)), el("div", class_="bar", style={"background": scale.css_gradient()}),
              el("span", f"{signed(scale.limit)} logits"), class_="legend")


def _table(scene: Scene, found: LostPlace, shuffled: bool) -> list[Node]:
    titles = "", "as they are", "shuffled", "logits change by", "vector changes by"
    heads = {each.key: each for each in found.heads}
    own = " or the one trained with the pooling" if scene.analysis.network.trained else ""
    poolings = [_row(each.name, each, scene.class_index, shuffled) for each in found.poolings]
    layouts = [_of_layout(scene, each, heads.get(each.key), shuffled) for each in found.layouts]
    return [
        el("h3", f"Logit of {shortened(scene.class_name, 40)} under the network's head{own}"),
        el("div", *(el("span", title, class_="caption") for title in titles), *_joined(poolings),
           el("span", _which_heads(found), class_="part caption"), *_joined(layouts), class_="lesson-table",
           style={"--columns": "4"}),
        el("p", "Logits: the largest change of any class, as a share of the largest logit. Vector: the length of the "
                "difference, as a share of its own. What is not 0 in the poolings' rows is rounding: a computer's sum "
                "hangs a little on its order.", class_="note"),
    ]


def _joined(rows: Sequence[list[Node]]) -> list[Node]:
    return [node for row in rows for node in row]


def _of_layout(scene: Scene, layout: Asked, head: Asked | None, shuffled: bool) -> list[Node]:
    """What keeps the place: its vector, and its trained head's logit of the class shown or of its own likeliest."""
    if head is None:
        return _row(layout.name, layout, None, shuffled)
    names = tuple(_card()["classes"])
    index = scene.class_index if scene.analysis.network.class_names == names else int(head.before.argmax())
    asked = head._replace(vector_change=layout.vector_change)
    return _row(f"{layout.name}: {names[index]}", asked, index, shuffled)


def _row(name: str, asked: Asked, class_index: int | None, shuffled: bool) -> list[Node]:
    def logit(logits: Tensor | None) -> str:
        return "" if logits is None else plain(float(logits[class_index]))

    after = [logit(asked.after), _share(asked.logit_change), _share(asked.vector_change)] if shuffled else [""] * 3
    return [el("span", name, class_="name"), *(el("span", text) for text in (logit(asked.before), *after))]


def _share(share: float | None) -> str:
    """"0", "5e-7" or "62%"; "" for none."""
    if share is None:
        return ""
    mantissa, _, exponent = f"{share:.0e}".partition("e")
    return "0" if share == 0 else f"{share:.0%}" if share >= 0.005 else f"{mantissa}e{int(exponent)}"


def _which_heads(found: LostPlace) -> str:
    """Of the layouts, which have a head; their rows tell the class."""
    heads = {each.key for each in found.heads}
    missing = [within_sentence(each.name) for each in found.layouts if each.key not in heads]
    if not heads:
        return "What keeps the place has no trained head for these feature maps; its vector alone is compared."
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


@cache
def _heads() -> dict[str, Head]:
    return read_heads()


@cache
def _card() -> dict[str, Any]:
    return read_card()
