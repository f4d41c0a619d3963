"""A section as lines of text: headings, wrapped paragraphs, aligned tables. Pictures are left out."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

from explorer.sections.nodes import Node

WIDEST = 116  # columns of a terminal
_MOST_BESIDE = 4  # tables side by side
_NARROWEST = 12  # columns that a cell keeps when its table is too wide
_LETTERS = str.maketrans({"−": "-", "…": "...", "×": "x"})  # what not every terminal has
_INLINE = {"span", "strong", "button", "a", "code"}
_DRAWN = {"legend", "colours", "multiples", "shots"}  # classes of pictures and of words about their colours


def lines(node: Node) -> list[str]:
    """The tree as lines of at most `WIDEST` columns: a heading after an empty line, what follows it indented."""
    written: list[str] = []
    for is_heading, block in _blocks(node):
        written += [""] * (is_heading and bool(written)) + block
    return written


def wrapped(text: str, indent: int = 0) -> list[str]:
    """A sentence on as many lines as it takes; a word that is wider than a line stays whole."""
    rows: list[str] = []
    for word in typed(" ".join(text.split())).split():
        if rows and columns(rows[-1]) + 1 + columns(word) <= WIDEST - indent:
            rows[-1] += f" {word}"
        else:
            rows.append(word)
    return [" " * indent + row for row in rows]


def printable(text: object) -> str:
    """The text on one line, with ? for what a terminal might take for a command."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))


def typed(text: str) -> str:
    """The text on one line in letters that most terminals have: ASCII's minus sign, x for times."""
    return printable(text.translate(_LETTERS))


def columns(text: str) -> int:
    """How many columns of a terminal the text takes: wide letters two, combining ones none."""
    return sum(0 if unicodedata.combining(letter) else 1 + (unicodedata.east_asian_width(letter) in "WF")
               for letter in text)


def cut(text: str, width: int) -> str:
    """The text, or its beginning and three dots where it takes more columns than that."""
    if columns(text) <= width:
        return text
    while columns(text) > width - 3:
        text = text[:-1]
    return f"{text}..."


def _blocks(node: Node) -> Iterator[tuple[bool, list[str]]]:
    """Whether it is a heading, and its lines; from top to bottom."""
    classes = set(node.class_.split())
    if node.tag == "img" or node.attributes.get("role") == "img" or classes & _DRAWN:
        return
    if node.tag in ("h1", "h2", "h3"):
        yield True, wrapped(_words(node))
    elif node.tag == "table":
        for line in _captions(node):
            yield False, wrapped(line, 2)
        yield False, _aligned(*_table(node))
    elif node.tag == "dl":
        texts = [_text(child) for child in node.children]
        yield False, _aligned(list(zip(texts[::2], texts[1::2], strict=True)))
    elif "tiles" in classes:
        yield False, _aligned([[_text(part) for part in tile.elements[-1].children] for tile in node.elements])
    elif "answers" in classes:
        yield False, _beside([lines(child) for child in node.elements])
    elif node.tag == "p" or (node.tag != "figcaption" and all(map(_is_inline, node.children))):
        yield False, wrapped(_words(node), 2)
    else:
        for child in node.children:
            yield from [(False, wrapped(child, 2))] if isinstance(child, str) else _blocks(child)


def _is_inline(child: Node | str) -> bool:
    return isinstance(child, str) or child.tag in _INLINE


def _words(node: Node | str) -> str:
    """All its words; between two nodes without text between them there is a space, as a page has a gap there."""
    if isinstance(node, str):
        return node
    words, before = "", ""
    for child in node.children:
        gap = " " if before == "node" and isinstance(child, Node) else ""
        words, before = words + gap + _words(child), "node" if isinstance(child, Node) else "text"
    return words


def _text(node: Node | str) -> str:
    return typed(_words(node))


def _captions(table: Node) -> list[str]:
    return [_words(part) for child in table.elements if child.tag == "caption" for part in child.children]


def _table(table: Node) -> tuple[list[list[str]], set[int]]:
    """The texts of its cells row by row, and which columns end below each other; columns of pictures are left out."""
    rows = [row for part in table.elements if part.tag in ("thead", "tbody") for row in part.elements]
    texts = [[_text(cell) for cell in row.children] for row in rows]
    kept = [n for n in range(len(texts[0])) if any(row[n] for row in texts)]
    numbers = {place for place, n in enumerate(kept) if rows[0].elements[n].class_ == "number"}
    texts = [[row[n] for n in kept] for row in texts]
    return [row for row in texts if any(row)], numbers


def _aligned(rows: Sequence[Sequence[str]], right: set[int] | frozenset[int] = frozenset()) -> list[str]:
    """Rows as lines whose columns stand below each other; what is too wide is cut in its widest column."""
    if not rows:
        return []
    widths = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    while (excess := 2 + sum(widths) + 3 * (len(widths) - 1) - WIDEST) > 0 and max(widths) > _NARROWEST:
        widest = widths.index(max(widths))
        second = max([width for n, width in enumerate(widths) if n != widest], default=0)
        widths[widest] = max(widths[widest] - excess, min(second, widths[widest] - 1), _NARROWEST)

    def cell(n: int, text: str) -> str:
        text = cut(text, widths[n])
        gap = " " * (widths[n] - columns(text))
        return gap + text if n in right else text + gap

    return [("  " + "   ".join(cell(n, text) for n, text in enumerate(row))).rstrip() for row in rows]


def _beside(blocks: list[list[str]]) -> list[str]:
    """Blocks side by side in as many bands as it takes to stay within `WIDEST` columns."""
    for across in range(min(_MOST_BESIDE, len(blocks)), 0, -1):
        widths = [max((columns(line) for block in blocks[n::across] for line in block), default=0)
                  for n in range(across)]
        if sum(widths) + 3 * (across - 1) <= WIDEST:
            break
    rows: list[str] = []
    for start in range(0, len(blocks), across):
        band = blocks[start:start + across]
        rows += [""] * bool(rows)
        for n in range(max(map(len, band))):
            texts = [block[n] if n < len(block) else "" for block in band]
            rows.append("   ".join(text + " " * (width - columns(text))
                                   for text, width in zip(texts, widths, strict=False)).rstrip())
    return rows
