"""An analysis as one HTML file that reads without a server, a network connection or a script."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from explorer import export, render
from explorer.analysis import Analysis, Answer, Outcome
from explorer.framing import FRAMINGS
from explorer.markup import Markup, tag
from explorer.pooling import POOLINGS, parse_pooling
from explorer.recipe import recipe, recipe_json
from explorer.svg import data_uri
from explorer.wording import carriers_sentence, exactness, number_word, percent, plain, signed, sum_sentence

PHOTO_SIDE, OVERLAY_SIDE, MAP_SIDE, TILE_SIDE = 1200, 900, 400, 160  # px at most: twice what they have on the page
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = Path(__file__).with_suffix(".css")

Section = tuple[str, Sequence[str]]


def report_html(
    outcome: Outcome,
    class_index: int,
    calibrated: bool = False,
    classes: Sequence[int] | None = None,
    poolings: Sequence[str] | None = None,
    extra: Sequence[Section] = (),
) -> str:
    """One self-contained HTML document: the answer, the evidence, and what it takes to repeat both.

    Args:
        outcome: from `analysis.under(...)`.
        class_index: whose evidence is taken apart.
        calibrated: multiply the logits of what-ifs by their fitted number before the probabilities are taken.
        classes: whose evidence is compared; None is the native pooling's best three, and `class_index`.
        poolings: under which, as `parse_pooling` reads them; None is the native one, GAP, GMP, attention and the
            outcome's own.
        extra: further sections before the recipe, each a title and paragraphs of plain text.

    Raises:
        ParameterError: there is no such class or pooling.
    """
    analysis = outcome.analysis
    name = analysis.network.class_names[analysis.network.check_class(class_index)]
    if classes is None:
        classes = list(dict.fromkeys([*(answer.class_index for answer in analysis.under().top(3)), class_index]))
    sections = [
        _photo(outcome, class_index),
        _answers(outcome, class_index, calibrated),
        _maps(analysis, classes, _compared(outcome, poolings), calibrated),
        tag("div", _votes(analysis, class_index), _channels(outcome, class_index), class_="halves"),
        tag("div", _framing(analysis), _network(analysis), class_="halves"),
        *(_section(title, *(tag("p", text) for text in paragraphs)) for title, paragraphs in extra),
        _recipe(outcome, class_index, calibrated),
    ]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{name}, under {outcome.name}"),
        tag("style", Markup(_STYLE.read_text(encoding="utf-8"))),
    )
    versions = " · ".join(f"{what} {version}" for what, version in export.versions().items())
    body = tag("body", _header(outcome, class_index, calibrated), tag("main", *sections), tag("footer", versions))
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _section(title: str, *children: Markup | None) -> Markup:
    return tag("section", tag("h2", title), *children)


def _header(outcome: Outcome, class_index: int, calibrated: bool) -> Markup:
    """What the network says, what the evidence that is shown amounts to, and what was asked for if it is not that."""
    native = outcome.analysis.under()
    first, second = [*native.top(2), None][:2]
    asked = outcome.answer(class_index, calibrated)
    is_answer, is_native = class_index == first.class_index, outcome.label == "native"
    what = ("it" if is_answer else asked.name) + ("" if is_native else f" under {outcome.name}")
    plainly = is_answer and is_native
    runner_up = f" Runner-up: {second.name}, {percent(second.probability)}." if second and plainly else ""
    return tag(
        "header",
        tag("p", f"PoolScope · {outcome.analysis.network.title}", class_="name"),
        tag("h1", "It says ", tag("span", first.name), f", with {percent(first.probability)}."),
        tag("p", _carriers(outcome, class_index, what) + runner_up, class_="lead"),
        None if plainly else tag(
            "p", f"Shown here: {asked.name} under {outcome.name}, with {percent(asked.probability)} at rank "
                 f"{asked.rank} ", _badge(outcome, calibrated)),
    )


def _carriers(outcome: Outcome, class_index: int, what: str) -> str:
    cells = outcome.evidence(class_index).cells.numpy()
    wrong = int((~np.isfinite(cells)).sum())
    if wrong:
        return f"The evidence is not a number at {number_word(wrong)} of {cells.size} positions."
    return carriers_sentence(cells, what)


def _badge(outcome: Outcome, calibrated: bool) -> Markup:
    """The label, with the multiplier where one was used: "what-if, calibrated × 0.31"."""
    by = f" × {outcome.multiplier:.2f}" if export.is_calibrated(outcome, calibrated) else ""
    return tag("span", export.label(outcome, calibrated) + by,
               class_="badge native" if outcome.label == "native" else "badge")


def _figure(data: bytes, alt: str, *caption: str) -> Markup:
    return tag("figure", tag("img", src=data_uri(data), alt=alt), tag("figcaption", *caption))


def _legend(scale: render.Scale, low: str, high: str, unit: str, alt: str) -> Markup:
    bar = tag("div", role="img", aria_label=alt, style=f"background: {scale.css_gradient()}")
    return tag("div", tag("span", low), bar, tag("span", high), tag("span", unit), class_="legend")


def _in_logits(scale: render.Scale) -> Markup:
    return _legend(scale, signed(scale.low), signed(scale.limit), "logits", "Blue speaks against the class, red for it")


def _photo(outcome: Outcome, class_index: int) -> Markup:
    """The photo, and beside it the evidence for the class on a scale of its own."""
    analysis, evidence = outcome.analysis, outcome.evidence(class_index)
    scale = render.Scale.signed(evidence.cells.numpy())
    name, (width, height) = analysis.network.class_names[class_index], analysis.framing.photo_size
    painted = analysis.overlay(evidence.cells, scale, long_side=OVERLAY_SIDE)
    return _section(
        f"Where the evidence for {name} lies",
        tag("div",
            _figure(render.jpeg(analysis.preview(PHOTO_SIDE)[0], 82), "The photo", f"The photo, {width} × {height} px"),
            _figure(render.jpeg(painted, 82), f"The photo with the evidence for {name} laid over it",
                    tag("strong", f"{name}, under {outcome.name}"), *_account(outcome, class_index),
                    tag("span", _maps_shape(analysis) + _unseen(analysis)), _in_logits(scale)),
            class_="pair"),
    )


def _maps_shape(analysis: Analysis) -> str:
    return f"final feature maps, {' × '.join(str(length) for length in analysis.feature_maps.shape)}"


def _unseen(analysis: Analysis) -> str:
    """What grey means, where there is any."""
    return "" if analysis.framing.seen == (0, 0, *analysis.framing.photo_size) else "; grey: the network never saw it"


def _account(outcome: Outcome, class_index: int) -> list[Markup]:
    """How the logit adds up, and how exactly."""
    evidence = outcome.evidence(class_index)
    return [
        tag("span", sum_sentence(evidence.logit, evidence.baseline, float(evidence.cells.sum()))),
        tag("span", exactness(evidence.exact, evidence.residual)),
    ]


def _answers(outcome: Outcome, class_index: int, calibrated: bool) -> Markup:
    """The top 5 under each pooling, a table each."""
    native = outcome.analysis.under()
    note = (f"The head was trained with {native.name}; under any other pooling the answer is a what-if. " +
            ("A calibrated one has its logits multiplied by one fitted number, which changes no rank."
             if calibrated else "The probabilities of what-ifs are as the head gives them, and mostly too sure."))
    tables = (_answers_under(each, class_index, calibrated) for each in outcome.under_each_pooling())
    return _section("What it says under each pooling", tag("p", note, class_="note"),
                    tag("div", *tables, class_="answers"))


def _answers_under(outcome: Outcome, class_index: int, calibrated: bool) -> Markup:
    heads = tag("tr", *(tag("th", words, scope="col") for words in ("", "class", "probability")))
    return tag(
        "table",
        tag("caption", tag("strong", outcome.name), " ", _badge(outcome, calibrated)),
        tag("thead", heads),
        tag("tbody", *(_answer(answer, class_index) for answer in outcome.top(5, calibrated))),
    )


def _answer(answer: Answer, class_index: int) -> Markup:
    share = 100 * answer.probability if np.isfinite(answer.probability) else 0
    return tag(
        "tr", tag("td", str(answer.rank)), tag("td", answer.name, style=f"--share: {share:.2f}%"),
        tag("td", percent(answer.probability)), class_="shown" if answer.class_index == class_index else "",
    )


def _compared(outcome: Outcome, poolings: Sequence[str] | None) -> list[Outcome]:
    """The outcomes to compare, each once."""
    analysis = outcome.analysis
    if poolings is None:
        keys = ("gap", "gmp", "attention", outcome.pooling)
        found = [analysis.under(), *(outcome if key == outcome.pooling else analysis.under(key) for key in keys)]
    else:
        found = [analysis.under(key, **parameters) for key, parameters in map(parse_pooling, poolings)]
    return list({POOLINGS[each.pooling].written(**each.parameters): each for each in found}.values())


def _maps(analysis: Analysis, classes: Sequence[int], outcomes: Sequence[Outcome], calibrated: bool) -> Markup:
    """Evidence, a row for each class and a column for each pooling, all on one scale."""
    cells = [each.cells.numpy() for outcome in outcomes for each in outcome.evidences(classes)]
    scale = render.Scale.signed(*cells)
    rows: list[Markup] = []
    for index in classes:
        rows.append(tag("h3", analysis.network.class_names[index]))
        rows += [_map(outcome, index, scale, calibrated) for outcome in outcomes]
    note = (f"Evidence of each position, all maps on one scale, so that colours can be compared: a pooling with small "
            f"logits is pale. The strongest position is outlined. {_maps_shape(analysis).capitalize()}.")
    return _section(
        "Other classes, other poolings", tag("p", note, class_="note"), _in_logits(scale),
        tag("div", *rows, class_="maps", style=f"--columns: {min(max(len(outcomes), 3), 5)}"),
    )


def _map(outcome: Outcome, class_index: int, scale: render.Scale, calibrated: bool) -> Markup:
    evidence, name = outcome.evidence(class_index), outcome.analysis.network.class_names[class_index]
    at, value = _strongest(evidence.cells.numpy())
    painted = outcome.analysis.overlay(evidence.cells, scale, long_side=MAP_SIDE, mark=at)
    return _figure(
        render.jpeg(painted, 78), f"Evidence for {name} under {outcome.name}",
        tag("span", tag("strong", outcome.name), " ", _badge(outcome, calibrated)), *_account(outcome, class_index),
        tag("span", f"strongest: {signed(value)} in row {at[0] + 1}, column {at[1] + 1}"),
    )


def _strongest(cells: np.ndarray) -> tuple[tuple[int, int], float]:
    """(i, j) of the largest number, and that number; the first position where none is one."""
    finite = np.where(np.isfinite(cells), cells, -np.inf)
    i, j = (int(place) for place in np.unravel_index(finite.argmax(), cells.shape))
    return (i, j), float(cells[i, j])


def _votes(analysis: Analysis, class_index: int) -> Markup:
    """What each position says by itself."""
    votes, name = analysis.votes(class_index), analysis.network.class_names[class_index]
    scale = render.Scale.positive(votes.numpy())
    (i, j), largest = _strongest(votes.numpy())
    most = f"The most is {percent(largest)}, in row {i + 1}, column {j + 1} of {votes.shape[0]} × {votes.shape[1]}."
    return _section(
        "Votes", tag("p", f"The head asked about each position alone: its probability of {name}. {most}",
                     class_="note"),
        _figure(render.jpeg(analysis.overlay(votes, scale, long_side=MAP_SIDE), 78),
                f"What each position by itself gives {name}",
                _legend(scale, "0%", percent(scale.limit), "probability", "The bluer, the more probable")),
    )


def _channels(outcome: Outcome, class_index: int, count: int = 6) -> Markup:
    """The channels that pay most for the class, with where they respond."""
    analysis, evidence = outcome.analysis, outcome.evidence(class_index)
    paying = evidence.channels.topk(min(count, len(evidence.channels))).indices.tolist()
    scale = render.Scale.positive(*(analysis.feature_maps[channel].numpy() for channel in paying))
    photo, seen = analysis.preview(OVERLAY_SIDE)
    rows = []
    for channel in paying:
        tile = render.tile(photo, analysis.feature_maps[channel].numpy(), seen, scale, TILE_SIDE)
        picture = tag("img", src=data_uri(render.jpeg(tile, 80)), alt=f"Where channel {channel} responds")
        numbers = (str(channel), plain(float(outcome.pooled[channel])), plain(float(evidence.slopes[channel])),
                   signed(float(evidence.channels[channel])))
        rows.append(tag("tr", tag("td", picture), *(tag("td", text) for text in numbers)))
    heads = (tag("th", words, scope="col") for words in ("", "channel", "pooled", "weight", "contribution"))
    return _section(
        "The channels that pay most",
        tag("p", f"Pooled value × weight = contribution in logits, under {outcome.name}. The maps share one scale, "
                 f"0 to {plain(scale.limit)}.", class_="note"),
        tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows), class_="channels"),
    )


def _framing(analysis: Analysis) -> Markup:
    framing = analysis.framing
    left, top, right, bottom = (round(edge) for edge in framing.seen)
    return _section("What the network saw", _facts({
        "Framing": f"{framing.kind}: {FRAMINGS[framing.kind]}",
        "Photo": f"{framing.photo_size[0]} × {framing.photo_size[1]} px",
        "Of it": f"{left} to {right} px across, {top} to {bottom} px down",
        "Input": f"{framing.input_size[0]} × {framing.input_size[1]} px",
        "Positions": f"{framing.grid[0]} rows × {framing.grid[1]} columns",
    }.items()))


def _network(analysis: Analysis) -> Markup:
    network, parameters = analysis.network, dict(analysis.network.pooling_parameters)
    kind = {"affine": "affine: its evidence is exact", "nonlinear": "not affine: its evidence is integrated"}
    return _section("The network", _facts({
        "Network": f"{network.title} ({network.origin})",
        "Weights, sha256": network.digest,
        "Pooling": network.pooling.label(**parameters),
        "Head": kind[network.head_kind],
        "Classes": f"{len(network.class_names):,}",
    }.items()))


def _facts(pairs: Iterable[tuple[str, str]]) -> Markup:
    return tag("dl", *(part for name, fact in pairs for part in (tag("dt", name), tag("dd", fact))))


def _recipe(outcome: Outcome, class_index: int, calibrated: bool) -> Markup:
    """What repeats all this: to read, to keep, and to run."""
    text = recipe_json(recipe(outcome, class_index, calibrated))
    link = tag("a", "Keep it as recipe.json", href=data_uri(text.encode("ascii"), "application/json"),
               download="recipe.json")
    return _section(
        "The recipe",
        tag("p", link, "; with the same photo this command repeats what stands here, and says how far it is off:",
            class_="note"),
        tag("p", tag("code", "python -m explorer photo.jpg --recipe recipe.json --report")),
        tag("pre", text, tabindex="0"),
    )
