"""The names that people give to channels, kept with the run: nothing else ever names a channel."""

from __future__ import annotations

import json

from explorer.errors import ParameterError, RunError
from explorer.folder.run import Run

LONGEST = 40  # letters
_FILE = "channel_names.json"


def channel_names(run: Run) -> dict[int, str]:
    """Names by channel; {} where nobody gave one, or the file is damaged."""
    try:
        kept = json.loads((run.path / _FILE).read_text(encoding="utf-8"))
        return {int(channel): str(name)[:LONGEST] for channel, name in kept.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def name_channel(run: Run, channel: int, name: str) -> None:
    """Give a channel a name, or take it away with "".

    Raises ParameterError: the name is longer than 40 letters. RunError: it cannot be written.
    """
    name = " ".join(name.split())
    if len(name) > LONGEST:
        raise ParameterError(f"The name has {len(name)} letters; expected at most {LONGEST}.")
    names = channel_names(run) | {channel: name}
    part = run.path / f"{_FILE}.part"
    try:
        part.write_text(json.dumps({str(key): value for key, value in sorted(names.items()) if value}, indent=1) + "\n",
                        encoding="utf-8")
        part.replace(run.path / _FILE)
    except OSError as error:
        raise RunError(f"The name cannot be kept in the run's folder: {error.strerror or error}.") from None
