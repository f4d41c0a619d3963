"""The arrays behind an analysis and its reasons as .npz files, to be read with `numpy.load`; no pickle in them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from torch import Tensor

from explorer.analysis import Outcome
from explorer.questions.reasons import Reasons


def arrays_npz(outcome: Outcome, class_index: int) -> bytes:
    """The arrays behind one class under one pooling.

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

    Without evidence the feature maps are those of the layer that is looked at, `cells` is Grad-CAM, and
    pooling_weights, pooled, channels and baseline are left out.
    """
    analysis = outcome.analysis
    real = {
        "feature_maps": analysis.feature_maps, "logits": outcome.logits, "cells": outcome.class_map(class_index).cells,
        "rectangles": analysis.framing.rectangles, "seen": analysis.framing.seen,
    }
    if analysis.has_evidence:
        evidence = outcome.evidence(class_index)
        real |= {"pooling_weights": outcome.weights, "pooled": outcome.pooled, "channels": evidence.channels,
                 "baseline": evidence.baseline}
    whole = {
        "class_index": class_index, "photo_size": analysis.framing.photo_size, "input_shape": analysis.input.shape,
    }
    return _npz({name: np.asarray(_detached(values), np.float32) for name, values in real.items()}
                | {name: np.asarray(values, np.int64) for name, values in whole.items()})


def why_npz(reasons: Reasons) -> bytes:
    """The arrays behind the reasons, and only those that there are.

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
        flip, sufficient  (H, W)          the positions that flip the prediction, and that are enough for it
        stitched          (h, w)          evidence on a finer grid
        coverage          (h, w)          of how many shifts each of these places is the mean, as a share
        probabilities     (Q, V + 1)      of the class under Q poolings: the photo as it is, then each variant
        class_index, rival  ()            a rival of -1 is none
        rectangles        (H, W, 4)       left, top, right, bottom of each position, in photo pixels
        seen              (4,)            the part of the photo that the network saw, likewise
        photo_size        (2,)            width, height
    """
    framing, contrasts = reasons.outcome.analysis.framing, reasons.contrasts
    arrays: dict[str, Any] = {
        "class_index": reasons.class_index, "rival": -1 if reasons.rival is None else reasons.rival,
        "rectangles": np.asarray(framing.rectangles, np.float64), "seen": np.asarray(framing.seen, np.float64),
        "photo_size": framing.photo_size,
    }
    if (own := reasons.contrast) is not None:
        arrays |= {
            "cells": own.cells, "channels": own.channels, "baseline": own.baseline, "difference": own.difference,
            "poolings": [outcome.pooling for outcome in reasons.outcome.under_each_pooling()],
            "cells_by_pooling": [contrast.cells for contrast in contrasts],
            "baselines": [contrast.baseline for contrast in contrasts],
            "differences": [contrast.difference for contrast in contrasts],
        }
    if reasons.probe is not None:
        arrays["probed"] = reasons.probe.chosen
    arrays |= {name: part.chosen for name, part in (("flip", reasons.flip), ("sufficient", reasons.sufficient))
               if part is not None and part.chosen is not None}
    if reasons.stitched is not None:
        arrays |= {"stitched": reasons.stitched.cells, "coverage": reasons.stitched.coverage}
    if reasons.stability is not None:
        arrays["probabilities"] = [[row.probability for row in (under.original, *under.rows)]
                                   for under in reasons.stability.under]
    return _npz({name: np.asarray(values) for name, values in arrays.items()})


def _npz(arrays: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _detached(values: Any) -> Any:
    return values.detach().numpy() if isinstance(values, Tensor) else values
