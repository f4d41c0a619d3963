"""Reading a recipe that somebody else may have written: everything is checked, and nothing is believed."""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from explorer.errors import ParameterError
from explorer.framing import FRAMINGS, LARGEST_OWN, Preprocessing
from explorer.poolings import POOLINGS, parse_pooling

FORMAT = 1
MAX_BYTES = 4 * 1024 * 1024
_MOST_POSITIONS = 100_000
_SHA256 = re.compile("[0-9a-f]{64}")


class RecipeError(ParameterError):
    """A recipe cannot be read, or is of another photo or network."""


def read_recipe(source: str | bytes | os.PathLike) -> dict[str, Any]:
    """Read and check a recipe, or the record of `record_json`, which has one in it.

    Args:
        source: a path, the bytes of a file, or JSON text (which begins with a brace), at most 4 MB.

    Returns:
        The recipe, as `recipe` makes it, without fields that are not known.

    Raises:
        RecipeError: there is no such file, or it is too large, not JSON, of another format, or a field is missing or
            is not what it should be. Whether the network is known is for `load_network` to say.
        ParameterError: the pooling does not exist, or its parameter or a number of the preprocessing is out of range.
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
            "short_side": _whole(document, "framing.short_side", 1, LARGEST_OWN),
        },
        "preprocessing": _preprocessing(document),
        "activation": _activation(document),
        "layer": _layer(document),
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


def as_written(preprocessing: Preprocessing) -> dict[str, Any]:
    """As JSON has it: lists in the place of tuples."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(preprocessing).items()}


def _preprocessing(document: Any) -> dict[str, Any] | None:
    """Recipes that were written before it could be edited have none."""
    if document.get("preprocessing") is None:
        return None
    names = [each.name for each in fields(Preprocessing)]
    return as_written(Preprocessing(**{name: _value(document, f"preprocessing.{name}") for name in names}))


def _activation(document: Any) -> str | None:
    value = document.get("activation")
    if value is not None and value not in ("softmax", "sigmoid"):
        raise _wrong(value, "activation", "softmax or sigmoid")
    return value


def _layer(document: Any) -> str | None:
    """Recipes that were written before layers could be chosen have none."""
    return None if document.get("layer") is None else _text(document, "layer")


def _pooling(document: Any, name: str) -> str | None:
    """As it is written when it is written anew: "gem:p=3.0" becomes "gem:p=3"."""
    if _value(document, name) is None:
        return None
    key, parameters = parse_pooling(_text(document, name))
    # One without its parameter has the network's usual one; that, and whether the network has the pooling at all, is
    # seen when it is repeated.
    return POOLINGS[key].written(**parameters) if parameters else key


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
