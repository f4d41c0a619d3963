"""What a command leaves: printed lines, written files, and one line of progress while it works."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from explorer.errors import ExplorerError
from explorer.sections.text import printable


def write(files: dict[str | Path, bytes], sources: dict[str, Path], folder: Path) -> list[Path]:
    """Write each file into the folder: under the path that is its key, or under the photo's stem and that ending.

    Returns the paths. Raises ExplorerError: a folder cannot be made or written to, or a source (photo, recipe) would be
    replaced.
    """
    targets = {folder / (key if isinstance(key, Path) else f"{sources['photo'].stem}{key}"): data
               for key, data in files.items()}
    try:
        for target in targets:
            target.parent.mkdir(parents=True, exist_ok=True)
        for target in filter(Path.exists, targets):
            for what, source in sources.items():
                if target.samefile(source):
                    raise ExplorerError(f"Writing {printable(target)} would replace the {what}; choose another --out.")
        for target, data in targets.items():
            target.write_bytes(data)
    except OSError as error:
        raise ExplorerError(f"The files cannot be written to {str(folder)!r}: {error.strerror or error}.") from None
    return list(targets)


def say(text: str, stream: TextIO | None = None) -> None:
    """Print, with escapes for letters that the stream's encoding lacks."""
    stream = stream or sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)


@contextmanager
def line_on_stderr() -> Iterator[Callable[[str], None]]:
    """A line on stderr that is written over as it goes; nothing where that is no terminal."""
    width = 0

    def write(text: str, end: str = "") -> None:
        nonlocal width
        if sys.stderr.isatty():
            print(f"\r{text:<{width}}", end=end, file=sys.stderr, flush=True)
            width = len(text)

    try:
        yield write
    finally:
        if width:
            write("", end="\r")


@contextmanager
def progress_line() -> Iterator[Callable[[str, int, int], None]]:
    """One line on stderr, "what: done of total", written over as it goes."""
    with line_on_stderr() as write:
        yield lambda what, done, total: write(f"{what}: {done} of {total}")
