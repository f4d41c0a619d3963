"""`python -m explorer why`: why this class and not that one, in plain words; and all of it as files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from explorer import analyse, read_image
from explorer.analysis import Outcome
from explorer.export.report import report_html
from explorer.export.why_record import arrays_npz, pictures, record_json
from explorer.networks.loading.options import load_from_options, options_of
from explorer.poolings import parse_pooling
from explorer.sections.reasons import Reasons, reasons
from explorer.terminal.options import FRAMING, Parser, add_what_to_analyse, find_class, region
from explorer.terminal.output import Progress, write
from explorer.terminal.table import describe, printable
from explorer.terminal.why_lines import lines

COMMAND = "why"

_EPILOG = """\
examples:
  python -m explorer why photo.jpg
  python -m explorer why photo.jpg --against "tiger cat"
  python -m explorer why photo.jpg --class 282 --against 285 --pooling gmp --calibrated
  python -m explorer why photo.jpg --region 4,4,6,6 --quick
  python -m explorer why photo.jpg --against 285 --report --out results

Says what tells the class from the other one and where, channel by channel and under each pooling; what becomes of the
answer without a part of the photo; the fewest positions that flip it and that are enough for it; how stable it is.
With --out it writes <photo>_why_overlay.png (red towards the class, blue towards the other one), the changed photos,
<photo>_why_arrays.npz and <photo>_why.json, which python -m explorer photo.jpg --recipe takes too.
"""


def run(arguments: Sequence[str]) -> list[str]:
    """What to print. Raises ExplorerError: one sentence about what was wrong."""
    options = _parser().parse_args(arguments)
    found = _asked(options)
    return [*describe(found.outcome, options.photo), "", *lines(found), *_written(found, options)]


def _asked(options: argparse.Namespace) -> Reasons:
    pooling, parameters = (None, {}) if options.pooling is None else parse_pooling(options.pooling)
    photo = read_image(options.photo)
    network = load_from_options(options_of(options))
    chosen, rival = (None if text is None else find_class(text, network.class_names)
                     for text in (options.class_, options.against))
    outcome = analyse(network, photo, options.framing or FRAMING, options.size).under(pooling, **parameters)
    with Progress() as progress:
        return reasons(outcome, _class(outcome, chosen), rival, options.calibrated, options.region,
                       slow=not options.quick, told=progress)


def _class(outcome: Outcome, chosen: int | None) -> int:
    return outcome.top(1)[0].class_index if chosen is None else chosen


def _written(found: Reasons, options: argparse.Namespace) -> list[str]:
    """Writes the files that were asked for, and names them."""
    if options.out is None and not options.report:
        return []
    files = {
        **{f"_why_{name}.png": data for name, data in pictures(found).items()},
        "_why_arrays.npz": arrays_npz(found),
        "_why.json": record_json(found).encode(),
    }
    if options.report:
        files["_why_report.html"] = report_html(
            found.outcome, found.class_index, found.calibrated, why=found).encode()
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
                        help="the class to compare with, an index or a name (default: the likeliest other one)")
    parser.add_argument("--region", type=region, metavar="TOP,LEFT,BOTTOM,RIGHT",
                        help="positions to leave out: first row and column, last row and column, counted from 0, as a "
                             "link has them (default: those that carry half of what speaks for the class)")
    parser.add_argument("--quick", action="store_true",
                        help="leave out what takes more than a few forward passes: flip, stability, stitching")
    parser.add_argument("--report", action="store_true",
                        help="write <photo>_why_report.html and the other files as well")
    parser.add_argument("--out", metavar="FOLDER",
                        help="where the files go; made when missing (default: nothing is written, or with --report to "
                             "the current folder)")
    return parser
