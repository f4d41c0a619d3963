"""PoolScope from a terminal: `python -m explorer photo.jpg`, and `why`, `folder`, `causes`, `mute` and `heads`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from explorer import ExplorerError
from explorer.sections.text import printable
from explorer.terminal import causes_command, command, folder_command, heads_command, why_command
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
    others = {why_command.COMMAND: why_command.run, folder_command.COMMAND: folder_command.run,
              heads_command.COMMAND: heads_command.run, causes_command.CAUSES: causes_command.run_causes,
              causes_command.MUTE: causes_command.run_mute}
    if arguments and arguments[0] in others:
        return others[arguments[0]](arguments[1:])
    return command.run(arguments)


if __name__ == "__main__":
    sys.exit(main())
