"""What a command leaves: printed lines, written files, and one line of progress while it works."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TextIO

from explorer.errors import ExplorerError
from explorer.sections.text import printable


def write(files: dict[str, bytes], sources: dict[str, Path], folder: Path) -> list[Path]:
    """Write each file into the folder under the photo's stem and the ending that is its key; the paths written.

    Raises ExplorerError: the folder cannot be made or written to, or a source (photo, recipe) would be replaced.
    """
    targets = {folder / f"{sources['photo'].stem}{ending}": data for ending, data in files.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
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


class ProgressLine:
    """One line on how far a computation is, written over as it goes; nothing where the stream is no terminal."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._shown = self._stream.isatty()
        self._width = 0

    def __call__(self, what: str, done: int, total: int) -> None:
        """Write "what: done of total"."""
        self._write(f"{what}: {done} of {total}")

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        if self._width:
            self._write("", end="\r")

    def _write(self, text: str, end: str = "") -> None:
        if self._shown:
            print(f"\r{text:<{self._width}}", end=end, file=self._stream, flush=True)
            self._width = len(text)
