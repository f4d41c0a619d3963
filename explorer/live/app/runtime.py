"""ONNX Runtime for browsers, from npm's package onnxruntime-web: fetched when the live app is built, never shipped."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from types import MappingProxyType

import onnxruntime

from explorer.errors import ExplorerError

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
_SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"  # of the package's file
_PATIENCE = 600  # seconds
# The build for WebAssembly alone. With one thread it needs no headers of the host (COOP, COEP).
FILES = MappingProxyType({
    "onnxruntime.js": "dist/ort.wasm.bundle.min.mjs", "onnxruntime.wasm": "dist/ort-wasm-simd-threaded.wasm",
})
NOTICES = ("LICENSE", "ThirdPartyNotices.txt")


def runtime_files(folder: Path | None = None) -> dict[str, bytes]:
    """The files that a page needs, by the names of `FILES`.

    Args:
        folder: an unpacked package; None fetches it by npm.

    Raises ExplorerError where npm is missing or cannot fetch it, or a file is missing.
    """
    if folder is not None:
        return _from_folder(folder)
    with tempfile.TemporaryDirectory() as temporary:
        return _from_archive(_fetched(Path(temporary)))


def notices() -> dict[str, bytes]:
    """ONNX Runtime's licence and the notices of what is in it, by file name; npm's package has neither.

    They are those of Python's package, which is built of the same sources.

    Raises ExplorerError where that package has none.
    """
    home = Path(onnxruntime.__file__).parent
    try:
        return {f"onnxruntime-{name.removesuffix('.txt')}.txt": (home / name).read_bytes() for name in NOTICES}
    except OSError:
        raise ExplorerError(f"Python's package onnxruntime has no {' and '.join(NOTICES)} here; expected the one that "
                            "pip installs, because its licence goes with the live app.") from None


def _from_folder(folder: Path) -> dict[str, bytes]:
    try:
        return {name: (folder / path).read_bytes() for name, path in FILES.items()}
    except OSError as error:
        raise ExplorerError(f"The folder {str(folder)!r:.160} is no unpacked {PACKAGE} {VERSION}: {error.strerror}, "
                            f"{str(error.filename)[-80:]}.") from None


def _fetched(folder: Path) -> Path:
    npm, otherwise = shutil.which("npm"), f"name an unpacked {PACKAGE} {VERSION} with --onnxruntime FOLDER"
    if npm is None:
        raise ExplorerError(f"The live app is built with npm, which was not found; install Node.js, or {otherwise}.")
    command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--pack-destination", str(folder), "--silent"]
    try:
        finished = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ExplorerError(f"npm did not end well ({type(error).__name__}); try again, or {otherwise}.") from None
    archives = list(folder.glob("*.tgz"))
    if finished.returncode or len(archives) != 1:
        reason = " ".join(finished.stderr.split())[:200] or "no reason given"
        raise ExplorerError(f"npm could not fetch {PACKAGE} {VERSION} ({reason}); check the connection, or {otherwise}."
                            )
    return archives[0]


def _from_archive(archive: Path) -> dict[str, bytes]:
    actual = hashlib.sha256(archive.read_bytes()).hexdigest()
    if actual != _SHA256:
        raise ExplorerError(f"npm's file of {PACKAGE} {VERSION} has sha256 {actual[:12]}...; expected "
                            f"{_SHA256[:12]}...: it is another file than the one that was reviewed.")
    with tarfile.open(archive) as package:
        files = {name: package.extractfile(f"package/{path}") for name, path in FILES.items()}
        return {name: file.read() for name, file in files.items() if file is not None}
