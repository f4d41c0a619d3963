"""What people type: the options that both commands share, the outcome that they mean, and a class by its name."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from explorer import analyse, read_image
from explorer.analysis import Outcome
from explorer.errors import ParameterError
from explorer.framing import FRAMINGS, LARGEST_SIDE, SMALLEST_SIDE
from explorer.networks import Network
from explorer.networks.loading.options import add_options, load_from_options, options_of
from explorer.poolings import parse_pooling
from explorer.questions.intervention import Intervention
from explorer.sections.text import printable

FRAMING = "crop"
_LONGEST = 40  # letters of a name that is looked for by its spelling


class Parser(argparse.ArgumentParser):
    """Reports what was wrong in one line, without the usage above it."""

    def error(self, message: str) -> NoReturn:
        raise ParameterError(f"{message[:1].upper()}{message[1:]}; see {self.prog} --help.")


def add_what_to_analyse(parser: argparse.ArgumentParser) -> None:
    """The photo, the pooling, the class, the framing and the network."""
    parser.add_argument("photo", help="a JPEG, PNG, WebP, AVIF, HEIC, BMP, TIFF or GIF file")
    parser.add_argument("--pooling", metavar="KEY", help="the pooling whose evidence is written (default: the "
                                                         "network's own); see below")
    parser.add_argument("--class", dest="class_", metavar="CLASS",
                        help="an index or a name (default: the most probable class under that pooling)")
    parser.add_argument("--truth", metavar="CLASS",
                        help="the class that the photo is truly of, an index or a name: where it stands is said too")
    parser.add_argument("--framing", metavar="KIND",
                        help="; ".join(f"{kind}: {meaning}" for kind, meaning in FRAMINGS.items())
                        + f" (default: {FRAMING})")
    parser.add_argument("--size", type=whole_number, metavar="PX",
                        help=f"short side of the network's input, {SMALLEST_SIDE} to {LARGEST_SIDE} (default: as the "
                             "network was trained)")
    add_options(parser)
    parser.add_argument("--window", type=window, metavar="LOW,HIGH",
                        help="of a photo in greys of more than 8 bits: which number is black and which white "
                             "(--window=-160,240)")
    parser.add_argument("--calibrated", action="store_true",
                        help="calibrate the probabilities of what-ifs with one fitted number per pooling")


def add_live(parser: argparse.ArgumentParser, usual: str = "") -> None:
    """A live page, whose file is `usual` where none is named, and whether the photo is in it."""
    optional: dict[str, Any] = {"nargs": "?", "const": Path()} if usual else {}
    parser.add_argument("--live", metavar="FILE", type=html_file, **optional,
                        help="write a page that computes in the browser, to be handed on or put on any host of files"
                        + (f" (default: {usual})" if usual else ""))
    parser.add_argument("--without-photo", action="store_true",
                        help="leave photos out of that page: their maps lie on grey")


def check_live(options: argparse.Namespace, **others: object) -> None:
    """Raises ParameterError where an option of the live page is given without --live; `others` are a command's own."""
    given = ["--without-photo"] * options.without_photo + [f"--{name}" for name, value in others.items() if value]
    if options.live is None and given:
        raise ParameterError(f"{' and '.join(given)} {'is' if len(given) == 1 else 'are'} of the live page; expected "
                             "--live too.")


def html_file(text: str) -> Path:
    """A path that ends in .html, so that no photo is taken for the page to write."""
    if Path(text).suffix.lower() not in (".html", ".htm"):
        raise argparse.ArgumentTypeError(f"expected a file that ends in .html, got {text!r:.60}")
    return Path(text)


def load(options: argparse.Namespace) -> Network:
    """The network that the options name. Raises ExplorerError."""
    return load_from_options(options_of(options))


def outcome_of(options: argparse.Namespace) -> tuple[Outcome, int]:
    """The photo under the chosen pooling, and the chosen class or else the prediction. Raises ExplorerError.

    With a change that is of the changed feature maps.
    """
    change = Intervention.parse(getattr(options, "change", None) or "")
    pooling, parameters = (None, {}) if options.pooling is None else parse_pooling(options.pooling)
    photo = read_image(options.photo, options.window)
    network = load(options)
    class_index = None if options.class_ is None else find_class(options.class_, network.class_names)
    analysis = analyse(network, photo, options.framing or FRAMING, options.size)
    outcome = (change.on(analysis) if change else analysis).under(pooling, **parameters)
    return outcome, outcome.top(1)[0].class_index if class_index is None else class_index


def truth_of(options: argparse.Namespace, outcome: Outcome) -> int | None:
    """The class that the photo is truly of, where it was given. Raises ParameterError."""
    return None if options.truth is None else find_class(options.truth, outcome.analysis.network.class_names)


def window(text: str) -> tuple[float, float]:
    """Two numbers, the first the smaller: "-160,240"."""
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low = high = 0.0
    if not low < high:
        raise argparse.ArgumentTypeError(f"expected two numbers, black first, such as 0,4095, got {text!r:.60}")
    return low, high


def region(text: str) -> tuple[int, int, int, int]:
    """First row and column, last row and column of some positions, as a link has them: "3,4,5,6"."""
    if not re.fullmatch(r"[0-9]{1,4}(,[0-9]{1,4}){3}", text):
        raise argparse.ArgumentTypeError(f"expected four whole numbers from 0 such as 3,4,5,6, got {text!r:.60}")
    top, left, bottom, right = map(int, text.split(","))
    if top > bottom or left > right:
        raise argparse.ArgumentTypeError(f"expected the first row and column before the last ones, got {text!r:.60}")
    return top, left, bottom, right


def whole_number(text: str) -> int:
    """A number of pixels."""
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", text):
        raise argparse.ArgumentTypeError(f"expected a whole number of pixels, got {text!r:.60}")
    return int(text)


def find_class(text: str, names: Sequence[str]) -> int:
    """The index that a person means by an index, a name, or a name in other capitals.

    Raises ParameterError: nothing or more than one thing is meant; the message names up to five near ones.
    """
    if re.fullmatch(r"-?[0-9]{1,9}", text):
        if not 0 <= int(text) < len(names):
            raise ParameterError(f"There is no class {text}; expected an index from 0 to {len(names) - 1}, or a name.")
        return int(text)
    for spelling in (str, str.casefold):
        same = [index for index, name in enumerate(names) if spelling(name) == spelling(text)]
        if len(same) == 1:
            return same[0]
        if same:
            raise ParameterError(f"More than one class is called {text!r:.60}: {_listed(same, names)}; expected one "
                                 "of these indices.")
    near = _near(text, names)
    hint = f"near it: {_listed(near, names)}" if near else f"expected an index from 0 to {len(names) - 1}, or a name"
    raise ParameterError(f"There is no class called {text!r:.60}; {hint}.")


def _near(text: str, names: Sequence[str], count: int = 5) -> list[int]:
    """Up to five classes whose name holds the text (as a word first), or else is spelt like it."""
    text, folded = text.casefold().strip(), [name.casefold() for name in names]
    holding = [index for index, name in enumerate(folded) if text and text in name]
    holding.sort(key=lambda index: (text not in folded[index].split(), len(folded[index])))
    close = [folded.index(name) for name in difflib.get_close_matches(text[:_LONGEST], folded, count)]
    return list(dict.fromkeys([*holding, *close]))[:count]


def _listed(indices: Sequence[int], names: Sequence[str]) -> str:
    return ", ".join(f"{printable(names[index])} ({index})" for index in indices[:5])
