"""Build the live app: python -m explorer.live.app [OUT]."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from explorer.errors import ExplorerError
from explorer.live.app.build import build
from explorer.live.app.runtime import PACKAGE, VERSION


def main(arguments: Sequence[str] | None = None) -> int:
    """Build. Returns the exit code: 0, or 2 after one sentence on stderr about what was wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m explorer.live.app",
        description=f"Build the live app: static files for any host. It takes npm, which fetches {PACKAGE} {VERSION}.")
    parser.add_argument("out", nargs="?", type=Path, default=Path("build/live-app"), metavar="OUT",
                        help="the folder to write (default: %(default)s)")
    parser.add_argument("--onnxruntime", type=Path, metavar="FOLDER",
                        help=f"an unpacked {PACKAGE}, in place of npm")
    options = parser.parse_args(arguments)
    try:
        sizes = build(options.out, options.onnxruntime)
    except ExplorerError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{options.out}: {len(sizes)} files, {sum(sizes.values()) / 2**20:.1f} MB. Put it on any static host, or:\n"
          f"  python -m http.server --bind 127.0.0.1 --directory {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
