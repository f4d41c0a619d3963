"""Why a class and not its rival, as one section for the summary and the terminal."""

from __future__ import annotations

from explorer.questions.flip import SmallestSet
from explorer.questions.reasons import LEFT_OUT, Reasons
from explorer.sections.channels import contrast_channels
from explorer.sections.contrast import contrast_figure, names_of, places, stitched_figure, under_each_pooling
from explorer.sections.flip import TITLES, about_prediction, smallest_parts
from explorer.sections.nodes import Node, el
from explorer.sections.parts import note
from explorer.sections.probe import positions_in_words, probe_section
from explorer.sections.stability import stability_section
from explorer.sections.summary import as_text, summary


def why_section(reasons: Reasons) -> Node:
    """Summary, the difference of the two, the photo without a part, the fewest positions, and small changes."""
    what = reasons.outcome, reasons.class_index, reasons.rival
    return el("section", el("h2", f"Why {' and not '.join(names_of(*what))}"),
              el("p", as_text(summary(*what, reasons.calibrated)), class_="lead"),
              *_contrast(reasons), *_probe(reasons), *_smallest(reasons), *_stability(reasons),
              class_="reasons")


def _contrast(reasons: Reasons) -> list[Node]:
    contrast, outcome = reasons.contrast, reasons.outcome
    fine = stitched_figure(reasons.stitched, contrast, outcome) if reasons.stitched else None
    if contrast is None:
        nodes = _missing(reasons, "contrasts", "One class against the other") + ([fine] if fine else [])
    else:
        nodes = [
            el("h3", " against ".join(names_of(outcome, contrast.class_index, contrast.rival))),
            places(contrast, outcome), el("div", contrast_figure(contrast, outcome), fine, class_="pair"),
            el("div", under_each_pooling(outcome, contrast.class_index, contrast.rival, reasons.calibrated),
               contrast_channels(outcome, contrast.class_index, contrast.rival), class_="pair"),
        ]
    return nodes if fine else [*nodes, *_missing(reasons, "stitched", "Shifted by parts of a position")]


def _probe(reasons: Reasons) -> list[Node]:
    probe = reasons.probe
    if probe is None:
        return _missing(reasons, "probe", "Without this part")
    positions = positions_in_words(reasons.outcome, reasons.class_index, probe.chosen, reasons.region is not None)
    return [probe_section(probe, positions, reasons.truth)]


def _smallest(reasons: Reasons) -> list[Node]:
    parts = [getattr(reasons, name) or (title, reasons.missing[name]) for name, title in TITLES.items()
             if reasons.missing.get(name) != LEFT_OUT]
    if not parts:
        return []
    about = next((part.class_index for part in parts if isinstance(part, SmallestSet)), reasons.class_index)
    which = about_prediction(reasons.outcome, about, reasons.class_index)
    return [*([which] if which else []), smallest_parts(reasons.outcome, *parts)]


def _stability(reasons: Reasons) -> list[Node]:
    title = "Changed a little"
    if reasons.stability is None:
        return _missing(reasons, "stability", title)
    return [el("h3", title), stability_section(reasons.stability)]


def _missing(reasons: Reasons, name: str, title: str) -> list[Node]:
    """Why there is none of it; nothing where it was not asked for."""
    reason = reasons.missing[name]
    return [] if reason == LEFT_OUT else [el("h3", title), note(reason)]
