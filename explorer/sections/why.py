"""The section on why this class and not that one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from explorer import render
from explorer.export import files as export
from explorer.questions.edited_photo import FILLS
from explorer.questions.flip import SmallestSet
from explorer.questions.probe import Answers
from explorer.questions.stability import (
    PoolingStability,
    Stability,
    VariantAnswer,
    movement_sentence,
    stability_sentence,
)
from explorer.questions.variations import VARIATIONS
from explorer.sections.nodes import Node, data_uri, el
from explorer.sections.parts import OVERLAY_SIDE, TILE_SIDE, figure, legend, maps_shape, unseen
from explorer.sections.reasons import (
    LEFT_OUT,
    Reasons,
    held_in_words,
    positions_in_words,
    said_in_words,
    sides_in_words,
    smallest_sentence,
)
from explorer.sections.summary import as_text
from explorer.wording import exactness, percent, plain, shortened, signed

WHY_STYLE = Path(__file__).parents[1] / "export" / "why.css"
_LONGEST = 40  # of a name within a sentence or a table
_PHOTO_SIDE = 700  # px: of the changed photos


def why_section(found: Reasons) -> Node:
    """Summary, the difference of the two, the photo without a part, the fewest positions, and small changes."""
    mine, other = _named(found)
    parts = [_against(found), _accounts(found), _without(found), _smallest(found), _stable(found)]
    title = f"Why {mine}" if other is None else f"Why {mine} and not {other}"
    return el("section", el("h2", title), el("p", as_text(found.summary), class_="lead"),
               *(each for part in parts for each in part), class_="reasons")


# A against B.


def _against(found: Reasons) -> list[Node]:
    """The signed map, and the same from shifts of the photo."""
    contrast, (mine, other) = found.contrast, _named(found)
    if contrast is None:
        return _missing(found, "contrasts", "A against B")
    scale, total = render.Scale.signed(contrast.cells), float(contrast.cells.sum())
    account = (f"difference {plain(contrast.difference)} = baseline {plain(contrast.baseline)} "
               f"{'−' if total < 0 else '+'} evidence {plain(abs(total))}")
    strip = legend(scale, signed(scale.low), signed(scale.limit), "logits", f"Blue towards {other}, red towards {mine}")
    painted = found.outcome.analysis.overlay(torch.from_numpy(contrast.cells), scale, long_side=OVERLAY_SIDE)
    first = figure(
        render.jpeg(painted, 82), f"The photo with what speaks for {mine} against {other} laid over it",
        el("strong", f"{mine} against {other}"), el("span", f"{account}; "
            f"{exactness(contrast.exact, contrast.residual)}"),
        el("span", f"red towards {mine}, blue towards {other}; {maps_shape(found.outcome.analysis)}"
            + unseen(found.outcome.analysis)), strip)
    return [el("p", " ".join(sides_in_words(found, mine, other)), class_="note"),
            el("div", first, _finer(found, scale), class_="pair")]


def _finer(found: Reasons, scale: render.Scale) -> Node | None:
    """Stitched from shifts, on the same scale: each place as if it were a position."""
    fine = found.stitched
    if fine is None:
        return None
    seen = fine.coverage > 0
    cells = np.where(seen, fine.cells / np.where(seen, fine.coverage, 1), 0) * fine.steps ** 2
    photo, box = found.outcome.analysis.preview(OVERLAY_SIDE)
    return figure(
        render.jpeg(render.overlay(photo, cells, box, scale), 82), "The same from shifts of the photo, stitched",
        el("strong", f"Stitched, {cells.shape[0]} × {cells.shape[1]} places"),
        el("span", f"mean difference {plain(fine.logit)} = baseline {plain(fine.baseline)}, evidence "
                    f"{signed(float(fine.cells.sum()))}, outside {signed(fine.outside)}; "
                    f"{exactness(fine.exact, fine.residual)}"),
        el("span", f"{len(fine.logits)} shifts by parts of a position, from {plain(float(fine.logits.min()))} to "
                    f"{plain(float(fine.logits.max()))}; on the same scale, each place as if it were a position"))


def _accounts(found: Reasons) -> list[Node]:
    """The difference under each pooling, and channel by channel."""
    if found.contrast is None:
        return []
    return [el("div", _poolings(found), _channels(found), class_="halves")]


def _poolings(found: Reasons) -> Node:
    rows = []
    for one, each in zip(found.outcome.under_each_pooling(), found.contrasts, strict=True):
        answer = one.top(1, found.calibrated)[0]
        rows.append(el(
            "tr", el("td", one.name, " ", el("span", export.label(one, found.calibrated), class_=(
                "badge" if one.label == "what-if" else "badge native"))),
            el("td", signed(each.difference), class_="number"),
            el("td", f"{shortened(answer.name, _LONGEST)}, {percent(answer.probability)}"),
            class_="shown" if one is found.outcome else ""))
    heads = el("tr", el("th", "pooling", scope="col"), el("th", "difference", scope="col", class_="number"),
                el("th", "its answer", scope="col"))
    return el("div", el("h3", "PoolingStability each pooling"), el(
        "p", "Logits of the one minus the other, as the head gives them.", class_="note"),
        el("table", el("thead", heads), el("tbody", *rows), class_="contrasts"))


def _channels(found: Reasons) -> Node:
    analysis = found.outcome.analysis
    maps = [analysis.feature_maps[each.channel].numpy() for each in found.deciding]
    scale, (photo, seen) = render.Scale.positive(*maps), analysis.preview(OVERLAY_SIDE)
    rows = []
    for each, cells in zip(found.deciding, maps, strict=True):
        tile = render.jpeg(render.tile(photo, cells, seen, scale, TILE_SIDE), 80)
        picture = el("img", src=data_uri(tile), alt=f"Where channel {each.channel} responds")
        numbers = (str(each.channel), plain(each.pooled), signed(each.to_class), signed(each.to_rival),
                   signed(each.contribution))
        rows.append(el("tr", el("td", picture), *(el("td", text) for text in numbers)))
    mine, other = _named(found)
    heads = (el("th", words, scope="col", class_=class_) for words, class_ in (
        ("", ""), ("channel", ""), ("pooled", ""), (f"to {mine}", "long"), (f"to {other}", "long"), ("difference", "")))
    return el("div", el("h3", "The channels that decide"), el(
        "p", f"Contributions in logits, under {found.outcome.name}. The maps share one scale, 0 to "
             f"{plain(scale.limit)}.", class_="note"),
        el("table", el("thead", el("tr", *heads)), el("tbody", *rows), class_="channels"))


# Without a part.


def _without(found: Reasons) -> list[Node]:
    probe = found.probe
    if probe is None:
        return _missing(found, "probe", "Without this part")
    rows = []
    if probe.held is not None:
        rows.append(_way("It holds", signed(probe.held.logits), "; ".join(filter(None, (
            held_in_words(found, "it"), exactness(probe.held.exact, probe.held.residual))))))
    if probe.own.ignoring is not None:
        rows.append(_changed(found, "Ignored by the pooling", probe.own.ignoring))
    rows += [_changed(found, f"{FILLS[fill][0].upper()}{FILLS[fill][1:]}", said)
             for fill, said in probe.own.after.items()]
    heads = (el("th", ""), el("th", "logit", scope="col", class_="number"), el("th", ""))
    notes = [el("p", each.sentence, class_="note") for each in found.disagreements if each.kind != "none"][:1]
    return [
        el("h3", "Without this part"),
        el("div", _photo(probe.photo("blur"), f"The photo with that part {FILLS['blur']}",
                          el("span", f"Blurred are {positions_in_words(found)}")),
            el("div", el("table", el("thead", el("tr", *heads)), el("tbody", *rows), class_="contrasts"), *notes),
            class_="left-out"),
    ]


def _way(name: str, number: str, words: str) -> Node:
    return el("tr", el("td", name), el("td", el("strong", number), class_="number"), el("td", words))


def _changed(found: Reasons, name: str, said: Answers) -> Node:
    before, after = (each.classes[0].logit for each in (found.probe.own.before, said))
    return _way(name, signed(after - before),
                f"{plain(before)} to {plain(after)}; {said_in_words(found, said, _LONGEST)}")


def _photo(image: Image.Image, alt: str, *caption: str | Node) -> Node:
    """A photo as the network was shown it."""
    small = render.shrink(image, (0.0, 0.0, *map(float, image.size)), _PHOTO_SIDE)[0]
    return figure(render.jpeg(small, 82), alt, *caption)


# The fewest positions.


def _smallest(found: Reasons) -> list[Node]:
    asked = (("flip", "The smallest change that flips it"), ("sufficient", "The smallest part that is enough"))
    shown = [_one_smallest(found, name, title) for name, title in asked if found.missing.get(name) != LEFT_OUT]
    return [el("h3", "The fewest positions that matter"), el("div", *shown, class_="pair")] if shown else []


def _one_smallest(found: Reasons, name: str, title: str) -> Node:
    smallest: SmallestSet | None = getattr(found, name)
    words = found.missing[name] if smallest is None else smallest_sentence(found, smallest)
    if smallest is None or smallest.chosen is None:
        return el("div", el("p", el("strong", title)), el("p", words, class_="note"))
    return _photo(smallest.photo(), title, el("strong", title), el("span", words))


# Changed a little.


def _stable(found: Reasons) -> list[Node]:
    stability = found.stability
    if stability is None:
        return _missing(found, "stability", "Changed a little")
    columns = {"--columns": str(len(stability.under))}
    mine = _named(found)[0]
    rows = [el("div", el("p", f"Probability of {mine}"), *(el("strong", each.name) for each in stability.under),
                class_="multiples", style=columns)]
    for key in dict.fromkeys(variant.variation for variant in stability.variants):
        about = el("div", el("strong", VARIATIONS[key].name), el("p", VARIATIONS[key].explanation), class_="about")
        bars = (_bars(stability, under, under.of(key)) for under in stability.under)
        rows.append(el("div", about, *bars, class_="multiples", style=columns))
    return [
        el("h3", "Changed a little"),
        *(el("p", f"{under.name}: {stability_sentence(stability, under)} {movement_sentence(under)}")
          for under in stability.under),
        *rows,
        el("p", "A bar is the probability after a change, full height is certain; hatched where the answer is another "
                 "one. The line is the photo as it is.", class_="note"),
    ]


def _bars(stability: Stability, under: PoolingStability, rows: Sequence[VariantAnswer]) -> Node:
    bars = [el("span", class_="" if row.stays else "other", style={"--share": _height(row)}, title=words)
            for row, words in zip(rows, (_in_words(stability, row) for row in rows), strict=True)]
    return el("div", *bars, class_="changes", style={"--before": _height(under.original)}, role="img",
               aria_label="; ".join(_in_words(stability, row) for row in rows))


def _height(row: VariantAnswer) -> str:
    return f"{100 * row.probability if math.isfinite(row.probability) else 0:.1f}%"


def _in_words(stability: Stability, row: VariantAnswer) -> str:
    instead = "" if row.stays else f", {shortened(stability.name(row.answer), _LONGEST)} instead"
    return f"{row.variant.label}: {percent(row.probability)}{instead}"


# Words.


def _missing(found: Reasons, name: str, title: str) -> list[Node]:
    """Why there is none of it; nothing where it was not asked for."""
    if found.missing[name] == LEFT_OUT:
        return []
    return [el("h3", title), el("p", found.missing[name], class_="note")]


def _named(found: Reasons) -> tuple[str, str | None]:
    mine, other = found.names
    return shortened(mine, _LONGEST), None if other is None else shortened(other, _LONGEST)
