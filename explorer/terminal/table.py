"""What a terminal shows of an analysis: who and what, the top 5 under each pooling side by side, and one logit."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from explorer.analysis import Outcome
from explorer.export import files as export
from explorer.wording import exactness

WIDEST = 116  # columns of a table
LONGEST_NAME = 40


def describe(outcome: Outcome, photo: str) -> list[str]:
    """Two lines on the photo, how it became an input, and the network with what is looked at in it."""
    analysis, framing = outcome.analysis, outcome.analysis.framing
    width, height = framing.input_size
    shape = " x ".join(str(length) for length in analysis.feature_maps.shape)
    return [
        f"{printable(photo)}: {framing.photo_size[0]} x {framing.photo_size[1]} px, framing {framing.kind}, "
        f"input {width} x {height} px",
        f"{printable(analysis.network.title)} ({printable(analysis.network.origin)}): "
        f"{printable(analysis.layer_name)} {shape}, probabilities by {analysis.network.activation}",
    ]


def account(outcome: Outcome, class_index: int, calibrated: bool) -> list[str]:
    """Two lines: what the chosen pooling says of the chosen class, and its logit taken apart or why it is not."""
    answer = outcome.answer(class_index, calibrated)
    if not outcome.analysis.has_evidence:
        logit, sentence = export.shown(outcome, class_index).account
        return [f"{printable(answer.name)} ({class_index}): probability {answer.probability:.2g}, rank {answer.rank}",
                f"{logit}; drawn is Grad-CAM. {printable(sentence)}"]
    evidence = outcome.evidence(class_index)
    total = float(evidence.cells.sum())
    return [
        f"{printable(answer.name)} ({class_index}) under {outcome.name} ({export.label(outcome, calibrated)}): "
        f"probability {answer.probability:.2g}, rank {answer.rank}",
        f"logit {evidence.logit:.3f} = baseline {evidence.baseline:.3f} {'-' if total < 0 else '+'} evidence "
        f"{abs(total):.3f} ({exactness(evidence.exact, evidence.residual)})",
    ]


def table(outcomes: Sequence[Outcome], calibrated: bool) -> list[str]:
    """The top 5 under each pooling, side by side, in as many bands as it takes to stay within `WIDEST` columns."""
    blocks = [_block(outcome, calibrated) for outcome in outcomes]
    for across in range(min(4, len(blocks)), min(1, len(blocks) - 1), -1):
        widths = [max(columns(line) for block in blocks[n::across] for line in block) for n in range(across)]
        if sum(widths) + 4 * across <= WIDEST:
            break
    lines: list[str] = []
    for start in range(0, len(blocks), across):
        band = blocks[start : start + across]
        for n, row in enumerate(zip(*band, strict=True)):
            rank = f"{n - 1:>2}" if n >= 2 else "  "
            lines.append("    ".join([rank, *map(pad, row, widths)]).rstrip())
        lines.append("")
    return lines[:-1]


def _block(outcome: Outcome, calibrated: bool) -> list[str]:
    """Name, label and top 5, each line as wide as its content wants, probabilities below each other."""
    answers = outcome.top(5, calibrated)
    names = [shorten(printable(answer.name)) for answer in answers]
    width = max(columns(name) for name in names)
    return [
        outcome.name, export.label(outcome, calibrated),
        *(f"{pad(name, width)}  {answer.probability:.2f}" for name, answer in zip(names, answers, strict=True)),
    ]


def aligned(rows: Sequence[Sequence[str]], right: Sequence[int] = (), indent: int = 2) -> list[str]:
    """Rows of texts as lines whose columns stand below each other; those at the places in `right` end there."""
    widths = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    return [
        (" " * indent + "   ".join(
            " " * (width - columns(text)) + text if n in right else pad(text, width)
            for n, (text, width) in enumerate(zip(row, widths, strict=True)))).rstrip()
        for row in rows
    ]


def wrapped(text: str, indent: int = 0, width: int = WIDEST) -> list[str]:
    """A sentence on as many lines as it takes; a word that is wider than a line has one of its own."""
    lines, line = [], ""
    for word in text.split():
        if line and columns(line) + 1 + columns(word) > width - indent:
            lines.append(line)
            line = ""
        line = f"{line} {word}" if line else word
    return [" " * indent + each for each in [*lines, *([line] if line else [])]]


def printable(text: object) -> str:
    """The text on one line, with ? for what a terminal might take for a command."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))


def shorten(text: str) -> str:
    """The text, cut where it is too long for a table."""
    return text if columns(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME // 2 - 3]}..."


def columns(text: str) -> int:
    """How many columns of a terminal the text takes: wide letters two, combining ones none."""
    return sum(0 if unicodedata.combining(letter) else 1 + (unicodedata.east_asian_width(letter) in "WF")
               for letter in text)


def pad(text: str, width: int) -> str:
    """The text with spaces up to that many columns."""
    return text + " " * (width - columns(text))
