"""Where on the photo a class's evidence lies: the map of a class, of several under several poolings, and the votes."""

from __future__ import annotations

from collections.abc import Sequence

from explorer import render
from explorer.analysis import ClassMap, Outcome
from explorer.poolings import parse_pooling
from explorer.sections.answers import badge
from explorer.sections.nodes import Node, el
from explorer.sections.parts import (
    MAP_SIDE,
    OVERLAY_SIDE,
    PHOTO_SIDE,
    figure,
    legend,
    maps_shape,
    note,
    scale_of,
    section,
    strongest,
    unseen,
)
from explorer.wording import percent, share_word


def photo_and_map(outcome: Outcome, class_index: int) -> Node:
    """The photo, and beside it the map of the class on a scale of its own."""
    analysis, drawn = outcome.analysis, outcome.class_map(class_index)
    scale = render.Scale.signed(drawn.array)
    width, height = analysis.framing.photo_size
    photo = render.jpeg(analysis.preview(PHOTO_SIDE)[0], 82)
    painted = render.jpeg(analysis.overlay(drawn.cells, scale, long_side=OVERLAY_SIDE), 82)
    return section(drawn.name, el(
        "div",
        figure(photo, "The photo", f"The photo, {width} × {height} px"),
        figure(painted, f"{drawn.name}, laid over the photo",
               el("strong", f"{analysis.network.class_names[class_index]}, {drawn.source}"),
               *(el("span", words) for words in drawn.account),
               el("span", maps_shape(analysis) + unseen(analysis)), scale_of(scale, drawn)),
        class_="pair"))


def compared_outcomes(outcome: Outcome, poolings: Sequence[str] | None) -> list[Outcome]:
    """The outcomes to compare, without repetitions; None is the native pooling, GAP, GMP, attention and its own."""
    analysis = outcome.analysis
    if not analysis.has_evidence:
        return [outcome]
    if poolings is None:
        keys = ("gap", "gmp", "attention", outcome.pooling)
        outcomes = [analysis.under(), *(outcome if key == outcome.pooling else analysis.under(key) for key in keys)]
    else:
        outcomes = [analysis.under(key, **parameters) for key, parameters in map(parse_pooling, poolings)]
    return list({(one.pooling, *one.parameters.values()): one for one in outcomes}.values())


def class_maps(outcomes: Sequence[Outcome], classes: Sequence[int], calibrated: bool) -> Node:
    """A row for each class and a column for each pooling, all on one scale."""
    analysis = outcomes[0].analysis
    maps = {index: [outcome.class_map(index) for outcome in outcomes] for index in classes}
    scale = render.Scale.signed(*(drawn.array for row in maps.values() for drawn in row))
    first = maps[classes[0]][0]
    beside = len(outcomes) > 1  # else the classes stand side by side
    cells: list[Node] = []
    for index, row in maps.items():
        cells += [el("h3", analysis.network.class_names[index])] if beside else []
        cells += [_map(outcome, drawn, scale, [el("strong", outcome.name), " ", badge(outcome, calibrated)] if beside
                       else [el("strong", drawn.name)]) for outcome, drawn in zip(outcomes, row, strict=True)]
    what = (f"Evidence in {first.unit}, all maps on one scale, so that colours can be compared: a pooling with small "
            f"{first.unit} is pale" if first.unit else
            f"{first.kind}, all on one scale; it has no unit and is not a sum")
    columns = str(min(max(len(outcomes if beside else classes), 3), 5))
    return section(
        "Other classes, other poolings" if beside else "Other classes",
        note(f"{what}. The strongest position is outlined. {maps_shape(analysis).capitalize()}."),
        scale_of(scale, first),
        el("div", *cells, class_="maps", style={"--columns": columns}))


def _map(outcome: Outcome, drawn: ClassMap, scale: render.Scale, title: list[Node | str]) -> Node:
    (i, j), value = strongest(drawn.array)
    painted = outcome.analysis.overlay(drawn.cells, scale, long_side=MAP_SIDE, mark=(i, j))
    return figure(
        render.jpeg(painted, 78), f"{drawn.name}, {drawn.source}", el("span", *title),
        *(el("span", words) for words in drawn.account[:2 if drawn.unit else 1]),
        el("span", f"strongest: {drawn.number(value)} at position ({i}, {j})"))


def votes(outcome: Outcome, class_index: int) -> Node:
    """The probability of the class at each position alone, or its value. Raises MethodError without evidence."""
    analysis, cells = outcome.analysis, outcome.votes(class_index)
    network, name = analysis.network, analysis.network.class_names[class_index]
    (i, j), largest = strongest(cells.numpy())
    scale = (render.Scale.positive if network.activation != "none" else render.Scale.signed)(cells.numpy())
    low, high = percent(network.probability(scale.low)), percent(network.probability(scale.limit))
    word = share_word(network.probability(largest))
    return section(
        "Votes",
        note(f"The head asked about each position alone: its {word} of {name}. The most is "
             f"{percent(network.probability(largest))}, at position ({i}, {j}) of "
             f"{cells.shape[0]} × {cells.shape[1]}."),
        figure(render.jpeg(analysis.overlay(cells, scale, long_side=MAP_SIDE), 78),
               f"The {word} of {name} at each position alone",
               legend(scale, low, high, word, "The bluer, the more probable" if scale.low == 0 else
                      "Blue for negative, red for positive")))
