"""A recipe: what it takes to repeat an analysis elsewhere, and the numbers that are to come out again."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, fields, replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
from PIL import Image
from torch import Tensor

from explorer.analysis import Analysis, Outcome, analyse
from explorer.errors import ParameterError
from explorer.export.strict_json import finite, image_part, versions
from explorer.framing import Preprocessing
from explorer.images import digest, read_image
from explorer.networks.network import Network
from explorer.poolings import parse_pooling
from explorer.questions.intervention import Intervention

FORMAT = 1
MAX_BYTES = 4 * 1024 * 1024
_WHOLE = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
_SCHEMA = jsonschema.validators.extend(jsonschema.Draft202012Validator, type_checker=_WHOLE)(
    json.loads(Path(__file__).with_suffix(".schema.json").read_text(encoding="utf-8")))


class RecipeError(ParameterError):
    """A recipe cannot be read, or is of another photo or network."""


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


# Writing.


def recipe(outcome: Outcome, class_index: int, calibrated: bool = False) -> dict[str, Any]:
    """What repeats an analysis, from plain dicts, lists, strings and numbers; a number that is not finite is None.

    The photo is known by its pixels and not by its file (`explorer.images.digest`): a JPEG file that another library
    decodes to slightly other pixels counts as another photo.

    Without evidence the pooling and the baseline are None, and the cells are Grad-CAM's. A custom network is known by
    the sha256 of its file: to repeat the recipe, the same file has to be given again. Its preprocessing and
    activation, which people may edit, are written down.
    """
    analysis, network = outcome.analysis, outcome.analysis.network
    baseline, cells = _parts(outcome, class_index)
    return finite({
        "format": FORMAT,
        "network": {"name": network.name, "sha256": network.digest},
        "image": image_part(analysis),
        # The short side is all that `analyse` is given; under "whole" the long one follows from the photo.
        "framing": {"kind": analysis.framing.kind, "short_side": min(analysis.framing.input_size)},
        "preprocessing": json.loads(json.dumps(asdict(network.preprocessing))),  # lists in the place of tuples
        "activation": network.activation,
        "layer": None if analysis.layer is None else analysis.layer.key,
        "change": analysis.change or None,
        "pooling": network.pooling_of(outcome.pooling).written(**outcome.parameters) if analysis.has_evidence else None,
        "class_index": class_index,
        "calibrated": bool(calibrated),
        "versions": versions(),
        "numbers": {
            "logit": float(outcome.logits[class_index]),
            "baseline": baseline,
            "cells": cells.tolist(),
            "top": [{"class_index": answer.class_index, "logit": answer.logit} for answer in outcome.top(5)],
        },
    })


def recipe_json(document: dict[str, Any]) -> str:
    """A recipe as strict JSON text, ASCII throughout, one field a line."""
    lines = (f" {json.dumps(name)}: {json.dumps(value, allow_nan=False)}" for name, value in document.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _parts(outcome: Outcome, class_index: int) -> tuple[float, Tensor]:
    """The baseline and the map (H, W) that are recorded: of the evidence, or NaN and a CAM."""
    baseline = outcome.evidence(class_index).baseline if outcome.analysis.has_evidence else math.nan
    return baseline, outcome.class_map(class_index).cells


# Reading what somebody else may have written.


def read_recipe(source: str | bytes | os.PathLike) -> dict[str, Any]:
    """Read and check a recipe, or the record of `record_json`, which has one in it.

    Args:
        source: a path, the bytes of a file, or JSON text (which begins with a brace), at most 4 MB.

    Returns:
        The recipe, as `recipe` makes it; an old one may lack preprocessing, activation, layer and change.

    Raises:
        RecipeError: there is no such file, or it is too large, not JSON, of another format, or a field is missing or
            is not what it should be. Whether the network is known is for `load_network` to decide.
        ParameterError: the pooling does not exist, the change cannot be read, or a parameter of the pooling or a
            number of the preprocessing is out of range.
    """
    document = _parsed(_bytes_of(source))
    if isinstance(document, dict) and isinstance(document.get("recipe"), dict):
        document = document["recipe"]
    if not isinstance(document, dict) or "format" not in document:
        raise RecipeError("This is not a recipe: it has no 'format'; expected a file that PoolScope has written.")
    if (error := next(_SCHEMA.iter_errors(document), None)) is not None:
        raise RecipeError(_sentence(error))
    if len({len(row) for row in document["numbers"]["cells"]}) > 1:
        raise RecipeError("The recipe's 'numbers.cells' has rows of several lengths; expected rows of one length.")
    _preprocessing(document)
    Intervention.parse(document.get("change") or "")
    if document["pooling"] is not None:
        parse_pooling(document["pooling"])
    return document


def _bytes_of(source: str | bytes | os.PathLike) -> bytes:
    if isinstance(source, str) and source.lstrip()[:1] in {"{", "["}:
        source = source.encode("utf-8", "surrogatepass")
    if not isinstance(source, bytes):
        try:
            if not (file := Path(source)).is_file():
                raise RecipeError(f"There is no recipe at {str(source)[-120:]!r}; expected the path of a file.")
            with file.open("rb") as stream:
                source = stream.read(MAX_BYTES + 1)
        except TypeError:
            raise RecipeError(f"Expected a path, bytes or the text of a recipe, got {source!r:.60}.") from None
        except OSError as error:
            raise RecipeError(f"The recipe at {str(source)[-120:]!r} cannot be opened ({error.strerror}); expected the "
                              "path of a file.") from None
    if len(source) > MAX_BYTES:
        raise RecipeError(f"The recipe has more than {MAX_BYTES // 2**20} MB; expected a file that PoolScope has "
                          "written.")
    return source


def _parsed(data: bytes) -> Any:
    def refuse(word: str) -> None:
        raise RecipeError(f"The recipe has {word} in it, which JSON has no word for; expected numbers or null.")

    try:
        return json.loads(data.decode("utf-8-sig", "replace"), parse_constant=refuse)
    except RecipeError:
        raise
    except (ValueError, RecursionError):
        raise RecipeError("The recipe is not JSON; expected a file that PoolScope has written.") from None


def _sentence(error: jsonschema.ValidationError) -> str:
    """The field, its value, and what the schema's description says is expected."""
    path = ".".join(map(str, error.absolute_path))
    required: Any = error.validator_value
    instance: Any = error.instance
    schema: Any = error.schema
    if error.validator == "required":
        missing = next(name for name in required if name not in instance)
        return f"The recipe has no '{path}{'.' * bool(path)}{missing}'; expected one."
    return f"The recipe's {path!r} is {instance!r:.60}; expected {schema['description']}."


def _preprocessing(document: dict[str, Any]) -> Preprocessing | None:
    """Recipes that were written before it could be edited have none."""
    written = document.get("preprocessing")
    return written and Preprocessing(**{field.name: written[field.name] for field in fields(Preprocessing)})


# Repeating.


def repeat(recipe: dict[str, Any], network: Network, image: Image.Image) -> Repetition:
    """Make a recipe's analysis again and compare it with the numbers that the recipe has.

    Args:
        recipe: from `read_recipe` or `recipe`.
        network: the recipe's: `load_network(recipe["network"]["name"])`, or the same file loaded again.
        image: the recipe's, as `read_image` gives it.

    Raises:
        RecipeError: it is another network or photo, the recipe's cells are of another grid, or it has a pooling where
            the network has no evidence, or none where it has.
        ParameterError, FramingError: there is no such class, pooling, channel or position; see also
            `explorer.framing.frame`.
        MethodError: there is no such layer, or a change where there is no evidence.
    """
    image = image if image.mode == "RGB" else read_image(image)
    _check_same(recipe, network, image)
    preprocessing = _preprocessing(recipe) or network.preprocessing
    activation = recipe.get("activation") or network.activation
    if (network.preprocessing, network.activation) != (preprocessing, activation):
        network = replace(network, preprocessing=preprocessing, activation=activation)
    numbers, framing = recipe["numbers"], recipe["framing"]
    class_index, top = recipe["class_index"], [answer["class_index"] for answer in numbers["top"]]
    for index in (class_index, *top):
        network.check_class(index)
    analysis = analyse(network, image, framing["kind"], framing["short_side"], recipe.get("layer"))
    change = Intervention.parse(recipe.get("change") or "")
    outcome = _outcome(change.on(analysis) if change else analysis, recipe["pooling"])
    baseline, cells = _parts(outcome, class_index)
    grid = len(numbers["cells"]), len(numbers["cells"][0])
    if grid != tuple(cells.shape):
        raise RecipeError(f"The recipe has evidence of {grid[0]} x {grid[1]} positions; expected "
                          f"{' x '.join(map(str, cells.shape))}, which this photo has in that framing.")
    differences = Differences(
        _largest([numbers["logit"], numbers["baseline"], *(answer["logit"] for answer in numbers["top"])],
                 [float(outcome.logits[class_index]), baseline, *outcome.logits[top].tolist()]),
        _largest([*chain.from_iterable(numbers["cells"])], cells.flatten().tolist()))
    return Repetition(outcome, class_index, recipe["calibrated"], differences)


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
    expected, got = recipe["network"]["sha256"], network.digest
    if got != expected:
        raise RecipeError(f"The recipe is of another network: {network.name} has sha256 {got[:12]}..., "
                          f"expected {expected[:12]}....")
    photo, got = recipe["image"], digest(image)
    if got != photo["sha256"]:
        raise RecipeError(
            f"The recipe is of another photo: the pixels of this one, {image.width} x {image.height}, have sha256 "
            f"{got[:12]}..., expected {photo['sha256'][:12]}... of {photo['width']} x {photo['height']}.")


def _largest(recorded: list[float | None], computed: list[float]) -> float:
    """The largest difference; infinite where one of two is a number and the other is not."""
    return max((_apart(one, other) for one, other in zip(recorded, computed, strict=True)), default=0.0)


def _apart(recorded: float | None, computed: float) -> float:
    if recorded is None or not math.isfinite(computed):
        return 0.0 if recorded is None and not math.isfinite(computed) else math.inf
    return abs(recorded - computed)
