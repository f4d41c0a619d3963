"""PoolScope from a terminal: `python -m explorer photo.jpg`, `... why photo.jpg`, `... folder photos/` and
`... heads run`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from explorer import ExplorerError
from explorer.sections.text import printable
from explorer.terminal import command, folder_command, heads_command, why_command
from explorer.terminal.output import say


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns its exit code: 0, or 2 after one sentence on stderr about what was wrong."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        say("\n".join(_printed(arguments)))
    except ExplorerError as error:
        say(printable(error), sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of the table left early, as `| head` does; the files are written by then
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return 130
    return 0


def _printed(arguments: list[str]) -> list[str]:
    for other in (why_command, folder_command, heads_command):
        if arguments[:1] == [other.COMMAND]:
            return other.run(arguments[1:])
    return command.run(arguments)


if __name__ == "__main__":
    sys.exit(main())
