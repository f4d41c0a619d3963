"""`python -m explorer heads`: which pooling for the photos of a run; heads trained on it, as a network."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from explorer.errors import ParameterError
from explorer.export.strict_json import finite, json_text
from explorer.folder import Run, train_heads
from explorer.heads import KINDS
from explorer.heads.saving import refuse_other_things
from explorer.heads.training import LOSSES
from explorer.poolings.learned import KEYS
from explorer.sections.heads_on_run import heads_section
from explorer.sections.text import lines, printable
from explorer.terminal.options import Parser
from explorer.terminal.output import line_on_stderr, say

COMMAND = "heads"

_EPILOG = """\
kinds:
{kinds}

losses:
  ce             cross-entropy over the labels: probabilities sum to 1 (softmax)
  bce            each label against all others: probabilities are of each label alone (sigmoid)

examples:
  python -m explorer folder photos/ --out run --labels labels.csv
  python -m explorer heads run --out my-network
  python -m explorer photo.jpg --network my-network --pooling gem

Labels are those of the run, whether or not its network has a class for them. All heads learn from the same feature maps
of the same photos and are tested on others. NETWORK is a folder: a card and the heads, which --network takes; the
backbone stays where it is. Pyramid, flatten and side_by_side are measured and not kept: they are no pooling and a
Linear. (A photo that is called "heads" is ./heads.)
"""


def run(arguments: Sequence[str]) -> list[str]:
    """What to print, once the heads are trained and written. Raises ExplorerError: one sentence about what was wrong.
    """
    options = _parser().parse_args(arguments)
    if not set(options.kinds) & set(KEYS):
        raise ParameterError(f"No network can be made of {', '.join(options.kinds)} alone; expected one of "
                             f"{', '.join(KEYS)} among the kinds.")
    refuse_other_things(options.out)
    opened = Run.open(options.run)
    with line_on_stderr() as write:
        write("loading the network")
        try:
            result = train_heads(
                opened, options.kinds, options.loss, boxes=options.boxes,
                progress=lambda done, total: write(f"photos and epochs: {done:,} of {total:,}"))
        except KeyboardInterrupt:
            write("")
            say("Stopped; nothing was written.", sys.stderr)
            raise
    folder = result.save(options.out)
    if options.json:
        record = {"run": str(opened.path), "network": str(folder), "classes": list(result.classes),
                  "photos": dict(result.counts), "left_out": dict(result.left_out), "beyond": result.beyond,
                  "unread": result.unread, "evidence_by_chance": result.chance,
                  "heads": [one.numbers() for one in result.outcomes]}
        return json_text(finite(record)).splitlines()
    kept = LOSSES[result.losses()[0]].name
    return [*lines(heads_section(result)), "",
            f"Wrote {printable(folder)} (loss: {kept}); --network takes it."]


def _parser() -> argparse.ArgumentParser:
    kinds = "\n".join(f"  {key:<13}  {kind.name}" for key, kind in KINDS.items())
    parser = Parser(
        prog=f"python -m explorer {COMMAND}", allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Which pooling for these photos: heads trained on the labelled photos of a run, each with its own\n"
                    "pooling, tested on photos that they never saw, and kept as a network.",
        epilog=_EPILOG.format(kinds=kinds))
    parser.add_argument("run", metavar="RUN", help="a folder that python -m explorer folder has written")
    parser.add_argument("--out", required=True, metavar="NETWORK", help="the folder of the network; made when missing")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS), metavar="KIND",
                        help="of heads, see below (default: all)")
    parser.add_argument("--loss", nargs="+", choices=list(LOSSES), default=list(LOSSES), metavar="LOSS",
                        help="ce, bce or both; the network answers with the heads of the first (default: ce bce)")
    parser.add_argument("--boxes", metavar="FILE",
                        help="where the objects are: .csv or .parquet with the columns path, left, top, right and "
                             "bottom in px of the photo; then the table says how much of the evidence lies inside")
    parser.add_argument("--json", action="store_true", help="print the outcomes as JSON in place of the table")
    return parser
