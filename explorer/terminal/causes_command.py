"""`python -m explorer causes` and `... mute`: why photos of a run are wrong together, and a head without the reason."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from explorer.errors import ExplorerError, ParameterError
from explorer.export.causes_record import causes_record, muting_record, repair_html, repair_json
from explorer.export.strict_json import json_text
from explorer.folder import Run
from explorer.folder.causes import Causes, causes_of
from explorer.folder.channel_names import channel_names
from explorer.folder.contributions import contributions_to
from explorer.folder.index import Index
from explorer.folder.muting import STRENGTHS, Muting, answers_of
from explorer.folder.repair import checkpoint_bytes, repaired_state
from explorer.sections.causes import TENSORS_ALONE, causes_section, muting_section
from explorer.sections.text import lines, printable
from explorer.terminal.options import Parser, find_class, whole_number
from explorer.terminal.output import progress_line

CAUSES, MUTE = "causes", "mute"
_ENDINGS = (".safetensors", ".pth", ".pt", ".ckpt", ".bin")

_CAUSES_EPILOG = """\
examples:
  python -m explorer causes run --class tulips
  python -m explorer causes run --class tulips --against roses --parts 6 --json

RUN is what `python -m explorer folder` wrote. Each cause is a part of the channel contributions that many photos share;
those first that add most to wrong answers. docs/causes.md says how they are found and how far to trust them.
"""
_MUTE_EPILOG = """\
examples:
  python -m explorer mute run --class tulips --cause 1
  python -m explorer mute run --class tulips --cause 1,3 --strength 60 --out repaired.safetensors
  python -m explorer mute run --class tulips --channels 12,480 --all-classes

Without --strength the suggested one is used: chosen on half of the photos, shown on the other half. --out writes the
repaired network (a .safetensors loads by itself, a .pth wants its architecture named); beside it a recipe (.json) and a
report (.html).
"""


def run_causes(arguments: Sequence[str]) -> list[str]:
    """What to print. Raises ExplorerError: one sentence about what was wrong."""
    options = _causes_parser().parse_args(arguments)
    index, class_index = _opened(options)
    rival = None if options.against is None else find_class(options.against, index.run.network.class_names)
    causes = _causes(index, class_index, rival, options.parts)
    if options.json:
        return [json_text(causes_record(index.run, causes)).rstrip()]
    return lines(causes_section(causes, index.run.network.class_names, channel_names(index.run)))


def run_mute(arguments: Sequence[str]) -> list[str]:
    """What to print, once the files are written. Raises ExplorerError: one sentence about what was wrong."""
    options = _mute_parser().parse_args(arguments)
    index, class_index = _opened(options)
    answers = answers_of(index)
    if options.channels is None:
        shares = _shares(_causes(index, class_index, None, options.parts), options.cause)
    else:
        shares = _alone(options.channels, answers.inputs.shape[1])
    muting = Muting(answers, shares, None if options.all_classes else class_index, not options.keep_bias)
    place = muting.suggested if options.strength is None else int(np.abs(STRENGTHS - options.strength / 100).argmin())
    printed = ([json_text(muting_record(muting, place)).rstrip()] if options.json else
               lines(muting_section(muting, place, index.run.network.class_names)))
    if options.out is None:
        return printed
    if not place:
        raise ParameterError("Nothing would be damped, because no strength makes more photos right; expected "
                             "--strength with a percentage for a checkpoint all the same.")
    files = _write(index.run, muting, place, Path(options.out))
    remark = [] if files[0].suffix == ".safetensors" else [TENSORS_ALONE]
    return printed if options.json else [*printed, "", *(f"Wrote {printable(file)}" for file in files), *remark]


def _opened(options: argparse.Namespace) -> tuple[Index, int]:
    index = Index(Run.open(options.run))
    return index, find_class(options.class_, index.run.network.class_names)


def _causes(index: Index, class_index: int, rival: int | None, parts: int | None) -> Causes:
    with progress_line() as progress:
        made = contributions_to(index, class_index, rival,
                                progress=lambda done, total: progress("contributions", done, total))
        return causes_of(made, parts, lambda done, total: progress("numbers of parts", done, total))


def _shares(causes: Causes, numbers: Sequence[int]) -> np.ndarray:
    beyond = [number for number in numbers if not 1 <= number <= len(causes.all)]
    if beyond:
        raise ParameterError(f"There is no cause {beyond[0]}; expected 1 to {len(causes.all)}.")
    return np.clip(sum(causes.all[number - 1].shares for number in set(numbers)), 0, 1)


def _alone(channels: Sequence[int], count: int) -> np.ndarray:
    shares = np.zeros(count, np.float32)
    for channel in channels:
        if not 0 <= channel < count:
            raise ParameterError(f"There is no channel {channel}; expected 0 to {count - 1}.")
        shares[channel] = 1
    return shares


def _write(run: Run, muting: Muting, place: int, out: Path) -> list[Path]:
    ending = out.suffix.lower() or ".safetensors"
    if ending not in _ENDINGS:
        raise ParameterError(f"The repaired network cannot be written as {ending!r:.20}; expected a file that ends in "
                             f"{', '.join(_ENDINGS)}.")
    state = repaired_state(run.network, muting, float(STRENGTHS[place]))
    files = {out.with_suffix(ending): checkpoint_bytes(run, state, ending),
             out.with_suffix(".json"): repair_json(run, muting, place).encode(),
             out.with_suffix(".html"): repair_html(run, muting, place).encode()}
    own = (run.recipe["network"]["options"] or {}).get("checkpoint")
    if own and any(file.exists() and file.samefile(own) for file in files):
        raise ExplorerError(f"Writing {printable(out)} would replace the network's own checkpoint; choose another "
                            "--out.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        for file, data in files.items():
            file.write_bytes(data)
    except OSError as error:
        raise ExplorerError(f"The files cannot be written to {str(out.parent)!r}: {error.strerror or error}.") from None
    return list(files)


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _percentage(text: str) -> float:
    value = float(text.removesuffix("%"))
    if not 0 <= value <= 100 or value % 5:
        raise ValueError
    return value


def _common(command: str, description: str, epilog: str) -> argparse.ArgumentParser:
    parser = Parser(prog=f"python -m explorer {command}", allow_abbrev=False, description=description, epilog=epilog,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", help="the folder of a run")
    parser.add_argument("--class", dest="class_", required=True, metavar="CLASS", help="an index or a name")
    parser.add_argument("--parts", type=whole_number, metavar="N",
                        help="how many causes (default: 5 to 7, whichever two halves of the photos agree on most)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser


def _causes_parser() -> argparse.ArgumentParser:
    parser = _common(CAUSES, "What the photos that a network calls a class have in common, the suspicious first.",
                     _CAUSES_EPILOG)
    parser.add_argument("--against", metavar="CLASS", help="why the class and not this one")
    return parser


def _mute_parser() -> argparse.ArgumentParser:
    parser = _common(MUTE, "What changes when a cause is damped in the head, and the head without it.", _MUTE_EPILOG)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--cause", type=_numbers, default=[1], metavar="N[,N]", help="which causes (default: 1)")
    what.add_argument("--channels", type=_numbers, metavar="N[,N]", help="channels, from 0, instead of a cause")
    parser.add_argument("--all-classes", action="store_true", help="damp them for all classes, not for this one alone")
    parser.add_argument("--keep-bias", action="store_true",
                        help="do not give back to the bias what right photos without the cause have of it")
    parser.add_argument("--strength", type=_percentage, metavar="PERCENT", help="0 to 100, in steps of 5")
    parser.add_argument("--out", metavar="FILE", help="the repaired network, .safetensors or .pth")
    return parser
