"""`python -m explorer photo.jpg`: the top 5 under each pooling, and overlay, arrays, numbers and summary as files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from explorer import POOLINGS, __version__, analyse, read_image
from explorer.analysis import Analysis, Outcome
from explorer.errors import ParameterError
from explorer.export.arrays import arrays_npz
from explorer.export.pictures import overlay_png
from explorer.export.recipe import Repetition, read_recipe, repeat
from explorer.export.record import record_json
from explorer.export.report import report_html
from explorer.export.strict_json import versions
from explorer.live.page import live_page
from explorer.sections.answers import top_answers
from explorer.sections.text import lines, printable
from explorer.terminal.options import Parser, add_live, add_what_to_analyse, check_live, load, outcome_of, truth_of
from explorer.terminal.output import write
from explorer.terminal.overview import account, changed, describe, true_class

OF_A_FILE = ("file", "given", "module")  # names of networks that a recipe cannot bring back alone
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
  python -m explorer photo.jpg --change k12x0_k40x2.5_p3.4
  python -m explorer photo.jpg --network resnet18 --checkpoint my.safetensors --classes classes.txt
  python -m explorer photo.jpg --recipe results/photo.json --out again
  python -m explorer photo.jpg --pooling gmp --live page.html --without-photo
  python -m explorer why photo.jpg --against "tiger cat"

Writes <photo>_overlay.png (the evidence for the class, laid over the photo), <photo>_arrays.npz (the arrays behind
it, for numpy.load) and <photo>.json (what was computed, the table, and the recipe that repeats it); with --report
<photo>_report.html as well, a summary to read, print and send; with --live <photo>_live.html, a page on which
classes, poolings and channels can be tried without PoolScope. Nothing is downloaded unless --network names a network
of torchvision or timm whose weights are not on this computer yet; nothing in a file is executed.

Why this class and not that one: see python -m explorer why --help. (A photo that is called "why" is ./why.)
"""


def run(arguments: Sequence[str]) -> list[str]:
    """What to print, once the files are written. Raises ExplorerError: one sentence about what was wrong."""
    options = _parser().parse_args(arguments)
    check_live(options)
    remarks: list[str] = []
    if options.recipe is None:
        what = (*outcome_of(options), options.calibrated)
    else:
        recipe = read_recipe(Path(options.recipe))
        repeated = _repeated(options, recipe)
        what = repeated[:3]
        remarks = [_remark(repeated, recipe)]
    outcome, class_index, calibrated = what
    truth = truth_of(options, outcome)
    files: dict[str | Path, bytes] = {
        "_overlay.png": overlay_png(outcome, class_index),
        "_arrays.npz": arrays_npz(outcome, class_index),
        ".json": record_json(*what, truth).encode(),
    }
    if options.report:
        files["_report.html"] = report_html(*what, truth=truth).encode()
    if options.live is not None:
        shown = None if options.recipe is None and options.class_ is None else class_index
        files["_live.html" if options.live == Path() else options.live] = live_page(
            [_unchanged(outcome.analysis)], [Path(options.photo).name], class_index=shown, pooling=_written(outcome),
            calibrated=calibrated, change=outcome.analysis.change, photos=not options.without_photo).encode()
    sources = {"photo": Path(options.photo)} | ({} if options.recipe is None else {"recipe": Path(options.recipe)})
    return [
        *describe(outcome, options.photo), *changed(outcome), "",
        *lines(top_answers(outcome, calibrated)), "",
        *account(*what), *true_class(outcome, truth, calibrated), *_calibration(outcome, calibrated), *remarks, "",
        *(f"Wrote {printable(file)}" for file in write(files, sources, Path(options.out))),
    ]


def _calibration(outcome: Outcome, calibrated: bool) -> list[str]:
    """That the what-ifs of the table could be calibrated, as the app has them."""
    if calibrated or not any(one.multiplier and one.label == "what-if" for one in outcome.under_each_pooling()):
        return []
    return ["What-ifs have the head's own probabilities, mostly overconfident; --calibrated mends them, as in the app."]


def _unchanged(analysis: Analysis) -> Analysis:
    """As the network answered: the live page makes the change itself, and a reader can take it back."""
    if not analysis.change:
        return analysis
    framing = analysis.framing
    return analyse(analysis.network, analysis.image, framing.kind, min(framing.input_size))


def _written(outcome: Outcome) -> str:
    """The pooling of an outcome with its parameter, as a page begins with it; "" for the native one."""
    if outcome.label == "native":
        return ""
    return outcome.analysis.network.pooling_of(outcome.pooling).written(**outcome.parameters)


def _repeated(options: argparse.Namespace, recipe: dict) -> Repetition:
    name, of_a_file = recipe["network"]["name"], recipe["network"]["name"] in OF_A_FILE
    fixed = {"--pooling": options.pooling, "--class": options.class_, "--framing": options.framing,
             "--size": options.size, "--change": options.change, "--calibrated": options.calibrated or None} | (
                 {} if of_a_file else {"--network": options.network, "--checkpoint": options.checkpoint})
    if given := [option for option, value in fixed.items() if value is not None]:
        raise ParameterError(f"The recipe says what to compute; leave out {' and '.join(given)}, or --recipe.")
    if of_a_file and not options.checkpoint:
        raise ParameterError("The recipe is of a network from a file; expected that file too, with --checkpoint and, "
                             "for weights alone, --network and the name of its architecture.")
    if not of_a_file:
        options.network = name
    return repeat(recipe, load(options), read_image(options.photo, options.window))


def _remark(repeated: Repetition, recipe: dict) -> str:
    """How far the numbers are from the recipe's."""
    largest = max(repeated.differences)
    if largest <= ROUNDING:
        return f"Repeats the recipe: largest difference {largest:.1g} logits"
    then, now = ("torch {torch}, timm {timm}, PoolScope {poolscope}".format(**made_with)
                 for made_with in (recipe["versions"], versions()))
    return printable(f"Differs from the recipe: largest difference {largest:.2g} logits (made with {then}; here {now})")


def _parser() -> argparse.ArgumentParser:
    poolings = "\n".join(f"  {pooling.written():<18}  {pooling.explanation}" for pooling in POOLINGS.values())
    parser = Parser(
        prog="python -m explorer", allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Show what a convolutional network predicts for a photo under eight global poolings, and where\n"
                    "on the photo the evidence for a class lies.",
        epilog=_EPILOG.format(poolings=poolings),
    )
    add_what_to_analyse(parser)
    parser.add_argument("--change", metavar="CHANGE",
                        help="of the feature maps: k12x0 mutes channel 12, k40x2.5 multiplies channel 40 by 2.5, p3.4 "
                             "ignores the position in row 3 and column 4, with _ between them")
    parser.add_argument("--recipe", metavar="FILE",
                        help="repeat what a <photo>.json or a summary's recipe.json records, and compare; it stands in "
                             "for what is chosen above")
    parser.add_argument("--report", action="store_true",
                        help="write <photo>_report.html as well, a summary that reads and prints without a script")
    add_live(parser, "<photo>_live.html")
    parser.add_argument("--out", default=".", metavar="FOLDER",
                        help="where the files go; made when missing (default: the current folder)")
    parser.add_argument("--version", action="version", version=f"PoolScope {__version__}")
    return parser
