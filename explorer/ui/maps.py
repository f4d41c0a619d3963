"""The maps that pages show on the photo: arrays with their words, for a viewer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from explorer import CAM_METHODS, Analysis
from explorer.analysis import CAM_INSTEAD, Outcome
from explorer.questions.channel_table import channel_table, plain_channel_table
from explorer.questions.comparison import entropy, fewest_positions, mean_weights
from explorer.questions.votes import winners
from explorer.sections.parts import strongest
from explorer.ui.components.viewer import Map
from explorer.ui.session.page_cache import drawn
from explorer.wording import (
    class_answer,
    evenness,
    evidence_sentence,
    exactness,
    percent,
    plain,
    second_part,
    share_word,
    signed,
)

SILENT_SENTENCE = "all evidence for this class is negative"


def name_in_links(shown: object) -> str:
    """A map's id from a pooling or method: "gem:p=4" is "gem-p4", "grad_cam" "grad-cam"."""
    return str(shown).replace(":", "-").replace("=", "").replace("_", "-")


def layer_caption(analysis: Analysis) -> str:
    """Which maps are looked at, and their shape: "final feature maps, 1,280 × 7 × 7"."""
    channels, rows, columns = analysis.feature_maps.shape
    return f"{analysis.layer_name}, {channels:,} × {rows} × {columns}"


def class_maps(
    outcomes: Sequence[Outcome], classes: Sequence[int], calibrated: bool = False, limit: float | None = None
) -> list[Map]:
    """The map of each class under each pooling: evidence, or Grad-CAM where there is none.

    Maps of evidence under one pooling share a scale; `limit` is the end of one for all of them.
    """
    if not all(outcome.analysis.has_evidence for outcome in outcomes):
        return [cam_map(outcome, CAM_INSTEAD, index) for outcome in outcomes for index in classes]
    for outcome in outcomes:
        outcome.evidences(classes)

    def map_of(outcome: Outcome, index: int) -> Map:
        return drawn(outcome, ("class map", index, calibrated, limit), lambda: evidence_map(
            outcome, index, scale=str(outcome.choice), calibrated=calibrated, limit=limit))

    return [map_of(outcome, index) for outcome in outcomes for index in classes]


def class_facets(analysis: Analysis) -> tuple[tuple[str, str], tuple[str, str]]:
    """Names of the two facets of `class_maps`, each with the words before it."""
    return ("Class", ""), ("Pooling", ", under ") if analysis.has_evidence else ("CAM method", ", by ")


def evidence_map(
    outcome: Outcome, class_index: int, *, scale: str = "", calibrated: bool = False, row: str = "", title: str = "",
    says: str = "", box: tuple[float, float, float, float] | None = None, more: tuple[str, ...] = (),
    limit: float | None = None,
) -> Map:
    """Positive and negative evidence for a class under a pooling, in logits."""
    evidence = outcome.evidence(class_index)
    cells = evidence.cells.numpy()
    name = outcome.analysis.network.class_names[class_index]
    position, largest = strongest(cells)
    total = plain(second_part(evidence.logit, evidence.baseline, evidence.logit - evidence.baseline))
    account = "" if title else f" = {plain(evidence.baseline)} baseline + {total} evidence"
    network = outcome.analysis.network
    lines = [f"{network.number} {plain(evidence.logit)}{account}"]
    lines += outcome.direct_share(class_index)
    is_positive = largest > 0
    if not is_positive:
        lines.append(SILENT_SENTENCE if (cells < 0).any() else "there is no evidence for this class")
    where = (f"Strongest position {position}: {signed(largest)} {network.unit}" if is_positive else
             "No position has positive evidence")
    answer = f"{_answer_in_words(outcome, class_index, calibrated)} {outcome.under_in_words}".rstrip()
    return Map(
        id=f"{class_index}.{name_in_links(outcome.choice)}", values=cells,
        name=f"Evidence for {name} under {outcome.name}", facets=(name, outcome.name), row=row, title=title,
        aside=f"evidence, {_positions(cells)}", lines=(*lines, *more),
        badge=exactness(evidence.exact, evidence.residual, outcome.logits),
        says=says or f"{answer}.", details=evidence_sentence(cells), scale=scale, limit=limit,
        mark=position if is_positive else None, box=box, factor=outcome.multiplier,
        pick=[str(outcome.choice), class_index],
        caption=f"{where} · {layer_caption(outcome.analysis)}",
        unit_name=network.unit,
    )


def _positions(values: np.ndarray) -> str:
    return f"{values.shape[0]} × {values.shape[1]} positions"


def _answer_in_words(outcome: Outcome, class_index: int, calibrated: bool = False) -> str:
    answer = outcome.answer(class_index, calibrated)
    return class_answer(answer.name, answer.probability, answer.rank, outcome.analysis.network.activation)


def photo_map(analysis: Analysis, says: str) -> Map:
    """The photo alone: where a talk begins."""
    return Map("photo", np.full(analysis.framing.grid, np.nan), "The photo", kind="photo", unit="", unit_name="",
               facets=("nothing yet", "no pooling"), says=says)


def looks_map(outcome: Outcome, class_index: int, title: str = "", says: str = "") -> Map:
    """Where a pooling looks: its weights, averaged over channels by how much they contribute to the class."""
    weights = mean_weights(outcome, class_index)
    return weights_map(f"looks.{name_in_links(outcome.choice)}", outcome.name, weights, title, says)


def weights_map(id_: str, name: str, weights: np.ndarray, title: str = "", says: str = "") -> Map:
    """Pooling weights (H, W) that sum to 1, and how far they are spread."""
    return Map(
        id=id_, values=weights, name=f"Where {name} looks", kind="positive", unit="share", unit_name="of the weight",
        title=title, says=says, scale="looks",
        lines=(*evenness(weights), f"{fewest_positions(weights)} of {weights.size} positions hold 80%",
               f"entropy {entropy(weights):.1f} of {np.log2(weights.size):.1f} bits"),
    )


def cam_map(outcome: Outcome, method: str, class_index: int, row: str = "", title: str = "") -> Map:
    """A published CAM, which has no unit: divided by its own largest magnitude."""
    values = outcome.cam(method, class_index).numpy()
    largest = float(np.abs(values[np.isfinite(values)]).max(initial=0.0)) or 1.0
    chosen, name = CAM_METHODS[method], outcome.analysis.network.class_names[class_index]
    return Map(
        id=f"{class_index}.{name_in_links(method)}", values=values / largest, name=f"{chosen.name} of {name}", unit="",
        unit_name="of its own largest, no unit", facets=(name, chosen.name), row=row, title=title, limit=1.0,
        lines=() if (values > 0).any() else ("nothing is positive",), aside=_positions(values),
        pick=[str(outcome.choice), class_index],
        says=f"{_answer_in_words(outcome, class_index)}.", details=f"{chosen.name}: {chosen.explanation}",
        caption="" if title else f"Strongest position {strongest(values)[0]} · {layer_caption(outcome.analysis)}",
    )


def attention_maps(analysis: Analysis) -> list[Map]:
    """How much a class token looks at each position in the block after the layer: on average, then head by head.

    No maps where there is no class token, or where its attention could not be followed.
    """
    attention = drawn(analysis, "attention of the class token", lambda: _attention(analysis))
    if attention is None:
        return []
    heads = attention.numpy()
    return [_attention_map("mean", heads.mean(0), f"Mean of {len(heads)} heads"),
            *(_attention_map(str(n), head, f"Head {n}") for n, head in enumerate(heads))]


def _attention(analysis: Analysis) -> Tensor | None:
    layers, key = analysis.network.layers, analysis.layer_key
    has_tokens = layers.of(key).arrangement.prefix > 0  # else a forward pass would be for nothing
    return layers.attention(analysis.input, key) if has_tokens else None


def _attention_map(key: str, values: np.ndarray, title: str) -> Map:
    on_photo = min(float(values.sum(dtype=np.float64)), 1 - 1e-9)  # the class token always looks at itself too
    return Map(
        id=f"token.{key}", values=values, name=f"{title}: attention of the class token", kind="positive",
        unit="share", unit_name="of the class token's attention", title=title, scale="attention", facets=(title,),
        lines=(*evenness(values), f"{percent(on_photo)} on the photo", f"at most {percent(float(values.max()))}"),
        says=f"{title}: the class token looks here, with {percent(on_photo)} of its attention on the photo.",
    )


def no_map(analysis: Analysis, name: str, row: str, title: str, reason: str) -> Map:
    """The photo alone where a map could not be had, or not yet, with the reason."""
    return Map(name_in_links(name), np.full(analysis.framing.grid, np.nan), f"{title}: {reason}", kind="photo", unit="",
               unit_name="", row=row, title=title, lines=(reason,))


def votes_map(outcome: Outcome, class_index: int, notes: tuple[str, ...]) -> Map:
    """The probability of a class at each position alone, or its value."""
    network = outcome.analysis.network
    name, values = network.class_names[class_index], outcome.votes(class_index).numpy()
    position, most = strongest(values)
    word = share_word(network.probability(most))
    return Map(
        id=f"{class_index}.votes", values=values, name=f"Votes for {name}",
        kind="positive" if word == "probability" else "signed", unit=word,
        unit_name=f"{word} of {name}", title=f"Votes for {name}", notes=notes,
        lines=(f"most at position {position}: {percent(network.probability(most))}",),
    )


def winners_map(outcome: Outcome, notes: tuple[str, ...], says: str = "") -> Map:
    """Which class wins at each position."""
    won = winners(outcome)
    legend = tuple(f"{name} ({count})" for _, name, count in won.classes)
    labels = np.where(won.labels < 0, len(legend), won.labels)
    legend += (f"others ({won.others})",) if won.others else ()
    total = sum(count for _, _, count in won.classes) + won.others
    return Map("winners", labels, "Which class wins at each position", kind="labels", unit="", unit_name="",
               title="The answer of each position", lines=(f"{total} positions, one vote each",), says=says,
               notes=notes, legend=legend)


def votes_in_words(outcome: Outcome) -> tuple[str, ...]:
    """The top 3 of each position alone, row by row."""
    network = outcome.analysis.network
    return tuple(", ".join(f"{name} {percent(network.probability(share))}" for name, share in three)
                 for three in winners(outcome).top)


def channel_map(outcome: Outcome, class_index: int, channel: int, says: str = "") -> Map:
    """Where a channel responds, in units of its activation, on one scale for all channels."""
    analysis = outcome.analysis
    values = analysis.feature_maps[channel].numpy()
    largest = drawn(analysis, "largest activation",
                    lambda: float(analysis.feature_maps.nan_to_num(0, 0, 0).abs().max()) or 1.0)
    if analysis.has_evidence:
        contribution = float(channel_table(outcome, class_index).contribution[channel])
        line = f"{signed(contribution)} {analysis.network.unit} for {analysis.network.class_names[class_index]}"
    else:
        line = f"mean {plain(float(plain_channel_table(analysis).pooled[channel]))}"
    return Map(
        id=f"channel.{channel}", values=values, name=f"Where channel {channel} responds",
        kind="signed" if (values < 0).any() else "positive", unit="activation", unit_name="activation",
        title=f"Channel {channel}", limit=largest, says=says,
        aside=_positions(values), lines=(line,),
    )
