"""Why this class and not that one, as files to keep: pictures, arrays, and a record of all numbers."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import torch

from explorer.analysis import Answer, Outcome
from explorer.export import files as export
from explorer.export.recipe import recipe
from explorer.questions.contrast import Contrast
from explorer.questions.flip import SmallestSet
from explorer.questions.probe import Answers, Probe
from explorer.questions.stability import Stability, VariantAnswer, movement_sentence, stability_sentence
from explorer.questions.stitching import StitchedEvidence
from explorer.render import png
from explorer.sections.reasons import Reasons, smallest_sentence
from explorer.sections.summary import as_text
from explorer.wording import strongest_half

# Pictures.


def pictures(found: Reasons) -> dict[str, bytes]:
    """PNG at the photo's own size, by name: the overlay, the photo without the part by fill, the flip, what is enough.

    The overlay is red towards the class and blue towards the other one, on a scale of its own; where there is no such
    difference it is what speaks for the class.
    """
    analysis, contrast = found.outcome.analysis, found.contrast
    drawn = {"overlay": export.overlay_png(found.outcome, found.class_index) if contrast is None else png(
        analysis.overlay(torch.from_numpy(contrast.cells)))}
    if found.probe is not None:
        drawn |= {f"without_{fill}": png(found.probe.photo(fill)) for fill in found.probe.own.after}
    return drawn | {name: png(each.photo()) for name, each in _smallest(found).items() if each.chosen is not None}


def _smallest(found: Reasons) -> dict[str, SmallestSet]:
    return {name: each for name, each in (("flip", found.flip), ("sufficient", found.sufficient)) if each is not None}


# Arrays.


def arrays_npz(found: Reasons) -> bytes:
    """What was found as arrays, to be read with `numpy.load`; no pickle in it, and only what there is.

    Real numbers are float64, counts and indices int64, positions that were chosen bool:

        cells             (H, W)          class against rival: baseline + cells.sum() == difference, up to the residual
        channels          (C,)            baseline + channels.sum() is the same difference
        baseline          ()
        difference        ()
        poolings          (P,)            keys, as text
        cells_by_pooling  (P, H, W)       likewise under each pooling
        baselines         (P,)
        differences       (P,)
        probed            (H, W)          the positions that were left out
        flip, sufficient  (H, W)          the positions that flip the answer, and that are enough for it
        stitched          (h, w)          evidence on a finer grid
        coverage          (h, w)          of how many shifts each of these places is the mean, as a share
        probabilities     (Q, V + 1)      of the class under Q poolings: the photo as it is, then each variant
        class_index, rival  ()            a rival of -1 is none
        rectangles        (H, W, 4)       left, top, right, bottom of each position, in photo pixels
        seen              (4,)            the part of the photo that the network saw, likewise
        photo_size        (2,)            width, height
    """
    framing = found.outcome.analysis.framing
    arrays: dict[str, Any] = {
        "class_index": found.class_index, "rival": -1 if found.rival is None else found.rival,
        "rectangles": np.asarray(framing.rectangles, np.float64), "seen": np.asarray(framing.seen, np.float64),
        "photo_size": framing.photo_size,
    }
    if found.contrast is not None:
        one, each = found.contrast, found.contrasts
        arrays |= {
            "cells": one.cells, "channels": one.channels, "baseline": one.baseline, "difference": one.difference,
            "poolings": [outcome.pooling for outcome in found.outcome.under_each_pooling()],
            "cells_by_pooling": [other.cells for other in each], "baselines": [other.baseline for other in each],
            "differences": [other.difference for other in each],
        }
    if found.probe is not None:
        arrays["probed"] = found.probe.chosen
    arrays |= {name: each.chosen for name, each in _smallest(found).items() if each.chosen is not None}
    if found.stitched is not None:
        arrays |= {"stitched": found.stitched.cells, "coverage": found.stitched.coverage}
    if found.stability is not None:
        arrays["probabilities"] = [[row.probability for row in (under.original, *under.rows)]
                                   for under in found.stability.under]
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: np.asarray(values) for name, values in arrays.items()})
    return buffer.getvalue()


# Numbers.


def record_json(found: Reasons) -> str:
    """`export.numbers` with what was found under "why" and the recipe under "recipe", as strict JSON text."""
    outcome, index, calibrated = found.outcome, found.class_index, found.calibrated
    record = export.numbers(outcome, index, calibrated)
    record["why"] = export.finite(_why(found))
    record["recipe"] = recipe(outcome, index, calibrated)
    return json.dumps(record, indent=1, allow_nan=False) + "\n"


def _why(found: Reasons) -> dict[str, Any]:
    """From plain dicts, lists, strings and numbers; None where there is none, see "why_not"."""
    outcome = found.outcome
    return {
        "rival": None if found.rival is None else _answer(outcome.answer(found.rival, found.calibrated)),
        "summary": [as_text([sentence]) for sentence in found.summary],
        "contrast": None if found.contrast is None else {
            **_contrast(found.contrast), "channels": [each._asdict() for each in found.deciding]},
        "contrasts": [
            {**_pooling(one), "answer": _answer(one.top(1, found.calibrated)[0]), **_contrast(each)}
            for one, each in zip(outcome.under_each_pooling(), found.contrasts, strict=False)
        ],
        "probe": None if found.probe is None else _probe(found, found.probe),
        **{name: None if each is None else _found(found, each)
           for name, each in (("flip", found.flip), ("sufficient", found.sufficient))},
        "stability": found.stability and _stability(found.stability),
        "stitched": found.stitched and _stitched(found.stitched),
        "why_not": dict(found.missing),
    }


def _answer(answer: Answer | None) -> dict[str, Any] | None:
    if answer is None:
        return None
    return {"index": answer.class_index, "name": answer.name, "probability": answer.probability,
            "logit": answer.logit, "rank": answer.rank}


def _pooling(outcome: Outcome) -> dict[str, Any]:
    return {"key": outcome.pooling, "name": outcome.name, "parameters": dict(outcome.parameters),
            "label": outcome.label}


def _contrast(found: Contrast) -> dict[str, Any]:
    sides = {"for_class": strongest_half(found.cells), "for_rival": strongest_half(-found.cells)}
    return {
        "difference": found.difference, "baseline": found.baseline, "evidence": float(found.cells.sum()),
        "residual": found.residual, "exact": found.exact, "cells": found.cells.tolist(),
        "half": {side: None if one is None else {"positions": one.count, "of": one.total, "share": one.share,
                                                 "place": one.place} for side, one in sides.items()},
    }


def _probe(found: Reasons, probe: Probe) -> dict[str, Any]:
    def said(each: Answers | None) -> dict[str, Any] | None:
        return None if each is None else {"top": _answer(each.top), "classes": list(map(_answer, each.classes))}

    return {
        "positions": probe.chosen.astype(int).tolist(), "share": probe.share, "chosen": found.chosen,
        "held": None if probe.held is None else probe.held._asdict(),
        "under_each_pooling": [
            {"key": row.pooling, "name": row.name, "parameters": dict(row.parameters), "label": row.label,
             "calibrated": row.calibrated, "before": said(row.before), "ignoring": said(row.ignoring),
             "after": {fill: said(each) for fill, each in row.after.items()}}
            for row in probe.rows
        ],
        "disagreements": [each._asdict() for each in found.disagreements],
    }


def _found(found: Reasons, smallest: SmallestSet) -> dict[str, Any]:
    return {
        "positions": None if smallest.chosen is None else smallest.chosen.astype(int).tolist(),
        "share": smallest.share, "most": smallest.most, "fill": smallest.fill, "passes": smallest.passes,
        "before": _answer(smallest.before), "after": _answer(smallest.after),
        "class_after": _answer(smallest.class_after), "verified": smallest.chosen is not None,
        "sentence": smallest_sentence(found, smallest),
    }


def _stability(found: Stability) -> dict[str, Any]:
    def row(each: VariantAnswer) -> dict[str, Any]:
        return {
            "variation": each.variant and each.variant.variation, "value": each.variant and _plain(each.variant.value),
            "label": each.variant and each.variant.label, "answer": each.answer, "name": found.name(each.answer),
            "stays": each.stays, "probability": each.probability, "logit": each.logit, "rank": each.rank,
            "moved": each.moved, "place": each.place and each.place._asdict(),
        }

    return {
        "place_by": found.place_by,
        "under": [
            {"key": under.pooling, "name": under.name, "label": under.label, "multiplier": under.multiplier,
             "sentence": stability_sentence(found, under), "movement": movement_sentence(under),
             "original": row(under.original), "variants": list(map(row, under.rows))}
            for under in found.under
        ],
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _stitched(found: StitchedEvidence) -> dict[str, Any]:
    return {
        "steps": found.steps, "logit": found.logit, "baseline": found.baseline, "evidence": float(found.cells.sum()),
        "outside": found.outside, "residual": found.residual, "exact": found.exact, "logits": found.logits.tolist(),
        "shifts": found.shifts.tolist(), "cells": found.cells.tolist(),
    }
