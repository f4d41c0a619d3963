"""PoolScope from a terminal: the top 5 under each pooling as a table; overlay, arrays, numbers and report as files."""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from explorer import POOLINGS, ExplorerError, __version__, analyse, export, load_network, read_image
from explorer.analysis import Outcome
from explorer.errors import ParameterError
from explorer.framing import FRAMINGS, LARGEST_SIDE, SMALLEST_SIDE
from explorer.networks.options import add_options, load_as_asked, options_of
from explorer.pooling import parse_pooling
from explorer.recipe import read_recipe, record_json, repeat
from explorer.report import report_html
from explorer.table import LONGEST_NAME, account, describe, printable, table

FRAMING = "crop"
OF_A_FILE = ("file", "given", "module")  # names of networks that a recipe cannot bring back by themselves
ROUNDING = 1e-3  # logits: further off than other machines and versions bring it

_EPILOG = """\
poolings:
{poolings}

A pooling with a parameter takes it after a colon: --pooling gem:p=4 or --pooling topk:share=0.1. The table shows
every pooling; the chosen one with the parameter given, the others with their usual one.

examples:
  python -m explorer photo.jpg
  python -m explorer photo.jpg --pooling gmp --class "golden retriever" --calibrated
  python -m explorer photo.jpg --pooling gem:p=4 --framing whole --size 288 --report --out results
  python -m explorer photo.jpg --network resnet18 --checkpoint my.safetensors --classes classes.txt
  python -m explorer photo.jpg --recipe results/photo.json --out again

Writes <photo>_overlay.png (the evidence for the class, laid over the photo), <photo>_arrays.npz (the arrays behind
it, for numpy.load) and <photo>.json (what was computed, the table, and the recipe that repeats it); with --report
<photo>_report.html as well, a page to read and to send. Nothing is downloaded unless --network names a network of
torchvision or timm whose weights are not on this computer yet; nothing in a file is executed.
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


class _Job(NamedTuple):
    """What was asked for, computed, and what there is to say of it beside the table."""

    outcome: Outcome
    class_index: int
    calibrated: bool
    remarks: list[str]


def _run(options: argparse.Namespace) -> list[str]:
    job = _asked(options) if options.recipe is None else _repeated(options)
    outcome, class_index, calibrated, remarks = job
    files = {
        "_overlay.png": export.overlay_png(outcome, class_index),
        "_arrays.npz": export.arrays_npz(outcome, class_index),
        ".json": record_json(outcome, class_index, calibrated).encode(),
    }
    if options.report:
        files["_report.html"] = report_html(outcome, class_index, calibrated).encode()
    sources = {"photo": Path(options.photo)} | ({} if options.recipe is None else {"recipe": Path(options.recipe)})
    written = write(files, sources, Path(options.out))
    return [
        *describe(outcome, options.photo), "",
        *table(outcome.under_each_pooling(), calibrated), "",
        *account(outcome, class_index, calibrated), *remarks, "",
        *(f"Wrote {printable(file)}" for file in written),
    ]


def _asked(options: argparse.Namespace) -> _Job:
    pooling, parameters = (None, {}) if options.pooling is None else parse_pooling(options.pooling)
    photo = read_image(options.photo)
    network = load_as_asked(options_of(options))
    chosen = None if options.class_ is None else find_class(options.class_, network.class_names)
    outcome = analyse(network, photo, options.framing or FRAMING, options.size).under(pooling, **parameters)
    class_index = outcome.top(1)[0].class_index if chosen is None else chosen
    return _Job(outcome, class_index, options.calibrated, [])


def _repeated(options: argparse.Namespace) -> _Job:
    recipe = read_recipe(Path(options.recipe))
    own = recipe["network"]["name"] in OF_A_FILE
    fixed = {"--pooling": options.pooling, "--class": options.class_, "--framing": options.framing,
             "--size": options.size, "--calibrated": options.calibrated or None} | (
                 {} if own else {"--network": options.network, "--checkpoint": options.checkpoint})
    if given := [name for name, value in fixed.items() if value is not None]:
        raise ParameterError(f"The recipe says what to compute; leave out {' and '.join(given)}, or --recipe.")
    if own and not options.checkpoint:
        raise ParameterError("The recipe is of a network from a file; expected that file too, with --checkpoint and, "
                             "for weights alone, --network and the name of its architecture.")
    network = load_as_asked(options_of(options)) if own else load_network(recipe["network"]["name"])
    outcome, class_index, calibrated, differences = repeat(recipe, network, read_image(options.photo))
    largest = max(differences)
    if largest <= ROUNDING:
        remark = f"Repeats the recipe: largest difference {largest:.1g} logits"
    else:
        then, now = ("torch {torch}, timm {timm}, PoolScope {poolscope}".format(**versions)
                     for versions in (recipe["versions"], export.versions()))
        remark = f"Differs from the recipe: largest difference {largest:.2g} logits (made with {then}; here {now})"
    return _Job(outcome, class_index, calibrated, [printable(remark)])


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
    parser.add_argument("--framing", metavar="KIND",
                        help="; ".join(f"{kind}: {meaning}" for kind, meaning in FRAMINGS.items())
                        + f" (default: {FRAMING})")
    parser.add_argument("--size", type=_whole_number, metavar="PX",
                        help=f"short side of the network's input, {SMALLEST_SIDE} to {LARGEST_SIDE} (default: as the "
                             "network was trained)")
    add_options(parser)
    parser.add_argument("--calibrated", action="store_true",
                        help="mend the probabilities of what-ifs with one fitted number per pooling")
    parser.add_argument("--recipe", metavar="FILE",
                        help="repeat what a <photo>.json or a report's recipe.json records, and compare; it stands in "
                             "for what is chosen above")
    parser.add_argument("--report", action="store_true", help="write <photo>_report.html as well")
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


def write(files: dict[str, bytes], sources: dict[str, Path], folder: Path) -> list[Path]:
    """Write each file into the folder under the photo's stem and the ending that is its key; the paths written.

    Raises ExplorerError: the folder cannot be made or written to, or a source (photo, recipe) would be replaced.
    """
    targets = {folder / f"{sources['photo'].stem}{ending}": data for ending, data in files.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for target in filter(Path.exists, targets):
            for what, source in sources.items():
                if target.samefile(source):
                    raise ExplorerError(f"Writing {printable(target)} would replace the {what}; choose another --out.")
        for target, data in targets.items():
            target.write_bytes(data)
    except OSError as error:
        raise ExplorerError(f"The files cannot be written to {str(folder)!r}: {error.strerror or error}.") from None
    return list(targets)


def _say(text: str, stream: object = None) -> None:
    """Print, with escapes for letters that the stream's encoding lacks."""
    stream = stream or sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)


if __name__ == "__main__":
    sys.exit(main())
