"""A person's own names of classes, read from a text file, a JSON file or a list."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from explorer.errors import NetworkError
from explorer.networks.loading.files import one_line, read_bytes

MOST_BYTES = 1_000_000
MOST_NAMES = 100_000
LONGEST = 200  # letters of a name; the rest is cut off
_NUMBERED = re.compile(r"\s*(\d{1,6})\s*[\s:,;=]\s*(\S.*)")
_FORMS = "a text with one name a line, a JSON list, {\"0\": \"cat\"} or {\"cat\": 0}"


def read_class_names(data: bytes | str | Path | Sequence[str], name: str = "") -> tuple[str, ...]:
    """The names of the classes, in the order of their numbers.

    Args:
        data: the bytes of a .txt or .json file, the path of one (text is a path too), or the names themselves. A text
            has one name a line, perhaps numbered from 0 or in order ("0 cat", "0: cat", "0,cat"); JSON is a list,
            {"0": "cat"}, {"cat": 0}, or ImageNet's {"0": ["n01440764", "tench"]}.
        name: what to call the file in a sentence.

    Returns:
        One name a class, control characters replaced by spaces, at most 200 letters. Two classes may have one name:
        they stay as they are, and a class is always told by its number.

    Raises:
        NetworkError: too large, not text, of another form, or with a number missing or given twice.
    """
    if isinstance(data, bytes | str | Path):
        content, called = read_bytes(data if isinstance(data, bytes) else Path(data), name, MOST_BYTES)
        found = _parsed(content, called)
    else:
        found, called = list(data), one_line(name or "the list of classes")
    if not found:
        raise NetworkError(f"{called} holds no names of classes; expected {_FORMS}.")
    if len(found) > MOST_NAMES:
        raise NetworkError(f"{called} holds {len(found):,} names; at most {MOST_NAMES:,} are accepted.")
    cleaned = tuple(_clean(item) if isinstance(item, str) else "" for item in found)
    if "" in cleaned:
        raise NetworkError(f"{called} has no name for class {cleaned.index('')}; expected {_FORMS}.")
    return cleaned


def _clean(text: str) -> str:
    """On one line, without control characters, cut where it is too long."""
    return " ".join("".join(c if c.isprintable() else " " for c in text[: 8 * LONGEST]).split())[:LONGEST].strip()


def _parsed(content: bytes, name: str) -> list[Any]:
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except ValueError:
        raise NetworkError(f"{name} is not text in UTF-8; expected {_FORMS}.") from None
    if text.lstrip()[:1] not in ("[", "{"):
        return _from_lines(text, name)
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        raise NetworkError(f"{name} begins like JSON but is none; expected {_FORMS}.") from None
    return tree if isinstance(tree, list) else _from_mapping(tree, name)


def _from_lines(text: str, name: str) -> list[str]:
    """The lines, without their numbers when each has the number of its place or all numbers are there once."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").rstrip().split("\n") if text.strip() else []
    matches = [_NUMBERED.fullmatch(line) for line in lines]
    if lines and all(matches):
        numbered = {int(match[1]): match[2] for match in matches if match}
        if sorted(numbered) == list(range(len(lines))):
            return [numbered[n] for n in range(len(lines))]
        if sorted(numbered) == list(range(1, len(lines) + 1)):
            return [numbered[n + 1] for n in range(len(lines))]
    return lines


def _from_mapping(tree: Mapping[str, Any], name: str) -> list[str]:
    if tree and all(type(value) is int for value in tree.values()):
        numbered = [(value, key) for key, value in tree.items()]
    elif all(key.isdecimal() and len(key) < 7 for key in tree):
        numbered = [(int(key), value[-1] if isinstance(value, list) and value else value)
                    for key, value in tree.items()]
    else:
        raise NetworkError(f"{name} is JSON of another form; expected {_FORMS}.")
    by_number = dict(numbered)
    if sorted(by_number) != list(range(len(tree))):
        missing = next((n for n in range(len(tree)) if n not in by_number), 0)
        raise NetworkError(f"{name} names {len(tree)} classes but none has the number {missing}; expected each number "
                           f"from 0 to {len(tree) - 1} once.")
    return [by_number[n] for n in range(len(tree))]
