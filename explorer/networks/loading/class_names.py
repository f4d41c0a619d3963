"""A person's own names of classes, read from a text file, a JSON file or a list."""

from __future__ import annotations

import ast
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
# Under which key frameworks keep names, in a checkpoint or a config.json; the first that holds names counts.
_KEYS = ("class_names", "classnames", "classes", "CLASSES", "id2label", "idx_to_class", "idx2label", "class_to_idx",
         "label2id", "label_names", "labels", "names", "categories")
_INSIDE = ("pretrained_cfg", "dataset_meta", "meta")


def read_class_names(data: bytes | str | Path | Sequence[str], name: str = "") -> tuple[str, ...]:
    """The names of the classes, in the order of their numbers.

    Args:
        data: the bytes of a .txt or .json file, the path of one (text is a path too), or the names themselves. A text
            has one name a line, perhaps numbered from 0 or from 1 ("0 cat", "0: cat", "0,cat"); JSON is a list,
            {"0": "cat"}, {"cat": 0}, ImageNet's {"0": ["n01440764", "tench"]}, or a config.json that has such a thing
            in it. Python's own writing of a list or dict is read too.
        name: of the file, for sentences.

    Returns:
        One name a class, control characters replaced by spaces, at most 200 letters. Two classes may have one name:
        they stay as they are: a class is known by its number.

    Raises:
        NetworkError: too large, not text, of another form, or with a number missing or given twice.
    """
    if isinstance(data, bytes | str | Path):
        content, title = read_bytes(data if isinstance(data, bytes) else Path(data), name, MOST_BYTES)
        names = _parsed(content, title)
    else:
        names, title = list(data), one_line(name or "the list of classes")
    if not names:
        raise NetworkError(f"{title} holds no names of classes; expected {_FORMS}.")
    if len(names) > MOST_NAMES:
        raise NetworkError(f"{title} holds {len(names):,} names; at most {MOST_NAMES:,} are accepted.")
    cleaned = tuple(_clean(item) if isinstance(item, str) else "" for item in names)
    if "" in cleaned:
        raise NetworkError(f"{title} has no name for class {cleaned.index('')}; expected {_FORMS}.")
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
    text = re.sub(r"\A\s*\w{1,40}\s*=\s*(?=[\[{(])", "", text)  # "CLASSES = [" of a Python file
    if text.lstrip()[:1] not in ("[", "{", "("):
        return _from_lines(text, name)
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        try:
            tree = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            if text.lstrip()[0] == "(":
                return _from_lines(text, name)
            raise NetworkError(f"{name} begins like JSON but is none; expected {_FORMS}.") from None
    return _from_tree(tree, name)


def names_in(tree: Mapping[Any, Any], depth: int = 2) -> tuple[str, ...] | None:
    """The class names among a checkpoint's or a configuration's settings; None where there are none that can be read.

    They stand under a usual key, at most `depth` entries deep: a tree from a pickle may hold itself.
    """
    for value in (*(tree[key] for key in _KEYS if key in tree), *(tree[key] for key in _INSIDE if key in tree)):
        try:
            if isinstance(value, list | tuple | Mapping) and value and depth:
                return read_class_names(tuple(_from_tree(value, "", depth - 1)))
        except NetworkError:
            continue
    return None


def _from_tree(tree: Any, name: str, depth: int = 3) -> list[Any]:
    if isinstance(tree, list | tuple):
        return [item.get("name") if isinstance(item, Mapping) else item[-1] if isinstance(item, list | tuple) and item
                else item for item in tree]
    if not isinstance(tree, Mapping):
        raise NetworkError(f"{name} is of another form; expected {_FORMS}.")
    inner = None if _is_numbered(tree) else names_in(tree, depth)
    return list(inner) if inner else _from_mapping(tree, name)


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


def _is_numbered(tree: Mapping[Any, Any]) -> bool:
    """Whether it leads from numbers to names, or from names to numbers."""
    return all(type(value) is int for value in tree.values()) or all(
        str(key).isdecimal() and len(str(key)) < 7 for key in tree)


def _from_mapping(tree: Mapping[Any, Any], name: str) -> list[Any]:
    if not _is_numbered(tree):
        raise NetworkError(f"{name} is JSON of another form; expected {_FORMS}.")
    if all(type(value) is int for value in tree.values()):
        numbered = [(value, key) for key, value in tree.items()]
    else:
        numbered = [(int(key), value[-1] if isinstance(value, list | tuple) and value else value)
                    for key, value in tree.items()]
    by_number = dict(numbered)
    first = 1 if by_number and min(by_number) == 1 and len(by_number) > 1 else 0
    numbers = range(first, first + len(tree))
    if sorted(by_number) != list(numbers):
        missing = next((n for n in numbers if n not in by_number), 0)
        raise NetworkError(f"{name} names {len(tree)} classes but none has the number {missing}; expected each number "
                           f"from {first} to {numbers[-1]} once.")
    return [by_number[n] for n in numbers]
