"""Find a Chromium for the browser tests, or install one: the system's, else Debian's package, else Playwright's.

    python -m tests.browser.chromium    makes sure that there is one, and prints where
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]


def find() -> str | None:
    """The path of a browser that starts, or None. CHROMIUM in the environment comes first."""
    return next((path for path in _candidates() if path and _starts(path)), None)


def ensure() -> str:
    """Find one or install one; SystemExit with one sentence when neither works."""
    for install in (None, _install_from_debian, _install_from_playwright):
        if install is not None:
            install()
        if path := find():
            return path
    raise SystemExit("No Chromium was found and none could be installed; install one, or name it in CHROMIUM.")


def _candidates() -> Iterator[str | None]:
    yield os.environ.get("CHROMIUM")
    yield from (shutil.which(name) for name in NAMES)
    yield str(MAC)
    yield _of_playwright()  # last, because it cannot be asked while Playwright runs


def _starts(path: str) -> bool:
    """Ubuntu's chromium-browser, for one, may be a stub that only tells how to install a snap."""
    if not Path(path).exists():
        return False
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _of_playwright() -> str:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        return playwright.chromium.executable_path


def _install_from_debian() -> None:
    # Ubuntu's package of that name is a stub for a snap.
    if sys.platform != "linux" or platform.freedesktop_os_release().get("ID") != "debian":
        return
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-q"], ["apt-get", "install", "-y", "-q", "chromium"]):
        subprocess.run([*root, *command], env=environment, check=False, stdout=subprocess.DEVNULL)


def _install_from_playwright() -> None:
    command = [sys.executable, "-m", "playwright", "install"]
    subprocess.run([*command, "chromium"], check=False)
    if not find():
        subprocess.run([*command, "--with-deps", "chromium"], check=False)


if __name__ == "__main__":
    print("Chromium:", ensure())
