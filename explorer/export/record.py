"""What was computed as one JSON document: the network, the photo, the class and its evidence, all answers, a recipe."""

from __future__ import annotations

from typing import Any

import torch

from explorer.analysis import CAM_INSTEAD, Analysis, Outcome
from explorer.export.recipe import recipe
from explorer.export.strict_json import answer_part, finite, image_part, json_text, pooling_part, versions
from explorer.export.why_record import why_numbers
from explorer.questions.reasons import Reasons
from explorer.sections.answers import is_calibrated


def record_json(outcome: Outcome, class_index: int, calibrated: bool = False, truth: int | None = None) -> str:
    """`numbers` with the recipe under "recipe", as strict JSON text: `read_recipe` takes it for the recipe.

    The class that the photo is truly of stands under "truth" where it is known.
    """
    record = numbers(outcome, class_index, calibrated)
    known = {} if truth is None else {"truth": finite(answer_part(outcome.answer(truth, calibrated)))}
    return json_text({**record, **known, "recipe": recipe(outcome, class_index, calibrated)})


def why_json(reasons: Reasons) -> str:
    """The same with the reasons under "why"."""
    what = reasons.outcome, reasons.class_index, reasons.calibrated
    return json_text({**numbers(*what), "why": finite(why_numbers(reasons)), "recipe": recipe(*what)})


def numbers(outcome: Outcome, class_index: int, calibrated: bool = False) -> dict[str, Any]:
    """A record of what was computed, from plain dicts, lists, strings and numbers; one that is not finite is None.

    Args:
        outcome: from `analysis.under(...)`.
        class_index: whose evidence is recorded, or Grad-CAM under "cam" with the reason under "why_not".
        calibrated: multiply the logits of what-ifs by their fitted number before the probabilities are taken. The
            logits themselves are always the head's own; `calibrated` under each pooling says where it was done.
    """
    analysis = outcome.analysis
    return finite({
        "network": _network(analysis),
        "layer": None if analysis.layer is None else analysis.layer.key,
        "change": analysis.change or None,
        "image": image_part(analysis),
        "framing": _framing(analysis),
        "pooling": _pooling(outcome, calibrated),
        "class": {
            **answer_part(outcome.answer(class_index, calibrated)),
            **(_evidence if analysis.has_evidence else _cam_instead)(outcome, class_index),
        },
        "top": [
            {**_pooling(one, calibrated), "classes": [answer_part(answer) for answer in one.top(5, calibrated)]}
            for one in outcome.under_each_pooling()
        ],
        "versions": versions(),
    })


def _evidence(outcome: Outcome, class_index: int) -> dict[str, Any]:
    evidence = outcome.evidence(class_index)
    return {
        "baseline": evidence.baseline,
        "evidence": float(evidence.cells.sum(dtype=torch.float64)),
        "residual": evidence.residual,
        "exact": evidence.exact,
        "cells": evidence.cells.tolist(),
    }


def _cam_instead(outcome: Outcome, class_index: int) -> dict[str, Any]:
    return {
        **dict.fromkeys(("baseline", "evidence", "residual", "exact", "cells")),
        "why_not": outcome.analysis.no_evidence_reason,
        "cam": {"method": CAM_INSTEAD, "cells": outcome.class_map(class_index).cells.tolist()},
    }


def _network(analysis: Analysis) -> dict[str, Any]:
    network = analysis.network
    return {
        "name": network.name, "title": network.title, "sha256": network.digest, "head": network.head_kind,
        "pooling": network.pooling.key if network.pooling else None, "classes": len(network.class_names),
        "activation": network.activation,
    }


def _framing(analysis: Analysis) -> dict[str, Any]:
    framing = analysis.framing
    return {
        "kind": framing.kind, "input_size": list(framing.input_size), "seen": [float(edge) for edge in framing.seen],
        "grid": list(framing.grid), "channels": len(analysis.feature_maps),
    }


def _pooling(outcome: Outcome, calibrated: bool) -> dict[str, Any]:
    return {**pooling_part(outcome), "multiplier": outcome.multiplier, "calibrated": is_calibrated(outcome, calibrated)}
