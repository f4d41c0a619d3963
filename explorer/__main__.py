"""PoolScope from a terminal: the top 5 under each pooling as a table; overlay, arrays, numbers and report as files."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from explorer import POOLINGS, ExplorerError, __version__, analyse, load_network, read_image
from explorer.analysis import Outcome
from explorer.errors import ParameterError
from explorer.export import files as export
from explorer.export.recipe import record_json, repeat
from explorer.export.recipe_reader import read_recipe
from explorer.export.report import report_html
from explorer.networks.loading.options import load_from_options, options_of
from explorer.poolings import parse_pooling
from explorer.terminal import why_command as why
from explorer.terminal.options import FRAMING, Parser, add_what_to_analyse, find_class
from explorer.terminal.output import say, write
from explorer.terminal.table import account, describe, printable, table

OF_A_FILE = ("file", "given", "module")  # names of networks that a recipe cannot bring back by themselves
ROUNDING = 1e-3  # logits: further off than other machines and versions bring it

_EPILOG = """\
poolings:
{poolings}

A pooling with a parameter takes it after a colon: --pooling gem:p=4 or --pooling topk:share=0.1. The table shows
every pooling; the chosen one with the parameter given, the others with their usual one. A network may bring more of
them, each with a head that was trained with it: flowers has learned_attention and gated.

examples:
  python -m explorer photo.jpg
  python -m explorer photo.jpg --pooling gmp --class "golden retriever" --calibrated
  python -m explorer photo.jpg --pooling gem:p=4 --framing whole --size 288 --report --out results
  python -m explorer photo.jpg --network resnet18 --checkpoint my.safetensors --classes classes.txt
  python -m explorer photo.jpg --recipe results/photo.json --out again
  python -m explorer why photo.jpg --against "tiger cat"

Writes <photo>_overlay.png (the evidence for the class, laid over the photo), <photo>_arrays.npz (the arrays behind
it, for numpy.load) and <photo>.json (what was computed, the table, and the recipe that repeats it); with --report
<photo>_report.html as well, a page to read and to send. Nothing is downloaded unless --network names a network of
torchvision or timm whose weights are not on this computer yet; nothing in a file is executed.

Why this class and not that one: see python -m explorer why --help. (A photo that is called "why" is ./why.)
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns its exit code: 0, or 2 after one sentence on stderr about what was wrong."""
    try:
        say("\n".join(_lines(sys.argv[1:] if arguments is None else list(arguments))))
    except ExplorerError as error:
        say(printable(error), sys.stderr)
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


def _lines(arguments: list[str]) -> list[str]:
    if arguments[:1] == [why.COMMAND]:
        return why.run(arguments[1:])
    return _run(_parser().parse_args(arguments))


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
    network = load_from_options(options_of(options))
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
    network = load_from_options(options_of(options)) if own else load_network(recipe["network"]["name"])
    outcome, class_index, calibrated, differences = repeat(recipe, network, read_image(options.photo))
    largest = max(differences)
    if largest <= ROUNDING:
        remark = f"Repeats the recipe: largest difference {largest:.1g} logits"
    else:
        then, now = ("torch {torch}, timm {timm}, PoolScope {poolscope}".format(**versions)
                     for versions in (recipe["versions"], export.versions()))
        remark = f"Differs from the recipe: largest difference {largest:.2g} logits (made with {then}; here {now})"
    return _Job(outcome, class_index, calibrated, [printable(remark)])


def _parser() -> argparse.ArgumentParser:
    poolings = "\n".join(f"  {pooling.written():<18}  {pooling.explanation}" for pooling in POOLINGS.values())
    parser = Parser(
        prog="python -m explorer", allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Show what a convolutional network says of a photo under eight global poolings, and where on the\n"
                    "photo the evidence for a class lies.",
        epilog=_EPILOG.format(poolings=poolings),
    )
    add_what_to_analyse(parser)
    parser.add_argument("--recipe", metavar="FILE",
                        help="repeat what a <photo>.json or a report's recipe.json records, and compare; it stands in "
                             "for what is chosen above")
    parser.add_argument("--report", action="store_true", help="write <photo>_report.html as well")
    parser.add_argument("--out", default=".", metavar="FOLDER",
                        help="where the files go; made when missing (default: the current folder)")
    parser.add_argument("--version", action="version", version=f"PoolScope {__version__}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
