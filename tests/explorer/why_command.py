"""`python -m explorer why` run within a test, and its lines parsed."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path

import pytest

from explorer import __main__
from explorer.networks import Network

QUICK_FILES = {"photo_why_overlay.png", "photo_why_without_blur.png", "photo_why_without_mean.png",
               "photo_why_without_inpaint.png", "photo_why_arrays.npz", "photo_why.json"}
SLOW_FILES = {"photo_why_flip.png", "photo_why_sufficient.png"}
SLOWLY = ("flip", "sufficient", "stability", "stitched")


def started(network: Network | None, *arguments: object, out: io.TextIOBase | None = None) -> tuple[int, str, str]:
    """Run the command: (exit code, stdout, stderr). Any network that is asked for is this one, unless it is None."""
    out, err = out or io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        if network is not None:
            patch.setattr("explorer.terminal.options.load_from_options", lambda _: network)
        code = __main__.main([str(argument) for argument in arguments])
    return code, out.getvalue() if isinstance(out, io.StringIO) else "", err.getvalue()


def ran(network: Network | None, *arguments: object) -> str:
    """What is printed of the photo, after checking that all went well."""
    code, out, err = started(network, "why", "photo.png", *arguments)
    assert (code, err) == (0, "")
    return out


def refusal(outcome: tuple[int, str, str]) -> str:
    """The one sentence on stderr, after checking that it is all there is."""
    code, out, err = outcome
    assert (code, out) == (2, "")
    assert re.fullmatch(r"[^\n]+\.\n", err), err
    assert "Traceback" not in err
    return err.strip()


def section(out: str, title: str) -> list[str]:
    """The lines of the section whose first line begins so, that line first."""
    (result,) = (part for part in out.strip("\n").split("\n\n") if part.startswith(title))
    return result.splitlines()


def table(lines: list[str]) -> list[list[str]]:
    return [re.split(r"\s{2,}", line.strip()) for line in lines]


def sentences(lines: list[str]) -> str:
    """What was wrapped, as it was before."""
    return " ".join(line.strip() for line in lines)


def recorded(folder: Path | str = ".") -> dict:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    return json.loads((Path(folder) / "photo_why.json").read_text(encoding="ascii"), parse_constant=refuse)
