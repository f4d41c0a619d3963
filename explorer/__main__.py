"""PoolScope from a terminal: the top 5 under each pooling as a table; overlay, arrays and numbers as files."""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from explorer import POOLINGS, ExplorerError, __version__, analyse, export, load_network, read_image
from explorer.analysis import Outcome
from explorer.errors import ParameterError
from explorer.framing import FRAMINGS, LARGEST_SIDE, SMALLEST_SIDE
from explorer.networks import BUNDLED
from explorer.pooling import parse_pooling
from explorer.wording import exactness

WIDEST = 116  # columns of a table
LONGEST_NAME = 40

_EPILOG = """\
poolings:
{poolings}

A pooling with a parameter takes it after a colon: --pooling gem:p=4 or --pooling topk:share=0.1. The table shows
every pooling; the chosen one with the parameter given, the others with their usual one.

examples:
  python -m explorer photo.jpg
  python -m explorer photo.jpg --pooling gmp --class "golden retriever" --calibrated
  python -m explorer photo.jpg --pooling gem:p=4 --framing whole --size 288 --out results

Writes <photo>_overlay.png (the evidence for the class, laid over the photo), <photo>_arrays.npz (the arrays behind
it, for numpy.load) and <photo>.json (what was computed, and the table). Nothing is downloaded.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns its exit code: 0, or 2 after one sentence on stderr about what was wrong."""
    try:
        _say("\n".join(_run(_parser().parse_args(arguments))))
    except ExplorerError as error:
        _say(printable(error), sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of the table left early, as `| head` does; the files are written by then
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return 130
    return 0


def _run(options: argparse.Namespace) -> list[str]:
    pooling, parameters = (None, {}) if options.pooling is None else parse_pooling(options.pooling)
    photo = read_image(options.photo)
    network = load_network(options.network)
    chosen = None if options.class_ is None else find_class(options.class_, network.class_names)
    outcome = analyse(network, photo, options.framing, options.size).under(pooling, **parameters)
    class_index = outcome.top(1)[0].class_index if chosen is None else chosen
    files = {
        "_overlay.png": export.overlay_png(outcome, class_index),
        "_arrays.npz": export.arrays_npz(outcome, class_index),
        ".json": export.numbers_json(outcome, class_index, options.calibrated).encode(),
    }
    written = write(files, Path(options.photo), Path(options.out))
    return [
        *describe(outcome, options.photo), "",
        *table(export.under_each_pooling(outcome), options.calibrated), "",
        *account(outcome, class_index, options.calibrated), "",
        *(f"Wrote {printable(file)}" for file in written),
    ]


class _Parser(argparse.ArgumentParser):
    """Says what was wrong in one line, without the usage above it."""

    def error(self, message: str) -> NoReturn:
        raise ParameterError(f"{message[:1].upper()}{message[1:]}; see python -m explorer --help.")


def _parser() -> argparse.ArgumentParser:
    poolings = "\n".join(f"  {pooling.written():<18}  {pooling.explanation}" for pooling in POOLINGS.values())
    parser = _Parser(
        prog="python -m explorer", allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Show what a convolutional network says of a photo under eight global poolings, and where on the\n"
                    "photo the evidence for a class lies.",
        epilog=_EPILOG.format(poolings=poolings),
    )
    parser.add_argument("photo", help="a JPEG, PNG, WebP, BMP, TIFF or GIF file")
    parser.add_argument("--pooling", metavar="KEY", help="the pooling whose evidence is written (default: the "
                                                         "network's own); see below")
    parser.add_argument("--class", dest="class_", metavar="CLASS",
                        help="an index or a name (default: the most probable class under that pooling)")
    parser.add_argument("--framing", default="crop", metavar="KIND",
                        help="; ".join(f"{kind}: {meaning}" for kind, meaning in FRAMINGS.items())
                        + " (default: crop)")
    parser.add_argument("--size", type=_whole_number, metavar="PX",
                        help=f"short side of the network's input, {SMALLEST_SIDE} to {LARGEST_SIDE} (default: as the "
                             "network was trained)")
    parser.add_argument("--network", default="efficientnet_lite0", metavar="NAME",
                        help=f"one of {', '.join(BUNDLED)} (default: efficientnet_lite0)")
    parser.add_argument("--calibrated", action="store_true",
                        help="mend the probabilities of what-ifs with one fitted number per pooling")
    parser.add_argument("--out", default=".", metavar="FOLDER",
                        help="where the files go; made when missing (default: the current folder)")
    parser.add_argument("--version", action="version", version=f"PoolScope {__version__}")
    return parser


def _whole_number(text: str) -> int:
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
    for alike in (str, str.casefold):
        found = [index for index, name in enumerate(names) if alike(name) == alike(text)]
        if len(found) == 1:
            return found[0]
        if found:
            raise ParameterError(f"More than one class is called {text!r:.60}: {_listed(found, names)}; expected one "
                                 "of these indices.")
    near = _near(text, names)
    hint = f"near it: {_listed(near, names)}" if near else f"expected an index from 0 to {len(names) - 1}, or a name"
    raise ParameterError(f"There is no class called {text!r:.60}; {hint}.")


def _near(text: str, names: Sequence[str], count: int = 5) -> list[int]:
    """Up to five classes whose name holds the text (as a word first), or else is spelt like it."""
    wanted, folded = text.casefold().strip(), [name.casefold() for name in names]
    holding = [index for index, name in enumerate(folded) if wanted and wanted in name]
    holding.sort(key=lambda index: (wanted not in folded[index].split(), len(folded[index])))
    spelt = [folded.index(name) for name in difflib.get_close_matches(wanted[:LONGEST_NAME], folded, count)]
    return list(dict.fromkeys([*holding, *spelt]))[:count]


def _listed(indices: Sequence[int], names: Sequence[str]) -> str:
    return ", ".join(f"{printable(names[index])} ({index})" for index in indices[:5])


def write(files: dict[str, bytes], photo: Path, folder: Path) -> list[Path]:
    """Write each file into the folder under the photo's stem and the ending that is its key; the paths written.

    Raises ExplorerError: the folder cannot be made or written to, or the photo itself would be replaced.
    """
    targets = {folder / f"{photo.stem}{ending}": data for ending, data in files.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for target in targets:
            if target.exists() and target.samefile(photo):
                raise ExplorerError(f"Writing {printable(target)} would replace the photo; choose another --out.")
        for target, data in targets.items():
            target.write_bytes(data)
    except OSError as error:
        raise ExplorerError(f"The files cannot be written to {str(folder)!r}: {error.strerror or error}.") from None
    return list(targets)


def describe(outcome: Outcome, photo: str) -> list[str]:
    """Two lines on the photo, how it became an input, and the network."""
    analysis, framing = outcome.analysis, outcome.analysis.framing
    width, height = framing.input_size
    shape = " x ".join(str(length) for length in analysis.feature_maps.shape)
    return [
        f"{printable(photo)}: {framing.photo_size[0]} x {framing.photo_size[1]} px, framing {framing.kind}, "
        f"input {width} x {height} px",
        f"{printable(analysis.network.title)} ({printable(analysis.network.origin)}): final feature maps {shape}",
    ]


def account(outcome: Outcome, class_index: int, calibrated: bool) -> list[str]:
    """Two lines: what the chosen pooling says of the chosen class, and its logit taken apart."""
    evidence, answer = outcome.evidence(class_index), outcome.answer(class_index, calibrated)
    total = float(evidence.cells.sum())
    return [
        f"{printable(answer.name)} ({class_index}) under {outcome.name} ({label(outcome, calibrated)}): "
        f"probability {answer.probability:.2g}, rank {answer.rank}",
        f"logit {evidence.logit:.3f} = baseline {evidence.baseline:.3f} {'-' if total < 0 else '+'} evidence "
        f"{abs(total):.3f} ({exactness(evidence.exact, evidence.residual)})",
    ]


def label(outcome: Outcome, calibrated: bool) -> str:
    """"native", "what-if" or "what-if, calibrated"."""
    return f"{outcome.label}, calibrated" if export.is_calibrated(outcome, calibrated) else outcome.label


def table(outcomes: Sequence[Outcome], calibrated: bool) -> list[str]:
    """The top 5 under each pooling, side by side, in as many bands as it takes to stay within `WIDEST` columns."""
    blocks = [_block(outcome, calibrated) for outcome in outcomes]
    for across in (4, 3, 2):
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
        outcome.name, label(outcome, calibrated),
        *(f"{pad(name, width)}  {answer.probability:.2f}" for name, answer in zip(names, answers, strict=True)),
    ]


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


def _say(text: str, stream: object = None) -> None:
    """Print, with escapes for letters that the stream's encoding lacks."""
    stream = stream or sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)


if __name__ == "__main__":
    sys.exit(main())
