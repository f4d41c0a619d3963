"""A recipe: what it takes to repeat an analysis elsewhere, and the numbers that are to come out again."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import chain
from typing import Any, NamedTuple

from PIL import Image
from torch import Tensor

from explorer.analysis import Analysis, Outcome, analyse
from explorer.export import files as export
from explorer.export.recipe_reader import FORMAT, RecipeError, as_written
from explorer.framing import Preprocessing
from explorer.images import digest, read_image
from explorer.networks.network import Network
from explorer.poolings import parse_pooling


class Differences(NamedTuple):
    """How far a repeated analysis is from its recipe, in logits: 0 on the same machine, rounding on another.

    Attributes:
        logits: the largest difference of the class's logit and baseline, and of the best five logits.
        cells: the largest difference of a position's evidence.
    """

    logits: float
    cells: float


class Repetition(NamedTuple):
    """A recipe's analysis, made again."""

    outcome: Outcome
    class_index: int
    calibrated: bool
    differences: Differences


def recipe(outcome: Outcome, class_index: int, calibrated: bool = False) -> dict[str, Any]:
    """What repeats an analysis, from plain dicts, lists, strings and numbers; a number that is not finite is None.

    The photo is known by its pixels and not by its file (`explorer.images.digest`): a JPEG file that another library
    decodes to slightly other pixels counts as another photo.

    Where the answer cannot be taken apart the pooling and the baseline are None, and the cells are Grad-CAM's. A
    network of one's own is known by the sha256 of its file: to repeat the recipe, the same file has to be given again.
    Its preprocessing and activation, which people may edit, are written down.
    """
    analysis = outcome.analysis
    framing, baseline, cells = analysis.framing, *_parts(outcome, class_index)
    return export.finite({
        "format": FORMAT,
        "network": {"name": analysis.network.name, "sha256": analysis.network.digest},
        "image": {"sha256": digest(analysis.image), "width": analysis.image.width, "height": analysis.image.height},
        # The short side is all that `analyse` is given; under "whole" the long one follows from the photo.
        "framing": {"kind": framing.kind, "short_side": min(framing.input_size)},
        "preprocessing": as_written(analysis.network.preprocessing),
        "activation": analysis.network.activation,
        "layer": None if analysis.layer is None else analysis.layer.key,
        "pooling": _written(outcome) if analysis.has_evidence else None,
        "class_index": class_index,
        "calibrated": bool(calibrated),
        "versions": export.versions(),
        "numbers": {
            "logit": float(outcome.logits[class_index]),
            "baseline": baseline,
            "cells": cells.tolist(),
            "top": [{"class_index": answer.class_index, "logit": answer.logit} for answer in outcome.top(5)],
        },
    })


def _written(outcome: Outcome) -> str:
    return outcome.analysis.network.pooling_of(outcome.pooling).written(**outcome.parameters)


def _parts(outcome: Outcome, class_index: int) -> tuple[float, Tensor]:
    """The baseline and the map (H, W) that are recorded: of the evidence, or NaN and a CAM."""
    if not outcome.analysis.has_evidence:
        return math.nan, export.shown(outcome, class_index).cells
    evidence = outcome.evidence(class_index)
    return evidence.baseline, evidence.cells


def recipe_json(document: dict[str, Any]) -> str:
    """A recipe as strict JSON text, ASCII throughout, one field a line."""
    fields = (f" {json.dumps(name)}: {json.dumps(value, allow_nan=False)}" for name, value in document.items())
    return "{\n" + ",\n".join(fields) + "\n}\n"


def record_json(outcome: Outcome, class_index: int, calibrated: bool = False) -> str:
    """`export.numbers` with the recipe under "recipe", as strict JSON text: `read_recipe` takes it for the recipe."""
    record = export.numbers(outcome, class_index, calibrated)
    record["recipe"] = recipe(outcome, class_index, calibrated)
    return json.dumps(record, indent=1, allow_nan=False) + "\n"


def repeat(recipe: dict[str, Any], network: Network, image: Image.Image) -> Repetition:
    """Make a recipe's analysis again and compare it with the numbers that the recipe has.

    Args:
        recipe: from `read_recipe` or `recipe`.
        network: the recipe's: `load_network(recipe["network"]["name"])`, or the same file loaded again.
        image: the recipe's, as `read_image` gives it.

    Raises:
        RecipeError: it is another network or photo, the recipe's cells are of another grid, or it has a pooling where
            the network's answer cannot be taken apart, or none where it can.
        ParameterError, FramingError: there is no such class or pooling; see also `explorer.framing.frame`.
        MethodError: there is no such layer.
    """
    image = image if image.mode == "RGB" else read_image(image)
    _check_same(recipe, network, image)
    network = _as_it_was_set(recipe, network)
    numbers, framing = recipe["numbers"], recipe["framing"]
    class_index, named = recipe["class_index"], [answer["class_index"] for answer in numbers["top"]]
    for index in (class_index, *named):
        network.check_class(index)
    analysis = analyse(network, image, framing["kind"], framing["short_side"], recipe.get("layer"))
    outcome = _outcome(analysis, recipe["pooling"])
    baseline, found = _parts(outcome, class_index)
    grid = len(numbers["cells"]), len(numbers["cells"][0])
    if grid != tuple(found.shape):
        raise RecipeError(f"The recipe has evidence of {grid[0]} x {grid[1]} positions; expected "
                          f"{' x '.join(map(str, found.shape))}, which this photo has in that framing.")
    logits = _largest(
        [numbers["logit"], numbers["baseline"], *(answer["logit"] for answer in numbers["top"])],
        [float(outcome.logits[class_index]), baseline, *outcome.logits[named].tolist()],
    )
    cells = _largest([*chain.from_iterable(numbers["cells"])], found.flatten().tolist())
    return Repetition(outcome, class_index, recipe["calibrated"], Differences(logits, cells))


def _as_it_was_set(recipe: dict[str, Any], network: Network) -> Network:
    """The network with the recipe's preprocessing and activation; recipes of an earlier PoolScope have neither."""
    preprocessing, activation = recipe.get("preprocessing"), recipe.get("activation")
    wanted = network.preprocessing if preprocessing is None else Preprocessing(**preprocessing)
    activation = activation or network.activation
    if (wanted, activation) == (network.preprocessing, network.activation):
        return network
    return replace(network, preprocessing=wanted, activation=activation)


def _outcome(analysis: Analysis, pooling: str | None) -> Outcome:
    if pooling is None:
        if analysis.has_evidence:
            raise RecipeError("The recipe's 'pooling' is null, and this network has one; expected the pooling.")
        return analysis.under()
    if not analysis.has_evidence:
        raise RecipeError(f"The recipe has the pooling {pooling}, and none can be chosen here; expected null.")
    key, parameters = parse_pooling(pooling)
    return analysis.under(key, **parameters)


def _check_same(recipe: dict[str, Any], network: Network, image: Image.Image) -> None:
    wanted, got = recipe["network"]["sha256"], network.digest
    if got != wanted:
        raise RecipeError(f"The recipe is of another network: {network.name} has sha256 {got[:12]}..., "
                          f"expected {wanted[:12]}....")
    wanted, got = recipe["image"], digest(image)
    if got != wanted["sha256"]:
        raise RecipeError(
            f"The recipe is of another photo: the pixels of this one, {image.width} x {image.height}, have sha256 "
            f"{got[:12]}..., expected {wanted['sha256'][:12]}... of {wanted['width']} x {wanted['height']}.")


def _largest(recorded: list[float | None], found: list[float]) -> float:
    """The largest difference; infinite where one of two is a number and the other is not."""
    return max((_apart(one, other) for one, other in zip(recorded, found, strict=True)), default=0.0)


def _apart(recorded: float | None, found: float) -> float:
    if recorded is None or not math.isfinite(found):
        return 0.0 if recorded is None and not math.isfinite(found) else math.inf
    return abs(recorded - found)
