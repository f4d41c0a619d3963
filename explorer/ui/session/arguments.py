"""What the app was started with: `streamlit run app.py -- --network resnet18 --checkpoint my.safetensors ...`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import NoReturn

from explorer.errors import ExplorerError, NetworkError, ParameterError
from explorer.networks import Network
from explorer.networks.loading.options import Options, add_options, load_from_options, options_of
from explorer.progress import Progress

GIVEN = "given"  # what links call the network that the app was started with
_APP = "app.py"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ParameterError(f"The app was started with arguments that it does not understand: {message}.")


@dataclass(frozen=True)
class Folders:
    """The folders that the app was started with, and no page opens others.

    Attributes:
        runs: folders of runs.
        photos, labels: a folder of photos to scan, and the file of their labels; "" for none.
    """

    runs: tuple[Path, ...] = ()
    photos: str = ""
    labels: str = ""


def read(arguments: Sequence[str]) -> tuple[Options, Folders]:
    """The arguments after "--". Raises ParameterError with one sentence."""
    parser = _Parser(prog="streamlit run app.py --", add_help=False, allow_abbrev=False)
    add_options(parser)
    parser.add_argument("--size", type=int, metavar="PX")
    parser.add_argument("--run", type=Path, action="append", metavar="RUN", default=[])
    parser.add_argument("--folder", metavar="PHOTOS", default="")
    parser.add_argument("--labels", metavar="FILE", default="")
    parsed = parser.parse_args(list(arguments))
    options = options_of(parsed, parsed.size)
    if parsed.labels and not parsed.folder:
        raise ParameterError("The app was started with --labels and without --folder; expected the folder of the "
                             "photos that they are of.")
    if not options.given and options != Options():
        raise ParameterError("The app was started with arguments about a network and without one; expected --network "
                             "or --checkpoint too.")
    return options, Folders(tuple(parsed.run), parsed.folder, parsed.labels)


def given() -> tuple[Options, str]:
    """The network that the app was started with, and the sentence of what was wrong with it or ""."""
    options, _, wrong = _given()
    return options, wrong


def given_folders() -> Folders:
    """The folders that the app was started with."""
    return _given()[1]


@cache
def _given() -> tuple[Options, Folders, str]:
    if not sys.argv or Path(sys.argv[0]).name != _APP:  # somebody else's command line, such as a test's
        return Options(), Folders(), ""
    try:
        return *read(sys.argv[1:]), ""
    except ExplorerError as error:
        print_wrong(str(error))
        return Options(), Folders(), str(error)


def print_wrong(sentence: str) -> None:
    """Print in the terminal what is wrong with the network that the app was started with."""
    print(f"PoolScope: {sentence}", file=sys.stderr, flush=True)


def load_given(options: Options, progress: Progress | None = None) -> Network:
    """The network that the app was started with. Raises ExplorerError."""
    if not options.given:
        raise NetworkError("The app was started without a network; expected one that everybody can load.")
    return replace(load_from_options(options, progress), name=GIVEN)
