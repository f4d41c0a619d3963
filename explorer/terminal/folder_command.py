"""`python -m explorer folder`: a row of every photo of a folder, in a run that goes on where it was stopped."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from explorer.folder.index import Index
from explorer.folder.run import Run
from explorer.folder.scanning import ENGINES, scan
from explorer.folder.selection import OUTCOMES, SORTS, Selection
from explorer.framing import FRAMINGS
from explorer.live.page import MOST_PHOTOS
from explorer.live.run_page import run_page
from explorer.networks.loading.options import add_options, options_of
from explorer.sections.folder import overview
from explorer.sections.text import lines, printable
from explorer.terminal.options import FRAMING, Parser, add_live, check_live, whole_number
from explorer.terminal.output import line_on_stderr, progress_line, say, write
from explorer.wording import rate_in_words

COMMAND = "folder"

_EPILOG = """\
examples:
  python -m explorer folder photos/ --out run
  python -m explorer folder photos/ --out run --labels labels.csv --network resnet50
  python -m explorer folder "photos/**/*.jpg" --out run --engine ray
  python -m explorer folder photos/ --out run --live page.html --select wrong --sort unsure

One row a photo, in Parquet, below RUN/rows; docs/folder.md says what each column holds. The same command goes on with a
run that was stopped, adds photos that are new and does those again that changed since. (A photo that is called "folder"
is ./folder.)
"""


def run(arguments: Sequence[str]) -> list[str]:
    """What to print, once every photo has its row. Raises ExplorerError: one sentence about what was wrong."""
    options = _parser().parse_args(arguments)
    check_live(options, select=options.select, sort=options.sort)
    selection = Selection(options.sort or Selection.sort, options.select or Selection.outcome)
    with line_on_stderr() as say_on_line:
        begun: list[tuple[float, int]] = []

        def progress(done: int, total: int) -> None:
            now = time.monotonic()
            if not begun:
                begun.append((now, done - 1))
            rate = rate_in_words(total - done, done - begun[0][1], now - begun[0][0])
            say_on_line(f"photos: {done:,} of {total:,}" + (f", {rate}" if rate else ""))

        say_on_line("loading the network and listing the photos")
        try:
            scanned = scan(
                options_of(options), options.photos, options.out, options.labels, options.engine,
                options.pooling, framing=options.framing or FRAMING, short_side=options.size,
                address=options.ray_address, progress=progress)
        except KeyboardInterrupt:
            say_on_line("")
            say("Stopped; what is done is kept, and the same command goes on from there.", sys.stderr)
            raise
    live = [] if options.live is None else _live(scanned, selection, options)
    return [*lines(overview(scanned)), "", f"Wrote {printable(scanned.path)}", *live]


def _live(scanned: Run, selection: Selection, options: argparse.Namespace) -> list[str]:
    """Write the live page of the selection; the line that says of which photos it is."""
    index = Index(scanned)
    numbers = index.select(selection)
    if not len(numbers):
        return [f"No live page was written: of {len(index):,} photos none is selected by --select {selection.outcome}."]
    with progress_line() as progress:
        made = run_page(index, numbers, not options.without_photo,
                        lambda done, total: progress("photos of the live page", done, total))
    write({options.live: made.text.encode()}, {}, Path())
    left_out = ""
    if made.left_out:
        left_out = (f"; {made.left_out:,} more {'was' if made.left_out == 1 else 'were'} selected, which "
                    f"{'is' if made.left_out == 1 else 'are'} past the first {MOST_PHOTOS} or could not be read")
    return [f"Wrote {printable(options.live)}, with {made.photos:,} photo{'' if made.photos == 1 else 's'}, "
            f"{SORTS[selection.sort].name.lower()}{left_out}"]


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=f"python -m explorer {COMMAND}", allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="What a network predicts for every photo of a folder, and where the evidence lies: a row a photo.",
        epilog=_EPILOG)
    parser.add_argument("photos", help="a folder, with those below it, or a glob in quotes")
    parser.add_argument("--out", required=True, metavar="RUN", help="the folder of the run; made when missing")
    parser.add_argument("--labels", metavar="FILE",
                        help=".csv or .parquet with the columns path and label (default: the name of the folder that a "
                             "photo lies in)")
    parser.add_argument("--pooling", action="append", metavar="KEY",
                        help="whose answers are noted beside the network's own, again for each (default: all)")
    parser.add_argument("--framing", metavar="KIND",
                        help="; ".join(f"{kind}: {meaning}" for kind, meaning in FRAMINGS.items())
                        + f" (default: {FRAMING})")
    parser.add_argument("--size", type=whole_number, metavar="PX", help="short side of the network's input")
    parser.add_argument("--engine", choices=ENGINES, default="local",
                        help="local: one process here; ray: Ray's actors, here or on a cluster (needs "
                             "requirements-cluster.txt)")
    parser.add_argument("--ray-address", metavar="ADDRESS", help="of a Ray cluster (default: Ray is started here)")
    add_live(parser)
    parser.add_argument("--select", choices=[key for key, outcome in OUTCOMES.items() if not outcome.of_two],
                        help="which photos are on that page (default: all, the first 24)")
    parser.add_argument("--sort", choices=SORTS,
                        help=f"in which order (default: {Selection.sort}, {SORTS[Selection.sort].name.lower()})")
    add_options(parser)
    return parser
