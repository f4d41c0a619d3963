"""PoolScope from a terminal: `python -m explorer photo.jpg` and `python -m explorer why photo.jpg`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from explorer import ExplorerError
from explorer.sections.text import printable
from explorer.terminal import command, why_command
from explorer.terminal.output import say


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns its exit code: 0, or 2 after one sentence on stderr about what was wrong."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        asks_why = arguments[:1] == [why_command.COMMAND]
        say("\n".join(why_command.run(arguments[1:]) if asks_why else command.run(arguments)))
    except ExplorerError as error:
        say(printable(error), sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of the table left early, as `| head` does; the files are written by then
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
