"""The reasons for a class as part of the record: plain dicts, lists, strings and numbers."""

from __future__ import annotations

from typing import Any

from explorer.analysis import Outcome
from explorer.export.strict_json import answer_part, pooling_part
from explorer.questions.contrast import Contrast
from explorer.questions.flip import SmallestSet
from explorer.questions.probe import Answers, Probe
from explorer.questions.reasons import Reasons
from explorer.questions.stability import Stability, VariantAnswer, movement_sentence, stability_sentence
from explorer.questions.stitching import StitchedEvidence
from explorer.sections.flip import smallest_sentence
from explorer.sections.summary import as_text, summary
from explorer.wording import strongest_half

# Keys of a record, in the order of the fields of HeldEvidence.
_HELD = ("logits", "total", "speaks_for", "speaks_against", "exact", "residual")


def why_numbers(reasons: Reasons) -> dict[str, Any]:
    """What was asked and answered; None where there is no answer, with the reason under "why_not"."""
    outcome, calibrated = reasons.outcome, reasons.calibrated
    sentences = summary(outcome, reasons.class_index, reasons.rival, calibrated)
    return {
        "rival": None if reasons.rival is None else answer_part(outcome.answer(reasons.rival, calibrated)),
        "truth": None if reasons.truth is None else answer_part(outcome.answer(reasons.truth, calibrated)),
        "summary": [as_text([sentence]) for sentence in sentences],
        "contrast": None if reasons.contrast is None else {
            **_contrast(reasons.contrast), "channels": [channel._asdict() for channel in reasons.deciding]},
        "contrasts": [
            {**pooling_part(one), "answer": answer_part(one.top(1, calibrated)[0]), **_contrast(contrast)}
            for one, contrast in zip(outcome.under_each_pooling(), reasons.contrasts, strict=False)
        ],
        "probe": reasons.probe and _probe(reasons, reasons.probe),
        "flip": reasons.flip and _smallest(outcome, reasons.flip),
        "sufficient": reasons.sufficient and _smallest(outcome, reasons.sufficient),
        "stability": reasons.stability and _stability(reasons.stability),
        "stitched": reasons.stitched and _stitched(reasons.stitched),
        "why_not": dict(reasons.missing),
    }


def _contrast(contrast: Contrast) -> dict[str, Any]:
    sides = {"for_class": strongest_half(contrast.cells), "for_rival": strongest_half(-contrast.cells)}
    return {
        "difference": contrast.difference, "baseline": contrast.baseline, "evidence": float(contrast.cells.sum()),
        "residual": contrast.residual, "exact": contrast.exact, "cells": contrast.cells.tolist(),
        "half": {side: None if half is None else {"positions": half.count, "of": half.total, "share": half.share,
                                                  "place": half.place} for side, half in sides.items()},
    }


def _probe(reasons: Reasons, probe: Probe) -> dict[str, Any]:
    def part(answers: Answers | None) -> dict[str, Any] | None:
        return answers and {"top": answer_part(answers.top), "classes": list(map(answer_part, answers.classes))}

    return {
        "positions": probe.chosen.astype(int).tolist(), "share": float(probe.chosen.mean()),
        "chosen": reasons.region is not None,
        "held": probe.held and dict(zip(_HELD, probe.held, strict=True)),
        "under_each_pooling": [
            {**pooling_part(row.outcome), "calibrated": row.calibrated, "before": part(row.before),
             "ignoring": part(row.ignoring), "after": {fill: part(answers) for fill, answers in row.after.items()}}
            for row in probe.rows
        ],
        "disagreements": [disagreement._asdict() for disagreement in probe.disagreements],
    }


def _smallest(outcome: Outcome, smallest: SmallestSet) -> dict[str, Any]:
    chosen = smallest.chosen
    return {
        "positions": None if chosen is None else chosen.astype(int).tolist(),
        "share": None if chosen is None else float(chosen.mean()),
        "most": smallest.most, "fill": smallest.fill, "passes": smallest.passes,
        "before": answer_part(smallest.before), "after": smallest.after and answer_part(smallest.after),
        "class_after": smallest.class_after and answer_part(smallest.class_after),
        "verified": chosen is not None, "sentence": smallest_sentence(outcome, smallest),
    }


def _stability(stability: Stability) -> dict[str, Any]:
    def part(row: VariantAnswer) -> dict[str, Any]:
        variant = row.variant
        value = list(variant.value) if len(variant.value) > 1 else next(iter(variant.value), None)
        return {
            "variation": variant.variation or None, "value": value, "label": variant.label or None,
            "answer": row.answer, "name": stability.class_names[row.answer], "stays": row.stays,
            "probability": row.probability, "logit": row.logit, "rank": row.rank, "moved": row.moved,
            "place": row.place and row.place._asdict(),
        }

    return {
        "place_by": stability.place_by,
        "under": [
            {"key": under.pooling, "name": under.name, "label": under.label, "multiplier": under.multiplier,
             "sentence": stability_sentence(stability, under), "movement": movement_sentence(stability, under),
             "original": part(under.original), "variants": list(map(part, under.rows))}
            for under in stability.under
        ],
    }


def _stitched(stitched: StitchedEvidence) -> dict[str, Any]:
    return {
        "steps": stitched.steps, "logit": stitched.logit, "baseline": stitched.baseline,
        "evidence": float(stitched.cells.sum()), "outside": stitched.outside, "residual": stitched.residual,
        "exact": stitched.exact, "logits": stitched.logits.tolist(), "shifts": stitched.shifts.tolist(),
        "cells": stitched.cells.tolist(),
    }
