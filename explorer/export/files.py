"""What was computed, as files to keep: an overlay (PNG), the arrays (.npz) and a record of the numbers (JSON)."""

from __future__ import annotations

import io
import math
import platform
from typing import Any

import numpy as np
import timm
import torch

import explorer
from explorer.analysis import CAM_INSTEAD, Analysis, Answer, ClassMap, Outcome
from explorer.images import digest
from explorer.networks import Network
from explorer.render import png
from explorer.wording import listed, within_sentence

Shown = ClassMap


def shown(outcome: Outcome, class_index: int) -> ClassMap:
    """The map that stands for a class. Raises ParameterError when there is no such class."""
    return outcome.class_map(class_index)


def overlay_png(outcome: Outcome, class_index: int) -> bytes:
    """The photo, at its own size, with what is `shown` of a class laid over it on a signed scale of its own."""
    return png(outcome.analysis.overlay(shown(outcome, class_index).cells))


def arrays_npz(outcome: Outcome, class_index: int) -> bytes:
    """The arrays behind one class under one pooling, to be read with `numpy.load`; no pickle in it.

    Real numbers are float32, counts and indices int64:

        feature_maps      (C, H, W)      what the backbone gave
        pooling_weights   (C, H, W)      (pooling_weights * feature_maps).sum((1, 2)) == pooled
        pooled            (C,)           the pooled vector
        logits            (classes,)     the head's answer to it
        cells             (H, W)         evidence: baseline + cells.sum() == logits[class_index], up to the residual
        channels          (C,)           baseline + channels.sum() is the same logit
        baseline          ()
        class_index       ()
        rectangles        (H, W, 4)      left, top, right, bottom of each position, in photo pixels
        seen              (4,)           the part of the photo that the network saw, likewise
        photo_size        (2,)           width, height
        input_shape       (4,)           1, channels, h, w

    Where the answer cannot be taken apart the feature maps are those of the layer that is looked at, `cells` is
    Grad-CAM, and pooling_weights, pooled, channels and baseline are left out.
    """
    analysis = outcome.analysis
    real = {
        "feature_maps": analysis.feature_maps, "logits": outcome.logits, "cells": shown(outcome, class_index).cells,
        "rectangles": analysis.framing.rectangles, "seen": analysis.framing.seen,
    }
    if analysis.has_evidence:
        evidence = outcome.evidence(class_index)
        real |= {"pooling_weights": outcome.weights, "pooled": outcome.pooled, "channels": evidence.channels,
                 "baseline": evidence.baseline}
    whole = {
        "class_index": class_index, "photo_size": analysis.framing.photo_size, "input_shape": analysis.input.shape,
    }
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        **{name: np.asarray(_detached(values), np.float32) for name, values in real.items()},
        **{name: np.asarray(values, np.int64) for name, values in whole.items()},
    )
    return buffer.getvalue()


def _detached(values: Any) -> Any:
    return values.detach().numpy() if isinstance(values, torch.Tensor) else values


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
        "image": {"sha256": digest(analysis.image), "width": analysis.image.width, "height": analysis.image.height},
        "framing": _framing(analysis),
        "pooling": _pooling(outcome, calibrated),
        "class": {
            **_answer(outcome.answer(class_index, calibrated)),
            **(_evidence if analysis.has_evidence else _cam_instead)(outcome, class_index),
        },
        "top": [
            {**_pooling(each, calibrated), "classes": [_answer(answer) for answer in each.top(5, calibrated)]}
            for each in outcome.under_each_pooling()
        ],
        "versions": versions(),
    })


def is_calibrated(outcome: Outcome, calibrated: bool) -> bool:
    """Whether asking for calibrated probabilities changes anything here: never under a pooling that its head knows."""
    return calibrated and outcome.multiplier is not None


def label(outcome: Outcome, calibrated: bool) -> str:
    """"native", "trained", "what-if" or "what-if, calibrated"."""
    return f"{outcome.label}, calibrated" if is_calibrated(outcome, calibrated) else outcome.label


def trained_in_words(network: Network) -> str:
    """The poolings beside its own that it has trained heads for: "GMP, GeM and learned attention"; "" for none."""
    return listed([within_sentence(each.pooling.name) for each in network.trained.values()])


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
        "cam": {"method": CAM_INSTEAD, "cells": shown(outcome, class_index).cells.tolist()},
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
    return {
        "key": outcome.pooling, "name": outcome.name, "parameters": dict(outcome.parameters),
        "label": outcome.label, "multiplier": outcome.multiplier, "calibrated": is_calibrated(outcome, calibrated),
    }


def _answer(answer: Answer) -> dict[str, Any]:
    return {
        "index": answer.class_index, "name": answer.name, "probability": answer.probability, "logit": answer.logit,
        "rank": answer.rank,
    }


def versions() -> dict[str, str]:
    """What computed it: the versions of PoolScope, torch, timm and Python."""
    return {
        "poolscope": explorer.__version__, "torch": str(torch.__version__), "timm": timm.__version__,
        "python": platform.python_version(),
    }


def finite(value: Any) -> Any:
    """The same record with None for every number that JSON has no word for."""
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
