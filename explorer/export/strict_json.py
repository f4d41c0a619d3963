"""How this package writes JSON: strict, with null for a number that is not finite, and the parts that records share."""

from __future__ import annotations

import json
import math
import platform
from typing import Any

import timm
import torch

import explorer
from explorer.analysis import Analysis, Answer, Outcome
from explorer.images import digest


def json_text(record: dict[str, Any]) -> str:
    """Strict JSON, ASCII throughout, indented by one space."""
    return json.dumps(record, indent=1, allow_nan=False) + "\n"


def finite(value: Any) -> Any:
    """The same record with None for every number that JSON has no word for."""
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def versions() -> dict[str, str]:
    """What computed it: the versions of PoolScope, torch, timm and Python."""
    return {
        "poolscope": explorer.__version__, "torch": str(torch.__version__), "timm": timm.__version__,
        "python": platform.python_version(),
    }


def image_part(analysis: Analysis) -> dict[str, Any]:
    """The photo, known by its pixels."""
    return {"sha256": digest(analysis.image), "width": analysis.image.width, "height": analysis.image.height}


def pooling_part(outcome: Outcome) -> dict[str, Any]:
    """The pooling, and whether the head was trained with it."""
    return {"key": outcome.pooling, "name": outcome.name, "parameters": dict(outcome.parameters),
            "label": outcome.label}


def answer_part(answer: Answer) -> dict[str, Any]:
    """A class with its probability, logit and rank."""
    return {"index": answer.class_index, "name": answer.name, "probability": answer.probability,
            "logit": answer.logit, "rank": answer.rank}
