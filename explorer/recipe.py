"""A recipe: what it takes to repeat an analysis elsewhere, and the numbers that are to come out again."""

from __future__ import annotations

import json
import math
import os
import re
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from explorer import export
from explorer.analysis import Outcome, analyse
from explorer.errors import ParameterError
from explorer.framing import FRAMINGS, LARGEST_SIDE, SMALLEST_SIDE
from explorer.images import digest, read_image
from explorer.networks.network import Network
from explorer.pooling import POOLINGS, parse_pooling

FORMAT = 1
MAX_BYTES = 4 * 1024 * 1024
_MOST_POSITIONS = 100_000
_SHA256 = re.compile("[0-9a-f]{64}")


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


def recipe(outcome: Outcome, class_index: int, calibrated: bool = False) -> dict[str, Any]:
    """What repeats an analysis, from plain dicts, lists, strings and numbers; a number that is not finite is None.

    The photo is known by its pixels and not by its file (`explorer.images.digest`): a JPEG file that another library
    decodes to slightly other pixels counts as another photo.
    """
    analysis, evidence = outcome.analysis, outcome.evidence(class_index)
    framing = analysis.framing
    return export.finite({
        "format": FORMAT,
        "network": {"name": analysis.network.name, "sha256": analysis.network.digest},
        "image": {"sha256": digest(analysis.image), "width": analysis.image.width, "height": analysis.image.height},
        # The short side is all that `analyse` is given; under "whole" the long one follows from the photo.
        "framing": {"kind": framing.kind, "short_side": min(framing.input_size)},
        "pooling": POOLINGS[outcome.pooling].written(**outcome.parameters),
        "class_index": class_index,
        "calibrated": bool(calibrated),
        "versions": export.versions(),
        "numbers": {
            "logit": evidence.logit,
            "baseline": evidence.baseline,
            "cells": evidence.cells.tolist(),
            "top": [{"class_index": answer.class_index, "logit": answer.logit} for answer in outcome.top(5)],
        },
    })


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
        network: the recipe's: `load_network(recipe["network"]["name"])`.
        image: the recipe's, as `read_image` gives it.

    Raises:
        RecipeError: it is another network or photo, or the recipe's cells are of another grid.
        ParameterError, FramingError: there is no such class; see also `explorer.framing.frame`.
    """
    image = image if image.mode == "RGB" else read_image(image)
    _check_same(recipe, network, image)
    numbers, framing = recipe["numbers"], recipe["framing"]
    class_index, named = recipe["class_index"], [answer["class_index"] for answer in numbers["top"]]
    for index in (class_index, *named):
        network.check_class(index)
    key, parameters = parse_pooling(recipe["pooling"])
    outcome = analyse(network, image, framing["kind"], framing["short_side"]).under(key, **parameters)
    evidence = outcome.evidence(class_index)
    grid = len(numbers["cells"]), len(numbers["cells"][0])
    if grid != tuple(evidence.cells.shape):
        raise RecipeError(f"The recipe has evidence of {grid[0]} x {grid[1]} positions; expected "
                          f"{' x '.join(map(str, evidence.cells.shape))}, which this photo has in that framing.")
    logits = _largest(
        [numbers["logit"], numbers["baseline"], *(answer["logit"] for answer in numbers["top"])],
        [evidence.logit, evidence.baseline, *outcome.logits[named].tolist()],
    )
    cells = _largest([*chain.from_iterable(numbers["cells"])], evidence.cells.flatten().tolist())
    return Repetition(outcome, class_index, recipe["calibrated"], Differences(logits, cells))


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


def read_recipe(source: str | bytes | os.PathLike) -> dict[str, Any]:
    """Read and check a recipe, or the record of `record_json`, which has one in it.

    Args:
        source: a path, the bytes of a file, or JSON text (which begins with a brace), at most 4 MB.

    Returns:
        The recipe, as `recipe` makes it, without fields that are not known.

    Raises:
        RecipeError: there is no such file, or it is too large, not JSON, of another format, or a field is missing or
            is not what it should be. Whether the network is known is for `load_network` to say.
        ParameterError: the pooling does not exist, or its parameter is out of range.
    """
    document = _parsed(_text_of(source))
    if isinstance(document, dict) and isinstance(document.get("recipe"), dict):
        document = document["recipe"]
    if not isinstance(document, dict) or "format" not in document:
        raise RecipeError("This is not a recipe: it has no 'format'; expected a file that PoolScope has written.")
    if document["format"] is True or document["format"] != FORMAT:
        raise RecipeError(f"The recipe has format {document['format']!r:.40}; expected {FORMAT}.")
    return {
        "format": FORMAT,
        "network": {"name": _text(document, "network.name"), "sha256": _sha256(document, "network.sha256")},
        "image": {
            "sha256": _sha256(document, "image.sha256"),
            "width": _whole(document, "image.width", 1), "height": _whole(document, "image.height", 1),
        },
        "framing": {
            "kind": _kind(document, "framing.kind"),
            "short_side": _whole(document, "framing.short_side", SMALLEST_SIDE, LARGEST_SIDE),
        },
        "pooling": _pooling(document, "pooling"),
        "class_index": _whole(document, "class_index"),
        "calibrated": _field(document, "calibrated", bool, "true or false"),
        "versions": _versions(document, "versions"),
        "numbers": {
            "logit": _number(_value(document, "numbers.logit"), "numbers.logit"),
            "baseline": _number(_value(document, "numbers.baseline"), "numbers.baseline"),
            "cells": _cells(document, "numbers.cells"),
            "top": [
                {"class_index": _whole(answer, "class_index"), "logit": _number(_value(answer, "logit"), "logit")}
                for answer in _field(document, "numbers.top", list, "a list of logits")
            ],
        },
    }


def _text_of(source: str | bytes | os.PathLike) -> str:
    if isinstance(source, (bytes, bytearray)):
        return _decoded(bytes(source))
    if isinstance(source, str) and source.lstrip()[:1] in {"{", "["}:
        return _decoded(source.encode("utf-8", "surrogatepass"))
    try:
        file = Path(source)
        if not file.is_file():
            raise RecipeError(f"There is no recipe at {str(source)[-120:]!r}; expected the path of a file.")
        with file.open("rb") as stream:
            return _decoded(stream.read(MAX_BYTES + 1))
    except (TypeError, ValueError) as error:
        if isinstance(error, RecipeError):
            raise
        raise RecipeError(f"Expected a path, bytes or the text of a recipe, got {source!r:.60}.") from None
    except OSError as error:
        raise RecipeError(f"The recipe at {str(source)[-120:]!r} cannot be opened ({error.strerror or 'no reason'}); "
                          "expected the path of a file.") from None


def _decoded(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise RecipeError(f"The recipe has more than {MAX_BYTES // 2**20} MB; expected a file that PoolScope has "
                          "written.")
    return data.decode("utf-8-sig", "replace")


def _parsed(text: str) -> Any:
    def refuse(word: str) -> None:
        raise RecipeError(f"The recipe has {word} in it, which JSON has no word for; expected numbers or null.")

    try:
        return json.loads(text, parse_constant=refuse)
    except RecipeError:
        raise
    except (ValueError, RecursionError):
        raise RecipeError("The recipe is not JSON; expected a file that PoolScope has written.") from None


def _value(document: Any, name: str) -> Any:
    """The field of a dotted name."""
    for part in name.split("."):
        if not isinstance(document, dict) or part not in document:
            raise RecipeError(f"The recipe has no {name!r}; expected one.")
        document = document[part]
    return document


def _wrong(value: Any, name: str, expected: str) -> RecipeError:
    return RecipeError(f"The recipe's {name!r} is {value!r:.60}; expected {expected}.")


def _field(document: Any, name: str, kind: type, expected: str) -> Any:
    value = _value(document, name)
    if type(value) is not kind:  # True is an int, and must not be a class
        raise _wrong(value, name, expected)
    return value


def _text(document: Any, name: str) -> str:
    value = _field(document, name, str, "text")
    if len(value) > 200:
        raise _wrong(value, name, "at most 200 letters")
    return value


def _sha256(document: Any, name: str) -> str:
    value = _text(document, name)
    if not _SHA256.fullmatch(value):
        raise _wrong(value, name, "64 hexadecimal digits")
    return value


def _whole(document: Any, name: str, low: int = 0, high: int = 10**9) -> int:
    expected = f"a whole number from {low} to {high}"
    value = _field(document, name, int, expected)
    if not low <= value <= high:
        raise _wrong(value, name, expected)
    return value


def _kind(document: Any, name: str) -> str:
    value = _text(document, name)
    if value not in FRAMINGS:
        raise _wrong(value, name, f"one of {', '.join(FRAMINGS)}")
    return value


def _pooling(document: Any, name: str) -> str:
    """As it is written when it is written anew: "gem" becomes "gem:p=3"."""
    key, parameters = parse_pooling(_text(document, name))
    return POOLINGS[key].written(**parameters)


def _versions(document: Any, name: str) -> dict[str, str]:
    value = _field(document, name, dict, "names and versions")
    return {key: _text(value, key) for key in ("poolscope", "torch", "timm", "python")}


def _number(value: Any, name: str) -> float | None:
    if value is None:
        return None
    try:
        number = float(value) if type(value) in (int, float) else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _wrong(value, name, "a number or null")
    return number


def _cells(document: Any, name: str) -> list[list[float | None]]:
    rows = _field(document, name, list, "rows of numbers")
    if not rows or not all(type(row) is list and row and len(row) == len(rows[0]) for row in rows):
        raise _wrong(rows, name, "rows of numbers, all of one length")
    if len(rows) * len(rows[0]) > _MOST_POSITIONS:
        raise _wrong(rows, name, f"at most {_MOST_POSITIONS} positions")
    return [[_number(value, name) for value in row] for row in rows]
