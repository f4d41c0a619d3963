"""`python -m explorer why`: why this class and not that one, in plain words; and all of it as files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from explorer.export.arrays import why_npz
from explorer.export.pictures import why_pictures
from explorer.export.record import why_json
from explorer.export.report import report_html
from explorer.questions.reasons import Reasons, reasons
from explorer.sections.text import lines, printable
from explorer.sections.why import why_section
from explorer.terminal.options import Parser, add_what_to_analyse, find_class, outcome_of, region, truth_of
from explorer.terminal.output import progress_line, write
from explorer.terminal.overview import describe, name_and_index, true_class, under

COMMAND = "why"

_EPILOG = """\
examples:
  python -m explorer why photo.jpg
  python -m explorer why photo.jpg --against "tiger cat"
  python -m explorer why photo.jpg --class 282 --against 285 --pooling gmp --calibrated
  python -m explorer why photo.jpg --region 4,4,6,6 --quick
  python -m explorer why photo.jpg --against 285 --report --out results

What tells the class from its rival and where, channel by channel and under each pooling; the prediction without a
part of the photo; the fewest positions that flip it and that are enough for it; how stable it is.
With --out it writes <photo>_why_overlay.png (red towards the class, blue towards the other one), the changed photos,
<photo>_why_arrays.npz and <photo>_why.json, which python -m explorer photo.jpg --recipe takes too.
"""


def run(arguments: Sequence[str]) -> list[str]:
    """What to print. Raises ExplorerError: one sentence about what was wrong."""
    options = _parser().parse_args(arguments)
    outcome, class_index = outcome_of(options)
    rival = None if options.against is None else find_class(options.against, outcome.analysis.network.class_names)
    truth = truth_of(options, outcome)
    with progress_line() as progress:
        answers = reasons(outcome, class_index, rival, options.calibrated, options.region, not options.quick, progress,
                          truth=truth)
    return [*describe(outcome, options.photo), _classes(answers), *true_class(outcome, truth, options.calibrated), "",
            *lines(why_section(answers)), *_written(answers, options)]


def _classes(reasons: Reasons) -> str:
    outcome, rival = reasons.outcome, reasons.rival
    against = "" if rival is None else f" against {name_and_index(outcome, rival)}"
    return (f"{name_and_index(outcome, reasons.class_index)}{against}, "
            f"{under(outcome, reasons.class_index, reasons.calibrated)}")


def _written(reasons: Reasons, options: argparse.Namespace) -> list[str]:
    """Write the files that were asked for, and name them."""
    if options.out is None and not options.report:
        return []
    files: dict[str | Path, bytes] = {
        **{f"_why_{name}.png": data for name, data in why_pictures(reasons).items()},
        "_why_arrays.npz": why_npz(reasons),
        "_why.json": why_json(reasons).encode(),
    }
    if options.report:
        files["_why_report.html"] = report_html(
            reasons.outcome, reasons.class_index, reasons.calibrated, why=reasons).encode()
    written = write(files, {"photo": Path(options.photo)}, Path(options.out or "."))
    return ["", *(f"Wrote {printable(file)}" for file in written)]


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=f"python -m explorer {COMMAND}", allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Why this class and not that one: of a photo, in plain words.", epilog=_EPILOG,
    )
    add_what_to_analyse(parser)
    parser.add_argument("--against", metavar="CLASS",
                        help="the class to compare with, an index or a name (default: the true class, else the "
                             "likeliest other one)")
    parser.add_argument("--region", type=region, metavar="TOP,LEFT,BOTTOM,RIGHT",
                        help="positions to leave out: first row and column, last row and column, counted from 0, as a "
                             "link has them (default: those that hold half of the class's positive evidence)")
    parser.add_argument("--quick", action="store_true",
                        help="leave out what takes more than a few forward passes: flip, stability, stitching")
    parser.add_argument("--report", action="store_true",
                        help="write <photo>_why_report.html, a summary with all of it, and the other files as well")
    parser.add_argument("--out", metavar="FOLDER",
                        help="where the files go; made when missing (default: nothing is written, or with --report to "
                             "the current folder)")
    return parser
